#include "op/flow_json.h"

static const char *or_null(const char *text) { return text && *text ? text : NULL; }

static void put_node(struct sl_call *call, yyjson_mut_val *item, const struct sl_flow_node *node)
{
	sl_put_text(call, item, "name", node->name);
	sl_put_text(call, item, "kind", sl_flow_kind_name(node->kind));
	sl_put_text(call, item, "action", node->action);
	sl_put_text(call, item, "state", sl_flow_state_name(node->state));
	if (node->started_ms)
		sl_put_int(call, item, "took_ms", node->ended_ms - node->started_ms);
	if (node->run.text[0])
		sl_put_text(call, item, "run", node->run.text);
	const struct {
		const char *name, *text;
	} texts[] = {{"reason", node->reason}, {"note", node->note}, {"cause", node->cause}};
	for (size_t i = 0; i < SL_ARRAY_LEN(texts); i++)
		if (or_null(texts[i].text))
			sl_put_text(call, item, texts[i].name, texts[i].text);
}

void sl_flow_put_report(struct sl_call *call, yyjson_mut_val *object, const struct sl_flow_report *report)
{
	if (report->run.text[0])
		sl_put_text(call, object, "run", report->run.text);
	sl_put_int(call, object, "took_ms", report->elapsed_ms);
	yyjson_mut_val *counts = sl_put_object(call, object, "counts");
	const struct { const char *name; size_t count;
	} numbers[] = {
		{"ran", report->ran},
		{"reused", report->reused},
		{"fresh", report->fresh},
		{"failed", report->failed},
		{"skipped", report->skipped},
		{"waiting", report->waiting},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(numbers); i++)
		sl_put_int(call, counts, numbers[i].name, (int64_t)numbers[i].count);
	yyjson_mut_val *steps = sl_put_array(call, object, "steps");
	for (size_t i = 0; i < report->count; i++)
		put_node(call, sl_add_object(call, steps), &report->nodes[i]);
}
