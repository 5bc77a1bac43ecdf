#include "op/sample.h"

#include <string.h>

#include "op/tables.h"

void sl_sample_done(struct sl_sample *sample)
{
	sl_free(sample->rows);
	*sample = (struct sl_sample){0};
}

struct taking {
	const struct sl_package *package;
	struct sl_sample *sample;
	size_t most;
	uint64_t at; /* row of the dataset that the chunk begins with */
};

static int count_rows(struct sl_sql *sql, const char *dataset, uint64_t *ret, struct sl_error *err)
{
	struct sl_sql_result *result SL_CLEANUP(sl_sql_result_closep) = NULL;
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(1 << 16);
	const struct sl_sql_column *columns;
	size_t rows;
	sl_buf_str(&text, "SELECT count(*) FROM ");
	sl_sql_quote_name(&text, dataset);
	int rc = sl_buf_check(&text, "the statement", err);
	if (!rc)
		rc = sl_sql_query(sql, sl_buf_cstr(&text), NULL, 0, dataset, &result, err);
	if (!rc)
		rc = sl_sql_next(result, &columns, &rows, err);
	*ret = rc == 1 ? (uint64_t)columns[0].ints[0] : 0;
	return rc < 0 ? rc : 0;
}

/* Row `i` of the dataset is taken when i * most / of steps up there. */
static int take_chunk(struct taking *t, const struct sl_sql_column *columns, size_t rows, struct sl_error *err)
{
	size_t features = t->package->feature_count;
	SL_AUTO_FREE float *encoded = sl_alloc_array(rows, features * sizeof *encoded, err);
	if (!encoded)
		return SL_E_NO_MEMORY;
	for (size_t f = 0; f < features; f++) {
		int rc = sl_encode_column(&t->package->features[f], &columns[f], rows, encoded + f, features, NULL, err);
		if (rc)
			return rc;
	}
	for (size_t row = 0; row < rows && t->sample->count < t->most; row++) {
		uint64_t at = t->at + row;
		if (t->sample->of > t->most && at && at * t->most / t->sample->of == (at - 1) * t->most / t->sample->of)
			continue;
		memcpy(t->sample->rows + t->sample->count++ * features, encoded + row * features, features * sizeof *encoded);
	}
	t->at += rows;
	return 0;
}

static int take_rows(struct sl_sql *sql, struct taking *t, const char *dataset, struct sl_error *err)
{
	struct sl_sql_result *result SL_CLEANUP(sl_sql_result_closep) = NULL;
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(4 << 20);
	const struct sl_sql_column *columns;
	size_t rows;
	int more;
	sl_buf_str(&text, "SELECT ");
	for (size_t f = 0; f < t->package->feature_count; f++) {
		sl_buf_str(&text, f ? ", " : "");
		sl_sql_quote_name(&text, t->package->features[f].name);
	}
	sl_buf_str(&text, " FROM ");
	sl_sql_quote_name(&text, dataset);
	int rc = sl_buf_check(&text, "the statement", err);
	if (!rc)
		rc = sl_sql_query(sql, sl_buf_cstr(&text), NULL, 0, dataset, &result, err);
	if (rc)
		return rc;
	while ((more = sl_sql_next(result, &columns, &rows, err)) == 1)
		if ((rc = take_chunk(t, columns, rows, err)))
			return rc;
	return more;
}

static int take_sample(struct sl_call *call, struct sl_tables *tables, struct taking *t, const char *dataset, struct sl_error *err)
{
	struct sl_sql *sql SL_CLEANUP(sl_sql_closep) = NULL;
	struct sl_sql_options options = {.tables = tables->items, .table_count = tables->count, .cancel = call->cancel};
	int rc = sl_sql_open(&options, &sql, err);
	if (!rc)
		rc = count_rows(sql, dataset, &t->sample->of, err);
	if (rc)
		return rc;
	if (!t->sample->of)
		return sl_fail(err, SL_E_INVALID, "'%s' has no rows", dataset);
	if (t->most > t->sample->of)
		t->most = (size_t)t->sample->of;
	t->sample->rows = sl_alloc_array(t->most, t->package->feature_count * sizeof *t->sample->rows, err);
	return t->sample->rows ? take_rows(sql, t, dataset, err) : SL_E_NO_MEMORY;
}

int sl_sample_dataset(struct sl_call *call, struct sl_store *store, const struct sl_package *package, const char *dataset, size_t most,
	struct sl_sample *ret, struct sl_error *err)
{
	struct sl_tables tables;
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(1 << 16);
	struct taking t = {.package = package, .sample = ret, .most = most};
	const char *name = strncmp(dataset, "dataset:", 8) == 0 ? dataset + 8 : dataset;
	*ret = (struct sl_sample){0};
	sl_buf_str(&text, "SELECT * FROM ");
	sl_sql_quote_name(&text, name);
	int rc = sl_buf_check(&text, "the dataset's name", err);
	if (!rc)
		rc = sl_tables_find(call, store, sl_buf_cstr(&text), dataset, &tables, err);
	if (!rc) {
		rc = take_sample(call, &tables, &t, name, err);
		sl_tables_done(&tables);
	}
	if (rc)
		sl_sample_done(ret);
	return rc;
}
