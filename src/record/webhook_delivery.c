/* Events on their way to webhooks. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/time.h"
#include "os/clock.h"
#include "record/webhook_internal.h"

static int from_rows(int64_t rows) { return rows < 0 ? (int)rows : 0; }

/* ---- telling -------------------------------------------------------------------------------------------------------- */

int sl_webhook_body(const struct sl_webhook_event *event, const char *data, struct sl_arena *arena, const char **ret, struct sl_error *err)
{
	char text[SL_TIME_TEXT];
	*ret = sl_arena_printf(arena, "{\"entity\": \"%s\", \"action\": \"%s\", \"timestamp\": \"%s\", \"data\": %s}", event->entity, event->action,
		sl_time_format(sl_now_ms(), text), data);
	return *ret ? 0 : sl_fail_memory(err);
}

/* Those that listen to the event and can be told, in the arena. */
static int read_listeners(struct sl_record *record, const struct sl_webhook_event *event, struct sl_arena *arena, int64_t **ret,
	size_t *ret_count, struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	*ret = NULL;
	*ret_count = 0;
	int rc = sl_meta_query(record->meta, &row, err,
		"SELECT e.webhook FROM webhook_event e JOIN webhook w ON w.num = e.webhook WHERE e.entity = ?1 AND e.action = ?2 AND w.deleted = 0 "
		"AND w.status = 'ACTIVE' AND (SELECT count(*) FROM webhook_delivery d WHERE d.webhook = w.num AND d.state = 'waiting') < ?3", "ssi",
		event->entity, event->action, (int64_t)SL_WEBHOOK_WAITING_MAX);
	while (!rc && *ret_count < SL_WEBHOOKS_MAX && (rc = sl_stmt_step(row, err)) == 1) {
		if (!*ret)
			*ret = sl_arena_array(arena, SL_WEBHOOKS_MAX, sizeof **ret);
		if (!*ret)
			return sl_fail_memory(err);
		(*ret)[(*ret_count)++] = sl_stmt_int(row, 0);
		rc = 0;
	}
	return rc;
}

static int add(struct sl_record *record, int64_t webhook, const struct sl_webhook_event *event, const char *body, struct sl_arena *arena,
	struct sl_error *err)
{
	const char *id;
	int64_t now = sl_now_ms();
	int rc = sl_webhook_new_id(arena, &id, err);
	return rc ? rc : from_rows(sl_meta_exec(record->meta, err,
		"INSERT INTO webhook_delivery(id, webhook, entity, action, body, state, due_ms, created_ms) VALUES (?1, ?2, ?3, ?4, ?5, 'waiting', "
		"?6, ?6)", "sisssi", id, webhook, event->entity, event->action, body, now));
}

int sl_webhooks_tell(struct sl_record *record, const struct sl_webhook_event *event, const char *data, struct sl_arena *arena,
	size_t *ret_count, struct sl_error *err)
{
	int64_t *listeners;
	const char *body;
	assert(sl_meta_in_transaction(record->meta));
	int rc = read_listeners(record, event, arena, &listeners, ret_count, err);
	if (rc || !*ret_count)
		return rc;
	rc = sl_webhook_body(event, data, arena, &body, err);
	for (size_t i = 0; !rc && i < *ret_count; i++)
		rc = add(record, listeners[i], event, body, arena, err);
	return rc;
}

/* ---- sending -------------------------------------------------------------------------------------------------------- */

static int next_due(struct sl_record *record, int64_t *ret_due_ms, struct sl_error *err)
{
	return sl_meta_int(record->meta, INT64_MAX, ret_due_ms, err, "SELECT min(due_ms) FROM webhook_delivery WHERE state = 'waiting'", NULL);
}

/* The columns of the first that is due into *ret. 1, or 0 when none is. */
static int read_due(struct sl_record *record, const char *store_dir, int64_t now, struct sl_arena *arena, struct sl_webhook_delivery *ret,
	struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	size_t len = 0;
	char *secret;
	int rc = sl_meta_query(record->meta, &row, err,
		"SELECT d.num, d.tries, d.id, d.body, w.url, w.id, w.secret FROM webhook_delivery d JOIN webhook w ON w.num = d.webhook WHERE d.state "
		"= 'waiting' AND d.due_ms <= ?1 ORDER BY d.due_ms, d.num LIMIT 1", "i", now);
	rc = rc ? rc : sl_stmt_step(row, err);
	if (rc != 1)
		return rc;
	*ret = (struct sl_webhook_delivery){.num = sl_stmt_int(row, 0), .tries = sl_stmt_int(row, 1) + 1,
		.id = sl_arena_strdup(arena, sl_stmt_text(row, 2)), .body = sl_arena_strdup(arena, sl_stmt_text(row, 3)),
		.url = sl_arena_strdup(arena, sl_stmt_text(row, 4))};
	if (!ret->id || !ret->body || !ret->url)
		return sl_fail_memory(err);
	const void *sealed = sl_stmt_null(row, 6) ? NULL : sl_stmt_blob(row, 6, &len);
	rc = sl_webhook_unseal(store_dir, sl_stmt_text(row, 5), sealed, len, arena, &secret, err);
	ret->secret = secret;
	return rc ? rc : 1;
}

/* What ended long ago goes. */
static int forget_old(struct sl_record *record, int64_t num, struct sl_error *err)
{
	return from_rows(sl_meta_exec(record->meta, err,
		"DELETE FROM webhook_delivery WHERE num IN (SELECT num FROM webhook_delivery WHERE webhook = (SELECT webhook FROM webhook_delivery WHERE "
		"num = ?1) AND state <> 'waiting' ORDER BY num DESC LIMIT 100 OFFSET ?2)", "ii", num, (int64_t)SL_WEBHOOK_KEPT));
}

static int put_entry(struct sl_record *record, const struct sl_webhook_outcome *outcome, struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	char id[64], delivery[64];
	int rc = sl_meta_query(record->meta, &row, err, "SELECT w.id, d.id FROM webhook_delivery d JOIN webhook w ON w.num = d.webhook WHERE d.num = ?1",
		"i", outcome->num);
	rc = rc ? rc : sl_stmt_step(row, err);
	if (rc != 1)
		return rc;
	snprintf(id, sizeof id, "%s", sl_stmt_text(row, 0));
	snprintf(delivery, sizeof delivery, "%s", sl_stmt_text(row, 1));
	const struct sl_change change = {outcome->delivered ? "webhook.delivered" : "webhook.failed", delivery, strlen(delivery)};
	return sl_record_entry(record, &change, "webhook", id, err);
}

static int end(struct sl_record *record, const struct sl_webhook_outcome *outcome, struct sl_error *err)
{
	int rc = from_rows(sl_meta_exec(record->meta, err,
		"UPDATE webhook_delivery SET state = ?2, ended_ms = ?3, http_status = ?4, problem = ?5 WHERE num = ?1 AND state = 'waiting'", "isiis",
		outcome->num, outcome->delivered ? "delivered" : "failed", sl_now_ms(), outcome->http_status, outcome->problem));
	rc = rc ? rc : put_entry(record, outcome, err);
	return rc ? rc : forget_old(record, outcome->num, err);
}

static int claim(struct sl_record *record, const char *store_dir, struct sl_arena *arena, struct sl_webhook_delivery *ret, int64_t *ret_due_ms,
	struct sl_error *err)
{
	int64_t now = sl_now_ms();
	int found = read_due(record, store_dir, now, arena, ret, err);
	if (found == SL_E_CORRUPT) { /* without its secret it can never be sent */
		const struct sl_webhook_outcome outcome = {.num = ret->num, .problem = "the webhook's secret does not open"};
		found = end(record, &outcome, err);
	}
	if (found == 0)
		return next_due(record, ret_due_ms, err);
	if (found < 0)
		return found;
	int rc = from_rows(sl_meta_exec(record->meta, err, "UPDATE webhook_delivery SET tries = ?2, due_ms = ?3 WHERE num = ?1", "iii", ret->num,
		ret->tries, now + SL_WEBHOOK_LEASE_MS));
	return rc ? rc : 1;
}

int sl_webhook_claim(struct sl_record *record, const char *store_dir, struct sl_arena *arena, struct sl_webhook_delivery *ret,
	int64_t *ret_due_ms, struct sl_error *err)
{
	*ret_due_ms = INT64_MAX;
	int rc = next_due(record, ret_due_ms, err); /* without the lock of a writer */
	if (rc || *ret_due_ms > sl_now_ms())
		return rc;
	rc = sl_meta_begin(record->meta, err);
	if (rc)
		return rc;
	int found = claim(record, store_dir, arena, ret, ret_due_ms, err);
	rc = sl_meta_end(record->meta, found < 0 ? found : 0, err);
	return rc ? rc : found;
}

int sl_webhook_record(struct sl_record *record, const struct sl_webhook_outcome *outcome, struct sl_error *err)
{
	int rc = sl_meta_begin(record->meta, err);
	if (rc)
		return rc;
	rc = outcome->again_ms && !outcome->delivered
		? from_rows(sl_meta_exec(record->meta, err,
			"UPDATE webhook_delivery SET due_ms = ?2, http_status = ?3, problem = ?4 WHERE num = ?1 AND state = 'waiting'", "iiis",
			outcome->num, sl_now_ms() + outcome->again_ms, outcome->http_status, outcome->problem))
		: end(record, outcome, err);
	return sl_meta_end(record->meta, rc, err);
}
