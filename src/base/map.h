/* A hash map from text to a pointer. Keys are copied; values are the caller's. Order of iteration = order of insertion. */
#ifndef SL_BASE_MAP_H
#define SL_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct sl_map;
struct sl_map *sl_map_new(struct sl_error *err);
void sl_map_free(struct sl_map *map); /* NULL is fine */
void sl_map_freep(struct sl_map **map);
/* Sets or replaces; *ret_old (may be NULL) gets what stood there before, or NULL. 0 or SL_E_NO_MEMORY. */
int sl_map_set(struct sl_map *map, const char *key, void *value, void **ret_old, struct sl_error *err);
void *sl_map_get(const struct sl_map *map, const char *key); /* NULL when absent */
bool sl_map_has(const struct sl_map *map, const char *key);
size_t sl_map_count(const struct sl_map *map);
/* The i-th entry in order of insertion, i < count. */
const char *sl_map_key(const struct sl_map *map, size_t i);
void *sl_map_value(const struct sl_map *map, size_t i);

#endif
