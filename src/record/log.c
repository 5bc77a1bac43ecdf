#include "record/log.h"

#include <assert.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "record/limits.h"
#include "record/own.h"

static int from_rows(int64_t rows) { return rows < 0 ? (int)rows : 0; }

/* ---- checking ------------------------------------------------------------------------------------------------------- */

static const char *path_of(const struct sl_rec_batch *batch, struct sl_arena *arena, const char *list, size_t i, const char *member)
{
	const char *path = batch->single ? member : sl_arena_printf(arena, "%s[%zu].%s", list, i, member);
	return path ? path : member;
}

static int check_metrics(const struct sl_rec_batch *batch, struct sl_arena *arena, struct sl_error *err)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < batch->metric_count; i++) {
		const struct sl_rec_metric *m = &batch->metrics[i];
		/* A series has one name: check it where it changes. */
		if (i && strcmp(m->name, m[-1].name) == 0 && m->time_ms >= 0)
			continue;
		struct sl_error why;
		rc = sl_rec_check_key(m->name, "name", &why);
		if (rc)
			return sl_rec_check_key(m->name, path_of(batch, arena, "metrics", i, "name"), err);
		rc = sl_rec_check_length(m->name, SL_REC_KEY_MAX, "key", err);
		if (!rc && m->time_ms < 0)
			rc = sl_fail(err, SL_E_INVALID, "Invalid value %" PRId64 " for parameter '%s' supplied: metric '%.250s' (value=%g). "
				"Timestamp must be a nonnegative long (64-bit integer) ", m->time_ms,
				path_of(batch, arena, "metrics", i, "timestamp"), m->name, m->value);
	}
	return rc;
}

static int check_pairs(const struct sl_rec_batch *batch, const struct sl_pair *pairs, size_t count, const char *list,
	struct sl_arena *arena, struct sl_error *err)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < count; i++) {
		rc = sl_rec_check_key(pairs[i].name, path_of(batch, arena, list, i, "key"), err);
		if (!rc)
			rc = sl_rec_check_length(pairs[i].name, SL_REC_KEY_MAX, *list == 'p' ? "Param key" :
				path_of(batch, arena, list, i, "key"), err);
	}
	return rc;
}

static int check_limit(const char *what, size_t count, size_t limit, struct sl_error *err)
{
	if (count <= limit)
		return 0;
	return sl_fail(err, SL_E_INVALID, "A batch logging request can contain at most %zu %s. Got %zu %s. Please split up %s across "
		"multiple requests and try again.", limit, what, count, what, what);
}

static int check_unique(const struct sl_rec_batch *batch, struct sl_error *err)
{
	for (size_t i = 1; i < batch->param_count; i++)
		for (size_t k = 0; k < i; k++)
			if (strcmp(batch->params[i].name, batch->params[k].name) == 0)
				return sl_fail(err, SL_E_INVALID, "Duplicate parameter keys have been submitted: ['%.250s']. Please ensure the "
					"request contains only one param value per param key.", batch->params[i].name);
	return 0;
}

static int check_batch(const struct sl_rec_batch *batch, struct sl_arena *arena, struct sl_error *err)
{
	size_t all = batch->metric_count + batch->param_count + batch->tag_count;
	int rc = check_metrics(batch, arena, err);
	if (!rc)
		rc = check_pairs(batch, batch->params, batch->param_count, "params", arena, err);
	if (!rc)
		rc = check_pairs(batch, batch->tags, batch->tag_count, "tags", arena, err);
	if (!rc)
		rc = check_limit("metrics", batch->metric_count, SL_REC_BATCH_METRICS, err);
	if (!rc)
		rc = check_limit("params", batch->param_count, SL_REC_BATCH_PAIRS, err);
	if (!rc)
		rc = check_limit("tags", batch->tag_count, SL_REC_BATCH_PAIRS, err);
	if (!rc)
		rc = check_limit("metrics, params, and tags", all, SL_REC_BATCH_ALL, err);
	return rc ? rc : check_unique(batch, err);
}

/* ---- metrics -------------------------------------------------------------------------------------------------------- */

/* A series of the run as this batch leaves it. */
struct series {
	const char *name;
	int64_t id, step, time_ms;
	double value;
	bool changed;
};

struct table { /* open addressing by name */
	struct series *rows;
	size_t mask;
	int64_t next_id; /* of a series that is made; 0: not read yet */
};

static size_t hash_name(const char *name)
{
	uint64_t h = 1469598103934665603u;
	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 1099511628211u;
	return (size_t)(h ^ h >> 32);
}

static struct series *slot_of(const struct table *table, const char *name)
{
	size_t at = hash_name(name) & table->mask;
	while (table->rows[at].name && strcmp(table->rows[at].name, name) != 0)
		at = (at + 1) & table->mask;
	return &table->rows[at];
}

/* MLflow compares a NaN as 0. */
static bool is_later(const struct sl_rec_metric *m, const struct series *series)
{
	if (m->step != series->step)
		return m->step > series->step;
	if (m->time_ms != series->time_ms)
		return m->time_ms > series->time_ms;
	return (isnan(m->value) ? 0 : m->value) > (isnan(series->value) ? 0 : series->value);
}

static double bounded(double value)
{
	return isinf(value) ? value > 0 ? DBL_MAX : -DBL_MAX : value;
}

static int insert_series(struct sl_record *record, const struct sl_rec_run *run, const struct sl_rec_metric *m, int64_t *next_id,
	struct series *series, struct sl_error *err)
{
	static const char SQL[] =
		"INSERT INTO rec_series(experiment, run, name, id, step, time_ms, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
	int rc = *next_id ? 0 : sl_meta_int(record->meta, 1, next_id, err, "SELECT next FROM rec_counter WHERE name = 'series'", NULL);
	if (rc)
		return rc;
	*series = (struct series){.name = m->name, .id = (*next_id)++, .step = m->step, .time_ms = m->time_ms, .value = bounded(m->value)};
	if (isnan(m->value)) /* the types say how many arguments follow */
		return from_rows(sl_meta_exec(record->meta, err, SQL, "iisiiin", run->experiment, run->num, m->name, series->id, m->step,
			m->time_ms));
	return from_rows(sl_meta_exec(record->meta, err, SQL, "iisiiid", run->experiment, run->num, m->name, series->id, m->step,
		m->time_ms, series->value));
}

static int store_next_id(struct sl_record *record, int64_t next_id, struct sl_error *err)
{
	return from_rows(sl_meta_exec(record->meta, err, "UPDATE rec_counter SET next = ?1 WHERE name = 'series'", "i", next_id));
}

static int find_series(struct sl_record *record, const struct sl_rec_run *run, const struct sl_rec_metric *m, int64_t *next_id,
	struct series *series, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(record->meta, &stmt, err, "SELECT id, step, time_ms, value FROM rec_series WHERE run = ?1 AND name = ?2",
		"is", run->num, m->name);
	if (!rc)
		rc = sl_stmt_step(stmt, err);
	if (rc == 0)
		return insert_series(record, run, m, next_id, series, err);
	if (rc < 0)
		return rc;
	*series = (struct series){.name = m->name, .id = sl_stmt_int(stmt, 0), .step = sl_stmt_int(stmt, 1),
		.time_ms = sl_stmt_int(stmt, 2), .value = sl_stmt_null(stmt, 3) ? NAN : sl_stmt_double(stmt, 3)};
	return 0;
}

static int insert_point(struct sl_record *record, const struct series *series, const struct sl_rec_metric *m, struct sl_error *err)
{
	double value = isnan(m->value) ? (double)INFINITY : bounded(m->value);
	return from_rows(sl_meta_exec(record->meta, err,
		"INSERT INTO rec_point(series, time_ms, step, value) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING", "iiid", series->id,
		m->time_ms, m->step, value));
}

static int insert_model_metric(struct sl_record *record, int64_t run, const struct sl_rec_metric *m, struct sl_error *err)
{
	static const char SQL[] =
		"INSERT INTO rec_model_metric(model, name, time_ms, step, run, dataset_name, dataset_digest, value) VALUES (?1, ?2, ?3, "
		"?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING";
	if (isnan(m->value))
		return from_rows(sl_meta_exec(record->meta, err, SQL, "ssiiissn", m->model, m->name, m->time_ms, m->step, run,
			m->dataset_name, m->dataset_digest));
	return from_rows(sl_meta_exec(record->meta, err, SQL, "ssiiissd", m->model, m->name, m->time_ms, m->step, run, m->dataset_name,
		m->dataset_digest, bounded(m->value)));
}

static int store_latest(struct sl_record *record, int64_t run, const struct series *series, struct sl_error *err)
{
	static const char SQL[] = "UPDATE rec_series SET step = ?3, time_ms = ?4, value = ?5 WHERE run = ?1 AND name = ?2";
	if (isnan(series->value))
		return from_rows(sl_meta_exec(record->meta, err, SQL, "isiin", run, series->name, series->step, series->time_ms));
	return from_rows(sl_meta_exec(record->meta, err, SQL, "isiid", run, series->name, series->step, series->time_ms, series->value));
}

static int put_metric(struct sl_record *record, const struct sl_rec_run *run, const struct sl_rec_metric *m, struct table *table,
	struct sl_error *err)
{
	struct series *series = slot_of(table, m->name);
	int rc = series->name ? 0 : find_series(record, run, m, &table->next_id, series, err);
	if (!rc)
		rc = insert_point(record, series, m, err);
	if (!rc && *m->model)
		rc = insert_model_metric(record, run->num, m, err);
	if (!rc && is_later(m, series)) {
		series->step = m->step;
		series->time_ms = m->time_ms;
		series->value = bounded(m->value);
		series->changed = true;
	}
	return rc;
}

static int put_metrics(struct sl_record *record, const struct sl_rec_run *run, const struct sl_rec_batch *batch, struct sl_arena *arena,
	struct sl_error *err)
{
	size_t size = 2;
	while (size < batch->metric_count * 2)
		size *= 2;
	struct table table = {.rows = sl_arena_array(arena, size, sizeof *table.rows), .mask = size - 1};
	if (!table.rows)
		return sl_fail_memory(err);
	int rc = 0;
	for (size_t i = 0; !rc && i < batch->metric_count; i++)
		rc = put_metric(record, run, &batch->metrics[i], &table, err);
	for (size_t i = 0; !rc && i < size; i++)
		if (table.rows[i].changed)
			rc = store_latest(record, run->num, &table.rows[i], err);
	return rc || !table.next_id ? rc : store_next_id(record, table.next_id, err);
}

/* ---- parameters and tags -------------------------------------------------------------------------------------------- */

static int fail_changed(const struct sl_rec_run *run, const struct sl_rec_batch *batch, const struct sl_pair *param, const char *old,
	struct sl_error *err)
{
	if (batch->single)
		return sl_fail(err, SL_E_INVALID, "Changing param values is not allowed. Param with key='%.250s' was already logged with "
			"value='%.200s' for run ID='%s'. Attempted logging new value '%.200s'.", param->name, old, run->id, param->value);
	return sl_fail(err, SL_E_INVALID, "Changing param values is not allowed. Params were already logged='[{'key': '%.250s', "
		"'old_value': '%.200s', 'new_value': '%.200s'}]' for run ID='%s'.", param->name, old, param->value, run->id);
}

static int put_param(struct sl_record *record, const struct sl_rec_run *run, const struct sl_rec_batch *batch,
	const struct sl_pair *param, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int64_t rows = sl_meta_exec(record->meta, err,
		"INSERT INTO rec_param(run, name, value) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING", "iss", run->num, param->name,
		param->value);
	if (rows)
		return from_rows(rows);
	int rc = sl_meta_query(record->meta, &stmt, err, "SELECT value FROM rec_param WHERE run = ?1 AND name = ?2", "is", run->num,
		param->name);
	if (!rc)
		rc = sl_stmt_step(stmt, err);
	if (rc < 0 || strcmp(sl_stmt_text(stmt, 0), param->value) == 0)
		return rc < 0 ? rc : 0;
	bool own;
	rc = sl_own_param_is(record->meta, run->id, param->name, sl_stmt_text(stmt, 0), &own, err);
	if (rc || !own)
		return rc ? rc : fail_changed(run, batch, param, sl_stmt_text(stmt, 0), err);
	return from_rows(sl_meta_exec(record->meta, err, "UPDATE rec_param SET value = ?3 WHERE run = ?1 AND name = ?2", "iss", run->num,
		param->name, param->value));
}

static int put_params(struct sl_record *record, const struct sl_rec_run *run, const struct sl_rec_batch *batch,
	struct sl_arena *arena, struct sl_error *err)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < batch->param_count; i++) {
		struct sl_pair param = {batch->params[i].name, sl_rec_cut(batch->params[i].value, SL_REC_PARAM_MAX, arena)};
		rc = param.value ? put_param(record, run, batch, &param, err) : sl_fail_memory(err);
	}
	return rc;
}

int sl_rec_put_tag(struct sl_record *record, int64_t run, const char *name, const char *value, struct sl_error *err)
{
	return from_rows(sl_meta_exec(record->meta, err,
		"INSERT INTO rec_tag(run, name, value) VALUES (?1, ?2, ?3) ON CONFLICT(run, name) DO UPDATE SET value = excluded.value",
		"iss", run, name, value));
}

static int put_tags(struct sl_record *record, struct sl_rec_run *run, const struct sl_rec_batch *batch, struct sl_arena *arena,
	struct sl_error *err)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < batch->tag_count; i++) {
		const char *value = sl_rec_cut(batch->tags[i].value, SL_REC_TAG_MAX, arena);
		rc = value ? sl_rec_put_tag(record, run->num, batch->tags[i].name, value, err) : sl_fail_memory(err);
		if (!rc && strcmp(batch->tags[i].name, "mlflow.runName") == 0)
			rc = from_rows(sl_meta_exec(record->meta, err, "UPDATE rec_run SET name = ?2 WHERE num = ?1", "is", run->num, value));
	}
	return rc;
}

static int entry(struct sl_record *record, const struct sl_change *change, const struct sl_rec_run *run, struct sl_error *err)
{
	struct sl_id id;
	bool fine = sl_id_parse_hex(run->id, &id);
	assert(fine);
	return sl_record_entry(record, change, "run", id.text, err);
}

int sl_rec_log(struct sl_record *record, struct sl_rec_run *run, const struct sl_rec_batch *batch, const struct sl_change *change,
	struct sl_arena *arena, struct sl_error *err)
{
	assert(sl_meta_in_transaction(record->meta));
	int rc = check_batch(batch, arena, err);
	if (!rc)
		rc = sl_rec_run_check_active(run, err);
	if (!rc)
		rc = put_params(record, run, batch, arena, err);
	if (!rc && batch->metric_count)
		rc = put_metrics(record, run, batch, arena, err);
	if (!rc)
		rc = put_tags(record, run, batch, arena, err);
	return rc || !change ? rc : entry(record, change, run, err);
}

int sl_rec_delete_tag(struct sl_record *record, const struct sl_rec_run *run, const char *name, const struct sl_change *change,
	struct sl_error *err)
{
	int rc = sl_rec_run_check_active(run, err);
	int64_t rows = rc ? rc : sl_meta_exec(record->meta, err, "DELETE FROM rec_tag WHERE run = ?1 AND name = ?2", "is", run->num, name);
	if (rows == 0)
		return sl_fail(err, SL_E_NOT_FOUND, "No tag with name: %.300s in run with id %s", name, run->id);
	return rows < 0 ? (int)rows : entry(record, change, run, err);
}
