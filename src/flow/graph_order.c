/* The order of the graph: what was asked for and what it needs, each node behind what it reads, cycles told. */
#include "flow/graph_order.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

/* Depth first from what was asked for; `order` gets every node behind what it needs. A node that is met again while it is open closes a cycle. */
enum { UNSEEN, OPEN, DONE };
struct walk { struct flow_graph *g; const struct sl_map *places; struct sl_error *err; char *state; size_t *order, *path, count, depth; };

static int report_cycle(struct walk *w, size_t node)
{
	char text[400] = "";
	size_t from = 0, n = 0;
	while (w->path[from] != node)
		from++;
	for (size_t i = from; i <= w->depth && n < sizeof text - 140; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "%s%.128s", i > from ? " → " : "", w->g->nodes[i < w->depth ? w->path[i] : node].name);
	const struct sl_mark mark = w->g->nodes[node].mark;
	char where[64];
	snprintf(where, sizeof where, "sluice.yaml:%d:%d", mark.line, mark.column);
	return sl_fail_at(w->err, SL_E_INVALID, where, "a cycle: each needs the next: %s", text);
}

/* Iterative, so that a chain of any length fits: `path` is the stack, `at` the next input of each open node. */
static int visit(struct walk *w, size_t start, size_t *at)
{
	const struct flow_node *nodes = w->g->nodes;
	if (w->state[start] == DONE)
		return 0;
	w->depth = 0;
	w->path[w->depth++] = start;
	w->state[start] = OPEN;
	while (w->depth) {
		size_t node = w->path[w->depth - 1];
		if (at[node] == nodes[node].input_count) {
			w->state[node] = DONE;
			w->order[w->count++] = node;
			w->depth--;
			continue;
		}
		size_t needed = nodes[node].inputs[at[node]++].node;
		if (w->state[needed] == OPEN)
			return report_cycle(w, needed);
		if (w->state[needed] == UNSEEN) {
			w->state[needed] = OPEN;
			w->path[w->depth++] = needed;
		}
	}
	return 0;
}

/* What reads from a step that is left out is left out too; a command that reads from several goes on with what there is. Its inputs from
 * such nodes go, so that nothing waits for them. */
static void leave_out(struct flow_graph *g, struct flow_node *nodes, size_t i)
{
	struct flow_node *node = &nodes[i];
	size_t kept = 0;
	const char *missing = NULL;
	for (size_t k = 0; k < node->input_count; k++) {
		const struct flow_node *from = &nodes[node->inputs[k].node];
		if (from->left_out)
			missing = from->name;
		else
			node->inputs[kept++] = node->inputs[k];
	}
	if (node->step && node->step->unasked)
		node->left_out = flow_words(g, "its query was not asked yet: 'sluice run' does");
	else if (node->step && node->step->left_out)
		node->left_out = flow_words(g, "when: %s does not hold", node->step->when);
	else if (missing && (node->action != FLOW_RUN || kept == 0))
		node->left_out = flow_words(g, "%s is left out", missing);
	node->input_count = node->left_out ? 0 : kept;
}

/* Nodes in `order`, with inputs and followers renumbered. */
static int arrange(struct flow_graph *g, const size_t *order, size_t count, struct sl_error *err)
{
	struct flow_node *nodes = sl_arena_array(g->arena, count + 1, sizeof *nodes);
	size_t *new_index = sl_arena_array(g->arena, g->count + 1, sizeof *new_index);
	if (!nodes || !new_index)
		return sl_fail_memory(err);
	for (size_t i = 0; i < count; i++) {
		nodes[i] = g->nodes[order[i]];
		new_index[order[i]] = i;
	}
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < nodes[i].input_count; k++)
			nodes[i].inputs[k].node = new_index[nodes[i].inputs[k].node];
	for (size_t i = 0; i < count; i++)
		leave_out(g, nodes, i);
	size_t *room = sl_arena_array(g->arena, count + 1, sizeof *room);
	if (!room)
		return sl_fail_memory(err);
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < nodes[i].input_count; k++)
			room[nodes[i].inputs[k].node]++;
	for (size_t i = 0; i < count; i++)
		if (!(nodes[i].followers = sl_arena_array(g->arena, room[i] + 1, sizeof *nodes[i].followers)))
			return sl_fail_memory(err);
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < nodes[i].input_count; k++) {
			struct flow_node *from = &nodes[nodes[i].inputs[k].node];
			if (from->follower_count && from->followers[from->follower_count - 1] == i)
				continue; /* two inputs from one node */
			from->followers[from->follower_count++] = i;
			nodes[i].waits_for++;
		}
	g->nodes = nodes;
	g->count = count;
	return 0;
}

static int find_asked(const struct walk *w, const char *name, size_t *ret)
{
	const struct flow_place *place = sl_map_get(w->places, name);
	const char **names = sl_arena_array(w->g->arena, w->g->count + 1, sizeof *names);
	if (!names)
		return sl_fail_memory(w->err);
	for (size_t i = 0; i < w->g->count; i++) {
		names[i] = w->g->nodes[i].name;
		if (strcmp(names[i], name) == 0) {
			*ret = i;
			return 0;
		}
	}
	if (place) {
		*ret = place->node;
		return 0;
	}
	sl_fail(w->err, SL_E_NOT_FOUND, "there is no source, step, output or model '%.128s'", name);
	const char *nearest = sl_str_nearest(name, names, w->g->count);
	return nearest ? sl_error_hint(w->err, "did you mean '%s'?", nearest) : sl_error_hint(w->err, "'sluice status' lists them");
}

/* A node, or all steps of a group. */
static int visit_asked(struct walk *w, const char *name, size_t *at)
{
	bool group = false, node_name = !*name || sl_map_has(w->places, name);	/* no group has an empty name: that is none at all */
	int rc = 0;
	for (size_t i = 0; !rc && !node_name && i < w->g->count; i++) {
		struct flow_node *node = &w->g->nodes[i];
		if (!node->step || (strcmp(node->step->group, name) != 0 && strcmp(node->step->of, name) != 0))
			continue;
		group = node->asked = true;
		rc = visit(w, i, at);
	}
	size_t node = 0;
	if (rc || group)
		return rc;
	rc = find_asked(w, name, &node);
	if (rc)
		return rc;
	w->g->nodes[node].asked = true;
	return visit(w, node, at);
}

/* Is the node for the end of a step that will be in the graph? One for the end of everything belongs to runs of everything. */
static bool is_end_of(const struct walk *w, const struct flow_node *node)
{
	if (!node->finally)
		return false;
	for (size_t i = 0; i < node->step->finally_of.count; i++) {
		const struct flow_place *place = sl_map_get(w->places, node->step->finally_of.items[i]);
		if (place && w->state[place->node] == DONE)
			return true;
	}
	return false;
}

int flow_graph_order(struct flow_graph *g, const struct sl_map *places, const char *const *asked, size_t asked_count, struct sl_error *err)
{
	size_t n = g->count, *at = sl_arena_array(g->arena, n + 1, sizeof *at);
	struct walk w = {.g = g, .places = places, .err = err, .state = sl_arena_alloc(g->arena, n + 1), .order = sl_arena_array(g->arena, n + 1, sizeof *w.order),
			 .path = sl_arena_array(g->arena, n + 1, sizeof *w.path)};
	if (!at || !w.state || !w.order || !w.path)
		return sl_fail_memory(err);
	int rc = 0;
	/* Everything is walked, so that a cycle is found wherever it is; then only what was asked for is kept. */
	for (size_t i = 0; !rc && i < n; i++)
		rc = visit(&w, i, at);
	if (rc)
		return rc;
	w.count = 0;
	memset(w.state, UNSEEN, n);
	memset(at, 0, n * sizeof *at);
	for (size_t i = 0; !rc && i < asked_count; i++)
		rc = visit_asked(&w, asked[i], at);
	for (size_t i = 0; !rc && i < n && !asked_count; i++) {
		g->nodes[i].asked = true;
		rc = visit(&w, i, at);
	}
	for (size_t i = 0; !rc && i < n && asked_count; i++)
		rc = is_end_of(&w, &g->nodes[i]) ? visit(&w, i, at) : 0;
	return rc ? rc : arrange(g, w.order, w.count, err);
}
