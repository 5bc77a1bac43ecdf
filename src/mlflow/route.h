/* The table of everything that MLflow's protocol has here: method, path, permission, handler. What is not in it does not exist,
 * and what has no permission in it is refused.
 *
 * A path is served below /api/<version> and /ajax-api/<version>, as MLflow does; "{}" matches one segment, a "{*}" at the end the
 * rest with its slashes. */
#ifndef SL_MLFLOW_ROUTE_H
#define SL_MLFLOW_ROUTE_H

#include "mlflow/call.h"
#include "net/http.h"
#include "op/op.h"

/* In place of a permission (op/op.h), for what whoever reaches the address may ask: health, version. VIEW looks, RUN logs, EDIT
 * deletes and changes the registry. NONE is refused. */
#define SL_ML_OPEN SL_PERMIT_COUNT

/* How a handler runs:
 *   READ   at once, on the loop, over a handle that sees what is committed: point look-ups of microseconds
 *   SLOW   likewise on a pool thread: what walks
 *   WRITE  on the loop in the transaction that all writes of this turn share; answered when that is on disk
 *   RAW    as WRITE, with a body of any type, which the handler reads itself
 *   LATER  as OWN, begun with the whole body, which `start` reads with sl_ml_call_read
 *   OWN    start() has the request before its body and answers by itself: streams; `handler`, if any, is for sl_mlflow_write */
enum sl_ml_kind { SL_ML_READ, SL_ML_SLOW, SL_ML_WRITE, SL_ML_RAW, SL_ML_LATER, SL_ML_OWN };

/* 0 with call->out filled (empty counts as {}), or an error. */
typedef int sl_ml_handler(struct sl_ml_call *call, struct sl_error *err);

enum { SL_ML_ANY_PREFIX = 0, SL_ML_V2 = 2, SL_ML_V3 = 3 };
struct sl_ml_route {
	int version;               /* SL_ML_V2, SL_ML_V3; 0: the path stands as it is, without a prefix */
	enum sl_http_method method;
	const char *path;
	enum sl_permission permit;
	enum sl_ml_kind kind;
	sl_ml_handler *handler;    /* of READ, SLOW, WRITE, and of OWN that writes */
	void (*start)(struct sl_ml_call *call); /* of OWN and LATER: finishes call->request, then sl_mlflow_call_free */
	const char *content_type;  /* of the answer; NULL: application/json */
};

/* Each part of the face lists its own; ends with a NULL path. */
extern const struct sl_ml_route sl_ml_routes_about[], sl_ml_routes_experiments[], sl_ml_routes_runs[], sl_ml_routes_metrics[],
	sl_ml_routes_search[];
extern const struct sl_ml_route sl_ml_routes_artifacts[], sl_ml_routes_upload[], sl_ml_routes_download[], sl_ml_routes_archive[],
	sl_ml_routes_logged[], sl_ml_routes_registered[], sl_ml_routes_versions[];
extern const struct sl_ml_route sl_ml_routes_traces[], sl_ml_routes_trace_get[], sl_ml_routes_traces_v2[], sl_ml_routes_assessments[],
	sl_ml_routes_otlp[], sl_ml_routes_webhooks[], sl_ml_routes_datasets[];

/* The route of a request, and what its "{}" matched (in the arena); NULL when there is none. HEAD counts as GET. */
const struct sl_ml_route *sl_ml_route_find(enum sl_http_method method, const char *path, struct sl_arena *arena,
	const char *parts[SL_ML_PARTS_MAX]);
/* True for a path that belongs to this face, served or not: another role's requests are handed over by it. */
bool sl_ml_is_path(const char *path);

#endif
