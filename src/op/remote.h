/* Another tracking server that speaks MLflow's REST protocol, asked one thing at a time: for `import mlflow URL` and `export mlflow URL`.
 *
 * Who we are is what MLflow's own client takes: MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, from the
 * environment. A busy or unreachable server is asked again, SL_REMOTE_TRIES times with growing pauses; redirects are not followed, since secrets go along. */
#ifndef SL_OP_REMOTE_H
#define SL_OP_REMOTE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"

enum { SL_REMOTE_TRIES = 5, SL_REMOTE_ANSWER_MAX = 256 << 20, SL_REMOTE_URL_MAX = 16384 };

struct sl_remote;
/* `url`: "http://host:5000" or with a path before "/api". SL_E_INVALID: no http(s) address. Nothing is asked yet. */
int sl_remote_open(const char *url, struct sl_remote **ret, struct sl_error *err);
void sl_remote_close(struct sl_remote *remote); /* NULL is fine */
void sl_remote_closep(struct sl_remote **remote);

/* `path` is below the server's address, with its query ("/api/2.0/mlflow/runs/get?run_id=..."). An answer other than 2xx is an error with the
 * server's words: SL_E_NOT_FOUND (404), SL_E_CONFLICT (RESOURCE_ALREADY_EXISTS), SL_E_DENIED (401, 403), SL_E_IO (5xx), else SL_E_INVALID.
 * *ret is the answer's JSON, the caller's; NULL when it is empty. */
int sl_remote_get(struct sl_remote *remote, const char *path, yyjson_doc **ret, struct sl_error *err);
/* `method`: "POST", "PATCH" or "DELETE". *ret as above; `ret` may be NULL. */
int sl_remote_send(struct sl_remote *remote, const char *method, const char *path, const char *json, size_t len, yyjson_doc **ret,
	struct sl_error *err);
/* The body into `fd`, from its beginning, in constant memory. */
int sl_remote_download(struct sl_remote *remote, const char *path, int fd, struct sl_error *err);
/* PUT of the file's bytes from `fd`, in constant memory. */
int sl_remote_upload(struct sl_remote *remote, const char *path, int fd, uint64_t size_bytes, struct sl_error *err);

/* Appends `text` percent-encoded for a query, or (`slashes`) for a path whose slashes stay. */
void sl_remote_encode(struct sl_buf *out, const char *text, bool slashes);

#endif
