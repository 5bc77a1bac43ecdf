/* Opened stores of one project, lent to one thread at a time. */
#ifndef SL_TRACK_POOL_H
#define SL_TRACK_POOL_H

#include <pthread.h>

#include "track/store.h"

enum { SL_POOL_KEPT = 4 };

struct sl_store_pool {
	const char *project_dir;
	pthread_mutex_t mutex;
	struct sl_store *kept[SL_POOL_KEPT];
	size_t count;
	int cache_kib, log_frames; /* of sl_meta_tune, for those that are opened from now on; 0: its defaults */
};

void sl_store_pool_init(struct sl_store_pool *pool, const char *project_dir);
void sl_store_pool_done(struct sl_store_pool *pool);
int sl_store_pool_take(struct sl_store_pool *pool, struct sl_store **ret, struct sl_error *err);
void sl_store_pool_give(struct sl_store_pool *pool, struct sl_store *store); /* NULL is fine */

#endif
