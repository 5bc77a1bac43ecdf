/* SQL text: quoting, the end of a statement, and the names of types. */
#include "backend/sql_duckdb.h"

#include <ctype.h>
#include <string.h>

static void quote(struct sl_buf *out, const char *text, char mark)
{
	sl_buf_char(out, mark);
	for (; *text; text++) {
		if (*text == mark)
			sl_buf_char(out, mark);
		sl_buf_char(out, *text);
	}
	sl_buf_char(out, mark);
}

void sl_sql_quote_name(struct sl_buf *out, const char *name) { quote(out, name, '"'); }
void sl_sql_quote_text(struct sl_buf *out, const char *text) { quote(out, text, '\''); }

/* Behind the quoted piece that starts at `c` with `mark`; a doubled mark stands for itself. An open end is left to the parser. */
static const char *skip_quoted(const char *c, char mark)
{
	for (c++; *c; c++) {
		if (*c != mark)
			continue;
		if (c[1] != mark)
			return c + 1;
		c++;
	}
	return c;
}

/* Behind $tag$...$tag$, or behind the '$' when none starts here (a parameter). */
static const char *skip_dollar(const char *c)
{
	const char *tag_end = c + 1;

	while (isalnum((unsigned char)*tag_end) || *tag_end == '_' || (unsigned char)*tag_end >= 0x80)
		tag_end++;
	if (*tag_end != '$' || isdigit((unsigned char)c[1]))
		return c + 1;
	size_t tag_len = (size_t)(tag_end + 1 - c);
	for (const char *at = tag_end + 1; *at; at++)
		if (strncmp(at, c, tag_len) == 0)
			return at + tag_len;
	return tag_end + strlen(tag_end);
}

/* Comments of both kinds; block comments nest, as in PostgreSQL. NULL when none starts at `c`. */
static const char *skip_comment(const char *c)
{
	if (c[0] == '-' && c[1] == '-') {
		c += strcspn(c, "\n\r");
		return c;
	}
	if (c[0] != '/' || c[1] != '*')
		return NULL;
	int depth = 0;
	do {
		if (c[0] == '/' && c[1] == '*') {
			depth++;
			c += 2;
		} else if (c[0] == '*' && c[1] == '/') {
			depth--;
			c += 2;
		} else {
			c++;
		}
	} while (*c && depth);
	return c;
}

/* e'...' takes backslash escapes. */
static const char *skip_escaped(const char *c)
{
	for (c += 2; *c; c++) {
		if (*c == '\\' && c[1])
			c++;
		else if (*c == '\'')
			return c + 1;
	}
	return c;
}

size_t sl_duckdb_statement_len(const char *text)
{
	const char *end = text, *after;

	for (const char *c = text; *c;) {
		if ((after = skip_comment(c))) {
			c = after;
			continue;
		}
		if (*c == ';' || isspace((unsigned char)*c)) {
			c++;
			continue;
		}
		bool word_before = c > text && (isalnum((unsigned char)c[-1]) || c[-1] == '_');
		if (*c == '\'' || *c == '"')
			c = skip_quoted(c, *c);
		else if (*c == '$' && !word_before)
			c = skip_dollar(c);
		else if ((*c == 'e' || *c == 'E') && c[1] == '\'' && !word_before)
			c = skip_escaped(c);
		else
			c++;
		end = c;
	}
	return (size_t)(end - text);
}

/* ---- types ---------------------------------------------------------------------------------------------------------- */

static const char *const PLAIN_TYPES[] = {
	[DUCKDB_TYPE_BOOLEAN] = "BOOLEAN",
	[DUCKDB_TYPE_TINYINT] = "TINYINT",
	[DUCKDB_TYPE_SMALLINT] = "SMALLINT",
	[DUCKDB_TYPE_INTEGER] = "INTEGER",
	[DUCKDB_TYPE_BIGINT] = "BIGINT",
	[DUCKDB_TYPE_UTINYINT] = "UTINYINT",
	[DUCKDB_TYPE_USMALLINT] = "USMALLINT",
	[DUCKDB_TYPE_UINTEGER] = "UINTEGER",
	[DUCKDB_TYPE_UBIGINT] = "UBIGINT",
	[DUCKDB_TYPE_FLOAT] = "FLOAT",
	[DUCKDB_TYPE_DOUBLE] = "DOUBLE",
	[DUCKDB_TYPE_TIMESTAMP] = "TIMESTAMP",
	[DUCKDB_TYPE_DATE] = "DATE",
	[DUCKDB_TYPE_TIME] = "TIME",
	[DUCKDB_TYPE_INTERVAL] = "INTERVAL",
	[DUCKDB_TYPE_HUGEINT] = "HUGEINT",
	[DUCKDB_TYPE_UHUGEINT] = "UHUGEINT",
	[DUCKDB_TYPE_VARCHAR] = "VARCHAR",
	[DUCKDB_TYPE_BLOB] = "BLOB",
	[DUCKDB_TYPE_TIMESTAMP_S] = "TIMESTAMP_S",
	[DUCKDB_TYPE_TIMESTAMP_MS] = "TIMESTAMP_MS",
	[DUCKDB_TYPE_TIMESTAMP_NS] = "TIMESTAMP_NS",
	[DUCKDB_TYPE_UUID] = "UUID",
	[DUCKDB_TYPE_BIT] = "BIT",
	[DUCKDB_TYPE_TIME_TZ] = "TIME WITH TIME ZONE",
	[DUCKDB_TYPE_TIMESTAMP_TZ] = "TIMESTAMP WITH TIME ZONE",
	[DUCKDB_TYPE_BIGNUM] = "BIGNUM",
	[DUCKDB_TYPE_SQLNULL] = "NULL",
	[DUCKDB_TYPE_TIME_NS] = "TIME_NS",
};

static void child_text(const struct sl_duckdb *lib, duckdb_logical_type child, struct sl_buf *out)
{
	sl_duckdb_type_text(lib, child, out);
	lib->destroy_logical_type(&child);
}

/* A member's name, quoted only where it must be. */
static void member_name(const char *name, struct sl_buf *out)
{
	bool plain = islower((unsigned char)*name) || *name == '_';

	for (const char *c = name; *c && plain; c++)
		plain = islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '_';
	if (plain)
		sl_buf_str(out, name);
	else
		sl_sql_quote_name(out, name);
}

/* The members of a STRUCT or UNION: name(a INTEGER, b VARCHAR). */
static void members_text(const struct sl_duckdb *lib, duckdb_logical_type type, bool is_union, struct sl_buf *out)
{
	idx_t count = is_union ? lib->union_type_member_count(type) : lib->struct_type_child_count(type);

	sl_buf_str(out, is_union ? "UNION(" : "STRUCT(");
	for (idx_t i = 0; i < count; i++) {
		char *name = is_union ? lib->union_type_member_name(type, i) : lib->struct_type_child_name(type, i);
		sl_buf_str(out, i ? ", " : "");
		member_name(name ? name : "", out);
		sl_buf_char(out, ' ');
		child_text(lib, is_union ? lib->union_type_member_type(type, i) : lib->struct_type_child_type(type, i), out);
		lib->free(name);
	}
	sl_buf_char(out, ')');
}

static void enum_text(const struct sl_duckdb *lib, duckdb_logical_type type, struct sl_buf *out)
{
	uint32_t count = lib->enum_dictionary_size(type);

	sl_buf_str(out, "ENUM(");
	for (uint32_t i = 0; i < count; i++) {
		char *value = lib->enum_dictionary_value(type, i);
		sl_buf_str(out, i ? ", " : "");
		sl_sql_quote_text(out, value ? value : "");
		lib->free(value);
	}
	sl_buf_char(out, ')');
}

void sl_duckdb_type_text(const struct sl_duckdb *lib, duckdb_logical_type type, struct sl_buf *out)
{
	duckdb_type id = lib->get_type_id(type);

	switch (id) {
	case DUCKDB_TYPE_DECIMAL:
		sl_buf_printf(out, "DECIMAL(%d,%d)", lib->decimal_width(type), lib->decimal_scale(type));
		return;
	case DUCKDB_TYPE_LIST:
		child_text(lib, lib->list_type_child_type(type), out);
		sl_buf_str(out, "[]");
		return;
	case DUCKDB_TYPE_ARRAY:
		child_text(lib, lib->array_type_child_type(type), out);
		sl_buf_printf(out, "[%llu]", (unsigned long long)lib->array_type_array_size(type));
		return;
	case DUCKDB_TYPE_MAP:
		sl_buf_str(out, "MAP(");
		child_text(lib, lib->map_type_key_type(type), out);
		sl_buf_str(out, ", ");
		child_text(lib, lib->map_type_value_type(type), out);
		sl_buf_char(out, ')');
		return;
	case DUCKDB_TYPE_STRUCT:
	case DUCKDB_TYPE_UNION:
		members_text(lib, type, id == DUCKDB_TYPE_UNION, out);
		return;
	case DUCKDB_TYPE_ENUM:
		enum_text(lib, type, out);
		return;
	default:
		sl_buf_str(out, (size_t)id < SL_ARRAY_LEN(PLAIN_TYPES) && PLAIN_TYPES[id] ? PLAIN_TYPES[id] : "UNKNOWN");
	}
}
