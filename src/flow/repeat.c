/* Is a step repeatable? It runs twice, each time from nothing, and what it makes is compared by content before anything is recorded. */
#include <string.h>

#include "flow/execution.h"

static int add_difference(struct execution *x, const struct flow_node *node, size_t output, const struct sl_hash *first)
{
	struct sl_flow_report *report = x->plan->report;
	struct sl_flow_difference *list = sl_arena_array(report->arena, report->difference_count + 1, sizeof *list);
	if (!list)
		return SL_E_NO_MEMORY;
	if (report->difference_count)
		memcpy(list, report->differences, report->difference_count * sizeof *list);
	list[report->difference_count++] = (struct sl_flow_difference){node->name, node->outputs[output].name, *first, node->outputs[output].hash};
	report->differences = list;
	return 0;
}

static int begin_again(struct execution *x, struct running *r)
{
	const struct flow_node *node = &x->graph->nodes[r->task.node];
	r->first = sl_arena_array(r->task.arena, node->output_count + 1, sizeof *r->first);
	if (!r->first)
		return sl_fail_memory(&r->error);
	for (size_t i = 0; i < node->output_count; i++)
		r->first[i] = node->outputs[i].hash;
	int rc = flow_task_again(&r->task, flow_program(x), &r->error);
	rc = rc ? rc : flow_launch(x, r, &r->error);
	return rc ? rc : 1;
}

int flow_repeat(struct execution *x, struct running *r)
{
	const struct flow_node *node = &x->graph->nodes[r->task.node];
	const char *other = NULL;
	if (!x->options->repeat || !node->asked || !node->step)
		return 0;
	if (!r->first)
		return begin_again(x, r);
	for (size_t i = 0; i < node->output_count; i++) {
		if (sl_hash_eq(&r->first[i], &node->outputs[i].hash))
			continue;
		other = other ? other : node->outputs[i].name;
		if (add_difference(x, node, i, &r->first[i]))
			return sl_fail_memory(&r->error);
	}
	if (!other)
		return 0;
	sl_fail(&r->error, SL_E_FAILED, "it is not repeatable: '%s' was another one the second time", other);
	return sl_error_hint(&r->error, "sort what has no order, fix seeds, and leave times and paths out of what it writes");
}
