#include "op/refusal.h"

#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "op/access.h"
#include "os/file.h"
#include "track/store.h"

enum { PERIOD_MS = 1000, WHAT_BYTES = 512 };

struct refusal {
	char actor[sizeof((struct sl_caller *)0)->actor], what[WHAT_BYTES];
	int64_t times;
};

struct batch {
	struct refusal items[SL_REFUSALS_KEPT];
	size_t count;
	int64_t left_out;
};

/* A batch on its way to the ledger; it outlives its owner when that closes meanwhile. */
struct writing {
	struct sl_refusals *owner; /* NULL: closed */
	char project_dir[SL_PATH_MAX];
	struct batch batch;
};

struct sl_refusals {
	struct sl_loop *loop;
	struct sl_timer *timer;  /* runs while the second after a writing lasts */
	bool counting;           /* the timer runs */
	struct writing *writing; /* NULL: none under way */
	char project_dir[SL_PATH_MAX];
	struct batch batch;
};

/* ---- on another thread ---------------------------------------------------------------------------------------------- */

static int append(struct sl_store *store, const struct refusal *item, int64_t left_out, struct sl_error *err)
{
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *detail = doc ? yyjson_mut_obj(doc) : NULL;
	if (!detail || !yyjson_mut_obj_add_int(doc, detail, "times", item->times) ||
	    (left_out && !yyjson_mut_obj_add_int(doc, detail, "left_out", left_out)))
		return sl_fail_memory(err);
	sl_ledger_set_actor(store->ledger, item->actor);
	return sl_ledger_append(store->ledger, "request.refused", item->what, detail, NULL, err);
}

static int write_batch(const char *project_dir, const struct batch *batch, struct sl_error *err)
{
	struct sl_store *store SL_CLEANUP(sl_store_closep) = NULL;
	int rc = sl_store_open(project_dir, &store, err);
	rc = rc ? rc : sl_meta_begin(store->meta, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < batch->count && !rc; i++)
		rc = append(store, &batch->items[i], i + 1 == batch->count ? batch->left_out : 0, err);
	if (rc) {
		sl_meta_rollback(store->meta);
		return rc;
	}
	rc = sl_meta_commit(store->meta, err);
	return rc ? rc : sl_ledger_publish(store->ledger, err);
}

/* A refusal was answered already: that it could not be kept is a line in the log. */
static void write_or_log(const char *project_dir, const struct batch *batch)
{
	struct sl_error err = {0};
	if (batch->count && write_batch(project_dir, batch, &err))
		sl_log(SL_LOG_WARNING, "refusals are missing in the ledger: %s", err.message);
}

static void on_work(void *context)
{
	struct writing *writing = context;
	write_or_log(writing->project_dir, &writing->batch);
}

/* ---- on the loop ----------------------------------------------------------------------------------------------------- */

static void on_written(void *context)
{
	struct writing *writing = context;
	if (writing->owner)
		writing->owner->writing = NULL;
	sl_free(writing);
}

/* What waits is on its way, or goes on waiting. */
static void send(struct sl_refusals *r)
{
	struct writing *writing = r->writing ? NULL : sl_alloc(sizeof *writing, NULL);
	if (!writing)
		return;
	writing->owner = r;
	memcpy(writing->project_dir, r->project_dir, sizeof r->project_dir);
	writing->batch = r->batch;
	if (sl_loop_work(r->loop, on_work, on_written, writing, NULL)) {
		sl_free(writing);
		return;
	}
	r->writing = writing;
	r->batch = (struct batch){0};
}

static void on_timer(void *context)
{
	struct sl_refusals *r = context;
	r->counting = r->batch.count > 0;
	if (r->counting)
		send(r);
	else
		sl_timer_stop(r->timer);
}

static void count(struct batch *batch, const char *actor, const char *what)
{
	size_t i = 0;
	while (i < batch->count && !(sl_str_eq(batch->items[i].actor, actor) && sl_str_eq(batch->items[i].what, what)))
		i++;
	if (i == SL_REFUSALS_KEPT) {
		batch->left_out++;
		return;
	}
	if (i == batch->count) {
		snprintf(batch->items[i].actor, sizeof batch->items[i].actor, "%s", actor);
		snprintf(batch->items[i].what, sizeof batch->items[i].what, "%s", what);
		batch->count++;
	}
	batch->items[i].times++;
}

void sl_refusals_note(struct sl_refusals *r, const char *actor, const char *method, const char *path)
{
	char what[WHAT_BYTES];
	size_t len = (size_t)snprintf(what, sizeof what, "%.60s %.400s", method, path);
	while (len && !sl_utf8_valid(what, len)) /* a character that was cut */
		what[--len] = 0;
	count(&r->batch, actor, what);
	if (r->counting)
		return;
	r->counting = true;
	sl_timer_start(r->timer, PERIOD_MS, PERIOD_MS);
	send(r);
}

int sl_refusals_open(struct sl_loop *loop, const char *project_dir, struct sl_refusals **ret, struct sl_error *err)
{
	struct sl_refusals *r = sl_alloc(sizeof *r, err);
	if (!r)
		return SL_E_NO_MEMORY;
	r->loop = loop;
	int rc = strlen(project_dir) < sizeof r->project_dir ? 0 : sl_fail(err, SL_E_TOO_LARGE, "the project's path is too long");
	if (!rc)
		strcpy(r->project_dir, project_dir);
	rc = rc ? rc : sl_timer_new(loop, on_timer, r, &r->timer, err);
	if (rc)
		sl_free(r);
	else
		*ret = r;
	return rc;
}

void sl_refusals_close(struct sl_refusals *r)
{
	if (!r)
		return;
	if (r->writing)
		r->writing->owner = NULL;
	sl_timer_free(r->timer);
	write_or_log(r->project_dir, &r->batch);
	sl_free(r);
}
