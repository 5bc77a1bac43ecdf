#include "serve/shadow.h"

#include <string.h>

#include "base/log.h"
#include "os/clock.h"
#include "serve/endpoint_internal.h"
#include "serve/writer.h"

enum { SPARE_MAX = SL_SHADOW_BATCH_MAX };
static const int64_t TELL_EVERY_NS = INT64_C(60) * 1000000000;

struct copy {
	struct copy *next;
	struct sl_inputs rows;
	struct sl_id of;
	size_t variant, bytes;
	int rc;                 /* of computing */
	struct sl_error err;
};

struct queue { struct copy *first, *last; size_t count, bytes; };

struct sl_shadow {
	struct queue waiting, batch;
	struct copy *spare;     /* with their memory, for the next ones */
	size_t spare_count;
	int64_t told_ns;
};

static void push(struct queue *queue, struct copy *copy)
{
	copy->next = NULL;
	if (queue->last)
		queue->last->next = copy;
	else
		queue->first = copy;
	queue->last = copy;
	queue->count++;
	queue->bytes += copy->bytes;
}

static struct copy *pop(struct queue *queue)
{
	struct copy *copy = queue->first;
	if (!copy)
		return NULL;
	queue->first = copy->next;
	if (!queue->first)
		queue->last = NULL;
	queue->count--;
	queue->bytes -= copy->bytes;
	return copy;
}

static void copy_free(struct copy *copy)
{
	sl_inputs_done(&copy->rows);
	sl_free(copy);
}

int sl_shadow_new(struct sl_shadow **ret, struct sl_error *err)
{
	*ret = sl_alloc(sizeof **ret, err);
	return *ret ? 0 : SL_E_NO_MEMORY;
}

static void empty(struct queue *queue)
{
	for (struct copy *copy; (copy = pop(queue));)
		copy_free(copy);
}

void sl_shadow_free(struct sl_shadow *shadow)
{
	if (!shadow)
		return;
	empty(&shadow->waiting);
	empty(&shadow->batch);
	for (struct copy *copy; (copy = shadow->spare); ) {
		shadow->spare = copy->next;
		copy_free(copy);
	}
	sl_free(shadow);
}

/* ---- copying ---- */

static void drop(struct sl_shadow *shadow, struct sl_endpoint_state *endpoint)
{
	int64_t now_ns = sl_monotonic_ns();
	endpoint->shadow.dropped++;
	if (endpoint->unanswered)
		sl_stats_add(&endpoint->unanswered->shadows_dropped, 1);
	if (shadow->told_ns && now_ns - shadow->told_ns < TELL_EVERY_NS)
		return;
	shadow->told_ns = now_ns;
	sl_log(SL_LOG_WARNING, "endpoint '%s': its shadows cannot keep up, %llu requests were not shown to them", endpoint->spec->name,
	       (unsigned long long)endpoint->shadow.dropped);
}

static size_t bytes_of(const struct sl_inputs *rows)
{
	size_t cells = rows->count * rows->served->slot_count, bytes = cells * sizeof *rows->cells;
	for (size_t i = 0; i < cells; i++)
		if (rows->cells[i].kind == SL_CELL_TEXT)
			bytes += rows->cells[i].len;
	return bytes;
}

static int copy_cells(struct copy *copy, const struct sl_inputs *from, struct sl_error *err)
{
	size_t cells = from->count * from->served->slot_count;
	memcpy(copy->rows.cells, from->cells, cells * sizeof *from->cells);
	memcpy(copy->rows.given, from->given, from->served->slot_count);
	for (size_t i = 0; i < cells; i++) {
		struct sl_cell *cell = &copy->rows.cells[i];
		if (cell->kind != SL_CELL_TEXT)
			continue;
		cell->text = sl_arena_strndup(copy->rows.arena, cell->text, cell->len);
		if (!cell->text)
			return sl_fail_memory(err);
	}
	return 0;
}

static struct copy *new_copy(struct sl_shadow *shadow)
{
	struct copy *copy = shadow->spare;
	if (!copy)
		return sl_alloc(sizeof *copy, NULL);
	shadow->spare = copy->next;
	shadow->spare_count--;
	return copy;
}

static void give_back(struct sl_shadow *shadow, struct copy *copy)
{
	sl_inputs_end(&copy->rows);
	if (shadow->spare_count == SPARE_MAX) {
		copy_free(copy);
		return;
	}
	copy->next = shadow->spare;
	shadow->spare = copy;
	shadow->spare_count++;
}

static void offer_to(struct sl_shadow *shadow, const struct sl_inputs *rows, size_t variant, size_t bytes, const struct sl_id *id)
{
	struct sl_endpoint_state *endpoint = rows->served->endpoint;
	bool full = shadow->waiting.count == SL_SHADOW_QUEUE_MAX || bytes > SL_SHADOW_BYTES_MAX - shadow->waiting.bytes;
	struct copy *copy = full ? NULL : new_copy(shadow);
	if (!copy) {
		drop(shadow, endpoint);
		return;
	}
	copy->of = *id;
	copy->variant = variant;
	copy->bytes = bytes;
	if (sl_inputs_begin(&copy->rows, rows->served, rows->count, NULL) || copy_cells(copy, rows, NULL)) {
		give_back(shadow, copy);
		drop(shadow, endpoint);
		return;
	}
	push(&shadow->waiting, copy);
}

void sl_shadow_offer(struct sl_shadow *shadow, const struct sl_inputs *rows, const struct sl_id *id)
{
	const struct sl_plan *plan = rows->served->plan;
	if (!plan || !plan->shadows || !rows->served->endpoint->log)
		return;
	size_t bytes = bytes_of(rows);
	for (size_t i = 0; i < plan->count; i++) {
		const struct sl_plan_variant *variant = &plan->variants[i];
		bool answered = !rows->mixed && rows->variants[0] == i; /* it has seen it already */
		if (variant->served && !answered && variant->spec->shadow > 0 && sl_plan_draw(plan) < variant->spec->shadow)
			offer_to(shadow, rows, i, bytes, id);
	}
}

/* ---- computing and logging ---- */

bool sl_shadow_take(struct sl_shadow *shadow)
{
	if (shadow->batch.count || !shadow->waiting.count)
		return false;
	while (shadow->batch.count < SL_SHADOW_BATCH_MAX && shadow->waiting.count)
		push(&shadow->batch, pop(&shadow->waiting));
	return true;
}

void sl_shadow_compute(struct sl_shadow *shadow)
{
	for (struct copy *copy = shadow->batch.first; copy; copy = copy->next) {
		copy->err = (struct sl_error){0};
		copy->rc = sl_predict_by(&copy->rows, copy->variant, SL_ROUTE_SHADOW, &copy->err);
	}
}

static void log_copy(struct copy *copy)
{
	struct sl_endpoint_state *endpoint = copy->rows.served->endpoint;
	int rc = copy->rc ? copy->rc : sl_predict_log_shadow(&copy->rows, &copy->of, &copy->err);
	if (rc)
		endpoint->shadow.failed++;
	else
		endpoint->shadow.seen++;
	if (endpoint->unanswered)
		sl_stats_add(rc ? &endpoint->unanswered->shadows_failed : &endpoint->unanswered->shadows, 1);
	if (rc && endpoint->shadow.failed == 1)
		sl_log(SL_LOG_WARNING, "endpoint '%s': its shadow %s: %s", endpoint->spec->name,
		       copy->rows.served->plan->variants[copy->variant].spec->name, copy->err.message);
}

void sl_shadow_log(struct sl_shadow *shadow)
{
	for (struct copy *copy; (copy = pop(&shadow->batch));) {
		log_copy(copy);
		give_back(shadow, copy);
	}
}

