/* MLflow's tracking server: its REST protocol over a store, for its unmodified clients. Speaks as MLflow SL_MLFLOW_VERSION does.
 *
 *      requests of one turn of the loop --> handlers, one after the other --> one commit (fdatasync) --> their answers
 *
 * One thread. Writes that arrive while a commit is under way wait in their sockets and share the next one; each has a mark in
 * the transaction, so that what fails is taken back alone, and none is answered before the commit. Reads see what is
 * committed: point look-ups run at once over a second handle, searches on pool threads over handles of their own. No lock, no
 * queue, no hand-over between threads is in the way of a log-metric.
 */
#ifndef SL_MLFLOW_SERVER_H
#define SL_MLFLOW_SERVER_H

#include "mlflow/call.h"
#include "mlflow/webhook_sender.h"
#include "net/http_server.h"
#include "net/loop.h"
#include "track/store.h"

#define SL_MLFLOW_VERSION "3.17.2"

struct sl_mlflow_options {
	const char *project_dir;       /* whose .sluice is the store; these texts are copied */
	const char *artifact_root;     /* where experiments' artifacts lie, as clients see it; NULL: "mlflow-artifacts:/" */
	const char *artifacts_destination; /* where the proxy puts them; NULL: the store's objects */
	int listen_fd;                 /* ours from now on; -1: none */
	const char *adopt_socket;      /* where other roles hand connections to us; NULL: nowhere */
	const char *api_socket;        /* of the role that answers the other paths; NULL: those are 404 */
	bool require_token;            /* else whoever reaches the address, which then is loopback, may do all, as with MLflow */
	bool send_webhooks;            /* from here; else what they are told waits for a process that does */
	struct sl_ml_webhook_policy webhooks;
	const char *const *hosts;      /* further Host headers that are ours */
	size_t host_count;
};

int sl_mlflow_new(struct sl_loop *loop, const struct sl_mlflow_options *options, struct sl_mlflow **ret, struct sl_error *err);
/* Answers what is under way, then calls `done`. */
void sl_mlflow_drain(struct sl_mlflow *mlflow, int64_t deadline_ms, sl_loop_fn *done, void *context);
void sl_mlflow_free(struct sl_mlflow *mlflow); /* after the loop has ended; NULL is fine */
/* For a caller that listens by itself. */
struct sl_http_server *sl_mlflow_http(struct sl_mlflow *mlflow);

/* True for paths that are answered here. */
bool sl_mlflow_is_path(const char *path);

/* ---- for handlers ---- */

struct sl_ml_adopter;
struct sl_ml_adopter *sl_mlflow_adopter(struct sl_mlflow *mlflow);

const struct sl_mlflow_options *sl_mlflow_options(const struct sl_mlflow *mlflow);
struct sl_ml_sender *sl_mlflow_sender(const struct sl_mlflow *mlflow); /* NULL: webhooks are not sent from here */
struct sl_loop *sl_mlflow_loop(const struct sl_mlflow *mlflow);
/* A call of kind OWN that has finished its request. */
void sl_mlflow_call_free(struct sl_ml_call *call);
/* Answers with call->out and frees the call; for handlers of kind OWN. */
void sl_mlflow_answer(struct sl_ml_call *call);
/* Answers with the error as MLflow words it and frees the call; for handlers of kind OWN. */
void sl_mlflow_refuse(struct sl_ml_call *call, const struct sl_error *error);
/* Runs `work` on a pool thread with call->store lent to it, then `done` on the loop; the call stays whole. For kind OWN. */
typedef void sl_ml_step(struct sl_ml_call *call);
int sl_mlflow_work(struct sl_ml_call *call, sl_ml_step *work, sl_ml_step *done, struct sl_error *err);
/* Runs call->route->handler as that of a WRITE, and answers when what it did is on disk. For kind OWN, on the loop. */
void sl_mlflow_write(struct sl_ml_call *call);

#endif
