/* One request to MLflow's protocol on its way: arguments in, JSON or an error out.
 *
 * Arguments come as JSON members (POST, PUT, PATCH, DELETE) or as query parameters (GET); a handler does not see which. Numbers
 * and bools may be written as strings, as R's client does; unknown members are ignored; an empty text counts as absent, as in
 * protobuf. Errors have MLflow's texts and codes, so that its clients' own error classes come out.
 */
#ifndef SL_MLFLOW_CALL_H
#define SL_MLFLOW_CALL_H

#include "base/json.h"
#include "net/http_server.h"
#include "op/access.h"
#include "record/record.h"
#include "track/store.h"

enum { SL_ML_PARTS_MAX = 4, SL_ML_ANSWER_MAX = 256 << 20 };

struct sl_mlflow;
struct sl_ml_route;

struct sl_ml_call {
	struct sl_mlflow *server;
	struct sl_http_request *request;
	const struct sl_ml_route *route;
	const char *parts[SL_ML_PARTS_MAX]; /* what the route's {...} matched, decoded */
	struct sl_arena *arena;        /* the request's */
	struct sl_caller caller;       /* for the ledger */
	struct sl_record record;       /* over `store`: in a write its open transaction, else a committed state */
	struct sl_store *store;
	struct sl_buf out;             /* the answer's JSON */
	struct sl_error error;
	const char *error_code;        /* MLflow's, when the error's own code says too little; a literal */
	const char *answer_type;       /* of the answer, when it is not the route's; a literal. An empty one then stays empty */
	int status;                    /* of an error, when it is not the usual one of its code; 0 */
	void *own;                     /* of a handler of kind OWN */
	/* Of call.c. */
	yyjson_doc *doc;
	yyjson_val *body;              /* an object, or NULL in a GET */
	struct sl_http_param *params;
	size_t param_count;
	struct sl_ml_call *next;       /* in the group that is being committed */
};

/* Reads query or body. SL_E_INVALID. */
int sl_ml_call_read(struct sl_ml_call *call, struct sl_error *err);
void sl_ml_call_done(struct sl_ml_call *call);

/* ---- arguments ---- */

bool sl_ml_has(const struct sl_ml_call *call, const char *name);
/* *ret is NULL when it is absent (or empty). SL_E_INVALID: it is not a text; the text of the error is MLflow's. */
int sl_ml_text(struct sl_ml_call *call, const char *name, const char **ret, struct sl_error *err);
/* SL_E_INVALID "Missing value for required parameter 'x'. ..." when it is absent. */
int sl_ml_need(struct sl_ml_call *call, const char *name, const char **ret, struct sl_error *err);
/* run_id, or its old name run_uuid. */
int sl_ml_need_run(struct sl_ml_call *call, const char **ret, struct sl_error *err);
/* 1: it is there and in *ret; 0: absent, *ret is `fallback`. */
int sl_ml_int(struct sl_ml_call *call, const char *name, int64_t fallback, int64_t *ret, struct sl_error *err);
int sl_ml_bool(struct sl_ml_call *call, const char *name, bool fallback, bool *ret, struct sl_error *err);
/* Every value of a list of texts (GET: the parameter, repeated). */
int sl_ml_texts(struct sl_ml_call *call, const char *name, const char ***ret, size_t *ret_count, struct sl_error *err);
/* A list of objects in a body; NULL when absent. SL_E_INVALID when it is something else. */
int sl_ml_list(struct sl_ml_call *call, const char *name, yyjson_val **ret, struct sl_error *err);
/* [{"key","value"}...]; a missing value is "". The key is required. */
int sl_ml_pairs(struct sl_ml_call *call, const char *name, struct sl_pair **ret, size_t *ret_count, struct sl_error *err);

/* The same for a member of an object in a list; `path` names the object in errors: "metrics[3]". Numbers may be texts: "NaN",
 * "Infinity", "12". 1, 0 as sl_ml_int. */
int sl_ml_member_int(yyjson_val *object, const char *path, const char *name, int64_t fallback, int64_t *ret, struct sl_error *err);
int sl_ml_member_double(yyjson_val *object, const char *path, const char *name, double *ret, struct sl_error *err);
/* The member as text, a number or bool in its JSON form (in the arena); NULL when absent or not a scalar. */
const char *sl_ml_member_text(yyjson_val *object, const char *name, struct sl_arena *arena);

/* SL_E_INVALID "Missing value for required parameter '<name>'. See the API docs ..." */
int sl_ml_missing(const char *name, struct sl_error *err);
/* What the ledger keeps of this request. */
struct sl_change sl_ml_change(const struct sl_ml_call *call, const char *action);

/* ---- answers ---- */

/* A member of the object being written: comma if needed, "name":value. */
void sl_ml_put_text(struct sl_buf *out, const char *name, const char *value);
void sl_ml_put_int(struct sl_buf *out, const char *name, int64_t value);
void sl_ml_add_int(struct sl_buf *out, int64_t value); /* only the number */
/* NaN as "NaN", as MLflow writes it. */
void sl_ml_put_double(struct sl_buf *out, const char *name, double value);
void sl_ml_put_bool(struct sl_buf *out, const char *name, bool value);
/* "name":[ or "name":{, to be closed by the caller. */
void sl_ml_open(struct sl_buf *out, const char *name, char bracket);
/* A comma unless something was just opened. */
void sl_ml_comma(struct sl_buf *out);

/* MLflow's body of an error, and its HTTP status. `code` NULL: what belongs to error->code. */
int sl_ml_error_body(const struct sl_error *error, const char *code, struct sl_buf *out);

#endif
