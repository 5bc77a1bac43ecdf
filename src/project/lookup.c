#include "project/lookup.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "port/sql.h"

bool sl_lookup_is(const struct sl_lookup *lookup, const char *from, const struct sl_names *key)
{
	bool same = sl_str_eq(lookup->from, from) && lookup->key.count == key->count;
	for (size_t i = 0; same && i < key->count; i++)
		same = sl_str_eq(lookup->key.items[i], key->items[i]);
	return same;
}

/* ---- the join ---- */

/* Names of ours have a blank, which no column of a user's query gets by itself. */
#define FOUND "\"sl found\""
#define AT "\"sl at\""

static void put_name(struct sl_buf *out, const char *table, const char *name)
{
	sl_buf_str(out, table);
	sl_sql_quote_name(out, name);
}

static void put_keys(struct sl_buf *out, const struct sl_lookup *lookup, const char *before)
{
	for (size_t i = 0; i < lookup->key.count; i++) {
		sl_buf_str(out, i ? ", " : "");
		put_name(out, before, lookup->key.items[i]);
	}
}

/* Reals are written with an exponent: without, DuckDB would make a DECIMAL of them. */
static void put_default(struct sl_buf *out, const char *json)
{
	SL_AUTO_JSON yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
	yyjson_val *value = yyjson_doc_get_root(doc);
	if (yyjson_is_str(value))
		sl_sql_quote_text(out, yyjson_get_str(value));
	else if (yyjson_is_real(value) && !strpbrk(json, "eE"))
		sl_buf_printf(out, "%se0", json);
	else
		sl_buf_str(out, json);
}

/* Whether a key was found is a column of its own: a value that is there and null stays null. */
static void put_columns(struct sl_buf *out, const struct sl_lookup *lookup)
{
	for (size_t i = 0; i < lookup->columns.count; i++) {
		sl_buf_str(out, ", CASE WHEN l." FOUND " THEN ");
		put_name(out, "l.", lookup->columns.items[i]);
		sl_buf_str(out, " ELSE ");
		put_default(out, lookup->defaults[i]);
		sl_buf_str(out, " END AS ");
		put_name(out, "", lookup->columns.items[i]);
	}
}

/* The dataset's rows that have a key and a time. */
static void put_side(struct sl_buf *out, const struct sl_lookup *lookup)
{
	bool timed = *lookup->time;
	char text[SL_NAME_MAX + 80];
	sl_buf_str(out, "(SELECT *, CASE WHEN count(*) OVER (PARTITION BY ");
	put_keys(out, lookup, "");
	if (timed) {
		sl_buf_str(out, ", ");
		put_name(out, "", lookup->time);
	}
	snprintf(text, sizeof text, "'%.*s' has two rows of one key%s", SL_NAME_MAX, lookup->from, timed ? " and time" : "");
	sl_buf_str(out, ") > 1 THEN error(");
	sl_sql_quote_text(out, text);
	sl_buf_str(out, ") ELSE true END AS " FOUND " FROM ");
	sl_sql_quote_name(out, lookup->from);
	for (size_t i = 0; i < lookup->key.count + timed; i++) {
		sl_buf_str(out, i ? " AND " : " WHERE ");
		put_name(out, "", i < lookup->key.count ? lookup->key.items[i] : lookup->time);
		sl_buf_str(out, " IS NOT NULL");
	}
	sl_buf_str(out, ") AS l");
}

/* " ASOF LEFT JOIN (...) AS l ON d.key = l.key AND d.at >= l.time" */
static void put_join(struct sl_buf *out, const struct sl_lookup *lookup, const char *at)
{
	sl_buf_str(out, *lookup->time ? " ASOF LEFT JOIN " : " LEFT JOIN ");
	put_side(out, lookup);
	for (size_t i = 0; i < lookup->key.count; i++) {
		sl_buf_str(out, i ? " AND " : " ON ");
		put_name(out, "d.", lookup->key.items[i]);
		put_name(out, " = l.", lookup->key.items[i]);
	}
	if (!*lookup->time)
		return;
	sl_buf_printf(out, " AND d.%s >= ", at);
	put_name(out, "l.", lookup->time);
}

void sl_lookup_sql(const struct sl_lookup *lookup, const char *data, struct sl_buf *out)
{
	SL_AUTO_BUF struct sl_buf at = SL_BUF_INIT(1 << 16);
	sl_sql_quote_name(&at, lookup->at);
	sl_buf_str(out, "SELECT d.*");
	put_columns(out, lookup);
	sl_buf_str(out, " FROM ");
	sl_sql_quote_name(out, data);
	sl_buf_str(out, " AS d");
	put_join(out, lookup, sl_buf_cstr(&at));
}

void sl_lookup_serving_sql(const struct sl_lookup *lookup, struct sl_buf *out)
{
	sl_buf_str(out, "SELECT ");
	put_keys(out, lookup, "d.");
	put_columns(out, lookup);
	sl_buf_str(out, " FROM (SELECT *");
	if (*lookup->time) {
		sl_buf_str(out, ", (SELECT max(");
		put_name(out, "", lookup->time);
		sl_buf_str(out, ") FROM ");
		sl_sql_quote_name(out, lookup->from);
		sl_buf_str(out, ") AS " AT);
	}
	sl_buf_str(out, " FROM (SELECT DISTINCT ");
	put_keys(out, lookup, "");
	sl_buf_str(out, " FROM ");
	sl_sql_quote_name(out, lookup->from);
	sl_buf_str(out, " UNION ALL SELECT ");
	for (size_t i = 0; i < lookup->key.count; i++)
		sl_buf_str(out, i ? ", NULL" : "NULL");
	sl_buf_str(out, ")) AS d");
	put_join(out, lookup, AT);
}

/* ---- as JSON ---- */

yyjson_mut_val *sl_lookup_json(yyjson_mut_doc *doc, const struct sl_lookup *lookup)
{
	yyjson_mut_val *one = yyjson_mut_obj(doc), *defaults = one ? yyjson_mut_obj(doc) : NULL;
	yyjson_mut_val *key = yyjson_mut_arr_with_strcpy(doc, lookup->key.items, lookup->key.count);
	yyjson_mut_val *columns = yyjson_mut_arr_with_strcpy(doc, lookup->columns.items, lookup->columns.count);
	bool ok = defaults && key && columns && yyjson_mut_obj_add_strcpy(doc, one, "from", lookup->from) &&
		  yyjson_mut_obj_add_strcpy(doc, one, "at", lookup->at) && yyjson_mut_obj_add_strcpy(doc, one, "time", lookup->time) &&
		  yyjson_mut_obj_add_val(doc, one, "key", key) && yyjson_mut_obj_add_val(doc, one, "columns", columns) &&
		  yyjson_mut_obj_add_val(doc, one, "default", defaults);
	for (size_t i = 0; ok && i < lookup->columns.count; i++) {
		SL_AUTO_JSON yyjson_doc *value = yyjson_read(lookup->defaults[i], strlen(lookup->defaults[i]), 0);
		yyjson_mut_val *copy = value ? yyjson_val_mut_copy(doc, yyjson_doc_get_root(value)) : NULL;
		ok = copy && yyjson_mut_obj_add(defaults, yyjson_mut_strcpy(doc, lookup->columns.items[i]), copy);
	}
	return ok ? one : NULL;
}

static int wrong(struct sl_error *err, const char *what) { return sl_fail(err, SL_E_CORRUPT, "lookup: %s", what); }

static const char *text_of(yyjson_val *value, struct sl_arena *arena)
{
	const char *text = yyjson_get_str(value);
	return text && strlen(text) == yyjson_get_len(value) ? sl_arena_strdup(arena, text) : NULL;
}

static int read_names(yyjson_val *list, size_t most, struct sl_arena *arena, struct sl_names *ret, struct sl_error *err)
{
	size_t count = yyjson_arr_size(list);
	if (!count || count > most)
		return wrong(err, "a list of columns is missing or too long");
	ret->items = sl_arena_array(arena, count, sizeof *ret->items);
	if (!ret->items)
		return sl_fail_memory(err);
	yyjson_arr_iter it = yyjson_arr_iter_with(list);
	for (yyjson_val *item; (item = yyjson_arr_iter_next(&it));)
		if (!(ret->items[ret->count++] = text_of(item, arena)))
			return wrong(err, "a column's name is no text");
	return 0;
}

static int read_defaults(yyjson_val *defaults, struct sl_arena *arena, struct sl_lookup *ret, struct sl_error *err)
{
	ret->defaults = sl_arena_array(arena, ret->columns.count, sizeof *ret->defaults);
	if (!ret->defaults)
		return sl_fail_memory(err);
	for (size_t i = 0; i < ret->columns.count; i++) {
		yyjson_val *value = yyjson_obj_get(defaults, ret->columns.items[i]);
		SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(1 << 20);
		if (!value || yyjson_is_ctn(value))
			return wrong(err, "a column has no default, or one that is no single value");
		int rc = sl_json_canonical(value, &text, err);
		if (rc)
			return rc;
		if (!(ret->defaults[i] = sl_arena_strdup(arena, sl_buf_cstr(&text))))
			return sl_fail_memory(err);
	}
	return 0;
}

int sl_lookup_parse(yyjson_val *value, struct sl_arena *arena, struct sl_lookup *ret, struct sl_error *err)
{
	*ret = (struct sl_lookup){.from = text_of(yyjson_obj_get(value, "from"), arena), .at = text_of(yyjson_obj_get(value, "at"), arena),
				  .time = text_of(yyjson_obj_get(value, "time"), arena)};
	if (!ret->from || !ret->at || !ret->time || !sl_name_valid(ret->from) || !*ret->at != !*ret->time)
		return wrong(err, "its dataset or one of its times is missing");
	int rc = read_names(yyjson_obj_get(value, "key"), SL_LOOKUP_KEYS_MAX, arena, &ret->key, err);
	rc = rc ? rc : read_names(yyjson_obj_get(value, "columns"), SL_LOOKUP_COLUMNS_MAX, arena, &ret->columns, err);
	return rc ? rc : read_defaults(yyjson_obj_get(value, "default"), arena, ret, err);
}
