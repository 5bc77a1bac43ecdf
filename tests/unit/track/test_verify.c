/* Verify: a whole store passes; every kind of damage and forgery is named. */
#include "story.h"

#include <sys/stat.h>

#include "track/verify.h"

struct heard {
	char all[65536];
};

static void hear(void *context, const char *what)
{
	struct heard *heard = context;
	size_t n = strlen(heard->all);
	snprintf(heard->all + n, sizeof heard->all - n, "%s\n", what);
}

static int verify(struct story *s, struct heard *heard, struct sl_verify_report *report)
{
	struct sl_verify_listener listener = {.problem = hear, .context = heard};
	heard->all[0] = 0;
	return sl_store_verify(s->store, &listener, report, &s->err);
}

/* Verifies and expects a problem with `part` in it. */
static void expect(struct story *s, const char *part)
{
	static struct heard heard;
	struct sl_verify_report report;
	int rc = verify(s, &heard, &report);
	if (rc != SL_E_CORRUPT || report.problems == 0 || !strstr(heard.all, part))
		fail_msg("expected '%s', got %d:\n%s", part, rc, heard.all);
}

static void expect_well(struct story *s)
{
	static struct heard heard;
	struct sl_verify_report report;
	if (verify(s, &heard, &report))
		fail_msg("%s", heard.all);
}

static void sql(struct story *s, const char *text)
{
	int64_t n = sl_meta_exec(s->store->meta, &s->err, text, NULL);
	if (n < 1)
		fail_msg("%s: changed %d rows: %s", text, (int)n, s->err.message);
}

static void test_a_whole_store_passes(void **state)
{
	struct story *s = *state;
	struct heard *heard = calloc(1, sizeof *heard);
	struct sl_verify_report report;
	assert_int_equal(0, verify(s, heard, &report));
	assert_string_equal("", heard->all);
	assert_int_equal(4, report.runs);
	assert_int_equal(2, report.dataset_versions);
	assert_int_equal(1, report.model_versions);
	assert_int_equal(1, report.aliases);
	assert_int_equal(3, report.manifests);
	assert_int_equal(7, report.objects);
	assert_int_equal(1 + 4 + 4 + 2 + 3, report.ledger_entries);
	free(heard);
}

static void test_rows_that_do_not_match(void **state)
{
	struct story *s = *state;
	static const char *const CHANGES[][3] = {
		{"UPDATE run_param SET value = '16'", "UPDATE run_param SET value = '15'",
		 "its rows (parameters, metrics, inputs, outputs ...) are not those"},
		{"UPDATE run_metric SET value = 0.9", "UPDATE run_metric SET value = 0.7", "its rows (parameters"},
		{"UPDATE run_input SET name = 'x' WHERE kind = 'file'",
		 "UPDATE run_input SET name = 'data/raw.csv' WHERE kind = 'file'", "its rows (parameters"},
		{"UPDATE run SET status = 'failed' WHERE name = 'fit'", "UPDATE run SET status = 'ok' WHERE name = 'fit'",
		 "its status is 'failed', the ledger says 'ok'"},
		{"UPDATE run SET reason = 'x' WHERE name = 'fit'", "UPDATE run SET reason = 'never ran' WHERE name = 'fit'",
		 "its rows (parameters"},
		{"UPDATE model_version SET metrics = '{}'", "UPDATE model_version SET metrics = '{\"auc\":0.7}'",
		 "row model_version:delay:1: is not what ledger entry "},
		{"UPDATE model_version SET gate = '[1]'", "UPDATE model_version SET gate = '[]'",
		 "row model_version:delay:1: is not what ledger entry "},
		{"UPDATE model_version SET status = 'waiting'", "UPDATE model_version SET status = 'ready'",
		 "row model_version:delay:1: is not what ledger entry "},
		{"UPDATE model_alias SET version = 2", "UPDATE model_alias SET version = 1",
		 "row model_alias:delay:champion: is not what ledger entry "},
		{"UPDATE alias_move SET version = 2", "UPDATE alias_move SET version = 1", "row alias_move:1: is not what ledger entry "},
		{"UPDATE dataset_version SET dataset = 'other' WHERE dataset = 'raw'",
		 "UPDATE dataset_version SET dataset = 'raw' WHERE dataset = 'other'", "row dataset_version:1: is not what ledger entry "},
	};
	expect_well(s);
	for (size_t i = 0; i < SL_ARRAY_LEN(CHANGES); i++) {
		sql(s, CHANGES[i][0]);
		expect(s, CHANGES[i][2]);
		sql(s, CHANGES[i][1]);
		expect_well(s);
	}
}

static void test_rows_that_no_entry_covers(void **state)
{
	struct story *s = *state;
	static const char *const FAKES[][3] = {
		{"INSERT INTO run (id, kind, name, status, started_ms, ended_ms, record) VALUES ('01ARZ3NDEKTSV4RRFFQ69G5FAV', "
		 "'step', 'x', 'ok', 1, 2, '')",
		 "DELETE FROM run WHERE name = 'x'", "run 01ARZ3NDEKTSV4RRFFQ69G5FAV: no ledger entry covers it"},
		{"INSERT INTO dataset_version SELECT seq + 10, dataset, hash, rows, size_bytes, files, run, created_ms FROM "
		 "dataset_version WHERE dataset = 'raw'",
		 "DELETE FROM dataset_version WHERE seq > 10", "row dataset_version:11: no ledger entry covers it"},
		{"INSERT INTO model_version SELECT model, 2, hash, run, status, gate, metrics, created_ms FROM model_version",
		 "DELETE FROM model_version WHERE version = 2", "row model_version:delay:2: no ledger entry covers it"},
		{"INSERT INTO model_alias VALUES ('delay', 'best', 1, 1)", "DELETE FROM model_alias WHERE alias = 'best'",
		 "row model_alias:delay:best: no ledger entry covers it"},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(FAKES); i++) {
		sql(s, FAKES[i][0]);
		expect(s, FAKES[i][2]);
		sql(s, FAKES[i][1]);
		expect_well(s);
	}
	sql(s, "DELETE FROM model_alias");
	expect(s, "row model_alias:delay:champion: ledger entry ");
}

static void test_an_entry_put_in_behind_the_ledger(void **state)
{
	struct story *s = *state;
	sql(s, "UPDATE ledger_entry SET entry = CAST(replace(CAST(entry AS TEXT), 'champion', 'chimpion') AS BLOB) WHERE "
	       "CAST(entry AS TEXT) LIKE '%champion%'");
	expect(s, "ledger_entry row ");
	expect(s, "row model_alias:delay:champion: no ledger entry covers it");
}

static void damage(const char *path, long at)
{
	assert_int_equal(0, chmod(path, 0644));
	FILE *file = fopen(path, "r+b");
	assert_non_null(file);
	fseek(file, at, SEEK_SET);
	int c = fgetc(file);
	fseek(file, at, SEEK_SET);
	fputc(c ^ 1, file);
	fclose(file);
}

static int damage_and_look(void *context, const struct sl_hash *hash, uint64_t size_bytes, struct sl_error *err)
{
	struct story *s = context;
	char path[SL_PATH_MAX], away[SL_PATH_MAX], hex[SL_HASH_HEX + 1];
	snprintf(away, sizeof away, "%.3900s/away", s->dir);
	sl_hash_hex(hash, hex);
	snprintf(path, sizeof path, "%.3900s/objects/%.2s/%s", s->store->dir, hex, hex + 2);
	for (uint64_t at = 0; at < size_bytes; at += 7) {
		damage(path, (long)at);
		expect(s, path);
		damage(path, (long)at);
	}
	assert_int_equal(0, rename(path, away));
	expect(s, "is missing");
	assert_int_equal(0, rename(away, path));
	(void)err;
	return 0;
}

static void test_every_damaged_object_is_named(void **state)
{
	struct story *s = *state;
	assert_int_equal(0, sl_objects_each(s->store->objects, damage_and_look, s, &s->err));
	expect_well(s);
}

static void seal_file(struct story *s, const char *digest)
{
	char path[SL_PATH_MAX], text[256];
	snprintf(path, sizeof path, "%.3800s/predictions-x", s->store->streams_dir);
	MUST(sl_dir_make(path, &s->err));
	snprintf(path, sizeof path, "%.3800s/predictions-x/00000000000000000000.sealed", s->store->streams_dir);
	snprintf(text, sizeof text, "{\"base_offset\":0,\"sha256\":\"%s\"}\n", digest);
	MUST(sl_file_replace(path, text, strlen(text), 0644, &s->err));
}

static void test_a_seal_that_the_ledger_does_not_know(void **state)
{
	struct story *s = *state;
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *detail = yyjson_mut_obj(doc);
	seal_file(s, "aa");
	expect(s, "00000000000000000000.sealed: no ledger entry covers it");
	yyjson_mut_obj_add_int(doc, detail, "base_offset", 0);
	yyjson_mut_obj_add_str(doc, detail, "sha256", "aa");
	MUST(sl_meta_begin(s->store->meta, &s->err));
	MUST(sl_ledger_append(s->store->ledger, "stream.seal", "stream:predictions-x", detail, NULL, &s->err));
	MUST(sl_meta_commit(s->store->meta, &s->err));
	yyjson_mut_doc_free(doc);
	seal_file(s, "bb");
	expect(s, "00000000000000000000.sealed: its digest is not what the ledger says");
}

static void test_an_older_database_is_refused(void **state)
{
	struct story *s = *state;
	char command[4096];
	struct sl_store *store;
	struct sl_id run;
	sl_store_close(s->store);
	snprintf(command, sizeof command, "cd '%.1000s/.sluice' && for f in sluice.db sluice.db-wal; do cp $f old-$f; done",
		 s->dir);
	assert_int_equal(0, system(command));
	MUST(sl_store_open(s->dir, &s->store, &s->err));
	run = story_begin(s, "step", "x", NULL);
	MUST(sl_run_end(&s->store->track, &run, "ok", "", &s->err));
	sl_store_close(s->store);
	s->store = NULL;
	snprintf(command, sizeof command, "cd '%.1000s/.sluice' && for f in sluice.db sluice.db-wal; do mv old-$f $f; done",
		 s->dir);
	assert_int_equal(0, system(command));
	assert_int_equal(SL_E_CORRUPT, sl_store_open(s->dir, &store, &s->err));
	assert_non_null(strstr(s->err.message, "older copy"));
	/* Also without the file that says how much was committed. */
	snprintf(command, sizeof command, "rm '%.1000s/.sluice/sluice.db-shm'", s->dir);
	assert_int_equal(0, system(command));
	assert_int_equal(SL_E_CORRUPT, sl_store_open(s->dir, &store, &s->err));
	assert_non_null(strstr(s->err.message, "older copy"));
}

/* The log is damaged while nobody has the store open: SQLite cuts it there, and what was committed behind is gone. Near its beginning,
 * because what its end holds may be left over from before it was last begun anew. */
static void test_a_damaged_log_is_refused(void **state)
{
	struct story *s = *state;
	char path[SL_PATH_MAX];
	struct sl_store *store;
	/* A log that closing does not empty for its length. */
	sl_store_close(s->store);
	MUST(sl_store_open(s->dir, &s->store, &s->err));
	for (int i = 0; i < 5; i++) {
		struct sl_id run = story_begin(s, "step", "x", NULL);
		MUST(sl_run_end(&s->store->track, &run, "ok", "", &s->err));
	}
	sl_store_close(s->store);
	s->store = NULL;
	snprintf(path, sizeof path, "%.1000s/.sluice/sluice.db-wal", s->dir);
	struct stat st;
	assert_int_equal(0, stat(path, &st));
	assert_true(st.st_size > 100000);
	damage(path, 32 + 24 + 100); /* its header, its first frame's header */
	assert_int_equal(SL_E_CORRUPT, sl_store_open(s->dir, &store, &s->err));
}

static void test_another_key(void **state)
{
	struct story *s = *state;
	char path[SL_PATH_MAX], other[SL_PATH_MAX], key_dir[SL_PATH_MAX];
	snprintf(other, sizeof other, "%.3900s/other", s->dir);
	snprintf(key_dir, sizeof key_dir, "%.3900s/other-key", s->dir);
	assert_int_equal(0, sl_ledger_create(other, key_dir, "sluice.local/other", &s->err));
	/* A forger with another key signs everything anew. */
	sl_store_close(s->store);
	snprintf(path, sizeof path,
		 "rm -r %.500s/.sluice/ledger/* && cp %.500s/key.pub %.500s/.sluice/ledger/ && cp %.500s/ledger.key "
		 "%.500s/.sluice/key/",
		 s->dir, other, s->dir, key_dir, s->dir);
	assert_int_equal(0, system(path));
	MUST(sl_store_open(s->dir, &s->store, &s->err));
	expect(s, "ledger/key.pub: is not the key that the ledger's first entry names");
}

#define T(test) cmocka_unit_test_setup_teardown(test, story_setup, story_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_a_whole_store_passes),
		T(test_rows_that_do_not_match),
		T(test_rows_that_no_entry_covers),
		T(test_an_entry_put_in_behind_the_ledger),
		T(test_every_damaged_object_is_named),
		T(test_another_key),
		T(test_a_seal_that_the_ledger_does_not_know),
		T(test_an_older_database_is_refused),
		T(test_a_damaged_log_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
