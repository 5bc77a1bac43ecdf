/* The schema as a whole: fields, environments, columns, numbers of rows. */
#include "data/check_tfdv.h"

#include <string.h>

#include "base/str.h"
#include "data/check_tfdv_internal.h"

/* ---- fields --------------------------------------------------------------------------------------------------------- */

int tfdv_refuse(struct tfdv *t, const struct sl_prototext *at, const char *what)
{
	sl_fail(t->err, SL_E_INVALID, "%s: %s", at->name, what);
	return sl_error_where(t->err, "%s:%d:%d", t->where, at->mark.line, at->mark.column);
}

int tfdv_one(struct tfdv *t, const struct sl_prototext *message, const char *name, const struct sl_prototext **ret)
{
	const struct sl_prototext *field = sl_prototext_get(message, name), *again = field ? sl_prototext_next(field) : NULL;
	if (again)
		return tfdv_refuse(t, again, "stands there twice");
	*ret = field ? field : *ret;
	return 0;
}

/* 0 and the field, NULL when it is not there. */
static int find(struct tfdv *t, const struct sl_prototext *message, const char *name, const struct sl_prototext **ret)
{
	*ret = NULL;
	return tfdv_one(t, message, name, ret);
}

int tfdv_text(struct tfdv *t, const struct sl_prototext *message, const char *name, const char **ret)
{
	const struct sl_prototext *field;
	int rc = find(t, message, name, &field);
	if (rc || !field)
		return rc;
	if (field->kind != SL_PROTOTEXT_STRING || !sl_utf8_valid(field->text, field->len))
		return tfdv_refuse(t, field, "takes a text in quotes (UTF-8)");
	*ret = field->text;
	return 0;
}

int tfdv_word(struct tfdv *t, const struct sl_prototext *message, const char *name, const char **ret)
{
	const struct sl_prototext *field;
	int rc = find(t, message, name, &field);
	if (rc || !field)
		return rc;
	if (field->kind != SL_PROTOTEXT_WORD)
		return tfdv_refuse(t, field, "takes the name of a value");
	*ret = field->text;
	return 0;
}

int tfdv_int(struct tfdv *t, const struct sl_prototext *message, const char *name, bool *ret_has, int64_t *ret)
{
	const struct sl_prototext *field;
	int rc = find(t, message, name, &field);
	*ret_has = field != NULL;
	return rc ? rc : !field || sl_prototext_int(field, ret) ? 0 : tfdv_refuse(t, field, "takes a whole number of 64 bits");
}

int tfdv_number(struct tfdv *t, const struct sl_prototext *message, const char *name, bool *ret_has, double *ret)
{
	const struct sl_prototext *field;
	int rc = find(t, message, name, &field);
	*ret_has = field != NULL;
	return rc ? rc : !field || sl_prototext_double(field, ret) ? 0 : tfdv_refuse(t, field, "takes a number");
}

int tfdv_flag(struct tfdv *t, const struct sl_prototext *message, const char *name, bool *ret)
{
	const struct sl_prototext *field;
	int rc = find(t, message, name, &field);
	return rc ? rc : !field || sl_prototext_bool(field, ret) ? 0 : tfdv_refuse(t, field, "takes true or false");
}

/* ---- what comes out ------------------------------------------------------------------------------------------------- */

yyjson_mut_val *tfdv_check(struct tfdv *t, const char *kind, yyjson_mut_val **ret_check)
{
	*ret_check = yyjson_mut_obj(t->doc);
	yyjson_mut_val *body = yyjson_mut_obj_add_obj(t->doc, *ret_check, kind);
	t->failed |= !body;
	return body;
}

static void put(struct tfdv *t, yyjson_mut_val *into, const char *name, yyjson_mut_val *value)
{
	t->failed |= !value || !yyjson_mut_obj_add(into, yyjson_mut_str(t->doc, name), value);
}

void tfdv_put_text(struct tfdv *t, yyjson_mut_val *into, const char *name, const char *text) { put(t, into, name, yyjson_mut_strcpy(t->doc, text)); }
void tfdv_put_int(struct tfdv *t, yyjson_mut_val *into, const char *name, int64_t value) { put(t, into, name, yyjson_mut_sint(t->doc, value)); }
void tfdv_put_number(struct tfdv *t, yyjson_mut_val *into, const char *name, double value) { put(t, into, name, yyjson_mut_real(t->doc, value)); }
void tfdv_put_flag(struct tfdv *t, yyjson_mut_val *into, const char *name) { put(t, into, name, yyjson_mut_bool(t->doc, true)); }

int tfdv_write(struct tfdv *t, yyjson_mut_val *check)
{
	t->count->mapped++;
	sl_buf_str(t->out, "      - ");
	int rc = t->failed ? sl_fail_memory(t->err) : sl_json_write(check, false, t->out, t->err);
	sl_buf_char(t->out, '\n');
	return rc;
}

int tfdv_note(struct tfdv *t, const char *name, const char *why)
{
	t->count->unmapped++;
	sl_buf_str(t->out, "      # not mapped: ");
	sl_json_string(t->out, name, strlen(name)); /* no line end stays in it */
	sl_buf_printf(t->out, ": %s\n", why);
	return sl_buf_check(t->out, "the checks", t->err);
}

/* ---- environments --------------------------------------------------------------------------------------------------- */

static bool names(const struct sl_prototext *message, const char *field, const char *environment)
{
	for (const struct sl_prototext *item = sl_prototext_get(message, field); item; item = sl_prototext_next(item))
		if (strcmp(item->text, environment) == 0)
			return true;
	return false;
}

bool tfdv_in_environment(const struct tfdv *t, const struct sl_prototext *feature, const char *environment)
{
	if (names(feature, "in_environment", environment))
		return true;
	return !names(feature, "not_in_environment", environment) && names(t->schema, "default_environment", environment);
}

static int add_environments(struct tfdv *t, const struct sl_prototext *message, const char *field)
{
	for (const struct sl_prototext *item = sl_prototext_get(message, field); item; item = sl_prototext_next(item)) {
		bool known = false;
		if (item->kind != SL_PROTOTEXT_STRING || !*item->text || !sl_utf8_valid(item->text, item->len))
			return tfdv_refuse(t, item, "takes a text in quotes (UTF-8)");
		for (size_t i = 0; i < t->environment_count; i++)
			known |= strcmp(t->environments[i], item->text) == 0;
		if (known)
			continue;
		if (t->environment_count == SL_TFDV_ENVIRONMENTS_MAX)
			return tfdv_refuse(t, item, "there are more than 64 environments");
		t->environments[t->environment_count++] = item->text;
	}
	return 0;
}

/* ---- the table ------------------------------------------------------------------------------------------------------ */

int tfdv_read_feature(struct tfdv *t, const struct sl_prototext *node, struct tfdv_feature *ret)
{
	static const char *const ASIDE[] = {"PLANNED", "ALPHA", "DEBUG_ONLY", "DEPRECATED", "DISABLED"};
	const struct sl_prototext *presence = NULL;
	const char *stage = "";
	double fraction = 0;
	int64_t count = 0;
	bool has = false;
	if (node->kind != SL_PROTOTEXT_MESSAGE)
		return tfdv_refuse(t, node, "takes { ... }");
	*ret = (struct tfdv_feature){.node = node, .name = "", .type = "", .everywhere = true};
	int rc = tfdv_text(t, node, "name", &ret->name);
	rc = rc ? rc : tfdv_word(t, node, "type", &ret->type);
	rc = rc ? rc : tfdv_word(t, node, "lifecycle_stage", &stage);
	rc = rc ? rc : tfdv_flag(t, node, "deprecated", &ret->ignored);
	rc = rc ? rc : tfdv_one(t, node, "presence", &presence);
	rc = rc ? rc : tfdv_number(t, presence, "min_fraction", &has, &fraction);
	rc = rc ? rc : tfdv_int(t, presence, "min_count", &has, &count);
	if (!rc && !*ret->name)
		rc = tfdv_refuse(t, node, "has no name");
	for (size_t i = 0; i < SL_ARRAY_LEN(ASIDE); i++)
		ret->ignored |= strcmp(ASIDE[i], stage) == 0;
	for (size_t i = 0; i < t->environment_count; i++)
		ret->everywhere &= tfdv_in_environment(t, node, t->environments[i]);
	ret->required = (fraction > 0 || count > 0) && !ret->ignored;
	return rc;
}

/* The columns that must be there, and those that may, in one environment ("" when there are none). */
static int map_columns(struct tfdv *t, const char *environment)
{
	yyjson_mut_val *check, *body = tfdv_check(t, "column_set", &check), *must = yyjson_mut_obj_add_arr(t->doc, body, "names"),
				     *may = yyjson_mut_arr(t->doc), *list;
	int rc = 0;
	for (const struct sl_prototext *node = sl_prototext_get(t->schema, "feature"); node && !rc; node = sl_prototext_next(node)) {
		struct tfdv_feature f;
		rc = tfdv_read_feature(t, node, &f);
		bool inside = !rc && (!*environment || tfdv_in_environment(t, node, environment));
		if (!rc && (inside || f.ignored)) /* a column of other environments is as unknown here as any */
			t->failed |= !yyjson_mut_arr_add_str(t->doc, f.required && inside ? must : may, f.name);
	}
	if (yyjson_mut_arr_size(may))
		t->failed |= !yyjson_mut_obj_add_val(t->doc, body, "optional", may);
	tfdv_put_flag(t, body, "exact");
	if (*environment) {
		list = yyjson_mut_obj_add_arr(t->doc, body, "environments");
		t->failed |= !yyjson_mut_arr_add_str(t->doc, list, environment);
	}
	return rc ? rc : tfdv_write(t, check);
}

static int map_all_columns(struct tfdv *t)
{
	int rc = 0;
	if (!sl_prototext_get(t->schema, "feature"))
		return 0;
	if (!t->environment_count)
		return map_columns(t, "");
	for (size_t i = 0; i < t->environment_count && !rc; i++)
		rc = map_columns(t, t->environments[i]);
	return rc;
}

/* Rows beside the version before: a share of it there, a change here. */
static int map_change(struct tfdv *t, const struct sl_prototext *constraints, const char *name)
{
	const struct sl_prototext *comparator = NULL;
	double low = 0, high = 0;
	bool has_low = false, has_high = false;
	yyjson_mut_val *check, *body;
	int rc = tfdv_one(t, constraints, name, &comparator);
	rc = rc ? rc : tfdv_number(t, comparator, "min_fraction_threshold", &has_low, &low);
	rc = rc ? rc : tfdv_number(t, comparator, "max_fraction_threshold", &has_high, &high);
	if (rc || (!has_low && !has_high))
		return rc;
	if (has_low && has_high && !(low <= high))
		return tfdv_refuse(t, comparator, "its least share is more than its greatest");
	body = tfdv_check(t, "change", &check);
	tfdv_put_text(t, body, "of", "rows");
	if (has_low)
		tfdv_put_number(t, body, "min", low - 1);
	if (has_high)
		tfdv_put_number(t, body, "max", high - 1);
	return tfdv_write(t, check);
}

static int map_rows(struct tfdv *t, const struct sl_prototext *constraints)
{
	int64_t low = 0, high = 0;
	bool has_low = false, has_high = false;
	yyjson_mut_val *check, *body;
	int rc = tfdv_int(t, constraints, "min_examples_count", &has_low, &low);
	rc = rc ? rc : tfdv_int(t, constraints, "max_examples_count", &has_high, &high);
	if (rc || (!has_low && !has_high))
		return rc;
	if (low < 0 || high < 0 || (has_low && has_high && low > high))
		return tfdv_refuse(t, constraints, "its numbers of examples are below 0 or out of order");
	body = tfdv_check(t, "rows", &check);
	if (has_low)
		tfdv_put_int(t, body, "min", low);
	if (has_high)
		tfdv_put_int(t, body, "max", high);
	return tfdv_write(t, check);
}

/* What a schema has besides features. */
static int map_rest(struct tfdv *t)
{
	static const char *const MAPPED[] = {"feature", "string_domain", "int_domain", "float_domain", "default_environment", "dataset_constraints", "annotation"};
	static const struct { const char *name, *why; } OTHERS[] = {
		{"sparse_feature", "sparse features: a table has no such columns"},
		{"weighted_feature", "weighted features: checks here do not weigh rows; 'where' and 'sql' may say what is meant"},
		{"tensor_representation_group", "how tensors are made of columns is nothing that data can break"},
		{"represent_variable_length_as_ragged", "how tensors are made of columns is nothing that data can break"},
	};
	int rc = 0;
	for (const struct sl_prototext *field = t->schema->first; field && !rc; field = field->next) {
		const char *why = "this field of a schema is not known here";
		bool mapped = false;
		for (size_t i = 0; i < SL_ARRAY_LEN(MAPPED); i++)
			mapped |= strcmp(MAPPED[i], field->name) == 0;
		for (size_t i = 0; i < SL_ARRAY_LEN(OTHERS); i++)
			why = strcmp(OTHERS[i].name, field->name) == 0 ? OTHERS[i].why : why;
		rc = mapped ? 0 : tfdv_note(t, field->name, why);
	}
	return rc;
}

static int map_schema(struct tfdv *t)
{
	const struct sl_prototext *constraints = NULL;
	size_t features = 0;
	int rc = add_environments(t, t->schema, "default_environment");
	for (const struct sl_prototext *f = sl_prototext_get(t->schema, "feature"); f && !rc; f = sl_prototext_next(f), features++) {
		rc = features < SL_TFDV_FEATURES_MAX ? add_environments(t, f, "in_environment") : tfdv_refuse(t, f, "there are more than 100,000 features");
		rc = rc ? rc : add_environments(t, f, "not_in_environment");
	}
	rc = rc ? rc : tfdv_one(t, t->schema, "dataset_constraints", &constraints);
	rc = rc ? rc : map_all_columns(t);
	if (!rc && constraints) {
		rc = map_rows(t, constraints);
		rc = rc ? rc : map_change(t, constraints, "num_examples_drift_comparator");
		rc = rc ? rc : map_change(t, constraints, "num_examples_version_comparator");
	}
	for (const struct sl_prototext *node = sl_prototext_get(t->schema, "feature"); node && !rc; node = sl_prototext_next(node)) {
		struct tfdv_feature f;
		rc = tfdv_read_feature(t, node, &f);
		rc = rc ? rc : tfdv_map_feature(t, &f);
	}
	if (!rc && t->rows) {
		yyjson_mut_val *check, *body = tfdv_check(t, "rows", &check);
		tfdv_put_int(t, body, "min", t->rows);
		rc = tfdv_write(t, check);
	}
	return rc ? rc : map_rest(t);
}

int sl_tfdv_import(const char *text, size_t len, const char *where, const char *dataset, struct sl_buf *out, struct sl_tfdv_count *ret, struct sl_error *err)
{
	SL_CLEANUP(sl_arena_freep) struct sl_arena *arena = len <= SL_TFDV_BYTES_MAX ? sl_arena_new(0, err) : NULL;
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	struct tfdv t = {.where = where, .dataset = dataset, .arena = arena, .doc = doc, .out = out, .count = ret, .err = err};
	*ret = (struct sl_tfdv_count){0};
	if (len > SL_TFDV_BYTES_MAX)
		return sl_fail_at(err, SL_E_TOO_LARGE, where, "a schema has at most %d MiB", SL_TFDV_BYTES_MAX >> 20);
	int rc = arena && doc ? sl_prototext_parse(text, len, where, arena, &t.schema, err) : sl_fail_memory(err);
	if (!rc && !sl_prototext_get(t.schema, "feature") && !sl_prototext_get(t.schema, "dataset_constraints"))
		rc = sl_fail_at(err, SL_E_INVALID, where, "it has no 'feature' and no 'dataset_constraints': is it a schema?");
	if (rc)
		return rc;
	sl_buf_printf(out, "datasets:\n  %s:\n    checks:\n", dataset);
	rc = map_schema(&t);
	return rc ? rc : sl_buf_check(out, "the checks", err);
}
