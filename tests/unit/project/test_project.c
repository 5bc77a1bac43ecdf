/* sluice.yaml: an example with everything in it, and what every kind of mistake gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "os/file.h"
#include "project/project.h"
#include "project/ref.h"

static char dir[SL_PATH_MAX];

static void put(const char *name, const char *text)
{
	char path[SL_PATH_MAX], *slash;
	assert_int_equal(0, sl_path_join(path, dir, name, NULL));
	slash = strrchr(path, '/');
	*slash = 0;
	assert_int_equal(0, sl_dir_make(path, NULL));
	*slash = '/';
	assert_int_equal(0, sl_file_replace(path, text, strlen(text), 0644, NULL));
}

static int setup(void **state)
{
	(void)state;
	if (sl_dir_make_temporary("/tmp", "sluice-project-", dir, NULL))
		return -1;
	put("sql/flights.sql", "SELECT DISTINCT * FROM flights_raw");
	put("sql/features.sql", "SELECT *, '$no' AS x, delay > $late_minutes AS late -- $nor this\nFROM flights");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return sl_dir_remove(dir, NULL);
}

static const char EXAMPLE[] =
	"project: flights\n"
	"params: {late_minutes: 15, train_until: 2001-03-01, rounds: 100, max_depth: 6, seed: 7}\n"
	"\n"
	"sources:\n"
	"  flights_raw: data/flights-3m.parquet            # file, glob, folder, URL; later query, topic, connector\n"
	"\n"
	"datasets:\n"
	"  flights_raw:\n"
	"    checks:\n"
	"      - columns: {date: timestamp, delay: bigint, distance: bigint, origin: text, destination: text}\n"
	"      - not_null: [date, origin, destination]\n"
	"      - between: {column: distance, min: 1, max: 6000}\n"
	"      - between: {column: delay, min: -120, max: 1440, else: quarantine}\n"
	"      - rows: {min: 2_900_000}\n"
	"\n"
	"steps:\n"
	"  flights:    {sql: sql/flights.sql}\n"
	"  features:   {sql: sql/features.sql}\n"
	"  delay_fit:\n"
	"    train: {algorithm: xgboost, data: features, where: \"date < $train_until\", target: late,\n"
	"            features: [distance, hour, minute, dow, origin, destination], rounds: $rounds, max_depth: $max_depth}\n"
	"  report:     {run: [python3, report.py], inputs: [features], outputs: {report: out/report.html}}   # any language\n"
	"\n"
	"models:\n"
	"  delay: {from: delay_fit, gate: [\"auc >= 0.62\", \"auc >= champion.auc - 0.002\"], promote: auto}      # or: approve\n"
	"\n"
	"endpoints:\n"
	"  delay: {model: delay@champion, log: all}\n"
	"\n"
	"monitors:\n"
	"  delay_inputs:  {endpoint: delay, window: 1d, psi: {warn: 0.1, alarm: 0.25}}\n"
	"  delay_quality: {endpoint: delay, labels: arrivals, window: 7d, calibration_gap: {alarm: 0.08}, auc: {min: 0.6}}\n"
	"\n"
	"triggers:\n"
	"  retrain: {on: delay_quality.alarm, run: delay, set: {train_until: $event.from}}\n";

static void test_example(void **state)
{
	(void)state;
	put("sluice.yaml", EXAMPLE);
	SL_CLEANUP(sl_project_freep) struct sl_project *p = NULL;
	struct sl_error err = {0};
	int rc = sl_project_load(dir, NULL, 0, &p, &err);
	if (rc)
		fail_msg("%s: %s", err.where, err.message);
	assert_string_equal("flights", p->name);
	assert_int_equal(SL_VALUE_TIME, sl_project_param(p, "train_until")->value.type);
	const struct sl_dataset *d = sl_project_dataset(p, "flights_raw");
	assert_int_equal(5, d->check_count);
	assert_string_equal("not_null(date, origin, destination)", d->checks[1].name);
	assert_true(d->checks[3].quarantine && d->checks[3].min.i == -120);
	assert_true(d->checks[4].has_min && !d->checks[4].has_max && d->checks[4].min.i == 2900000);
	const struct sl_step *features = sl_project_step(p, "features");
	assert_int_equal(1, features->params.count);
	assert_string_equal("late_minutes", features->params.items[0]);
	const struct sl_step *fit = sl_project_step(p, "delay_fit");
	assert_int_equal(100, fit->train.rounds);
	assert_int_equal(7, fit->train.seed);
	assert_string_equal("{\"max_depth\":6}", fit->train.options);
	assert_int_equal(4, fit->params.count); /* train_until, rounds, max_depth, seed */
	assert_string_equal("features", fit->inputs.items[0]);
	const struct sl_step *report = sl_project_step(p, "report");
	assert_int_equal(2, report->argv.count);
	assert_string_equal("out/report.html", report->outputs[0].path);
	assert_string_equal("champion", sl_project_endpoint(p, "delay")->alias);
	const struct sl_monitor *quality = sl_project_monitor(p, "delay_quality");
	assert_true(quality->window_ms == 7 * 86400000LL && quality->bar_count == 2 && quality->bars[1].has_min);
	assert_string_equal("$event.from", p->triggers[0].sets[0].value);
	assert_string_equal("alarm", p->triggers[0].level);
}

static void test_overrides(void **state)
{
	(void)state;
	put("sluice.yaml", EXAMPLE);
	const char *const overrides[] = {"max_depth=8", "train_until=2001-04-25"};
	SL_CLEANUP(sl_project_freep) struct sl_project *p = NULL;
	struct sl_error err = {0};
	assert_int_equal(0, sl_project_load(dir, overrides, 2, &p, &err));
	assert_string_equal("{\"max_depth\":8}", sl_project_step(p, "delay_fit")->train.options);
	assert_string_equal("2001-04-25", sl_project_param(p, "train_until")->value.text);
	assert_int_equal(SL_VALUE_TIME, sl_project_param(p, "train_until")->value.type);

	static const char *const WRONG[][2] = {{"max_dept=8", "did you mean 'max_depth'?"}, {"max_depth=deep", ""}, {"max_depth=6.5", ""}, {"max_depth=1,2", ""},
					       {"train_until=soon", ""}, {"+extra=1", ""}};
	for (size_t i = 0; i < SL_ARRAY_LEN(WRONG); i++) {
		struct sl_project *none = NULL;
		assert_int_equal(SL_E_INVALID, sl_project_load(dir, &WRONG[i][0], 1, &none, &err));
		assert_null(none);
		assert_string_equal(WRONG[i][0], err.where);
		assert_non_null(strstr(err.hint, WRONG[i][1]));
	}
}

struct mistake { const char *yaml, *where, *message, *hint; };
static const struct mistake MISTAKES[] = {
	{"projekt: x\n", "sluice.yaml:1:1", "no key 'projekt'", "did you mean 'project'?"},
	{"project: x\nsources: {a: a.csv}\nsources: {b: b.csv}\n", "sluice.yaml:3:1", "second time", ""},
	{"project: x\nsteps:\n  a: {sql: 1, run: b}\n", "sluice.yaml:3:6", "exactly one of", ""},
	{"project: x\nsteps:\n  a: {sql: none.sql}\n", "sluice.yaml:3:12", "'none.sql' does not exist", ""},
	{"project: x\nsteps:\n  a: {sql: 'SELECT $depht', timeout: 1h}\nparams: {depth: 1}\n", "sluice.yaml:3:12", "'$depht' is not a parameter", "'depth'"},
	{"project: x\nparams: {a: 1, b: 2}\nsteps: {s: {run: [echo, $a]}}\n", "sluice.yaml:2:16", "nothing uses the parameter 'b'", "$b"},
	{"project: x\nsources: {raw: a.csv}\nsteps:\n  s: {run: [x], inputs: [rwa]}\n", "sluice.yaml:4:6", "step 's' reads 'rwa', which no source and no step makes",
	 "did you mean 'raw'?"},
	{"project: x\nsources: {raw: a.csv}\ndatasets: {rav: {checks: [{rows: {min: 1}}]}}\n", "sluice.yaml:3:17", "which no source", "'raw'"},
	{"project: x\nsources: {raw: a.csv}\ndatasets: {raw: {checks: [{not_nul: [a]}]}}\n", "sluice.yaml:3:28", "there is no check 'not_nul'", "'not_null'"},
	{"project: x\nsources: {raw: a.csv}\ndatasets: {raw: {checks: [{between: {column: a}}]}}\n", "sluice.yaml:3:27", "'min', 'max' or both", ""},
	{"project: x\nsources: {raw: a.csv}\ndatasets: {raw: {checks: [{rows: {min: 1}, else: quarantine}]}}\n", "sluice.yaml:3:27", "put aside", ""},
	{"project: x\nsteps: {s: {run: [x], timeout: 5}}\n", "sluice.yaml:2:32", "wants a duration", ""},
	{"project: x\nsteps: {s: {run: [x], timeout: ${env:SLUICE_NO_SUCH}}}\n", "sluice.yaml:2:", "", ""},
	{"project: x\nsteps: {s: {run: [x, '${env:SLUICE_NO_SUCH}']}}\n", "sluice.yaml:2:22", "'SLUICE_NO_SUCH' is not set", ""},
	{"project: x\nsteps: {s: {run: [x, '${secret:A}']}}\n", "sluice.yaml:2:22", "only in the 'env'", ""},
	{"project: x\nsteps: {s: {run: [x]}}\nsources: {s: a}\n", "sluice.yaml:2:12", "a step cannot be called 's'", ""},
	{"project: x\nsteps: {s: {run: [x], outputs: {o: ../o}}}\n", "sluice.yaml:2:36", "inside the project", ""},
	{"project: x\nsources: {raw: 's3://bucket/a.csv'}\n", "sluice.yaml:2:16", "is an address", ""},
	{"project: x\nmodels: {m: {from: nothing}}\n", "sluice.yaml:2:13", "no train step", ""},
	{"project: x\nsteps: {s: {run: !!str x}}\n", "sluice.yaml:2:18", "tags", ""},
	{"project: x\nsteps: {s: {run: *a}}\n", "sluice.yaml:2:18", "no anchor", ""},
	{"project: x\nsteps: [\n", "sluice.yaml:3:1", "not YAML", ""},
	{"- a\n", "sluice.yaml:1:1", "map of keys", ""},
	{"project: x\n---\nproject: y\n", "sluice.yaml:2:1", "second document", ""},
	{"project: x\nparams: {n: 1}\nsteps: {s: {train: {algorithm: xgboost, data: d, target: t, features: [a, a], rounds: $n}}}\n", "sluice.yaml:3:75", "listed twice", ""},
	{"project: x\nsources: {d: d}\nsteps: {s: {train: {algorithm: xgbost, data: d, target: t, features: [a]}}}\n", "sluice.yaml:3:32", "cannot be 'xgbost'", "'xgboost'"},
	{"project: x\nsources: {d: d}\nsteps: {s: {train: {algorithm: xgboost, data: d, target: t, features: [a], max_dept: 3}}}\n", "sluice.yaml:3:76",
	 "no key 'max_dept'", "'max_depth'"},
	{"project: x\nsources: {d: d}\nsteps: {s: {train: {algorithm: xgboost, data: d, target: t, features: [a], rounds: 0}}}\n", "sluice.yaml:3:84", "from 1 to", ""},
};

static void test_mistakes(void **state)
{
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(MISTAKES); i++) {
		const struct mistake *m = &MISTAKES[i];
		struct sl_project *p = NULL;
		struct sl_error err = {0};
		put("sluice.yaml", m->yaml);
		int rc = sl_project_load(dir, NULL, 0, &p, &err);
		assert_null(p);
		if (rc != SL_E_INVALID || strncmp(err.where, m->where, strlen(m->where)) != 0 || !strstr(err.message, m->message) || !strstr(err.hint, m->hint))
			fail_msg("mistake %zu: got %d %s: %s (%s)\n%s", i, rc, err.where, err.message, err.hint, m->yaml);
	}
}

static void test_mistake_in_sql_file(void **state)
{
	(void)state;
	put("bad.sql", "SELECT 1,\n  $tre");
	put("sluice.yaml", "project: x\nparams: {tree: 1}\nsteps: {s: {sql: bad.sql}}\n");
	struct sl_project *p = NULL;
	struct sl_error err = {0};
	assert_int_equal(SL_E_INVALID, sl_project_load(dir, NULL, 0, &p, &err));
	assert_string_equal("bad.sql:2:3", err.where);
	assert_string_equal("did you mean 'tree'?", err.hint);
}

static void test_feature_groups(void **state)
{
	(void)state;
	put("sluice.yaml", "project: x\nparams: {more: false}\nsources: {d: d}\n"
			   "steps: {s: {train: {algorithm: xgboost, data: d, target: t, features: [a, {when: $more, use: [b, c]}]}}}\n");
	const char *const more[] = {"more=true"};
	SL_CLEANUP(sl_project_freep) struct sl_project *off = NULL, *on = NULL;
	assert_int_equal(0, sl_project_load(dir, NULL, 0, &off, NULL));
	assert_int_equal(0, sl_project_load(dir, more, 1, &on, NULL));
	assert_int_equal(1, off->steps[0].train.features.count);
	assert_int_equal(3, on->steps[0].train.features.count);
	assert_string_equal("c", on->steps[0].train.features.items[2]);
	assert_null(strstr(off->steps[0].definition, "\"b\""));
}

static void test_limits_of_yaml(void **state)
{
	(void)state;
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(1 << 20);
	sl_buf_str(&text, "project: x\nparams:\n  a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n");
	for (int i = 1; i < 9; i++)
		sl_buf_printf(&text, "  a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1,
			      i - 1);
	put("sluice.yaml", sl_buf_cstr(&text));
	struct sl_project *p = NULL;
	struct sl_error err = {0};
	assert_int_equal(SL_E_TOO_LARGE, sl_project_load(dir, NULL, 0, &p, &err)); /* nine to the ninth */
	assert_non_null(strstr(err.message, "aliases"));

	sl_buf_clear(&text);
	sl_buf_str(&text, "project: ");
	for (int i = 0; i < 100; i++)
		sl_buf_char(&text, '[');
	put("sluice.yaml", sl_buf_cstr(&text));
	assert_int_equal(SL_E_TOO_LARGE, sl_project_load(dir, NULL, 0, &p, &err));
}

static void test_schema_is_json(void **state)
{
	(void)state;
	SL_AUTO_BUF struct sl_buf out = SL_BUF_INIT(1 << 20);
	struct sl_error err;
	assert_int_equal(0, sl_project_schema(&out, &err));
	SL_AUTO_JSON yyjson_doc *doc = sl_json_parse(sl_buf_cstr(&out), out.len, "schema", &err);
	if (!doc)
		fail_msg("%s: %s", err.where, err.message);
	assert_non_null(yyjson_ptr_get(yyjson_doc_get_root(doc), "/$defs/step/properties/train/allOf/0/properties/max_depth"));
}

static void test_find(void **state)
{
	(void)state;
	char found[SL_PATH_MAX], below[SL_PATH_MAX];
	put("sluice.yaml", "project: x\n");
	assert_int_equal(0, sl_path_join(below, dir, "sql", NULL));
	assert_int_equal(0, sl_project_find(below, found, NULL));
	assert_string_equal(dir, found);
	struct sl_error err;
	assert_int_equal(SL_E_NOT_FOUND, sl_project_find("/proc", found, &err));
	assert_non_null(strstr(err.hint, "sluice init"));
}

static void test_references(void **state)
{
	(void)state;
	struct sl_ref ref;
	struct sl_error err;
	assert_int_equal(0, sl_ref_parse("dataset:flights@2001-03-01T00:00", &ref, &err));
	assert_true(ref.kind == SL_REF_DATASET && strcmp(ref.name, "flights") == 0 && strcmp(ref.version, "2001-03-01T00:00") == 0);
	assert_int_equal(0, sl_ref_parse("delay@champion", &ref, &err));
	assert_true(ref.kind == SL_REF_ANY && strcmp(ref.version, "champion") == 0 && ref.row == -1);
	assert_int_equal(0, sl_ref_parse("prediction:01J#17", &ref, &err));
	assert_true(ref.kind == SL_REF_PREDICTION && ref.row == 17 && strcmp(ref.name, "01J") == 0);
	assert_int_equal(0, sl_ref_parse("file:data/a@b.csv", &ref, &err));
	assert_string_equal("data/a@b.csv", ref.name);
	assert_int_equal(SL_E_INVALID, sl_ref_parse("datset:x", &ref, &err));
	assert_string_equal("did you mean 'dataset:x'?", err.hint);
	assert_int_equal(SL_E_INVALID, sl_ref_parse("model:", &ref, &err));
	assert_int_equal(SL_E_INVALID, sl_ref_parse("model:a@", &ref, &err));
	assert_int_equal(SL_E_INVALID, sl_ref_parse("a\nb", &ref, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_example), cmocka_unit_test(test_overrides), cmocka_unit_test(test_mistakes), cmocka_unit_test(test_mistake_in_sql_file),
		cmocka_unit_test(test_feature_groups), cmocka_unit_test(test_limits_of_yaml), cmocka_unit_test(test_schema_is_json), cmocka_unit_test(test_find),
		cmocka_unit_test(test_references),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
