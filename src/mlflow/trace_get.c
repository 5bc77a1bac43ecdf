/* GET /mlflow/traces/get of version 3: a trace with its spans. Clients send spans from a thread of their own, so one that has just ended may not be
 * whole yet: as MLflow does, the answer waits a moment for the rest. */
#include <string.h>

#include "mlflow/route.h"
#include "mlflow/server.h"
#include "mlflow/trace_json.h"

enum { WAIT_MS = 3000, LOOK_EVERY_MS = 100 };

struct waiting {
	const char *id;
	bool partial;
	int64_t until_ms;
	struct sl_timer *timer;
};

/* With the answer in call->out; *ret_whole false: it is not all here yet. */
static int look(struct sl_ml_call *call, const struct waiting *w, bool *ret_whole, struct sl_error *err)
{
	struct sl_trace trace;
	int rc = sl_meta_begin_read(call->store->meta, err);
	if (rc)
		return rc;
	rc = sl_trace_get(&call->record, w->id, call->arena, &trace, err);
	rc = rc ? rc : sl_ml_trace_is_whole(call, &trace, ret_whole, err);
	if (!rc && (*ret_whole || w->partial)) {
		sl_buf_str(&call->out, "{\"trace\":");
		rc = sl_ml_write_trace(call, &trace, err);
		sl_buf_char(&call->out, '}');
		*ret_whole = true;
	}
	sl_meta_end_read(call->store->meta);
	return rc;
}

static void look_again(void *context)
{
	struct sl_ml_call *call = context;
	struct waiting *w = call->own;
	struct sl_error err = {0};
	bool whole = false;
	int rc = look(call, w, &whole, &err);
	if (!rc && !whole && sl_loop_now_ms(sl_mlflow_loop(call->server)) >= w->until_ms)
		rc = sl_fail(&err, SL_E_NOT_FOUND, "Trace with ID %.200s is not fully exported yet, please try again later.", w->id);
	if (!rc && !whole && !sl_http_request_gone(call->request)) {
		sl_timer_start(w->timer, LOOK_EVERY_MS, 0);
		return;
	}
	sl_timer_free(w->timer);
	if (rc)
		sl_mlflow_refuse(call, &err);
	else
		sl_mlflow_answer(call);
}

static int begin(struct sl_ml_call *call, struct sl_error *err)
{
	struct waiting *w = sl_arena_alloc(call->arena, sizeof *w);
	struct sl_loop *loop = sl_mlflow_loop(call->server);
	int rc = w ? sl_ml_call_read(call, err) : sl_fail_memory(err);
	rc = rc ? rc : sl_ml_need(call, "trace_id", &w->id, err);
	rc = rc ? rc : sl_ml_bool(call, "allow_partial", false, &w->partial, err);
	if (rc)
		return rc;
	call->own = w;
	w->until_ms = sl_loop_now_ms(loop) + WAIT_MS;
	return sl_timer_new(loop, look_again, call, &w->timer, err);
}

static void get(struct sl_ml_call *call)
{
	struct sl_error err = {0};
	if (begin(call, &err))
		sl_mlflow_refuse(call, &err);
	else
		look_again(call);
}

const struct sl_ml_route sl_ml_routes_trace_get[] = {
	{SL_ML_V3, SL_HTTP_GET, "/mlflow/traces/get", SL_PERMIT_VIEW, SL_ML_OWN, NULL, get, NULL},
	{0},
};
