/* Who answers a row: segments in their order, else by weight. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "serve/plan.h"
#include "serve/predict.h"

/* MurmurHash3's finalizer: every bit of the input changes about half of the output's. */
static uint64_t mix(uint64_t h)
{
	h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
	h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	return h ^ h >> 33;
}

static uint64_t fnv1a(uint64_t h, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)data[i]) * UINT64_C(0x100000001b3);
	return h;
}

static double fraction(uint64_t h) { return (double)(h >> 11) * 0x1p-53; }

double sl_plan_place(const char *variant, const char *key, size_t len)
{
	uint64_t h = fnv1a(UINT64_C(0xcbf29ce484222325), variant, strlen(variant) + 1);
	return fraction(mix(fnv1a(h, key, len))) + 0x1p-54;
}

/* splitmix64 (Steele, Lea, Flood 2014), its state counted by whoever draws. */
double sl_plan_draw(const struct sl_plan *plan)
{
	uint64_t *draws = (uint64_t *)(uintptr_t)&plan->draws;
	uint64_t n = __atomic_add_fetch(draws, 1, __ATOMIC_RELAXED), z = plan->seed + n * UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return fraction(z ^ z >> 31);
}

/* Weighted rendezvous: the variant for which -ln(place) / weight is least. A share of weight / sum of weights goes to each, and when a
 * weight grows, keys move to that variant only (Schindelhauer and Schomaker, Weighted Distributed Hash Tables, 2005). */
static size_t by_key(const struct sl_plan *plan, const char *key, size_t len)
{
	size_t best = 0;
	double least = INFINITY;
	for (size_t i = 0; i < plan->count; i++) {
		const struct sl_plan_variant *variant = &plan->variants[i];
		if (variant->weight <= 0)
			continue;
		double score = -log(sl_plan_place(variant->spec->name, key, len)) / variant->weight;
		if (score < least) {
			least = score;
			best = i;
		}
	}
	return best;
}

static size_t by_draw(const struct sl_plan *plan)
{
	double sum = 0, at;
	size_t last = 0;
	for (size_t i = 0; i < plan->count; i++)
		sum += plan->variants[i].weight;
	at = sl_plan_draw(plan) * sum;
	for (size_t i = 0; i < plan->count; i++) {
		if (plan->variants[i].weight <= 0)
			continue;
		last = i;
		at -= plan->variants[i].weight;
		if (at < 0)
			break;
	}
	return last;
}

/* Numbers in their usual digits, so that 5 and "5" are one key. False for null, which is nobody's key. */
static bool key_text(const struct sl_cell *cell, char number[40], const char **ret, size_t *ret_len)
{
	int len;
	*ret = number;
	switch (cell->kind) {
	case SL_CELL_NULL:
		return false;
	case SL_CELL_TEXT:
		*ret = cell->text;
		*ret_len = cell->len;
		return true;
	case SL_CELL_INT:
		len = snprintf(number, 40, "%" PRId64, cell->i);
		break;
	case SL_CELL_DOUBLE:
		len = snprintf(number, 40, "%.17g", cell->d);
		break;
	default:
		len = snprintf(number, 40, "%s", cell->b ? "true" : "false");
	}
	*ret_len = (size_t)len;
	return true;
}

/* ---- segments ---- */

struct looked_at {
	const struct sl_inputs *rows;
	const size_t *slots;
	size_t row;
};

static void get_column(void *context, size_t i, struct sl_operand *ret)
{
	const struct looked_at *at = context;
	const struct sl_cell *cell = &at->rows->cells[at->slots[i] * at->rows->count + at->row];
	*ret = (struct sl_operand){.kind = SL_OPERAND_NULL};
	switch (cell->kind) {
	case SL_CELL_NULL:
		return;
	case SL_CELL_BOOL:
		*ret = (struct sl_operand){.kind = SL_OPERAND_BOOL, .truth = cell->b};
		return;
	case SL_CELL_INT:
		*ret = (struct sl_operand){.kind = SL_OPERAND_NUMBER, .number = (double)cell->i};
		return;
	case SL_CELL_DOUBLE:
		*ret = (struct sl_operand){.kind = SL_OPERAND_NUMBER, .number = cell->d};
		return;
	case SL_CELL_TEXT:
		*ret = (struct sl_operand){.kind = SL_OPERAND_TEXT, .text = cell->text, .len = cell->len};
	}
}

/* The variant of the first segment that the row is in; SIZE_MAX: of none. */
static size_t by_segment(const struct sl_plan *plan, const struct sl_inputs *rows, size_t row)
{
	for (size_t i = 0; i < plan->rules->segment_count; i++) {
		const struct sl_segment *segment = &plan->rules->segments[i];
		struct looked_at at = {rows, plan->segment_slots[i], row};
		if (sl_predicate_holds(segment->when, get_column, &at))
			return segment->to;
	}
	return SIZE_MAX;
}

static bool there(const struct sl_plan *plan, size_t variant) { return plan->variants[variant].served != NULL; }

static size_t choose_row(const struct sl_plan *plan, const struct sl_inputs *rows, size_t row, size_t drawn, enum sl_route_reason *reason,
			 size_t *meant)
{
	char number[40];
	const char *key;
	size_t len, variant = by_segment(plan, rows, row), fallback = plan->rules->fallback;
	*reason = SL_ROUTE_SEGMENT;
	if (variant == SIZE_MAX || (!there(plan, variant) && fallback == SIZE_MAX)) {
		const struct sl_cell *cell = plan->sticky_slot == SIZE_MAX ? NULL : &rows->cells[plan->sticky_slot * rows->count + row];
		bool sticky = cell && key_text(cell, number, &key, &len);
		*reason = sticky ? SL_ROUTE_STICKY : SL_ROUTE_WEIGHT;
		variant = sticky ? by_key(plan, key, len) : drawn;
	}
	*meant = variant;
	if (there(plan, variant))
		return variant;
	*reason = SL_ROUTE_FALLBACK;
	if (fallback != SIZE_MAX && there(plan, fallback))
		return fallback;
	for (variant = 0; !there(plan, variant);)
		variant++;
	return variant;
}

/* One draw for the whole request: rows that no rule tells apart are answered by one version. */
void sl_plan_choose(const struct sl_plan *plan, struct sl_inputs *rows)
{
	size_t drawn = by_draw(plan);
	rows->mixed = false;
	for (size_t row = 0; row < rows->count; row++) {
		enum sl_route_reason reason;
		size_t meant;
		rows->variants[row] = (unsigned char)choose_row(plan, rows, row, drawn, &reason, &meant);
		rows->meant[row] = (unsigned char)meant;
		rows->reasons[row] = (unsigned char)reason;
		rows->mixed |= rows->variants[row] != rows->variants[0];
	}
}
