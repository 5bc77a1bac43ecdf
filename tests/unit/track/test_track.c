#include "base/str.h"
#include "os/file.h"
#include "track/model.h"
#include "track/pin.h"
#include "track/store.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[SL_PATH_MAX];
static struct sl_store *store;

static int set_up(void **state)
{
	(void)state;
	struct sl_error err = {0};
	if (sl_dir_make_temporary("/tmp", "sluice-track-", folder, &err) || sl_store_create(folder, &err) ||
	    sl_store_open(folder, &store, &err)) {
		fprintf(stderr, "%s: %s\n", err.where, err.message);
		return -1;
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	sl_store_close(store);
	store = NULL;
	return sl_dir_remove(folder, NULL);
}

static struct sl_id begin(const char *name)
{
	struct sl_id id;
	struct sl_run_start start = {.kind = "step", .name = name, .reason = "never ran"};
	assert_int_equal(sl_run_begin(&store->track, &start, &id, NULL), 0);
	return id;
}

static void a_finished_run_has_a_record_that_its_ledger_entry_names(void **state)
{
	(void)state;
	struct sl_id id = begin("features");
	struct sl_hash hash;
	sl_sha256("x", 1, &hash);
	struct sl_metric metrics[] = {{"auc", 1, 5, 0.5}, {"auc", 2, 6, NAN}, {"auc", 2, 6, INFINITY}};
	assert_int_equal(sl_run_param(&store->track, &id, "rounds", "100", NULL), 0);
	assert_int_equal(sl_run_metrics(&store->track, &id, metrics, 3, NULL), 0);
	assert_int_equal(sl_run_input(&store->track, &id, "dataset", "flights", &hash, NULL), 0);
	assert_int_equal(sl_run_artifact(&store->track, &id, "../x", &hash, 1, NULL), SL_E_INVALID);
	assert_int_equal(sl_run_artifact(&store->track, &id, "plots/a.png", &hash, 1, NULL), 0);
	assert_int_equal(sl_run_end(&store->track, &id, "ok", "", NULL), 0);
	struct sl_error err = {0};
	assert_int_equal(sl_run_end(&store->track, &id, "failed", "again", &err), SL_E_CONFLICT);

	struct sl_buf record = SL_BUF_INIT(1 << 20);
	char hex[SL_HASH_HEX + 1];
	assert_int_equal(sl_run_record(&store->track, &id, &record, NULL), 0);
	sl_sha256(record.data, record.len, &hash);
	sl_hash_hex(&hash, hex);
	assert_non_null(strstr(record.data, "\"params\":{\"rounds\":\"100\"}"));
	assert_non_null(strstr(record.data, "\"count\":3"));
	sl_buf_done(&record);
	int64_t found;
	assert_int_equal(sl_meta_int(store->meta, 0, &found, NULL, "SELECT COUNT(*) FROM run WHERE id = ?1 AND record = ?2", "ss",
				     id.text, hex),
			 0);
	assert_int_equal(found, 1);
	struct sl_stmt *stmt = NULL;
	assert_int_equal(sl_meta_query(store->meta, &stmt, NULL, "SELECT entry FROM ledger_entry ORDER BY seq DESC LIMIT 1", ""),
			 0);
	assert_int_equal(sl_stmt_step(stmt, NULL), 1);
	size_t len;
	const char *entry = sl_stmt_blob(stmt, 0, &len);
	assert_non_null(memmem(entry, len, hex, SL_HASH_HEX));
	assert_non_null(memmem(entry, len, "run.end", 7));
	sl_stmt_done(stmt);
}

static void runs_are_found_by_unique_prefix(void **state)
{
	(void)state;
	struct sl_id a = begin("a"), found;
	struct sl_error err = {0};
	char lower[SL_ID_LEN + 1];
	for (int i = 0; i <= SL_ID_LEN; i++)
		lower[i] = a.text[i] >= 'A' ? (char)(a.text[i] - 'A' + 'a') : a.text[i];
	assert_int_equal(sl_run_find(&store->track, lower, &found, &err), 0);
	assert_string_equal(found.text, a.text);
	begin("b");
	assert_int_equal(sl_run_find(&store->track, "01", &found, &err), SL_E_INVALID);
	assert_int_equal(sl_run_find(&store->track, "7ZZ", &found, &err), SL_E_NOT_FOUND);
}

static void a_dead_process_leaves_a_killed_run(void **state)
{
	(void)state;
	struct sl_id mine = begin("mine");
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct sl_store *other;
		struct sl_id id;
		struct sl_run_start start = {.kind = "step", .name = "theirs"};
		_exit(sl_store_open(folder, &other, NULL) || sl_run_begin(&other->track, &start, &id, NULL));
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(sl_run_reap(&store->track, NULL), 0);
	int64_t killed, running;
	sl_meta_int(store->meta, 0, &killed, NULL,
		    "SELECT COUNT(*) FROM run WHERE name = 'theirs' AND status = 'killed' AND record IS NOT NULL", "");
	sl_meta_int(store->meta, 0, &running, NULL, "SELECT COUNT(*) FROM run WHERE id = ?1 AND status = 'running'", "s",
		    mine.text);
	assert_int_equal(killed, 1);
	assert_int_equal(running, 1);
}

static int64_t champion(void)
{
	struct sl_model_version v;
	assert_int_equal(sl_model_find(&store->track, "delay", "champion", &v, NULL), 0);
	return v.version;
}

static void aliases_move_and_roll_back(void **state)
{
	(void)state;
	struct sl_id run = begin("fit");
	struct sl_hash hash;
	struct sl_error err = {0};
	int64_t version;
	struct sl_model_version found;
	assert_int_equal(sl_model_find(&store->track, "delay", "", &found, &err), SL_E_NOT_FOUND);
	for (int i = 1; i <= 3; i++) {
		sl_sha256(&i, sizeof i, &hash);
		assert_int_equal(sl_model_create(&store->track, "delay", &hash, &run, "{}", &version, NULL), 0);
		assert_int_equal(version, i);
		assert_int_equal(sl_model_alias(&store->track, "delay", "champion", i, "gate", false, &err),
				 SL_E_CONFLICT); /* a candidate yet */
		assert_int_equal(sl_model_gate(&store->track, "delay", i, "ready", "[]", "{\"auc\":0.6}", NULL), 0);
		assert_int_equal(sl_model_alias(&store->track, "delay", "champion", i, "gate", false, NULL), 0);
	}
	assert_int_equal(champion(), 3);
	assert_int_equal(sl_model_rollback(&store->track, "delay", "champion", &version, NULL), 0);
	assert_int_equal(version, 2);
	assert_int_equal(sl_model_rollback(&store->track, "delay", "champion", &version, NULL), 0);
	assert_int_equal(champion(), 1);
	assert_int_equal(sl_model_rollback(&store->track, "delay", "champion", &version, &err), SL_E_CONFLICT);
	assert_int_equal(sl_model_alias(&store->track, "delay", "champion", 3, "again", false, NULL), 0);
	assert_int_equal(sl_model_rollback(&store->track, "delay", "champion", &version, NULL), 0);
	assert_int_equal(champion(), 1);
	assert_int_equal(sl_model_gate(&store->track, "delay", 9, "ready", "[]", "{}", &err), SL_E_NOT_FOUND);
	char hex[SL_HASH_HEX + 1];
	sl_hash_hex(&hash, hex);
	hex[10] = 0;
	assert_int_equal(sl_model_find(&store->track, "delay", hex, &found, NULL), 0);
	assert_int_equal(found.version, 3);
}

static void pins_are_kept_and_dropped(void **state)
{
	(void)state;
	struct sl_arena *arena = sl_arena_new(0, NULL);
	struct sl_pin *pins, pin = {"train_until", "train_until='2001-04-25T00:00:00Z'", "\"2001-03-01\""};
	size_t count;
	assert_int_equal(sl_pin_set(&store->track, &pin, NULL), 0);
	assert_int_equal(sl_pins_read(&store->track, arena, &pins, &count, NULL), 0);
	assert_int_equal(count, 1);
	assert_string_equal(pins[0].override, pin.override);
	assert_string_equal(pins[0].file_value, pin.file_value);
	assert_int_equal(sl_pin_remove(&store->track, "train_until", "the project file changed it", NULL), 0);
	assert_int_equal(sl_pins_read(&store->track, arena, &pins, &count, NULL), 0);
	assert_int_equal(count, 0);
	sl_arena_free(arena);
}

static void a_store_that_exists_is_left_as_it_is(void **state)
{
	(void)state;
	begin("kept");
	assert_int_equal(sl_store_create(folder, NULL), 0);
	int64_t runs, first;
	sl_meta_int(store->meta, 0, &runs, NULL, "SELECT COUNT(*) FROM run WHERE name = 'kept'", "");
	sl_meta_int(store->meta, 0, &first, NULL, "SELECT COUNT(*) FROM ledger_entry WHERE seq = 0", "");
	assert_int_equal(runs, 1);
	assert_int_equal(first, 1);
	struct sl_ledger_report report;
	assert_int_equal(sl_ledger_publish(store->ledger, NULL), 0);
	assert_int_equal(sl_ledger_verify(store->ledger, &report, NULL), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_finished_run_has_a_record_that_its_ledger_entry_names),
		TEST(runs_are_found_by_unique_prefix),
		TEST(a_dead_process_leaves_a_killed_run),
		TEST(aliases_move_and_roll_back),
		TEST(pins_are_kept_and_dropped),
		TEST(a_store_that_exists_is_left_as_it_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
