#include "project/predicate.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

enum { DEPTH_MAX = 32, TEXT_MAX = 4096 };
enum op { OP_VALUE, OP_COLUMN, OP_NOT, OP_AND, OP_OR, OP_EQUAL, OP_UNEQUAL, OP_LESS, OP_LESS_EQUAL, OP_GREATER, OP_GREATER_EQUAL };

/* left, right: nodes; of OP_COLUMN, left is the column. */
struct node {
	enum op op;
	uint16_t left, right;
	struct sl_operand value;
};

struct sl_predicate {
	struct node nodes[SL_PREDICATE_NODES_MAX];
	const char *columns[SL_PREDICATE_COLUMNS_MAX];
	size_t node_count, column_count;
	uint16_t root;
};

struct parser {
	const char *text, *at;
	struct sl_arena *arena;
	struct sl_predicate *out;
	struct sl_error *err;
	int depth;
};

static int wrong(struct parser *p, const char *what)
{
	return sl_fail(p->err, SL_E_INVALID, "the condition '%.100s' cannot be read at '%.40s': %s", p->text, p->at, what);
}

static void skip_blanks(struct parser *p) { p->at += strspn(p->at, " \t\r\n"); }

static bool is_word(char c) { return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 128; }

/* Takes the word when it stands here. */
static bool take_word(struct parser *p, const char *word)
{
	size_t len = strlen(word);
	skip_blanks(p);
	if (strncmp(p->at, word, len) != 0 || is_word(p->at[len]))
		return false;
	p->at += len;
	return true;
}

static bool take_sign(struct parser *p, char sign)
{
	skip_blanks(p);
	if (*p->at != sign)
		return false;
	p->at++;
	return true;
}

static int add_node(struct parser *p, struct node node, uint16_t *ret)
{
	if (p->out->node_count == SL_PREDICATE_NODES_MAX)
		return wrong(p, "it has too many parts");
	*ret = (uint16_t)p->out->node_count++;
	p->out->nodes[*ret] = node;
	return 0;
}

static int read_or(struct parser *p, uint16_t *ret);

static int add_column(struct parser *p, const char *name, size_t len, uint16_t *ret)
{
	struct sl_predicate *out = p->out;
	size_t i = 0;
	while (i < out->column_count && (strlen(out->columns[i]) != len || memcmp(out->columns[i], name, len) != 0))
		i++;
	if (i == SL_PREDICATE_COLUMNS_MAX)
		return wrong(p, "it reads too many columns");
	if (i == out->column_count) {
		out->columns[i] = sl_arena_strndup(p->arena, name, len);
		if (!out->columns[i])
			return sl_fail_memory(p->err);
		out->column_count++;
	}
	return add_node(p, (struct node){.op = OP_COLUMN, .left = (uint16_t)i}, ret);
}

/* 'text' or "column". */
static int read_quoted(struct parser *p, uint16_t *ret)
{
	const char *start = p->at + 1, *end = strchr(start, *p->at);
	if (!end)
		return wrong(p, "the quote is not closed");
	bool column = *p->at == '"';
	p->at = end + 1;
	if (column)
		return add_column(p, start, (size_t)(end - start), ret);
	struct sl_operand value = {.kind = SL_OPERAND_TEXT, .text = sl_arena_strndup(p->arena, start, (size_t)(end - start)),
		.len = (size_t)(end - start)};
	return value.text ? add_node(p, (struct node){.op = OP_VALUE, .value = value}, ret) : sl_fail_memory(p->err);
}

static int read_number(struct parser *p, uint16_t *ret)
{
	char *end;
	double number = strtod(p->at, &end);
	if (end == p->at || is_word(*end))
		return wrong(p, "a column, a number, a text in single quotes, true, false or null is wanted");
	p->at = end;
	return add_node(p, (struct node){.op = OP_VALUE, .value = {.kind = SL_OPERAND_NUMBER, .number = number}}, ret);
}

static int read_parentheses(struct parser *p, uint16_t *ret)
{
	if (++p->depth > DEPTH_MAX)
		return wrong(p, "too many parentheses");
	p->at++;
	int rc = read_or(p, ret);
	if (!rc && !take_sign(p, ')'))
		return wrong(p, "a parenthesis is not closed");
	p->depth--;
	return rc;
}

static int read_value(struct parser *p, uint16_t *ret)
{
	static const char *const RESERVED[] = {"and", "or", "not", "in"};
	skip_blanks(p);
	if (*p->at == '\'' || *p->at == '"')
		return read_quoted(p, ret);
	if (*p->at == '(')
		return read_parentheses(p, ret);
	bool yes = take_word(p, "true");
	if (yes || take_word(p, "false"))
		return add_node(p, (struct node){.op = OP_VALUE, .value = {.kind = SL_OPERAND_BOOL, .truth = yes}}, ret);
	if (take_word(p, "null"))
		return add_node(p, (struct node){.op = OP_VALUE}, ret);
	size_t len = 0;
	while (is_word(p->at[len]))
		len++;
	for (size_t i = 0; i < SL_ARRAY_LEN(RESERVED); i++)
		if (strlen(RESERVED[i]) == len && memcmp(RESERVED[i], p->at, len) == 0)
			return wrong(p, "a value is wanted");
	if (!len || isdigit((unsigned char)*p->at))
		return read_number(p, ret);
	p->at += len;
	return add_column(p, p->at - len, len, ret);
}

/* a in (x, y): a = x or a = y. A column in a list of values: with conditions in them, the work could double with each level. */
static int read_in(struct parser *p, uint16_t left, bool turned, uint16_t *ret)
{
	uint16_t value, equal, any = 0;
	bool first = true;
	if (p->out->nodes[left].op != OP_COLUMN)
		return wrong(p, "a column is wanted before 'in'");
	if (!take_sign(p, '('))
		return wrong(p, "a list in parentheses is wanted");
	do {
		int rc = read_value(p, &value);
		if (!rc && p->out->nodes[value].op != OP_VALUE)
			return wrong(p, "a list holds numbers, texts in single quotes, true, false and null");
		rc = rc ? rc : add_node(p, (struct node){.op = OP_EQUAL, .left = left, .right = value}, &equal);
		if (!rc && !first)
			rc = add_node(p, (struct node){.op = OP_OR, .left = any, .right = equal}, &equal);
		if (rc)
			return rc;
		any = equal;
		first = false;
	} while (take_sign(p, ','));
	if (!take_sign(p, ')'))
		return wrong(p, "a parenthesis is not closed");
	*ret = any;
	return turned ? add_node(p, (struct node){.op = OP_NOT, .left = any}, ret) : 0;
}

static int read_compare(struct parser *p, uint16_t *ret)
{
	static const struct { const char *sign; enum op op; } SIGNS[] = {{"==", OP_EQUAL}, {"!=", OP_UNEQUAL}, {"<=", OP_LESS_EQUAL},
		{">=", OP_GREATER_EQUAL}, {"=", OP_EQUAL}, {"<", OP_LESS}, {">", OP_GREATER}};
	uint16_t left, right;
	int rc = read_value(p, &left);
	if (rc)
		return rc;
	*ret = left;
	const char *before = p->at;
	bool turned = take_word(p, "not");
	if (take_word(p, "in"))
		return read_in(p, left, turned, ret);
	if (turned)
		p->at = before;
	skip_blanks(p);
	for (size_t i = 0; i < SL_ARRAY_LEN(SIGNS); i++) {
		size_t len = strlen(SIGNS[i].sign);
		if (strncmp(p->at, SIGNS[i].sign, len) != 0)
			continue;
		p->at += len;
		rc = read_value(p, &right);
		return rc ? rc : add_node(p, (struct node){.op = SIGNS[i].op, .left = left, .right = right}, ret);
	}
	return 0;
}

static int read_not(struct parser *p, uint16_t *ret)
{
	bool turned = false;
	while (take_word(p, "not"))
		turned = !turned;
	int rc = read_compare(p, ret);
	return rc || !turned ? rc : add_node(p, (struct node){.op = OP_NOT, .left = *ret}, ret);
}

static int read_chain(struct parser *p, const char *word, enum op op, int (*side)(struct parser *p, uint16_t *ret), uint16_t *ret)
{
	int rc = side(p, ret);
	while (!rc && take_word(p, word)) {
		uint16_t right;
		rc = side(p, &right);
		rc = rc ? rc : add_node(p, (struct node){.op = op, .left = *ret, .right = right}, ret);
	}
	return rc;
}

static int read_and(struct parser *p, uint16_t *ret) { return read_chain(p, "and", OP_AND, read_not, ret); }
static int read_or(struct parser *p, uint16_t *ret) { return read_chain(p, "or", OP_OR, read_and, ret); }

int sl_predicate_parse(const char *text, struct sl_arena *arena, const struct sl_predicate **ret, struct sl_error *err)
{
	struct parser p = {.text = text, .at = text, .arena = arena, .err = err};
	if (strlen(text) > TEXT_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "a condition has at most %d bytes", TEXT_MAX);
	p.out = sl_arena_alloc(arena, sizeof *p.out);
	if (!p.out)
		return sl_fail_memory(err);
	int rc = read_or(&p, &p.out->root);
	skip_blanks(&p);
	if (!rc && *p.at)
		rc = wrong(&p, "nothing may follow here");
	if (!rc)
		*ret = p.out;
	return rc;
}

size_t sl_predicate_column_count(const struct sl_predicate *predicate) { return predicate->column_count; }
const char *sl_predicate_column(const struct sl_predicate *predicate, size_t i) { return predicate->columns[i]; }

/* ---- a row's value ---- */

struct row { const struct sl_predicate *predicate; sl_predicate_get *column; void *context; };

/* -1, 0, 1; 2: they have no order. NaN has none, as with a float. */
static int order(const struct sl_operand *a, const struct sl_operand *b)
{
	if (a->kind != b->kind)
		return 2;
	if (a->kind == SL_OPERAND_NUMBER)
		return a->number < b->number ? -1 : a->number > b->number ? 1 : a->number == b->number ? 0 : 2;
	if (a->kind != SL_OPERAND_TEXT)
		return a->kind == SL_OPERAND_NULL || a->truth == b->truth ? 0 : 2;
	int c = memcmp(a->text, b->text, a->len < b->len ? a->len : b->len);
	return c ? (c < 0 ? -1 : 1) : (a->len > b->len) - (a->len < b->len);
}

static struct sl_operand value_of(const struct row *row, uint16_t at);

static bool truth_of(const struct row *row, uint16_t at)
{
	struct sl_operand value = value_of(row, at);
	return value.kind == SL_OPERAND_BOOL && value.truth;
}

static bool compares(enum op op, int c)
{
	switch (op) {
	case OP_EQUAL: return c == 0;
	case OP_UNEQUAL: return c != 0;
	case OP_LESS: return c == -1;
	case OP_LESS_EQUAL: return c == -1 || c == 0;
	case OP_GREATER: return c == 1;
	default: return c == 1 || c == 0;
	}
}

/* Recursion is bounded by the number of nodes, each of which is made of earlier ones. */
static struct sl_operand value_of(const struct row *row, uint16_t at)
{
	const struct node *node = &row->predicate->nodes[at];
	struct sl_operand left, right, ret = {.kind = SL_OPERAND_BOOL};
	switch (node->op) {
	case OP_VALUE:
		return node->value;
	case OP_COLUMN:
		row->column(row->context, node->left, &ret);
		return ret;
	case OP_NOT:
		ret.truth = !truth_of(row, node->left);
		return ret;
	case OP_AND:
		ret.truth = truth_of(row, node->left) && truth_of(row, node->right);
		return ret;
	case OP_OR:
		ret.truth = truth_of(row, node->left) || truth_of(row, node->right);
		return ret;
	default:
		left = value_of(row, node->left);
		right = value_of(row, node->right);
		ret.truth = compares(node->op, order(&left, &right));
		return ret;
	}
}

bool sl_predicate_holds(const struct sl_predicate *predicate, sl_predicate_get *column, void *context)
{
	const struct row row = {predicate, column, context};
	return truth_of(&row, predicate->root);
}
