/* How far the ledger's entries were told, in .sluice/openlineage.json: one JSON object, replaced as a whole. Nobody but the process that holds the lock
 * writes it, and the database is only read, so that telling costs a run nothing.
 *
 *   {"next":SEQ,"delivered":N,"refused":N,"given_up":N,"failing_since":MS,"message":"..."}
 */
#ifndef SL_OPENLINEAGE_STATE_H
#define SL_OPENLINEAGE_STATE_H

#include "track/store.h"

enum { SL_OPENLINEAGE_WAITING_MAX = 200000 }; /* ledger entries behind; older ones are given up */

struct sl_openlineage_state {
	int64_t next;             /* the ledger's entry to tell of next */
	int64_t delivered;        /* events */
	int64_t refused;          /* events that the receiver will never take */
	int64_t given_up;         /* entries that were too far behind, or cannot be read */
	int64_t failing_since_ms; /* 0: the last try went well */
	char message[512];        /* of the last failure or refusal */
};

/* Makes the state when there is none: from here on events are told, and nothing of before. */
int sl_openlineage_begin(struct sl_store *store, struct sl_error *err);
/* Nobody wants events any more: the state goes. */
int sl_openlineage_end(struct sl_store *store, struct sl_error *err);
/* 1; 0: there is none. */
int sl_openlineage_read(struct sl_store *store, struct sl_openlineage_state *ret, struct sl_error *err);
int sl_openlineage_write(struct sl_store *store, const struct sl_openlineage_state *state, struct sl_error *err);
/* Held by the process that delivers. SL_E_BUSY when another one does. */
int sl_openlineage_lock(struct sl_store *store, int *ret_fd, struct sl_error *err);

/* Ledger entries of runs from `state->next` on, oldest first, at most `max` entries looked at: copied into `arena`. `ret_end` gets the entry behind the
 * last one looked at. */
struct sl_openlineage_entry { int64_t seq; const char *bytes; size_t len; };
int sl_openlineage_entries(struct sl_store *store, int64_t next, size_t max, struct sl_arena *arena, struct sl_openlineage_entry *ret, size_t *ret_count,
			   int64_t *ret_end, struct sl_error *err);
/* How many entries of runs wait, at most SL_OPENLINEAGE_WAITING_MAX. */
int sl_openlineage_waiting(struct sl_store *store, int64_t next, int64_t *ret, struct sl_error *err);

#endif
