#include "project/condition.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

enum { DEPTH_MAX = 32 };

struct parser { struct sl_loader *loader; const char *at; struct sl_mark mark; int depth; };

static int wrong(struct parser *p, const char *what)
{
	return sl_load_fail(p->loader, p->mark, SL_E_INVALID, "'when' cannot be read at '%.40s': %s", p->at, what);
}

static void skip_blanks(struct parser *p) { p->at += strspn(p->at, " \t\r\n"); }

/* Takes the word when it stands here. */
static bool take_word(struct parser *p, const char *word)
{
	size_t len = strlen(word);
	skip_blanks(p);
	if (strncmp(p->at, word, len) != 0 || isalnum((unsigned char)p->at[len]) || p->at[len] == '_')
		return false;
	p->at += len;
	return true;
}

static int read_or(struct parser *p, struct sl_value *ret);

static int read_parameter(struct parser *p, struct sl_value *ret)
{
	size_t len = 1;
	while (isalnum((unsigned char)p->at[len]) || p->at[len] == '_')
		len++;
	const char *name = sl_arena_strndup(p->loader->arena, p->at, len);
	if (!name)
		return sl_load_memory(p->loader);
	const struct sl_yaml reference = {.kind = SL_YAML_SCALAR, .mark = p->mark, .text = name, .plain = true}, *value;
	int rc = sl_load_resolve(p->loader, &reference, &value);
	if (!rc && value == &reference)
		return wrong(p, "a '$' wants a parameter's name behind it");
	p->at += len;
	return rc ? rc : sl_load_value(p->loader, value, ret);
}

static int read_quoted(struct parser *p, struct sl_value *ret)
{
	const char *end = strchr(p->at + 1, *p->at);
	if (!end)
		return wrong(p, "the quote is not closed");
	*ret = (struct sl_value){.type = SL_VALUE_TEXT, .text = sl_arena_strndup(p->loader->arena, p->at + 1, (size_t)(end - p->at - 1))};
	p->at = end + 1;
	return ret->text ? 0 : sl_load_memory(p->loader);
}

static int read_number(struct parser *p, struct sl_value *ret)
{
	char *end;
	double number = strtod(p->at, &end);
	if (end == p->at)
		return wrong(p, "a parameter, a number, a text in quotes, true or false is wanted");
	*ret = (struct sl_value){.type = SL_VALUE_DOUBLE, .d = number};
	p->at = end;
	return 0;
}

static int read_value(struct parser *p, struct sl_value *ret)
{
	skip_blanks(p);
	if (*p->at == '$')
		return read_parameter(p, ret);
	if (*p->at == '\'' || *p->at == '"')
		return read_quoted(p, ret);
	bool yes = take_word(p, "true");
	if (yes || take_word(p, "false") || take_word(p, "null")) {
		*ret = (struct sl_value){.type = p->at[-1] == 'l' ? SL_VALUE_NULL : SL_VALUE_BOOL, .i = yes};
		return 0;
	}
	if (*p->at != '(')
		return read_number(p, ret);
	if (++p->depth > DEPTH_MAX)
		return wrong(p, "too many parentheses");
	p->at++;
	int rc = read_or(p, ret);
	skip_blanks(p);
	if (!rc && *p->at++ != ')')
		return wrong(p, "a parenthesis is not closed");
	p->depth--;
	return rc;
}

static bool is_number(const struct sl_value *v) { return v->type == SL_VALUE_INT || v->type == SL_VALUE_DOUBLE; }
static bool is_text(const struct sl_value *v) { return v->type == SL_VALUE_TEXT || v->type == SL_VALUE_TIME; }

/* -1, 0, 1; 2: they have no order. */
static int order(const struct sl_value *a, const struct sl_value *b)
{
	if (is_number(a) && is_number(b)) {
		double x = a->type == SL_VALUE_INT ? (double)a->i : a->d, y = b->type == SL_VALUE_INT ? (double)b->i : b->d;
		return x < y ? -1 : x > y;
	}
	if (is_text(a) && is_text(b)) {
		int c = strcmp(a->text, b->text);
		return c < 0 ? -1 : c > 0;
	}
	return 2;
}

static bool equal(const struct sl_value *a, const struct sl_value *b)
{
	if (a->type == b->type && (a->type == SL_VALUE_BOOL || a->type == SL_VALUE_NULL))
		return a->i == b->i;
	return order(a, b) == 0;
}

static int read_compare(struct parser *p, struct sl_value *ret)
{
	static const char *const OPERATORS[] = {"==", "!=", "<=", ">=", "=", "<", ">"};
	struct sl_value right;
	int rc = read_value(p, ret);
	size_t op = 0;
	skip_blanks(p);
	while (op < SL_ARRAY_LEN(OPERATORS) && strncmp(p->at, OPERATORS[op], strlen(OPERATORS[op])) != 0)
		op++;
	if (rc || op == SL_ARRAY_LEN(OPERATORS))
		return rc;
	p->at += strlen(OPERATORS[op]);
	rc = read_value(p, &right);
	if (rc)
		return rc;
	int c = order(ret, &right);
	bool same = equal(ret, &right), by_size = op != 0 && op != 1 && op != 4;
	if (by_size && c == 2)
		return wrong(p, "only numbers, and texts or times, can be compared by size");
	const bool results[] = {same, !same, c <= 0, c >= 0, same, c < 0, c > 0};
	*ret = (struct sl_value){.type = SL_VALUE_BOOL, .i = results[op]};
	return 0;
}

static int want_truth(struct parser *p, const struct sl_value *v)
{
	return v->type == SL_VALUE_BOOL ? 0 : wrong(p, "what stands before is neither true nor false");
}

static int read_not(struct parser *p, struct sl_value *ret)
{
	bool turned = false;
	while (take_word(p, "not"))
		turned = !turned;
	int rc = read_compare(p, ret);
	rc = rc || !turned ? rc : want_truth(p, ret);
	if (turned)
		ret->i = !ret->i;
	return rc;
}

/* Both sides are read, so that a mistake in either is told. */
static int read_chain(struct parser *p, const char *word, int (*side)(struct parser *p, struct sl_value *ret), struct sl_value *ret)
{
	bool all = strcmp(word, "and") == 0;
	int rc = side(p, ret);
	while (!rc && take_word(p, word)) {
		struct sl_value right;
		rc = want_truth(p, ret);
		rc = rc ? rc : side(p, &right);
		rc = rc ? rc : want_truth(p, &right);
		ret->i = rc ? 0 : all ? ret->i && right.i : ret->i || right.i;
	}
	return rc;
}

static int read_and(struct parser *p, struct sl_value *ret) { return read_chain(p, "and", read_not, ret); }
static int read_or(struct parser *p, struct sl_value *ret) { return read_chain(p, "or", read_and, ret); }

int sl_condition_eval(struct sl_loader *loader, const char *text, struct sl_mark mark, bool *ret)
{
	struct parser p = {.loader = loader, .at = text, .mark = mark};
	struct sl_value value;
	int rc = read_or(&p, &value);
	skip_blanks(&p);
	if (!rc && *p.at)
		return wrong(&p, "nothing may follow here");
	rc = rc ? rc : want_truth(&p, &value);
	*ret = !rc && value.i;
	return rc;
}
