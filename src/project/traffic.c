#include "project/traffic.h"

#include <math.h>
#include <string.h>

#include "base/str.h"
#include "project/traffic_internal.h"

static const char *kind_of(yyjson_val *value)
{
	return yyjson_is_obj(value) ? "a map" : yyjson_is_arr(value) ? "a list" : yyjson_is_str(value) ? "text" : yyjson_get_type_desc(value);
}

static int wrong_type(struct traffic_reader *in, const char *member, const char *wanted, yyjson_val *value)
{
	return sl_fail(in->err, SL_E_INVALID, "'%s' of 'traffic' is %s, not %s", member, wanted, kind_of(value));
}

int sl_traffic_check_members(struct traffic_reader *in, yyjson_val *object, const char *what, const char *const *names, size_t count)
{
	yyjson_obj_iter it = yyjson_obj_iter_with(object);
	for (yyjson_val *key; (key = yyjson_obj_iter_next(&it));) {
		size_t i = 0;
		while (i < count && !yyjson_equals_str(key, names[i]))
			i++;
		if (i < count)
			continue;
		sl_fail(in->err, SL_E_INVALID, "%s has no '%.64s'", what, yyjson_get_str(key));
		const char *nearest = sl_str_nearest(yyjson_get_str(key), names, count);
		return nearest ? sl_error_hint(in->err, "did you mean '%s'?", nearest)
			       : sl_error_hint(in->err, "it has %s, %s ...", names[0], names[1]);
	}
	return 0;
}

int sl_traffic_variant(struct traffic_reader *in, const char *text, size_t *ret)
{
	struct sl_traffic *out = in->out;
	const char *at = strchr(text, '@'), *alias = at ? at + 1 : text;
	const char *model = at ? sl_arena_strndup(in->arena, text, (size_t)(at - text)) : out->variants[0].model;
	if (!model)
		return sl_fail_memory(in->err);
	int64_t version;
	if (!sl_name_valid(model) || !(sl_name_valid(alias) || (sl_str_int(alias, &version) && version > 0))) {
		sl_fail(in->err, SL_E_INVALID, "'%.64s' names no variant", text);
		return sl_error_hint(in->err, "an alias or a version of '%s', or MODEL@ALIAS", out->variants[0].model);
	}
	size_t i = 0;
	while (i < out->variant_count && (strcmp(out->variants[i].model, model) != 0 || strcmp(out->variants[i].alias, alias) != 0))
		i++;
	*ret = i;
	if (i < out->variant_count)
		return 0;
	if (i == SL_VARIANTS_MAX)
		return sl_fail(in->err, SL_E_TOO_LARGE, "'traffic' names more than %d variants", SL_VARIANTS_MAX);
	struct sl_variant *variant = &out->variants[out->variant_count++];
	variant->model = model;
	variant->alias = sl_arena_strdup(in->arena, alias);
	variant->name = sl_arena_printf(in->arena, "%s@%s", model, alias);
	return variant->alias && variant->name ? 0 : sl_fail_memory(in->err);
}

static int read_variant(struct traffic_reader *in, const char *member, yyjson_val *value, size_t *ret)
{
	if (!yyjson_is_str(value))
		return wrong_type(in, member, "a variant", value);
	return sl_traffic_variant(in, yyjson_get_str(value), ret);
}

/* A number of at least 0 that is finite. */
static bool read_share(yyjson_val *value, double *ret)
{
	*ret = yyjson_get_num(value);
	return yyjson_is_num(value) && isfinite(*ret) && *ret >= 0;
}

/* Relative: 90 and 10, 9 and 1, 0.9 and 0.1 are the same. */
static int read_weights(struct traffic_reader *in, yyjson_val *weights)
{
	double sum = 0, weight;
	size_t variant;
	if (!yyjson_is_obj(weights))
		return wrong_type(in, "weights", "a map from variants to weights", weights);
	in->out->variants[0].weight = 0;
	in->has_weights = true;
	yyjson_obj_iter it = yyjson_obj_iter_with(weights);
	for (yyjson_val *key; (key = yyjson_obj_iter_next(&it));) {
		if (!read_share(yyjson_obj_iter_get_val(key), &weight) || weight > 1e9)
			return sl_fail(in->err, SL_E_INVALID, "the weight of '%.64s' must be a number from 0 to 1e9", yyjson_get_str(key));
		int rc = sl_traffic_variant(in, yyjson_get_str(key), &variant);
		if (rc)
			return rc;
		in->out->variants[variant].weight += weight;
		sum += weight;
	}
	if (sum <= 0)
		return sl_fail(in->err, SL_E_INVALID, "'weights' add up to nothing, so nobody would answer");
	for (size_t i = 0; i < in->out->variant_count; i++)
		in->out->variants[i].weight /= sum;
	return 0;
}

static int read_segment(struct traffic_reader *in, yyjson_val *value)
{
	static const char *const MEMBERS[] = {"when", "to"};
	struct sl_segment *segment = &in->out->segments[in->out->segment_count];
	yyjson_val *when = yyjson_obj_get(value, "when");
	if (!yyjson_is_obj(value) || !yyjson_is_str(when) || !yyjson_obj_get(value, "to"))
		return sl_fail(in->err, SL_E_INVALID, "a segment is {when: CONDITION, to: VARIANT}");
	int rc = sl_traffic_check_members(in, value, "a segment", MEMBERS, SL_ARRAY_LEN(MEMBERS));
	rc = rc ? rc : read_variant(in, "to", yyjson_obj_get(value, "to"), &segment->to);
	rc = rc ? rc : sl_predicate_parse(yyjson_get_str(when), in->arena, &segment->when, in->err);
	if (rc)
		return rc;
	segment->text = sl_arena_strdup(in->arena, yyjson_get_str(when));
	in->out->segment_count++;
	return segment->text ? 0 : sl_fail_memory(in->err);
}

static int read_segments(struct traffic_reader *in, yyjson_val *segments)
{
	if (!yyjson_is_arr(segments))
		return wrong_type(in, "segments", "a list", segments);
	if (yyjson_arr_size(segments) > SL_SEGMENTS_MAX)
		return sl_fail(in->err, SL_E_TOO_LARGE, "'segments' has more than %d rules", SL_SEGMENTS_MAX);
	yyjson_arr_iter it = yyjson_arr_iter_with(segments);
	int rc = 0;
	for (yyjson_val *value; !rc && (value = yyjson_arr_iter_next(&it));)
		rc = read_segment(in, value);
	return rc;
}

/* "candidate", ["a", "b"], or {"candidate": 25}: percent of the requests. */
static int read_shadow(struct traffic_reader *in, yyjson_val *shadow)
{
	size_t variant;
	int rc = 0;
	if (yyjson_is_str(shadow)) {
		rc = sl_traffic_variant(in, yyjson_get_str(shadow), &variant);
		in->out->variants[rc ? 0 : variant].shadow = 1;
		return rc;
	}
	yyjson_arr_iter names = yyjson_arr_iter_with(shadow);
	for (yyjson_val *name; !rc && (name = yyjson_arr_iter_next(&names));) {
		rc = read_variant(in, "shadow", name, &variant);
		in->out->variants[rc ? 0 : variant].shadow = 1;
	}
	yyjson_obj_iter it = yyjson_obj_iter_with(shadow);
	for (yyjson_val *key; !rc && (key = yyjson_obj_iter_next(&it));) {
		double percent;
		if (!read_share(yyjson_obj_iter_get_val(key), &percent) || percent > 100)
			return sl_fail(in->err, SL_E_INVALID, "the shadow '%.64s' sees a percentage from 0 to 100", yyjson_get_str(key));
		rc = sl_traffic_variant(in, yyjson_get_str(key), &variant);
		in->out->variants[rc ? 0 : variant].shadow = percent / 100;
	}
	if (!rc && !yyjson_is_arr(shadow) && !yyjson_is_obj(shadow))
		rc = wrong_type(in, "shadow", "a variant, a list of them, or a map from them to percentages", shadow);
	return rc;
}

/* What a canary cannot answer, its base does: clients never have its errors, which count all the same. */
static int read_experiment(struct traffic_reader *in, yyjson_val *rules)
{
	yyjson_val *canary = yyjson_obj_get(rules, "canary"), *test = yyjson_obj_get(rules, "test"), *bandit = yyjson_obj_get(rules, "bandit");
	if (!canary + !test + !bandit < 2)
		return sl_fail(in->err, SL_E_INVALID, "'traffic' has more than one of 'canary', 'test' and 'bandit'");
	if (canary && in->has_weights)
		return sl_fail(in->err, SL_E_INVALID, "a canary sets the weights: 'weights' cannot stand beside it");
	int rc = canary ? sl_traffic_read_canary(in, canary) : test ? sl_traffic_read_test(in, test) : bandit ? sl_traffic_read_bandit(in, bandit) : 0;
	if (canary && in->out->fallback == SIZE_MAX)
		in->out->fallback = 0;
	return rc;
}

static int read_members(struct traffic_reader *in, yyjson_val *rules)
{
	static const char *const MEMBERS[] = {"weights", "sticky", "segments", "shadow", "fallback", "canary", "test", "bandit"};
	yyjson_val *weights = yyjson_obj_get(rules, "weights"), *sticky = yyjson_obj_get(rules, "sticky"),
		   *segments = yyjson_obj_get(rules, "segments"), *shadow = yyjson_obj_get(rules, "shadow"),
		   *fallback = yyjson_obj_get(rules, "fallback");
	if (!yyjson_is_obj(rules))
		return sl_fail(in->err, SL_E_INVALID, "'traffic' is %s, not a map", kind_of(rules));
	int rc = sl_traffic_check_members(in, rules, "'traffic'", MEMBERS, SL_ARRAY_LEN(MEMBERS));
	if (!rc && weights)
		rc = read_weights(in, weights);
	if (!rc && segments)
		rc = read_segments(in, segments);
	if (!rc && shadow)
		rc = read_shadow(in, shadow);
	if (!rc && fallback)
		rc = read_variant(in, "fallback", fallback, &in->out->fallback);
	if (!rc)
		rc = read_experiment(in, rules);
	if (rc || !sticky)
		return rc;
	if (!yyjson_is_str(sticky) || !yyjson_get_len(sticky))
		return wrong_type(in, "sticky", "a column", sticky);
	in->out->sticky = sl_arena_strdup(in->arena, yyjson_get_str(sticky));
	return in->out->sticky ? 0 : sl_fail_memory(in->err);
}

int sl_traffic_read(yyjson_val *rules, const char *model, const char *alias, struct sl_arena *arena, const struct sl_traffic **ret,
		    struct sl_error *err)
{
	struct traffic_reader in = {.arena = arena, .out = sl_arena_alloc(arena, sizeof *in.out), .err = err};
	if (!in.out)
		return sl_fail_memory(err);
	in.out->variants[0] = (struct sl_variant){.model = model, .alias = alias, .weight = 1,
		.name = sl_arena_printf(arena, "%s@%s", model, alias)};
	in.out->variant_count = 1;
	in.out->sticky = "";
	in.out->fallback = SIZE_MAX;
	if (!in.out->variants[0].name)
		return sl_fail_memory(err);
	int rc = rules ? read_members(&in, rules) : 0;
	if (!rc)
		*ret = in.out;
	return rc;
}

int sl_traffic_parse(const char *text, const char *where, const char *model, const char *alias, struct sl_arena *arena,
		     const struct sl_traffic **ret, struct sl_error *err)
{
	if (!*text)
		return sl_traffic_read(NULL, model, alias, arena, ret, err);
	if (strlen(text) > SL_TRAFFIC_BYTES_MAX)
		return sl_fail_at(err, SL_E_TOO_LARGE, where, "rules have at most %d bytes", SL_TRAFFIC_BYTES_MAX);
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(text, strlen(text), where, err);
	return doc ? sl_traffic_read(yyjson_doc_get_root(doc), model, alias, arena, ret, err) : err->code;
}
