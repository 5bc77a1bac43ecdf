#include "record/search_page.h"

#include <string.h>

#include "base/base64.h"
#include "base/json.h"

enum { TOKEN_MAX = 64 << 10 };

/* ---- tokens --------------------------------------------------------------------------------------------------------- */

static int fail_token(struct sl_error *err)
{
	return sl_fail(err, SL_E_INVALID, "Invalid page token, could not base64-decode");
}

static bool read_value(yyjson_val *json, struct sl_arena *arena, struct sl_sort_value *ret)
{
	ret->type = yyjson_is_str(json) ? 's' : yyjson_is_real(json) ? 'd' : yyjson_is_int(json) ? 'i' : 'n';
	if (ret->type == 's')
		return (ret->s = sl_arena_strdup(arena, yyjson_get_str(json)));
	if (ret->type == 'd')
		ret->d = yyjson_get_real(json);
	else if (ret->type == 'i')
		ret->i = yyjson_get_sint(json);
	return ret->type != 'n' || yyjson_is_null(json);
}

int sl_place_read(const char *token, const struct sl_sort *sort, struct sl_arena *arena, struct sl_place *ret, struct sl_error *err)
{
	size_t len = strlen(token);
	*ret = (struct sl_place){.set = true};
	char *text = len < TOKEN_MAX ? sl_arena_alloc(arena, len + 1) : NULL;
	long n = text ? sl_base64_decode(token, len, text, len) : -1;
	yyjson_doc *doc SL_AUTO_JSON = n > 0 ? sl_json_parse(text, (size_t)n, "page token", NULL) : NULL;
	yyjson_val *root = doc ? yyjson_doc_get_root(doc) : NULL;
	if (!yyjson_is_arr(root) || yyjson_arr_size(root) != 2 + 2 * sort->count || !yyjson_is_int(yyjson_arr_get(root, 0)) ||
		!yyjson_is_int(yyjson_arr_get(root, 1)))
		return fail_token(err);
	ret->last = yyjson_get_sint(yyjson_arr_get(root, 0));
	ret->id = yyjson_get_sint(yyjson_arr_get(root, 1));
	for (size_t i = 0; i < sort->count; i++) {
		yyjson_val *class = yyjson_arr_get(root, 2 + 2 * i);
		ret->values[i].class = yyjson_get_sint(class);
		if (!yyjson_is_int(class) || !read_value(yyjson_arr_get(root, 3 + 2 * i), arena, &ret->values[i]))
			return fail_token(err);
	}
	return 0;
}

static void add_value(yyjson_mut_doc *doc, yyjson_mut_val *array, const struct sl_sort_value *value)
{
	yyjson_mut_arr_add_sint(doc, array, value->class);
	if (value->type == 's')
		yyjson_mut_arr_add_str(doc, array, value->s);
	else if (value->type == 'd')
		yyjson_mut_arr_add_real(doc, array, value->d);
	else if (value->type == 'i')
		yyjson_mut_arr_add_sint(doc, array, value->i);
	else
		yyjson_mut_arr_add_null(doc, array);
}

int sl_place_write(const struct sl_place *place, const struct sl_sort *sort, struct sl_arena *arena, const char **ret,
	struct sl_error *err)
{
	struct sl_buf json SL_AUTO_BUF = SL_BUF_INIT(TOKEN_MAX / 2), text SL_AUTO_BUF = SL_BUF_INIT(TOKEN_MAX);
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *array = doc ? yyjson_mut_arr(doc) : NULL;
	if (!array)
		return sl_fail_memory(err);
	yyjson_mut_arr_add_sint(doc, array, place->last);
	yyjson_mut_arr_add_sint(doc, array, place->id);
	for (size_t i = 0; i < sort->count; i++)
		add_value(doc, array, &place->values[i]);
	int rc = sl_json_write(array, false, &json, err);
	if (rc)
		return rc;
	sl_base64_add(&text, json.data, json.len);
	*ret = sl_arena_strdup(arena, sl_buf_cstr(&text));
	return *ret ? sl_buf_check(&text, "the page token", err) : sl_fail_memory(err);
}

void sl_place_fill(struct sl_stmt *row, const struct sl_sort *sort, struct sl_arena *arena, struct sl_place *ret)
{
	*ret = (struct sl_place){.set = true, .id = sl_stmt_int(row, 0), .last = sl_stmt_int(row, 1)};
	for (size_t i = 0; i < sort->count; i++) {
		struct sl_sort_value *value = &ret->values[i];
		int column = 3 + 2 * (int)i;
		value->class = sl_stmt_int(row, column - 1);
		value->type = sl_stmt_type(row, column);
		value->i = value->type == 'i' ? sl_stmt_int(row, column) : 0;
		value->d = value->type == 'd' ? sl_stmt_double(row, column) : 0;
		value->s = value->type == 's' ? sl_arena_strdup(arena, sl_stmt_text(row, column)) : NULL;
	}
}

/* ---- SQL ------------------------------------------------------------------------------------------------------------ */

static void bind_value(const struct sl_sort_value *value, struct sl_select *sql)
{
	if (value->type == 's')
		sl_select_text(sql, value->s);
	else if (value->type == 'd')
		sl_select_double(sql, value->d);
	else
		sl_select_int(sql, value->i);
}

static void tail_sql(const struct sl_place *place, const struct sl_sort *sort, struct sl_select *sql)
{
	const char *last_sign = sort->last_descending ? " < " : " > ", *id_sign = sort->last_descending ? " > " : " < ";
	sl_select_add(sql, "(");
	sl_select_add(sql, sort->last_sql);
	sl_select_add(sql, last_sign);
	sl_select_int(sql, place->last);
	sl_select_add(sql, " OR (");
	sl_select_add(sql, sort->last_sql);
	sl_select_add(sql, " = ");
	sl_select_int(sql, place->last);
	sl_select_add(sql, " AND ");
	sl_select_add(sql, sort->id_sql);
	sl_select_add(sql, id_sign);
	sl_select_int(sql, place->id);
	sl_select_add(sql, "))");
	if (sort->count)
		return;
	/* The same said once more as a range, from which an index can begin. */
	sl_select_add(sql, " AND ");
	sl_select_add(sql, sort->last_sql);
	sl_select_add(sql, sort->last_descending ? " <= " : " >= ");
	sl_select_int(sql, place->last);
}

static void key_sql(const struct sl_place *place, const struct sl_sort *sort, size_t i, struct sl_select *sql);

/* (v < V OR (v = V AND <the next keys>)) */
static void value_sql(const struct sl_place *place, const struct sl_sort *sort, size_t i, struct sl_select *sql)
{
	const struct sl_sort_key *key = &sort->keys[i];
	sl_select_add(sql, "(");
	sl_select_add(sql, key->value_sql);
	sl_select_add(sql, key->descending ? " < " : " > ");
	bind_value(&place->values[i], sql);
	sl_select_add(sql, " OR (");
	sl_select_add(sql, key->value_sql);
	sl_select_add(sql, " = ");
	bind_value(&place->values[i], sql);
	sl_select_add(sql, " AND ");
	key_sql(place, sort, i + 1, sql);
	sl_select_add(sql, "))");
}

/* (c > C OR (c = C AND <value and the next keys>)); a class without values has no value to compare. */
static void key_sql(const struct sl_place *place, const struct sl_sort *sort, size_t i, struct sl_select *sql)
{
	if (i == sort->count) {
		tail_sql(place, sort, sql);
		return;
	}
	const struct sl_sort_key *key = &sort->keys[i];
	if (!key->class_sql) {
		value_sql(place, sort, i, sql);
		return;
	}
	sl_select_add(sql, "(");
	sl_select_add(sql, key->class_sql);
	sl_select_add(sql, " > ");
	sl_select_int(sql, place->values[i].class);
	sl_select_add(sql, " OR (");
	sl_select_add(sql, key->class_sql);
	sl_select_add(sql, " = ");
	sl_select_int(sql, place->values[i].class);
	sl_select_add(sql, " AND ");
	if (place->values[i].class == 0)
		value_sql(place, sort, i, sql);
	else
		key_sql(place, sort, i + 1, sql);
	sl_select_add(sql, "))");
}

void sl_place_sql(const struct sl_place *place, const struct sl_sort *sort, struct sl_select *sql)
{
	if (!place->set)
		return;
	sl_select_add(sql, " AND ");
	key_sql(place, sort, 0, sql);
}

void sl_sort_sql(const struct sl_sort *sort, struct sl_select *sql)
{
	sl_select_add(sql, " ORDER BY ");
	for (size_t i = 0; i < sort->count; i++) {
		if (sort->keys[i].class_sql) {
			sl_select_add(sql, sort->keys[i].class_sql);
			sl_select_add(sql, ", ");
		}
		sl_select_add(sql, sort->keys[i].value_sql);
		sl_select_add(sql, sort->keys[i].descending ? " DESC, " : ", ");
	}
	sl_select_add(sql, sort->last_sql);
	sl_select_add(sql, sort->last_descending ? " DESC, " : ", ");
	sl_select_add(sql, sort->id_sql);
	sl_select_add(sql, sort->last_descending ? "" : " DESC");
}
