/* A store with a long history, by direct inserts: a model and its lineage, then RUNS finished runs that read the same dataset, and
 * PREDICTIONS logged predictions of that model. Prints the ids of predictions at the beginning, the middle and the end.
 * usage: bench_history DIR RUNS PREDICTIONS */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/clock.h"
#include "serve/log.h"
#include "track/model.h"
#include "track/store.h"

enum { ROWS_PER_COMMIT = 20000, RECORDS_PER_BATCH = 64 };

static struct sl_error err;

static void must(int64_t rc)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "%s: %s\n", err.where, err.message);
	exit(1);
}

static void put(struct sl_store *store, const char *text, struct sl_hash *ret)
{
	must(sl_objects_put(store->objects, text, strlen(text), ret, &err));
}

static struct sl_id begin(struct sl_store *store, const char *kind, const char *name)
{
	struct sl_run_start start = {.kind = kind, .name = name, .reason = "never ran"};
	struct sl_id id;
	must(sl_run_begin(&store->track, &start, &id, &err));
	return id;
}

/* file -> raw -> features -> package: what `why` must walk. */
static void make_model(struct sl_store *store, struct sl_hash *dataset, struct sl_hash *package)
{
	static const char *const NAMES[] = {"raw", "clean", "features"};
	struct sl_hash before, hash;
	int64_t version;
	put(store, "a,b\n1,2\n", &before);
	for (size_t i = 0; i < SL_ARRAY_LEN(NAMES); i++) {
		struct sl_id run = begin(store, i ? "step" : "ingest", NAMES[i]);
		put(store, NAMES[i], &hash);
		must(sl_run_input(&store->track, &run, i ? "dataset" : "file", i ? NAMES[i - 1] : "data/raw.csv", &before, &err));
		must(sl_run_output(&store->track, &run, "dataset", NAMES[i], &hash, &err));
		must(sl_run_end(&store->track, &run, "ok", "", &err));
		before = hash;
	}
	*dataset = before;
	struct sl_id fit = begin(store, "train", "fit");
	put(store, "package", package);
	must(sl_run_input(&store->track, &fit, "dataset", "features", dataset, &err));
	must(sl_run_output(&store->track, &fit, "model", "fit", package, &err));
	must(sl_run_end(&store->track, &fit, "ok", "", &err));
	must(sl_model_create(&store->track, "delay", package, &fit, "{}", &version, &err));
	must(sl_model_gate(&store->track, "delay", version, "ready", "[]", "{}", &err));
	must(sl_model_alias(&store->track, "delay", "champion", version, "gate", false, &err));
}

static void insert_run(struct sl_store *store, int64_t i, const struct sl_hash *dataset)
{
	struct sl_id id;
	struct sl_hash out;
	char hex[SL_HASH_HEX + 1], name[32];
	must(sl_id_new(&id, &err));
	snprintf(name, sizeof name, "step%" PRId64, i % 50);
	must(sl_meta_exec(store->meta, &err,
			  "INSERT INTO run(id, kind, name, status, reason, started_ms, ended_ms, record) VALUES "
			  "(?1, 'step', ?2, 'ok', 'never ran', ?3, ?4, '')",
			  "ssii", id.text, name, i, i + 1));
	must(sl_meta_exec(store->meta, &err, "INSERT INTO run_param(run, name, value) VALUES (?1, 'rounds', '100')", "s", id.text));
	must(sl_meta_exec(store->meta, &err, "INSERT INTO run_metric(run, name, step, seq, time_ms, value) VALUES (?1, 'auc', 1, 1, 1, 0.7)",
			  "s", id.text));
	must(sl_meta_exec(store->meta, &err, "INSERT INTO run_input(run, kind, name, hash) VALUES (?1, 'dataset', 'features', ?2)", "ss",
			  id.text, sl_hash_hex(dataset, hex)));
	sl_sha256(&i, sizeof i, &out);
	must(sl_meta_exec(store->meta, &err, "INSERT INTO run_output(run, kind, name, hash) VALUES (?1, 'dataset', ?2, ?3)", "sss",
			  id.text, name, sl_hash_hex(&out, hex)));
}

static void insert_runs(struct sl_store *store, int64_t count, const struct sl_hash *dataset)
{
	for (int64_t i = 0; i < count; i++) {
		if (i % ROWS_PER_COMMIT == 0)
			must(sl_meta_begin(store->meta, &err));
		insert_run(store, i, dataset);
		if (i % ROWS_PER_COMMIT == ROWS_PER_COMMIT - 1 || i + 1 == count)
			must(sl_meta_commit(store->meta, &err));
	}
}

/* One record; its value is appended to `values`, its key lives in *id. */
static struct sl_record make_record(int64_t i, const struct sl_hash *package, struct sl_id *id, struct sl_buf *values, size_t *from)
{
	static const char *const NAMES[] = {"distance", "hour", "origin", "destination"};
	struct sl_cell cells[] = {{.kind = SL_CELL_INT, .i = i % 3000}, {.kind = SL_CELL_INT, .i = i % 24},
				  {.kind = SL_CELL_TEXT, .len = 3, .text = "JFK"}, {.kind = SL_CELL_TEXT, .len = 3, .text = "LAX"}};
	struct sl_logged_column columns[SL_ARRAY_LEN(NAMES)];
	float output = (float)(i % 1000) / 1000;
	for (size_t c = 0; c < SL_ARRAY_LEN(NAMES); c++)
		columns[c] = (struct sl_logged_column){.name = NAMES[c], .name_len = strlen(NAMES[c]), .cells = &cells[c]};
	must(sl_id_new(id, &err));
	struct sl_prediction prediction = {.id = *id, .version = 1, .package = *package, .received_ms = 1000000 + i, .latency_us = 50,
		.row_count = 1, .column_count = SL_ARRAY_LEN(NAMES), .output_count = 1, .columns = columns, .outputs = &output};
	*from = values->len;
	must(sl_predlog_encode(&prediction, values, &err));
	return (struct sl_record){.time_ms = 1000000 + i, .key = id->text, .key_len = SL_ID_LEN, .value_len = values->len - *from};
}

static void log_predictions(struct sl_store *store, int64_t count, const struct sl_hash *package)
{
	struct sl_stream *stream;
	struct sl_buf values = SL_BUF_INIT(64 << 20);
	must(sl_stream_open_writer(store->streams_dir, "predictions-delay", NULL, &stream, &err));
	for (int64_t i = 0; i < count;) {
		struct sl_record records[RECORDS_PER_BATCH];
		struct sl_id ids[RECORDS_PER_BATCH];
		size_t from[RECORDS_PER_BATCH], n = 0;
		int64_t first;
		sl_buf_clear(&values);
		for (; n < RECORDS_PER_BATCH && i < count; n++, i++) {
			records[n] = make_record(i, package, &ids[n], &values, &from[n]);
			if (i == 0 || i == count / 2 || i == count - 1)
				printf("%s\n", ids[n].text);
		}
		for (size_t k = 0; k < n; k++)
			records[k].value = values.data + from[k];
		must(sl_stream_append(stream, records, n, &first, &err));
	}
	sl_stream_close(stream);
	sl_buf_done(&values);
	must(sl_stream_maintain(store->streams_dir, "predictions-delay", NULL, &err));
}

int main(int argc, char **argv)
{
	struct sl_store *store;
	struct sl_hash dataset, package;
	if (argc != 4)
		return fprintf(stderr, "usage: bench_history DIR RUNS PREDICTIONS\n"), 2;
	must(sl_store_create(argv[1], &err));
	must(sl_store_open(argv[1], &store, &err));
	make_model(store, &dataset, &package);
	insert_runs(store, strtoll(argv[2], NULL, 10), &dataset);
	log_predictions(store, strtoll(argv[3], NULL, 10), &package);
	sl_store_close(store);
	return 0;
}
