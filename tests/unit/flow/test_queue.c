/* Who starts next: priority, age, what fits; and which failures are tried again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "flow/queue.h"
#include "flow/retry.h"

enum { NODES = 8 };
struct world {
	struct sl_arena *arena;
	struct sl_amount resources[2], needs[NODES][2];
	struct sl_step steps[NODES];
	struct flow_node nodes[NODES];
	struct sl_project project;
	struct flow_graph graph;
	struct flow_queue *queue;
};

/* Nodes that want one processor each; the project has 2 of db and 3 of gpu. */
static void make(struct world *w)
{
	*w = (struct world){.arena = sl_arena_new(0, NULL), .resources = {{"db", 2}, {"gpu", 3}}};
	assert_non_null(w->arena);
	w->project = (struct sl_project){.resources = w->resources, .resource_count = 2};
	for (size_t i = 0; i < NODES; i++) {
		w->steps[i] = (struct sl_step){.cpu = 1, .needs = w->needs[i]};
		w->nodes[i] = (struct flow_node){.step = &w->steps[i]};
	}
	w->graph = (struct flow_graph){.project = &w->project, .arena = w->arena, .nodes = w->nodes, .count = NODES};
}

static void need(struct world *w, size_t node, const char *name, int64_t amount)
{
	w->needs[node][w->steps[node].need_count++] = (struct sl_amount){name, amount};
}

static void start(struct world *w, size_t jobs)
{
	struct sl_error err;
	assert_int_equal(0, flow_queue_new(&w->graph, jobs, &w->queue, &err));
}

static int take(struct world *w)
{
	size_t node;
	return flow_queue_take(w->queue, &node) ? (int)node : -1;
}

static void test_priority_then_age(void **state)
{
	struct world w;
	(void)state;
	make(&w);
	w.steps[2].priority = 5;
	w.steps[3].priority = 1;
	start(&w, 8);
	for (size_t i = 0; i < 4; i++)
		flow_queue_add(w.queue, i, 1000);
	flow_queue_add(w.queue, 4, 1000 - 6 * 60000); /* has waited six minutes: worth six of priority */
	const int order[] = {4, 2, 3, 0, 1, -1};
	for (size_t i = 0; i < SL_ARRAY_LEN(order); i++)
		assert_int_equal(order[i], take(&w));
	assert_true(flow_queue_empty(w.queue));
	sl_arena_free(w.arena);
}

static void test_processors_bound_what_runs(void **state)
{
	struct world w;
	(void)state;
	make(&w);
	w.steps[1].cpu = 16; /* more than there are: runs alone */
	w.steps[2].cpu = 0;
	start(&w, 2);
	for (size_t i = 0; i < 5; i++)
		flow_queue_add(w.queue, i, (int64_t)i);
	assert_int_equal(0, take(&w));
	assert_int_equal(2, take(&w)); /* wants none; 3 and 4 wait behind 1 */
	assert_int_equal(-1, take(&w));
	flow_queue_give_back(w.queue, 0);
	assert_int_equal(1, take(&w));
	assert_int_equal(-1, take(&w));
	flow_queue_give_back(w.queue, 1);
	assert_int_equal(3, take(&w));
	assert_int_equal(4, take(&w));
	sl_arena_free(w.arena);
}

static void test_one_that_waits_keeps_what_it_needs(void **state)
{
	struct world w;
	(void)state;
	make(&w);
	need(&w, 0, "db", 1);
	need(&w, 1, "db", 2);
	need(&w, 2, "db", 1);
	w.steps[1].cpu = w.steps[2].cpu = 0;
	start(&w, 8);
	for (size_t i = 0; i < 4; i++)
		flow_queue_add(w.queue, i, (int64_t)i);
	assert_int_equal(0, take(&w));
	assert_int_equal(3, take(&w)); /* needs no db; 2 would fit, and 1 stands before it */
	assert_int_equal(-1, take(&w));
	flow_queue_give_back(w.queue, 0);
	assert_int_equal(1, take(&w));
	assert_int_equal(-1, take(&w));
	flow_queue_give_back(w.queue, 1);
	assert_int_equal(2, take(&w));
	sl_arena_free(w.arena);
}

static void test_gpus_are_told_apart(void **state)
{
	struct world w;
	(void)state;
	make(&w);
	need(&w, 0, "gpu", 2);
	need(&w, 1, "gpu", 1);
	start(&w, 8);
	flow_queue_add(w.queue, 0, 0);
	flow_queue_add(w.queue, 1, 1);
	assert_int_equal(0, take(&w));
	assert_int_equal(1, take(&w));
	assert_int_equal(3, flow_queue_gpus(w.queue, 0));
	assert_int_equal(4, flow_queue_gpus(w.queue, 1));
	flow_queue_give_back(w.queue, 0);
	assert_int_equal(0, flow_queue_gpus(w.queue, 0));
	sl_arena_free(w.arena);
}

static void test_back_off(void **state)
{
	const struct sl_retry retry = {.times = 5, .wait_ms = 100, .longest_wait_ms = 500, .factor = 2};
	const struct sl_process_end end = {.exit_status = 1};
	const struct flow_failure failure = {.end = &end, .message = "exit status 1"};
	struct flow_attempts attempts = {0};
	int64_t wait;
	(void)state;
	for (int64_t expected = 100; expected <= 1600; expected *= 2) {
		assert_true(flow_retry(&retry, &failure, &attempts, &wait));
		assert_int_equal(expected < 500 ? expected : 500, wait);
	}
	assert_false(flow_retry(&retry, &failure, &attempts, &wait));
}

static void test_the_machine_counts_apart(void **state)
{
	const struct sl_retry retry = {.times = 1, .machine = 2, .wait_ms = 1, .longest_wait_ms = 1, .factor = 1};
	const struct sl_process_end own = {.exit_status = 1}, killed = {.signal = 9, .exit_status = -1, .out_of_memory = SL_MEMORY_OF_MACHINE},
				    over = {.signal = 9, .exit_status = -1, .out_of_memory = SL_MEMORY_OF_CHILD}, none = {0};
	const struct flow_failure by_step = {.end = &own, .message = ""}, by_kernel = {.end = &killed, .message = ""}, no_process = {.end = &none, .not_started = true, .message = ""},
				  too_large = {.end = &over, .message = ""};
	struct flow_attempts attempts = {0};
	int64_t wait;
	(void)state;
	assert_true(flow_retry(&retry, &by_kernel, &attempts, &wait));
	assert_true(flow_retry(&retry, &no_process, &attempts, &wait));
	assert_true(flow_retry(&retry, &by_step, &attempts, &wait));
	assert_false(flow_retry(&retry, &by_kernel, &attempts, &wait));
	assert_false(flow_retry(&retry, &by_step, &attempts, &wait));
	assert_false(flow_failure_of_machine(&too_large)); /* its own limit is its own fault */
}

static void test_conditions(void **state)
{
	int exits[] = {75}, signals[] = {15};
	const char *texts[] = {"reset"};
	const struct sl_retry retry = {.times = 9, .factor = 1, .exits = exits, .exit_count = 1, .signals = signals, .signal_count = 1, .texts = {texts, 1}};
	struct { struct sl_process_end end; bool text; const char *message; bool again; } cases[] = {
		{{.exit_status = 75}, false, "", true}, {{.exit_status = 1}, false, "", false}, {{.exit_status = -1, .signal = 15}, false, "", true},
		{{.exit_status = -1, .signal = 11}, false, "", false}, {{.exit_status = 1}, true, "", true}, {{.exit_status = 1}, false, "connection reset", true},
		{{.exit_status = 75, .timed_out = true}, false, "", false}, {{.exit_status = 75, .stopped = true}, false, "", false},
	};
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
		const struct flow_failure failure = {.end = &cases[i].end, .text = cases[i].text, .message = cases[i].message};
		struct flow_attempts attempts = {0};
		int64_t wait;
		assert_int_equal(cases[i].again, flow_retry(&retry, &failure, &attempts, &wait));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_priority_then_age), cmocka_unit_test(test_processors_bound_what_runs), cmocka_unit_test(test_one_that_waits_keeps_what_it_needs),
		cmocka_unit_test(test_gpus_are_told_apart), cmocka_unit_test(test_back_off), cmocka_unit_test(test_the_machine_counts_apart),
		cmocka_unit_test(test_conditions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
