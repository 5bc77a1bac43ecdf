/* CSV. The first line names the columns, always: no guess whether it does. The delimiter is the one of , ; TAB | that is most
 * frequent in it, outside of double quotes; types are declared, or sniffed by the engine from the first 20,480 rows of each file
 * and widened where files differ.
 *
 * The engine notes every line that it cannot take (store_rejects) with the byte of the field. Without quarantine the first of
 * them is the error. With it they become the table of broken lines, except for a quote that is never closed: that one swallows
 * good lines.
 */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "data/ingest_worker.h"

enum { SNIFFED_FILES_MAX = 100 };

struct csv {
	struct sl_ingest_worker *w;
	char delimiter;
	struct sl_data_column *columns; /* of the first file, then of all; type NULL until known */
	size_t column_count;
	const char *date_format, *timestamp_format; /* sniffed; "" none */
	struct sl_error sniff;  /* why types could not be sniffed; code 0 when they could */
};

/* ---- the header ---------------------------------------------------------------------------------------------------------- */

struct head { char *first; bool has_rows; struct sl_arena *arena; };

static int take_head(void *context, const struct sl_sql_column *columns, size_t row, struct sl_error *err)
{
	struct head *head = context;

	if (head->first)
		return head->has_rows = true, 1;
	head->first = sl_engine_text(head->arena, &columns[0], row);
	return head->first ? 0 : sl_fail_memory(err);
}

/* The first line, and whether there is another. Read through the engine, which unpacks. */
static int read_head(struct sl_ingest_worker *w, size_t file, struct head *ret, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_PATH_MAX + 512);

	*ret = (struct head){.arena = w->arena};
	sl_buf_str(&text, "FROM read_csv(");
	sl_sql_quote_text(&text, w->objects[file]);
	/* A delimiter that no text holds gives whole lines. */
	sl_buf_printf(
		&text,
		", auto_detect = false, columns = {'line': 'VARCHAR'}, delim = '\x01', quote = '', escape = '', header = false, "
		"ignore_errors = true, compression = '%s') LIMIT 2",
		w->compressions[file]);
	int rc = sl_engine_each(&w->engine, sl_buf_cstr(&text), take_head, ret, err);
	if (rc < 0)
		return sl_ingest_blame(w, rc, err);
	if (!ret->first || !*ret->first)
		return sl_fail_at(err, SL_E_FAILED, w->names[file], "there is no line with the columns' names");
	return 0;
}

static char find_delimiter(const char *line)
{
	static const char CANDIDATES[] = ",;\t|";
	size_t counts[sizeof CANDIDATES] = {0}, best = 0;
	bool quoted = false;

	for (; *line; line++) {
		const char *at = strchr(CANDIDATES, *line);
		if (*line == '"')
			quoted = !quoted;
		else if (!quoted && at)
			counts[at - CANDIDATES]++;
	}
	for (size_t i = 1; i < sizeof CANDIDATES - 1; i++)
		if (counts[i] > counts[best])
			best = i;
	return CANDIDATES[best];
}

/* One field of the header from *at, without its quotes; *at moves behind the delimiter, or to NULL at the end. */
static char *next_field(const char **at, char delimiter, struct sl_arena *arena)
{
	char *field = sl_arena_alloc(arena, strlen(*at) + 1), *to = field;
	const char *c = *at;
	bool quoted = *c == '"';

	if (!field)
		return NULL;
	for (c += quoted; *c; c++) {
		if (quoted && *c == '"') {
			if (c[1] != '"') {
				c++;
				break;
			}
			c++;
		} else if (!quoted && (*c == delimiter || *c == '\r')) {
			break;
		}
		*to++ = *c;
	}
	while (*c && *c != delimiter)
		c++;
	*at = *c ? c + 1 : NULL;
	return field;
}

static int check_name(const struct csv *csv, const char *name, size_t column, const char *file, struct sl_error *err)
{
	double number;
	int rc = 0;

	if (!*name)
		rc = sl_fail(err, SL_E_FAILED, "column %zu has no name", column + 1);
	else if (sl_str_double(name, &number))
		rc = sl_fail(err, SL_E_FAILED, "'%s' stands where a column's name belongs", name);
	for (size_t i = 0; i < column && rc == 0; i++)
		if (strcasecmp(csv->columns[i].name, name) == 0)
			rc = sl_fail(err, SL_E_FAILED, "two columns have the name '%s'", name);
	if (rc < 0) {
		sl_error_where(err, "%s:1:1", file);
		sl_error_hint(err, "the first line of a CSV file names its columns");
	}
	return rc;
}

static int parse_header(struct csv *csv, const char *line, const char *file, struct sl_error *err)
{
	size_t most = 1;

	for (const char *c = line; *c; c++)
		most += *c == csv->delimiter;
	csv->columns = sl_arena_array(csv->w->arena, most, sizeof *csv->columns);
	if (!csv->columns)
		return sl_fail_memory(err);
	for (const char *at = line; at;) {
		char *name = next_field(&at, csv->delimiter, csv->w->arena);
		int rc = name ? check_name(csv, name, csv->column_count, file, err) : sl_fail_memory(err);
		if (rc < 0)
			return rc;
		csv->columns[csv->column_count++].name = name;
	}
	return 0;
}

/* A further file has the columns of the first, in their order. */
static int compare_header(struct csv *csv, const char *line, const char *file, struct sl_error *err)
{
	struct csv other = {.w = csv->w, .delimiter = csv->delimiter};
	int rc = parse_header(&other, line, file, err);

	for (size_t i = 0; rc == 0 && i < other.column_count && i < csv->column_count; i++)
		if (strcmp(other.columns[i].name, csv->columns[i].name) != 0)
			rc = sl_fail_at(err, SL_E_FAILED, file, "column %zu is '%s', and '%s' in %s", i + 1,
					other.columns[i].name, csv->columns[i].name, csv->w->names[0]);
	if (rc == 0 && other.column_count > csv->column_count)
		rc = sl_fail_at(err, SL_E_FAILED, file, "column '%s' is not in %s", other.columns[csv->column_count].name,
				csv->w->names[0]);
	if (rc == 0 && other.column_count < csv->column_count)
		rc = sl_fail_at(err, SL_E_FAILED, file, "there is no column '%s', as there is in %s",
				csv->columns[other.column_count].name, csv->w->names[0]);
	return rc;
}

/* ---- types --------------------------------------------------------------------------------------------------------------- */

/* The type that holds values of both. */
static const char *wider(const char *a, const char *b)
{
	if (!a || strcmp(a, b) == 0)
		return b;
	bool numbers =
		(strcmp(a, "BIGINT") == 0 || strcmp(a, "DOUBLE") == 0) && (strcmp(b, "BIGINT") == 0 || strcmp(b, "DOUBLE") == 0);
	bool times = (strcmp(a, "DATE") == 0 || strcmp(a, "TIMESTAMP") == 0)
		&& (strcmp(b, "DATE") == 0 || strcmp(b, "TIMESTAMP") == 0);
	return numbers ? "DOUBLE" : times ? "TIMESTAMP" : "VARCHAR";
}

struct sniffing { struct csv *csv; size_t column; };

static int take_type(void *context, const struct sl_sql_column *columns, size_t row, struct sl_error *err)
{
	struct sniffing *s = context;
	struct csv *csv = s->csv;
	char *type = sl_engine_text(csv->w->arena, &columns[0], row);

	if (!type)
		return sl_fail_memory(err);
	if (s->column < csv->column_count) {
		csv->columns[s->column].type = wider(csv->columns[s->column].type, type);
		s->column++;
	}
	if (!*csv->date_format)
		csv->date_format = sl_engine_text(csv->w->arena, &columns[1], row);
	if (!*csv->timestamp_format)
		csv->timestamp_format = sl_engine_text(csv->w->arena, &columns[2], row);
	return csv->date_format && csv->timestamp_format ? 0 : sl_fail_memory(err);
}

static void dialect(const struct csv *csv, const char *compression, struct sl_buf *out)
{
	sl_buf_printf(out, ", delim = '%c', quote = '\"', escape = '\"', header = true, compression = '%s'", csv->delimiter,
		      compression);
}

/* A file that cannot be sniffed (a broken line among the first) is told of when its lines are read: that knows the line. */
static int sniff(struct csv *csv, size_t file, struct sl_error *err)
{
	struct sniffing s = {.csv = csv};
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_PATH_MAX + 512);
	struct sl_error why = {0};

	sl_buf_str(&text, "SELECT unnest(Columns).type, DateFormat, TimestampFormat FROM sniff_csv(");
	sl_sql_quote_text(&text, csv->w->objects[file]);
	dialect(csv, csv->w->compressions[file], &text);
	sl_buf_str(&text, ", ignore_errors = true)");
	int rc = sl_engine_each(&csv->w->engine, sl_buf_cstr(&text), take_type, &s, &why);
	if (rc == SL_E_NO_MEMORY || rc == SL_E_CANCELLED) {
		if (err)
			*err = why;
		return rc;
	}
	if (rc < 0 && !csv->sniff.code) {
		sl_ingest_blame(csv->w, rc, &why);
		csv->sniff = why;
	}
	return 0;
}

static int declare(struct csv *csv, yyjson_val *declared, struct sl_error *err)
{
	yyjson_obj_iter iter = yyjson_obj_iter_with(declared);
	yyjson_val *key;

	while ((key = yyjson_obj_iter_next(&iter))) {
		const char *name = yyjson_get_str(key), *type = yyjson_get_str(yyjson_obj_iter_get_val(key));
		const char **names = sl_arena_array(csv->w->arena, csv->column_count, sizeof *names);
		size_t i = 0;
		for (; i < csv->column_count && strcmp(csv->columns[i].name, name) != 0; i++)
			if (names)
				names[i] = csv->columns[i].name;
		if (i == csv->column_count) {
			const char *nearest = names ? sl_str_nearest(name, names, csv->column_count) : NULL;
			sl_fail_at(err, SL_E_FAILED, csv->w->names[0],
				   "there is no column '%s', which is declared for source '%s'", name, csv->w->job->dataset);
			return nearest ? sl_error_hint(err, "did you mean '%s'?", nearest) : SL_E_FAILED;
		}
		csv->columns[i].type = type ? sl_arena_strdup(csv->w->arena, type) : "VARCHAR";
	}
	return 0;
}

static int find_columns(struct csv *csv, struct sl_error *err)
{
	size_t files = csv->w->job->file_count;
	int rc = 0;

	for (size_t i = 0; i < files; i++) {
		struct head head;
		if ((rc = read_head(csv->w, i, &head, err)) < 0)
			return rc;
		if (i == 0)
			csv->delimiter = find_delimiter(head.first);
		rc = i == 0 ? parse_header(csv, head.first, csv->w->names[0], err)
			    : compare_header(csv, head.first, csv->w->names[i], err);
		/* A file of a header only has no say in the types. */
		if (rc == 0 && head.has_rows && i < SNIFFED_FILES_MAX)
			rc = sniff(csv, i, err);
		if (rc < 0)
			return rc;
	}
	SL_AUTO_JSON yyjson_doc *declared = NULL;
	if ((rc = sl_ingest_declared(csv->w, &declared, err)) < 0 || (rc = declare(csv, yyjson_doc_get_root(declared), err)) < 0)
		return rc;
	if (declared && yyjson_obj_size(yyjson_doc_get_root(declared)) == csv->column_count)
		csv->sniff.code = 0;
	for (size_t i = 0; i < csv->column_count; i++)
		if (!csv->columns[i].type)
			csv->columns[i].type = "VARCHAR";
	return 0;
}

/* ---- reading ------------------------------------------------------------------------------------------------------------- */

static void format_option(struct sl_buf *out, const char *name, const char *value)
{
	if (!*value)
		return;
	sl_buf_printf(out, ", %s = ", name);
	sl_sql_quote_text(out, value);
}

/* One read_csv for files that follow each other and are packed alike. */
static void read_run(const struct csv *csv, size_t from, size_t to, struct sl_buf *out)
{
	sl_buf_str(out, "SELECT * FROM read_csv(");
	sl_engine_list(out, csv->w->objects + from, to - from);
	sl_buf_str(out, ", auto_detect = false, store_rejects = true, rejects_limit = 0, columns = {");
	for (size_t i = 0; i < csv->column_count; i++) {
		sl_buf_str(out, i ? ", " : "");
		sl_sql_quote_text(out, csv->columns[i].name);
		sl_buf_str(out, ": ");
		sl_sql_quote_text(out, csv->columns[i].type);
	}
	sl_buf_char(out, '}');
	dialect(csv, csv->w->compressions[from], out);
	format_option(out, "dateformat", csv->date_format);
	format_option(out, "timestampformat", csv->timestamp_format);
	sl_buf_char(out, ')');
}

static void read_all(const struct csv *csv, struct sl_buf *out)
{
	size_t files = csv->w->job->file_count;

	for (size_t from = 0, to; from < files; from = to) {
		for (to = from + 1; to < files && strcmp(csv->w->compressions[from], csv->w->compressions[to]) == 0;)
			to++;
		sl_buf_str(out, from ? " UNION ALL " : "");
		read_run(csv, from, to, out);
	}
}

/* The rejected lines under the names of the user: file, line, byte in the line, reason, raw. */
static void select_rejects(const struct csv *csv, struct sl_buf *out)
{
	const struct sl_ingest_worker *w = csv->w;

	sl_buf_str(out, "WITH names(path, file) AS (VALUES ");
	for (size_t i = 0; i < w->job->file_count; i++) {
		sl_buf_str(out, i ? ", (" : "(");
		sl_sql_quote_text(out, w->objects[i]);
		sl_buf_str(out, ", ");
		sl_sql_quote_text(out, w->names[i]);
		sl_buf_char(out, ')');
	}
	sl_buf_str(out, "), types(name, type) AS (VALUES ");
	for (size_t i = 0; i < csv->column_count; i++) {
		sl_buf_str(out, i ? ", (" : "(");
		sl_sql_quote_text(out, csv->columns[i].name);
		sl_buf_str(out, ", ");
		sl_sql_quote_text(out, csv->columns[i].type);
		sl_buf_char(out, ')');
	}
	sl_buf_str(
		out,
		"), found AS (SELECT DISTINCT n.file, e.line::BIGINT AS line, "
		"(coalesce(e.byte_position, e.line_byte_position) - e.line_byte_position + 1)::BIGINT AS col, "
		"e.column_idx, e.error_type, e.csv_line AS raw, "
		"CASE e.error_type WHEN 'CAST' THEN '''' || regexp_extract(e.error_message, 'Could not convert string "
		"\"(.*)\" to', 1, 's') "
		"|| ''' is not a ' || lower(t.type) || ' in column ''' || e.column_name || '''' "
		"WHEN 'MISSING COLUMNS' THEN regexp_extract(e.error_message, 'Found: ([0-9]+)', 1) || ' columns where ");
	sl_buf_printf(out, "%zu belong' WHEN 'TOO MANY COLUMNS' THEN 'more columns than the %zu of the first line' ",
		      csv->column_count, csv->column_count);
	sl_buf_str(
		out,
		"WHEN 'UNQUOTED VALUE' THEN CASE WHEN contains(rtrim(e.csv_line, chr(10) || chr(13)), chr(10)) "
		"THEN 'a quote is opened here and never closed' ELSE 'a quote inside the value is not doubled' END "
		"WHEN 'LINE SIZE OVER MAXIMUM' THEN 'the line is longer than 2,000,000 bytes' "
		"WHEN 'INVALID ENCODING' THEN 'the line is not UTF-8' ELSE e.error_message END AS reason, "
		"e.error_type = 'UNQUOTED VALUE' AND contains(rtrim(e.csv_line, chr(10) || chr(13)), chr(10)) AS fatal "
		"FROM reject_errors e JOIN reject_scans s ON s.scan_id = e.scan_id AND s.file_id = e.file_id JOIN names n "
		"ON n.path = s.file_path "
		"LEFT JOIN types t ON t.name = e.column_name) ");
}

struct first_reject { char *file, *reason; int64_t line, column, lines; bool fatal; struct sl_arena *arena; };

static int take_reject(void *context, const struct sl_sql_column *columns, size_t row, struct sl_error *err)
{
	struct first_reject *first = context;

	first->file = sl_engine_text(first->arena, &columns[0], row);
	first->line = columns[1].ints[row];
	first->column = columns[2].ints[row];
	first->reason = sl_engine_text(first->arena, &columns[3], row);
	first->lines = columns[4].ints[row];
	first->fatal = columns[5].bools[row];
	return first->file && first->reason ? 1 : sl_fail_memory(err);
}

/* 0: no line was rejected; else the first that matters (a fatal one before others), with the number of all rejected lines. */
static int first_reject(const struct csv *csv, struct first_reject *ret, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);

	*ret = (struct first_reject){.arena = csv->w->arena};
	select_rejects(csv, &text);
	sl_buf_str(&text, "SELECT file, line, col, reason, (SELECT count(DISTINCT (file, line)) FROM found), fatal FROM found "
		"ORDER BY fatal DESC, file, line, col LIMIT 1");
	int rc = sl_buf_check(&text, "the list of input files", err);
	return rc < 0 ? rc : sl_engine_each(&csv->w->engine, sl_buf_cstr(&text), take_reject, ret, err);
}

/* One row per broken line, all its reasons in it. */
static int write_broken(const struct csv *csv, struct sl_ingest_result *ret, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);

	select_rejects(csv, &text);
	sl_buf_str(
		&text,
		"SELECT file, line, string_agg(reason, '; ' ORDER BY col, column_idx, reason) AS reason, any_value(raw) "
		"AS raw FROM found "
		"GROUP BY file, line ORDER BY file, line");
	int rc = sl_buf_check(&text, "the list of input files", err);
	if (rc == 0)
		rc = sl_ingest_write(csv->w, sl_buf_cstr(&text), csv->w->broken_path, &ret->broken, err);
	if (rc == 0)
		ret->broken_rows = ret->broken.files[0].rows;
	return rc;
}

int sl_ingest_csv(struct sl_ingest_worker *w, struct sl_ingest_result *ret, struct sl_error *err)
{
	struct csv csv = {.w = w, .date_format = "", .timestamp_format = ""};
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);
	struct first_reject first;
	int rc = find_columns(&csv, err);

	if (rc < 0)
		return rc;
	read_all(&csv, &text);
	if ((rc = sl_buf_check(&text, "the list of input files", err)) < 0)
		return rc;
	if ((rc = sl_ingest_write(w, sl_buf_cstr(&text), w->table_path, &ret->table, err)) < 0)
		return sl_ingest_blame(w, rc, err);
	if ((rc = first_reject(&csv, &first, err)) < 0)
		return rc;
	uint64_t good = ret->table.files[0].rows;
	if (rc && (!w->job->quarantine || first.fatal))
		return sl_ingest_fail_line(first.file, first.line, first.column, first.reason, (uint64_t)first.lines,
					   good + (uint64_t)first.lines, err);
	if (csv.sniff.code) {
		if (err)
			*err = csv.sniff;
		return sl_error_hint(err, "declare the columns' types in the source: columns: {%s: text, ...}",
				     csv.columns[0].name);
	}
	return rc ? write_broken(&csv, ret, err) : 0;
}
