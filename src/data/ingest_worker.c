#include "data/ingest_worker.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "port/packed.h"

/* What is packed is proved first; a Parquet file is read as it is. */
static int compression_of(const struct sl_ingest_worker *w, size_t index, struct sl_error *err)
{
	static const char *const WORDS[] = {"uncompressed", "gzip", "zstd"};
	enum sl_packing kind;
	int rc = sl_packed_kind(w->objects[index], &kind, err);

	if (rc < 0)
		return rc;
	w->compressions[index] = WORDS[kind];
	return strcmp(w->job->format, "parquet") == 0 ? 0 : sl_packed_prove(w->objects[index], kind, w->names[index], err);
}

static int collect(struct sl_ingest_worker *w, struct sl_error *err)
{
	size_t count = w->job->file_count;

	w->objects = sl_arena_array(w->arena, count, sizeof *w->objects);
	w->names = sl_arena_array(w->arena, count, sizeof *w->names);
	w->compressions = sl_arena_array(w->arena, count, sizeof *w->compressions);
	w->table_path = sl_arena_printf(w->arena, "%s/%s.parquet", w->staging, "table");
	w->broken_path = sl_arena_printf(w->arena, "%s/%s.parquet", w->staging, "broken");
	if (!w->objects || !w->names || !w->compressions || !w->table_path || !w->broken_path)
		return sl_fail_memory(err);
	for (size_t i = 0; i < count; i++) {
		w->objects[i] = w->job->files[i].object;
		w->names[i] = w->job->files[i].name;
		int rc = compression_of(w, i, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- what the formats share --------------------------------------------------------------------------------------------- */

static void replace_once(char *text, size_t size, const char *what, const char *with)
{
	char *hit = strstr(text, what), rest[1024];

	if (!hit)
		return;
	snprintf(rest, sizeof rest, "%s", hit + strlen(what));
	snprintf(hit, size - (size_t)(hit - text), "%s%s", with, rest);
}

int sl_ingest_name_paths(const struct sl_ingest_worker *w, int rc, struct sl_error *err)
{
	for (size_t i = 0; err && i < w->job->file_count; i++)
		replace_once(err->message, sizeof err->message, w->objects[i], w->names[i]);
	return rc;
}

int sl_ingest_blame(const struct sl_ingest_worker *w, int rc, struct sl_error *err)
{
	if (!err)
		return rc;
	sl_ingest_name_paths(w, rc, err);
	if (rc == SL_E_INVALID || rc == SL_E_IO || rc == SL_E_CORRUPT)
		err->code = rc = SL_E_FAILED;
	/* A place inside a statement of ours tells the user nothing. */
	err->where[0] = '\0';
	if (w->job->file_count == 1)
		sl_error_where(err, "%s", w->names[0]);
	return rc;
}

int sl_ingest_write(struct sl_ingest_worker *w, const char *select, const char *path, struct sl_staged *ret, struct sl_error *err)
{
	int rc = sl_engine_write(&w->engine, select, path, NULL, err);

	return rc < 0 ? rc : sl_staged_inspect_in(w->engine.sql, &path, NULL, 1, w->arena, ret, err);
}

int sl_ingest_declared(const struct sl_ingest_worker *w, yyjson_doc **ret, struct sl_error *err)
{
	*ret = NULL;
	if (!*w->job->columns)
		return 0;
	*ret = sl_json_parse(w->job->columns, strlen(w->job->columns), "columns", err);
	return *ret ? 0 : SL_E_INVALID;
}

char *sl_ingest_share(uint64_t broken, uint64_t rows, char out[96])
{
	char some[32], all[32];

	snprintf(out, 96, "%s of %s rows", sl_grouped(broken, some), sl_grouped(rows, all));
	return out;
}

int sl_ingest_fail_line(const char *name, int64_t line, int64_t column, const char *reason, uint64_t broken, uint64_t rows,
			struct sl_error *err)
{
	char share[96];

	sl_fail(err, SL_E_FAILED, "%s (%s)", reason, sl_ingest_share(broken, rows, share));
	sl_error_where(err, "%s:%lld:%lld", name, (long long)line, (long long)column);
	return sl_error_hint(err, "fix the row, or add 'else: quarantine' to a check of this dataset to put such rows aside");
}

/* ---- Parquet ------------------------------------------------------------------------------------------------------------ */

/* Decodes every value once, so that a file that lies shows it now and not in a step: counts of rows as read against the
 * footer's. */
static int prove_parquet(struct sl_ingest_worker *w, size_t index, const struct sl_staged *table, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);
	int64_t counts[2];

	/* hash() looks at each value's bytes, which count() would not. */
	sl_buf_str(&text, "SELECT count(*), bit_xor(hash(");
	for (size_t i = 0; i < table->column_count; i++) {
		sl_buf_str(&text, i ? ", " : "");
		sl_sql_quote_name(&text, table->columns[i].name);
	}
	sl_buf_str(&text, "))::VARCHAR IS NULL FROM read_parquet(");
	sl_sql_quote_text(&text, w->objects[index]);
	sl_buf_str(&text, ", hive_partitioning = false)");
	int rc = sl_buf_check(&text, "the list of columns", err);
	if (rc == 0)
		rc = sl_engine_ints(&w->engine, sl_buf_cstr(&text), counts, 1, err);
	if (rc < 0) {
		rc = sl_ingest_blame(w, rc, err);
		if (err)
			snprintf(err->where, sizeof err->where, "%s", w->names[index]);
		return rc;
	}
	if ((uint64_t)counts[0] != table->files[index].rows)
		return sl_fail_at(err, SL_E_FAILED, w->names[index], "the footer tells of %llu rows, and %lld are there",
			(unsigned long long)table->files[index].rows, (long long)counts[0]);
	return 0;
}

static int ingest_parquet(struct sl_ingest_worker *w, struct sl_ingest_result *ret, struct sl_error *err)
{
	int rc = sl_staged_inspect_in(w->engine.sql, w->objects, w->names, w->job->file_count, w->arena, &ret->table, err);

	if (rc < 0)
		return sl_ingest_name_paths(w, rc, err);
	for (size_t i = 0; i < w->job->file_count && rc == 0; i++) {
		rc = prove_parquet(w, i, &ret->table, err);
		ret->table.files[i].kept = true;
		ret->table.files[i].object = w->job->files[i].hash;
		ret->table.files[i].size_bytes = w->job->files[i].size_bytes;
		if (w->work->progress)
			w->work->progress(w->work->context, (double)(i + 1) / (double)w->job->file_count, "reading");
	}
	return rc;
}

/* ---- all ---------------------------------------------------------------------------------------------------------------- */

static int dispatch(struct sl_ingest_worker *w, struct sl_ingest_result *ret, struct sl_error *err)
{
	if (strcmp(w->job->format, "parquet") == 0)
		return ingest_parquet(w, ret, err);
	if (strcmp(w->job->format, "csv") == 0)
		return sl_ingest_csv(w, ret, err);
	if (strcmp(w->job->format, "json") == 0)
		return sl_ingest_lines(w, ret, err);
	return sl_fail(err, SL_E_INVALID, "source '%s' has the format '%s'; known are parquet, csv and json", w->job->dataset,
		       w->job->format);
}

int sl_ingest_execute(const struct sl_ingest_job *job, const char *staging, const struct sl_work *work, struct sl_arena *arena,
		      struct sl_ingest_result *ret, struct sl_error *err)
{
	struct sl_ingest_worker w = {.job = job, .staging = staging, .work = work, .arena = arena};
	int rc = sl_dir_make(staging, err);

	*ret = (struct sl_ingest_result){0};
	if (rc < 0 || (rc = collect(&w, err)) < 0)
		return rc;
	struct sl_sql_options options = {.raw_paths = w.objects, .raw_path_count = job->file_count, .write_dir = staging};
	rc = sl_engine_open(&w.engine, &options, work, "reading", err);
	if (rc == 0)
		rc = dispatch(&w, ret, err);
	sl_engine_done(&w.engine);
	return rc;
}
