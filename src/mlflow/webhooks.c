/* /mlflow/webhooks. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "mlflow/route.h"
#include "mlflow/server.h"
#include "mlflow/webhook_sender.h"
#include "record/webhook.h"

enum { PAGE = 100, EVENTS_SAID_MAX = 100 };

/* ---- JSON ----------------------------------------------------------------------------------------------------------- */

static void put_capitals(struct sl_buf *out, const char *name, const char *text)
{
	sl_ml_comma(out);
	sl_buf_printf(out, "\"%s\":\"", name);
	for (; *text; text++)
		sl_buf_char(out, *text >= 'a' && *text <= 'z' ? (char)(*text - 'a' + 'A') : *text);
	sl_buf_char(out, '"');
}

static void put_webhook(struct sl_buf *out, const struct sl_webhook *webhook)
{
	sl_buf_char(out, '{');
	sl_ml_put_text(out, "webhook_id", webhook->id);
	sl_ml_put_text(out, "name", webhook->name);
	sl_ml_put_text(out, "url", webhook->url);
	sl_ml_open(out, "events", '[');
	for (size_t i = 0; i < webhook->event_count; i++) {
		sl_ml_comma(out);
		sl_buf_char(out, '{');
		put_capitals(out, "entity", webhook->events[i]->entity);
		put_capitals(out, "action", webhook->events[i]->action);
		sl_buf_char(out, '}');
	}
	sl_buf_char(out, ']');
	if (*webhook->description)
		sl_ml_put_text(out, "description", webhook->description);
	sl_ml_put_text(out, "status", webhook->status);
	sl_ml_put_int(out, "creation_timestamp", webhook->created_ms);
	sl_ml_put_int(out, "last_updated_timestamp", webhook->updated_ms);
	sl_buf_char(out, '}');
}

static int answer(struct sl_ml_call *call, const struct sl_webhook *webhook)
{
	sl_buf_str(&call->out, "{\"webhook\":");
	put_webhook(&call->out, webhook);
	sl_buf_char(&call->out, '}');
	return 0;
}

/* ---- arguments ------------------------------------------------------------------------------------------------------ */

static int read_event(yyjson_val *said, const struct sl_webhook_event **ret, struct sl_error *err)
{
	const char *entity = sl_json_str(said, "entity", ""), *action = sl_json_str(said, "action", "");
	*ret = sl_webhook_event_of(entity, action);
	return *ret ? 0 : sl_fail(err, SL_E_INVALID, "Invalid action '%.60s' for entity '%.60s'.", action, entity);
}

static int read_events(struct sl_ml_call *call, struct sl_webhook_said *ret, struct sl_error *err)
{
	yyjson_val *list, *item;
	int rc = sl_ml_list(call, "events", &list, err);
	if (rc || !list)
		return rc;
	if (yyjson_arr_size(list) > EVENTS_SAID_MAX)
		return sl_fail(err, SL_E_INVALID, "more than %d events", EVENTS_SAID_MAX);
	const struct sl_webhook_event **events = sl_arena_array(call->arena, yyjson_arr_size(list) + 1, sizeof *events);
	if (!events)
		return sl_fail_memory(err);
	yyjson_arr_iter it = yyjson_arr_iter_with(list);
	while (!rc && (item = yyjson_arr_iter_next(&it)))
		rc = read_event(item, &events[ret->event_count++], err);
	ret->events = events;
	return rc;
}

/* A text that may be there and empty. */
static const char *given(const struct sl_ml_call *call, const char *name) { return sl_json_str(call->body, name, NULL); }

static int read_said(struct sl_ml_call *call, struct sl_webhook_said *ret, struct sl_error *err)
{
	*ret = (struct sl_webhook_said){.description = given(call, "description"), .secret = given(call, "secret")};
	int rc = sl_ml_text(call, "name", &ret->name, err);
	rc = rc ? rc : sl_ml_text(call, "url", &ret->url, err);
	rc = rc ? rc : sl_ml_text(call, "status", &ret->status, err);
	rc = rc ? rc : read_events(call, ret, err);
	return rc || !ret->url ? rc : sl_ml_webhook_check_url(&sl_mlflow_options(call->server)->webhooks, ret->url, err);
}

/* The webhook in the address. */
static int named(struct sl_ml_call *call, struct sl_webhook *ret, struct sl_error *err)
{
	return sl_webhook_get(&call->record, call->parts[0], call->arena, ret, err);
}

/* ---- routes --------------------------------------------------------------------------------------------------------- */

static int create(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_webhook_said said;
	struct sl_webhook webhook;
	const char *unused;
	int rc = sl_ml_need(call, "name", &unused, err);
	rc = rc ? rc : sl_ml_need(call, "url", &unused, err);
	rc = rc ? rc : !sl_ml_has(call, "events") ? sl_ml_missing("events", err) : read_said(call, &said, err);
	rc = rc ? rc : sl_webhook_create(&call->record, call->store->dir, &said, call->arena, &webhook, err);
	return rc ? rc : answer(call, &webhook);
}

static int get(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_webhook webhook;
	int rc = named(call, &webhook, err);
	return rc ? rc : answer(call, &webhook);
}

static int update(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_webhook_said said;
	struct sl_webhook webhook;
	int rc = read_said(call, &said, err);
	rc = rc ? rc : named(call, &webhook, err);
	rc = rc ? rc : sl_webhook_update(&call->record, call->store->dir, &webhook, &said, call->arena, err);
	return rc ? rc : answer(call, &webhook);
}

static int delete(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_webhook webhook;
	int rc = named(call, &webhook, err);
	return rc ? rc : sl_webhook_delete(&call->record, &webhook, err);
}

static int list(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_webhook *webhooks;
	const char *token;
	char next[24];
	int64_t max, below = 0;
	size_t count;
	int rc = sl_ml_int(call, "max_results", PAGE, &max, err);
	rc = rc < 0 ? rc : sl_ml_text(call, "page_token", &token, err);
	if (rc)
		return rc;
	if (max < 1 || max > SL_WEBHOOK_PAGE_MAX)
		return sl_fail(err, SL_E_INVALID, "max_results must be between 1 and 1000.");
	if (token && (!sl_str_int(token, &below) || below < 1))
		return sl_fail(err, SL_E_INVALID, "Invalid page token");
	rc = sl_webhooks_list(&call->record, below, max + 1, call->arena, &webhooks, &count, err);
	if (rc || !count)
		return rc;
	size_t shown = count > (size_t)max ? (size_t)max : count;
	sl_buf_str(&call->out, "{\"webhooks\":[");
	for (size_t i = 0; i < shown; i++) {
		sl_ml_comma(&call->out);
		put_webhook(&call->out, &webhooks[i]);
	}
	sl_buf_char(&call->out, ']');
	snprintf(next, sizeof next, "%" PRId64, webhooks[shown - 1].num);
	if (count > shown)
		sl_ml_put_text(&call->out, "next_page_token", next);
	sl_buf_char(&call->out, '}');
	return 0;
}

/* ---- trying one ----------------------------------------------------------------------------------------------------- */

/* MLflow's examples, by the table of events; what a receiver would see. */
static const char *example_of(const struct sl_webhook_event *event)
{
	bool prompt = strncmp(event->entity, "prompt", 6) == 0, created = strcmp(event->action, "created") == 0;
	bool version = strstr(event->entity, "_version") != NULL && !strstr(event->entity, "alias");
	if (strstr(event->entity, "_alias"))
		return created ? "{\"name\": \"example\", \"alias\": \"example_alias\", \"version\": \"1\"}" : "{\"name\": \"example\", \"alias\": \"example_alias\"}";
	if (strstr(event->entity, "_tag"))
		return version ? "{\"name\": \"example\", \"version\": \"1\", \"key\": \"example_key\", \"value\": \"example_value\"}"
			       : "{\"name\": \"example\", \"key\": \"example_key\", \"value\": \"example_value\"}";
	if (!version)
		return "{\"name\": \"example\", \"tags\": {\"example_key\": \"example_value\"}, \"description\": \"An example\"}";
	return prompt ? "{\"name\": \"example\", \"version\": \"1\", \"template\": \"Hello {{name}}!\", \"tags\": {}, \"description\": null}"
		      : "{\"name\": \"example\", \"version\": \"1\", \"source\": \"models:/123\", \"run_id\": null, \"tags\": {}, \"description\": null}";
}

/* The answer's body is shown to whoever may change webhooks, but not when webhooks may reach what only this machine can. */
static void on_tried(void *context, const struct sl_http_answer *answer, const struct sl_error *err)
{
	struct sl_ml_call *call = context;
	struct sl_buf *out = &call->out;
	bool show = !sl_mlflow_options(call->server)->webhooks.private;
	sl_buf_str(out, "{\"result\":{");
	sl_ml_put_bool(out, "success", answer && answer->status >= 200 && answer->status < 300);
	if (answer)
		sl_ml_put_int(out, "response_status", answer->status);
	if (answer && show)
		sl_ml_put_text(out, "response_body", answer->body);
	if (!answer)
		sl_ml_put_text(out, "error_message", err->message);
	sl_buf_str(out, "}}");
	sl_mlflow_answer(call);
}

static int start_trying(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_webhook webhook;
	struct sl_ml_sender *sender = sl_mlflow_sender(call->server);
	const struct sl_webhook_event *event = NULL;
	const char *body;
	char *secret;
	yyjson_val *said;
	int rc = sl_ml_call_read(call, err);
	rc = rc ? rc : named(call, &webhook, err);
	if (rc)
		return rc;
	if (!sender)
		return sl_fail(err, SL_E_NO_LIBRARY, "webhooks are sent by `sluice mlflow` and `sluice up` only");
	said = yyjson_obj_get(call->body, "event");
	event = webhook.event_count ? webhook.events[0] : NULL;
	rc = said ? read_event(said, &event, err) : event ? 0 : sl_fail(err, SL_E_INVALID, "the webhook has no events");
	rc = rc ? rc : sl_webhook_body(event, example_of(event), call->arena, &body, err);
	rc = rc ? rc : sl_webhook_secret(&call->record, call->store->dir, &webhook, call->arena, &secret, err);
	return rc ? rc : sl_ml_sender_post(sender, webhook.url, secret, webhook.id, body, on_tried, call, err);
}

static void try_it(struct sl_ml_call *call)
{
	struct sl_error err = {0};
	if (start_trying(call, &err))
		sl_mlflow_refuse(call, &err);
}

#define WEBHOOKS "/mlflow/webhooks"
const struct sl_ml_route sl_ml_routes_webhooks[] = {
	{SL_ML_V2, SL_HTTP_POST, WEBHOOKS, SL_PERMIT_EDIT, SL_ML_WRITE, create, NULL, NULL},
	{SL_ML_V2, SL_HTTP_GET, WEBHOOKS, SL_PERMIT_EDIT, SL_ML_READ, list, NULL, NULL},
	{SL_ML_V2, SL_HTTP_GET, WEBHOOKS "/{}", SL_PERMIT_EDIT, SL_ML_READ, get, NULL, NULL},
	{SL_ML_V2, SL_HTTP_PATCH, WEBHOOKS "/{}", SL_PERMIT_EDIT, SL_ML_WRITE, update, NULL, NULL},
	{SL_ML_V2, SL_HTTP_DELETE, WEBHOOKS "/{}", SL_PERMIT_EDIT, SL_ML_WRITE, delete, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, WEBHOOKS "/{}/test", SL_PERMIT_EDIT, SL_ML_LATER, NULL, try_it, NULL},
	{0},
};
