#include "mlflow/webhook_events.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "mlflow/server.h"
#include "mlflow/webhook_sender.h"
#include "record/webhook.h"

enum { DATA_BYTES_MAX = 16 << 20 };
#define IS_PROMPT "mlflow.prompt.is_prompt"
#define PROMPT_TEXT "mlflow.prompt.text"
static const char *const PROMPTS_OWN[] = {IS_PROMPT, PROMPT_TEXT, "_mlflow_prompt_type"};

static bool is_true(const char *value) { return value && strcasecmp(value, "true") == 0; }

static bool says_prompt(const struct sl_pair *tags, size_t count)
{
	bool prompt = false;
	for (size_t i = 0; i < count; i++)
		if (strcmp(tags[i].name, IS_PROMPT) == 0) /* of several the last counts */
			prompt = is_true(tags[i].value);
	return prompt;
}

static int model_is_prompt(struct sl_ml_call *call, int64_t model, bool *ret, struct sl_error *err)
{
	const char *value;
	int rc = sl_pair_get(&call->record, SL_PAIR_MODEL_TAG, model, IS_PROMPT, call->arena, &value, err);
	*ret = !rc && is_true(value);
	return rc;
}

/* Closes the object, and leaves it for those who listen. */
static int tell(struct sl_ml_call *call, const char *entity, const char *action, struct sl_buf *data, struct sl_error *err)
{
	size_t count;
	sl_buf_char(data, '}');
	int rc = sl_buf_check(data, "the payload of a webhook", err);
	rc = rc ? rc : sl_webhooks_tell(&call->record, sl_webhook_event_of(entity, action), sl_buf_cstr(data), call->arena, &count, err);
	if (!rc && count)
		sl_ml_sender_ring(sl_mlflow_sender(call->server));
	return rc;
}

static void put_or_null(struct sl_buf *out, const char *name, const char *value)
{
	if (value && *value) {
		sl_ml_put_text(out, name, value);
		return;
	}
	sl_ml_comma(out);
	sl_buf_printf(out, "\"%s\":null", name);
}

static void put_version(struct sl_buf *out, int64_t version)
{
	char text[24];
	snprintf(text, sizeof text, "%" PRId64, version);
	sl_ml_put_text(out, "version", text);
}

/* An object of the tags, without those by which prompts are kept. */
static void put_tags(struct sl_buf *out, const struct sl_pair *tags, size_t count, bool prompt)
{
	sl_ml_open(out, "tags", '{');
	for (size_t i = 0; i < count; i++) {
		bool own = false;
		for (size_t k = 0; k < SL_ARRAY_LEN(PROMPTS_OWN); k++)
			own |= prompt && strcmp(tags[i].name, PROMPTS_OWN[k]) == 0;
		if (own)
			continue;
		sl_ml_comma(out);
		sl_json_string(out, tags[i].name, strlen(tags[i].name));
		sl_buf_char(out, ':');
		sl_json_string(out, tags[i].value, strlen(tags[i].value));
	}
	sl_buf_char(out, '}');
}

int sl_ml_tell_model_created(struct sl_ml_call *call, const struct sl_reg_model *model, const struct sl_pair *tags, size_t count,
	struct sl_error *err)
{
	struct sl_buf data SL_AUTO_BUF = SL_BUF_INIT(DATA_BYTES_MAX);
	bool prompt = says_prompt(tags, count);
	sl_buf_char(&data, '{');
	sl_ml_put_text(&data, "name", model->name);
	put_tags(&data, tags, count, prompt);
	sl_ml_put_text(&data, "description", model->description);
	return tell(call, prompt ? "prompt" : "registered_model", "created", &data, err);
}

int sl_ml_tell_version_created(struct sl_ml_call *call, const struct sl_reg_version *version, const struct sl_pair *tags, size_t count,
	struct sl_error *err)
{
	struct sl_buf data SL_AUTO_BUF = SL_BUF_INIT(DATA_BYTES_MAX);
	bool prompt = says_prompt(tags, count);
	const char *text = NULL;
	for (size_t i = 0; i < count; i++)
		text = strcmp(tags[i].name, PROMPT_TEXT) == 0 ? tags[i].value : text;
	sl_buf_char(&data, '{');
	sl_ml_put_text(&data, "name", version->model);
	put_version(&data, version->version);
	if (prompt) {
		put_or_null(&data, "template", text);
	} else {
		sl_ml_put_text(&data, "source", version->source);
		put_or_null(&data, "run_id", version->run);
	}
	put_tags(&data, tags, count, prompt);
	put_or_null(&data, "description", version->description);
	return tell(call, prompt ? "prompt_version" : "model_version", "created", &data, err);
}

int sl_ml_tell_model_tag(struct sl_ml_call *call, const struct sl_reg_model *model, const char *key, const char *value, struct sl_error *err)
{
	struct sl_buf data SL_AUTO_BUF = SL_BUF_INIT(DATA_BYTES_MAX);
	bool prompt;
	int rc = model_is_prompt(call, model->num, &prompt, err);
	if (rc || !prompt)
		return rc;
	sl_buf_char(&data, '{');
	sl_ml_put_text(&data, "name", model->name);
	sl_ml_put_text(&data, "key", key);
	if (value)
		sl_ml_put_text(&data, "value", value);
	return tell(call, "prompt_tag", value ? "set" : "deleted", &data, err);
}

int sl_ml_tell_version_tag(struct sl_ml_call *call, const struct sl_reg_version *version, const char *key, const char *value,
	struct sl_error *err)
{
	struct sl_buf data SL_AUTO_BUF = SL_BUF_INIT(DATA_BYTES_MAX);
	bool prompt;
	int rc = model_is_prompt(call, version->model_num, &prompt, err);
	if (rc)
		return rc;
	sl_buf_char(&data, '{');
	sl_ml_put_text(&data, "name", version->model);
	put_version(&data, version->version);
	sl_ml_put_text(&data, "key", key);
	if (value)
		sl_ml_put_text(&data, "value", value);
	return tell(call, prompt ? "prompt_version_tag" : "model_version_tag", value ? "set" : "deleted", &data, err);
}

int sl_ml_tell_alias(struct sl_ml_call *call, const struct sl_reg_model *model, const char *alias, const struct sl_reg_version *version,
	struct sl_error *err)
{
	struct sl_buf data SL_AUTO_BUF = SL_BUF_INIT(DATA_BYTES_MAX);
	bool prompt;
	int rc = model_is_prompt(call, model->num, &prompt, err);
	if (rc)
		return rc;
	sl_buf_char(&data, '{');
	sl_ml_put_text(&data, "name", model->name);
	sl_ml_put_text(&data, "alias", alias);
	if (version)
		put_version(&data, version->version);
	return tell(call, prompt ? "prompt_alias" : "model_version_alias", version ? "created" : "deleted", &data, err);
}
