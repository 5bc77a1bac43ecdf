/* route: which models answer an endpoint's requests. */
#include <math.h>
#include <string.h>

#include "base/str.h"
#include "op/context.h"
#include "op/handlers.h"
#include "op/route.h"
#include "project/traffic.h"
#include "serve/rules.h"

/* The rules in use, to be changed. */
static int present_rules(struct sl_call *call, struct sl_store *store, const struct sl_endpoint *endpoint, yyjson_mut_val **ret,
			 struct sl_error *err)
{
	struct sl_rules rules;
	int rc = sl_rules_read(store, endpoint, call->arena, &rules, err);
	if (rc)
		return rc;
	yyjson_doc *doc SL_AUTO_JSON = *rules.text ? sl_json_parse(rules.text, strlen(rules.text), "rules", err) : NULL;
	if (*rules.text && !doc)
		return SL_E_CORRUPT;
	*ret = doc ? yyjson_val_mut_copy(call->doc, yyjson_doc_get_root(doc)) : yyjson_mut_obj(call->doc);
	return *ret ? 0 : sl_fail_memory(err);
}

static bool is_none(const char *const *texts, size_t count) { return count == 1 && sl_str_eq(texts[0], "none"); }

static void set_member(struct sl_call *call, yyjson_mut_val *rules, const char *name, yyjson_mut_val *value)
{
	yyjson_mut_obj_remove_key(rules, name);
	if (value)
		yyjson_mut_obj_add_val(call->doc, rules, name, value);
}

/* "VARIANT=NUMBER" into `map`; without a number `otherwise` (NAN: it is wanted). */
static int put_share(struct sl_call *call, yyjson_mut_val *map, const char *text, double otherwise, struct sl_error *err)
{
	const char *equals = strrchr(text, '=');
	double share = otherwise;
	if (equals ? !sl_str_double(equals + 1, &share) : isnan(otherwise))
		return sl_fail(err, SL_E_INVALID, "'%.100s' is not VARIANT=NUMBER", text);
	const char *name = sl_arena_strndup(call->arena, text, equals ? (size_t)(equals - text) : strlen(text));
	if (!name)
		return sl_fail_memory(err);
	if (yyjson_mut_obj_get(map, name))
		return sl_fail(err, SL_E_INVALID, "'%.100s' is given twice", name);
	return yyjson_mut_obj_add_real(call->doc, map, name, share) ? 0 : sl_fail_memory(err);
}

static int set_shares(struct sl_call *call, yyjson_mut_val *rules, const char *argument, const char *member, double otherwise,
		      struct sl_error *err)
{
	size_t count;
	const char *const *texts = sl_call_list(call, argument, &count);
	yyjson_mut_val *map = yyjson_mut_obj(call->doc);
	int rc = map ? 0 : sl_fail_memory(err);
	if (!count)
		return rc;
	for (size_t i = 0; !rc && !is_none(texts, count) && i < count; i++)
		rc = put_share(call, map, texts[i], otherwise, err);
	if (!rc)
		set_member(call, rules, member, is_none(texts, count) ? NULL : map);
	return rc;
}

/* "CONDITION => VARIANT" */
static int put_segment(struct sl_call *call, yyjson_mut_val *list, const char *text, struct sl_error *err)
{
	const char *arrow = NULL;
	for (const char *at = text; (at = strstr(at, "=>")); at += 2)
		arrow = at;
	if (!arrow)
		return sl_fail(err, SL_E_INVALID, "'%.100s' is not CONDITION => VARIANT", text);
	const char *to = arrow + 2 + strspn(arrow + 2, " \t");
	size_t len = (size_t)(arrow - text), to_len = strcspn(to, " \t");
	yyjson_mut_val *segment = yyjson_mut_arr_add_obj(call->doc, list);
	while (len && strchr(" \t", text[len - 1]))
		len--;
	return segment && yyjson_mut_obj_add_strncpy(call->doc, segment, "when", text, len) &&
			       yyjson_mut_obj_add_strncpy(call->doc, segment, "to", to, to_len)
		       ? 0
		       : sl_fail_memory(err);
}

static int set_segments(struct sl_call *call, yyjson_mut_val *rules, struct sl_error *err)
{
	size_t count;
	const char *const *texts = sl_call_list(call, "segment", &count);
	yyjson_mut_val *list = yyjson_mut_arr(call->doc);
	int rc = list ? 0 : sl_fail_memory(err);
	if (!count)
		return rc;
	for (size_t i = 0; !rc && !is_none(texts, count) && i < count; i++)
		rc = put_segment(call, list, texts[i], err);
	if (!rc)
		set_member(call, rules, "segments", is_none(texts, count) ? NULL : list);
	return rc;
}

static void set_text(struct sl_call *call, yyjson_mut_val *rules, const char *member)
{
	const char *text = sl_call_text(call, member);
	if (text)
		set_member(call, rules, member, sl_str_eq(text, "none") ? NULL : sl_call_json_text(call, text));
}

static int change(struct sl_call *call, yyjson_mut_val *rules, struct sl_error *err)
{
	int rc = set_shares(call, rules, "weights", "weights", NAN, err);
	if (!rc)
		rc = set_shares(call, rules, "shadow", "shadow", 100, err);
	if (!rc)
		rc = set_segments(call, rules, err);
	set_text(call, rules, "sticky");
	set_text(call, rules, "fallback");
	return rc;
}

/* Every model that the rules name is one of the project's. */
static int check_models(const struct sl_project *project, const struct sl_endpoint *endpoint, const char *rules, struct sl_arena *arena,
			struct sl_error *err)
{
	const struct sl_traffic *traffic;
	int rc = sl_traffic_parse(rules, "rules", endpoint->model, endpoint->alias, arena, &traffic, err);
	for (size_t i = 0; !rc && i < traffic->variant_count; i++)
		if (!sl_project_model(project, traffic->variants[i].model))
			rc = sl_fail(err, SL_E_NOT_FOUND, "sluice.yaml has no model '%s'", traffic->variants[i].model);
	return rc;
}

static int set_rules(struct sl_call *call, struct sl_store *store, const struct sl_project *project, const struct sl_endpoint *endpoint,
		     struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(SL_TRAFFIC_BYTES_MAX + 1);
	const char *reason = sl_call_text(call, "reason"), *whole = sl_call_text(call, "rules");
	yyjson_mut_val *rules = NULL;
	int rc = 0;
	if (sl_call_flag(call, "reset"))
		return sl_rules_set(store, endpoint, NULL, reason ? reason : "set back by hand", err);
	if (whole) {
		sl_buf_str(&text, whole);
	} else {
		rc = present_rules(call, store, endpoint, &rules, err);
		if (!rc)
			rc = change(call, rules, err);
		if (!rc)
			rc = sl_json_mut_canonical(rules, &text, err);
	}
	if (!rc)
		rc = sl_buf_check(&text, "the rules", err);
	if (!rc)
		rc = check_models(project, endpoint, sl_buf_cstr(&text), call->arena, err);
	return rc ? rc : sl_rules_set(store, endpoint, sl_buf_cstr(&text), reason ? reason : "set by hand", err);
}

static bool asks_for_change(const struct sl_call *call)
{
	static const char *const NAMES[] = {"weights", "sticky", "segment", "shadow", "fallback", "rules", "reset"};
	for (size_t i = 0; i < SL_ARRAY_LEN(NAMES); i++)
		if (sl_call_given(call, NAMES[i]))
			return true;
	return false;
}

int sl_route_put(struct sl_call *call, struct sl_store *store, const struct sl_endpoint *endpoint, yyjson_mut_val *out, struct sl_error *err)
{
	struct sl_rules rules;
	int rc = sl_rules_read(store, endpoint, call->arena, &rules, err);
	if (rc)
		return rc;
	sl_put_json(call, out, "rules", *rules.text ? rules.text : "{}");
	sl_put_text(call, out, "from", rules.set ? "command" : "project file");
	if (rules.set) {
		sl_put_text(call, out, "reason", rules.reason);
		sl_put_time(call, out, "set", rules.changed_ms);
	}
	if (*rules.phase) {
		yyjson_mut_val *experiment = sl_put_object(call, out, "experiment");
		sl_put_text(call, experiment, "phase", rules.phase);
		sl_put_json(call, experiment, "state", rules.state);
		sl_put_json(call, experiment, "weights", *rules.weights ? rules.weights : "{}");
	}
	return 0;
}

int sl_op_route(struct sl_call *call, struct sl_error *err)
{
	struct sl_store *store;
	struct sl_project *project;
	const char *name = sl_call_text(call, "endpoint");
	int rc = sl_call_store(call, &store, err);
	if (!rc)
		rc = sl_call_project(call, &project, err);
	const struct sl_endpoint *endpoint = rc ? NULL : sl_project_endpoint(project, name);
	if (!rc && !endpoint)
		rc = sl_fail(err, SL_E_NOT_FOUND, "sluice.yaml has no endpoint '%s'", name);
	if (!rc && asks_for_change(call))
		rc = set_rules(call, store, project, endpoint, err);
	if (rc)
		return rc;
	yyjson_mut_val *result = sl_call_object(call);
	sl_put_text(call, result, "endpoint", endpoint->name);
	return sl_route_put(call, store, endpoint, result, err);
}
