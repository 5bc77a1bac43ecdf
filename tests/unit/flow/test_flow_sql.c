/* Flow over tables: sources, SQL, checks and quarantine, training and gates; the engines run in workers, which this program is as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "data/dataset.h"
#include "flow/flow.h"
#include "track/model.h"

static char dir[SL_PATH_MAX];
static struct sl_store *store;

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

static void put_orders(int rows, const char *last)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(1 << 20);
	sl_buf_str(&text, "id,amount,late\n");
	for (int i = 0; i < rows; i++)
		sl_buf_printf(&text, "%d,%d,%d\n", i, i * 7 % 101, i * 7 % 101 > 50);
	sl_buf_str(&text, last);
	put("data/orders.csv", sl_buf_cstr(&text));
}

static const char PROJECT[] =
	"project: shop\n"
	"params: {least: 10, depth: 3, seed: 1}\n"
	"sources: {orders: data/orders.csv}\n"
	"datasets:\n"
	"  orders:\n"
	"    checks:\n"
	"      - not_null: [id]\n"
	"      - between: {column: amount, min: 0, max: 1000, else: quarantine}\n"
	"      - rows: {min: 5}\n"
	"steps:\n"
	"  large: {sql: sql/large.sql}\n"
	"  total: {sql: 'select count(*) as n, sum(amount) as s from large'}\n"
	"  fit: {train: {algorithm: xgboost, data: large, target: late, features: [amount], rounds: 3, max_depth: $depth}}\n"
	"  say: {run: 'test -f \"$SLUICE_INPUT_total\" && echo yes > \"$SLUICE_OUTPUT_said\"', inputs: [total], outputs: {said: said.txt}}\n"
	"models:\n"
	"  m: {from: fit, gate: ['auc >= 0.6', 'auc >= champion.auc - 0.1'], promote: auto}\n";

static int setup(void **state)
{
	(void)state;
	struct sl_error err;
	if (sl_dir_make_temporary("/tmp", "sluice-tables-", dir, NULL))
		return -1;
	put("sluice.yaml", PROJECT);
	put("sql/large.sql", "select * from orders where amount >= $least order by id\n");
	put_orders(300, "");
	return sl_store_create(dir, &err) || sl_store_open(dir, &store, &err) ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	sl_store_close(store);
	return sl_dir_remove(dir, NULL);
}

static char story[4096];
static struct sl_error problem;

static int run(const char *override)
{
	SL_CLEANUP(sl_project_freep) struct sl_project *p = NULL;
	struct sl_flow_report report;
	const struct sl_flow_options o = {.jobs = 2, .keep_going = true};
	problem = (struct sl_error){0};
	story[0] = 0;
	int rc = sl_project_load(dir, &override, override ? 1 : 0, &p, &problem);
	if (rc)
		return rc;
	rc = sl_flow_run(store, p, &o, &report, &problem);
	size_t n = 0;
	for (size_t i = 0; i < report.count; i++)
		n += (size_t)snprintf(story + n, sizeof story - n, "%s%s:%s", n ? " " : "", report.nodes[i].name, sl_flow_state_name(report.nodes[i].state));
	sl_flow_report_done(&report);
	return rc;
}

#define ASSERT_RUN(override, expected)                                                    \
	do {                                                                              \
		int rc_ = run(override);                                                  \
		if (rc_)                                                                  \
			fail_msg("%d %s: %s", rc_, problem.where, problem.message);       \
		assert_string_equal(expected, story);                                     \
	} while (0)

static uint64_t rows_of(const char *dataset)
{
	struct sl_dataset_head head;
	return sl_dataset_head(&store->track, dataset, &head, NULL) ? UINT64_MAX : head.rows;
}

static void test_whole_chain(void **state)
{
	(void)state;
	struct sl_model_version version;
	assert_int_equal(0, run(NULL));
	assert_string_equal("orders:ok large:ok total:ok fit:ok say:ok m:ok", story);
	assert_int_equal(0, sl_model_find(&store->track, "m", "champion", &version, NULL));
	assert_int_equal(1, version.version);
	ASSERT_RUN(NULL, "orders:fresh large:fresh total:fresh fit:fresh say:fresh m:fresh");
	/* A parameter of the training alone. */
	ASSERT_RUN("depth=4", "orders:fresh large:fresh total:fresh fit:ok say:fresh m:ok");
	/* Code that changes nothing but the text: equal output stops the wave. */
	put("sql/large.sql", "-- the large ones\nselect * from orders where amount >= $least order by id\n");
	ASSERT_RUN("depth=4", "orders:fresh large:ok total:fresh fit:fresh say:fresh m:fresh");
	/* New data goes through everything. */
	put_orders(310, "");
	ASSERT_RUN("depth=4", "orders:ok large:ok total:ok fit:ok say:ok m:ok");
}

static void test_parameter_of_sql(void **state)
{
	(void)state;
	assert_int_equal(0, run(NULL));
	uint64_t before = rows_of("large");
	assert_int_equal(0, run("least=20"));
	assert_true(rows_of("large") < before);
	/* Both results are known now: going back puts the older version in place and runs nothing. */
	ASSERT_RUN(NULL, "orders:fresh large:reused total:reused fit:fresh say:fresh m:fresh");
	assert_int_equal(before, rows_of("large"));
}

static void test_quarantine(void **state)
{
	(void)state;
	put_orders(300, "300,5000,1\n301,-3,0\n");
	assert_int_equal(0, run(NULL));
	assert_int_equal(300, rows_of("orders"));
	assert_int_equal(2, rows_of("orders.quarantine"));
}

static void test_failed_check_stops(void **state)
{
	(void)state;
	assert_int_equal(0, run(NULL));
	put_orders(2, "");
	assert_int_equal(SL_E_FAILED, run(NULL));
	assert_string_equal("orders:failed large:skipped total:skipped fit:skipped say:skipped m:skipped", story);
	assert_non_null(strstr(problem.message, "rows"));
	assert_int_equal(300, rows_of("orders")); /* the version before stays */
	int64_t count = 0;
	assert_int_equal(0, sl_meta_int(store->meta, 0, &count, NULL, "SELECT COUNT(*) FROM check_result WHERE passed = 0", ""));
	assert_true(count >= 1);
}

static void test_unknown_table(void **state)
{
	(void)state;
	put("sql/large.sql", "select * from ordres where amount >= $least\n");
	assert_int_equal(SL_E_INVALID, run(NULL));
	assert_string_equal("sluice.yaml:11:16", problem.where);
	assert_string_equal("step 'large' reads 'ordres', which no source and no step makes", problem.message);
	assert_string_equal("did you mean 'orders'?", problem.hint);
}

static void test_refused_by_gate(void **state)
{
	(void)state;
	struct sl_model_version version;
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(1 << 16);
	sl_buf_str(&text, PROJECT);
	char *bar = strstr(text.data, "0.6'");
	bar[0] = '2';
	put("sluice.yaml", sl_buf_cstr(&text));
	assert_int_equal(SL_E_FAILED, run(NULL));
	assert_string_equal("orders:ok large:ok total:ok fit:ok say:ok m:failed", story);
	assert_non_null(strstr(problem.message, "the gate refused it: auc >= 2.6"));
	assert_int_equal(0, sl_model_find(&store->track, "m", "1", &version, NULL));
	assert_string_equal("refused", version.status);
	assert_int_equal(SL_E_NOT_FOUND, sl_model_find(&store->track, "m", "champion", &version, &problem));
	/* Judged again, by another gate, as the same version. */
	put("sluice.yaml", PROJECT);
	ASSERT_RUN(NULL, "orders:fresh large:fresh total:fresh fit:fresh say:fresh m:ok");
	assert_int_equal(0, sl_model_find(&store->track, "m", "champion", &version, NULL));
	assert_int_equal(1, version.version);
}

static void test_broken_sql_tells_the_place(void **state)
{
	(void)state;
	put("sql/large.sql", "select *,\n  nothing_such(amount) from orders where amount >= $least\n");
	assert_int_equal(SL_E_FAILED, run(NULL));
	assert_non_null(strstr(problem.where, "sql/large.sql:2"));
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "worker") == 0)
		return sl_flow_worker(argv[2]);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_whole_chain), TEST(test_parameter_of_sql), TEST(test_quarantine), TEST(test_failed_check_stops), TEST(test_unknown_table),
		TEST(test_refused_by_gate), TEST(test_broken_sql_tells_the_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
