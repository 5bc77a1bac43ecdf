#include "cli/render.h"
#include "cli/render_op.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/str.h"
#include "base/time.h"

enum { TABLE_COLUMNS_MAX = 256, CELL_COLUMNS_MAX = 60, CELL_BYTES = 512, SHORT_HASH = 12 };

char *sl_count_format(int64_t count, char out[32])
{
	char digits[24];
	int len = snprintf(digits, sizeof digits, "%lld", (long long)count), at = 0;
	for (int i = 0; i < len; i++) {
		if (i && digits[i - 1] != '-' && (len - i) % 3 == 0)
			out[at++] = ',';
		out[at++] = digits[i];
	}
	out[at] = 0;
	return out;
}

enum sl_style sl_render_state(const char *word)
{
	static const struct { const char *word; enum sl_style style;
	} STATES[] = {
		{"ok", SL_STYLE_GOOD},
		{"ready", SL_STYLE_GOOD},
		{"fresh", SL_STYLE_GOOD},
		{"healthy", SL_STYLE_GOOD},
		{"passed", SL_STYLE_GOOD},
		{"running", SL_STYLE_WARN},
		{"waiting", SL_STYLE_WARN},
		{"warn", SL_STYLE_WARN},
		{"stale", SL_STYLE_WARN},
		{"candidate", SL_STYLE_WARN},
		{"restarting", SL_STYLE_WARN},
		{"failed", SL_STYLE_BAD},
		{"alarm", SL_STYLE_BAD},
		{"killed", SL_STYLE_BAD},
		{"refused", SL_STYLE_BAD},
		{"cancelled", SL_STYLE_WARN},
		{"cached", SL_STYLE_DIM},
		{"skipped", SL_STYLE_DIM},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(STATES); i++)
		if (sl_str_eq(STATES[i].word, word))
			return STATES[i].style;
	return SL_STYLE_PLAIN;
}

static bool is_hash(const char *text)
{
	struct sl_hash hash;
	return strlen(text) == SL_HASH_HEX && sl_hash_parse(text, &hash);
}

/* Without a name every digit counts: nothing is known of what the number means. */
static void number_text(const char *name, yyjson_mut_val *value, char out[CELL_BYTES])
{
	double d = yyjson_mut_get_num(value);
	if (!name) {
		struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(CELL_BYTES);
		if (sl_json_write(value, false, &text, NULL) == 0)
			snprintf(out, CELL_BYTES, "%s", sl_buf_cstr(&text));
		return;
	}
	if (sl_str_ends(name, "_bytes"))
		sl_bytes_format(d > 0 ? (uint64_t)d : 0, out);
	else if (sl_str_ends(name, "_ms"))
		sl_duration_format((int64_t)llround(d), out);
	else if (yyjson_mut_is_int(value) && (sl_str_ends(name, "rows") || sl_str_eq(name, "count")))
		sl_count_format(yyjson_mut_get_sint(value), out);
	else if (yyjson_mut_is_int(value))
		snprintf(out, CELL_BYTES, "%lld", (long long)yyjson_mut_get_sint(value));
	else
		snprintf(out, CELL_BYTES, "%.6g", d);
}

/* One line of text for a scalar; lists of scalars are joined; objects become short JSON. */
static void cell_text(const struct sl_term *term, const char *name, yyjson_mut_val *value, char out[CELL_BYTES])
{
	out[0] = 0;
	if (yyjson_mut_is_str(value)) {
		const char *text = yyjson_mut_get_str(value);
		snprintf(out, CELL_BYTES, "%.*s", term->tty && is_hash(text) ? SHORT_HASH : CELL_BYTES - 1, text);
		for (char *c = out; *c; c++)
			if (*c == '\n')
				*c = ' ';
	} else if (yyjson_mut_is_num(value)) {
		number_text(name, value, out);
	} else if (yyjson_mut_is_bool(value)) {
		snprintf(out, CELL_BYTES, "%s", yyjson_mut_get_bool(value) ? "yes" : "no");
	} else if (yyjson_mut_is_arr(value)) {
		size_t i, max, at = 0;
		yyjson_mut_val *item;
		yyjson_mut_arr_foreach(value, i, max, item) {
			char piece[CELL_BYTES];
			cell_text(term, name, item, piece);
			if (at + strlen(piece) + 3 >= CELL_BYTES)
				break;
			at += (size_t)snprintf(out + at, CELL_BYTES - at, "%s%s", i ? ", " : "", piece);
		}
	} else if (yyjson_mut_is_obj(value)) {
		struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(1 << 20);
		if (sl_json_write(value, false, &text, NULL) == 0)
			snprintf(out, CELL_BYTES, "%s", sl_buf_cstr(&text));
	}
}

void sl_render_value(const struct sl_term *term, const char *name, yyjson_mut_val *value, struct sl_buf *out)
{
	char text[CELL_BYTES];
	cell_text(term, name, value, text);
	bool state =
		sl_str_eq(name, "status") || sl_str_eq(name, "level") || sl_str_eq(name, "state") || sl_str_eq(name, "verdict");
	sl_term_text(term, out, state ? sl_render_state(text) : SL_STYLE_PLAIN, text);
}

/* "took_ms" is shown as "took": the value has its unit. */
static const char *shown_name(const char *name, char out[64])
{
	static const char *const units[] = {"_ms", "_bytes"};
	snprintf(out, 64, "%s", name);
	for (size_t i = 0; i < SL_ARRAY_LEN(units); i++)
		if (sl_str_ends(out, units[i]))
			out[strlen(out) - strlen(units[i])] = 0;
	return out;
}

struct table {
	const char *names[TABLE_COLUMNS_MAX];
	int widths[TABLE_COLUMNS_MAX];
	bool numbers[TABLE_COLUMNS_MAX];
	size_t count;
	bool plain; /* the names are the user's own, and tell no unit */
};

static const char *column_title(const struct table *t, const char *name, char out[64])
{
	return t->plain ? name : shown_name(name, out);
}

static void add_column(struct table *t, const char *name)
{
	for (size_t i = 0; i < t->count; i++)
		if (sl_str_eq(t->names[i], name))
			return;
	if (t->count == TABLE_COLUMNS_MAX)
		return;
	t->names[t->count] = name;
	char shown[64];
	t->widths[t->count] = sl_term_columns(column_title(t, name, shown));
	t->numbers[t->count++] = true;
}

static void measure(const struct sl_term *term, yyjson_mut_val *rows, struct table *t)
{
	size_t i, max, k, kmax;
	yyjson_mut_val *row, *key, *value;
	yyjson_mut_arr_foreach(rows, i, max, row)
		yyjson_mut_obj_foreach(row, k, kmax, key, value)
			add_column(t, yyjson_mut_get_str(key));
	yyjson_mut_arr_foreach(rows, i, max, row)
		for (size_t c = 0; c < t->count; c++) {
			char text[CELL_BYTES];
			value = yyjson_mut_obj_get(row, t->names[c]);
			cell_text(term, t->plain ? NULL : t->names[c], value, text);
			int width = sl_term_columns(text);
			t->numbers[c] &= !value || yyjson_mut_is_null(value) || yyjson_mut_is_num(value);
			if (width > t->widths[c])
				t->widths[c] = width;
		}
	for (size_t c = 0; term->width && c + 1 < t->count; c++)
		if (t->widths[c] > CELL_COLUMNS_MAX)
			t->widths[c] = CELL_COLUMNS_MAX;
}

/* Cuts to `columns` code points; the last one becomes an ellipsis when something was cut. */
static void cut(char *text, int columns)
{
	int seen = 0;
	if (columns < 1 || sl_term_columns(text) <= columns)
		return;
	for (char *c = text; *c; c++)
		if (((unsigned char)*c & 0xc0) != 0x80 && ++seen == columns) {
			strcpy(c, "\xe2\x80\xa6");
			return;
		}
}

static void write_cell(const struct sl_term *term, const struct table *t, size_t c, const char *text, enum sl_style style,
	int left, struct sl_buf *out)
{
	char shown[CELL_BYTES];
	bool last = c + 1 == t->count;
	snprintf(shown, sizeof shown, "%s", text);
	if (!last || left > 0)
		cut(shown, last && left < t->widths[c] ? left : t->widths[c]);
	int blanks = t->widths[c] - sl_term_columns(shown);
	for (int i = 0; t->numbers[c] && i < blanks; i++)
		sl_buf_char(out, ' ');
	sl_term_text(term, out, style, shown);
	for (int i = 0; !t->numbers[c] && !last && i < blanks; i++)
		sl_buf_char(out, ' ');
	sl_buf_str(out, last ? "\n" : "  ");
}

static void render_rows(const struct sl_term *term, yyjson_mut_val *rows, bool plain, struct sl_buf *out)
{
	struct table t = {.plain = plain};
	size_t i, max;
	yyjson_mut_val *row;
	int before_last = 0;

	measure(term, rows, &t);
	for (size_t c = 0; c + 1 < t.count; c++)
		before_last += t.widths[c] + 2;
	int left = term->width ? term->width - before_last : 0;
	if (term->width && left < 10)
		left = 10;
	for (size_t c = 0; c < t.count; c++) {
		char shown[64];
		write_cell(term, &t, c, column_title(&t, t.names[c], shown), SL_STYLE_DIM, left, out);
	}
	yyjson_mut_arr_foreach(rows, i, max, row)
		for (size_t c = 0; c < t.count; c++) {
			char text[CELL_BYTES];
			cell_text(term, plain ? NULL : t.names[c], yyjson_mut_obj_get(row, t.names[c]), text);
			bool state = sl_str_eq(t.names[c], "status") || sl_str_eq(t.names[c], "level") ||
				     sl_str_eq(t.names[c], "state");
			write_cell(term, &t, c, text, state ? sl_render_state(text) : SL_STYLE_PLAIN, left, out);
		}
}

void sl_render_table(const struct sl_term *term, yyjson_mut_val *rows, struct sl_buf *out) { render_rows(term, rows, false, out); }

static bool is_rows(yyjson_mut_val *value)
{
	return yyjson_mut_is_arr(value) && yyjson_mut_is_obj(yyjson_mut_arr_get_first(value));
}

static int label_width(yyjson_mut_val *object)
{
	size_t i, max;
	yyjson_mut_val *key, *value;
	int width = 0;
	yyjson_mut_obj_foreach(object, i, max, key, value) {
		char shown[64];
		int columns = sl_term_columns(shown_name(yyjson_mut_get_str(key), shown));
		if (!is_rows(value) && !yyjson_mut_is_obj(value) && columns > width)
			width = columns;
	}
	return width;
}

static void write_label(const struct sl_term *term, const char *name, int indent, int width, struct sl_buf *out)
{
	char shown[64];
	int blanks = width - sl_term_columns(shown_name(name, shown)) + 2;
	sl_buf_printf(out, "%*s", indent, "");
	sl_term_text(term, out, SL_STYLE_DIM, shown);
	sl_buf_printf(out, "%*s", width && blanks > 0 ? blanks : 0, "");
}

void sl_render_object(const struct sl_term *term, yyjson_mut_val *object, int indent, struct sl_buf *out)
{
	size_t i, max;
	yyjson_mut_val *key, *value;
	int width = label_width(object);
	yyjson_mut_obj_foreach(object, i, max, key, value) {
		const char *name = yyjson_mut_get_str(key);
		bool told_apart = !indent && sl_str_eq(name, "error"); /* on standard error */
		if (told_apart || yyjson_mut_is_null(value) || (yyjson_mut_is_ctn(value) && !yyjson_mut_get_len(value)))
			continue;
		if (is_rows(value) || yyjson_mut_is_obj(value)) {
			sl_buf_char(out, '\n');
			write_label(term, name, indent, 0, out);
			sl_buf_char(out, '\n');
			if (is_rows(value))
				sl_render_table(term, value, out);
			else
				sl_render_object(term, value, indent + 2, out);
			continue;
		}
		write_label(term, name, indent, width, out);
		sl_render_value(term, name, value, out);
		sl_buf_char(out, '\n');
	}
}

/* {"items": [...], "more": true}: the list is the result. With "columns" it answers a query, whose names are not ours. */
static void render_items(const struct sl_term *term, yyjson_mut_val *result, struct sl_buf *out)
{
	yyjson_mut_val *items = yyjson_mut_obj_get(result, "items");
	const char *note = yyjson_mut_get_str(yyjson_mut_obj_get(result, "note"));
	if (yyjson_mut_arr_size(items))
		render_rows(term, items, yyjson_mut_obj_get(result, "columns") != NULL, out);
	if (note) {
		sl_term_text(term, out, SL_STYLE_DIM, note);
		sl_buf_char(out, '\n');
	}
}

void sl_render(const struct sl_call *call, const struct sl_term *term, struct sl_buf *out)
{
	sl_op_renderer *own = sl_op_renderer_find(call->op->name);
	if (call->raw)
		sl_buf_str(out, call->raw);
	else if (own)
		own(term, call->result, out);
	else if (yyjson_mut_obj_get(call->result, "items"))
		render_items(term, call->result, out);
	else
		sl_render_object(term, call->result, 0, out);
}
