#include "op/diff_data.h"

#include <string.h>

#include "base/str.h"
#include "data/dataset.h"
#include "data/tree.h"
#include "os/walk.h"

enum { FILES_SHOWN = 1000, ROWS_SHOWN = 20, STATEMENT_MAX = 16 << 20 };

/* ---- trees ---------------------------------------------------------------------------------------------------------- */

struct file_changes { struct sl_call *call; yyjson_mut_val *items; int64_t added, removed, changed; };

static int note_file(void *context, const struct sl_tree_file *a, const struct sl_tree_file *b, struct sl_error *err)
{
	struct file_changes *c = context;
	char shown[SL_PATH_MAX];
	(void)err;
	c->added += !a;
	c->removed += !b;
	c->changed += a && b;
	if (yyjson_mut_arr_size(c->items) >= FILES_SHOWN)
		return 0;
	yyjson_mut_val *item = sl_add_object(c->call, c->items);
	sl_put_text(c->call, item, "change", !a ? "added" : !b ? "removed" : "changed");
	sl_put_text(c->call, item, "path", sl_path_show((a ? a : b)->path, shown, sizeof shown));
	if (a)
		sl_put_int(c->call, item, "size_before", (int64_t)a->size_bytes);
	if (b)
		sl_put_int(c->call, item, "size_after", (int64_t)b->size_bytes);
	return 0;
}

static int diff_trees(struct sl_call *call, struct sl_store *store, const struct sl_hash hash[2], yyjson_mut_val *out,
		      struct sl_error *err)
{
	struct file_changes c = {.call = call, .items = yyjson_mut_arr(call->doc)};
	int rc = sl_tree_compare(store->objects, &hash[0], &hash[1], note_file, &c, err);
	yyjson_mut_val *files = sl_put_object(call, out, "files");
	sl_put_int(call, files, "added", c.added);
	sl_put_int(call, files, "removed", c.removed);
	sl_put_int(call, files, "changed", c.changed);
	yyjson_mut_obj_add_val(call->doc, files, "items", c.items);
	return rc;
}

/* ---- tables --------------------------------------------------------------------------------------------------------- */

struct tables {
	struct sl_call *call;
	struct sl_sql *sql;
	struct sl_manifest manifest[2];
	const char *const *keys;
	size_t key_count;
};

static const struct sl_data_column *find_column(const struct sl_manifest *manifest, const char *name)
{
	for (size_t i = 0; i < manifest->column_count; i++)
		if (strcmp(manifest->columns[i].name, name) == 0)
			return &manifest->columns[i];
	return NULL;
}

static bool is_key(const struct tables *t, const char *name)
{
	for (size_t i = 0; i < t->key_count; i++)
		if (strcmp(t->keys[i], name) == 0)
			return true;
	return false;
}

static int check_keys(const struct tables *t, struct sl_error *err)
{
	for (size_t i = 0; i < t->key_count; i++)
		for (int side = 0; side < 2; side++)
			if (!find_column(&t->manifest[side], t->keys[i]))
				return sl_fail(err, SL_E_INVALID, "there is no column '%.200s' in %s", t->keys[i],
					       side ? "the second version" : "the first version");
	return 0;
}

/* "x"."k" IS NOT DISTINCT FROM "y"."k" AND ... over the keys. */
static void add_match(const struct tables *t, struct sl_buf *out)
{
	for (size_t i = 0; i < t->key_count; i++) {
		sl_buf_str(out, i ? " AND a." : "a.");
		sl_sql_quote_name(out, t->keys[i]);
		sl_buf_str(out, " IS NOT DISTINCT FROM b.");
		sl_sql_quote_name(out, t->keys[i]);
	}
}

/* Columns that both have, but for keys; with `differ` as "a.x IS DISTINCT FROM b.x OR ...", "false" when there is none. */
static void add_differ(const struct tables *t, struct sl_buf *out)
{
	size_t count = 0;
	for (size_t i = 0; i < t->manifest[0].column_count; i++) {
		const char *name = t->manifest[0].columns[i].name;
		if (is_key(t, name) || !find_column(&t->manifest[1], name))
			continue;
		sl_buf_str(out, count++ ? " OR a." : "a.");
		sl_sql_quote_name(out, name);
		sl_buf_str(out, " IS DISTINCT FROM b.");
		sl_sql_quote_name(out, name);
	}
	sl_buf_str(out, count ? "" : "false");
}

static void add_common(const struct tables *t, struct sl_buf *out)
{
	size_t count = 0;
	for (size_t i = 0; i < t->manifest[0].column_count; i++)
		if (find_column(&t->manifest[1], t->manifest[0].columns[i].name)) {
			sl_buf_str(out, count++ ? ", " : "");
			sl_sql_quote_name(out, t->manifest[0].columns[i].name);
		}
}

/* The rows of one kind as a SELECT. */
enum kind { ADDED, REMOVED, CHANGED };
static const char *const KIND_NAMES[] = {"added", "removed", "changed"};

static void add_select(const struct tables *t, enum kind kind, struct sl_buf *out)
{
	if (t->key_count && kind == CHANGED) {
		sl_buf_str(out, "SELECT b.* FROM a JOIN b ON ");
		add_match(t, out);
		sl_buf_str(out, " WHERE ");
		add_differ(t, out);
	} else if (t->key_count) {
		sl_buf_printf(out, "SELECT * FROM %s ANTI JOIN %s ON ", kind == ADDED ? "b" : "a", kind == ADDED ? "a" : "b");
		add_match(t, out);
	} else {
		sl_buf_str(out, "SELECT ");
		add_common(t, out);
		sl_buf_printf(out, " FROM %s EXCEPT ALL SELECT ", kind == ADDED ? "b" : "a");
		add_common(t, out);
		sl_buf_printf(out, " FROM %s", kind == ADDED ? "a" : "b");
	}
}

static int query(const struct tables *t, const struct sl_buf *text, struct sl_sql_result **ret, struct sl_error *err)
{
	int rc = sl_buf_check(text, "a comparison", err);
	return rc ? rc : sl_sql_query(t->sql, text->data, NULL, 0, "diff", ret, err);
}

/* Whole rows as JSON texts, so that a value of any type can be shown. */
static int put_samples(const struct tables *t, enum kind kind, yyjson_mut_val *samples, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(STATEMENT_MAX);
	struct sl_sql_result *rows SL_CLEANUP(sl_sql_result_closep) = NULL;
	const struct sl_sql_column *columns;
	size_t count;
	sl_buf_str(&text, "SELECT CAST(to_json(r) AS VARCHAR) FROM (");
	add_select(t, kind, &text);
	sl_buf_printf(&text, ") AS r LIMIT %d", ROWS_SHOWN);
	int rc = query(t, &text, &rows, err);
	while (!rc && (rc = sl_sql_next(rows, &columns, &count, err)) == 1) {
		for (size_t i = 0; i < count; i++) {
			yyjson_mut_val *item = sl_add_object(t->call, samples);
			char *json = sl_arena_strndup(t->call->arena, columns[0].texts[i].data, columns[0].texts[i].len);
			if (!json)
				return sl_fail_memory(err);
			sl_put_text(t->call, item, "change", KIND_NAMES[kind]);
			sl_put_json(t->call, item, "row", json);
		}
		rc = 0;
	}
	return rc;
}

static int put_count(const struct tables *t, enum kind kind, yyjson_mut_val *out, yyjson_mut_val *samples, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(STATEMENT_MAX);
	struct sl_sql_result *rows SL_CLEANUP(sl_sql_result_closep) = NULL;
	const struct sl_sql_column *columns;
	size_t count;
	if (kind == CHANGED && !t->key_count)
		return 0;
	sl_buf_str(&text, "SELECT count(*) FROM (");
	add_select(t, kind, &text);
	sl_buf_str(&text, ")");
	int rc = query(t, &text, &rows, err);
	rc = rc ? rc : sl_sql_next(rows, &columns, &count, err);
	if (rc < 0)
		return rc;
	int64_t found = count ? columns[0].ints[0] : 0;
	sl_put_int(t->call, out, KIND_NAMES[kind], found);
	return found ? put_samples(t, kind, samples, err) : 0;
}

static int diff_tables(struct sl_call *call, struct sl_store *store, const struct sl_hash hash[2], struct tables *t, yyjson_mut_val *out,
		       struct sl_error *err)
{
	struct sl_sql_table tables[2];
	const struct sl_sql_options options = {.tables = tables, .table_count = 2, .cancel = call->cancel};
	struct sl_sql *sql SL_CLEANUP(sl_sql_closep) = NULL;
	int rc = 0;
	for (int side = 0; !rc && side < 2; side++) {
		rc = sl_manifest_read(store->objects, &hash[side], call->arena, &t->manifest[side], err);
		rc = rc ? rc : sl_dataset_table(store->objects, side ? "b" : "a", &hash[side], call->arena, &tables[side], err);
	}
	rc = rc ? rc : check_keys(t, err);
	rc = rc ? rc : sl_sql_open(&options, &sql, err);
	t->sql = sql;
	yyjson_mut_val *rows = sl_put_object(call, out, "rows"), *samples = yyjson_mut_arr(call->doc);
	for (int kind = ADDED; !rc && kind <= CHANGED; kind++)
		rc = put_count(t, (enum kind)kind, rows, samples, err);
	yyjson_mut_obj_add_val(call->doc, rows, "samples", samples);
	return rc;
}

int sl_diff_data(struct sl_call *call, struct sl_store *store, const struct sl_ref ref[2], const char *const *keys, size_t key_count,
		 yyjson_mut_val *out, struct sl_error *err)
{
	struct sl_hash hash[2];
	struct tables t = {.call = call, .keys = keys, .key_count = key_count};
	bool tree[2];
	for (int side = 0; side < 2; side++) {
		struct sl_dataset_head head;
		int rc = sl_dataset_find(&store->track, ref[side].name, ref[side].version, &head, err);
		rc = rc ? rc : sl_tree_is(store->objects, &head.hash, &tree[side], err);
		if (rc)
			return rc;
		hash[side] = head.hash;
	}
	if (sl_hash_eq(&hash[0], &hash[1]))
		return 0;
	if (tree[0] != tree[1])
		return sl_fail(err, SL_E_INVALID, "a table cannot be compared with files");
	return tree[0] ? diff_trees(call, store, hash, out, err) : diff_tables(call, store, hash, &t, out, err);
}

/* ---- files ---------------------------------------------------------------------------------------------------------- */

enum { FILE_BYTES_MAX = 64 << 20, LINE_SHOWN = 200 };

/* The beginning is enough to show where they part. */
struct beginning { struct sl_buf text; };

static int take_beginning(void *context, const void *data, size_t len, struct sl_error *err)
{
	struct beginning *b = context;
	size_t room = FILE_BYTES_MAX - b->text.len;
	sl_buf_add(&b->text, data, len < room ? len : room);
	return b->text.failed ? sl_buf_check(&b->text, "what is compared", err) : len >= room;
}

static void put_line(struct sl_call *call, yyjson_mut_val *out, const char *name, const struct beginning *b, size_t from)
{
	size_t end = from;
	while (end < b->text.len && b->text.data[end] != '\n' && end - from < LINE_SHOWN)
		end++;
	const char *line = sl_arena_strndup(call->arena, b->text.data + (from < b->text.len ? from : b->text.len), from < end ? end - from : 0);
	sl_put_text(call, out, name, line ? line : "");
}

static int diff_files(struct sl_call *call, struct sl_store *store, const struct sl_hash hash[2], yyjson_mut_val *out, struct sl_error *err)
{
	struct beginning sides[2] = {{SL_BUF_INIT(FILE_BYTES_MAX)}, {SL_BUF_INIT(FILE_BYTES_MAX)}};
	int rc = 0;
	for (int side = 0; rc >= 0 && side < 2; side++)
		rc = sl_objects_read(store->objects, &hash[side], take_beginning, &sides[side], err);
	size_t at = 0, line = 0, begin = 0, shorter = sides[0].text.len < sides[1].text.len ? sides[0].text.len : sides[1].text.len;
	for (; rc >= 0 && at < shorter && sides[0].text.data[at] == sides[1].text.data[at]; at++)
		if (sides[0].text.data[at] == '\n') {
			line++;
			begin = at + 1;
		}
	if (rc >= 0) {
		yyjson_mut_val *bytes = sl_put_object(call, out, "bytes");
		sl_put_int(call, bytes, "at", (int64_t)at);
		sl_put_int(call, bytes, "line", (int64_t)line + 1);
		put_line(call, bytes, "first", &sides[0], begin);
		put_line(call, bytes, "second", &sides[1], begin);
	}
	sl_buf_done(&sides[0].text);
	sl_buf_done(&sides[1].text);
	return rc < 0 ? rc : 0;
}

int sl_diff_contents(struct sl_call *call, struct sl_store *store, const struct sl_hash hash[2], yyjson_mut_val *out, struct sl_error *err)
{
	struct tables t = {.call = call};
	struct sl_manifest manifest;
	bool first = false, second = false;
	int rc = sl_tree_is(store->objects, &hash[0], &first, err);
	rc = rc ? rc : sl_tree_is(store->objects, &hash[1], &second, err);
	if (rc || (first && second))
		return rc ? rc : diff_trees(call, store, hash, out, err);
	bool table = sl_manifest_read(store->objects, &hash[0], call->arena, &manifest, NULL) == 0;
	return table ? diff_tables(call, store, hash, &t, out, err) : diff_files(call, store, hash, out, err);
}
