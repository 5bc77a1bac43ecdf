/* history: a metric's points with real steps, across forks. */
#include <math.h>
#include <string.h>

#include "base/str.h"
#include "op/context.h"
#include "op/handlers.h"
#include "record/history.h"

enum { FORKS_MAX = 100 };

/* A run of the chain that a fork stands at the end of. */
struct link { struct sl_rec_run run; int64_t scale; char fork_of[SL_ID_HEX + 1]; double fork_step; };

struct reading {
	struct sl_call *call;
	struct sl_record record;
	struct link chain[FORKS_MAX];
	size_t count;
	yyjson_mut_val *points;
	const struct link *link; /* the one whose points come */
	double upto;
	int64_t left;
};

static int note_tag(void *context, const char *name, const char *value)
{
	struct link *link = context;
	int64_t scale;
	if (strcmp(name, "sluice.step_scale") == 0 && sl_str_int(value, &scale) && scale > 0)
		link->scale = scale;
	else if (strcmp(name, "sluice.fork.run") == 0 && strlen(value) == SL_ID_HEX)
		memcpy(link->fork_of, value, SL_ID_HEX);
	else if (strcmp(name, "sluice.fork.step") == 0 && !sl_str_double(value, &link->fork_step))
		link->fork_step = INFINITY;
	return 0;
}

/* From the run back to what nothing was before; a fork of what is not here begins with itself. */
static int read_chain(struct reading *r, const char *id, struct sl_error *err)
{
	bool own = sl_call_flag(r->call, "own");
	while (r->count < FORKS_MAX) {
		struct link *link = &r->chain[r->count];
		struct sl_error why = {0};
		*link = (struct link){.scale = 1, .fork_step = INFINITY};
		int rc = sl_rec_run_get(&r->record, id, r->call->arena, &link->run, &why);
		if (rc == SL_E_NOT_FOUND && r->count)
			return 0;
		if (rc) {
			*err = why;
			return rc;
		}
		rc = sl_rec_tags(&r->record, link->run.num, note_tag, link, err);
		r->count++;
		if (rc || own || !*link->fork_of)
			return rc;
		id = link->fork_of;
	}
	return sl_fail(err, SL_E_TOO_LARGE, "run %s is the end of more than %d forks", r->chain[0].run.id, FORKS_MAX);
}

static int put_point(void *context, const struct sl_rec_point *point)
{
	struct reading *r = context;
	double step = (double)point->step / (double)r->link->scale;
	if (step > r->upto || r->left == 0)
		return 0;
	yyjson_mut_val *item = sl_add_object(r->call, r->points);
	yyjson_mut_obj_add_real(r->call->doc, item, "step", step);
	if (isnan(point->value))
		sl_put_text(r->call, item, "value", "NaN");
	else
		yyjson_mut_obj_add_real(r->call->doc, item, "value", point->value);
	sl_put_int(r->call, item, "time_ms", point->time_ms);
	sl_put_text(r->call, item, "run", r->link->run.id);
	r->left--;
	return 0;
}

/* One run's points up to the step behind which the next one of the chain goes on; one more than asked for, to tell that there are more. */
static int read_link(struct reading *r, size_t i, const char *metric, struct sl_error *err)
{
	struct sl_rec_cursor cursor = {0};
	int64_t series;
	r->link = &r->chain[i];
	r->upto = INFINITY;
	for (size_t later = 0; later < i; later++)
		r->upto = fmin(r->upto, r->chain[later].fork_step);
	int rc = sl_rec_series(&r->record, r->link->run.num, metric, &series, err);
	while (!rc && series && r->left > 0) {
		int64_t wanted = r->left, n = sl_rec_history(&r->record, series, metric, &cursor, wanted, put_point, r, err);
		if (n < wanted)
			return n < 0 ? (int)n : 0;
	}
	return rc;
}

int sl_op_history(struct sl_call *call, struct sl_error *err)
{
	struct reading *r = sl_arena_alloc(call->arena, sizeof *r);
	const char *metric = sl_call_text(call, "metric");
	struct sl_store *store;
	if (!r)
		return sl_fail_memory(err);
	int rc = sl_call_store(call, &store, err);
	if (rc)
		return rc;
	*r = (struct reading){.call = call, .record = {.meta = store->meta, .artifact_root = ""}, .left = sl_call_int(call, "limit") + 1};
	rc = read_chain(r, sl_call_text(call, "run"), err);
	if (rc)
		return rc;
	yyjson_mut_val *result = sl_call_object(call);
	sl_put_text(call, result, "run", r->chain[0].run.id);
	sl_put_text(call, result, "metric", metric);
	r->points = sl_put_array(call, result, "points");
	for (size_t i = r->count; !rc && i-- > 0;)
		rc = read_link(r, i, metric, err);
	sl_put_bool(call, result, "truncated", r->left == 0);
	if (!rc && r->left == 0)
		yyjson_mut_arr_remove_last(r->points);
	if (!rc && !yyjson_mut_arr_size(r->points))
		return sl_fail(err, SL_E_NOT_FOUND, "run %s has no points of a metric '%.250s'", r->chain[0].run.id, metric);
	return rc;
}
