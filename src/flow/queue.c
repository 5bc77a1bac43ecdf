#include "flow/queue.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CPU, MEMORY, NAMED }; /* places of the amounts; the project's resources from NAMED on */
enum { AGEING_MS = 60000 };  /* one step of priority */

struct waiting { int64_t key; size_t order, node; };

/* Nodes that need the same, as a heap with the next one first. */
struct demand {
	int64_t amounts[FLOW_RESOURCES_MAX];
	struct waiting *heap;
	size_t count, members;
};

struct flow_queue {
	struct flow_graph *graph;
	size_t resource_count, gpu;      /* gpu: its place, 0: the project has none */
	int64_t has[FLOW_RESOURCES_MAX], free[FLOW_RESOURCES_MAX];
	struct demand *demands;
	size_t demand_count, waiting_count, added;
	uint32_t *demand_of;             /* per node */
	uint64_t gpus_free, *gpus_of;    /* per node; NULL without GPUs */
};

/* ---- demands ---------------------------------------------------------------------------------------------------------- */

static void amounts_of(const struct flow_queue *q, const struct flow_node *node, int64_t out[FLOW_RESOURCES_MAX])
{
	const struct sl_step *step = node->step;
	const struct sl_project *project = q->graph->project;
	memset(out, 0, FLOW_RESOURCES_MAX * sizeof *out);
	out[CPU] = step ? (int64_t)(step->cpu * 1000) : 1000;
	out[MEMORY] = step ? (int64_t)step->memory_bytes : 0;
	for (size_t i = 0; step && i < step->need_count; i++)
		out[NAMED + (sl_project_resource(project, step->needs[i].name) - project->resources)] = step->needs[i].amount;
	for (int i = CPU; i <= MEMORY; i++)
		out[i] = out[i] > q->has[i] ? q->has[i] : out[i];
}

static int find_demand(struct flow_queue *q, const int64_t amounts[FLOW_RESOURCES_MAX], size_t *room, uint32_t *ret)
{
	for (size_t i = 0; i < q->demand_count; i++)
		if (memcmp(q->demands[i].amounts, amounts, sizeof q->demands[i].amounts) == 0) {
			*ret = (uint32_t)i;
			return 0;
		}
	if (q->demand_count == *room) {
		*room = *room ? *room * 2 : 4;
		struct demand *more = sl_arena_array(q->graph->arena, *room, sizeof *more);
		if (!more)
			return SL_E_NO_MEMORY;
		if (q->demand_count)
			memcpy(more, q->demands, q->demand_count * sizeof *more);
		q->demands = more;
	}
	memcpy(q->demands[q->demand_count].amounts, amounts, sizeof q->demands->amounts);
	*ret = (uint32_t)q->demand_count++;
	return 0;
}

static int sort_nodes(struct flow_queue *q)
{
	struct flow_graph *g = q->graph;
	size_t room = 0;
	q->demand_of = sl_arena_array(g->arena, g->count + 1, sizeof *q->demand_of);
	if (!q->demand_of)
		return SL_E_NO_MEMORY;
	for (size_t i = 0; i < g->count; i++) {
		int64_t amounts[FLOW_RESOURCES_MAX];
		amounts_of(q, &g->nodes[i], amounts);
		if (find_demand(q, amounts, &room, &q->demand_of[i]))
			return SL_E_NO_MEMORY;
		q->demands[q->demand_of[i]].members++;
	}
	for (size_t i = 0; i < q->demand_count; i++)
		if (!(q->demands[i].heap = sl_arena_array(g->arena, q->demands[i].members, sizeof *q->demands[i].heap)))
			return SL_E_NO_MEMORY;
	return 0;
}

static int count_gpus(struct flow_queue *q, struct sl_error *err)
{
	const struct sl_amount *gpu = sl_project_resource(q->graph->project, "gpu");
	if (!gpu)
		return 0;
	if (gpu->amount > FLOW_GPUS_MAX)
		return sl_fail(err, SL_E_INVALID, "more than %d GPUs", FLOW_GPUS_MAX);
	q->gpu = NAMED + (size_t)(gpu - q->graph->project->resources);
	q->gpus_free = gpu->amount == FLOW_GPUS_MAX ? UINT64_MAX : (UINT64_C(1) << gpu->amount) - 1;
	q->gpus_of = sl_arena_array(q->graph->arena, q->graph->count + 1, sizeof *q->gpus_of);
	return q->gpus_of ? 0 : sl_fail_memory(err);
}

int flow_queue_new(struct flow_graph *graph, size_t jobs, struct flow_queue **ret, struct sl_error *err)
{
	const struct sl_project *project = graph->project;
	struct flow_queue *q = sl_arena_alloc(graph->arena, sizeof *q);
	if (!q)
		return sl_fail_memory(err);
	q->graph = graph;
	q->resource_count = NAMED + project->resource_count;
	if (q->resource_count > FLOW_RESOURCES_MAX)
		return sl_fail(err, SL_E_INVALID, "the section 'resources' has more than %d entries", FLOW_RESOURCES_MAX - NAMED);
	q->has[CPU] = (int64_t)jobs * 1000;
	q->has[MEMORY] = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
	for (size_t i = 0; i < project->resource_count; i++)
		q->has[NAMED + i] = project->resources[i].amount;
	memcpy(q->free, q->has, sizeof q->free);
	int rc = count_gpus(q, err);
	*ret = q;
	return rc ? rc : sort_nodes(q) ? sl_fail_memory(err) : 0;
}

/* ---- waiting ---------------------------------------------------------------------------------------------------------- */

static bool before(const struct waiting *a, const struct waiting *b)
{
	return a->key != b->key ? a->key > b->key : a->order < b->order;
}

static void swap(struct waiting *a, struct waiting *b)
{
	struct waiting t = *a;
	*a = *b;
	*b = t;
}

/* The key needs no update while it ages: all that wait grow older at once. */
void flow_queue_add(struct flow_queue *queue, size_t node, int64_t now_ms)
{
	struct demand *d = &queue->demands[queue->demand_of[node]];
	const struct sl_step *step = queue->graph->nodes[node].step;
	assert(d->count < d->members);
	size_t at = d->count++;
	d->heap[at] = (struct waiting){(step ? step->priority : 0) * AGEING_MS - now_ms, queue->added++, node};
	queue->waiting_count++;
	for (; at && before(&d->heap[at], &d->heap[(at - 1) / 2]); at = (at - 1) / 2)
		swap(&d->heap[at], &d->heap[(at - 1) / 2]);
}

static size_t remove_first(struct demand *d)
{
	size_t node = d->heap[0].node, at = 0;
	d->heap[0] = d->heap[--d->count];
	for (;;) {
		size_t next = at * 2 + 1;
		if (next + 1 < d->count && before(&d->heap[next + 1], &d->heap[next]))
			next++;
		if (next >= d->count || !before(&d->heap[next], &d->heap[at]))
			return node;
		swap(&d->heap[at], &d->heap[next]);
		at = next;
	}
}

/* The best demand that was not looked at in this take. */
static struct demand *next_demand(struct flow_queue *q, const struct demand *last)
{
	struct demand *best = NULL;
	for (size_t i = 0; i < q->demand_count; i++) {
		struct demand *d = &q->demands[i];
		if (d->count && (!last || before(&last->heap[0], &d->heap[0])) && (!best || before(&d->heap[0], &best->heap[0])))
			best = d;
	}
	return best;
}

static void take_gpus(struct flow_queue *q, size_t node)
{
	int64_t wanted = q->gpu ? q->demands[q->demand_of[node]].amounts[q->gpu] : 0;
	for (int i = 0; wanted && i < FLOW_GPUS_MAX; i++)
		if (q->gpus_free >> i & 1) {
			q->gpus_free &= ~(UINT64_C(1) << i);
			q->gpus_of[node] |= UINT64_C(1) << i;
			wanted--;
		}
}

bool flow_queue_take(struct flow_queue *queue, size_t *ret_node)
{
	bool kept[FLOW_RESOURCES_MAX] = {false}; /* by one that is before and does not fit */
	for (struct demand *d = NULL; (d = next_demand(queue, d));) {
		bool fits = true;
		for (size_t i = 0; i < queue->resource_count; i++)
			fits &= !d->amounts[i] || (!kept[i] && d->amounts[i] <= queue->free[i]);
		for (size_t i = 0; i < queue->resource_count; i++) {
			kept[i] |= !fits && d->amounts[i];
			queue->free[i] -= fits ? d->amounts[i] : 0;
		}
		if (!fits)
			continue;
		queue->waiting_count--;
		*ret_node = remove_first(d);
		take_gpus(queue, *ret_node);
		return true;
	}
	return false;
}

void flow_queue_occupy(struct flow_queue *queue, size_t node, uint64_t gpus)
{
	const struct demand *d = &queue->demands[queue->demand_of[node]];
	for (size_t i = 0; i < queue->resource_count; i++)
		queue->free[i] -= d->amounts[i];
	if (queue->gpus_of) {
		queue->gpus_free &= ~gpus;
		queue->gpus_of[node] = gpus;
	}
}

void flow_queue_give_back(struct flow_queue *queue, size_t node)
{
	const struct demand *d = &queue->demands[queue->demand_of[node]];
	for (size_t i = 0; i < queue->resource_count; i++)
		queue->free[i] += d->amounts[i];
	if (queue->gpus_of) {
		queue->gpus_free |= queue->gpus_of[node];
		queue->gpus_of[node] = 0;
	}
}

bool flow_queue_empty(const struct flow_queue *queue) { return queue->waiting_count == 0; }
uint64_t flow_queue_gpus(const struct flow_queue *queue, size_t node) { return queue->gpus_of ? queue->gpus_of[node] : 0; }
