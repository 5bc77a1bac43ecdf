/* Training to a package, evaluation of it, and every refusal on the way, over small tables whose truth is known. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "learn/evaluate.h"
#include "learn/package.h"
#include "learn/train.h"
#include "os/file.h"

enum { TABLE_ROWS = 4000 };
static char dir[SL_PATH_MAX], parquet[SL_PATH_MAX], out[SL_PATH_MAX];
static const char *paths[] = {parquet};
static const struct sl_sql_table table = {.name = "rows", .paths = paths, .path_count = 1};

/* `late` follows from `x` and `place`; `kind` has three values; `none` is null throughout; the last tenth of the rows is `held`.
 */
static const char MAKE[] =
	"SELECT i AS n, (i * 7919 % 1000) / 100.0 AS x, CASE WHEN i % 11 = 0 THEN NULL ELSE ['ATL', 'JFK', 'ORD', 'SFO'][i % 4 + "
	"1] END AS place, "
	"(i * 7919 % 1000 > 500) <> (i % 4 = 1) AS late, ['b', 'c', 'a'][i * 7919 % 1000 // 334 + 1] AS kind, i * 7919 % 1000 // "
	"334 AS code, "
	"(i * 7919 % 1000) * 0.5 + i % 4 AS amount, CAST(i % 3 AS DOUBLE) AS w, CAST(NULL AS DOUBLE) AS none, i >= 3600 AS held, "
	"CASE WHEN i >= 3600 THEN 'NEW' ELSE 'OLD' END AS age, CASE WHEN i = 17 THEN 1e300 ELSE 1 END AS huge, "
	"TIMESTAMP '2001-01-01' + INTERVAL (i) MINUTE AS at FROM range(4000) t(i)";

static int setup(void **state)
{
	const struct sl_sql_options options = {.write_dir = dir, .threads = 1};
	struct sl_error err = {0};
	struct sl_sql *sql;
	int64_t rows;

	(void)state;
	if (sl_dir_make_temporary("/tmp", "sluice-train-", dir, &err) || sl_path_join(parquet, dir, "rows.parquet", &err) ||
	    sl_path_join(out, dir, "out", &err) || sl_sql_open(&options, &sql, &err))
		return -1;
	int rc = sl_sql_write(sql, MAKE, NULL, 0, "", parquet, &rows, &err);
	if (rc)
		fprintf(stderr, "%s\n", err.message);
	sl_sql_close(sql);
	return rc || rows != TABLE_ROWS ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	return sl_dir_remove(dir, NULL);
}

static const char *const inputs[] = {"x", "place"};
static struct sl_train spec_for(const char *target)
{
	return (struct sl_train){.algorithm = "xgboost",
				 .data = "rows",
				 .where = "",
				 .validation = "",
				 .target = target,
				 .weight = "",
				 .task = "",
				 .features = {(const char **)(uintptr_t)inputs, 2},
				 .rounds = 20,
				 .seed = 1,
				 .options = "{\"max_depth\":3}"};
}

struct heard {
	size_t metrics, progress;
	double last, fraction;
	char name[48];
};

static void hear_metric(void *context, const char *name, int64_t round, double value)
{
	struct heard *heard = context;
	heard->metrics++;
	heard->last = value;
	snprintf(heard->name, sizeof heard->name, "%s", name);
	assert_true(round >= 0);
}

static void hear_progress(void *context, double fraction, const char *what)
{
	struct heard *heard = context;
	heard->progress++;
	heard->fraction = fraction;
	assert_non_null(what);
}

static int train_into(const struct sl_train *spec, const char *folder, struct sl_train_result *ret, struct heard *heard,
		      struct sl_error *err)
{
	const struct sl_sql_param params[] = {{.name = "until", .type = 'i', .i = 3600}, {.name = "unused", .type = 'i', .i = 1}};
	const struct sl_train_request request = {.spec = spec,
						 .table = &table,
						 .params = params,
						 .param_count = 2,
						 .out_dir = folder,
						 .threads = 2,
						 .metric = heard ? hear_metric : NULL,
						 .progress = heard ? hear_progress : NULL,
						 .context = heard};
	assert_int_equal(sl_dir_remove(folder, err), 0);
	assert_int_equal(sl_dir_make(folder, err), 0);
	return sl_learn_train(&request, ret, err);
}

static struct sl_train_result train(const struct sl_train *spec)
{
	struct sl_train_result result;
	struct sl_error err = {0};
	if (train_into(spec, out, &result, NULL, &err))
		fail_msg("%s: %s (%s)", err.where, err.message, err.hint);
	return result;
}

static void refused(const struct sl_train *spec, int code, const char *message)
{
	struct sl_train_result result;
	struct sl_error err = {0};
	int rc = train_into(spec, out, &result, NULL, &err);
	if (rc != code || !strstr(err.message, message))
		fail_msg("%d %s: %s, wanted %d: %s", rc, err.where, err.message, code, message);
}

static void test_binary(void **state)
{
	struct sl_train spec = spec_for("late");
	struct sl_arena *arena = sl_arena_new(0, NULL);
	struct sl_train_result result;
	struct sl_package package;
	struct heard heard = {0};
	struct sl_error err = {0};

	(void)state;
	spec.where = "n < $until -- a comment must not swallow what follows";
	assert_int_equal(train_into(&spec, out, &result, &heard, &err), 0);
	assert_int_equal(result.rows, 3600);
	assert_int_equal(result.rounds, 20);
	assert_false(result.validated);
	assert_true(sl_scores_get(&result.scores, "auc") > 0.99);
	assert_int_equal(heard.metrics, 10);
	assert_string_equal(heard.name, "train_logloss");
	assert_true(heard.last < 0.2 && heard.progress >= 20 && heard.fraction == 1);
	assert_int_equal(sl_package_read_draft(out, arena, &package, &err), 0);
	assert_int_equal(package.task, SL_TASK_BINARY);
	assert_string_equal(package.target, "late");
	assert_string_equal(package.classes[1], "true");
	assert_int_equal(package.feature_count, 2);
	assert_int_equal(package.features[1].encoding, SL_ENCODE_CATEGORY);
	assert_int_equal(sl_dictionary_find(package.features[1].dictionary, "SFO", 3), 3);
	sl_arena_free(arena);
}

static void read_file(const char *folder, const char *name, struct sl_buf *ret)
{
	char path[SL_PATH_MAX];
	struct sl_error err = {0};
	assert_int_equal(sl_path_join(path, folder, name, &err), 0);
	assert_int_equal(sl_file_read(path, ret, &err), 0);
}

static void test_the_same_twice_in_every_byte(void **state)
{
	static const char *const files[] = {"model.ubj", "package.json", "reference.json", "training.json"};
	struct sl_train spec = spec_for("late");
	char again[SL_PATH_MAX];
	struct sl_train_result result;
	struct sl_error err = {0};

	(void)state;
	spec.options = "{\"max_depth\":4,\"subsample\":0.5,\"colsample_bytree\":0.5}";
	assert_int_equal(sl_path_join(again, dir, "again", &err), 0);
	assert_int_equal(train_into(&spec, out, &result, NULL, &err), 0);
	assert_int_equal(train_into(&spec, again, &result, NULL, &err), 0);
	for (size_t i = 0; i < SL_ARRAY_LEN(files); i++) {
		struct sl_buf one SL_CLEANUP(sl_buf_done) = SL_BUF_INIT(1 << 20),
				  two SL_CLEANUP(sl_buf_done) = SL_BUF_INIT(1 << 20);
		read_file(out, files[i], &one);
		read_file(again, files[i], &two);
		assert_int_equal(one.len, two.len);
		assert_memory_equal(one.data, two.data, one.len);
	}
	spec.seed = 2;
	struct sl_buf one SL_CLEANUP(sl_buf_done) = SL_BUF_INIT(1 << 20), two SL_CLEANUP(sl_buf_done) = SL_BUF_INIT(1 << 20);
	read_file(out, "model.ubj", &one);
	train(&spec);
	read_file(out, "model.ubj", &two);
	assert_true(one.len != two.len || memcmp(one.data, two.data, one.len) != 0);
}

static void test_validation_rows_stop_the_training(void **state)
{
	struct sl_train spec = spec_for("late");
	struct sl_train_result result;
	struct heard heard = {0};
	struct sl_error err = {0};

	(void)state;
	spec.validation = "held";
	spec.early_stopping = 3;
	spec.rounds = 2000;
	spec.options = "{\"learning_rate\":1,\"max_depth\":8,\"min_child_weight\":0,\"eval_metric\":[\"error\",\"auc\"]}";
	if (train_into(&spec, out, &result, &heard, &err))
		fail_msg("%s", err.message);
	assert_true(result.validated);
	assert_int_equal(result.rows, 3600);
	assert_int_equal(result.validation_rows, 400);
	assert_true(result.rounds < 100); /* the error reaches 0 at once and cannot better itself */
	assert_string_equal(heard.name, "validation_auc");
	assert_true(sl_scores_get(&result.scores, "rows") == 400);
	spec.early_stopping = 0;
	spec.rounds = 5;
	assert_int_equal(train(&spec).rounds, 5);
}

static void test_multiclass_of_texts_and_of_numbers(void **state)
{
	static const char *const targets[] = {"kind", "code"}, *const first[] = {"a", "0"};
	struct sl_error err = {0};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct sl_arena *arena = sl_arena_new(0, NULL);
		struct sl_train spec = spec_for(targets[i]);
		struct sl_package package;
		spec.task = i ? "multiclass" : "";
		struct sl_train_result result = train(&spec);
		assert_true(sl_scores_get(&result.scores, "accuracy") > 0.98);
		assert_int_equal(sl_package_read_draft(out, arena, &package, &err), 0);
		assert_int_equal(package.output_count, 3);
		assert_int_equal(package.class_count, 3);
		assert_string_equal(package.classes[0], first[i]);
		assert_int_equal(package.classes_are_text, i == 0);
		sl_arena_free(arena);
	}
}

static void test_regression(void **state)
{
	struct sl_train spec = spec_for("amount");
	struct sl_train_result result;

	(void)state;
	spec.options = "{}";
	result = train(&spec);
	assert_true(sl_scores_get(&result.scores, "r2") > 0.99);
	assert_true(isnan(sl_scores_get(&result.scores, "auc")));
}

static void test_weights_count(void **state)
{
	struct sl_train spec = spec_for("late");
	struct sl_train_result plain = train(&spec), weighted;

	(void)state;
	spec.weight = "w";
	weighted = train(&spec);
	assert_true(fabs(sl_scores_get(&plain.scores, "log_loss") - sl_scores_get(&weighted.scores, "log_loss")) > 1e-6);
	spec.weight = "none";
	refused(&spec, SL_E_INVALID, "weight 'none' is null, negative or not finite");
	spec.weight = "place";
	refused(&spec, SL_E_INVALID, "weight 'place' is not a number");
}

static void test_categories_of_the_validation_alone_are_unseen(void **state)
{
	static const char *names[] = {"x", "age"};
	struct sl_train spec = spec_for("late");
	struct sl_arena *arena = sl_arena_new(0, NULL);
	struct sl_package package;
	struct sl_error err = {0};

	(void)state;
	spec.features = (struct sl_names){names, 2};
	spec.validation = "held";
	train(&spec);
	assert_int_equal(sl_package_read_draft(out, arena, &package, &err), 0);
	assert_int_equal(sl_dictionary_count(package.features[1].dictionary), 1);
	sl_arena_free(arena);
}

static void test_rows_that_cannot_be_learnt(void **state)
{
	static const char *names[] = {"x", "huge"}, *missing[] = {"x", "plcae"};
	struct sl_train spec = spec_for("late");

	(void)state;
	spec.where = "n < 0";
	refused(&spec, SL_E_FAILED, "no row of 'rows' is left to train on");
	spec.where = "";
	spec.validation = "n < 0";
	refused(&spec, SL_E_FAILED, "no row of 'rows' is left to validate with");
	spec = spec_for("none");
	refused(&spec, SL_E_INVALID, "target 'none' is null");
	spec = spec_for("at");
	refused(&spec, SL_E_INVALID, "target 'at' is a time");
	spec = spec_for("held");
	spec.where = "n < 3600";
	refused(&spec, SL_E_FAILED, "target 'held' has the same value in all 3600 training rows");
	spec = spec_for("amount");
	spec.task = "binary";
	refused(&spec, SL_E_INVALID, "has values other than 0 and 1");
	spec = spec_for("kind");
	spec.task = "regression";
	refused(&spec, SL_E_INVALID, "target 'kind' is text");
	spec = spec_for("late");
	spec.features = (struct sl_names){names, 2};
	refused(&spec, SL_E_INVALID, "column 'huge' has a value that is infinite");
	spec.features = (struct sl_names){missing, 2};
	refused(&spec, SL_E_INVALID, "plcae");
}

static void test_options_are_checked_before_any_data(void **state)
{
	static const struct {
		const char *options, *message;
	} wrong[] = {
		{"{\"max_dpeth\":3}", "'max_dpeth' is no training option"},
		{"{\"max_depth\":2.5}", "option 'max_depth' wants a whole number"},
		{"{\"max_depth\":99}", "option 'max_depth' is 99, outside from 0 to 30"},
		{"{\"subsample\":0}", "option 'subsample' is 0, outside above 0 to 1"},
		{"{\"eta\":\"fast\"}", "option 'eta' wants a number"},
		{"{\"eval_metric\":\"accuracy\"}", "option 'eval_metric' cannot be 'accuracy'"},
		{"{\"objective\":\"binary\"}", "option 'objective' cannot be 'binary'"},
		{"{\"plugin\":\"/tmp/x.so\"}", "'plugin' is no training option"},
	};
	struct sl_train spec = spec_for("late");
	struct sl_error err = {0};

	(void)state;
	assert_int_equal(sl_learn_check(&spec, &err), 0);
	for (size_t i = 0; i < SL_ARRAY_LEN(wrong); i++) {
		spec.options = wrong[i].options;
		assert_int_equal(sl_learn_check(&spec, &err), SL_E_INVALID);
		if (!strstr(err.message, wrong[i].message))
			fail_msg("%s: %s", wrong[i].options, err.message);
	}
	spec = spec_for("late");
	spec.options = "{\"max_dpeth\":3}";
	sl_learn_check(&spec, &err);
	assert_string_equal(err.hint, "did you mean 'max_depth'?");
	spec = spec_for("x");
	assert_int_equal(sl_learn_check(&spec, &err), SL_E_INVALID);
	assert_string_equal(err.message, "target 'x' is among the features");
	spec = spec_for("late");
	spec.early_stopping = 5;
	assert_int_equal(sl_learn_check(&spec, &err), SL_E_INVALID);
	spec = spec_for("late");
	spec.algorithm = "forest";
	assert_int_equal(sl_learn_check(&spec, &err), SL_E_INVALID);
}

static void test_cancel(void **state)
{
	const volatile int cancel = 1;
	struct sl_train spec = spec_for("late");
	const struct sl_train_request request = {.spec = &spec, .table = &table, .out_dir = out, .threads = 1, .cancel = &cancel};
	struct sl_train_result result;
	struct sl_error err = {0};

	(void)state;
	assert_int_equal(sl_learn_train(&request, &result, &err), SL_E_CANCELLED);
}

static struct sl_scores evaluate(const struct sl_evaluate *spec, const struct sl_package *package, const struct sl_infer *infer,
				 struct sl_buf *json)
{
	const struct sl_evaluate_request request = {
		.package = package, .infer = infer, .spec = spec, .table = &table, .threads = 1};
	struct sl_scores scores = {0};
	struct sl_error err = {0};
	if (sl_learn_evaluate(&request, &scores, json, &err))
		fail_msg("%s: %s", err.where, err.message);
	return scores;
}

static void test_kept_package_evaluates_by_slice(void **state)
{
	static const char *names[] = {"place"};
	struct sl_train spec = spec_for("late");
	struct sl_evaluate wanted = {.data = "rows", .where = "held", .target = "", .weight = "", .slices = {names, 1}};
	struct sl_arena *arena = sl_arena_new(0, NULL);
	struct sl_buf json SL_CLEANUP(sl_buf_done) = SL_BUF_INIT(1 << 20);
	char objects_dir[SL_PATH_MAX], tmp[SL_PATH_MAX];
	struct sl_objects *objects = NULL;
	struct sl_infer *infer = NULL;
	struct sl_package package;
	struct sl_reference reference;
	struct sl_hash hash;
	struct sl_error err = {0};

	(void)state;
	train(&spec);
	assert_int_equal(sl_path_join(objects_dir, dir, "objects", &err), 0);
	assert_int_equal(sl_path_join(tmp, dir, "tmp", &err), 0);
	assert_int_equal(sl_dir_make(tmp, &err), 0);
	assert_int_equal(sl_objects_open(objects_dir, tmp, &objects, &err), 0);
	assert_int_equal(sl_package_keep(objects, out, &hash, &err), 0);
	assert_int_equal(sl_package_read(objects, &hash, arena, &package, &err), 0);
	assert_true(sl_hash_eq(&package.hash, &hash));
	assert_true(sl_objects_has(objects, &package.model) && sl_objects_has(objects, &package.reference));
	assert_int_equal(sl_package_reference(objects, &package, arena, &reference, &err), 0);
	assert_int_equal(reference.rows, TABLE_ROWS);
	assert_int_equal(reference.features[0].bin_count, SL_REFERENCE_BINS);
	assert_int_equal(reference.features[1].missing, (TABLE_ROWS + 10) / 11);
	assert_int_equal(reference.prediction_count, 1);
	assert_int_equal(sl_package_load(objects, NULL, &package, &infer, &err), 0);
	struct sl_scores scores = evaluate(&wanted, &package, infer, &json);
	assert_true(sl_scores_get(&scores, "rows") == 400 && sl_scores_get(&scores, "auc") > 0.99);
	SL_AUTO_JSON yyjson_doc *doc = sl_json_parse(sl_buf_cstr(&json), json.len, "evaluation", &err);
	yyjson_val *slices = yyjson_obj_get(yyjson_doc_get_root(doc), "slices"), *slice;
	assert_int_equal(yyjson_arr_size(slices), 5); /* four places and null */
	int64_t rows = 0;
	yyjson_arr_iter it = yyjson_arr_iter_with(slices);
	while ((slice = yyjson_arr_iter_next(&it)))
		rows += sl_json_int(slice, "rows", 0);
	assert_int_equal(rows, 400);
	sl_infer_free(infer);
	sl_objects_close(objects);
	sl_arena_free(arena);
}

static void test_a_changed_file_is_not_kept(void **state)
{
	struct sl_train spec = spec_for("late");
	char path[SL_PATH_MAX], objects_dir[SL_PATH_MAX];
	struct sl_objects *objects = NULL;
	struct sl_hash hash;
	struct sl_error err = {0};

	(void)state;
	train(&spec);
	assert_int_equal(sl_path_join(objects_dir, dir, "objects2", &err), 0);
	assert_int_equal(sl_objects_open(objects_dir, dir, &objects, &err), 0);
	assert_int_equal(sl_path_join(path, out, "reference.json", &err), 0);
	assert_int_equal(sl_file_replace(path, "{}", 2, 0644, &err), 0);
	assert_int_equal(sl_package_keep(objects, out, &hash, &err), SL_E_CORRUPT);
	sl_objects_close(objects);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_binary),
		cmocka_unit_test(test_the_same_twice_in_every_byte),
		cmocka_unit_test(test_validation_rows_stop_the_training),
		cmocka_unit_test(test_multiclass_of_texts_and_of_numbers),
		cmocka_unit_test(test_regression),
		cmocka_unit_test(test_weights_count),
		cmocka_unit_test(test_categories_of_the_validation_alone_are_unseen),
		cmocka_unit_test(test_rows_that_cannot_be_learnt),
		cmocka_unit_test(test_options_are_checked_before_any_data),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_kept_package_evaluates_by_slice),
		cmocka_unit_test(test_a_changed_file_is_not_kept),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
