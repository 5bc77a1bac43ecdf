#include "flow/lookups.h"

#include <string.h>

#include "project/lookup.h"

static bool any_lookup(const struct sl_project *project)
{
	for (size_t i = 0; i < project->step_count; i++)
		if (project->steps[i].lookup)
			return true;
	return false;
}

/* Nodes stand behind what they need, so one walk towards the beginning sees all of it. */
static void mark_inputs(const struct flow_graph *graph, size_t node, bool *needed)
{
	const struct flow_node *of = &graph->nodes[node];
	for (size_t i = 0; i < of->input_count; i++)
		if (!of->inputs[i].for_checks && flow_input_from(graph, &of->inputs[i]))
			needed[of->inputs[i].node] = true;
}

struct found { const struct sl_lookup *items[SL_LOOKUPS_MAX]; size_t count; };

static int add(struct found *found, const struct flow_node *node, yyjson_mut_doc *doc, yyjson_mut_val *list, struct sl_error *err)
{
	const struct sl_lookup *lookup = node->step->lookup;
	yyjson_mut_val *json = sl_lookup_json(doc, lookup);
	if (!json)
		return sl_fail_memory(err);
	for (size_t i = 0; i < found->count; i++) {
		if (!sl_lookup_is(lookup, found->items[i]->from, &found->items[i]->key))
			continue;
		if (yyjson_mut_equals(json, yyjson_mut_arr_get(list, i)))
			return 0;
		sl_fail(err, SL_E_INVALID, "the data has two lookups of '%s' by the same key", lookup->from);
		return sl_error_hint(err, "let one step bring the columns of both");
	}
	if (found->count == SL_LOOKUPS_MAX)
		return sl_fail(err, SL_E_INVALID, "the data has more than %d lookups", SL_LOOKUPS_MAX);
	found->items[found->count++] = lookup;
	return yyjson_mut_arr_append(list, json) ? 0 : sl_fail_memory(err);
}

int flow_lookups_json(const struct flow_graph *graph, size_t node, yyjson_mut_doc *doc, yyjson_mut_val **ret, struct sl_error *err)
{
	struct found found = {.count = 0};
	*ret = NULL;
	if (!any_lookup(graph->project))
		return 0;
	SL_AUTO_FREE bool *needed = sl_alloc_array(graph->count, sizeof *needed, err);
	yyjson_mut_val *list = needed ? yyjson_mut_arr(doc) : NULL;
	if (!list)
		return sl_fail_memory(err);
	int rc = 0;
	mark_inputs(graph, node, needed);
	for (size_t i = node; !rc && i-- > 0;) {
		if (!needed[i])
			continue;
		mark_inputs(graph, i, needed);
		if (graph->nodes[i].step && graph->nodes[i].step->lookup)
			rc = add(&found, &graph->nodes[i], doc, list, err);
	}
	*ret = !rc && found.count ? list : NULL;
	return rc;
}
