/* HTTP face of the endpoints: /v2 (Open Inference Protocol, REST) and /invocations (MLflow scoring). Lives in the role `infer`, and in
 * `sluice serve`.
 *
 *   request --> endpoint, version --> rows --> sl_predict (encode, trees, log) --> answer
 *
 * On the loop's thread, one after the other; but a body of 128 KiB or more is read and computed by a pool of threads, and so are graphs,
 * unless they are known to be quick, and explanations, so that small requests do not wait for them (oip/work.h). Each request holds the one
 * version that answers it, so a promotion meanwhile cannot mix into an answer.
 * Other paths are handed over, with their connection, to the role `api`.
 *
 * Limits: body 64 MiB, JSON 100 deep and 256 MiB in memory, 100,000 rows and 4 million values per request.
 */
#ifndef SL_OIP_SERVER_H
#define SL_OIP_SERVER_H

#include "net/http_server.h"
#include "net/loop.h"
#include "project/project.h"
#include "serve/endpoint.h"
#include "track/store.h"

struct sl_oip_options {
	struct sl_store *store;             /* these outlive the server */
	const struct sl_project *project;
	const struct sl_serving_files *files; /* serve these instead: then store and project are NULL. Borrowed for sl_oip_new */
	bool control;                       /* clients may load and unload models */
	bool explain;                       /* every endpoint explains, whatever it says itself */
	const char *const *hosts;           /* see sl_http_config; borrowed for sl_oip_new */
	size_t host_count;
	const char *traces;                 /* collector that spans are sent to, a URL; NULL or "": nothing is traced */
	double traces_ratio;                /* of the requests that say nothing about it themselves */
	bool require_token;                 /* predictions need a token with the permission predict (op/access.h) */
	int listen_fd;                      /* ours from now on; -1: none */
	bool grpc;                          /* gRPC is served: on listen_fd too (HTTP/2 is told by its first bytes), and */
	int grpc_fd;                        /* on this one; ours from now on; -1: none */
	const char *adopt_socket;           /* where other roles hand connections to us; NULL: nowhere */
	const char *api_socket;             /* of the role that answers the other paths; NULL: those are 404 */
};

struct sl_oip;
int sl_oip_new(struct sl_loop *loop, const struct sl_oip_options *options, struct sl_oip **ret, struct sl_error *err);
/* Answers what is under way, then calls `done`. */
void sl_oip_drain(struct sl_oip *oip, int64_t deadline_ms, sl_loop_fn *done, void *context);
void sl_oip_free(struct sl_oip *oip); /* after the loop has ended; NULL is fine */

/* True for paths that are answered here: /v2..., /v1... (but not /v1/traces), /invocations, /ping, /version, /endpoints/NAME/invocations. */
bool sl_oip_is_path(const char *path);

#endif
