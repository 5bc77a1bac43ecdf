#include "serve/batch.h"

#include <string.h>

#include "os/clock.h"

static const struct sl_graph_info *info_of(const struct sl_inputs *rows) { return sl_graph_info(rows->served->graph); }

bool sl_batch_may(const struct sl_inputs *rows)
{
	if (!rows->served->graph || !rows->served->lane.batch_rows || !rows->feed.inputs)
		return false;
	for (size_t i = 0; i < info_of(rows)->input_count; i++)
		if (!rows->feed.inputs[i].dims || rows->feed.inputs[i].sizes[0] != (int64_t)rows->count)
			return false;
	return true;
}

static bool same_tail(const struct sl_graph_value *a, const struct sl_graph_value *b)
{
	return a->dims == b->dims && a->dims && memcmp(a->sizes + 1, b->sizes + 1, (a->dims - 1) * sizeof *a->sizes) == 0;
}

bool sl_batch_fits(const struct sl_inputs *first, const struct sl_inputs *other)
{
	if (first->served != other->served)
		return false;
	const struct sl_graph_info *info = info_of(first);
	for (size_t i = 0; i < info->input_count; i++)
		if (!same_tail(&first->feed.inputs[i], &other->feed.inputs[i]))
			return false;
	for (size_t i = 0; i < info->output_count; i++)
		if (!first->feed.wanted[i] != !other->feed.wanted[i])
			return false;
	return true;
}

/* All rows of one input, in the first's arena. */
static int join(struct sl_inputs *const *batch, size_t count, size_t input, struct sl_graph_value *ret)
{
	struct sl_arena *arena = batch[0]->arena;
	*ret = batch[0]->feed.inputs[input];
	size_t each = ret->count / (size_t)ret->sizes[0] * sl_element_bytes(ret->element), at = 0;
	for (size_t i = 1; i < count; i++) {
		const struct sl_graph_value *value = &batch[i]->feed.inputs[input];
		ret->sizes[0] += value->sizes[0];
		ret->count += value->count;
	}
	if (ret->count > SL_GRAPH_ELEMENTS_MAX)
		return SL_E_TOO_LARGE;
	char *data = sl_arena_array(arena, (size_t)ret->sizes[0], each);
	ret->data = data;
	for (size_t i = 0; data && i < count; i++) {
		const struct sl_graph_value *value = &batch[i]->feed.inputs[input];
		memcpy(data + at, value->data, (size_t)value->sizes[0] * each);
		at += (size_t)value->sizes[0] * each;
	}
	return data ? 0 : SL_E_NO_MEMORY;
}

static int copy_texts(struct sl_arena *arena, struct sl_graph_value *value)
{
	struct sl_graph_text *texts = value->data;
	for (size_t i = 0; i < value->count; i++)
		if (!(texts[i].text = sl_arena_strndup(arena, texts[i].text, texts[i].len)))
			return SL_E_NO_MEMORY;
	return 0;
}

/* Rows [from, from + rows->count) of what all got, into the request's own arena: it may outlive the others. */
static int take_rows(struct sl_inputs *rows, const struct sl_graph_value *all, size_t from, struct sl_graph_value *ret)
{
	size_t each = all->count / (size_t)all->sizes[0], bytes = each * sl_element_bytes(all->element);
	*ret = *all;
	ret->sizes[0] = (int64_t)rows->count;
	ret->count = each * rows->count;
	ret->data = sl_arena_array(rows->arena, rows->count, bytes ? bytes : 1);
	if (!ret->data)
		return SL_E_NO_MEMORY;
	memcpy(ret->data, (const char *)all->data + from * bytes, rows->count * bytes);
	return ret->element == SL_ELEMENT_TEXT ? copy_texts(rows->arena, ret) : 0;
}

static int split(struct sl_inputs *const *batch, size_t count, const struct sl_graph_value *all, size_t total)
{
	const struct sl_graph_info *info = info_of(batch[0]);
	for (size_t o = 0; o < info->output_count; o++)
		if (batch[0]->feed.wanted[o] && (!all[o].dims || all[o].sizes[0] != (int64_t)total))
			return SL_E_INVALID;
	size_t from = 0;
	for (size_t i = 0; i < count; from += batch[i++]->count)
		for (size_t o = 0; o < info->output_count; o++) {
			int rc = batch[0]->feed.wanted[o] ? take_rows(batch[i], &all[o], from, &batch[i]->feed.outputs[o]) : 0;
			if (rc)
				return rc;
		}
	return 0;
}

static int run(struct sl_inputs *const *batch, size_t count, struct sl_graph_brake *brake)
{
	const struct sl_graph_info *info = info_of(batch[0]);
	struct sl_arena *arena = batch[0]->arena;
	struct sl_graph_value *inputs = sl_arena_array(arena, info->input_count, sizeof *inputs);
	struct sl_graph_value *outputs = sl_arena_array(arena, info->output_count, sizeof *outputs);
	size_t total = 0;
	int rc = inputs && outputs ? 0 : SL_E_NO_MEMORY;
	for (size_t i = 0; i < count; i++)
		total += batch[i]->count;
	for (size_t i = 0; !rc && i < info->input_count; i++)
		rc = join(batch, count, i, &inputs[i]);
	if (!rc)
		rc = sl_graph_run(batch[0]->served->graph, inputs, batch[0]->feed.wanted, arena, outputs, brake, NULL);
	return rc ? rc : split(batch, count, outputs, total);
}

int sl_batch_compute(struct sl_inputs *const *batch, size_t count, struct sl_graph_brake *brake)
{
	int64_t began_ns = sl_monotonic_ns();
	int rc = run(batch, count, brake);
	int64_t ended_ns = sl_monotonic_ns();
	for (size_t i = 0; i < count; i++) {
		batch[i]->parsed_ns = began_ns;
		batch[i]->computed_ns = ended_ns;
		batch[i]->unseen = 0;
	}
	return rc;
}
