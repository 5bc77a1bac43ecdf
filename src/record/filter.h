/* The language of searches: MLflow's filter strings, with OR and parentheses.
 *
 *     filter     := term {OR term}          term := part {AND part}         part := "(" filter ")" | comparison
 *     comparison := name op value | name [NOT] IN "(" text {"," text} ")" | name IS [NOT] NULL
 *     name       := [entity "."] key        entity := metric[s] param[s] parameter[s] tag[s] attribute[s] attr run dataset[s]
 *     op         := > >= = != < <= LIKE ILIKE
 *
 * A key may stand in backticks or double quotes; without an entity it is an attribute. Texts stand in single or double quotes, a
 * quote inside is doubled. A search may have other words for entities (traces: trace, metadata, span, feedback ...). What a key
 * may be compared with depends on what it is; the texts of errors are MLflow's
 * (mlflow/utils/search_utils.py). Limits: SL_FILTER_*.
 */
#ifndef SL_RECORD_FILTER_H
#define SL_RECORD_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"

enum {
	SL_FILTER_BYTES_MAX = 64 << 10,
	SL_FILTER_CLAUSES_MAX = 200,
	SL_FILTER_LIST_MAX = 1000,
	SL_FILTER_DEPTH_MAX = 20,
	SL_FILTER_WILDCARDS_MAX = 16, /* "%" in one pattern: matching can cost a power of the text's length */
	SL_ORDER_KEYS_MAX = 8,
};

enum sl_filter_entity {
	SL_ENTITY_ATTRIBUTE, SL_ENTITY_METRIC, SL_ENTITY_PARAM, SL_ENTITY_TAG, SL_ENTITY_DATASET,
	SL_ENTITY_SPAN, SL_ENTITY_FEEDBACK, SL_ENTITY_EXPECTATION, SL_ENTITY_ISSUE, /* of traces only */
};
/* Numbers of a span's keys; behind "attributes." any name may stand, which is then the key. */
enum sl_filter_span { SL_SPAN_NAME, SL_SPAN_TYPE, SL_SPAN_STATUS, SL_SPAN_CONTENT, SL_SPAN_ATTRIBUTE };
enum sl_filter_op {
	SL_OP_EQ, SL_OP_NE, SL_OP_LT, SL_OP_LE, SL_OP_GT, SL_OP_GE, SL_OP_LIKE, SL_OP_ILIKE, SL_OP_IN, SL_OP_NOT_IN, SL_OP_NULL,
	SL_OP_NOT_NULL
};

/* What a search knows. An alias has the number of what it stands for. */
struct sl_filter_attribute { const char *name; int number; bool numeric; };
struct sl_filter_word { const char *word; enum sl_filter_entity entity; };
struct sl_filter_grammar {
	const struct sl_filter_attribute *attributes; /* ends with a NULL name */
	unsigned entities;                            /* bits 1 << enum sl_filter_entity besides attributes */
	const struct sl_filter_word *words;           /* instead of those above, ends with a NULL word; NULL: those above */
};

struct sl_filter {
	enum { SL_FILTER_AND, SL_FILTER_OR, SL_FILTER_COMPARE } type;
	struct sl_filter *first, *next;   /* children of AND and OR; the next of the same parent */
	/* A comparison. */
	enum sl_filter_entity entity;
	int attribute;                    /* its number */
	const char *key;
	enum sl_filter_op op;
	bool numeric;
	double number;
	const char *text;                 /* or a pattern */
	const char *const *list;
	size_t list_count;
};

/* Everything in the arena. *ret is NULL for an empty filter. SL_E_INVALID. */
int sl_filter_parse(const char *text, const struct sl_filter_grammar *grammar, struct sl_arena *arena, struct sl_filter **ret,
	struct sl_error *err);

struct sl_order { enum sl_filter_entity entity; int attribute; const char *key; bool descending, numeric; };
/* "metrics.acc DESC", "`Run name`", ... A key that comes twice is SL_E_INVALID. */
int sl_order_parse(const char *const *texts, size_t count, const struct sl_filter_grammar *grammar, struct sl_arena *arena,
	struct sl_order ret[SL_ORDER_KEYS_MAX], struct sl_error *err);

#endif
