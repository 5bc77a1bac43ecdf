#include "base/prototext.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/str.h"

struct reader {
	const char *at, *end, *line_start, *where;
	int line;
	size_t fields;
	struct sl_arena *arena;
	struct sl_error *err;
};

static struct sl_mark mark_of(const struct reader *r)
{
	struct sl_mark mark = {.line = r->line, .column = 1};
	for (const char *p = r->line_start; p < r->at; p++)
		mark.column += ((unsigned char)*p & 0xc0) != 0x80;
	return mark;
}

static int refuse(struct reader *r, const char *what)
{
	struct sl_mark mark = mark_of(r);
	sl_fail(r->err, SL_E_INVALID, "%s", what);
	return sl_error_where(r->err, "%s:%d:%d", r->where, mark.line, mark.column);
}

static char peek(const struct reader *r) { return r->at < r->end ? *r->at : 0; }

/* Blanks and comments. */
static void skip(struct reader *r)
{
	for (; r->at < r->end; r->at++) {
		if (*r->at == '#')
			while (r->at < r->end && *r->at != '\n')
				r->at++;
		if (r->at == r->end || !strchr(" \t\r\n\v\f", *r->at) || !*r->at)
			return;
		if (*r->at == '\n') {
			r->line++;
			r->line_start = r->at + 1;
		}
	}
}

static bool eat(struct reader *r, char c)
{
	skip(r);
	if (peek(r) != c)
		return false;
	r->at++;
	return true;
}

static bool is_word(char c) { return isalnum((unsigned char)c) || c == '_'; }

/* ---- strings -------------------------------------------------------------------------------------------------------- */

static void add_utf8(struct sl_buf *out, uint32_t code)
{
	if (code < 0x80) {
		sl_buf_char(out, (char)code);
	} else if (code < 0x800) {
		sl_buf_char(out, (char)(0xc0 | code >> 6));
		sl_buf_char(out, (char)(0x80 | (code & 0x3f)));
	} else {
		if (code >= 0x10000)
			sl_buf_char(out, (char)(0xf0 | code >> 18));
		sl_buf_char(out, (char)(code >= 0x10000 ? 0x80 | (code >> 12 & 0x3f) : 0xe0 | code >> 12));
		sl_buf_char(out, (char)(0x80 | (code >> 6 & 0x3f)));
		sl_buf_char(out, (char)(0x80 | (code & 0x3f)));
	}
}

/* Up to `most` digits of the base. */
static int digits(struct reader *r, int base, int least, int most, uint32_t *ret)
{
	int count = 0;
	for (*ret = 0; count < most && r->at < r->end; count++, r->at++) {
		const char *found = *r->at ? strchr("0123456789abcdef", tolower((unsigned char)*r->at)) : NULL;
		int digit = found ? (int)(found - "0123456789abcdef") : base;
		if (digit >= base)
			break;
		*ret = *ret * (uint32_t)base + (uint32_t)digit;
	}
	return count >= least ? 0 : refuse(r, "an escape lacks its digits");
}

static int read_code(struct reader *r, int length, struct sl_buf *out)
{
	uint32_t code;
	int rc = digits(r, 16, length, length, &code);
	if (!rc && (code > 0x10ffff || (code >= 0xd800 && code < 0xe000) || !code))
		rc = refuse(r, "an escape names no character");
	if (!rc)
		add_utf8(out, code);
	return rc;
}

static int read_byte(struct reader *r, int base, int most, struct sl_buf *out)
{
	uint32_t code;
	int rc = digits(r, base, 1, most, &code);
	if (!rc && (code > 255 || !code))
		rc = refuse(r, code ? "an escape is no byte" : "a NUL in a text is not taken");
	if (!rc)
		sl_buf_char(out, (char)code);
	return rc;
}

/* Behind the backslash. */
static int read_escape(struct reader *r, struct sl_buf *out)
{
	static const char NAMES[] = "abfnrtv\\'\"?", BYTES[] = "\a\b\f\n\r\t\v\\'\"?";
	char c = peek(r);
	const char *plain = c ? strchr(NAMES, c) : NULL;
	if (c >= '0' && c <= '7')
		return read_byte(r, 8, 3, out);
	r->at++;
	if (plain)
		sl_buf_char(out, BYTES[plain - NAMES]);
	else if (c == 'x' || c == 'X')
		return read_byte(r, 16, 2, out);
	else if (c == 'u' || c == 'U')
		return read_code(r, c == 'u' ? 4 : 8, out);
	else
		return refuse(r, "there is no such escape");
	return 0;
}

static int read_quoted(struct reader *r, struct sl_buf *out)
{
	char quote = *r->at++;
	int rc = 0;
	while (!rc && peek(r) != quote) {
		if (r->at >= r->end || *r->at == '\n')
			return refuse(r, "a text does not end on its line");
		if (!*r->at)
			return refuse(r, "a NUL in a text is not taken");
		if (*r->at == '\\') {
			r->at++;
			rc = read_escape(r, out);
		} else {
			sl_buf_char(out, *r->at++);
		}
	}
	r->at += !rc;
	return rc;
}

static int read_string(struct reader *r, struct sl_prototext *ret)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_PROTOTEXT_BYTES_MAX);
	int rc = 0;
	while (!rc && (peek(r) == '"' || peek(r) == '\'')) {
		rc = read_quoted(r, &text);
		skip(r);
	}
	rc = rc ? rc : sl_buf_check(&text, r->where, r->err);
	if (rc)
		return rc;
	ret->kind = SL_PROTOTEXT_STRING;
	ret->len = text.len;
	ret->text = sl_arena_strndup(r->arena, sl_buf_cstr(&text), text.len);
	return ret->text ? 0 : sl_fail_memory(r->err);
}

/* ---- scalars and fields --------------------------------------------------------------------------------------------- */

static int read_scalar(struct reader *r, struct sl_prototext *ret)
{
	const char *start;
	bool minus = false;
	if (peek(r) == '"' || peek(r) == '\'')
		return read_string(r, ret);
	if (peek(r) == '-') {
		minus = true;
		r->at++;
		skip(r);
	}
	start = r->at;
	ret->kind = isdigit((unsigned char)peek(r)) || peek(r) == '.' ? SL_PROTOTEXT_NUMBER : SL_PROTOTEXT_WORD;
	while (is_word(peek(r)) || (ret->kind == SL_PROTOTEXT_NUMBER && (peek(r) == '.' || ((peek(r) == '-' || peek(r) == '+') && strchr("eE", r->at[-1])))))
		r->at++;
	if (r->at == start)
		return refuse(r, "a value is missing");
	ret->text = sl_arena_printf(r->arena, "%s%.*s", minus ? "-" : "", (int)(r->at - start), start);
	ret->len = ret->text ? strlen(ret->text) : 0;
	return ret->text ? 0 : sl_fail_memory(r->err);
}

static int read_name(struct reader *r, const char **ret)
{
	bool bracket = eat(r, '[');
	skip(r);
	const char *start = r->at;
	while (is_word(peek(r)) || (bracket && (peek(r) == '.' || peek(r) == '/' || peek(r) == '-')))
		r->at++;
	size_t len = (size_t)(r->at - start);
	if (!len || len > SL_PROTOTEXT_NAME_MAX || (!bracket && isdigit((unsigned char)*start)))
		return refuse(r, len > SL_PROTOTEXT_NAME_MAX ? "a field's name is too long" : "a field's name is missing");
	if (bracket && !eat(r, ']'))
		return refuse(r, "a ']' is missing");
	*ret = sl_arena_printf(r->arena, bracket ? "[%.*s]" : "%.*s", (int)len, start);
	return *ret ? 0 : sl_fail_memory(r->err);
}

static int read_fields(struct reader *r, struct sl_prototext *message, char end, int depth);

/* One value, which may be a message. */
static int read_value(struct reader *r, struct sl_prototext *ret, bool scalar_too, int depth)
{
	skip(r);
	ret->mark = mark_of(r);
	char open = peek(r);
	if (open != '{' && open != '<')
		return scalar_too ? read_scalar(r, ret) : refuse(r, "a ':' is missing before a value");
	if (!depth)
		return refuse(r, "messages are nested too deep");
	r->at++;
	ret->kind = SL_PROTOTEXT_MESSAGE;
	return read_fields(r, ret, open == '{' ? '}' : '>', depth - 1);
}

static int new_field(struct reader *r, const char *name, struct sl_prototext ***tail, struct sl_prototext **ret)
{
	if (++r->fields > SL_PROTOTEXT_FIELDS_MAX) {
		refuse(r, "there are too many fields");
		return r->err ? r->err->code = SL_E_TOO_LARGE : SL_E_TOO_LARGE;
	}
	*ret = sl_arena_alloc(r->arena, sizeof **ret);
	if (!*ret)
		return sl_fail_memory(r->err);
	**ret = (struct sl_prototext){.name = name, .text = ""};
	**tail = *ret;
	*tail = (struct sl_prototext **)(uintptr_t)&(*ret)->next;
	return 0;
}

static int read_list(struct reader *r, const char *name, struct sl_prototext ***tail, int depth)
{
	int rc = 0;
	if (eat(r, ']'))
		return 0;
	do {
		struct sl_prototext *item;
		rc = new_field(r, name, tail, &item);
		rc = rc ? rc : read_value(r, item, true, depth);
	} while (!rc && eat(r, ','));
	return rc ? rc : eat(r, ']') ? 0 : refuse(r, "a list does not end with ']'");
}

static int read_field(struct reader *r, struct sl_prototext ***tail, int depth)
{
	struct sl_prototext *field;
	const char *name;
	int rc = read_name(r, &name);
	bool colon = !rc && eat(r, ':');
	if (!rc && eat(r, '['))
		return read_list(r, name, tail, depth);
	rc = rc ? rc : new_field(r, name, tail, &field);
	return rc ? rc : read_value(r, field, colon, depth);
}

static int read_fields(struct reader *r, struct sl_prototext *message, char end, int depth)
{
	struct sl_prototext **tail = (struct sl_prototext **)(uintptr_t)&message->first;
	for (;;) {
		skip(r);
		if (r->at >= r->end)
			return end ? refuse(r, "a message is not closed") : 0;
		if (end && *r->at == end) {
			r->at++;
			return 0;
		}
		int rc = read_field(r, &tail, depth);
		if (rc)
			return rc;
		if (!eat(r, ','))
			eat(r, ';');
	}
}

int sl_prototext_parse(const char *text, size_t len, const char *where, struct sl_arena *arena, const struct sl_prototext **ret, struct sl_error *err)
{
	struct reader r = {.at = text, .end = text + len, .line_start = text, .where = where, .line = 1, .arena = arena, .err = err};
	struct sl_prototext *root = sl_arena_alloc(arena, sizeof *root);
	if (!root)
		return sl_fail_memory(err);
	if (len > SL_PROTOTEXT_BYTES_MAX)
		return sl_fail_at(err, SL_E_TOO_LARGE, where, "has more than %d MiB", SL_PROTOTEXT_BYTES_MAX >> 20);
	if (!sl_utf8_valid(text, len))
		return sl_fail_at(err, SL_E_INVALID, where, "is no UTF-8");
	*root = (struct sl_prototext){.name = "", .kind = SL_PROTOTEXT_MESSAGE, .text = "", .mark = {1, 1}};
	int rc = read_fields(&r, root, 0, SL_PROTOTEXT_DEPTH_MAX);
	if (!rc)
		*ret = root;
	return rc;
}

/* ---- what was read -------------------------------------------------------------------------------------------------- */

const struct sl_prototext *sl_prototext_get(const struct sl_prototext *message, const char *name)
{
	for (const struct sl_prototext *field = message ? message->first : NULL; field; field = field->next)
		if (strcmp(field->name, name) == 0)
			return field;
	return NULL;
}

const struct sl_prototext *sl_prototext_next(const struct sl_prototext *field)
{
	const char *name = field->name;
	while ((field = field->next))
		if (strcmp(field->name, name) == 0)
			return field;
	return NULL;
}

bool sl_prototext_int(const struct sl_prototext *field, int64_t *ret)
{
	char *end;
	if (field->kind != SL_PROTOTEXT_NUMBER)
		return false;
	errno = 0;
	long long value = strtoll(field->text, &end, 0);
	*ret = value;
	return !*end && !errno;
}

bool sl_prototext_double(const struct sl_prototext *field, double *ret)
{
	const char *word = field->text + (*field->text == '-');
	char *end;
	int64_t whole;
	if (field->kind == SL_PROTOTEXT_WORD) {
		bool nan = strcasecmp(word, "nan") == 0, inf = strcasecmp(word, "inf") == 0 || strcasecmp(word, "infinity") == 0;
		*ret = nan ? (double)NAN : word > field->text ? -INFINITY : INFINITY;
		return nan || inf;
	}
	if (field->kind != SL_PROTOTEXT_NUMBER)
		return false;
	if (word[0] == '0' && (isdigit((unsigned char)word[1]) || word[1] == 'x' || word[1] == 'X') && sl_prototext_int(field, &whole)) {
		*ret = (double)whole;
		return true;
	}
	*ret = strtod(field->text, &end);
	end += *end == 'f' || *end == 'F';
	return !*end && !strpbrk(field->text, "xXpP");
}

bool sl_prototext_bool(const struct sl_prototext *field, bool *ret)
{
	static const char *const WORDS[2][4] = {{"false", "False", "f", "0"}, {"true", "True", "t", "1"}};
	if (field->kind != SL_PROTOTEXT_WORD && field->kind != SL_PROTOTEXT_NUMBER)
		return false;
	for (size_t i = 0; i < 8; i++)
		if (strcmp(WORDS[i / 4][i % 4], field->text) == 0) {
			*ret = i / 4;
			return true;
		}
	return false;
}
