#include "openlineage/columns.h"

#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/str.h"

struct column { const char *name; struct ol_sources from; };
/* A table, or what stands in its place. */
struct relation { const char *name; struct column *columns; size_t count; const struct relation *next; };
/* What a name may mean, innermost first. */
struct scope {
	const struct scope *outer;
	const struct relation *tables;   /* of FROM */
	const struct column *made;       /* of this SELECT's list so far: a later one may name an earlier one */
	size_t made_count;
};
struct finder {
	const struct ol_input *inputs;
	size_t input_count;
	struct sl_arena *arena;
	const struct relation *ctes;
	struct ol_sources whole;
	bool unknown, no_memory;
	int depth;
};

static bool same(const char *a, const char *b) { return strcasecmp(a, b) == 0; }

static void *room(struct finder *f, size_t count, size_t size)
{
	void *memory = sl_arena_array(f->arena, count + 1, size);
	f->no_memory |= !memory;
	return memory;
}

/* ---- sources -------------------------------------------------------------------------------------------------------- */

static void add_source(struct finder *f, struct ol_sources *to, const struct ol_source *source, const char *how)
{
	/* A value that was computed stays so, wherever it goes. */
	how = sl_str_eq(how, "IDENTITY") || (sl_str_eq(how, "TRANSFORMATION") && sl_str_eq(source->how, "AGGREGATION")) ? source->how : how;
	for (size_t i = 0; i < to->count; i++)
		if (sl_str_eq(to->items[i].table, source->table) && sl_str_eq(to->items[i].column, source->column) && sl_str_eq(to->items[i].how, how))
			return;
	if (!to->items)
		to->items = room(f, OL_SOURCES_MAX, sizeof *to->items);
	if (!to->items || to->count == OL_SOURCES_MAX) {
		f->unknown = true;
		return;
	}
	to->items[to->count++] = (struct ol_source){source->table, source->column, how};
}

static void add_all(struct finder *f, struct ol_sources *to, const struct ol_sources *from, const char *how)
{
	for (size_t i = 0; i < from->count; i++)
		add_source(f, to, &from->items[i], how);
}

/* ---- names ---------------------------------------------------------------------------------------------------------- */

static const struct column *column_of(const struct relation *relation, const char *name)
{
	for (size_t i = 0; i < relation->count; i++)
		if (same(relation->columns[i].name, name))
			return &relation->columns[i];
	return NULL;
}

/* `name` alone: of every table that has it (USING makes one of them), else made before in the same list. */
static bool find_bare(struct finder *f, const struct scope *scope, const char *name, const char *how, struct ol_sources *to)
{
	bool found = false;
	for (; scope && !found; scope = scope->outer) {
		for (const struct relation *r = scope->tables; r; r = r->next) {
			const struct column *column = column_of(r, name);
			found |= column != NULL;
			if (column)
				add_all(f, to, &column->from, how);
		}
		for (size_t i = 0; i < scope->made_count && !found; i++)
			if (same(scope->made[i].name, name)) {
				found = true;
				add_all(f, to, &scope->made[i].from, how);
			}
	}
	return found;
}

static bool find_qualified(struct finder *f, const struct scope *scope, const char *table, const char *name, const char *how, struct ol_sources *to)
{
	for (; scope; scope = scope->outer)
		for (const struct relation *r = scope->tables; r; r = r->next) {
			const struct column *column = same(r->name, table) ? column_of(r, name) : NULL;
			if (!column)
				continue;
			add_all(f, to, &column->from, how);
			return true;
		}
	return false;
}

/* a, t.a, or the member of a struct: a.member, t.a.member. */
static void find_column(struct finder *f, const struct scope *scope, yyjson_val *names, const char *how, struct ol_sources *to)
{
	const char *first = yyjson_get_str(yyjson_arr_get(names, 0)), *second = yyjson_get_str(yyjson_arr_get(names, 1));
	bool found = first && second && find_qualified(f, scope, first, second, yyjson_arr_size(names) > 2 ? "TRANSFORMATION" : how, to);
	if (!found && first)
		found = find_bare(f, scope, first, second ? "TRANSFORMATION" : how, to);
	f->unknown |= !found;
}

/* ---- expressions ---------------------------------------------------------------------------------------------------- */

static void read_query(struct finder *f, yyjson_val *node, const struct scope *outer, struct relation *ret);

static bool aggregates(const char *function)
{
	static const char *const NAMES[] = {
		"any_value", "approx_count_distinct", "approx_quantile", "arg_max", "arg_min", "array_agg", "avg", "bit_and", "bit_or", "bit_xor", "bool_and", "bool_or",
		"corr", "count", "count_star", "covar_pop", "covar_samp", "favg", "first", "fsum", "histogram", "kurtosis", "last", "list", "mad", "max", "max_by", "mean",
		"median", "min", "min_by", "mode", "product", "quantile", "quantile_cont", "quantile_disc", "skewness", "stddev", "stddev_pop", "stddev_samp",
		"string_agg", "group_concat", "sum", "var_pop", "var_samp", "variance"};
	for (size_t i = 0; i < SL_ARRAY_LEN(NAMES); i++)
		if (same(NAMES[i], function))
			return true;
	return false;
}

static void read_value(struct finder *f, yyjson_val *value, const struct scope *scope, const char *how, struct ol_sources *to);

static void read_members(struct finder *f, yyjson_val *object, const struct scope *scope, const char *how, struct ol_sources *to)
{
	yyjson_val *key, *value;
	size_t i, max;
	bool window = sl_str_eq(sl_json_str(object, "class", ""), "WINDOW");
	yyjson_obj_foreach(object, i, max, key, value) {
		bool decides = window && (sl_str_eq(yyjson_get_str(key), "partitions") || sl_str_eq(yyjson_get_str(key), "orders"));
		read_value(f, value, scope, decides ? "WINDOW" : how, decides ? &f->whole : to);
	}
}

static void read_object(struct finder *f, yyjson_val *object, const struct scope *scope, const char *how, struct ol_sources *to)
{
	const char *class = sl_json_str(object, "class", "");
	struct relation inner = {0};
	if (sl_str_eq(class, "COLUMN_REF")) {
		find_column(f, scope, yyjson_obj_get(object, "column_names"), how, to);
	} else if (sl_str_eq(class, "SUBQUERY")) {
		read_query(f, yyjson_obj_get(yyjson_obj_get(object, "subquery"), "node"), scope, &inner);
		for (size_t i = 0; i < inner.count; i++)
			add_all(f, to, &inner.columns[i].from, "TRANSFORMATION");
		read_value(f, yyjson_obj_get(object, "child"), scope, "TRANSFORMATION", to);
	} else if (sl_str_eq(class, "LAMBDA") || sl_str_eq(class, "LAMBDA_REF") || (sl_str_eq(class, "STAR") && sl_json_bool(object, "columns", false))) {
		f->unknown = true;
	} else if (!sl_str_eq(class, "STAR")) {
		bool aggregate = sl_str_eq(class, "FUNCTION") && aggregates(sl_json_str(object, "function_name", ""));
		bool direct = sl_str_eq(how, "IDENTITY") || sl_str_eq(how, "TRANSFORMATION");
		read_members(f, object, scope, aggregate && direct ? "AGGREGATION" : *class && direct ? "TRANSFORMATION" : how, to);
	}
}

static void read_value(struct finder *f, yyjson_val *value, const struct scope *scope, const char *how, struct ol_sources *to)
{
	yyjson_val *item;
	size_t i, max;
	if (f->unknown || f->depth == OL_DEPTH_MAX) {
		f->unknown = true;
		return;
	}
	f->depth++;
	if (yyjson_is_obj(value))
		read_object(f, value, scope, how, to);
	yyjson_arr_foreach(value, i, max, item)
		read_value(f, item, scope, how, to);
	f->depth--;
}

/* ---- FROM ----------------------------------------------------------------------------------------------------------- */

static const struct relation *named(const struct finder *f, const char *name)
{
	for (const struct relation *r = f->ctes; r; r = r->next)
		if (same(r->name, name))
			return r;
	return NULL;
}

/* An input's columns are their own sources. */
static bool read_input(struct finder *f, const char *name, struct relation *ret)
{
	for (size_t i = 0; i < f->input_count; i++) {
		const struct ol_input *input = &f->inputs[i];
		if (!same(input->name, name))
			continue;
		ret->columns = room(f, input->count, sizeof *ret->columns);
		for (size_t k = 0; ret->columns && k < input->count; k++) {
			const struct ol_source source = {input->name, input->columns[k], "IDENTITY"};
			struct ol_source *own = room(f, 1, sizeof *own);
			if (!own)
				return false;
			*own = source;
			ret->columns[ret->count++] = (struct column){input->columns[k], {own, 1}};
		}
		return ret->columns != NULL;
	}
	return false;
}

static void add_relation(struct finder *f, const struct relation **list, struct relation *made)
{
	struct relation *copy = room(f, 1, sizeof *copy);
	if (!copy)
		return;
	*copy = *made;
	copy->next = NULL;
	while (*list)
		list = (const struct relation **)(uintptr_t)&(*list)->next;
	*list = copy;
}

static void read_table(struct finder *f, yyjson_val *from, const struct relation **list)
{
	const char *schema = sl_json_str(from, "schema_name", ""), *table = sl_json_str(from, "table_name", ""), *alias = sl_json_str(from, "alias", "");
	const struct relation *cte = *schema ? NULL : named(f, table);
	const char *whole = *schema ? sl_arena_printf(f->arena, "%s.%s", schema, table) : table;
	struct relation made = cte ? *cte : (struct relation){0};
	bool renamed = yyjson_arr_size(yyjson_obj_get(from, "column_name_alias")) > 0;
	f->unknown |= renamed || !whole || (!cte && !read_input(f, whole, &made));
	made.name = *alias ? alias : table;
	add_relation(f, list, &made);
}

static void read_from(struct finder *f, yyjson_val *from, const struct scope *outer, const struct relation **list)
{
	const char *type = sl_json_str(from, "type", "");
	if (f->unknown || ++f->depth >= OL_DEPTH_MAX) {
		f->unknown = true;
		return;
	}
	if (sl_str_eq(type, "BASE_TABLE")) {
		read_table(f, from, list);
	} else if (sl_str_eq(type, "SUBQUERY")) {
		struct relation made = {0};
		read_query(f, yyjson_obj_get(yyjson_obj_get(from, "subquery"), "node"), outer, &made);
		made.name = sl_json_str(from, "alias", "");
		f->unknown |= yyjson_arr_size(yyjson_obj_get(from, "column_name_alias")) > 0;
		add_relation(f, list, &made);
	} else if (sl_str_eq(type, "JOIN")) {
		read_from(f, yyjson_obj_get(from, "left"), outer, list);
		read_from(f, yyjson_obj_get(from, "right"), outer, list);
		const struct scope scope = {.outer = outer, .tables = *list};
		yyjson_val *name;
		size_t i, max;
		read_value(f, yyjson_obj_get(from, "condition"), &scope, "JOIN", &f->whole);
		yyjson_arr_foreach(yyjson_obj_get(from, "using_columns"), i, max, name)
			f->unknown |= !yyjson_is_str(name) || !find_bare(f, &scope, yyjson_get_str(name), "JOIN", &f->whole);
		f->unknown |= sl_str_eq(sl_json_str(from, "ref_type", ""), "NATURAL");
	} else if (!sl_str_eq(type, "EMPTY")) {
		f->unknown = true;
	}
	f->depth--;
}

/* The columns of USING, which a '*' gives once. */
static bool joined_by(yyjson_val *from, const char *name)
{
	yyjson_val *using;
	size_t i, max;
	if (!sl_str_eq(sl_json_str(from, "type", ""), "JOIN"))
		return false;
	yyjson_arr_foreach(yyjson_obj_get(from, "using_columns"), i, max, using)
		if (yyjson_is_str(using) && same(yyjson_get_str(using), name))
			return true;
	return joined_by(yyjson_obj_get(from, "left"), name) || joined_by(yyjson_obj_get(from, "right"), name);
}

/* ---- SELECT --------------------------------------------------------------------------------------------------------- */

static bool excluded(yyjson_val *star, const char *name)
{
	yyjson_val *item;
	size_t i, max;
	yyjson_arr_foreach(yyjson_obj_get(star, "exclude_list"), i, max, item)
		if (yyjson_is_str(item) && same(yyjson_get_str(item), name))
			return true;
	return false;
}

static void add_column(struct finder *f, struct relation *ret, const struct column *column)
{
	if (ret->count == OL_COLUMNS_MAX)
		f->unknown = true;
	else
		ret->columns[ret->count++] = *column;
}

/* `*` or `t.*`, with EXCLUDE and without anything else. */
static void read_star(struct finder *f, yyjson_val *star, yyjson_val *from, const struct scope *scope, struct relation *ret)
{
	const char *only = sl_json_str(star, "relation_name", "");
	yyjson_val *expression = yyjson_obj_get(star, "expr");
	bool plain = !sl_json_bool(star, "columns", false) && !yyjson_arr_size(yyjson_obj_get(star, "replace_list")) && !yyjson_arr_size(yyjson_obj_get(star, "rename_list")) &&
		     !yyjson_arr_size(yyjson_obj_get(star, "qualified_exclude_list")) && (!expression || yyjson_is_null(expression));
	f->unknown |= !plain;
	for (const struct relation *r = scope->tables; r; r = r->next)
		for (size_t i = 0; i < r->count && (!*only || same(only, r->name)); i++) {
			const struct column *column = &r->columns[i];
			bool again = !*only && joined_by(from, column->name) && column_of(ret, column->name);
			if (!again && !excluded(star, column->name))
				add_column(f, ret, column);
		}
}

static void read_item(struct finder *f, yyjson_val *item, const struct scope *scope, struct relation *ret)
{
	const char *alias = sl_json_str(item, "alias", "");
	yyjson_val *names = yyjson_obj_get(item, "column_names");
	const char *last = yyjson_get_str(yyjson_arr_get(names, yyjson_arr_size(names) ? yyjson_arr_size(names) - 1 : 0));
	struct column column = {.name = *alias ? alias : last ? last : ""};
	read_value(f, item, scope, "IDENTITY", &column.from);
	add_column(f, ret, &column);
}

static void read_select(struct finder *f, yyjson_val *node, const struct scope *outer, struct relation *ret)
{
	static const char *const DECIDING[][2] = {
		{"where_clause", "FILTER"}, {"group_expressions", "GROUP_BY"}, {"having", "FILTER"}, {"qualify", "FILTER"}, {"modifiers", "SORT"}};
	yyjson_val *from = yyjson_obj_get(node, "from_table"), *item;
	struct scope scope = {.outer = outer};
	size_t i, max;
	ret->columns = room(f, OL_COLUMNS_MAX, sizeof *ret->columns);
	read_from(f, from, outer, &scope.tables);
	if (!ret->columns)
		return;
	scope.made = ret->columns;
	yyjson_arr_foreach(yyjson_obj_get(node, "select_list"), i, max, item) {
		scope.made_count = ret->count;
		if (sl_str_eq(sl_json_str(item, "class", ""), "STAR"))
			read_star(f, item, from, &scope, ret);
		else
			read_item(f, item, &scope, ret);
	}
	scope.made_count = ret->count;
	for (i = 0; i < SL_ARRAY_LEN(DECIDING); i++)
		read_value(f, yyjson_obj_get(node, DECIDING[i][0]), &scope, DECIDING[i][1], &f->whole);
}

/* Both sides column by column. */
static void read_set(struct finder *f, yyjson_val *node, const struct scope *outer, struct relation *ret)
{
	struct relation right = {0};
	const char *type = sl_json_str(node, "setop_type", "");
	if (!sl_str_eq(type, "UNION") && !sl_str_eq(type, "EXCEPT") && !sl_str_eq(type, "INTERSECT")) {
		f->unknown = true; /* UNION BY NAME */
		return;
	}
	read_query(f, yyjson_obj_get(node, "left"), outer, ret);
	read_query(f, yyjson_obj_get(node, "right"), outer, &right);
	f->unknown |= ret->count != right.count;
	for (size_t i = 0; i < ret->count && !f->unknown; i++) {
		struct ol_sources both = {0};
		add_all(f, &both, &ret->columns[i].from, "IDENTITY");
		add_all(f, &both, &right.columns[i].from, "IDENTITY");
		ret->columns[i].from = both;
	}
}

static void read_query(struct finder *f, yyjson_val *node, const struct scope *outer, struct relation *ret)
{
	const char *type = sl_json_str(node, "type", "");
	const struct relation *before = f->ctes;
	yyjson_val *cte;
	size_t i, max;
	if (f->unknown || f->no_memory || ++f->depth >= OL_DEPTH_MAX) {
		f->unknown = true;
		return;
	}
	yyjson_arr_foreach(yyjson_obj_get(yyjson_obj_get(node, "cte_map"), "map"), i, max, cte) {
		struct relation *made = room(f, 1, sizeof *made);
		yyjson_val *value = yyjson_obj_get(cte, "value");
		if (!made)
			return;
		read_query(f, yyjson_obj_get(yyjson_obj_get(value, "query"), "node"), NULL, made);
		f->unknown |= yyjson_arr_size(yyjson_obj_get(value, "aliases")) > 0;
		made->name = sl_json_str(cte, "key", "");
		made->next = f->ctes;
		f->ctes = made;
	}
	if (sl_str_eq(type, "SELECT_NODE"))
		read_select(f, node, outer, ret);
	else if (sl_str_eq(type, "SET_OPERATION_NODE"))
		read_set(f, node, outer, ret);
	else
		f->unknown = true;
	f->ctes = before;
	f->depth--;
}

int ol_columns(yyjson_val *tree, const struct ol_input *inputs, size_t input_count, struct sl_arena *arena, struct ol_lineage *ret)
{
	struct finder f = {.inputs = inputs, .input_count = input_count, .arena = arena};
	struct relation result = {0};
	read_query(&f, yyjson_obj_get(yyjson_arr_get(yyjson_obj_get(tree, "statements"), 0), "node"), NULL, &result);
	if (f.no_memory)
		return SL_E_NO_MEMORY;
	if (f.unknown || !result.count)
		return 0;
	*ret = (struct ol_lineage){.columns = sl_arena_array(arena, result.count, sizeof *ret->columns), .whole = f.whole};
	for (size_t i = 0; ret->columns && i < result.count; i++)
		ret->columns[ret->count++] = result.columns[i].from;
	return ret->columns ? 1 : SL_E_NO_MEMORY;
}
