/* Traffic rules and the conditions in them: texts that come over the API. What parses has variants that make sense, and its conditions
 * have a value for a row of nothing. */
#include <assert.h>
#include <string.h>

#include "project/traffic.h"

static void nothing(void *context, size_t i, struct sl_operand *ret)
{
	assert(i < sl_predicate_column_count(context));
	*ret = (struct sl_operand){.kind = (enum sl_operand_kind)(i % 4), .text = "x", .len = 1, .number = 1};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sl_error err;
	const struct sl_traffic *traffic;
	SL_CLEANUP(sl_arena_freep) struct sl_arena *arena = sl_arena_new(0, &err);
	char *text = sl_arena_strndup(arena, (const char *)data, len);
	assert(text);
	if (sl_traffic_parse(text, "rules", "delay", "champion", arena, &traffic, &err))
		return 0;
	double sum = 0;
	for (size_t i = 0; i < traffic->variant_count; i++) {
		assert(*traffic->variants[i].model && *traffic->variants[i].alias && traffic->variants[i].weight >= 0);
		sum += traffic->variants[i].weight;
	}
	assert(sum > 0.999 && sum < 1.001);
	for (size_t i = 0; i < traffic->segment_count; i++) {
		assert(traffic->segments[i].to < traffic->variant_count);
		sl_predicate_holds(traffic->segments[i].when, nothing, (void *)(uintptr_t)traffic->segments[i].when);
	}
	return 0;
}
