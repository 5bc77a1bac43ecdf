/* Filters and orders of searches: texts that come from clients. What parses becomes SQL whose values are all bound. */
#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "record/filter_sql.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct sl_filter_attribute ATTRIBUTES[] = {{"name", 0, false}, {"start_time", 1, true}, {0}};
	static const struct sl_filter_grammar GRAMMAR = {.attributes = ATTRIBUTES, .entities = ~0u};
	static const struct sl_filter_word WORDS[] = {{"trace", SL_ENTITY_ATTRIBUTE}, {"span", SL_ENTITY_SPAN}, {"feedback", SL_ENTITY_FEEDBACK},
		{"issue", SL_ENTITY_ISSUE}, {0}};
	static const struct sl_filter_grammar TRACES = {ATTRIBUTES, ~0u, WORDS};
	static const char *const COLUMNS[] = {"n", "s"}, *const DATASETS[] = {"a", "b", "c"};
	static const struct sl_filter_tables TABLES = {.attributes = COLUMNS, .metric = "m ", .param = "p ", .tag = "t ", .dataset = "d",
		.datasets = DATASETS};
	struct sl_error err;
	struct sl_filter *filter = NULL;
	struct sl_order order[SL_ORDER_KEYS_MAX];
	SL_CLEANUP(sl_arena_freep) struct sl_arena *arena = sl_arena_new(0, &err);
	char *text = sl_arena_strndup(arena, (const char *)data, len);
	const char *texts[] = {text};

	assert(text);
	if (sl_filter_parse(text, &GRAMMAR, arena, &filter, &err) == 0 && filter) {
		struct sl_select sql SL_CLEANUP(sl_select_done) = {0};
		assert(sl_select_init(&sql, arena, &err) == 0);
		sl_filter_sql(filter, &TABLES, &sql);
		assert(sql.text.failed || (!strchr(sql.text.data, '\'') && !strchr(sql.text.data, '"')));
	}
	sl_order_parse(texts, 1, &GRAMMAR, arena, order, &err);
	sl_filter_parse(text, &TRACES, arena, &filter, &err);
	return 0;
}
