/* DuckDB's errors, made ours. With errors_as_json they come as
 *   {"exception_type":"Binder","exception_message":"...\nCandidate bindings: ...","position":"15",...}
 * where position counts bytes of the statement, except that of the parser, which counts characters.
 */
#include "backend/sql_duckdb.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_MAX = 8 << 20 }; /* a CSV error quotes its whole line */

/* What each of DuckDB's kinds means here; a kind that is not listed is a failure of the user's statement or data. */
static const struct {
	const char *type;
	int code;
} KINDS[] = {
	{"Parser", SL_E_INVALID},
	{"Syntax", SL_E_INVALID},
	{"Binder", SL_E_INVALID},
	{"Catalog", SL_E_INVALID},
	{"Not implemented", SL_E_INVALID},
	{"Parameter Not Resolved", SL_E_INVALID},
	{"Parameter Not Allowed", SL_E_INVALID},
	{"Permission", SL_E_DENIED},
	{"Out of Memory", SL_E_NO_MEMORY},
	{"INTERRUPT", SL_E_CANCELLED},
	{"Interrupt", SL_E_CANCELLED},
	{"IO", SL_E_IO},
	{"INTERNAL", SL_E_BUG},
	{"FATAL", SL_E_BUG},
};

static int code_of(const char *type, const char *message)
{
	if (strstr(message, "No space left on device"))
		return SL_E_NO_SPACE;
	for (size_t i = 0; i < SL_ARRAY_LEN(KINDS); i++)
		if (strcmp(KINDS[i].type, type) == 0)
			return KINDS[i].code;
	return SL_E_FAILED;
}

void sl_duckdb_place(struct sl_error *err, const char *where, const char *text, size_t offset)
{
	int line = 1, column = 1;

	for (size_t i = 0; i < offset && text[i]; i++) {
		if (text[i] == '\n') {
			line++;
			column = 1;
		} else if (((unsigned char)text[i] & 0xC0) != 0x80) {
			column++;
		}
	}
	sl_error_where(err, "%s%s%d:%d", where ? where : "", where && *where ? ":" : "", line, column);
}

/* The byte at which the `characters`-th character starts. */
static size_t byte_of_character(const char *text, size_t characters)
{
	size_t i = 0;

	for (; text[i]; i++)
		if (((unsigned char)text[i] & 0xC0) != 0x80 && characters-- == 0)
			break;
	return i;
}

static void replace_all(struct sl_buf *message, const char *what, const char *with)
{
	SL_AUTO_BUF struct sl_buf out = SL_BUF_INIT(MESSAGE_MAX);
	const char *from = sl_buf_cstr(message), *hit;

	if (!*what || !strstr(from, what))
		return;
	while ((hit = strstr(from, what))) {
		sl_buf_add(&out, from, (size_t)(hit - from));
		sl_buf_str(&out, with);
		from = hit + strlen(what);
	}
	sl_buf_str(&out, from);
	struct sl_buf old = *message;
	*message = out;
	out = old;
}

/* Users know datasets, not the object files behind them. Raw paths are the user's own and stay. */
static void hide_paths(const struct sl_sql *sql, struct sl_buf *message)
{
	for (size_t t = 0; t < sql->table_count; t++)
		for (size_t p = 0; p < sql->tables[t].path_count; p++)
			replace_all(message, sql->tables[t].paths[p], sql->tables[t].name);
	if (sql->write_dir)
		replace_all(message, sql->write_dir, "(staging)");
}

/* "Table with name x does not exist!\nDid you mean "y"?" -> message and hint in our style. */
static void split_message(struct sl_buf *text, char **ret_hint)
{
	char *line_end = text->data ? strchr(text->data, '\n') : NULL;
	static char none[1];

	*ret_hint = none;
	if (line_end) {
		*line_end = '\0';
		*ret_hint = line_end + 1;
		for (char *c = *ret_hint; *c; c++)
			if (*c == '\n')
				*c = ' ';
	}
	if (!text->data)
		return;
	size_t len = strlen(text->data);
	while (len && strchr("!. ", text->data[len - 1]))
		text->data[--len] = '\0';
	if (isupper((unsigned char)text->data[0]) && islower((unsigned char)text->data[1]))
		text->data[0] = (char)tolower((unsigned char)text->data[0]);
	if (isupper((unsigned char)(*ret_hint)[0]))
		(*ret_hint)[0] = (char)tolower((unsigned char)(*ret_hint)[0]);
}

/* "CSV Error on Line: 7\nOriginal Line: ...\nREASON\nPossible Solution: ..." -> "line 7: REASON". The line may be megabytes long
 * and hold anything, so the reason is looked for from behind. */
static void shorten_csv(struct sl_buf *text)
{
	static const char HEAD[] = "CSV Error on Line: ";
	long long line;

	if (!text->data || strncmp(text->data, HEAD, sizeof HEAD - 1) != 0)
		return;
	line = strtoll(text->data + sizeof HEAD - 1, NULL, 10);
	char *end = strstr(text->data, "\nPossible Solution");
	if (!end)
		end = text->data + strlen(text->data);
	while (end > text->data && end[-1] == '\n')
		end--;
	*end = '\0';
	char *reason = strrchr(text->data, '\n');
	SL_AUTO_BUF struct sl_buf out = SL_BUF_INIT(MESSAGE_MAX);
	sl_buf_printf(&out, "line %lld: %.500s", line, reason ? reason + 1 : text->data);
	struct sl_buf old = *text;
	*text = out;
	out = old;
}

static void add_hint(int code, const char *hint, struct sl_error *err)
{
	if (code == SL_E_NO_MEMORY)
		sl_error_hint(err, "raise the step's memory limit, or let it read fewer rows or columns at a time");
	else if (code == SL_E_DENIED)
		sl_error_hint(err,
			      "a statement reads only the datasets that it names in FROM; files and settings are out of reach");
	else if (strstr(hint, "(Auto-Detected)") || strstr(hint, "(Set By User)"))
		sl_error_hint(err, "is it text in columns? the reader's own settings did not fit it"); /* DuckDB lists them all */
	else if (*hint)
		sl_error_hint(err, "%s", hint);
}

static void add_place(const char *type, const char *position, const struct sl_duckdb_statement *statement, struct sl_error *err)
{
	if (!statement)
		return;
	if (*position) {
		size_t offset = strtoull(position, NULL, 10), len = strlen(statement->user_text);
		if (strcmp(type, "Parser") == 0)
			offset = byte_of_character(statement->text, offset);
		offset = offset > statement->shift ? offset - statement->shift : 0;
		sl_duckdb_place(err, statement->where, statement->user_text, offset > len ? len : offset);
	} else if (statement->where) {
		sl_error_where(err, "%s", statement->where);
	}
}

int sl_duckdb_fail(const struct sl_sql *sql, const char *message, const struct sl_duckdb_statement *statement,
		   struct sl_error *err)
{
	const char *json = message ? strchr(message, '{') : NULL;
	yyjson_doc *doc = json ? yyjson_read(json, strlen(json), 0) : NULL;
	yyjson_val *root = yyjson_doc_get_root(doc);
	const char *type = sl_json_str(root, "exception_type", "");
	const char *said = sl_json_str(root, "exception_message", message ? message : "the engine gave no reason");
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(MESSAGE_MAX);
	char *hint;

	sl_buf_str(&text, said);
	if (sql)
		hide_paths(sql, &text);
	int code = code_of(type, said);
	shorten_csv(&text);
	split_message(&text, &hint);
	sl_fail(err, code, "%s", code == SL_E_CANCELLED ? "cancelled" : sl_buf_cstr(&text));
	add_hint(code, hint, err);
	add_place(type, sl_json_str(root, "position", ""), statement, err);
	yyjson_doc_free(doc);
	return code;
}
