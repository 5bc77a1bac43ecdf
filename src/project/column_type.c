#include "project/column_type.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

enum { WORD_MAX = 64, ARRAY_MAX = 100000, WIDTH_MAX = 38, FLOAT_BITS_MAX = 53, NANOSECONDS = 9 };

static const char *const NAMES[] = {
	"bigint", "bignum", "binary", "bit", "bitstring", "blob", "bool", "boolean", "bpchar", "bytea", "char", "character", "character varying", "date",
	"datetime", "dec", "decimal", "double", "double precision", "float", "float4", "float8", "geometry", "guid", "hugeint", "int", "int1", "int128", "int16",
	"int2", "int32", "int4", "int64", "int8", "integer", "integral", "interval", "json", "logical", "long", "national character", "nchar", "numeric",
	"nvarchar", "oid", "real", "short", "signed", "smallint", "string", "text", "time", "time with time zone", "time without time zone", "time_ns",
	"timestamp", "timestamp with time zone", "timestamp without time zone", "timestamp_ms", "timestamp_ns", "timestamp_s", "timestamp_us", "timestamptz",
	"timetz", "tinyint", "type", "ubigint", "uhugeint", "uint128", "uint16", "uint32", "uint64", "uint8", "uinteger", "usmallint", "utinyint", "uuid",
	"varbinary", "varchar", "variant", "varint",
};

static void skip_space(const char **p)
{
	while (**p == ' ')
		++*p;
}

static bool eat(const char **p, char c)
{
	skip_space(p);
	if (**p != c)
		return false;
	++*p;
	return true;
}

/* Words with one space between, in small letters. */
static bool read_words(const char **p, char out[WORD_MAX])
{
	size_t n = 0;
	skip_space(p);
	while (isalnum((unsigned char)**p) || **p == '_' || **p == ' ') {
		const char *behind = *p;
		skip_space(&behind);
		bool gap = behind > *p;
		if (gap && !isalpha((unsigned char)*behind))
			break;
		if (n + 1 >= WORD_MAX)
			return false;
		out[n++] = gap ? ' ' : (char)tolower((unsigned char)**p);
		*p = gap ? behind : *p + 1;
	}
	out[n] = 0;
	return n > 0;
}

static bool is_one_of(const char *word, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i], word) == 0)
			return true;
	return false;
}

static bool read_number(const char **p, long low, long high, long *ret)
{
	char *end;
	skip_space(p);
	if (!isdigit((unsigned char)**p))
		return false;
	*ret = strtol(*p, &end, 10);
	*p = end;
	return *ret >= low && *ret <= high;
}

/* What some types take in brackets: "(18,3)". */
static bool read_modifiers(const char **p, const char *name)
{
	static const char *const DECIMALS[] = {"decimal", "numeric", "dec"};
	static const char *const TEXTS[] = {"varchar", "text", "char", "character", "character varying", "bpchar", "nvarchar", "string", "nchar", "bit"};
	long width, scale;
	if (!eat(p, '('))
		return true;
	if (is_one_of(name, DECIMALS, SL_ARRAY_LEN(DECIMALS))) {
		if (!read_number(p, 1, WIDTH_MAX, &width))
			return false;
		if (eat(p, ',') && !read_number(p, 0, width, &scale))
			return false;
	} else if (is_one_of(name, TEXTS, SL_ARRAY_LEN(TEXTS))) {
		if (!read_number(p, 0, INT32_MAX, &width))
			return false;
	} else if (strcmp(name, "timestamp") == 0 || strcmp(name, "float") == 0) {
		if (!(*name == 't' ? read_number(p, 0, NANOSECONDS, &width) : read_number(p, 1, FLOAT_BITS_MAX, &width)))
			return false;
	} else {
		return false;
	}
	return eat(p, ')');
}

static bool read_quoted(const char **p, char quote)
{
	if (!eat(p, quote))
		return false;
	for (; **p && (**p != quote || (*p)[1] == quote); ++*p)
		*p += **p == quote;
	return eat(p, quote);
}

static bool read_type(const char **p, int depth);

/* "a int" of a struct or union. */
static bool read_field(const char **p, int depth)
{
	skip_space(p);
	if (**p == '"')
		return read_quoted(p, '"') && read_type(p, depth);
	const char *start = *p;
	while (isalnum((unsigned char)**p) || **p == '_')
		++*p;
	return *p > start && !isdigit((unsigned char)*start) && **p == ' ' && read_type(p, depth);
}

/* Behind the name of a type that is made of others; *ret_is: it is one. */
static bool read_nested(const char **p, const char *name, int depth, bool *ret_is)
{
	bool fields = strcmp(name, "struct") == 0 || strcmp(name, "row") == 0 || strcmp(name, "union") == 0;
	bool map = strcmp(name, "map") == 0, labels = strcmp(name, "enum") == 0;
	*ret_is = fields || map || labels;
	if (!*ret_is)
		return true;
	if (!eat(p, '('))
		return false;
	size_t count = 0;
	bool good;
	do {
		good = fields ? read_field(p, depth) : map ? read_type(p, depth) : read_quoted(p, '\'');
		count++;
	} while (good && eat(p, ','));
	return good && (!map || count == 2) && eat(p, ')');
}

static bool read_type(const char **p, int depth)
{
	char name[WORD_MAX];
	bool nested;
	if (!depth || !read_words(p, name) || !read_nested(p, name, depth - 1, &nested))
		return false;
	if (!nested && (!is_one_of(name, NAMES, SL_ARRAY_LEN(NAMES)) || !read_modifiers(p, name)))
		return false;
	while (eat(p, '[')) {
		long size;
		if (!eat(p, ']') && !(read_number(p, 1, ARRAY_MAX, &size) && eat(p, ']')))
			return false;
	}
	return true;
}

bool sl_column_family(const char *text)
{
	static const char *const FAMILIES[] = {"any integer", "any float", "any number", "no number"};
	return is_one_of(text, FAMILIES, SL_ARRAY_LEN(FAMILIES));
}

bool sl_column_type_valid(const char *text)
{
	bool good = read_type(&text, SL_COLUMN_TYPE_DEPTH_MAX);
	skip_space(&text);
	return good && !*text;
}

int sl_load_column_type(struct sl_loader *loader, const struct sl_yaml *node, const char *column, const char **ret)
{
	int rc = sl_load_text(loader, node, column, ret);
	if (rc || sl_column_type_valid(*ret))
		return rc;
	sl_load_fail(loader, node->mark, SL_E_INVALID, "'%.100s' is not a type, which column '%.100s' wants", *ret, column);
	const char *nearest = sl_str_nearest(*ret, NAMES, SL_ARRAY_LEN(NAMES));
	return nearest ? sl_error_hint(loader->err, "did you mean '%s'?", nearest)
		       : sl_error_hint(loader->err, "types are bigint, integer, double, text, boolean, date, timestamp, decimal(18,3), text[] ...");
}
