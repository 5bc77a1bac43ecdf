/* Who answered, in words: for answers and their headers. */
#include <string.h>

#include "serve/predict.h"

static const struct sl_plan_variant *variant_of(const struct sl_inputs *rows, size_t row)
{
	return &rows->served->plan->variants[rows->variants[row]];
}

const struct sl_served *sl_inputs_answered(const struct sl_inputs *rows)
{
	return rows->served->plan ? variant_of(rows, 0)->served : rows->served;
}

/* The texts of the variants that answered a row, each once, in the order of the rules. */
static const char *join(struct sl_inputs *rows, const char *(*text)(const struct sl_plan_variant *variant))
{
	const struct sl_plan *plan = rows->served->plan;
	bool in_use[SL_VARIANTS_MAX] = {false};
	const char *joined = NULL;
	for (size_t row = 0; row < rows->count; row++)
		in_use[rows->variants[row]] = true;
	for (size_t i = 0; i < plan->count; i++)
		if (in_use[i] && !(joined = joined ? sl_arena_printf(rows->arena, "%s,%s", joined, text(&plan->variants[i]))
						   : text(&plan->variants[i])))
			return "";
	return joined;
}

static const char *version_text(const struct sl_plan_variant *variant) { return variant->served->version_text; }
static const char *name_text(const struct sl_plan_variant *variant) { return variant->spec->name; }

const char *sl_inputs_version(struct sl_inputs *rows)
{
	return rows->served->plan && rows->mixed ? join(rows, version_text) : sl_inputs_answered(rows)->version_text;
}

const char *sl_inputs_variant(struct sl_inputs *rows)
{
	if (!rows->served->plan)
		return NULL;
	return rows->mixed ? join(rows, name_text) : variant_of(rows, 0)->spec->name;
}

const char *sl_inputs_row_variants(struct sl_inputs *rows)
{
	if (!rows->served->plan || !rows->mixed)
		return NULL;
	char *text = sl_arena_alloc(rows->arena, rows->count * 3 + 1), *p = text;
	unsigned char places[SL_VARIANTS_MAX] = {0}, next = 0;
	if (!text)
		return "";
	for (size_t row = 0; row < rows->count; row++)
		places[rows->variants[row]] = 1;
	for (size_t i = 0; i < SL_VARIANTS_MAX; i++)
		if (places[i])
			places[i] = next++;
	for (size_t row = 0; row < rows->count; row++) {
		unsigned place = places[rows->variants[row]];
		if (place >= 10)
			*p++ = '1';
		*p++ = (char)('0' + place % 10);
		*p++ = ',';
	}
	p[-1] = 0;
	return text;
}

const char *sl_inputs_reason(const struct sl_inputs *rows)
{
	return rows->served->plan ? sl_route_reason_name(rows->reasons[0]) : NULL;
}
