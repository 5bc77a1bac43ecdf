/* /mlflow/model-versions. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "mlflow/adopt.h"
#include "mlflow/registry.h"
#include "mlflow/route.h"
#include "mlflow/webhook_events.h"
#include "mlflow/server.h"

enum { VERSIONS_PAGE = 10000 };

/* ---- JSON ----------------------------------------------------------------------------------------------------------- */

struct aliases { struct sl_buf *out; int64_t version; bool any; };

static int put_alias(void *context, const char *alias, int64_t version)
{
	struct aliases *aliases = context;
	if (version != aliases->version)
		return 0;
	if (!aliases->any)
		sl_ml_open(aliases->out, "aliases", '[');
	aliases->any = true;
	sl_ml_comma(aliases->out);
	sl_json_string(aliases->out, alias, strlen(alias));
	return 0;
}

int sl_ml_put_version(struct sl_ml_call *call, const struct sl_reg_version *version, bool with_aliases, struct sl_error *err)
{
	struct sl_buf *out = &call->out;
	struct aliases aliases = {out, version->version, false};
	char number[24];
	snprintf(number, sizeof number, "%" PRId64, version->version);
	sl_buf_char(out, '{');
	sl_ml_put_text(out, "name", version->model);
	sl_ml_put_text(out, "version", number);
	sl_ml_put_int(out, "creation_timestamp", version->created_ms);
	sl_ml_put_int(out, "last_updated_timestamp", version->updated_ms);
	sl_ml_put_text(out, "current_stage", version->stage);
	sl_ml_put_text(out, "description", version->description);
	sl_ml_put_text(out, "source", version->source);
	sl_ml_put_text(out, "run_id", version->run);
	sl_ml_put_text(out, "status", "READY");
	int rc = sl_ml_put_pairs(call, "tags", SL_PAIR_VERSION_TAG, version->num, err);
	sl_ml_put_text(out, "run_link", version->run_link);
	if (!rc && with_aliases)
		rc = sl_reg_aliases(&call->record, version->model_num, put_alias, &aliases, err);
	if (aliases.any)
		sl_buf_char(out, ']');
	sl_buf_char(out, '}');
	return rc;
}

int sl_ml_answer_version(struct sl_ml_call *call, const struct sl_reg_version *version, struct sl_error *err)
{
	sl_buf_str(&call->out, "{\"model_version\":");
	int rc = sl_ml_put_version(call, version, true, err);
	sl_buf_char(&call->out, '}');
	return rc;
}

/* ---- arguments ------------------------------------------------------------------------------------------------------ */

int sl_ml_named_version(struct sl_ml_call *call, struct sl_reg_version *ret, struct sl_error *err)
{
	const char *name, *text;
	char number[24];
	int64_t version;
	int rc = sl_ml_need(call, "name", &name, err);
	if (!rc && sl_ml_int(call, "version", 0, &version, NULL) == 1) {
		snprintf(number, sizeof number, "%" PRId64, version);
		return sl_reg_version_get(&call->record, name, number, call->arena, ret, err);
	}
	rc = rc ? rc : sl_ml_need(call, "version", &text, err);
	return rc ? rc : sl_reg_version_get(&call->record, name, text, call->arena, ret, err);
}

int sl_ml_read_search(struct sl_ml_call *call, int64_t usual, int64_t max, struct sl_search *ret, struct sl_error *err)
{
	const char **order;
	*ret = (struct sl_search){0};
	int rc = sl_ml_text(call, "filter", &ret->filter, err);
	rc = rc ? rc : sl_ml_text(call, "page_token", &ret->page_token, err);
	rc = rc ? rc : sl_ml_texts(call, "order_by", &order, &ret->order_count, err);
	rc = rc ? rc : sl_ml_int(call, "max_results", usual, &ret->max, err);
	if (rc < 0)
		return rc;
	ret->order = order;
	if (ret->max < 1)
		return sl_fail(err, SL_E_INVALID, "Invalid value for max_results. It must be a positive integer, but got %" PRId64, ret->max);
	if (ret->max > max)
		return sl_fail(err, SL_E_INVALID, "Invalid value for request parameter max_results. It must be at most %" PRId64 ", but got value "
			"%" PRId64, max, ret->max);
	return 0;
}

/* ---- routes --------------------------------------------------------------------------------------------------------- */

static int create(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_reg_version_new new = {0};
	struct sl_reg_model model;
	struct sl_reg_version version;
	struct sl_pair *tags;
	const struct sl_change change = sl_ml_change(call, "registered.version");
	int rc = sl_ml_named_model(call, &model, err);
	rc = rc ? rc : sl_ml_need(call, "source", &new.source, err);
	rc = rc ? rc : sl_ml_text(call, "description", &new.description, err);
	rc = rc ? rc : sl_ml_text(call, "run_id", &new.run, err);
	rc = rc ? rc : sl_ml_text(call, "run_link", &new.run_link, err);
	rc = rc ? rc : sl_ml_text(call, "model_id", &new.logged_model, err);
	rc = rc ? rc : sl_ml_pairs(call, "tags", &tags, &new.tag_count, err);
	if (rc)
		return rc;
	new.tags = tags;
	rc = sl_reg_version_create(&call->record, &model, &new, &change, call->arena, &version, err);
	rc = rc ? rc : sl_ml_tell_version_created(call, &version, tags, new.tag_count, err);
	if (!rc)
		sl_ml_adopt_later(sl_mlflow_adopter(call->server), model.name, version.version);
	return rc ? rc : sl_ml_answer_version(call, &version, err);
}

static int get(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_reg_version version;
	int rc = sl_ml_named_version(call, &version, err);
	return rc ? rc : sl_ml_answer_version(call, &version, err);
}

static int get_download_uri(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_reg_version version;
	int rc = sl_ml_named_version(call, &version, err);
	if (rc)
		return rc;
	sl_buf_char(&call->out, '{');
	sl_ml_put_text(&call->out, "artifact_uri", version.storage);
	sl_buf_char(&call->out, '}');
	return 0;
}

static int update(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_reg_version version;
	const char *description;
	const struct sl_change change = sl_ml_change(call, "registered.update");
	int rc = sl_ml_named_version(call, &version, err);
	rc = rc ? rc : sl_ml_text(call, "description", &description, err);
	rc = rc ? rc : sl_reg_version_describe(&call->record, &version, description ? description : "", &change, err);
	return rc ? rc : sl_ml_answer_version(call, &version, err);
}

static int transition(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_reg_version version;
	const char *stage;
	bool archive;
	const struct sl_change change = sl_ml_change(call, "registered.stage");
	int rc = sl_ml_named_version(call, &version, err);
	rc = rc ? rc : sl_ml_need(call, "stage", &stage, err);
	rc = rc ? rc : sl_ml_bool(call, "archive_existing_versions", false, &archive, err);
	rc = rc ? rc : sl_reg_version_transition(&call->record, &version, stage, archive, &change, err);
	return rc ? rc : sl_ml_answer_version(call, &version, err);
}

static int delete(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_reg_version version;
	const struct sl_change change = sl_ml_change(call, "registered.delete");
	int rc = sl_ml_named_version(call, &version, err);
	return rc ? rc : sl_reg_version_delete(&call->record, &version, &change, err);
}

static int set_tag(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_reg_version version;
	const char *key, *value;
	const struct sl_change change = sl_ml_change(call, "registered.tag");
	int rc = sl_ml_named_version(call, &version, err);
	rc = rc ? rc : sl_ml_need(call, "key", &key, err);
	rc = rc ? rc : sl_ml_text(call, "value", &value, err);
	rc = rc ? rc : sl_reg_version_set_tag(&call->record, &version, key, value ? value : "", &change, err);
	return rc ? rc : sl_ml_tell_version_tag(call, &version, key, value ? value : "", err);
}

static int delete_tag(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_reg_version version;
	const char *key;
	const struct sl_change change = sl_ml_change(call, "registered.untag");
	int rc = sl_ml_named_version(call, &version, err);
	rc = rc ? rc : sl_ml_need(call, "key", &key, err);
	rc = rc ? rc : sl_reg_version_set_tag(&call->record, &version, key, NULL, &change, err);
	return rc ? rc : sl_ml_tell_version_tag(call, &version, key, NULL, err);
}

static int search(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_search search;
	struct sl_search_page page;
	struct sl_reg_version version;
	int rc = sl_ml_read_search(call, VERSIONS_PAGE, SL_REG_VERSIONS_PAGE_MAX, &search, err);
	rc = rc ? rc : sl_reg_versions_search(&call->record, &search, call->arena, &page, err);
	if (rc || !page.count)
		return rc;
	sl_buf_str(&call->out, "{\"model_versions\":[");
	for (size_t i = 0; !rc && i < page.count; i++) {
		rc = sl_reg_version_at(&call->record, page.nums[i], call->arena, &version, err);
		sl_ml_comma(&call->out);
		rc = rc ? rc : sl_ml_put_version(call, &version, false, err);
	}
	sl_buf_char(&call->out, ']');
	if (page.token)
		sl_ml_put_text(&call->out, "next_page_token", page.token);
	sl_buf_char(&call->out, '}');
	return rc;
}

#define VERSIONS "/mlflow/model-versions"
const struct sl_ml_route sl_ml_routes_versions[] = {
	{SL_ML_V2, SL_HTTP_POST, VERSIONS "/create", SL_PERMIT_RUN, SL_ML_WRITE, create, NULL, NULL},
	{SL_ML_V2, SL_HTTP_GET, VERSIONS "/get", SL_PERMIT_VIEW, SL_ML_READ, get, NULL, NULL},
	{SL_ML_V2, SL_HTTP_GET, VERSIONS "/get-download-uri", SL_PERMIT_VIEW, SL_ML_READ, get_download_uri, NULL, NULL},
	{SL_ML_V2, SL_HTTP_PATCH, VERSIONS "/update", SL_PERMIT_EDIT, SL_ML_WRITE, update, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, VERSIONS "/transition-stage", SL_PERMIT_EDIT, SL_ML_WRITE, transition, NULL, NULL},
	{SL_ML_V2, SL_HTTP_DELETE, VERSIONS "/delete", SL_PERMIT_EDIT, SL_ML_WRITE, delete, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, VERSIONS "/set-tag", SL_PERMIT_EDIT, SL_ML_WRITE, set_tag, NULL, NULL},
	{SL_ML_V2, SL_HTTP_DELETE, VERSIONS "/delete-tag", SL_PERMIT_EDIT, SL_ML_WRITE, delete_tag, NULL, NULL},
	{SL_ML_V2, SL_HTTP_GET, VERSIONS "/search", SL_PERMIT_VIEW, SL_ML_SLOW, search, NULL, NULL},
	{0},
};
