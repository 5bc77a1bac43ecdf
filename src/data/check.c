/* Running checks: plan them, count failing rows of all in one statement, look at those that need more, put rows aside, judge. */
#include "data/check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/check_worker.h"
#include "data/profile.h"

/* ---- counting
 * --------------------------------------------------------------------------------------------------------------- */

static bool counts_rows(const struct sl_checking *c) { return c->fails && !c->settled; }

/* SELECT count(*), for each check the rows that it looks at and those of them that fail, and its numbers. Checks without
 * quarantine look at rows that stay. */
static void counting_sql(const struct sl_check_worker *w, struct sl_buf *out)
{
	sl_buf_str(out, "SELECT count(*)");
	for (size_t i = 0; i < w->job->count; i++) {
		const struct sl_checking *c = &w->checks[i];
		const char *stays = c->check->quarantine ? "false" : w->put_aside;
		if (counts_rows(c))
			sl_buf_printf(out, ", count(*) FILTER (%s AND NOT (%s)), count(*) FILTER (%s AND %s AND NOT (%s))",
				      c->counted ? c->counted : c->where, stays, c->where, c->fails, stays);
		for (size_t k = 0; k < SL_ARRAY_LEN(c->numbers) && !c->settled && c->numbers[k]; k++)
			sl_buf_printf(out, ", (%s)::DOUBLE", c->numbers[k]);
	}
	sl_buf_printf(out, " FROM (SELECT *, NOT (%s) AS %s FROM %s)", w->put_aside, w->stays_name, w->source);
}

static double number_at(const struct sl_sql_column *column) { return column->valid && !column->valid[0] ? NAN : column->doubles[0]; }

static void take_counts(struct sl_check_worker *w, const struct sl_sql_column *columns)
{
	size_t at = 0;

	w->rows = (uint64_t)columns[at++].ints[0];
	for (size_t i = 0; i < w->job->count; i++) {
		struct sl_checking *c = &w->checks[i];
		if (counts_rows(c)) {
			c->result->considered = (uint64_t)columns[at++].ints[0];
			c->result->failing = (uint64_t)columns[at++].ints[0];
		}
		for (size_t k = 0; k < SL_ARRAY_LEN(c->numbers) && !c->settled && c->numbers[k]; k++)
			c->got[k] = number_at(&columns[at++]);
	}
}

static int count_rows(struct sl_check_worker *w, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);
	SL_CLEANUP(sl_sql_result_closep) struct sl_sql_result *result = NULL;
	const struct sl_sql_column *columns;
	size_t rows;

	counting_sql(w, &text);
	int rc = sl_buf_check(&text, "the checks", err);
	if (rc < 0 || (rc = sl_engine_query(&w->engine, sl_buf_cstr(&text), &result, err)) < 0
	    || (rc = sl_sql_next(result, &columns, &rows, err)) < 0)
		return rc;
	if (rc == 0)
		return sl_fail(err, SL_E_BUG, "the checks gave no row of counts");
	take_counts(w, columns);
	return 0;
}

/* ---- rows to show
 * ------------------------------------------------------------------------------------------------------------- */

struct showing {
	struct sl_check_worker *w;
	yyjson_mut_doc *doc;
	yyjson_mut_val *list;
};

/* The row's number in the table, from 1, over all its files. */
static uint64_t row_number(const struct sl_check_worker *w, int64_t file, int64_t row)
{
	uint64_t number = (uint64_t)row + 1;

	for (int64_t i = 0; i < file && i < (int64_t)w->job->table.file_count; i++)
		number += w->job->table.files[i].rows;
	return number;
}

static int show_row(void *context, const struct sl_sql_column *columns, size_t row, struct sl_error *err)
{
	struct showing *s = context;
	yyjson_doc *values = yyjson_read(columns[2].texts[row].data, columns[2].texts[row].len, 0);
	yyjson_mut_val *item = yyjson_mut_arr_add_obj(s->doc, s->list);
	bool ok = yyjson_mut_obj_add_uint(s->doc, item, "row", row_number(s->w, columns[0].ints[row], columns[1].ints[row]))
		&& yyjson_mut_obj_add_val(s->doc, item, "values",
					  values ? yyjson_val_mut_copy(s->doc, yyjson_doc_get_root(values))
						 : yyjson_mut_null(s->doc));

	yyjson_doc_free(values);
	return ok ? 0 : sl_fail_memory(err);
}

static void values_sql(const struct sl_check_worker *w, struct sl_buf *out)
{
	sl_buf_str(out, "json_object(");
	for (size_t i = 0; i < w->job->table.column_count; i++) {
		sl_buf_str(out, i ? ", " : "");
		sl_sql_quote_text(out, w->job->table.columns[i].name);
		sl_buf_str(out, ", ");
		sl_sql_quote_name(out, w->job->table.columns[i].name);
	}
	sl_buf_str(out, ")::VARCHAR");
}

static int keep_rows(struct sl_check_worker *w, const char *text, struct sl_check_result *result, struct sl_error *err)
{
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	SL_AUTO_BUF struct sl_buf json = SL_BUF_INIT(64 << 20);
	struct showing s = {.w = w, .doc = doc, .list = doc ? yyjson_mut_arr(doc) : NULL};

	if (!s.list)
		return sl_fail_memory(err);
	int rc = sl_engine_each(&w->engine, text, show_row, &s, err);
	if (rc < 0 || (rc = sl_json_write(s.list, false, &json, err)) < 0)
		return rc;
	result->rows = sl_check_keep_text(w, &json, err);
	return result->rows ? 0 : SL_E_NO_MEMORY;
}

/* The statement that users run to see all failing rows, and the first of them at once. */
static int show_rows(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_ENGINE_TEXT_MAX), find = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);

	sl_buf_str(&text, "SELECT file_index, file_row_number, ");
	values_sql(w, &text);
	sl_buf_printf(&text, " FROM %s AS t ", w->source);
	if (*c->positions) {
		if (c->key) {
			sl_buf_printf(&find, "SELECT %s, count(*) AS rows FROM ", c->key);
			sl_sql_quote_name(&find, w->job->dataset);
			sl_buf_printf(&find, " WHERE %s GROUP BY ALL HAVING count(*) > 1", c->where);
		}
		sl_buf_printf(
			&text,
			"SEMI JOIN %s AS s ON s.sl_i = t.file_index AND s.sl_r = t.file_row_number ORDER BY file_index, "
			"file_row_number",
			c->positions);
	} else {
		sl_buf_str(&find, "SELECT * FROM ");
		sl_sql_quote_name(&find, w->job->dataset);
		sl_buf_printf(&find, " WHERE %s AND %s", c->where, c->fails);
		sl_buf_printf(&text, "WHERE %s AND %s AND NOT (%s)", c->where, c->fails,
			      c->check->quarantine ? "false" : w->put_aside);
	}
	sl_buf_printf(&text, " LIMIT %d", SL_CHECK_ROWS_SHOWN);
	c->result->sql = sl_check_keep_text(w, &find, err);
	int rc = c->result->sql ? sl_buf_check(&text, "a check", err) : SL_E_NO_MEMORY;
	return rc < 0 ? rc : keep_rows(w, sl_buf_cstr(&text), c->result, err);
}

/* ---- checks by a query of the user's
 * ------------------------------------------------------------------------------------------- */

/* WITH "trips" AS (the rows that stay): what the dataset's name means to the query behind it. */
static void with_kept(const struct sl_check_worker *w, struct sl_buf *out)
{
	sl_buf_str(out, "WITH ");
	sl_sql_quote_name(out, w->job->dataset);
	sl_buf_printf(out, " AS NOT MATERIALIZED (SELECT %s FROM ", w->columns);
	sl_check_rows_kept(w, out);
	sl_buf_str(out, ") ");
}

static int show_query_row(void *context, const struct sl_sql_column *columns, size_t row, struct sl_error *err)
{
	struct showing *s = context;
	yyjson_doc *values = yyjson_read(columns[0].texts[row].data, columns[0].texts[row].len, 0);
	yyjson_mut_val *item = yyjson_mut_arr_add_obj(s->doc, s->list);
	bool ok = yyjson_mut_obj_add_val(s->doc, item, "values",
					 values ? yyjson_val_mut_copy(s->doc, yyjson_doc_get_root(values))
						: yyjson_mut_null(s->doc));

	yyjson_doc_free(values);
	return ok ? 0 : sl_fail_memory(err);
}

/* A query that does not fit the table: when another check says already that the table is not what was asked for (a column of
 * another type, or none), that is the news, and this check has failed with it. Else the query is wrong. */
static int blame_query(struct sl_check_worker *w, struct sl_checking *c, int rc, struct sl_error *err)
{
	char place[64];

	if (rc == SL_E_CANCELLED || rc == SL_E_NO_MEMORY || !err)
		return rc;
	for (size_t i = 0; i < w->job->count; i++)
		if (w->checks[i].settled && w->checks[i].result->state == SL_CHECK_FAILED) {
			c->settled = true;
			c->result->state = c->check->warn_only ? SL_CHECK_WARNED : SL_CHECK_FAILED;
			c->result->message = sl_arena_strdup(w->arena, err->message);
			*err = (struct sl_error){0};
			return c->result->message ? 0 : sl_fail_memory(err);
		}
	sl_error_context(err, "check %s", c->check->name);
	snprintf(err->where, sizeof err->where, "%s", sl_check_place(c->check, place));
	return rc;
}

static int run_query(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_ENGINE_TEXT_MAX), json = SL_BUF_INIT(64 << 20);
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	struct showing s = {.w = w, .doc = doc, .list = doc ? yyjson_mut_arr(doc) : NULL};
	int64_t failing;

	if (!s.list)
		return sl_fail_memory(err);
	/* Line ends, so that a comment at the end of the query ends there. */
	with_kept(w, &text);
	sl_buf_printf(&text, "SELECT count(*) FROM (%s\n)", c->check->text);
	int rc = sl_engine_ints(&w->engine, sl_buf_cstr(&text), &failing, 1, err);
	if (rc < 0)
		return blame_query(w, c, rc, err);
	c->result->considered = w->rows;
	c->result->failing = (uint64_t)failing;
	c->result->sql = c->check->text;
	if (!failing)
		return 0;
	sl_buf_clear(&text);
	with_kept(w, &text);
	sl_buf_printf(&text, "SELECT to_json(q)::VARCHAR FROM (%s\n) AS q LIMIT %d", c->check->text, SL_CHECK_ROWS_SHOWN);
	if ((rc = sl_engine_each(&w->engine, sl_buf_cstr(&text), show_query_row, &s, err)) < 0)
		return blame_query(w, c, rc, err);
	if ((rc = sl_json_write(s.list, false, &json, err)) < 0)
		return rc;
	c->result->rows = sl_check_keep_text(w, &json, err);
	return c->result->rows ? 0 : SL_E_NO_MEMORY;
}

static int run_queries(struct sl_check_worker *w, struct sl_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < w->job->count && rc == 0; i++)
		if (w->checks[i].check->kind == SL_CHECK_SQL)
			rc = run_query(w, &w->checks[i], err);
	return rc;
}

/* ---- judging
 * -------------------------------------------------------------------------------------------------------------------- */

/* `mostly` is the share that must pass. With quarantine and without `mostly` any number may be put aside. */
static bool enough_pass(const struct sl_check *check, const struct sl_check_result *result)
{
	if (!result->failing || (check->quarantine && check->mostly >= 1))
		return true;
	return result->failing <= result->considered
		&& (double)(result->considered - result->failing) >= check->mostly * (double)result->considered;
}

static int judge_rows(struct sl_check_worker *w, struct sl_checking *c, uint64_t rows, struct sl_error *err)
{
	const struct sl_check *check = c->check;
	char have[32], bound[32];

	c->result->considered = rows;
	c->result->has_observed = true;
	c->result->observed = (double)rows;
	sl_grouped(rows, have);
	if (*check->other) {
		int64_t others;
		SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(1 << 16);
		if (!sl_check_other(w, c, err))
			return c->settled ? 0 : SL_E_NO_MEMORY;
		sl_buf_str(&text, "SELECT count(*) FROM ");
		sl_sql_quote_name(&text, check->other);
		int rc = sl_engine_ints(&w->engine, sl_buf_cstr(&text), &others, 1, err);
		if (rc < 0 || (uint64_t)others == rows)
			return rc;
		return sl_check_settle(w, c, err, "%s rows, and '%s' has %s", have, check->other, sl_grouped((uint64_t)others, bound));
	}
	if (sl_check_within(check, (double)rows))
		return 0;
	bool low = check->has_min && (double)rows <= sl_check_bound(&check->min);
	sl_grouped((uint64_t)sl_check_bound(low ? &check->min : &check->max), bound);
	return sl_check_settle(w, c, err, "%s rows, %s %s are asked for", have,
			       low ? check->above ? "more than" : "at least" : check->below ? "less than" : "at most", bound);
}

static int judge(struct sl_check_worker *w, struct sl_checking *c, uint64_t rows, struct sl_error *err)
{
	struct sl_check_result *result = c->result;
	char some[32], all[32];

	if (c->settled)
		return 0;
	if (c->check->kind == SL_CHECK_ROWS)
		return judge_rows(w, c, rows, err);
	if (c->check->kind == SL_CHECK_MOST_COMMON)
		return sl_check_most_common(w, c, err);
	if (c->check->kind == SL_CHECK_DISTRIBUTION)
		return sl_check_distance(w, c, err);
	if (c->numbers[0])
		return sl_check_judge_number(w, c, err);
	if (!result->failing)
		return 0;
	result->quarantined = c->check->quarantine ? result->failing : 0;
	result->message = sl_arena_printf(w->arena, "%s of %s rows", sl_grouped(result->failing, some),
					  sl_grouped(result->considered, all));
	if (!enough_pass(c->check, result))
		result->state = c->check->warn_only ? SL_CHECK_WARNED : SL_CHECK_FAILED;
	if (!result->message)
		return sl_fail_memory(err);
	return c->fails || *c->positions ? show_rows(w, c, err) : 0;
}

/* ---- all
 * ------------------------------------------------------------------------------------------------------------------------- */

/* A name that no column has: "reason", else "_reason" ... */
static const char *free_name(struct sl_check_worker *w, const char *name)
{
	while (name && sl_check_column(w, name))
		name = sl_arena_printf(w->arena, "_%s", name);
	return name;
}

static int prepare(struct sl_check_worker *w, struct sl_check_report *report, struct sl_error *err)
{
	const struct sl_check_job *job = w->job;
	SL_AUTO_BUF struct sl_buf source = SL_BUF_INIT(SL_ENGINE_TEXT_MAX), columns = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);
	const char **paths = sl_arena_array(w->arena, job->table.file_count, sizeof *paths);

	w->checks = sl_arena_array(w->arena, job->count + 1, sizeof *w->checks);
	report->results = sl_arena_array(w->arena, job->count + 1, sizeof *report->results);
	w->changed = sl_arena_array(w->arena, job->table.column_count + 1, sizeof *w->changed);
	w->reason_name = free_name(w, "reason");
	w->raw_name = free_name(w, "raw");
	w->stays_name = free_name(w, "sl_stays");
	if (!paths || !w->checks || !w->changed || !report->results || !w->reason_name || !w->raw_name || !w->stays_name)
		return sl_fail_memory(err);
	for (size_t i = 0; i < job->count; i++) {
		const struct sl_check *check = &job->checks[i];
		report->results[i] = (struct sl_check_result){.name = check->name,
							      .severity = check->warn_only ? "warn" : "error",
							      .message = "",
							      .rows = "[]",
							      .sql = "",
							      .mark = check->mark};
		w->checks[i] = (struct sl_checking){.check = check, .result = &report->results[i], .positions = ""};
	}
	for (size_t i = 0; i < job->table.file_count; i++)
		paths[i] = job->table.files[i].path;
	sl_buf_str(&source, "read_parquet(");
	sl_engine_list(&source, paths, job->table.file_count);
	sl_buf_str(&source, ", hive_partitioning = false)");
	for (size_t i = 0; i < job->table.column_count; i++) {
		sl_buf_str(&columns, i ? ", " : "");
		sl_sql_quote_name(&columns, job->table.columns[i].name);
	}
	w->source = sl_check_keep_text(w, &source, err);
	w->columns = sl_check_keep_text(w, &columns, err);
	return w->source && w->columns ? 0 : SL_E_NO_MEMORY;
}

enum { PREVIOUS_MAX = 2 };

/* This table, those that checks name, and the version before as "NAME@previous". */
static int list_tables(struct sl_check_worker *w, struct sl_sql_table *tables, size_t *ret_count, struct sl_error *err)
{
	const struct sl_check_job *job = w->job;
	const char **paths = sl_arena_array(w->arena, job->table.file_count + 1, sizeof *paths);
	const char *previous = sl_arena_printf(w->arena, "%s@previous", job->dataset);

	if (!paths || !previous)
		return sl_fail_memory(err);
	for (size_t i = 0; i < job->table.file_count; i++)
		paths[i] = job->table.files[i].path;
	tables[0] = (struct sl_sql_table){.name = job->dataset, .paths = paths, .path_count = job->table.file_count};
	*ret_count = 1;
	for (size_t i = 0; i < job->table_count; i++)
		if (strcmp(job->tables[i].name, job->dataset) != 0)
			tables[(*ret_count)++] = job->tables[i];
	if (job->previous) {
		tables[*ret_count] = *job->previous;
		tables[(*ret_count)++].name = previous;
	}
	return 0;
}

static int open_session(struct sl_check_worker *w, struct sl_error *err)
{
	const struct sl_check_job *job = w->job;
	struct sl_sql_table *tables = sl_arena_array(w->arena, job->table_count + PREVIOUS_MAX, sizeof *tables);
	const char *raw = job->broken.file_count ? job->broken.files[0].path : NULL;
	struct sl_sql_options options = {.tables = tables, .raw_paths = &raw, .raw_path_count = raw ? 1 : 0, .write_dir = w->staging};
	int rc = tables ? list_tables(w, tables, &options.table_count, err) : sl_fail_memory(err);

	rc = rc < 0 ? rc : sl_engine_open(&w->engine, &options, w->work, "checking", err);
	w->engine.params = job->params;
	w->engine.param_count = job->param_count;
	return rc;
}

static int find_positions(struct sl_check_worker *w, struct sl_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < w->job->count && rc == 0; i++) {
		enum sl_check_kind kind = w->checks[i].check->kind;
		if (w->checks[i].settled)
			continue;
		if (kind == SL_CHECK_UNIQUE)
			rc = sl_check_unique(w, i, err);
		else if (kind == SL_CHECK_INCREASING || kind == SL_CHECK_DECREASING)
			rc = sl_check_order(w, i, err);
	}
	return rc;
}

static int run(struct sl_check_worker *w, struct sl_check_report *report, struct sl_error *err)
{
	const struct sl_check_job *job = w->job;
	int rc;

	if ((rc = prepare(w, report, err)) < 0 || (rc = open_session(w, err)) < 0 || (rc = sl_check_plan(w, err)) < 0
	    || (rc = count_rows(w, err)) < 0)
		return rc;
	rc = find_positions(w, err);
	report->rows = report->clean_rows = w->rows;
	if (rc < 0 || (rc = sl_check_separate(w, report, err)) < 0 || (rc = run_queries(w, err)) < 0)
		return rc;
	for (size_t i = 0; i < job->count && rc == 0; i++)
		rc = judge(w, &w->checks[i], report->clean_rows, err);
	for (size_t i = 0; i < job->count; i++)
		report->failed |= report->results[i].state == SL_CHECK_FAILED;
	return rc;
}

int sl_check_params(const struct sl_project *project, struct sl_arena *arena, struct sl_check_job *job, struct sl_error *err)
{
	static const char TYPES[] = {[SL_VALUE_NULL] = 'n', [SL_VALUE_BOOL] = 'b', [SL_VALUE_INT] = 'i', [SL_VALUE_DOUBLE] = 'd',
				     [SL_VALUE_TEXT] = 's', [SL_VALUE_TIME] = 't', [SL_VALUE_JSON] = 's'};
	struct sl_sql_param *params = sl_arena_array(arena, project->param_count + 1, sizeof *params);

	if (!params)
		return sl_fail_memory(err);
	for (size_t i = 0; i < project->param_count; i++) {
		const struct sl_value *value = &project->params[i].value;
		params[i] = (struct sl_sql_param){.name = project->params[i].name,
						  .type = TYPES[value->type],
						  .text = value->text ? value->text : "",
						  .i = value->i,
						  .d = value->d};
	}
	job->params = params;
	job->param_count = project->param_count;
	return 0;
}

static int make_profile(struct sl_sql *sql, struct sl_check_report *report, struct sl_arena *arena, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_PROFILE_BYTES_MAX);
	struct sl_profile profile;
	int rc = sl_profile_execute(sql, &report->clean, arena, &profile, err);

	if (rc < 0 || (rc = sl_profile_write(&profile, &text, err)) < 0)
		return rc;
	report->profile = sl_arena_strndup(arena, sl_buf_cstr(&text), text.len);
	return report->profile ? 0 : sl_fail_memory(err);
}

static void nothing_to_check(struct sl_check_worker *w, struct sl_check_report *ret)
{
	const struct sl_check_job *job = w->job;

	for (size_t i = 0; i < job->table.file_count; i++)
		ret->rows += job->table.files[i].rows;
	ret->clean_rows = ret->rows;
	ret->clean = job->table;
}

int sl_check_execute(const struct sl_check_job *job, const char *staging, const struct sl_work *work, struct sl_arena *arena,
		     struct sl_check_report *ret, struct sl_error *err)
{
	struct sl_check_worker w = {.job = job, .staging = staging, .work = work, .arena = arena};
	int rc = 0;

	*ret = (struct sl_check_report){.dataset = job->dataset, .count = job->count, .profile = ""};
	if (job->count > SL_CHECKS_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "dataset '%s' has more than %d checks", job->dataset, SL_CHECKS_MAX);
	if (staging)
		rc = sl_dir_make(staging, err);
	if (rc == 0 && !job->count && !job->broken.file_count)
		nothing_to_check(&w, ret);
	else if (rc == 0 && (rc = run(&w, ret, err)) == 0 && staging && !ret->failed)
		rc = make_profile(w.engine.sql, ret, arena, err);
	sl_engine_done(&w.engine);
	return rc;
}
