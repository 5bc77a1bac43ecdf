/* predict: scores a file with a model version, in one pass and constant memory.
 *
 *   file --DuckDB--> feature columns --sl_encode_column--> float rows --trees--> outputs (CSV, staged)
 *   file beside outputs, row by row --DuckDB--> Parquet, CSV or JSON lines
 */
#include <fcntl.h>
#include <string.h>

#include "base/str.h"
#include "learn/package.h"
#include "op/handlers.h"
#include "op/resolve.h"
#include "op/tables.h"
#include "track/model.h"

struct scoring {
	struct sl_call *call;
	struct sl_package package;
	struct sl_infer *infer;
	char input[SL_PATH_MAX];
	const char *reader;       /* "read_parquet" ... */
	struct sl_tables tables;  /* its folder holds what is staged */
	char outputs[SL_PATH_MAX];
	int64_t rows;
	uint64_t unseen;
};

static int choose_reader(struct scoring *s, struct sl_error *err)
{
	static const char *const readers[][2] = {
		{".parquet", "read_parquet"},
		{".csv", "read_csv"},
		{".csv.gz", "read_csv"},
		{".jsonl", "read_json"},
		{".ndjson", "read_json"},
		{".json", "read_json"},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(readers); i++)
		if (sl_str_ends(s->input, readers[i][0]))
			s->reader = readers[i][1];
	if (s->reader)
		return sl_file_exists(s->input) ? 0 : sl_fail_at(err, SL_E_NOT_FOUND, s->input, "there is no such file");
	sl_fail_at(err, SL_E_INVALID, s->input, "what kind of file this is cannot be told");
	return sl_error_hint(err, "files end in .parquet, .csv, .csv.gz or .jsonl");
}

static void add_input(const struct scoring *s, struct sl_buf *sql)
{
	sl_buf_printf(sql, "%s(", s->reader);
	sl_sql_quote_text(sql, s->input);
	sl_buf_char(sql, ')');
}

static int load_model(struct scoring *s, struct sl_store *store, struct sl_error *err)
{
	struct sl_ref ref;
	struct sl_model_version version;
	int rc = sl_ref_parse(sl_call_text(s->call, "model"), &ref, err);
	if (!rc)
		rc = sl_model_find(&store->track, ref.name, ref.version, &version, err);
	if (!rc)
		rc = sl_package_read(store->objects, &version.hash, s->call->arena, &s->package, err);
	if (!rc)
		rc = sl_package_load(store->objects, NULL, &s->package, &s->infer, err);
	if (rc)
		return rc;
	sl_put_text(s->call, sl_call_object(s->call), "model", ref.name);
	sl_put_int(s->call, sl_call_object(s->call), "version", version.version);
	return 0;
}

/* One chunk: encoded column by column, answered, written as lines. */
static int score_chunk(
	struct scoring *s, const struct sl_sql_column *columns, size_t rows, struct sl_buf *out, struct sl_error *err)
{
	size_t features = s->package.feature_count, outputs = s->package.output_count;
	float *values SL_AUTO_FREE = sl_alloc_array(rows * features + rows * outputs, sizeof *values, err);
	if (!values)
		return SL_E_NO_MEMORY;
	float *answers = values + rows * features;
	for (size_t f = 0; f < features; f++) {
		int rc = sl_encode_column(&s->package.features[f], &columns[f], rows, values + f, features, &s->unseen, err);
		if (rc)
			return rc;
	}
	int rc = sl_infer_predict(s->infer, values, rows, answers, err);
	if (rc)
		return rc;
	for (size_t r = 0; r < rows; r++)
		for (size_t o = 0; o < outputs; o++)
			sl_buf_printf(out, "%.9g%c", (double)answers[r * outputs + o], o + 1 == outputs ? '\n' : ',');
	s->rows += (int64_t)rows;
	return sl_buf_check(out, "the answers", err);
}

static int score_all(struct scoring *s, struct sl_sql_result *result, int fd, struct sl_error *err)
{
	const struct sl_sql_column *columns;
	struct sl_buf out SL_AUTO_BUF = SL_BUF_INIT(64 << 20);
	size_t rows;
	int more;
	while ((more = sl_sql_next(result, &columns, &rows, err)) == 1) {
		char what[64];
		sl_buf_clear(&out);
		int rc = score_chunk(s, columns, rows, &out, err);
		if (!rc)
			rc = sl_file_write_all(fd, out.data, out.len, s->outputs, err);
		if (!rc && sl_call_cancelled(s->call))
			rc = sl_fail(err, SL_E_CANCELLED, "stopped");
		if (rc)
			return rc;
		snprintf(what, sizeof what, "%lld rows", (long long)s->rows);
		sl_call_advance(s->call, "predict", -1, what);
	}
	return more;
}

static int score(struct scoring *s, struct sl_error *err)
{
	struct sl_sql *sql SL_CLEANUP(sl_sql_closep) = NULL;
	struct sl_sql_result *result SL_CLEANUP(sl_sql_result_closep) = NULL;
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(4 << 20);
	const char *raw = s->input;
	struct sl_sql_options options = {.raw_paths = &raw, .raw_path_count = 1, .cancel = s->call->cancel};
	int fd SL_AUTO_CLOSE = -1;
	sl_buf_str(&text, "SELECT ");
	for (size_t i = 0; i < s->package.feature_count; i++) {
		sl_buf_str(&text, i ? ", " : "");
		sl_sql_quote_name(&text, s->package.features[i].name);
	}
	sl_buf_str(&text, " FROM ");
	add_input(s, &text);
	int rc = sl_buf_check(&text, "the statement", err);
	if (!rc)
		rc = sl_path_join(s->outputs, s->tables.folder, "outputs.csv", err);
	if (!rc)
		rc = sl_file_open(s->outputs, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &fd, err);
	if (!rc)
		rc = sl_sql_open(&options, &sql, err);
	if (!rc)
		rc = sl_sql_query(sql, sl_buf_cstr(&text), NULL, 0, s->input, &result, err);
	return rc ? rc : score_all(s, result, fd, err);
}

/* "prediction", or "probability_CLASS" for each class. */
static void add_output_columns(const struct scoring *s, struct sl_buf *sql)
{
	for (size_t i = 0; i < s->package.output_count; i++) {
		char name[256];
		bool classes = s->package.output_count > 1 && s->package.class_count == s->package.output_count;
		snprintf(name, sizeof name, classes ? "probability_%.200s" : "prediction", classes ? s->package.classes[i] : "");
		sl_buf_str(sql, i ? ", " : "");
		sl_sql_quote_text(sql, name);
		sl_buf_str(sql, ": 'FLOAT'");
	}
}

static int write_result(struct scoring *s, const char *out, struct sl_error *err)
{
	struct sl_sql *sql SL_CLEANUP(sl_sql_closep) = NULL;
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(4 << 20);
	const char *raw[] = {s->input, s->outputs};
	struct sl_sql_options options = {
		.raw_paths = raw, .raw_path_count = 2, .write_dir = s->tables.folder, .cancel = s->call->cancel};
	sl_buf_str(&text, "SELECT i.*, o.* FROM ");
	add_input(s, &text);
	sl_buf_str(&text, " i POSITIONAL JOIN read_csv(");
	sl_sql_quote_text(&text, s->outputs);
	sl_buf_str(&text, ", header = false, auto_detect = false, columns = {");
	add_output_columns(s, &text);
	sl_buf_str(&text, "}) o");
	int rc = sl_buf_check(&text, "the statement", err);
	if (!rc)
		rc = sl_sql_open(&options, &sql, err);
	return rc ? rc : sl_tables_export(sql, &s->tables, sl_buf_cstr(&text), out, NULL, err);
}

static int predict(struct scoring *s, struct sl_store *store, struct sl_error *err)
{
	char out[SL_PATH_MAX];
	int rc = load_model(s, store, err);
	if (!rc)
		rc = sl_call_path(s->call, sl_call_text(s->call, "file"), s->input, err);
	if (!rc)
		rc = sl_call_path(s->call, sl_call_text(s->call, "out"), out, err);
	if (!rc)
		rc = choose_reader(s, err);
	if (!rc)
		rc = sl_tables_folder(&s->tables, store, err);
	if (!rc)
		rc = score(s, err);
	if (!rc)
		rc = write_result(s, out, err);
	if (rc)
		return rc;
	sl_put_int(s->call, s->call->result, "rows", s->rows);
	sl_put_int(s->call, s->call->result, "unseen_values", (int64_t)s->unseen);
	sl_put_text(s->call, s->call->result, "file", out);
	return 0;
}

int sl_op_predict(struct sl_call *call, struct sl_error *err)
{
	struct sl_store *store;
	struct scoring *s = sl_arena_alloc(call->arena, sizeof *s);
	int rc = s ? sl_call_store(call, &store, err) : sl_fail_memory(err);
	if (rc)
		return rc;
	s->call = call;
	rc = predict(s, store, err);
	sl_call_advance(call, "predict", 1, "");
	sl_infer_free(s->infer);
	sl_tables_done(&s->tables);
	return rc;
}
