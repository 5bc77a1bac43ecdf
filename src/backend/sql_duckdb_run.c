/* Statements: prepare, bind, run to the end. */
#include "backend/sql_duckdb.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "os/clock.h"

static const int64_t PROGRESS_EVERY_NS = 100000000;

int sl_duckdb_prepare(struct sl_sql *sql, const struct sl_duckdb_statement *statement, duckdb_prepared_statement *ret,
		      struct sl_error *err)
{
	duckdb_extracted_statements extracted = NULL;
	idx_t count = sql->lib->extract_statements(sql->connection, statement->text, &extracted);
	int rc = 0;

	*ret = NULL;
	if (!count) {
		const char *message = sql->lib->extract_statements_error(extracted);
		rc = message ? sl_duckdb_fail(sql, message, statement, err)
			     : sl_fail_at(err, SL_E_INVALID, statement->where, "there is no statement in it");
	} else if (count > 1) {
		rc = sl_fail_at(err, SL_E_INVALID, statement->where, "there are %llu statements where one belongs",
				(unsigned long long)count);
	} else if (sql->lib->prepare_extracted_statement(sql->connection, extracted, 0, ret) != DuckDBSuccess) {
		rc = sl_duckdb_fail(sql, sql->lib->prepare_error(*ret), statement, err);
		sql->lib->destroy_prepare(ret);
	}
	sql->lib->destroy_extracted(&extracted);
	return rc;
}

static duckdb_state bind_one(const struct sl_duckdb *lib, duckdb_prepared_statement prepared, idx_t index,
			     const struct sl_sql_param *param)
{
	switch (param->type) {
	case 's':
		return lib->bind_varchar(prepared, index, param->text);
	case 'i':
		return lib->bind_int64(prepared, index, param->i);
	case 'd':
		return lib->bind_double(prepared, index, param->d);
	case 'b':
		return lib->bind_boolean(prepared, index, param->i != 0);
	case 't':
		return lib->bind_timestamp(prepared, index, (duckdb_timestamp){.micros = param->i});
	default:
		return lib->bind_null(prepared, index);
	}
}

static const struct sl_sql_param *find_param(const struct sl_sql_param *params, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcasecmp(params[i].name, name) == 0)
			return &params[i];
	return NULL;
}

int sl_duckdb_bind(struct sl_sql *sql, duckdb_prepared_statement prepared, const struct sl_sql_param *params, size_t count,
		   const struct sl_duckdb_statement *statement, struct sl_error *err)
{
	idx_t wanted = sql->lib->nparams(prepared);

	for (idx_t i = 1; i <= wanted; i++) {
		const char *name = sql->lib->parameter_name(prepared, i);
		const struct sl_sql_param *param = name ? find_param(params, count, name) : NULL;
		int rc = 0;
		if (!param)
			rc = sl_fail_at(err, SL_E_INVALID, statement->where, "parameter '$%s' has no value", name ? name : "?");
		else if (bind_one(sql->lib, prepared, i, param) != DuckDBSuccess)
			rc = sl_fail_at(err, SL_E_INVALID, statement->where, "parameter '$%s' cannot be bound", name);
		/* DuckDB's own copy of the name: freed by its allocator. */
		sql->lib->free((void *)(uintptr_t)name);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int tell_progress(struct sl_sql *sql, int64_t *last_ns)
{
	int64_t now = sl_monotonic_ns();

	if (!sql->progress || now - *last_ns < PROGRESS_EVERY_NS)
		return 0;
	*last_ns = now;
	double percent = sql->lib->query_progress(sql->connection).percentage;
	sql->progress(sql->progress_context, percent < 0 ? -1 : percent / 100);
	return 0;
}

/* This thread works on the query's tasks too; each is short, so between two of them is the place to look up. */
static int work(struct sl_sql *sql, duckdb_pending_result pending, const struct sl_duckdb_statement *statement,
		struct sl_error *err)
{
	int64_t last_ns = sl_monotonic_ns();

	for (;;) {
		bool cancel = sql->cancel && *sql->cancel;
		/* An interrupted query ends with an error at its next task; left before that, it would leak its plan. */
		if (cancel)
			sql->lib->interrupt(sql->connection);
		duckdb_pending_state state = sql->lib->pending_execute_task(pending);
		if (cancel && (state == DUCKDB_PENDING_ERROR || state == DUCKDB_PENDING_RESULT_READY))
			return sl_fail_at(err, SL_E_CANCELLED, statement->where, "cancelled");
		if (state == DUCKDB_PENDING_RESULT_READY)
			return 0;
		if (state == DUCKDB_PENDING_ERROR)
			return sl_duckdb_fail(sql, sql->lib->pending_error(pending), statement, err);
		if (state == DUCKDB_PENDING_NO_TASKS_AVAILABLE)
			nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
		tell_progress(sql, &last_ns);
	}
}

int sl_duckdb_execute(struct sl_sql *sql, duckdb_prepared_statement prepared, bool streaming,
		      const struct sl_duckdb_statement *statement, duckdb_result *ret, struct sl_error *err)
{
	duckdb_pending_result pending = NULL;
	duckdb_state state = streaming ? sql->lib->pending_prepared_streaming(prepared, &pending)
				       : sql->lib->pending_prepared(prepared, &pending);
	int rc;

	if (state != DuckDBSuccess)
		rc = sl_duckdb_fail(sql, sql->lib->pending_error(pending), statement, err);
	else
		rc = work(sql, pending, statement, err);
	if (rc == 0 && sql->lib->execute_pending(pending, ret) != DuckDBSuccess) {
		rc = sl_duckdb_fail(sql, sql->lib->result_error(ret), statement, err);
		sql->lib->destroy_result(ret);
	}
	sql->lib->destroy_pending(&pending);
	return rc;
}

int sl_duckdb_run(struct sl_sql *sql, const struct sl_duckdb_statement *statement, const struct sl_sql_param *params,
		  size_t count, int64_t *ret_changed, struct sl_error *err)
{
	duckdb_prepared_statement prepared;
	duckdb_result result;
	int rc = sl_duckdb_prepare(sql, statement, &prepared, err);

	if (rc < 0)
		return rc;
	rc = sl_duckdb_bind(sql, prepared, params, count, statement, err);
	if (rc == 0)
		rc = sl_duckdb_execute(sql, prepared, false, statement, &result, err);
	if (rc == 0) {
		if (ret_changed)
			*ret_changed = (int64_t)sql->lib->rows_changed(&result);
		sql->lib->destroy_result(&result);
	}
	sql->lib->destroy_prepare(&prepared);
	return rc;
}

int sl_sql_run(struct sl_sql *sql, const char *text, const struct sl_sql_param *params, size_t param_count, const char *where,
	       int64_t *ret_changed, struct sl_error *err)
{
	const struct sl_duckdb_statement statement = {.text = text, .user_text = text, .where = where};

	return sl_duckdb_run(sql, &statement, params, param_count, ret_changed, err);
}
