/* A store of many logged runs, by direct inserts in the order of their keys; indexes are made at the end. Run n has the metrics m0, m1 ... with
 * POINTS points each and a pseudo-random latest value in [0, 1), and the parameters p0 = n % 2, p1 = n % 3 ... as texts.
 * usage: bench_logged DIR RUNS METRICS PARAMS POINTS      (the store must be there and have the experiment 0) */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "track/store.h"

enum { RUNS_PER_COMMIT = 10000 };

static struct sl_error err;
static struct sl_store *store;

static void must(int64_t rc)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "%s: %s\n", err.where, err.message);
	exit(1);
}

/* Runs numbered ?1 to ?2; what each statement makes of them. */
#define RUNS "WITH RECURSIVE r(n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM r WHERE n < ?2)"
#define KEYS ", k(k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM k WHERE k < ?3 - 1) "
#define ID "'01' || substr('000000000000000000000000' || n, -24)"
#define VALUE "((n * 7919 + k * 104729) % 1000003) / 1000003.0"
#define BEGUN 1795401225508
#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

static const char RUN[] = RUNS " INSERT INTO run(id, kind, name, status, started_ms) SELECT " ID ", 'logged', 'run-' || n, 'ok', " TEXT(BEGUN)
	" + n FROM r";
static const char REC_RUN[] = RUNS " INSERT INTO rec_run(num, id, experiment, status, started_ms, name, user_name, artifact_uri) SELECT n, " ID
	", 0, 'FINISHED', " TEXT(BEGUN) " + n, 'run-' || n, 'bench', 'mlflow-artifacts:/0/' || n || '/artifacts' FROM r";
static const char TAG[] = RUNS " INSERT INTO rec_tag(run, name, value) SELECT n, 'mlflow.runName', 'run-' || n FROM r";
static const char SERIES[] = RUNS KEYS "INSERT INTO rec_series(run, name, id, experiment, step, time_ms, value) SELECT n, 'm' || k, n * ?3 + k, 0, "
	"?4 - 1, " TEXT(BEGUN) " + ?4 - 1, " VALUE " FROM r CROSS JOIN k ORDER BY n, 'm' || k";
static const char PARAM[] = RUNS KEYS "INSERT INTO rec_param(run, name, value) SELECT n, 'p' || k, CAST(n % (k + 2) AS TEXT) FROM r CROSS JOIN k "
	"ORDER BY n, 'p' || k";
static const char POINT[] = RUNS KEYS ", s(s) AS (SELECT 0 UNION ALL SELECT s + 1 FROM s WHERE s < ?4 - 1) "
	"INSERT INTO rec_point(series, time_ms, step, value) SELECT n * ?3 + k, " TEXT(BEGUN) " + s, s, " VALUE
	" + (?4 - 1 - s) * 0.01 FROM r CROSS JOIN k CROSS JOIN s";

static void insert_runs(int64_t first, int64_t last, int64_t metrics, int64_t params, int64_t points)
{
	must(sl_meta_begin(store->meta, &err));
	must(sl_meta_exec(store->meta, &err, RUN, "ii", first, last));
	must(sl_meta_exec(store->meta, &err, REC_RUN, "ii", first, last));
	must(sl_meta_exec(store->meta, &err, TAG, "ii", first, last));
	must(sl_meta_exec(store->meta, &err, SERIES, "iiii", first, last, metrics, points));
	must(sl_meta_exec(store->meta, &err, PARAM, "iii", first, last, params));
	must(sl_meta_exec(store->meta, &err, POINT, "iiii", first, last, metrics, points));
	must(sl_meta_commit(store->meta, &err));
}

/* Indexes of these tables, to be made again when the rows are there. */
static size_t take_indexes(char *kept[], size_t room)
{
	char drop[120], names[16][100];
	struct sl_stmt *stmt;
	size_t count = 0;
	must(sl_meta_query(store->meta, &stmt, &err, "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN "
		"('rec_run', 'rec_series', 'rec_param', 'rec_tag')", NULL));
	while (sl_stmt_step(stmt, &err) == 1 && count < room) {
		snprintf(names[count], sizeof names[count], "%s", sl_stmt_text(stmt, 0));
		kept[count++] = sl_strdup(sl_stmt_text(stmt, 1), &err);
	}
	sl_stmt_done(stmt);
	for (size_t i = 0; i < count; i++) {
		snprintf(drop, sizeof drop, "DROP INDEX %.90s", names[i]);
		must(sl_meta_exec(store->meta, &err, drop, NULL));
	}
	return count;
}

int main(int argc, char **argv)
{
	char *indexes[16];
	if (argc != 6)
		return 2;
	int64_t runs = atoll(argv[2]), metrics = atoll(argv[3]), params = atoll(argv[4]), points = atoll(argv[5]);
	must(sl_store_open(argv[1], &store, &err));
	must(sl_meta_tune(store->meta, 256 << 10, 50000, &err));
	size_t count = take_indexes(indexes, SL_ARRAY_LEN(indexes));
	for (int64_t n = 1; n <= runs; n += RUNS_PER_COMMIT)
		insert_runs(n, n + RUNS_PER_COMMIT - 1 < runs ? n + RUNS_PER_COMMIT - 1 : runs, metrics, params, points);
	for (size_t i = 0; i < count; i++) {
		must(sl_meta_exec(store->meta, &err, indexes[i], NULL));
		sl_free(indexes[i]);
	}
	must(sl_meta_exec(store->meta, &err, "UPDATE rec_counter SET next = ?1 WHERE name = 'series'", "i", (runs + 1) * metrics + 1));
	sl_store_close(store);
	return 0;
}
