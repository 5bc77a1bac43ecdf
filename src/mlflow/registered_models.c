/* /mlflow/registered-models, with aliases. */
#include <stdio.h>
#include <string.h>

#include "mlflow/adopt.h"
#include "mlflow/registry.h"
#include "mlflow/route.h"
#include "mlflow/webhook_events.h"
#include "mlflow/server.h"

enum { MODELS_PAGE = 100 };

/* ---- JSON ----------------------------------------------------------------------------------------------------------- */

struct aliases { struct sl_buf *out; bool any; };

static int put_alias(void *context, const char *alias, int64_t version)
{
	struct aliases *aliases = context;
	char number[24];
	snprintf(number, sizeof number, "%lld", (long long)version);
	if (!aliases->any)
		sl_ml_open(aliases->out, "aliases", '[');
	aliases->any = true;
	sl_ml_comma(aliases->out);
	sl_buf_char(aliases->out, '{');
	sl_ml_put_text(aliases->out, "alias", alias);
	sl_ml_put_text(aliases->out, "version", number);
	sl_buf_char(aliases->out, '}');
	return 0;
}

/* "<list>":[versions]; left out when there are none. */
static int put_versions(struct sl_ml_call *call, const char *list, const int64_t *nums, size_t count, bool aliases, struct sl_error *err)
{
	struct sl_reg_version version;
	int rc = 0;
	if (!count)
		return 0;
	sl_ml_open(&call->out, list, '[');
	for (size_t i = 0; !rc && i < count; i++) {
		rc = sl_reg_version_at(&call->record, nums[i], call->arena, &version, err);
		sl_ml_comma(&call->out);
		rc = rc ? rc : sl_ml_put_version(call, &version, aliases, err);
	}
	sl_buf_char(&call->out, ']');
	return rc;
}

static int put_model(struct sl_ml_call *call, const struct sl_reg_model *model, struct sl_error *err)
{
	struct sl_buf *out = &call->out;
	struct aliases aliases = {out, false};
	int64_t nums[SL_REG_STAGES];
	size_t count;
	sl_buf_char(out, '{');
	sl_ml_put_text(out, "name", model->name);
	sl_ml_put_int(out, "creation_timestamp", model->created_ms);
	sl_ml_put_int(out, "last_updated_timestamp", model->updated_ms);
	if (*model->description)
		sl_ml_put_text(out, "description", model->description);
	int rc = sl_reg_latest(&call->record, model, nums, &count, err);
	rc = rc ? rc : put_versions(call, "latest_versions", nums, count, false, err);
	rc = rc ? rc : sl_ml_put_pairs(call, "tags", SL_PAIR_MODEL_TAG, model->num, err);
	rc = rc ? rc : sl_reg_aliases(&call->record, model->num, put_alias, &aliases, err);
	if (aliases.any)
		sl_buf_char(out, ']');
	sl_buf_char(out, '}');
	return rc;
}

static int answer_model(struct sl_ml_call *call, const struct sl_reg_model *model, struct sl_error *err)
{
	sl_buf_str(&call->out, "{\"registered_model\":");
	int rc = put_model(call, model, err);
	sl_buf_char(&call->out, '}');
	return rc;
}

int sl_ml_named_model(struct sl_ml_call *call, struct sl_reg_model *ret, struct sl_error *err)
{
	const char *name;
	int rc = sl_ml_need(call, "name", &name, err);
	return rc ? rc : sl_reg_model_get(&call->record, name, call->arena, ret, err);
}

/* ---- models --------------------------------------------------------------------------------------------------------- */

static int create(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_reg_model model;
	struct sl_pair *tags;
	const char *name, *description;
	size_t count;
	const struct sl_change change = sl_ml_change(call, "registered.create");
	int rc = sl_ml_need(call, "name", &name, err);
	rc = rc ? rc : sl_ml_text(call, "description", &description, err);
	rc = rc ? rc : sl_ml_pairs(call, "tags", &tags, &count, err);
	rc = rc ? rc : sl_reg_model_create(&call->record, name, description, tags, count, &change, call->arena, &model, err);
	rc = rc ? rc : sl_ml_tell_model_created(call, &model, tags, count, err);
	return rc ? rc : answer_model(call, &model, err);
}

static int get(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_reg_model model;
	int rc = sl_ml_named_model(call, &model, err);
	return rc ? rc : answer_model(call, &model, err);
}

static int rename_model(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_reg_model model;
	const char *name;
	const struct sl_change change = sl_ml_change(call, "registered.rename");
	int rc = sl_ml_named_model(call, &model, err);
	rc = rc ? rc : sl_ml_need(call, "new_name", &name, err);
	rc = rc ? rc : sl_reg_model_rename(&call->record, &model, name, &change, err);
	return rc ? rc : answer_model(call, &model, err);
}

static int update(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_reg_model model;
	const char *description;
	const struct sl_change change = sl_ml_change(call, "registered.update");
	int rc = sl_ml_named_model(call, &model, err);
	rc = rc ? rc : sl_ml_text(call, "description", &description, err);
	rc = rc ? rc : sl_reg_model_describe(&call->record, &model, description ? description : "", &change, err);
	return rc ? rc : answer_model(call, &model, err);
}

static int delete(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_reg_model model;
	const struct sl_change change = sl_ml_change(call, "registered.delete");
	int rc = sl_ml_named_model(call, &model, err);
	return rc ? rc : sl_reg_model_delete(&call->record, &model, &change, err);
}

static int set_tag(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_reg_model model;
	const char *key, *value;
	const struct sl_change change = sl_ml_change(call, "registered.tag");
	int rc = sl_ml_named_model(call, &model, err);
	rc = rc ? rc : sl_ml_need(call, "key", &key, err);
	rc = rc ? rc : sl_ml_text(call, "value", &value, err);
	rc = rc ? rc : sl_reg_model_set_tag(&call->record, &model, key, value ? value : "", &change, err);
	return rc ? rc : sl_ml_tell_model_tag(call, &model, key, value ? value : "", err);
}

static int delete_tag(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_reg_model model;
	const char *key;
	const struct sl_change change = sl_ml_change(call, "registered.untag");
	int rc = sl_ml_named_model(call, &model, err);
	rc = rc ? rc : sl_ml_need(call, "key", &key, err);
	rc = rc ? rc : sl_reg_model_set_tag(&call->record, &model, key, NULL, &change, err);
	return rc ? rc : sl_ml_tell_model_tag(call, &model, key, NULL, err);
}

static int latest(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_reg_model model;
	struct sl_reg_version version;
	int64_t nums[SL_REG_STAGES], wanted[SL_REG_STAGES];
	size_t count, stage_count, kept = 0;
	const char **stages;
	int rc = sl_ml_named_model(call, &model, err);
	rc = rc ? rc : sl_ml_texts(call, "stages", &stages, &stage_count, err);
	rc = rc ? rc : sl_reg_latest(&call->record, &model, nums, &count, err);
	for (size_t i = 0; !rc && i < stage_count; i++)
		if (!(stages[i] = sl_reg_stage(stages[i], err)))
			return SL_E_INVALID;
	for (size_t i = 0; !rc && i < count; i++) {
		bool want = stage_count == 0;
		rc = sl_reg_version_at(&call->record, nums[i], call->arena, &version, err);
		for (size_t s = 0; !rc && s < stage_count; s++)
			want |= strcmp(stages[s], version.stage) == 0;
		if (want)
			wanted[kept++] = nums[i];
	}
	if (rc)
		return rc;
	sl_buf_char(&call->out, '{');
	rc = put_versions(call, "model_versions", wanted, kept, true, err);
	sl_buf_char(&call->out, '}');
	return rc;
}

static int search(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_search search;
	struct sl_search_page page;
	struct sl_reg_model model;
	int rc = sl_ml_read_search(call, MODELS_PAGE, SL_REG_MODELS_PAGE_MAX, &search, err);
	rc = rc ? rc : sl_reg_models_search(&call->record, &search, call->arena, &page, err);
	if (rc || !page.count)
		return rc;
	sl_buf_str(&call->out, "{\"registered_models\":[");
	for (size_t i = 0; !rc && i < page.count; i++) {
		rc = sl_reg_model_at(&call->record, page.nums[i], call->arena, &model, err);
		sl_ml_comma(&call->out);
		rc = rc ? rc : put_model(call, &model, err);
	}
	sl_buf_char(&call->out, ']');
	if (page.token)
		sl_ml_put_text(&call->out, "next_page_token", page.token);
	sl_buf_char(&call->out, '}');
	return rc;
}

/* ---- aliases -------------------------------------------------------------------------------------------------------- */

/* What the gate did not let in gets no alias from a client either. */
static int check_gate(struct sl_ml_call *call, const struct sl_reg_model *model, int64_t version, struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(call->record.meta, &row, err, "SELECT status FROM model_version WHERE model = ?1 AND version = ?2 AND status <> 'ready'",
		"si", model->name, version);
	rc = rc ? rc : sl_stmt_step(row, err);
	if (rc <= 0)
		return rc;
	return sl_fail(err, SL_E_INVALID, "Version %lld of '%.200s' is %s: its gate has not let it in. 'sluice show model:%.100s@%lld' says why.",
		(long long)version, model->name, sl_stmt_text(row, 0), model->name, (long long)version);
}

static int set_alias(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_reg_model model;
	struct sl_reg_version version;
	const char *alias;
	const struct sl_change change = sl_ml_change(call, "registered.alias");
	int rc = sl_ml_named_model(call, &model, err);
	rc = rc ? rc : sl_ml_need(call, "alias", &alias, err);
	rc = rc ? rc : sl_ml_named_version(call, &version, err);
	rc = rc ? rc : check_gate(call, &model, version.version, err);
	rc = rc ? rc : sl_reg_alias_set(&call->record, &model, alias, &version, &change, err);
	rc = rc ? rc : sl_ml_tell_alias(call, &model, alias, &version, err);
	if (!rc)
		sl_ml_adopt_later(sl_mlflow_adopter(call->server), model.name, version.version);
	return rc;
}

static int delete_alias(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_reg_model model;
	const char *alias;
	const struct sl_change change = sl_ml_change(call, "registered.unalias");
	int rc = sl_ml_named_model(call, &model, err);
	rc = rc ? rc : sl_ml_need(call, "alias", &alias, err);
	rc = rc ? rc : sl_reg_alias_set(&call->record, &model, alias, NULL, &change, err);
	rc = rc ? rc : sl_ml_tell_alias(call, &model, alias, NULL, err);
	if (!rc)
		sl_ml_adopt_later(sl_mlflow_adopter(call->server), model.name, 0);
	return rc;
}

static int get_alias(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_reg_model model;
	struct sl_reg_version version;
	const char *alias;
	int rc = sl_ml_named_model(call, &model, err);
	rc = rc ? rc : sl_ml_need(call, "alias", &alias, err);
	rc = rc ? rc : sl_reg_alias_get(&call->record, &model, alias, call->arena, &version, err);
	return rc ? rc : sl_ml_answer_version(call, &version, err);
}

#define MODELS "/mlflow/registered-models"
const struct sl_ml_route sl_ml_routes_registered[] = {
	{SL_ML_V2, SL_HTTP_POST, MODELS "/create", SL_PERMIT_RUN, SL_ML_WRITE, create, NULL, NULL},
	{SL_ML_V2, SL_HTTP_GET, MODELS "/get", SL_PERMIT_VIEW, SL_ML_READ, get, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, MODELS "/rename", SL_PERMIT_EDIT, SL_ML_WRITE, rename_model, NULL, NULL},
	{SL_ML_V2, SL_HTTP_PATCH, MODELS "/update", SL_PERMIT_EDIT, SL_ML_WRITE, update, NULL, NULL},
	{SL_ML_V2, SL_HTTP_DELETE, MODELS "/delete", SL_PERMIT_EDIT, SL_ML_WRITE, delete, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, MODELS "/set-tag", SL_PERMIT_EDIT, SL_ML_WRITE, set_tag, NULL, NULL},
	{SL_ML_V2, SL_HTTP_DELETE, MODELS "/delete-tag", SL_PERMIT_EDIT, SL_ML_WRITE, delete_tag, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, MODELS "/get-latest-versions", SL_PERMIT_VIEW, SL_ML_READ, latest, NULL, NULL},
	{SL_ML_V2, SL_HTTP_GET, MODELS "/get-latest-versions", SL_PERMIT_VIEW, SL_ML_READ, latest, NULL, NULL},
	{SL_ML_V2, SL_HTTP_GET, MODELS "/search", SL_PERMIT_VIEW, SL_ML_SLOW, search, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, MODELS "/alias", SL_PERMIT_EDIT, SL_ML_WRITE, set_alias, NULL, NULL},
	{SL_ML_V2, SL_HTTP_DELETE, MODELS "/alias", SL_PERMIT_EDIT, SL_ML_WRITE, delete_alias, NULL, NULL},
	{SL_ML_V2, SL_HTTP_GET, MODELS "/alias", SL_PERMIT_VIEW, SL_ML_READ, get_alias, NULL, NULL},
	{0},
};
