/* The tree engine: hostile files are refused with the tree and node, good ones predict the same both ways. That answers equal
 * XGBoost's own is tests/blackbox/test_trees.py. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/infer_trees.h"
#include "base/str.h"
#include "os/file.h"

static int load(const char *name, struct sl_infer **ret, struct sl_error *err)
{
	struct sl_buf data SL_CLEANUP(sl_buf_done) = SL_BUF_INIT(1 << 20);
	char path[SL_PATH_MAX];

	snprintf(path, sizeof path, "%s/fuzz/corpus/model/%s", SLUICE_SOURCE_DIR, name);
	assert_int_equal(sl_file_read(path, &data, err), 0);
	return sl_infer_load(sl_str_ends(name, ".json") ? "xgboost-json" : "xgboost-ubj", data.data, data.len, ret, err);
}

static const struct {
	const char *file, *message;
} REFUSED[] = {
	{"cycle.json", "tree 1, node 1: its left child 0 is reached a second time"},
	{"self.json", "tree 1, node 0: its right child 0 is reached a second time"},
	{"shared.json", "tree 1, node 0: its right child 1 is reached a second time"},
	{"child_high.json", "tree 1, node 0: its left child 1000000 is beyond the tree's"},
	{"child_negative.json", "tree 1, node 0: its left child -7 is beyond the tree's"},
	{"child_2_31.json", "tree 1, node 0: its right child 2147483648 is beyond the tree's"},
	{"feature_high.json", "tree 1, node 0: feature 3 is beyond the model's 3 features"},
	{"feature_negative.json", "tree 1, node 0: feature -1 is beyond"},
	{"nan_split.json", "tree 1, node 0: its split condition is not a number"},
	{"inf_leaf.json", "its leaf value is not finite"},
	{"category.json", "tree 1, node 0: it splits by a set of categories and has none"},
	{"nodes_lie.json", "tree 1: 'left_children' has"},
	{"id_twice.json", "tree 1: its id is another"},
	{"output_high.json", "tree 1: output 1 is beyond the model's 1"},
	{"object_for_array.json", "tree 1: has no list of numbers 'left_children'"},
	{"features_huge.json", "'num_feature' is not a number"},
	{"base_two.json", "base_score does not hold 1 or 1 numbers"},
	{"base_text.json", "base_score: not JSON"},
	{"objective.json", "objective 'custom:mine' is not supported"},
	{"no_learner.json", "it has no 'learner'"},
	{"empty.json", "not JSON"},
	{"nested.json", "not JSON"},
	{"nested.ubj", "nested too deep"},
	{"trailing.ubj", "bytes behind the end at byte 3093"},
	{"bad_mark.ubj", "an array of an unknown type at byte"},
	{"length_long.ubj", "not UBJSON"},
	{"length_short.ubj", "not UBJSON"},
	{"length_negative.ubj", "a length beyond the end of the file at byte"},
	{"length_huge.ubj", "a length beyond the end of the file at byte"},
	{"length_wrap.ubj", "a length beyond the end of the file at byte"},
	{"cut0.ubj", "the file ends too early"},
	{"cut1.ubj", "a length beyond the end of the file"},
	{"cut3.ubj", "not UBJSON"},
	{"cut4.ubj", "the file ends too early"},
};

static void test_hostile_files_are_refused_by_name(void **state)
{
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(REFUSED); i++) {
		struct sl_infer *infer = NULL;
		struct sl_error err = {0};
		if (load(REFUSED[i].file, &infer, &err) != SL_E_INVALID || !strstr(err.message, REFUSED[i].message))
			fail_msg("%s: %s, wanted: %s", REFUSED[i].file, err.message, REFUSED[i].message);
		assert_null(infer);
	}
}

static void test_every_cut_and_every_flipped_byte_is_survived(void **state)
{
	struct sl_buf data SL_CLEANUP(sl_buf_done) = SL_BUF_INIT(1 << 20);
	struct sl_error err = {0};

	(void)state;
	assert_int_equal(sl_file_read(SLUICE_SOURCE_DIR "/fuzz/corpus/model/good.ubj", &data, &err), 0);
	for (size_t cut = 0; cut < data.len; cut++) {
		struct sl_infer *infer = NULL;
		char *exact = malloc(cut + 1); /* of its own, so that a sanitizer sees a read behind its end */
		memcpy(exact, data.data, cut);
		assert_int_equal(sl_infer_load("xgboost-ubj", exact, cut, &infer, &err), SL_E_INVALID);
		free(exact);
	}
	for (size_t at = 0; at < data.len; at++) {
		struct sl_infer *infer = NULL;
		data.data[at] ^= 0xff;
		sl_infer_load("xgboost-ubj", data.data, data.len, &infer, &err);
		sl_infer_free(infer);
		data.data[at] ^= 0xff;
	}
}

static void predict_both_ways(const char *name)
{
	enum { ROWS = 67 };
	struct sl_infer *infer = NULL;
	struct sl_infer_info info;
	struct sl_error err = {0};
	float rows[ROWS * 3], all[ROWS * 3], one[3], walked[ROWS * 3];

	assert_int_equal(load(name, &infer, &err), 0);
	sl_infer_info(infer, &info);
	assert_int_equal(info.features, 3);
	for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++)
		rows[i] = i % 11 == 0 ? NAN : sinf((float)i * 1.7f) * 2;
	sl_infer_margin(infer, rows, ROWS, all);
	sl_infer_margin_by_walking(infer, rows, ROWS, walked);
	assert_memory_equal(all, walked, ROWS * info.margins * sizeof *all);
	sl_infer_predict(infer, rows, ROWS, all, NULL);
	for (size_t i = 0; i < ROWS; i++) {
		sl_infer_predict(infer, rows + i * 3, 1, one, NULL);
		assert_memory_equal(one, all + i * info.outputs, info.outputs * sizeof *one);
	}
	sl_infer_free(infer);
}

static void test_one_row_many_rows_and_the_walk_agree(void **state)
{
	static const char *const files[] = {"good.ubj", "good.json", "multi.ubj", "deep.ubj", "inf_split.json"};

	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(files); i++)
		predict_both_ways(files[i]);
}

static void test_probabilities_of_classes_sum_to_one(void **state)
{
	struct sl_infer *infer = NULL;
	struct sl_infer_info info;
	struct sl_error err = {0};
	const float row[3] = {0.5f, NAN, -1};
	float out[3];

	(void)state;
	assert_int_equal(load("multi.ubj", &infer, &err), 0);
	sl_infer_info(infer, &info);
	assert_int_equal(info.outputs, 3);
	assert_string_equal(info.objective, "multi:softprob");
	sl_infer_predict(infer, row, 1, out, NULL);
	assert_float_equal(out[0] + out[1] + out[2], 1, 1e-6);
	sl_infer_free(infer);
}

static void test_unknown_format(void **state)
{
	struct sl_infer *infer = NULL;
	struct sl_error err = {0};

	(void)state;
	assert_int_equal(sl_infer_load("pickle", "x", 1, &infer, &err), SL_E_INVALID);
	assert_string_equal(err.message, "model format 'pickle' is not known");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hostile_files_are_refused_by_name),
		cmocka_unit_test(test_every_cut_and_every_flipped_byte_is_survived),
		cmocka_unit_test(test_one_row_many_rows_and_the_walk_agree),
		cmocka_unit_test(test_probabilities_of_classes_sum_to_one),
		cmocka_unit_test(test_unknown_format),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
