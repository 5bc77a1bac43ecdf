#include "record/filter.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"

struct parser {
	const char *text, *at;
	const struct sl_filter_grammar *grammar;
	struct sl_arena *arena;
	struct sl_error *err;
	int depth, clauses;
};

static void skip_blanks(struct parser *p)
{
	while (*p->at && isspace((unsigned char)*p->at))
		p->at++;
}

static bool is_word_char(char c) { return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80; }

/* Takes a keyword in either case when it stands here as a whole word. */
static bool take_word(struct parser *p, const char *word)
{
	size_t len = strlen(word);
	skip_blanks(p);
	if (strncasecmp(p->at, word, len) != 0 || is_word_char(p->at[len]) || p->at[len] == '.')
		return false;
	p->at += len;
	return true;
}

static int fail_clause(struct parser *p, const char *from)
{
	return sl_fail(p->err, SL_E_INVALID, "Invalid clause(s) in filter string: '%.300s'", from);
}

/* ---- names ---------------------------------------------------------------------------------------------------------- */

static const struct sl_filter_word WORDS[] = {
	{"metric", SL_ENTITY_METRIC}, {"metrics", SL_ENTITY_METRIC}, {"param", SL_ENTITY_PARAM}, {"params", SL_ENTITY_PARAM},
	{"parameter", SL_ENTITY_PARAM}, {"parameters", SL_ENTITY_PARAM}, {"tag", SL_ENTITY_TAG}, {"tags", SL_ENTITY_TAG},
	{"attribute", SL_ENTITY_ATTRIBUTE}, {"attributes", SL_ENTITY_ATTRIBUTE}, {"attr", SL_ENTITY_ATTRIBUTE},
	{"run", SL_ENTITY_ATTRIBUTE}, {"dataset", SL_ENTITY_DATASET}, {"datasets", SL_ENTITY_DATASET}, {0}};

static const char *entity_name(const struct sl_filter_grammar *grammar, enum sl_filter_entity entity)
{
	static const char *const NAMES[] = {"attribute", "metric", "parameter", "tag", "dataset", "span", "feedback", "expectation", "issue"};
	return grammar->words && entity == SL_ENTITY_PARAM ? "request_metadata" : NAMES[entity];
}

/* A word, or whatever stands in backticks or double quotes; NULL when there is neither. */
static const char *take_part(struct parser *p, bool dots)
{
	const char *begin = p->at, *end;
	if (*begin == '`' || *begin == '"') {
		end = strchr(begin + 1, *begin);
		if (!end)
			return NULL;
		p->at = end + 1;
		return sl_arena_strndup(p->arena, begin + 1, (size_t)(end - begin - 1));
	}
	for (end = begin; is_word_char(*end) || (dots && (*end == '.' || (*end == '-' && end > begin) || *end == '/')); end++)
		;
	p->at = end;
	return end > begin ? sl_arena_strndup(p->arena, begin, (size_t)(end - begin)) : NULL;
}

static int find_entity(struct parser *p, const char *word, enum sl_filter_entity *ret)
{
	for (const struct sl_filter_word *w = p->grammar->words ? p->grammar->words : WORDS; w->word; w++)
		if (strcmp(w->word, word) == 0 && (w->entity == SL_ENTITY_ATTRIBUTE || (p->grammar->entities & 1u << w->entity))) {
			*ret = w->entity;
			return 0;
		}
	return sl_fail(p->err, SL_E_INVALID, "Invalid entity type '%.100s'. Valid values are [%s]", word, p->grammar->words
		? "'attribute', 'trace', 'tag', 'request_metadata', 'span', 'feedback', 'expectation', 'issue'"
		: "'metric', 'parameter', 'tag', 'attribute', 'dataset'");
}

static const struct sl_filter_attribute DATASET[] = {{"name", 0, false}, {"digest", 1, false}, {"context", 2, false}, {0}};

static int find_attribute(struct parser *p, enum sl_filter_entity entity, const char *key, int *ret, bool *ret_numeric)
{
	char valid[300] = "";
	bool dataset = entity == SL_ENTITY_DATASET;
	for (const struct sl_filter_attribute *a = dataset ? DATASET : p->grammar->attributes; a->name; a++) {
		size_t len = strlen(valid);
		snprintf(valid + len, sizeof valid - len, "%s'%s'", len ? ", " : "", a->name);
		if (strcmp(a->name, key) != 0)
			continue;
		*ret = a->number;
		*ret_numeric = a->numeric;
		return 0;
	}
	return sl_fail(p->err, SL_E_INVALID, "Invalid %s key '%.200s' specified. Valid keys are '{%s}'", dataset ? "dataset" : "attribute",
		key, valid);
}

/* "attributes.<name>", where the name may stand in backticks, or one of a span's own keys. */
static int find_span_key(struct parser *p, const char *key, const char **ret_key, int *ret)
{
	static const char *const KEYS[] = {"name", "type", "status", "content"};
	static const char BEFORE[] = "attributes.";
	for (size_t i = 0; i < SL_ARRAY_LEN(KEYS); i++)
		if (strcmp(KEYS[i], key) == 0) {
			*ret = (int)i;
			return 0;
		}
	if (strncmp(key, BEFORE, sizeof BEFORE - 1) != 0)
		return sl_fail(p->err, SL_E_INVALID, "Invalid span attribute '%.200s'. Supported attributes: name, status, type, "
			"attributes.<attribute_name>.", key);
	*ret = SL_SPAN_ATTRIBUTE;
	*ret_key = key[sizeof BEFORE - 1] ? key + sizeof BEFORE - 1 : take_part(p, true);
	return *ret_key ? 0 : sl_fail(p->err, SL_E_INVALID, "Span attribute name cannot be empty after 'attributes.'");
}

struct name { enum sl_filter_entity entity; int attribute; const char *key; bool numeric; };

static int find_key(struct parser *p, struct name *name)
{
	if (name->entity == SL_ENTITY_SPAN)
		return find_span_key(p, name->key, &name->key, &name->attribute);
	if (name->entity == SL_ENTITY_ISSUE && strcmp(name->key, "id") != 0)
		return sl_fail(p->err, SL_E_INVALID, "Invalid issue attribute '%.200s'. Supported attributes: id", name->key);
	if (name->entity == SL_ENTITY_ATTRIBUTE || name->entity == SL_ENTITY_DATASET)
		return find_attribute(p, name->entity, name->key, &name->attribute, &name->numeric);
	return 0;
}

static int take_name(struct parser *p, struct name *ret)
{
	const char *from = (skip_blanks(p), p->at), *first = take_part(p, false);
	*ret = (struct name){.entity = SL_ENTITY_ATTRIBUTE, .key = first};
	if (!first)
		return fail_clause(p, from);
	if (*p->at == '.') {
		p->at++;
		ret->key = take_part(p, true);
		if (!ret->key)
			return fail_clause(p, from);
		int rc = find_entity(p, first, &ret->entity);
		if (rc)
			return rc;
	}
	ret->numeric = ret->entity == SL_ENTITY_METRIC;
	return find_key(p, ret);
}

/* ---- operators and values ------------------------------------------------------------------------------------------- */

static int fail_operator(struct parser *p, const struct sl_filter *f, const char *word, size_t len)
{
	const char *valid = f->numeric ? "'<', '!=', '>', '=', '>=', '<='"
		: f->entity == SL_ENTITY_PARAM || f->entity == SL_ENTITY_TAG ? "'!=', '=', 'LIKE', 'ILIKE', 'IN', 'NOT IN', 'IS NULL', "
									       "'IS NOT NULL'"
									     : "'!=', '=', 'LIKE', 'ILIKE', 'IN', 'NOT IN'";
	return sl_fail(p->err, SL_E_INVALID, "Invalid comparator '%.*s' not one of '{%s}", (int)(len < 20 ? len : 20), word, valid);
}

static bool is_assessment(const struct sl_filter *f)
{
	return f->entity == SL_ENTITY_FEEDBACK || f->entity == SL_ENTITY_EXPECTATION;
}

/* What may be missing, so that asking for that makes sense. */
static bool may_be_null(const struct sl_filter *f)
{
	return f->entity == SL_ENTITY_PARAM || f->entity == SL_ENTITY_TAG || is_assessment(f);
}

/* An assessment is a number when it is compared as one. */
static bool is_operator_of(const struct sl_filter *f, enum sl_filter_op op)
{
	return f->numeric || op == SL_OP_EQ || op == SL_OP_NE || is_assessment(f);
}

static int take_symbol(struct parser *p, struct sl_filter *f)
{
	static const struct { const char *symbol; enum sl_filter_op op; } SYMBOLS[] = {
		{">=", SL_OP_GE}, {"<=", SL_OP_LE}, {"!=", SL_OP_NE}, {"<>", SL_OP_NE}, {"=", SL_OP_EQ}, {"<", SL_OP_LT}, {">", SL_OP_GT}};
	size_t len = strspn(p->at, "<>=!~*%^|&@#");
	const char *symbol = p->at;
	p->at += len;
	if (!len)
		return sl_fail(p->err, SL_E_INVALID, "Invalid comparison clause. Expected comparison found '%.100s'", symbol);
	for (size_t i = 0; i < SL_ARRAY_LEN(SYMBOLS); i++)
		if (strlen(SYMBOLS[i].symbol) == len && strncmp(SYMBOLS[i].symbol, symbol, len) == 0 &&
			is_operator_of(f, SYMBOLS[i].op)) {
			f->op = SYMBOLS[i].op;
			f->numeric |= f->op != SL_OP_EQ && f->op != SL_OP_NE;
			return 0;
		}
	return fail_operator(p, f, symbol, len);
}

static int take_operator(struct parser *p, struct sl_filter *f)
{
	bool no = false;
	const char *from = (skip_blanks(p), p->at);
	if (take_word(p, "LIKE"))
		f->op = SL_OP_LIKE;
	else if (take_word(p, "ILIKE"))
		f->op = SL_OP_ILIKE;
	else if (take_word(p, "IN"))
		f->op = SL_OP_IN;
	else if (take_word(p, "NOT")) {
		if (!take_word(p, "IN"))
			return fail_clause(p, from);
		f->op = SL_OP_NOT_IN;
	} else if (take_word(p, "IS")) {
		no = take_word(p, "NOT");
		if (!take_word(p, "NULL"))
			return fail_clause(p, from);
		f->op = no ? SL_OP_NOT_NULL : SL_OP_NULL;
		if (!may_be_null(f))
			return sl_fail(p->err, SL_E_INVALID, "IS NULL / IS NOT NULL is only supported for tags and params, not for '%s' "
				"'%.200s'", entity_name(p->grammar, f->entity), f->key);
	} else if (take_word(p, "RLIKE")) {
		return fail_operator(p, f, from, 5);
	} else {
		return take_symbol(p, f);
	}
	return f->numeric ? fail_operator(p, f, from, strcspn(from, " (")) : 0;
}

/* A quoted text, doubled quotes made one; NULL when none stands here. */
static const char *take_text(struct parser *p)
{
	char quote = *p->at;
	if (quote != '\'' && quote != '"')
		return NULL;
	char *out = sl_arena_alloc(p->arena, strlen(p->at) + 1), *to = out;
	for (const char *s = p->at + 1; out && *s; s++) {
		if (*s == quote && s[1] != quote) {
			p->at = s + 1;
			*to = 0;
			return out;
		}
		s += *s == quote;
		*to++ = *s;
	}
	return NULL;
}

/* What stands here up to the next blank, for an error. */
static int fail_value(struct parser *p, const struct sl_filter *f)
{
	size_t len = strcspn(p->at, " \t\n)");
	int shown = (int)(len < 100 ? len : 100);
	if (f->entity == SL_ENTITY_METRIC)
		return sl_fail(p->err, SL_E_INVALID, "Expected numeric value type for metric. Found %.*s", shown, p->at);
	if (f->numeric && is_assessment(f))
		return sl_fail(p->err, SL_E_INVALID, "Expected a numeric value for %s. Got value %.*s", entity_name(p->grammar, f->entity),
			shown, p->at);
	if (f->numeric)
		return sl_fail(p->err, SL_E_INVALID, "Expected numeric value type for numeric attribute: %.100s. Found %.*s", f->key, shown,
			p->at);
	if (f->entity == SL_ENTITY_ATTRIBUTE)
		return sl_fail(p->err, SL_E_INVALID, "Expected a quoted string value for attributes. Got value %.*s", shown, p->at);
	if (f->entity == SL_ENTITY_DATASET)
		return sl_fail(p->err, SL_E_INVALID, "Expected a quoted string value for dataset attributes. Got value %.*s", shown, p->at);
	return sl_fail(p->err, SL_E_INVALID, "Expected a quoted string value for %s (e.g. 'my-value'). Got value %.*s",
		entity_name(p->grammar, f->entity), shown, p->at);
}

static int take_number(struct parser *p, struct sl_filter *f)
{
	char text[64];
	size_t len = strspn(p->at, "+-0123456789.eE");
	if (!len || len >= sizeof text || is_word_char(p->at[len]))
		return fail_value(p, f);
	memcpy(text, p->at, len);
	text[len] = 0;
	if (!sl_str_double(text, &f->number))
		return fail_value(p, f);
	p->at += len;
	return 0;
}

static int take_list(struct parser *p, struct sl_filter *f)
{
	const char **list = sl_arena_array(p->arena, SL_FILTER_LIST_MAX, sizeof *list);
	if (!list)
		return sl_fail_memory(p->err);
	if (*p->at != '(')
		return fail_value(p, f);
	do {
		p->at++;
		skip_blanks(p);
		if (*p->at == ')' && f->list_count) /* a comma may stand behind the last, as in Python */
			break;
		const char *text = take_text(p);
		if (!text || f->list_count == SL_FILTER_LIST_MAX)
			return sl_fail(p->err, SL_E_INVALID, "While parsing a list in the query, expected a non-empty list of at most %d string "
				"values, but got ill-formed list.", SL_FILTER_LIST_MAX);
		list[f->list_count++] = text;
		skip_blanks(p);
	} while (*p->at == ',');
	f->list = list;
	return *p->at == ')' ? (p->at++, 0) : fail_clause(p, p->at);
}

static int take_value(struct parser *p, struct sl_filter *f)
{
	skip_blanks(p);
	if (f->op == SL_OP_NULL || f->op == SL_OP_NOT_NULL)
		return 0;
	if (f->op == SL_OP_IN || f->op == SL_OP_NOT_IN)
		return take_list(p, f);
	if (f->numeric)
		return take_number(p, f);
	f->text = take_text(p);
	if (!f->text)
		return fail_value(p, f);
	size_t wildcards = 0;
	for (const char *s = f->text; *s; s++)
		wildcards += *s == '%';
	if ((f->op == SL_OP_LIKE || f->op == SL_OP_ILIKE) && wildcards > SL_FILTER_WILDCARDS_MAX)
		return sl_fail(p->err, SL_E_INVALID, "A pattern may have at most %d '%%'", SL_FILTER_WILDCARDS_MAX);
	return 0;
}

/* ---- expressions ---------------------------------------------------------------------------------------------------- */

static int parse_or(struct parser *p, struct sl_filter **ret);

static int parse_comparison(struct parser *p, struct sl_filter **ret)
{
	struct name name;
	struct sl_filter *f = sl_arena_alloc(p->arena, sizeof *f);
	if (!f)
		return sl_fail_memory(p->err);
	if (++p->clauses > SL_FILTER_CLAUSES_MAX)
		return sl_fail(p->err, SL_E_INVALID, "A filter may have at most %d clauses", SL_FILTER_CLAUSES_MAX);
	int rc = take_name(p, &name);
	if (rc)
		return rc;
	*f = (struct sl_filter){.type = SL_FILTER_COMPARE, .entity = name.entity, .attribute = name.attribute, .key = name.key,
		.numeric = name.numeric};
	rc = take_operator(p, f);
	*ret = f;
	return rc ? rc : take_value(p, f);
}

static int parse_part(struct parser *p, struct sl_filter **ret)
{
	skip_blanks(p);
	if (*p->at != '(')
		return parse_comparison(p, ret);
	if (++p->depth > SL_FILTER_DEPTH_MAX)
		return sl_fail(p->err, SL_E_INVALID, "A filter may nest parentheses at most %d deep", SL_FILTER_DEPTH_MAX);
	p->at++;
	int rc = parse_or(p, ret);
	skip_blanks(p);
	p->depth--;
	if (rc)
		return rc;
	return *p->at == ')' ? (p->at++, 0) : fail_clause(p, p->at);
}

static int parse_chain(struct parser *p, const char *word, int type, int (*part)(struct parser *, struct sl_filter **),
	struct sl_filter **ret)
{
	struct sl_filter *first, *chain;
	int rc = part(p, &first);
	*ret = first;
	if (rc || !take_word(p, word))
		return rc;
	chain = sl_arena_alloc(p->arena, sizeof *chain);
	if (!chain)
		return sl_fail_memory(p->err);
	*chain = (struct sl_filter){.type = type, .first = first};
	*ret = chain;
	for (struct sl_filter **last = &first->next; !rc; last = &(*last)->next) {
		rc = part(p, last);
		if (rc || !take_word(p, word))
			break;
	}
	return rc;
}

static int parse_and(struct parser *p, struct sl_filter **ret) { return parse_chain(p, "AND", SL_FILTER_AND, parse_part, ret); }
static int parse_or(struct parser *p, struct sl_filter **ret) { return parse_chain(p, "OR", SL_FILTER_OR, parse_and, ret); }

int sl_filter_parse(const char *text, const struct sl_filter_grammar *grammar, struct sl_arena *arena, struct sl_filter **ret,
	struct sl_error *err)
{
	struct sl_error own;
	struct parser p = {.text = text, .at = text, .grammar = grammar, .arena = arena, .err = err ? err : &own};
	*ret = NULL;
	if (strlen(text) > SL_FILTER_BYTES_MAX)
		return sl_fail(err, SL_E_INVALID, "A filter may have at most %d bytes", SL_FILTER_BYTES_MAX);
	skip_blanks(&p);
	if (!*p.at)
		return 0;
	int rc = parse_or(&p, ret);
	skip_blanks(&p);
	return rc || !*p.at ? rc : fail_clause(&p, p.at);
}

/* ---- order ---------------------------------------------------------------------------------------------------------- */

static int parse_order(struct parser *p, struct sl_order *ret)
{
	struct name name;
	skip_blanks(p);
	if (!*p->at)
		return sl_fail(p->err, SL_E_INVALID, "Invalid order_by clause '%.200s'. Could not be parsed.", p->text);
	int rc = take_name(p, &name);
	if (rc)
		return rc;
	*ret = (struct sl_order){.entity = name.entity, .attribute = name.attribute, .key = name.key, .numeric = name.numeric};
	ret->descending = take_word(p, "DESC");
	if (!ret->descending)
		take_word(p, "ASC");
	skip_blanks(p);
	if (!*p->at)
		return 0;
	return sl_fail(p->err, SL_E_INVALID, "Invalid ordering key in order_by clause '%.200s'.", p->text);
}

static bool same_key(const struct sl_order *a, const struct sl_order *b)
{
	if (a->entity != b->entity)
		return false;
	return a->entity == SL_ENTITY_ATTRIBUTE ? a->attribute == b->attribute : strcmp(a->key, b->key) == 0;
}

int sl_order_parse(const char *const *texts, size_t count, const struct sl_filter_grammar *grammar, struct sl_arena *arena,
	struct sl_order ret[SL_ORDER_KEYS_MAX], struct sl_error *err)
{
	struct sl_error own;
	if (count > SL_ORDER_KEYS_MAX)
		return sl_fail(err, SL_E_INVALID, "`order_by` may have at most %d fields", SL_ORDER_KEYS_MAX);
	for (size_t i = 0; i < count; i++) {
		struct parser p = {.text = texts[i], .at = texts[i], .grammar = grammar, .arena = arena, .err = err ? err : &own};
		int rc = parse_order(&p, &ret[i]);
		if (rc)
			return rc;
		for (size_t k = 0; k < i; k++)
			if (same_key(&ret[i], &ret[k]))
				return sl_fail(err, SL_E_INVALID, "`order_by` contains duplicate fields: ['%.200s']", texts[i]);
	}
	return 0;
}
