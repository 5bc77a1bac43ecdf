#include "project/override.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/str.h"

/* Names as in Hydra's grammar. OPEN to EQUAL swallow the blanks around them, as there. */
enum token_type { T_END, T_OPEN, T_COMMA, T_CLOSE, T_LIST_OPEN, T_LIST_CLOSE, T_DICT_OPEN, T_DICT_CLOSE, T_COLON, T_EQUAL,
		  T_FLOAT, T_INT, T_BOOL, T_NULL, T_UNQUOTED, T_ID, T_ESCAPE, T_BLANK, T_QUOTED, T_INTERPOLATION };
struct token { enum token_type type; const char *start; size_t len; };

struct parser {
	const char *text;    /* whole override */
	const char *at;      /* behind `token` */
	struct token token;  /* the one being looked at */
	struct sl_arena *arena;
	struct sl_error *err;
};

static int fail(struct parser *p, const char *at, const char *message)
{
	sl_fail(p->err, SL_E_INVALID, "%s (column %d)", message, (int)(at - p->text) + 1);
	return sl_error_where(p->err, "%.200s", p->text);
}

/* ---- lexer ------------------------------------------------------------------------------------------------------------- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_blank(char c) { return c == ' ' || c == '\t'; }

static const char *skip_blanks(const char *p)
{
	while (is_blank(*p))
		p++;
	return p;
}

/* DIGIT ('_'? DIGIT)* */
static const char *skip_digits(const char *p)
{
	while (is_digit(*p) || (*p == '_' && is_digit(p[1])))
		p++;
	return p;
}

static const char *skip_unsigned(const char *p)
{
	if (*p == '0')
		return p + 1;
	return is_digit(*p) ? skip_digits(p) : p;
}

static bool is_word(const char *p, size_t len, const char *word) { return strlen(word) == len && strncasecmp(p, word, len) == 0; }

/* The longest number at `p`, 0 when there is none. */
static size_t number_length(const char *p, bool *ret_float)
{
	const char *start = p;
	p += *p == '+' || *p == '-';
	const char *whole = skip_unsigned(p), *end = whole;
	*ret_float = false;
	if (*whole == '.' && (whole > p || is_digit(whole[1]))) {
		end = is_digit(whole[1]) ? skip_digits(whole + 1) : whole + 1;
		*ret_float = true;
	}
	if (end == p) {
		*ret_float = strncasecmp(p, "inf", 3) == 0 || strncasecmp(p, "nan", 3) == 0;
		return *ret_float ? (size_t)(p + 3 - start) : 0;
	}
	if (*end == 'e' || *end == 'E') {
		const char *exponent = end + 1 + (end[1] == '+' || end[1] == '-');
		if (is_digit(*exponent)) {
			end = skip_digits(exponent);
			*ret_float = true;
		}
	}
	return (size_t)(end - start);
}

/* From the opening quote to the first same one that an even number of backslashes precedes; NULL when there is none. */
static const char *quoted_end(const char *p)
{
	char quote = *p;
	for (p++; *p; p++) {
		if (*p == '\\' && p[1])
			p++;
		else if (*p == quote)
			return p + 1;
	}
	return NULL;
}

static size_t escape_length(const char *p)
{
	size_t n = 0;
	while (p[n] == '\\' && p[n + 1] && strchr("\\()[]{}:=, \t", p[n + 1]))
		n += 2;
	return n;
}

/* Punctuation with the blanks around it. */
static bool lex_punctuation(const char *p, struct token *ret)
{
	static const struct { char c; enum token_type type; bool before, after; } MARKS[] = {
		{'(', T_OPEN, true, true}, {',', T_COMMA, true, true}, {')', T_CLOSE, true, false}, {'[', T_LIST_OPEN, false, true},
		{']', T_LIST_CLOSE, true, false}, {'{', T_DICT_OPEN, false, true}, {'}', T_DICT_CLOSE, true, false}, {':', T_COLON, true, true},
		{'=', T_EQUAL, true, true},
	};
	const char *mark = skip_blanks(p);
	for (size_t i = 0; i < SL_ARRAY_LEN(MARKS); i++) {
		if (*mark != MARKS[i].c || (mark > p && !MARKS[i].before))
			continue;
		const char *end = MARKS[i].after ? skip_blanks(mark + 1) : mark + 1;
		*ret = (struct token){MARKS[i].type, p, (size_t)(end - p)};
		return true;
	}
	return false;
}

static void lex_word(const char *p, struct token *ret)
{
	bool is_float = false;
	size_t number = number_length(p, &is_float), id = 0;
	if (is_alpha(*p))
		while (is_alpha(p[id]) || is_digit(p[id]) || p[id] == '-')
			id++;
	if (number && number >= id)
		*ret = (struct token){is_float ? T_FLOAT : T_INT, p, number};
	else if (is_word(p, id, "true") || is_word(p, id, "false"))
		*ret = (struct token){T_BOOL, p, id};
	else if (is_word(p, id, "null"))
		*ret = (struct token){T_NULL, p, id};
	else
		*ret = (struct token){T_ID, p, id};
}

static int next(struct parser *p)
{
	const char *at = p->at;
	struct token *t = &p->token;
	const char *close;
	*t = (struct token){T_END, at, 0};
	if (!*at)
		return 0;
	if (lex_punctuation(at, t)) {
		;
	} else if (is_blank(*at)) {
		*t = (struct token){T_BLANK, at, (size_t)(skip_blanks(at) - at)};
	} else if (*at == '\'' || *at == '"') {
		close = quoted_end(at);
		if (!close)
			return fail(p, at, "this quote is not closed");
		*t = (struct token){T_QUOTED, at, (size_t)(close - at)};
	} else if (at[0] == '$' && at[1] == '{' && at[2] != '}' && (close = strchr(at, '}'))) {
		*t = (struct token){T_INTERPOLATION, at, (size_t)(close + 1 - at)};
	} else if (escape_length(at)) {
		*t = (struct token){T_ESCAPE, at, escape_length(at)};
	} else {
		lex_word(at, t);
		if (!t->len && strchr("/-\\+.$%*@?|", *at))
			*t = (struct token){T_UNQUOTED, at, 1};
		if (!t->len)
			return fail(p, at, "this character must stand in quotes");
	}
	p->at = at + t->len;
	return 0;
}

/* ---- values ------------------------------------------------------------------------------------------------------------ */

static int parse_element(struct parser *p, int depth, struct sl_override_value *ret);

/* Values, and beside them keys, while they grow. */
struct values { struct sl_override_value *items, *keys; const char **names; size_t count, capacity; };

static int grow(struct parser *p, struct values *v)
{
	if (v->count < v->capacity)
		return 0;
	size_t capacity = v->capacity ? v->capacity * 2 : 8;
	struct values bigger = {.items = sl_arena_array(p->arena, capacity, sizeof *v->items), .keys = sl_arena_array(p->arena, capacity, sizeof *v->keys),
				.names = sl_arena_array(p->arena, capacity, sizeof *v->names), .count = v->count, .capacity = capacity};
	if (!bigger.items || !bigger.keys || !bigger.names)
		return sl_fail_memory(p->err);
	if (v->count) {
		memcpy(bigger.items, v->items, v->count * sizeof *v->items);
		memcpy(bigger.keys, v->keys, v->count * sizeof *v->keys);
		memcpy(bigger.names, v->names, v->count * sizeof *v->names);
	}
	*v = bigger;
	return 0;
}

/* Removes the quotes, and one backslash of each pair that stands before a quote. Elsewhere backslashes stay. */
static const char *unquote(struct parser *p, const struct token *t)
{
	char quote = t->start[0];
	char *out = sl_arena_alloc(p->arena, t->len);
	size_t n = 0;
	for (size_t i = 1; out && i < t->len - 1;) {
		size_t slashes = 0;
		while (i + slashes < t->len - 1 && t->start[i + slashes] == '\\')
			slashes++;
		bool before_quote = slashes && (i + slashes == t->len - 1 || t->start[i + slashes] == quote);
		for (size_t k = 0; k < (before_quote ? slashes / 2 : slashes); k++)
			out[n++] = '\\';
		i += slashes;
		if (i < t->len - 1)
			out[n++] = t->start[i++];
	}
	return out;
}

static int number_value(struct parser *p, const struct token *t, struct sl_override_value *ret)
{
	char *digits = sl_arena_alloc(p->arena, t->len + 1);
	size_t n = 0;
	if (!digits)
		return sl_fail_memory(p->err);
	for (size_t i = 0; i < t->len; i++)
		if (t->start[i] != '_')
			digits[n++] = t->start[i];
	digits[n] = 0;
	if (t->type == T_FLOAT) {
		ret->type = SL_OVERRIDE_DOUBLE;
		ret->d = strtod(digits, NULL);
		return 0;
	}
	ret->type = SL_OVERRIDE_INT;
	return sl_str_int(digits, &ret->i) ? 0 : fail(p, t->start, "this number does not fit into 64 bits");
}

static int single_value(struct parser *p, const struct token *t, struct sl_override_value *ret)
{
	switch (t->type) {
	case T_QUOTED:
		*ret = (struct sl_override_value){.type = SL_OVERRIDE_TEXT, .quoted = true, .text = unquote(p, t)};
		return ret->text ? 0 : sl_fail_memory(p->err);
	case T_FLOAT:
	case T_INT: return number_value(p, t, ret);
	case T_NULL: ret->type = SL_OVERRIDE_NULL; return 0;
	case T_BOOL:
		ret->type = SL_OVERRIDE_BOOL;
		ret->i = t->len == 4;
		return 0;
	default: return 1;
	}
}

static bool in_primitive(enum token_type type, bool is_key)
{
	return (type >= T_FLOAT && type <= T_BLANK) || (!is_key && (type == T_COLON || type == T_INTERPOLATION));
}

/* One token keeps its type; several make a text, escapes resolved, blanks around it dropped. */
static int parse_primitive(struct parser *p, bool is_key, struct sl_override_value *ret)
{
	*ret = (struct sl_override_value){.type = SL_OVERRIDE_TEXT};
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_OVERRIDE_BYTES_MAX);
	struct token first = p->token, last = {0};
	size_t count = 0, kept = 0;
	if (first.type == T_QUOTED && !is_key) {
		int rc = single_value(p, &first, ret);
		return rc ? rc : next(p);
	}
	for (; in_primitive(p->token.type, is_key); count++) {
		last = p->token;
		if (count || last.type != T_BLANK) {
			kept += last.type != T_BLANK;
			first = kept == 1 && last.type != T_BLANK ? last : first;
			for (size_t i = last.type == T_ESCAPE; i < last.len; i += last.type == T_ESCAPE ? 2 : 1)
				sl_buf_char(&text, last.start[i]);
		}
		int rc = next(p);
		if (rc)
			return rc;
	}
	if (count == 0 || kept == 0)
		return fail(p, p->token.start, "a value is missing");
	int rc = kept == 1 && first.type != T_BLANK ? single_value(p, &first, ret) : 1;
	if (rc <= 0)
		return rc;
	rc = sl_buf_check(&text, "the value", p->err);
	if (rc)
		return rc;
	ret->text = sl_arena_strndup(p->arena, sl_buf_cstr(&text), text.len - (last.type == T_BLANK ? last.len : 0));
	return ret->text ? 0 : sl_fail_memory(p->err);
}

static int parse_pair(struct parser *p, bool is_dict, int depth, struct values *v)
{
	int rc = grow(p, v);
	if (!rc && is_dict) {
		rc = parse_primitive(p, true, &v->keys[v->count]);
		if (!rc && p->token.type != T_COLON)
			return fail(p, p->token.start, "':' is missing here");
		rc = rc ? rc : next(p);
	}
	rc = rc ? rc : parse_element(p, depth, &v->items[v->count]);
	v->count += !rc;
	return rc;
}

static int parse_container(struct parser *p, int depth, struct sl_override_value *ret)
{
	bool is_dict = p->token.type == T_DICT_OPEN;
	enum token_type closing = is_dict ? T_DICT_CLOSE : T_LIST_CLOSE;
	struct values v = {0};
	int rc = next(p);
	if (!rc && p->token.type != closing)
		rc = parse_pair(p, is_dict, depth, &v);
	while (!rc && p->token.type == T_COMMA) {
		rc = next(p);
		rc = rc ? rc : parse_pair(p, is_dict, depth, &v);
	}
	if (rc)
		return rc;
	if (p->token.type != closing)
		return fail(p, p->token.start, is_dict ? "'}' is missing here" : "']' is missing here");
	*ret = (struct sl_override_value){.type = is_dict ? SL_OVERRIDE_DICT : SL_OVERRIDE_LIST, .items = v.items, .keys = is_dict ? v.keys : NULL, .count = v.count};
	return next(p);
}

/* argument = [name "="] element */
static int parse_argument(struct parser *p, int depth, struct values *v)
{
	int rc = grow(p, v);
	if (rc)
		return rc;
	v->names[v->count] = NULL;
	const char *behind = p->token.type == T_ID ? skip_blanks(p->at) : "";
	if (*behind == '=') {
		v->names[v->count] = sl_arena_strndup(p->arena, p->token.start, p->token.len);
		if (!v->names[v->count])
			return sl_fail_memory(p->err);
		rc = next(p);
		rc = rc ? rc : next(p);
	} else if (v->count && v->names[v->count - 1]) {
		return fail(p, p->token.start, "a positional argument stands behind a named one");
	}
	rc = rc ? rc : parse_element(p, depth, &v->items[v->count]);
	v->count += !rc;
	return rc;
}

static int parse_function(struct parser *p, int depth, struct sl_override_value *ret)
{
	const char *start = p->token.start;
	const char *name = sl_arena_strndup(p->arena, start, p->token.len);
	struct values v = {0};
	if (!name)
		return sl_fail_memory(p->err);
	int rc = next(p);
	rc = rc ? rc : next(p);
	if (!rc && p->token.type != T_CLOSE)
		rc = parse_argument(p, depth, &v);
	while (!rc && p->token.type == T_COMMA) {
		rc = next(p);
		rc = rc ? rc : parse_argument(p, depth, &v);
	}
	if (!rc && p->token.type != T_CLOSE)
		rc = fail(p, p->token.start, "')' is missing here");
	if (rc)
		return rc;
	const struct sl_override_call call = {name, v.items, v.names, v.count};
	rc = sl_override_apply(&call, p->arena, ret, p->err);
	if (rc)
		return sl_error_where(p->err, "%.200s", p->text);
	return next(p);
}

static int parse_element(struct parser *p, int depth, struct sl_override_value *ret)
{
	if (depth == SL_OVERRIDE_DEPTH_MAX)
		return fail(p, p->token.start, "nested deeper than 32 levels");
	if (p->token.type == T_LIST_OPEN || p->token.type == T_DICT_OPEN)
		return parse_container(p, depth + 1, ret);
	struct token open;
	if (p->token.type == T_ID && lex_punctuation(p->at, &open) && open.type == T_OPEN)
		return parse_function(p, depth + 1, ret);
	return parse_primitive(p, false, ret);
}

static int parse_value(struct parser *p, struct sl_override_value *ret)
{
	struct values v = {0};
	int rc = next(p);
	if (!rc && p->token.type == T_END) {
		*ret = (struct sl_override_value){.type = SL_OVERRIDE_TEXT, .text = ""};
		return 0;
	}
	do {
		rc = rc ? rc : grow(p, &v);
		rc = rc ? rc : parse_element(p, 0, &v.items[v.count++]);
		if (!rc && p->token.type != T_COMMA)
			break;
		rc = rc ? rc : next(p);
	} while (!rc);
	if (!rc && p->token.type != T_END)
		rc = fail(p, p->token.start, "this was not expected here");
	if (rc)
		return rc;
	*ret = v.count == 1 ? v.items[0] : (struct sl_override_value){.type = SL_OVERRIDE_CHOICE, .simple = true, .items = v.items, .count = v.count};
	return 0;
}

/* ---- keys ------------------------------------------------------------------------------------------------------------- */

/* A package: empty, or parts joined by '.'; a part is a name that may hold '$', or (among several) a number. */
static bool is_package(const char *text, size_t len)
{
	const char *end = text + len, *p = text;
	if (len == 0)
		return true;
	for (bool dotted = memchr(text, '.', len) != NULL;; p++) {
		const char *start = p;
		if (dotted && is_digit(*p))
			p = skip_unsigned(p);
		else if (is_alpha(*p) || *p == '$')
			while (p < end && (is_alpha(*p) || is_digit(*p) || *p == '-' || *p == '$'))
				p++;
		if (p == start || p > end)
			return false;
		if (p == end)
			return true;
		if (*p != '.')
			return false;
	}
}

static bool is_group(const char *text, size_t len)
{
	for (size_t i = 0, part = 0; i <= len; i++) {
		if (i == len || text[i] == '/') {
			if (part == 0)
				return false;
			part = 0;
		} else if (is_alpha(text[i]) || (part && (is_digit(text[i]) || text[i] == '-'))) {
			part++;
		} else {
			return false;
		}
	}
	return true;
}

static int parse_key(struct parser *p, const char *key, size_t len, struct sl_override *ret)
{
	const char *at = memchr(key, '@', len);
	size_t name_len = at ? (size_t)(at - key) : len;
	ret->is_group = memchr(key, '/', name_len) != NULL;
	if (!(ret->is_group ? is_group(key, name_len) : is_package(key, name_len)))
		return fail(p, key, "this is not a key");
	if (at && !is_package(at + 1, len - name_len - 1))
		return fail(p, at + 1, "this is not a package");
	ret->key = sl_arena_strndup(p->arena, key, name_len);
	ret->package = at ? sl_arena_strndup(p->arena, at + 1, len - name_len - 1) : NULL;
	return ret->key && (!at || ret->package) ? 0 : sl_fail_memory(p->err);
}

int sl_override_parse(const char *text, struct sl_arena *arena, struct sl_override *ret, struct sl_error *err)
{
	struct parser p = {.text = text, .arena = arena, .err = err};
	*ret = (struct sl_override){.kind = SL_OVERRIDE_SET, .text = ""};
	if (strlen(text) > SL_OVERRIDE_BYTES_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "an override is longer than 64 KiB");
	const char *key = text;
	if (*key == '~') {
		ret->kind = SL_OVERRIDE_DELETE;
		key++;
	} else if (*key == '+') {
		ret->kind = key[1] == '+' ? SL_OVERRIDE_FORCE : SL_OVERRIDE_ADD;
		key += key[1] == '+' ? 2 : 1;
	}
	const char *equal = strchr(key, '=');
	if (!equal && ret->kind != SL_OVERRIDE_DELETE)
		return fail(&p, key + strlen(key), "'=' is missing");
	int rc = parse_key(&p, key, equal ? (size_t)(equal - key) : strlen(key), ret);
	if (rc || !equal)
		return rc;
	ret->has_value = true;
	ret->text = skip_blanks(equal + 1);
	p.at = ret->text;
	rc = parse_value(&p, &ret->value);
	if (!rc && ret->value.type == SL_OVERRIDE_LIST && ret->value.simple) {
		/* extend_list(...) marks its list so. */
		if (ret->kind != SL_OVERRIDE_SET)
			return fail(&p, text, "extend_list cannot be combined with '+' or '~'");
		ret->kind = SL_OVERRIDE_EXTEND;
		ret->value.simple = false;
	}
	return rc;
}

bool sl_override_is_sweep(const struct sl_override_value *value) { return value->type >= SL_OVERRIDE_CHOICE; }

static bool holds_chance(const struct sl_override_value *value)
{
	bool found = value->shuffled;
	for (size_t i = 0; i < value->count && !found; i++)
		found = holds_chance(&value->items[i]);
	return found;
}

static bool holds_sweep(const struct sl_override_value *value)
{
	bool found = sl_override_is_sweep(value);
	for (size_t i = 0; i < value->count && !found; i++)
		found = holds_sweep(&value->items[i]);
	return found;
}

int sl_override_plain(const struct sl_override *override, struct sl_error *err)
{
	int rc = 0;
	if (override->is_group || override->package)
		rc = sl_fail(err, SL_E_INVALID, "'%.100s' names a group of settings, and this project has only parameters", override->key);
	else if (override->kind == SL_OVERRIDE_DELETE)
		rc = sl_fail(err, SL_E_INVALID, "a parameter cannot be taken away");
	else if (override->kind == SL_OVERRIDE_ADD || override->kind == SL_OVERRIDE_FORCE)
		rc = sl_fail(err, SL_E_INVALID, "a parameter cannot be added on the command line");
	else if (override->kind == SL_OVERRIDE_EXTEND)
		rc = sl_fail(err, SL_E_INVALID, "a list cannot be extended on the command line");
	else if (holds_sweep(&override->value))
		return sl_fail(err, SL_E_INVALID, "'%.100s' is given several values, and a run takes one", override->key),
		       sl_error_hint(err, "run once for each; a text with a comma stands in quotes inside of the shell's: %.60s='\"a,b\"'", override->key);
	else if (holds_chance(&override->value))
		rc = sl_fail(err, SL_E_INVALID, "a shuffled list is different each time, so the run could not be repeated");
	if (rc)
		sl_error_hint(err, "write %.100s=VALUE, with a parameter that sluice.yaml declares under 'params'", override->key);
	return rc;
}
