/* Time and randomness of the machine, through os/sys.h so that tests can set them. */
#ifndef SL_OS_CLOCK_H
#define SL_OS_CLOCK_H

#include <stdint.h>

#include "base/error.h"
#include "base/id.h"

int64_t sl_now_ms(void);       /* wall clock */
int64_t sl_monotonic_ns(void); /* for durations */
int64_t sl_processor_ns(void); /* that this thread has used */
int sl_random(void *data, size_t len, struct sl_error *err);
/* A new ULID; ids made by one process are strictly increasing. */
int sl_id_new(struct sl_id *ret, struct sl_error *err);

/* Waits so long, or until a signal arrives. */
void sl_pause(int64_t duration_ms);

#endif
