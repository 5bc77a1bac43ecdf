#include "mlflow/adopt.h"

#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "serve/adopt.h"

struct item {
	struct item *next;
	int64_t version;
	char model[];
};

struct sl_ml_adopter {
	struct sl_loop *loop;
	struct sl_store_pool *pool;
	const char *project_dir;
	struct sl_timer *timer;
	struct item *first, **last;
	size_t waiting;
	struct item *taken; /* by the thread that works; NULL: none does */
};

/* ---- on a pool thread ----------------------------------------------------------------------------------------------- */

static void tell(const struct item *item, const struct sl_error *why)
{
	sl_log(SL_LOG_INFO, "version %" PRId64 " of '%s' is for MLflow's clients only: %s", item->version, item->model, why->message);
}

static int load_project(const char *dir, struct sl_project **ret, struct sl_error *err)
{
	int rc = sl_project_load(dir, NULL, 0, ret, err);
	return rc == SL_E_NOT_FOUND ? 0 : rc; /* a store without a project has no rules */
}

static void adopt_all(struct sl_store *store, const char *dir, const struct item *items)
{
	SL_CLEANUP(sl_project_freep) struct sl_project *project = NULL;
	struct sl_error why = {0};
	int ruled = load_project(dir, &project, &why);
	for (const struct item *item = items; item; item = item->next) {
		struct sl_error err = why;
		int rc = item->version ? ruled ? ruled : sl_adopt(store, project, item->model, item->version, &err) : 0;
		if (rc)
			tell(item, &err);
		if (sl_adopt_aliases(store, item->model, &err))
			sl_log(SL_LOG_WARNING, "aliases of '%s': %s", item->model, err.message);
	}
}

static void work(void *context)
{
	struct sl_ml_adopter *a = context;
	struct sl_store *store;
	struct sl_error err = {0};
	if (sl_store_pool_take(a->pool, &store, &err)) {
		sl_log(SL_LOG_WARNING, "the registry of clients was not looked at: %s", err.message);
		return;
	}
	adopt_all(store, a->project_dir, a->taken);
	sl_store_pool_give(a->pool, store);
}

/* ---- on the loop ---------------------------------------------------------------------------------------------------- */

static void free_items(struct item *item)
{
	for (struct item *next; item; item = next) {
		next = item->next;
		sl_free(item);
	}
}

static void take(struct sl_ml_adopter *a)
{
	a->taken = a->first;
	a->first = NULL;
	a->last = &a->first;
	a->waiting = 0;
}

static void on_done(void *context)
{
	struct sl_ml_adopter *a = context;
	free_items(a->taken);
	a->taken = NULL;
	if (a->first)
		sl_timer_start(a->timer, 0, 0);
}

static void on_timer(void *context)
{
	struct sl_ml_adopter *a = context;
	if (a->taken || !a->first)
		return;
	take(a);
	if (sl_loop_work(a->loop, work, on_done, a, NULL))
		on_done(a);
}

void sl_ml_adopt_later(struct sl_ml_adopter *a, const char *model, int64_t version)
{
	size_t len = strlen(model) + 1;
	struct item *item = a->waiting < SL_ML_ADOPT_WAITING_MAX ? sl_alloc(sizeof *item + len, NULL) : NULL;
	if (!item)
		return;
	item->version = version;
	memcpy(item->model, model, len);
	*a->last = item;
	a->last = &item->next;
	a->waiting++;
	if (!a->taken)
		sl_timer_start(a->timer, 0, 0);
}

int sl_ml_adopter_new(struct sl_loop *loop, struct sl_store_pool *pool, const char *project_dir, struct sl_ml_adopter **ret, struct sl_error *err)
{
	struct sl_ml_adopter *a = sl_alloc(sizeof *a, err);
	if (!a)
		return SL_E_NO_MEMORY;
	*a = (struct sl_ml_adopter){.loop = loop, .pool = pool, .project_dir = project_dir, .last = &a->first};
	int rc = sl_timer_new(loop, on_timer, a, &a->timer, err);
	if (rc) {
		sl_free(a);
		return rc;
	}
	*ret = a;
	return 0;
}

void sl_ml_adopter_free(struct sl_ml_adopter *a)
{
	if (!a)
		return;
	while (a->taken)
		sl_loop_run_once(a->loop, true);
	if (a->first) {
		take(a);
		work(a);
		free_items(a->taken);
	}
	sl_timer_free(a->timer);
	sl_free(a);
}
