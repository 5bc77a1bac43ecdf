/* Inside project/: what the readers of traffic rules share. */
#ifndef SL_PROJECT_TRAFFIC_INTERNAL_H
#define SL_PROJECT_TRAFFIC_INTERNAL_H

#include "project/traffic.h"

struct traffic_reader {
	struct sl_arena *arena;
	struct sl_traffic *out;
	bool has_weights;
	struct sl_error *err;
};

/* Members beyond `names` are refused, with the nearest known one. */
int sl_traffic_check_members(struct traffic_reader *in, yyjson_val *object, const char *what, const char *const *names, size_t count);
/* "challenger" or "other@champion" to a variant, made when it is new. */
int sl_traffic_variant(struct traffic_reader *in, const char *text, size_t *ret);

int sl_traffic_read_canary(struct traffic_reader *in, yyjson_val *value);
int sl_traffic_read_test(struct traffic_reader *in, yyjson_val *value);
int sl_traffic_read_bandit(struct traffic_reader *in, yyjson_val *value);

#endif
