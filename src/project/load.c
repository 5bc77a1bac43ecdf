#include "project/load.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "os/file.h"

int sl_load_fail(struct sl_loader *loader, struct sl_mark mark, int code, const char *format, ...)
{
	char message[sizeof loader->err->message];
	va_list args;
	va_start(args, format);
	vsnprintf(message, sizeof message, format, args);
	va_end(args);
	sl_fail(loader->err, code, "%s", message);
	sl_error_where(loader->err, "%s:%d:%d", loader->where, mark.line, mark.column);
	return code;
}

int sl_load_memory(struct sl_loader *loader) { return sl_fail_memory(loader->err); }

int sl_load_suggest(struct sl_loader *loader, const char *name, const char *const *candidates, size_t count)
{
	const char *nearest = sl_str_nearest(name, candidates, count);
	if (nearest)
		return sl_error_hint(loader->err, "did you mean '%s'?", nearest);
	char list[400] = "";
	size_t len = 0;
	for (size_t i = 0; i < count; i++) {
		size_t need = strlen(candidates[i]) + 2;
		if (len + need >= sizeof list)
			return loader->err ? loader->err->code : SL_E_INVALID;
		len += (size_t)snprintf(list + len, sizeof list - len, "%s%s", i ? ", " : "", candidates[i]);
	}
	return count ? sl_error_hint(loader->err, "known here: %s", list) : SL_E_INVALID;
}

int sl_name_list_add(struct sl_loader *loader, struct sl_name_list *list, const char *name)
{
	if (list->count == list->capacity) {
		size_t capacity = list->capacity ? list->capacity * 2 : 8;
		const char **items = sl_arena_array(loader->arena, capacity, sizeof *items);
		if (!items)
			return sl_load_memory(loader);
		if (list->count)
			memcpy(items, list->items, list->count * sizeof *items);
		list->items = items;
		list->capacity = capacity;
	}
	list->items[list->count++] = name;
	return 0;
}

int sl_name_list_add_new(struct sl_loader *loader, struct sl_name_list *list, const char *name)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->items[i], name) == 0)
			return 0;
	return sl_name_list_add(loader, list, name);
}

struct sl_names sl_name_list_names(const struct sl_name_list *list) { return (struct sl_names){list->items, list->count}; }

/* ---- parameters ------------------------------------------------------------------------------------------------------ */

static bool is_identifier(const char *text)
{
	if (!isalpha((unsigned char)*text) && *text != '_')
		return false;
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && *text != '_')
			return false;
	return true;
}

static int find_param(const struct sl_loader *loader, const char *name)
{
	for (size_t i = 0; i < loader->project->param_count; i++)
		if (strcmp(loader->project->params[i].name, name) == 0)
			return (int)i;
	return -1;
}

static int suggest_param(struct sl_loader *loader, const char *name)
{
	struct sl_name_list names = {0};
	for (size_t i = 0; i < loader->project->param_count; i++)
		if (sl_name_list_add(loader, &names, loader->project->params[i].name))
			return SL_E_NO_MEMORY;
	if (names.count == 0)
		return sl_error_hint(loader->err, "declare it under 'params'");
	return sl_load_suggest(loader, name, names.items, names.count);
}

static int note_use(struct sl_loader *loader, int param)
{
	loader->used[param] = true;
	return loader->uses ? sl_name_list_add_new(loader, loader->uses, loader->project->params[param].name) : 0;
}

static bool is_each(const struct sl_loader *loader, const char *name) { return loader->each_name && strcmp(loader->each_name, name) == 0; }

static int note_each(struct sl_loader *loader) { return loader->uses ? sl_name_list_add_new(loader, loader->uses, loader->each_name) : 0; }

int sl_load_resolve(struct sl_loader *loader, const struct sl_yaml *node, const struct sl_yaml **ret)
{
	*ret = node;
	if (node->kind != SL_YAML_SCALAR || node->text[0] != '$')
		return 0;
	const char *name = node->text + 1;
	bool escaped = *name == '$' && is_identifier(name + 1);
	if (!escaped && !is_identifier(name))
		return 0;
	struct sl_yaml *copy = sl_arena_alloc(loader->arena, sizeof *copy);
	if (!copy)
		return sl_load_memory(loader);
	*ret = copy;
	if (escaped) {
		*copy = *node;
		copy->text = name;
		copy->plain = false;
		return 0;
	}
	if (is_each(loader, name)) {
		*copy = *loader->each_value;
		copy->mark = node->mark;
		return note_each(loader);
	}
	int param = find_param(loader, name);
	if (param < 0) {
		sl_load_fail(loader, node->mark, SL_E_INVALID, "'$%s' is not a parameter", name);
		return suggest_param(loader, name);
	}
	*copy = *loader->values[param];
	copy->mark = node->mark;
	return note_use(loader, param);
}

/* Calls for every `$name` outside of quotes, comments and dollar quotes. */
struct sql_scan { const char *p; int line, column; };

static void step_over(struct sql_scan *scan, const char *to)
{
	for (; scan->p < to; scan->p++) {
		if (*scan->p == '\n') {
			scan->line++;
			scan->column = 1;
		} else if (((unsigned char)*scan->p & 0xc0) != 0x80) {
			scan->column++;
		}
	}
}

/* The end of what begins at `p` when it is a quote or a comment, else NULL. An unclosed one ends with the text. */
static const char *skip_quoted(const char *p)
{
	const char *end = NULL;
	size_t closing = 1;
	if (*p == '\'' || *p == '"') {
		for (end = p + 1; *end && (*end != *p || end[1] == *p); end++)
			end += *end == *p;
	} else if (p[0] == '-' && p[1] == '-') {
		end = strchr(p, '\n');
	} else if (p[0] == '/' && p[1] == '*') {
		end = strstr(p + 2, "*/");
		closing = 2;
	} else {
		return NULL;
	}
	return end && *end ? end + closing : p + strlen(p);
}

static size_t identifier_length(const char *p)
{
	size_t n = 0;
	if (isalpha((unsigned char)*p) || *p == '_')
		while (isalnum((unsigned char)p[n]) || p[n] == '_')
			n++;
	return n;
}

static int note_sql_param(struct sl_loader *loader, const struct sql_scan *at, size_t len, const char *file, struct sl_mark mark)
{
	char *name = sl_arena_strndup(loader->arena, at->p + 1, len);
	if (!name)
		return sl_load_memory(loader);
	if (is_each(loader, name))
		return note_each(loader);
	int param = find_param(loader, name);
	if (param >= 0)
		return note_use(loader, param);
	if (file) {
		sl_fail(loader->err, SL_E_INVALID, "'$%s' is not a parameter", name);
		sl_error_where(loader->err, "%s:%d:%d", file, at->line, at->column);
	} else {
		sl_load_fail(loader, mark, SL_E_INVALID, "'$%s' is not a parameter", name);
	}
	return suggest_param(loader, name);
}

int sl_load_sql_params(struct sl_loader *loader, const char *text, const char *file, struct sl_mark mark)
{
	struct sql_scan scan = {.p = text, .line = 1, .column = 1};
	while (*scan.p) {
		const char *behind = skip_quoted(scan.p);
		size_t len = *scan.p == '$' ? identifier_length(scan.p + 1) : 0;
		if (!behind && *scan.p == '$' && scan.p[1 + len] == '$') {
			const char *tag = sl_arena_strndup(loader->arena, scan.p, len + 2);
			if (!tag)
				return sl_load_memory(loader);
			const char *closing = strstr(scan.p + len + 2, tag);
			behind = closing ? closing + len + 2 : scan.p + strlen(scan.p);
		} else if (!behind && len) {
			int rc = note_sql_param(loader, &scan, len, file, mark);
			if (rc)
				return rc;
			behind = scan.p + 1 + len;
		}
		step_over(&scan, behind ? behind : scan.p + 1);
	}
	return 0;
}

int sl_load_sql_file(struct sl_loader *loader, const char *path, struct sl_mark mark, const char **ret)
{
	if (!sl_relative_path_valid(path))
		return sl_load_fail(loader, mark, SL_E_INVALID, "'%.200s' is not a path inside the project", path);
	char full[SL_PATH_MAX];
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_PROJECT_SQL_BYTES_MAX);
	int rc = sl_path_join(full, loader->project->dir, path, loader->err);
	if (rc)
		return rc;
	rc = sl_file_read(full, &text, loader->err);
	if (rc == SL_E_NOT_FOUND)
		return sl_load_fail(loader, mark, SL_E_INVALID, "the file '%s' does not exist", path);
	if (rc)
		return rc;
	if (memchr(sl_buf_cstr(&text), 0, text.len) || !sl_utf8_valid(sl_buf_cstr(&text), text.len))
		return sl_load_fail(loader, mark, SL_E_INVALID, "the file '%s' is not UTF-8 text", path);
	*ret = sl_arena_strndup(loader->arena, sl_buf_cstr(&text), text.len);
	return *ret ? sl_load_sql_params(loader, *ret, path, mark) : sl_load_memory(loader);
}

/* ---- texts and values -------------------------------------------------------------------------------------------------- */

static int put_environment(struct sl_loader *loader, const struct sl_yaml *node, const char *name, size_t len, struct sl_buf *out)
{
	char *copy = sl_arena_strndup(loader->arena, name, len);
	if (!copy)
		return sl_load_memory(loader);
	const char *value = getenv(copy);
	if (!value) {
		sl_load_fail(loader, node->mark, SL_E_INVALID, "the environment variable '%s' is not set", copy);
		return sl_error_hint(loader->err, "set it, or take '${env:%s}' out", copy);
	}
	sl_buf_str(out, value);
	return 0;
}

static int put_reference(struct sl_loader *loader, const struct sl_yaml *node, const char *inner, size_t len, struct sl_buf *out)
{
	if (len > 4 && strncmp(inner, "env:", 4) == 0)
		return put_environment(loader, node, inner + 4, len - 4, out);
	if (len > 7 && strncmp(inner, "secret:", 7) == 0 && loader->secrets_allowed) {
		sl_buf_printf(out, "${%.*s}", (int)len, inner);
		return 0;
	}
	if (len > 7 && strncmp(inner, "secret:", 7) == 0)
		return sl_load_fail(loader, node->mark, SL_E_INVALID, "a secret may stand only in the 'env' of a step");
	sl_load_fail(loader, node->mark, SL_E_INVALID, "'${%.*s}' is not known", (int)(len > 100 ? 100 : len), inner);
	return sl_error_hint(loader->err, "${env:NAME} takes an environment variable; a parameter is written $name");
}

static int expand(struct sl_loader *loader, const struct sl_yaml *node, const char **ret)
{
	*ret = node->text;
	const char *p = strstr(node->text, "${");
	if (!p)
		return 0;
	SL_AUTO_BUF struct sl_buf out = SL_BUF_INIT(SL_YAML_BYTES_MAX);
	const char *from = node->text;
	for (; p; p = strstr(from, "${")) {
		const char *end = strchr(p, '}');
		if (!end)
			return sl_load_fail(loader, node->mark, SL_E_INVALID, "'${' without its '}'");
		sl_buf_add(&out, from, (size_t)(p - from));
		int rc = put_reference(loader, node, p + 2, (size_t)(end - p - 2), &out);
		if (rc)
			return rc;
		from = end + 1;
	}
	sl_buf_str(&out, from);
	int rc = sl_buf_check(&out, "the text", loader->err);
	if (rc)
		return rc;
	*ret = sl_arena_strdup(loader->arena, sl_buf_cstr(&out));
	return *ret ? 0 : sl_load_memory(loader);
}

int sl_load_text(struct sl_loader *loader, const struct sl_yaml *node, const char *what, const char **ret)
{
	int rc = sl_load_resolve(loader, node, &node);
	if (rc)
		return rc;
	if (node->kind != SL_YAML_SCALAR || sl_yaml_is_null(node))
		return sl_load_fail(loader, node->mark, SL_E_INVALID, "'%s' wants a text", what);
	return expand(loader, node, ret);
}

static bool is_time(const struct sl_yaml *node, int64_t *ret_us)
{
	return node->plain && strlen(node->text) >= 10 && node->text[4] == '-' && sl_time_parse_us(node->text, ret_us);
}

static int scalar_value(struct sl_loader *loader, const struct sl_yaml *node, struct sl_value *ret)
{
	long long integer;
	bool truth;
	*ret = (struct sl_value){.type = SL_VALUE_TEXT, .text = ""};
	if (sl_yaml_is_null(node)) {
		ret->type = SL_VALUE_NULL;
	} else if (sl_yaml_bool(node, &truth)) {
		ret->type = SL_VALUE_BOOL;
		ret->i = truth;
	} else if (sl_yaml_int(node, &integer)) {
		ret->type = SL_VALUE_INT;
		ret->i = integer;
		ret->d = (double)integer;
	} else if (sl_yaml_double(node, &ret->d)) {
		ret->type = SL_VALUE_DOUBLE;
	} else {
		ret->type = is_time(node, &ret->i) ? SL_VALUE_TIME : SL_VALUE_TEXT;
		return expand(loader, node, &ret->text);
	}
	return 0;
}

int sl_load_value(struct sl_loader *loader, const struct sl_yaml *node, struct sl_value *ret)
{
	int rc = sl_load_resolve(loader, node, &node);
	if (rc)
		return rc;
	if (node->kind == SL_YAML_SCALAR)
		return scalar_value(loader, node, ret);
	*ret = (struct sl_value){.type = SL_VALUE_JSON};
	return sl_load_definition(loader, node, &ret->text);
}

/* ---- definitions ---------------------------------------------------------------------------------------------------- */

static int scalar_json(struct sl_loader *loader, const struct sl_yaml *node, yyjson_mut_doc *doc, yyjson_mut_val **ret)
{
	struct sl_value value;
	int rc = scalar_value(loader, node, &value);
	if (rc)
		return rc;
	switch (value.type) {
	case SL_VALUE_NULL: *ret = yyjson_mut_null(doc); break;
	case SL_VALUE_BOOL: *ret = yyjson_mut_bool(doc, value.i != 0); break;
	case SL_VALUE_INT: *ret = yyjson_mut_sint(doc, value.i); break;
	case SL_VALUE_DOUBLE: *ret = yyjson_mut_real(doc, value.d); break;
	default: *ret = yyjson_mut_str(doc, value.text); break;
	}
	return *ret ? 0 : sl_load_memory(loader);
}

int sl_load_json(struct sl_loader *loader, const struct sl_yaml *node, yyjson_mut_doc *doc, yyjson_mut_val **ret)
{
	int rc = sl_load_resolve(loader, node, &node);
	if (rc)
		return rc;
	if (node->kind == SL_YAML_SCALAR)
		return scalar_json(loader, node, doc, ret);
	*ret = node->kind == SL_YAML_MAP ? yyjson_mut_obj(doc) : yyjson_mut_arr(doc);
	if (!*ret)
		return sl_load_memory(loader);
	for (size_t i = 0; i < node->count; i++) {
		yyjson_mut_val *value;
		rc = sl_load_json(loader, node->entries[i].value, doc, &value);
		if (rc)
			return rc;
		bool added = node->kind == SL_YAML_MAP ? yyjson_mut_obj_add_val(doc, *ret, node->entries[i].key->text, value)
						       : yyjson_mut_arr_append(*ret, value);
		if (!added)
			return sl_load_memory(loader);
	}
	return 0;
}

int sl_load_canonical(struct sl_loader *loader, yyjson_mut_val *value, const char **ret)
{
	SL_AUTO_BUF struct sl_buf out = SL_BUF_INIT(SL_YAML_BYTES_MAX * 2);
	int rc = sl_json_mut_canonical(value, &out, loader->err);
	if (rc)
		return rc;
	*ret = sl_arena_strdup(loader->arena, sl_buf_cstr(&out));
	return *ret ? 0 : sl_load_memory(loader);
}

int sl_load_definition(struct sl_loader *loader, const struct sl_yaml *node, const char **ret)
{
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *value;
	if (!doc)
		return sl_load_memory(loader);
	int rc = sl_load_json(loader, node, doc, &value);
	return rc ? rc : sl_load_canonical(loader, value, ret);
}
