/* Pinned parameters: values that a trigger (or `sluice run --pin`) put in force for later runs, so that the next run by hand does
 * not go back behind a retraining. A pin remembers what the project file said then; once the file says something else, the file
 * wins and the pin is dropped. */
#ifndef SL_TRACK_PIN_H
#define SL_TRACK_PIN_H

#include "base/mem.h"
#include "track/run.h"

struct sl_pin {
	const char *param;
	const char *override;   /* as written: "train_until='2001-04-25T00:00:00Z'" */
	const char *file_value; /* JSON of the file's value when it was pinned */
};
/* All pins, in order of their names; in `arena`. */
int sl_pins_read(struct sl_track *track, struct sl_arena *arena, struct sl_pin **ret, size_t *ret_count, struct sl_error *err);
/* Sets one; ledger "param.pin". */
int sl_pin_set(struct sl_track *track, const struct sl_pin *pin, struct sl_error *err);
/* Removes one (ledger "param.unpin"); a missing one is fine. */
int sl_pin_remove(struct sl_track *track, const char *param, const char *reason, struct sl_error *err);

#endif
