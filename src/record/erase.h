/* Runs that go for good, and runs that go to another experiment. */
#ifndef SL_RECORD_ERASE_H
#define SL_RECORD_ERASE_H

#include "record/run.h"

/* Removes a client's run that is in the bin, with its points, parameters, tags, inputs, names of artifacts and logged models; the ledger keeps
 * that it was there and that it went. The bytes of artifacts that nothing else names go with the next `sluice gc`. *ret_points: how many.
 * SL_E_CONFLICT: it is not in the bin; it is a run of this program's own, which the ledger covers row by row; or a version of a registered model
 * came from it. Inside a transaction. */
int sl_rec_run_erase(struct sl_record *record, const struct sl_rec_run *run, const struct sl_change *change, int64_t *ret_points,
	struct sl_error *err);

/* To another experiment, with the logged models that it made; its artifacts stay where they are, under their old address. Nothing happens when it
 * is there already. SL_E_INVALID: the experiment, or the run, is in the bin. Inside a transaction. */
int sl_rec_run_move(struct sl_record *record, const struct sl_rec_run *run, const struct sl_experiment *to, const struct sl_change *change,
	struct sl_error *err);

#endif
