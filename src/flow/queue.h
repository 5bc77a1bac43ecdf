/* Inside flow/: which of the nodes that are ready starts next.
 *
 *   add ──> [ one heap per different demand ] ──take──> runs ──give back──> what it held is free again
 *
 * The order is strict: the highest priority first, and among equals who became ready first. Waiting raises a priority by one a
 * minute, so nothing starves. A node that does not fit keeps what it needs from all behind it; those that need nothing of that go
 * on. Nothing is scanned: a take looks at the first of each demand.
 */
#ifndef SL_FLOW_QUEUE_H
#define SL_FLOW_QUEUE_H

#include "flow/graph.h"

enum { FLOW_RESOURCES_MAX = 32, FLOW_GPUS_MAX = 64 };

struct flow_queue;

/* In the graph's arena. `jobs`: processors. What a node wants of processors and memory beyond what the machine has is cut to it, so
 * that it runs alone. */
int flow_queue_new(struct flow_graph *graph, size_t jobs, struct flow_queue **ret, struct sl_error *err);
void flow_queue_add(struct flow_queue *queue, size_t node, int64_t now_ms);
/* The next node that fits, with what it needs taken; false when none does. */
bool flow_queue_take(struct flow_queue *queue, size_t *ret_node);
/* Takes what a node needs that runs already, with its own GPUs, whether or not there is as much. */
void flow_queue_occupy(struct flow_queue *queue, size_t node, uint64_t gpus);
void flow_queue_give_back(struct flow_queue *queue, size_t node);
bool flow_queue_empty(const struct flow_queue *queue);
/* Bit n: the node, which runs, holds GPU n. */
uint64_t flow_queue_gpus(const struct flow_queue *queue, size_t node);

#endif
