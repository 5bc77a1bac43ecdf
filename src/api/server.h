/* HTTP face of one project: /api/v1 from the operation table, pages, /health, /metrics. Lives in the role `api`.
 *
 *   request --loop thread--> route, permission, arguments --> job --pool thread--> operation --> answer --loop thread--> client
 *
 * Operations may block, so they run on the loop's pool (4 threads), each with a store of its own; the store is kept for the next
 * one. At most SL_API_JOBS_MAX wait or run; beyond that a request gets 503. Paths of the other role are handed over to it with
 * their connection. Every refusal for want of permission is a ledger entry, at most one a second, with the number left out. */
#ifndef SL_API_SERVER_H
#define SL_API_SERVER_H

#include "base/error.h"
#include "net/http_server.h"
#include "net/loop.h"

enum { SL_API_JOBS_MAX = 64, SL_API_BODY_BYTES = 16 << 20 };

struct sl_api_options {
	const char *project_dir, *store_dir, *project_name; /* outlive the server */
	const char *const *hosts;                           /* see sl_http_config; borrowed for sl_api_new */
	size_t host_count;
	bool require_token;                                 /* also for looking: op/access.h */
	int listen_fd;                                      /* ours from now on */
	const char *adopt_socket;                           /* where other roles hand connections to us */
	const char *infer_socket;                           /* of the role that answers predictions; NULL: none */
	bool (*is_infer_path)(const char *path);            /* which paths those are */
	const char *mlflow_socket;                          /* of the role that speaks MLflow's protocol; NULL: none */
	bool (*is_mlflow_path)(const char *path);
};

struct sl_api;
int sl_api_new(struct sl_loop *loop, const struct sl_api_options *options, struct sl_api **ret, struct sl_error *err);
/* Answers what is under way, then calls `done`. */
void sl_api_drain(struct sl_api *api, int64_t deadline_ms, sl_loop_fn *done, void *context);
void sl_api_free(struct sl_api *api); /* after the loop has ended */

#endif
