#include "backend/infer_trees_model.h"

#include <string.h>

#include "backend/infer_trees_readers.h"
#include "base/mem.h"
#include "base/str.h"

int sl_forest_read(const char *format, const void *data, size_t len, struct sl_forest *ret, struct sl_error *err)
{
	int rc;
	if (len > SL_FOREST_BYTES_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "the model file is larger than %d bytes", SL_FOREST_BYTES_MAX);
	*ret = (struct sl_forest){0};
	if (sl_str_eq(format, "xgboost-ubj") || sl_str_eq(format, "xgboost-json"))
		rc = sl_forest_read_xgboost(sl_str_eq(format, "xgboost-ubj"), data, len, ret, err);
	else if (sl_str_eq(format, "lightgbm-text"))
		rc = sl_forest_read_lightgbm(data, len, ret, err);
	else if (sl_str_eq(format, "catboost-json"))
		rc = sl_forest_read_catboost(data, len, ret, err);
	else if (sl_str_eq(format, "forest-json"))
		rc = sl_forest_read_json(data, len, ret, err);
	else
		rc = sl_fail(err, SL_E_INVALID, "model format '%s' is not known", format);
	for (size_t t = 0; !rc && t < ret->tree_count; t++)
		ret->trees[t].sets = ret->sets;
	if (rc)
		sl_forest_done(ret);
	return rc;
}

int sl_forest_add_set(struct sl_forest *forest, size_t words, uint32_t *ret, struct sl_error *err)
{
	size_t at = forest->set_words, room = at + words + 1;
	if (room > SL_FOREST_SET_WORDS_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "the sets of categories take more than %d words", SL_FOREST_SET_WORDS_MAX);
	/* Doubled at powers of two: readers add one set after the other. */
	if (at == 0 || (at ^ room) > at) {
		size_t grown = 1024;
		while (grown < room * 2)
			grown *= 2;
		uint32_t *sets = sl_realloc(forest->sets, grown * sizeof *sets, err);
		if (!sets)
			return SL_E_NO_MEMORY;
		forest->sets = sets;
	}
	forest->sets[at] = (uint32_t)words;
	memset(forest->sets + at + 1, 0, words * sizeof *forest->sets);
	forest->set_words = room;
	*ret = (uint32_t)at;
	return 0;
}

void sl_forest_done(struct sl_forest *forest)
{
	sl_free(forest->nodes);
	sl_free(forest->cover);
	sl_free(forest->sets);
	sl_free(forest->trees);
	sl_free(forest->base);
	sl_free(forest->names);
	sl_free(forest->name_text);
	*forest = (struct sl_forest){0};
}
