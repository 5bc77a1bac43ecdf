#include "serve/lookup_table.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/str.h"
#include "base/time.h"

struct sl_lookup_table {
	unsigned references;
	struct sl_hash version;
	struct sl_arena *arena;     /* everything but the map */
	struct sl_map *rows;        /* key as text -> its cells */
	struct sl_cell *defaults;
	size_t columns, keys;
	enum sl_sql_kind *kinds;    /* keys + columns */
	const char *names[SL_LOOKUP_KEYS_MAX];
	uint64_t map_bytes;         /* about */
};

void sl_lookup_table_ref(struct sl_lookup_table *table) { __atomic_fetch_add(&table->references, 1, __ATOMIC_RELAXED); }

void sl_lookup_table_unref(struct sl_lookup_table *table)
{
	if (!table || __atomic_fetch_sub(&table->references, 1, __ATOMIC_ACQ_REL) > 1)
		return;
	sl_map_free(table->rows);
	sl_arena_free(table->arena);
	sl_free(table);
}

const struct sl_hash *sl_lookup_table_version(const struct sl_lookup_table *table) { return &table->version; }
size_t sl_lookup_table_keys(const struct sl_lookup_table *table) { return sl_map_count(table->rows); }
enum sl_sql_kind sl_lookup_table_kind(const struct sl_lookup_table *table, size_t column) { return table->kinds[column]; }

/* ---- a key as text: each column's length and bytes, so that no two keys give the same ---- */

struct key_text { char text[SL_LOOKUP_KEY_BYTES_MAX + SL_LOOKUP_KEYS_MAX * 24 + 1]; size_t len; };

static bool add_text(struct key_text *key, const char *text, size_t len)
{
	if (len > SL_LOOKUP_KEY_BYTES_MAX || key->len + len + 24 > sizeof key->text || memchr(text, 0, len))
		return false;
	key->len += (size_t)snprintf(key->text + key->len, 24, "%zu:", len);
	memcpy(key->text + key->len, text, len);
	key->len += len;
	key->text[key->len] = 0;
	return true;
}

static bool add_number(struct key_text *key, int64_t number)
{
	char text[24];
	return add_text(key, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)number));
}

/* ---- reading ---- */

static void cell_of(const struct sl_sql_column *column, size_t row, struct sl_cell *ret)
{
	*ret = (struct sl_cell){.kind = SL_CELL_NULL};
	if (column->valid && !column->valid[row])
		return;
	switch (column->kind) {
	case SL_SQL_BOOL: *ret = (struct sl_cell){.kind = SL_CELL_BOOL, .b = column->bools[row]}; break;
	case SL_SQL_INT:
	case SL_SQL_TIME: *ret = (struct sl_cell){.kind = SL_CELL_INT, .i = column->ints[row]}; break;
	case SL_SQL_DOUBLE: *ret = (struct sl_cell){.kind = SL_CELL_DOUBLE, .d = column->doubles[row]}; break;
	case SL_SQL_TEXT: *ret = (struct sl_cell){.kind = SL_CELL_TEXT, .text = column->texts[row].data, .len = column->texts[row].len}; break;
	}
}

/* True when the row is the one without a key: its values are the defaults. */
static bool key_is_null(const struct sl_lookup_table *table, const struct sl_sql_column *columns, size_t row)
{
	for (size_t i = 0; i < table->keys; i++)
		if (columns[i].valid && !columns[i].valid[row])
			return true;
	return false;
}

static bool key_of_row(const struct sl_lookup_table *table, const struct sl_sql_column *columns, size_t row, struct key_text *ret)
{
	bool fine = true;
	ret->len = 0;
	for (size_t i = 0; fine && i < table->keys; i++) {
		struct sl_cell cell;
		cell_of(&columns[i], row, &cell);
		if (cell.kind == SL_CELL_TEXT)
			fine = add_text(ret, cell.text, cell.len);
		else
			fine = add_number(ret, cell.kind == SL_CELL_BOOL ? cell.b : cell.i);
	}
	return fine;
}

static struct sl_cell *keep_cells(struct sl_lookup_table *table, const struct sl_sql_column *columns, size_t row)
{
	struct sl_cell *cells = sl_arena_array(table->arena, table->columns, sizeof *cells);
	for (size_t i = 0; cells && i < table->columns; i++) {
		cell_of(&columns[i], row, &cells[i]);
		if (cells[i].kind == SL_CELL_TEXT && !(cells[i].text = sl_arena_strndup(table->arena, cells[i].text, cells[i].len)))
			return NULL;
	}
	return cells;
}

static int too_large(struct sl_error *err)
{
	sl_fail(err, SL_E_TOO_LARGE, "its newest values take more than %d MiB", SL_LOOKUP_BYTES_MAX >> 20);
	return sl_error_hint(err, "look up fewer columns, or leave out keys that no request has");
}

static int add_row(struct sl_lookup_table *table, const struct sl_sql_column *columns, size_t row, struct sl_error *err)
{
	enum { ENTRY_BYTES = 64 };
	struct key_text key;
	struct sl_cell *cells = keep_cells(table, columns + table->keys, row);
	if (!cells)
		return too_large(err);
	if (key_is_null(table, columns, row)) {
		table->defaults = cells;
		return 0;
	}
	if (!key_of_row(table, columns, row, &key))
		return sl_fail(err, SL_E_INVALID, "a key is longer than %d bytes, or has a zero byte", SL_LOOKUP_KEY_BYTES_MAX);
	table->map_bytes += key.len + ENTRY_BYTES;
	if (table->map_bytes + sl_arena_used(table->arena) > SL_LOOKUP_BYTES_MAX)
		return too_large(err);
	return sl_map_set(table->rows, key.text, cells, NULL, err);
}

static int take_kinds(struct sl_lookup_table *table, const struct sl_lookup *lookup, const struct sl_sql_result *result, struct sl_error *err)
{
	table->keys = lookup->key.count;
	table->columns = lookup->columns.count;
	table->kinds = sl_arena_array(table->arena, table->keys + table->columns, sizeof *table->kinds);
	if (!table->kinds)
		return sl_fail_memory(err);
	for (size_t i = 0; i < table->keys + table->columns; i++)
		table->kinds[i] = sl_sql_column_kind(result, i);
	for (size_t i = 0; i < table->keys; i++) {
		table->names[i] = sl_arena_strdup(table->arena, lookup->key.items[i]);
		if (!table->names[i])
			return sl_fail_memory(err);
		if (table->kinds[i] == SL_SQL_DOUBLE)
			return sl_fail(err, SL_E_INVALID, "'%s' is a %s: a key is a whole number, a text, a truth value or a time", table->names[i],
				       sl_sql_column_type(result, i));
	}
	return 0;
}

static int read_rows(struct sl_lookup_table *table, const struct sl_lookup *lookup, const struct sl_sql_options *options, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf query = SL_BUF_INIT(1 << 20);
	SL_CLEANUP(sl_sql_closep) struct sl_sql *sql = NULL;
	SL_CLEANUP(sl_sql_result_closep) struct sl_sql_result *result = NULL;
	const struct sl_sql_column *columns;
	size_t count;
	sl_lookup_serving_sql(lookup, &query);
	int rc = sl_buf_check(&query, "the lookup's query", err);
	rc = rc ? rc : sl_sql_open(options, &sql, err);
	rc = rc ? rc : sl_sql_query(sql, sl_buf_cstr(&query), NULL, 0, lookup->from, &result, err);
	rc = rc ? rc : take_kinds(table, lookup, result, err);
	while (!rc && (rc = sl_sql_next(result, &columns, &count, err)) == 1)
		for (rc = 0; !rc && count--;)
			rc = add_row(table, columns, count, err);
	return rc;
}

int sl_lookup_table_read(const struct sl_lookup *lookup, const struct sl_sql_table *from, const struct sl_hash *version, const volatile int *cancel,
			 struct sl_lookup_table **ret, struct sl_error *err)
{
	struct sl_lookup_table *table = sl_alloc(sizeof *table, err);
	if (!table)
		return SL_E_NO_MEMORY;
	table->references = 1;
	table->version = *version;
	table->arena = sl_arena_new(SL_LOOKUP_BYTES_MAX, err);
	table->rows = table->arena ? sl_map_new(err) : NULL;
	const struct sl_sql_options options = {.tables = from, .table_count = 1, .memory_bytes = SL_LOOKUP_SQL_BYTES, .threads = 1, .cancel = cancel};
	int rc = table->rows ? read_rows(table, lookup, &options, err) : SL_E_NO_MEMORY;
	if (!rc && !table->defaults)
		rc = sl_fail(err, SL_E_BUG, "the lookup has no defaults");
	if (rc) {
		sl_lookup_table_unref(table);
		return sl_error_context(err, "lookup of '%s'", lookup->from);
	}
	*ret = table;
	return 0;
}

/* ---- finding ---- */

static const char *const KIND_WORDS[] = {"a truth value", "a whole number", "a number", "text", "a time"};

static int refuse(const struct sl_lookup_table *table, size_t i, struct sl_error *err)
{
	return sl_fail(err, SL_E_INVALID, "column '%s' wants %s: it is a key of a lookup", table->names[i], KIND_WORDS[table->kinds[i]]);
}

/* Text as people and CSV write numbers and times. */
static bool parse_text(enum sl_sql_kind kind, const struct sl_cell *cell, int64_t *ret)
{
	char text[SL_TIME_TEXT * 2];
	if (cell->len >= sizeof text)
		return false;
	memcpy(text, cell->text, cell->len);
	text[cell->len] = 0;
	if (strlen(text) != cell->len)
		return false;
	if (kind == SL_SQL_BOOL) {
		*ret = strcmp(text, "true") == 0;
		return *ret || strcmp(text, "false") == 0;
	}
	return kind == SL_SQL_TIME ? sl_time_parse_us(text, ret) : sl_str_int(text, ret);
}

static bool number_of(enum sl_sql_kind kind, const struct sl_cell *cell, int64_t *ret)
{
	switch (cell->kind) {
	case SL_CELL_INT: *ret = cell->i; return kind != SL_SQL_BOOL || cell->i == 0 || cell->i == 1;
	case SL_CELL_BOOL: *ret = cell->b; return kind == SL_SQL_BOOL;
	case SL_CELL_DOUBLE:
		*ret = fabs(cell->d) < 9e15 ? (int64_t)cell->d : 0;
		return kind == SL_SQL_INT && (double)*ret == cell->d;
	case SL_CELL_TEXT: return parse_text(kind, cell, ret);
	case SL_CELL_NULL: break;
	}
	return false;
}

int sl_lookup_table_find(const struct sl_lookup_table *table, const struct sl_cell *const *key, const struct sl_cell **ret, struct sl_error *err)
{
	struct key_text text = {.len = 0};
	*ret = table->defaults;
	bool fits = true;
	for (size_t i = 0; i < table->keys; i++) {
		int64_t number;
		if (key[i]->kind == SL_CELL_NULL)
			return 0;
		if (table->kinds[i] == SL_SQL_TEXT) {
			if (key[i]->kind != SL_CELL_TEXT)
				return refuse(table, i, err);
			fits &= add_text(&text, key[i]->text, key[i]->len);
		} else if (number_of(table->kinds[i], key[i], &number)) {
			fits &= add_number(&text, number);
		} else {
			return refuse(table, i, err);
		}
	}
	const struct sl_cell *found = fits ? sl_map_get(table->rows, text.text) : NULL;
	*ret = found ? found : table->defaults;
	return 0;
}
