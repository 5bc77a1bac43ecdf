/* Predictions that wait for their labels, and labels that came first: a table by key, bounded, oldest in event time out first.
 *
 * Keys are kept as the first 16 bytes of their SHA-256, so a caller cannot steer a label to another's prediction by a made
 * collision. A prediction is known under its key column's value, or, without one, under "<prediction id>#<row>". */
#ifndef SL_WATCH_JOIN_H
#define SL_WATCH_JOIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { SL_JOIN_ENTRIES_MAX = 8 << 20, SL_JOIN_OUTPUTS_MAX = 64 };

struct sl_join;
struct sl_join_key { unsigned char bytes[16]; };

/* by_prediction as in struct sl_label. */
void sl_join_key(bool by_prediction, const char *key, size_t key_len, struct sl_join_key *ret);

/* `outputs` values per prediction (1, or one per class; at most SL_JOIN_OUTPUTS_MAX). */
struct sl_join *sl_join_new(size_t outputs, struct sl_error *err);
void sl_join_free(struct sl_join *join);
size_t sl_join_outputs(const struct sl_join *join);

struct sl_join_match { int64_t time_ms; const float *outputs; double label; }; /* outputs: valid until the next call */
/* Each returns 1 when both sides are there now (the pair leaves the table), 0 when the other side is awaited, SL_E_NO_MEMORY.
 * A second prediction or label of a waiting key takes the place of the first. */
int sl_join_prediction(struct sl_join *join, const struct sl_join_key *key, int64_t time_ms, const float *outputs,
		struct sl_join_match *ret, struct sl_error *err);
int sl_join_label(struct sl_join *join, const struct sl_join_key *key, int64_t time_ms, double label,
		struct sl_join_match *ret, struct sl_error *err);
/* Forgets what is older than `before_ms`; returns how many predictions went without a label. */
uint64_t sl_join_expire(struct sl_join *join, int64_t before_ms);
size_t sl_join_waiting(const struct sl_join *join);

#endif
