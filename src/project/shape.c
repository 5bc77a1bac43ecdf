#include "project/shape.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"

const struct sl_row *sl_shape_row(const struct sl_shape *shape, const char *name)
{
	for (size_t i = 0; i < shape->count; i++)
		if (strcmp(shape->rows[i].name, name) == 0)
			return &shape->rows[i];
	return NULL;
}

int sl_shape_unknown(struct sl_loader *loader, const struct sl_shape *shape, const struct sl_yaml *key)
{
	struct sl_name_list names = {0};
	for (size_t i = 0; i < shape->count; i++)
		if (sl_name_list_add(loader, &names, shape->rows[i].name))
			return SL_E_NO_MEMORY;
	sl_load_fail(loader, key->mark, SL_E_INVALID, "%s has no key '%s'", shape->what, key->text);
	return sl_load_suggest(loader, key->text, names.items, names.count);
}

int sl_load_want_map(struct sl_loader *loader, const struct sl_yaml *node, const char *what)
{
	if (node->kind == SL_YAML_MAP)
		return 0;
	return sl_load_fail(loader, node->mark, SL_E_INVALID, "%s wants a map of keys and values", what);
}

/* ---- one value -------------------------------------------------------------------------------------------------------- */

static int read_names(struct sl_loader *loader, const struct sl_row *row, const struct sl_yaml *node, struct sl_names *ret)
{
	int rc = sl_load_resolve(loader, node, &node);
	struct sl_name_list list = {0};
	const char *text;
	if (!rc && node->kind == SL_YAML_MAP)
		rc = sl_load_fail(loader, node->mark, SL_E_INVALID, "'%s' wants a list of texts", row->name);
	if (!rc && node->kind == SL_YAML_SCALAR) {
		rc = sl_load_text(loader, node, row->name, &text);
		rc = rc ? rc : sl_name_list_add(loader, &list, text);
	}
	for (size_t i = 0; !rc && i < node->count; i++) {
		rc = sl_load_text(loader, node->entries[i].value, row->name, &text);
		rc = rc ? rc : sl_name_list_add(loader, &list, text);
	}
	if (!rc)
		*ret = sl_name_list_names(&list);
	return rc;
}

static int wrong(struct sl_loader *loader, const struct sl_row *row, const struct sl_yaml *node, const char *wants)
{
	if (node->kind != SL_YAML_SCALAR)
		return sl_load_fail(loader, node->mark, SL_E_INVALID, "'%s' wants %s", row->name, wants);
	return sl_load_fail(loader, node->mark, SL_E_INVALID, "'%s' wants %s, not '%.100s'", row->name, wants, node->text);
}

static int out_of_range(struct sl_loader *loader, const struct sl_row *row, const struct sl_yaml *node)
{
	return sl_load_fail(loader, node->mark, SL_E_INVALID, "'%s' must be from %.15g to %.15g, not %.100s", row->name, row->min, row->max, node->text);
}

static int read_number(struct sl_loader *loader, const struct sl_row *row, const struct sl_yaml *node, void *member)
{
	long long integer = 0;
	double number = 0;
	if (row->type == SL_ROW_INT) {
		if (!sl_yaml_int(node, &integer))
			return wrong(loader, row, node, "a whole number");
		number = (double)integer;
	} else if (!sl_yaml_double(node, &number)) {
		return wrong(loader, row, node, "a number");
	}
	if (row->min < row->max && (number < row->min || number > row->max))
		return out_of_range(loader, row, node);
	if (row->type == SL_ROW_INT)
		*(int64_t *)member = integer;
	else
		*(double *)member = number;
	return 0;
}

static int read_choice(struct sl_loader *loader, const struct sl_row *row, const struct sl_yaml *node, const char **ret)
{
	const char *text;
	int rc = sl_load_text(loader, node, row->name, &text);
	size_t count = 0;
	for (; !rc && row->choices[count]; count++)
		if (strcmp(row->choices[count], text) == 0) {
			*ret = row->choices[count];
			return 0;
		}
	if (rc)
		return rc;
	sl_load_fail(loader, node->mark, SL_E_INVALID, "'%s' cannot be '%.100s'", row->name, text);
	return sl_load_suggest(loader, text, row->choices, count);
}

static int read_sql(struct sl_loader *loader, const struct sl_row *row, const struct sl_yaml *node, const char **ret)
{
	if (node->kind != SL_YAML_SCALAR || sl_yaml_is_null(node))
		return wrong(loader, row, node, "an SQL expression");
	*ret = node->text;
	return sl_load_sql_params(loader, node->text, NULL, node->mark);
}

static int read_ref(struct sl_loader *loader, const struct sl_row *row, const struct sl_yaml *node, const char **ret)
{
	int rc = sl_load_text(loader, node, row->name, ret);
	if (!rc && !sl_name_valid(*ret))
		rc = wrong(loader, row, node, "a name");
	return rc;
}

static int read_measure(struct sl_loader *loader, const struct sl_row *row, const struct sl_yaml *node, void *member)
{
	const char *text;
	int rc = sl_load_text(loader, node, row->name, &text);
	if (rc)
		return rc;
	if (row->type == SL_ROW_BYTES)
		return sl_str_bytes(text, member) ? 0 : wrong(loader, row, node, "a size as 512MB or 2GB");
	int64_t ms;
	if (!sl_duration_parse(text, &ms) || ms < 0)
		return wrong(loader, row, node, "a duration as 90s, 15m, 6h or 7d");
	*(int64_t *)member = ms;
	return 0;
}

int sl_row_read(struct sl_loader *loader, const struct sl_row *row, const struct sl_yaml *node, void *target)
{
	void *member = (char *)target + row->offset;
	if (row->type == SL_ROW_OTHER)
		return row->read(loader, node, target);
	if (row->type == SL_ROW_SQL)
		return read_sql(loader, row, node, member);
	int rc = sl_load_resolve(loader, node, &node);
	if (rc)
		return rc;
	switch (row->type) {
	case SL_ROW_TEXT: return sl_load_text(loader, node, row->name, member);
	case SL_ROW_REF: return read_ref(loader, row, node, member);
	case SL_ROW_NAMES: return read_names(loader, row, node, member);
	case SL_ROW_INT:
	case SL_ROW_NUMBER: return read_number(loader, row, node, member);
	case SL_ROW_BOOL: return sl_yaml_bool(node, member) ? 0 : wrong(loader, row, node, "true or false");
	case SL_ROW_DURATION:
	case SL_ROW_BYTES: return read_measure(loader, row, node, member);
	case SL_ROW_CHOICE: return read_choice(loader, row, node, member);
	default: return sl_fail(loader->err, SL_E_BUG, "row '%s' has no type", row->name);
	}
}

/* ---- maps ---------------------------------------------------------------------------------------------------------------- */

int sl_shape_read(struct sl_loader *loader, const struct sl_shape *shape, const struct sl_yaml *node, void *target)
{
	int rc = sl_load_want_map(loader, node, shape->what);
	for (size_t i = 0; !rc && i < node->count; i++) {
		const struct sl_row *row = sl_shape_row(shape, node->entries[i].key->text);
		rc = row ? sl_row_read(loader, row, node->entries[i].value, target) : sl_shape_unknown(loader, shape, node->entries[i].key);
	}
	for (size_t i = 0; !rc && i < shape->count; i++)
		if (shape->rows[i].required && !sl_yaml_get(node, shape->rows[i].name)) {
			rc = sl_load_fail(loader, node->mark, SL_E_INVALID, "%s needs the key '%s'", shape->what, shape->rows[i].name);
			sl_error_hint(loader->err, "%s", shape->rows[i].about);
		}
	return rc;
}

int sl_section_name(struct sl_loader *loader, const struct sl_yaml *key)
{
	if (sl_name_valid(key->text))
		return 0;
	sl_load_fail(loader, key->mark, SL_E_INVALID, "'%.100s' is not a name", key->text);
	return sl_error_hint(loader->err, "a name is a letter or '_', then letters, digits, '_', '.', '-'; at most 128 in all");
}

int sl_section_each(struct sl_loader *loader, const struct sl_yaml *node, const char *what, size_t size, sl_section_read *read, void *ret_items,
		    size_t *ret_count)
{
	if (node->kind == SL_YAML_SCALAR && sl_yaml_is_null(node))
		return 0;
	int rc = sl_load_want_map(loader, node, what);
	if (rc)
		return rc;
	char *items = sl_arena_array(loader->arena, node->count + 1, size);
	if (!items)
		return sl_load_memory(loader);
	for (size_t i = 0; !rc && i < node->count; i++) {
		const struct sl_yaml *key = node->entries[i].key;
		rc = sl_section_name(loader, key);
		if (rc)
			break;
		struct sl_name_list uses = {0};
		loader->uses = &uses;
		rc = read(loader, key->text, node->entries[i].value, items + i * size);
		loader->uses = NULL;
	}
	if (rc)
		return rc;
	memcpy(ret_items, &items, sizeof items);
	*ret_count = node->count;
	return 0;
}
