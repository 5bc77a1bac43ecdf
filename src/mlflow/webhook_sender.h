/* Sends what waits for webhooks (record/webhook.h): the network on the loop, the database on pool threads.
 *
 *      a commit with an event --ring--> claim one (pool) --> POST (loop) --> record how it ended (pool) --> claim the next ...
 *
 * Headers and signature are MLflow's (mlflow/webhooks/delivery.py): X-MLflow-Delivery-Id, X-MLflow-Timestamp (seconds), and X-MLflow-Signature:
 * v1, and base 64 of HMAC-SHA256 over "id.timestamp.body". A try that found nobody, or 429, 500, 502, 503, 504, is made again after 1 s, 2 s, 4 s
 * ... (10 min at most, or what Retry-After says), SL_WEBHOOK_TRIES_MAX in all; every other answer ends it. Redirects are not followed. An address is checked when it
 * is connected to, behind the name look-up.
 */
#ifndef SL_MLFLOW_WEBHOOK_SENDER_H
#define SL_MLFLOW_WEBHOOK_SENDER_H

#include "net/http_client.h"
#include "net/loop.h"
#include "track/pool.h"

enum { SL_ML_SENDING_MAX = 8, SL_ML_WEBHOOK_ANSWER_MAX = 64 << 10 };

struct sl_ml_webhook_policy {
	bool plain;                      /* http:// too, not only https:// */
	bool private;                    /* also addresses that are not public: loopback, private, link-local */
};
/* By the variables that MLflow's server has for it: MLFLOW_WEBHOOK_ALLOWED_SCHEMES (a list with "http"), MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS (true). */
struct sl_ml_webhook_policy sl_ml_webhook_policy_of_environment(void);
/* Whether such a URL may be a webhook's, as far as it tells without asking for its name. SL_E_INVALID with MLflow's text. */
int sl_ml_webhook_check_url(const struct sl_ml_webhook_policy *policy, const char *url, struct sl_error *err);

struct sl_ml_sender;
/* Borrows loop and pool. */
int sl_ml_sender_new(struct sl_loop *loop, struct sl_store_pool *pool, const struct sl_ml_webhook_policy *policy, struct sl_ml_sender **ret,
	struct sl_error *err);
/* What is under way is due again at once, for the next process. NULL is fine. */
void sl_ml_sender_free(struct sl_ml_sender *sender);
/* Something is due, once this turn is committed. */
void sl_ml_sender_ring(struct sl_ml_sender *sender);
/* One POST; `done` is called once, as sl_http_client_start says. `secret` NULL: not signed. */
int sl_ml_sender_post(struct sl_ml_sender *sender, const char *url, const char *secret, const char *id, const char *body, sl_http_done_fn *done,
	void *context, struct sl_error *err);

#endif
