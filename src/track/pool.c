#include "track/pool.h"

void sl_store_pool_init(struct sl_store_pool *pool, const char *project_dir)
{
	*pool = (struct sl_store_pool){.project_dir = project_dir};
	pthread_mutex_init(&pool->mutex, NULL);
}

void sl_store_pool_done(struct sl_store_pool *pool)
{
	while (pool->count)
		sl_store_close(pool->kept[--pool->count]);
	pthread_mutex_destroy(&pool->mutex);
}

static int open_one(const struct sl_store_pool *pool, struct sl_store **ret, struct sl_error *err)
{
	struct sl_store *store SL_CLEANUP(sl_store_closep) = NULL;
	int rc = sl_store_open(pool->project_dir, &store, err);
	if (!rc && pool->cache_kib)
		rc = sl_meta_tune(store->meta, pool->cache_kib, pool->log_frames, err);
	if (!rc)
		*ret = SL_TAKE(store);
	return rc;
}

int sl_store_pool_take(struct sl_store_pool *pool, struct sl_store **ret, struct sl_error *err)
{
	*ret = NULL;
	pthread_mutex_lock(&pool->mutex);
	if (pool->count)
		*ret = pool->kept[--pool->count];
	pthread_mutex_unlock(&pool->mutex);
	return *ret ? 0 : open_one(pool, ret, err);
}

void sl_store_pool_give(struct sl_store_pool *pool, struct sl_store *store)
{
	bool keep;
	pthread_mutex_lock(&pool->mutex);
	keep = store && pool->count < SL_POOL_KEPT;
	if (keep)
		pool->kept[pool->count++] = store;
	pthread_mutex_unlock(&pool->mutex);
	if (!keep)
		sl_store_close(store);
}
