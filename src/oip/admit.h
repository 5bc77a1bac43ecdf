/* Whether there is room for a request: one that waits behind the others of its turn for too long is refused at once, so that the rest keep
 * their latency and the client may ask somebody else.
 *
 * Controlled delay, as for the queues of a service (Maurer, "Fail at Scale", ACM Queue 13(8), 2015, after Nichols and Jacobson's CoDel): a
 * burst may wait up to OIP_BURSTS times `max_wait`; when no turn of the loop has been short for OIP_OVERLOADED_MS, nothing waits longer than
 * `max_wait`. The queue is what the sockets hold and a turn finds ready, so it is never longer than the connections times one request. */
#ifndef SL_OIP_ADMIT_H
#define SL_OIP_ADMIT_H

#include <stdbool.h>
#include <stdint.h>

enum { OIP_BURSTS = 20, OIP_OVERLOADED_MS = 100 };

struct oip_admission {
	uint64_t turn;      /* of the loop */
	int64_t began_ns;   /* its first request */
	int64_t last_ns;    /* the newest request */
	int64_t calm_ns;    /* when a turn was last found to have been short */
};

/* `turn` and `now_ns` rise. False: refuse it. `max_wait_ns` 0: there is always room. */
bool oip_admit(struct oip_admission *admission, uint64_t turn, int64_t now_ns, int64_t max_wait_ns);

#endif
