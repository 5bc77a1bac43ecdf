/* CSV of /invocations: RFC 4180, a header line, fields typed by the model's columns. */
#include <string.h>

#include "base/str.h"
#include "oip/column.h"
#include "oip/graph.h"
#include "oip/invocations.h"

enum { FIELD_NUMBER_MAX = 64 };

struct csv {
	const char *p, *end;
	size_t line;
	struct sl_arena *arena;
};

struct field {
	const char *text;
	size_t len;
	bool quoted;
	bool last; /* of its line */
};

/* Behind a field: a comma, a line end, or the end of the text. */
static int end_field(struct csv *csv, struct field *ret, struct sl_error *err)
{
	ret->last = true;
	if (csv->p < csv->end && *csv->p == '\r')
		csv->p++;
	if (csv->p == csv->end)
		return 0;
	char c = *csv->p++;
	if (c != ',' && c != '\n')
		return sl_fail(err, SL_E_INVALID, "line %zu: a quoted field goes on behind its quote", csv->line);
	ret->last = c == '\n';
	csv->line += c == '\n';
	return 0;
}

static int quoted_field(struct csv *csv, struct field *ret, struct sl_error *err)
{
	const char *start = ++csv->p;
	size_t doubled = 0, line = csv->line;
	for (;; csv->p++) {
		csv->p = csv->p < csv->end ? memchr(csv->p, '"', (size_t)(csv->end - csv->p)) : NULL;
		if (!csv->p)
			return sl_fail(err, SL_E_INVALID, "line %zu: a quoted field does not end", line);
		if (csv->p + 1 == csv->end || csv->p[1] != '"')
			break;
		doubled++;
		csv->p++;
	}
	ret->text = start;
	ret->len = (size_t)(csv->p - start);
	csv->p++;
	for (const char *c = start; c < start + ret->len; c++)
		csv->line += *c == '\n';
	if (doubled) {
		char *plain = sl_arena_alloc(csv->arena, ret->len + 1);
		size_t n = 0;
		if (!plain)
			return sl_fail_memory(err);
		for (size_t i = 0; i < ret->len; i++) {
			plain[n++] = start[i];
			i += start[i] == '"'; /* its second half */
		}
		ret->text = plain;
		ret->len = n;
	}
	return end_field(csv, ret, err);
}

static int next_field(struct csv *csv, struct field *ret, struct sl_error *err)
{
	ret->quoted = csv->p < csv->end && *csv->p == '"';
	if (ret->quoted)
		return quoted_field(csv, ret, err);
	ret->text = csv->p;
	while (csv->p < csv->end && *csv->p != ',' && *csv->p != '\n')
		csv->p++;
	ret->len = (size_t)(csv->p - ret->text);
	if (ret->len && ret->text[ret->len - 1] == '\r' && (csv->p == csv->end || *csv->p == '\n'))
		ret->len--;
	return end_field(csv, ret, err);
}

/* As the training table had the column. Key and time come as text. */
static int typed_cell(const struct sl_served *served, size_t slot, const struct field *field, struct sl_cell *ret)
{
	char text[FIELD_NUMBER_MAX + 1];
	const struct sl_feature *feature = sl_served_feature(served, slot);
	enum sl_sql_kind kind = feature ? feature->kind : SL_SQL_TEXT;
	*ret = (struct sl_cell){.kind = SL_CELL_NULL};
	if (!field->len && !field->quoted)
		return 0;
	if (kind == SL_SQL_TEXT || kind == SL_SQL_TIME) {
		*ret = (struct sl_cell){.kind = SL_CELL_TEXT, .len = (uint32_t)field->len, .text = field->text};
		return 0;
	}
	if (field->len > FIELD_NUMBER_MAX)
		return SL_E_INVALID;
	memcpy(text, field->text, field->len);
	text[field->len] = 0;
	bool truth = !strcmp(text, "true") || !strcmp(text, "True");
	if (kind == SL_SQL_BOOL && (truth || !strcmp(text, "false") || !strcmp(text, "False"))) {
		*ret = (struct sl_cell){.kind = SL_CELL_BOOL, .b = truth};
		return 0;
	}
	if (strlen(text) != field->len)
		return SL_E_INVALID;
	ret->kind = SL_CELL_INT;
	if (sl_str_int(text, &ret->i))
		return 0;
	ret->kind = SL_CELL_DOUBLE;
	return sl_str_double(text, &ret->d) ? 0 : SL_E_INVALID;
}

static int set_field(struct sl_inputs *rows, ptrdiff_t slot, size_t row, const struct field *field, size_t line,
		     struct sl_error *err)
{
	if (slot == SL_SLOT_NONE)
		return 0;
	if (typed_cell(rows->served, (size_t)slot, field, &rows->cells[(size_t)slot * rows->count + row]) == 0)
		return 0;
	return sl_fail(err, SL_E_INVALID, "line %zu: column '%s': '%.*s' is no %s", line, rows->served->slots[slot],
		       (int)(field->len < 40 ? field->len : 40), field->text,
		       sl_served_feature(rows->served, (size_t)slot)->kind == SL_SQL_BOOL ? "truth value" : "number");
}

/* Rows that the text can hold at most: its line ends; an empty line at the end is none. */
static size_t count_lines(const char *p, const char *end)
{
	size_t lines = 0;
	bool quoted = false, any = false;
	for (; p < end; p++) {
		quoted ^= *p == '"';
		any = true;
		if (*p == '\n' && !quoted) {
			lines++;
			any = false;
		}
	}
	return lines + any;
}

struct header {
	ptrdiff_t *slots;
	size_t count;
};

static int read_header(struct csv *csv, const struct sl_served *served, struct header *ret, struct sl_error *err)
{
	struct field field = {0};
	const size_t most = served->slot_count + SL_NAME_MAX; /* a few that are ignored */
	ret->slots = sl_arena_array(csv->arena, most, sizeof *ret->slots);
	if (!ret->slots)
		return sl_fail_memory(err);
	while (!field.last) {
		int rc = next_field(csv, &field, err);
		if (!rc && ret->count == most)
			rc = sl_fail(err, SL_E_TOO_LARGE, "the header has more than %zu columns", most);
		if (rc)
			return rc;
		char *name = sl_arena_strndup(csv->arena, field.text, field.len);
		if (!name)
			return sl_fail_memory(err);
		ret->slots[ret->count] = sl_column_slot(served, name, field.len, ret->count, &rc, err);
		ret->count++;
		if (rc)
			return rc;
	}
	return 0;
}

static int read_line(struct csv *csv, const struct header *header, struct sl_inputs *rows, size_t row, struct sl_error *err)
{
	struct field field = {0};
	size_t line = csv->line;
	for (size_t i = 0; !field.last; i++) {
		int rc = next_field(csv, &field, err);
		if (!rc && (i == header->count || (field.last && i + 1 < header->count)))
			rc = sl_fail(err, SL_E_INVALID, "line %zu has %s fields than the header's %zu", line,
				     i == header->count ? "more" : "fewer", header->count);
		if (!rc)
			rc = set_field(rows, header->slots[i], row, &field, line, err);
		if (rc)
			return rc;
	}
	return 0;
}

static int mark_given(const struct header *header, struct sl_inputs *rows, struct sl_error *err)
{
	for (size_t i = 0; i < header->count; i++) {
		ptrdiff_t slot = header->slots[i];
		if (slot == SL_SLOT_NONE)
			continue;
		if (rows->given[slot])
			return sl_fail(err, SL_E_INVALID, "column '%s' is given twice", rows->served->slots[slot]);
		rows->given[slot] = 1;
	}
	return 0;
}

int sl_invocations_csv(const char *text, size_t len, struct sl_served *served, struct sl_arena *arena, struct sl_inputs *rows,
		       struct sl_error *err)
{
	struct csv csv = {.p = text, .end = text + len, .line = 1, .arena = arena};
	struct header header = {0};
	if (!sl_utf8_valid(text, len))
		return sl_fail(err, SL_E_INVALID, "the body is not UTF-8");
	if (served->graph && sl_graph_check_table(served, err))
		return SL_E_INVALID;
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		csv.p += 3;
	int rc = read_header(&csv, served, &header, err);
	if (!rc)
		rc = sl_inputs_begin(rows, served, count_lines(csv.p, csv.end), err);
	if (!rc)
		rc = mark_given(&header, rows, err);
	size_t row = 0;
	for (; !rc && row < rows->count && csv.p < csv.end; row++)
		rc = read_line(&csv, &header, rows, row, err);
	if (!rc && (row < rows->count || csv.p < csv.end))
		rc = sl_fail(err, SL_E_INVALID, "the quotes of the body do not match");
	return rc;
}
