/* Webhooks: addresses that are told of events of the registry, as MLflow tells them.
 *
 *      change of the registry --same transaction--> a row of webhook_delivery for each webhook that listens
 *      the sender (mlflow/webhook_sender.h) --claims what is due, sends, records the end; what failed is due again later
 *
 * So an event is told exactly when its change happened, also when the server dies in between; a delivery may come twice (its id is the
 * same then). Secrets are sealed with a key that lies beside the database and not in it, and are never answered.
 */
#ifndef SL_RECORD_WEBHOOK_H
#define SL_RECORD_WEBHOOK_H

#include "record/record.h"

enum {
	SL_WEBHOOKS_MAX = 1000,
	SL_WEBHOOK_NAME_MAX = 63, SL_WEBHOOK_URL_MAX = 2048, SL_WEBHOOK_DESCRIPTION_MAX = 1000, SL_WEBHOOK_SECRET_MAX = 1000,
	SL_WEBHOOK_EVENTS = 14,
	SL_WEBHOOK_WAITING_MAX = 10000,  /* of one webhook; beyond, further events are not told it */
	SL_WEBHOOK_KEPT = 1000,          /* deliveries of one webhook that have ended */
	SL_WEBHOOK_TRIES_MAX = 10,
	SL_WEBHOOK_PAGE_MAX = 1000,
	SL_WEBHOOK_LEASE_MS = 120000,    /* that a sender has a delivery for itself */
};

/* Entity and action as they are sent; in requests and answers they are in capitals. */
struct sl_webhook_event { const char *entity, *action; };
/* One of the registry's, or NULL. Either case. */
const struct sl_webhook_event *sl_webhook_event_of(const char *entity, const char *action);

struct sl_webhook {
	int64_t num, created_ms, updated_ms;
	const char *id, *name, *url, *description, *status; /* in the arena that was given; status ACTIVE or DISABLED */
	const struct sl_webhook_event *events[SL_WEBHOOK_EVENTS];
	size_t event_count;
};

/* What may be said of a webhook. In an update NULL leaves a member as it is, and no events leave the events. */
struct sl_webhook_said {
	const char *name, *url, *description, *status;
	const char *secret;              /* "": none from now on */
	const struct sl_webhook_event *const *events;
	size_t event_count;
};
/* `store_dir`: where the key is (key/webhook, made when it is missing). The URL is the caller's to check. */
int sl_webhook_create(struct sl_record *record, const char *store_dir, const struct sl_webhook_said *said, struct sl_arena *arena,
	struct sl_webhook *ret, struct sl_error *err);
/* SL_E_NOT_FOUND "Webhook with ID ... not found." */
int sl_webhook_get(struct sl_record *record, const char *id, struct sl_arena *arena, struct sl_webhook *ret, struct sl_error *err);
int sl_webhook_update(struct sl_record *record, const char *store_dir, struct sl_webhook *webhook, const struct sl_webhook_said *said,
	struct sl_arena *arena, struct sl_error *err);
/* What waits for it is not sent any more. */
int sl_webhook_delete(struct sl_record *record, const struct sl_webhook *webhook, struct sl_error *err);
/* The newest first; `below` (0: from the first) is the number of the last of the page before. At most `max`. */
int sl_webhooks_list(struct sl_record *record, int64_t below, int64_t max, struct sl_arena *arena, struct sl_webhook **ret, size_t *ret_count,
	struct sl_error *err);
/* The secret, or NULL when it has none. The caller wipes it. */
int sl_webhook_secret(struct sl_record *record, const char *store_dir, const struct sl_webhook *webhook, struct sl_arena *arena, char **ret,
	struct sl_error *err);

/* ---- events and deliveries ---- */

/* {"entity","action","timestamp","data"} in the arena; `data` is a JSON object. */
int sl_webhook_body(const struct sl_webhook_event *event, const char *data, struct sl_arena *arena, const char **ret, struct sl_error *err);
/* Inside the transaction of what happened. *ret_count: how many are to be told. */
int sl_webhooks_tell(struct sl_record *record, const struct sl_webhook_event *event, const char *data, struct sl_arena *arena,
	size_t *ret_count, struct sl_error *err);

struct sl_webhook_delivery {
	int64_t num, tries;              /* tries: with this one */
	const char *id, *body, *url, *secret; /* secret NULL: not signed; all in the arena */
};
/* Takes the next one that is due, for SL_WEBHOOK_LEASE_MS. A transaction of its own. 1 and filled, or 0 with *ret_due_ms when the next
 * will be (INT64_MAX: none waits). */
int sl_webhook_claim(struct sl_record *record, const char *store_dir, struct sl_arena *arena, struct sl_webhook_delivery *ret,
	int64_t *ret_due_ms, struct sl_error *err);
/* How a try ended. A delivery that failed waits `again_ms` for its next one, or has failed when that is 0. In the ledger when it has ended. A transaction of
 * its own. */
struct sl_webhook_outcome { int64_t num; bool delivered; int64_t again_ms, http_status; const char *problem; };
int sl_webhook_record(struct sl_record *record, const struct sl_webhook_outcome *outcome, struct sl_error *err);

#endif
