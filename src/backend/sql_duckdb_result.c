/* Results as a stream of chunks (at most 2,048 rows each), in the shapes of port/sql.h. Columns of other types are cast to text
 * by the engine: the statement is then put inside SELECT c0, CAST(c1 AS VARCHAR) ... FROM (statement).
 */
#include "backend/sql_duckdb.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { TYPE_TEXT_MAX = 64 << 10, STATEMENT_MAX = 2 << 20 };

struct column {
	char *name, *type;
	enum sl_sql_kind kind;
	duckdb_type id;       /* of the chunks: VARCHAR where cast */
	duckdb_type internal; /* of a DECIMAL: the integer it is stored in */
	double scale;         /* of a DECIMAL: 10^-scale */
	bool cast;
	unsigned char *valid; /* scratch, one chunk long */
	void *values;         /* scratch, NULL where the engine's own array serves */
};

struct sl_sql_result {
	struct sl_sql *sql;
	duckdb_prepared_statement prepared;
	duckdb_result result;
	bool has_result;
	duckdb_data_chunk chunk;
	struct column *columns;
	struct sl_sql_column *views;
	size_t column_count;
	bool cast; /* some column is */
	char *text, *user_text, *where; /* kept for errors that come while rows are fetched */
	struct sl_duckdb_statement statement;
};

static bool kind_of(duckdb_type id, enum sl_sql_kind *ret)
{
	switch (id) {
	case DUCKDB_TYPE_BOOLEAN:
		*ret = SL_SQL_BOOL;
		return true;
	case DUCKDB_TYPE_TINYINT: case DUCKDB_TYPE_SMALLINT: case DUCKDB_TYPE_INTEGER: case DUCKDB_TYPE_BIGINT:
	case DUCKDB_TYPE_UTINYINT: case DUCKDB_TYPE_USMALLINT: case DUCKDB_TYPE_UINTEGER:
		*ret = SL_SQL_INT;
		return true;
	case DUCKDB_TYPE_FLOAT: case DUCKDB_TYPE_DOUBLE: case DUCKDB_TYPE_UBIGINT: case DUCKDB_TYPE_HUGEINT:
	case DUCKDB_TYPE_UHUGEINT: case DUCKDB_TYPE_DECIMAL:
		*ret = SL_SQL_DOUBLE;
		return true;
	case DUCKDB_TYPE_DATE: case DUCKDB_TYPE_TIMESTAMP: case DUCKDB_TYPE_TIMESTAMP_TZ: case DUCKDB_TYPE_TIMESTAMP_S:
	case DUCKDB_TYPE_TIMESTAMP_MS: case DUCKDB_TYPE_TIMESTAMP_NS:
		*ret = SL_SQL_TIME;
		return true;
	default:
		*ret = SL_SQL_TEXT;
		return id == DUCKDB_TYPE_VARCHAR;
	}
}

static double decimal_factor(int scale)
{
	double factor = 1;

	while (scale-- > 0)
		factor *= 10;
	return factor;
}

/* BIGINT, DOUBLE, BOOLEAN and microseconds are read where the engine has them; all others go through `values`. */
static bool as_it_is(duckdb_type id)
{
	return id == DUCKDB_TYPE_BIGINT || id == DUCKDB_TYPE_DOUBLE || id == DUCKDB_TYPE_BOOLEAN || id == DUCKDB_TYPE_TIMESTAMP
		|| id == DUCKDB_TYPE_TIMESTAMP_TZ;
}

static int describe_column(const struct sl_duckdb *lib, struct column *column, const char *name, duckdb_logical_type type,
			   struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(TYPE_TEXT_MAX);
	size_t rows = lib->vector_size();

	column->id = lib->get_type_id(type);
	column->cast = !kind_of(column->id, &column->kind);
	if (column->id == DUCKDB_TYPE_DECIMAL) {
		column->internal = lib->decimal_internal_type(type);
		column->scale = decimal_factor(lib->decimal_scale(type));
	}
	sl_duckdb_type_text(lib, type, &text);
	int rc = sl_buf_check(&text, "a column's type", err);
	if (rc < 0)
		return rc;
	if (column->cast)
		column->id = DUCKDB_TYPE_VARCHAR;
	column->name = sl_strdup(name, err);
	column->type = sl_strdup(sl_buf_cstr(&text), err);
	column->valid = sl_alloc(rows, err);
	if (!as_it_is(column->id))
		column->values = sl_alloc_array(rows, sizeof(struct sl_sql_text), err);
	bool ok = column->name && column->type && column->valid && (column->values || as_it_is(column->id));
	return ok ? 0 : SL_E_NO_MEMORY;
}

/* Columns so far plus one; takes `type`. */
static int add_column(struct sl_sql_result *result, const char *name, duckdb_logical_type type, struct sl_error *err)
{
	struct column *column = &result->columns[result->column_count++];
	int rc = describe_column(result->sql->lib, column, name ? name : "", type, err);

	result->cast |= column->cast;
	result->sql->lib->destroy_logical_type(&type);
	return rc;
}

static int alloc_columns(struct sl_sql_result *result, size_t count, struct sl_error *err)
{
	result->columns = sl_alloc_array(count + 1, sizeof *result->columns, err);
	result->views = sl_alloc_array(count + 1, sizeof *result->views, err);
	return result->columns && result->views ? 0 : SL_E_NO_MEMORY;
}

static int describe_prepared(struct sl_sql_result *result, struct sl_error *err)
{
	const struct sl_duckdb *lib = result->sql->lib;
	size_t count = lib->prepared_statement_column_count(result->prepared);
	int rc = alloc_columns(result, count, err);

	for (size_t i = 0; i < count && rc == 0; i++) {
		const char *name = lib->prepared_statement_column_name(result->prepared, i);
		rc = add_column(result, name, lib->prepared_statement_column_logical_type(result->prepared, i), err);
		lib->free((void *)(uintptr_t)name);
	}
	return rc;
}

static int describe_result(struct sl_sql_result *result, duckdb_result *from, struct sl_error *err)
{
	const struct sl_duckdb *lib = result->sql->lib;
	size_t count = lib->column_count(from);
	int rc = alloc_columns(result, count, err);

	for (size_t i = 0; i < count && rc == 0; i++)
		rc = add_column(result, lib->column_name(from, i), lib->column_logical_type(from, i), err);
	return rc;
}

/* A column's type can hang on a parameter's ("SELECT $x"): the engine then tells types only of an execution. */
static bool types_known(const struct sl_sql_result *result)
{
	const struct sl_duckdb *lib = result->sql->lib;
	bool known = true;

	for (size_t i = 0; i < lib->prepared_statement_column_count(result->prepared); i++) {
		duckdb_logical_type type = lib->prepared_statement_column_logical_type(result->prepared, i);
		known &= lib->get_type_id(type) != DUCKDB_TYPE_INVALID;
		lib->destroy_logical_type(&type);
	}
	return known;
}

/* ... so it is executed for no rows. */
static int describe_by_running(struct sl_sql_result *result, const struct sl_sql_param *params, size_t param_count,
			       struct sl_error *err)
{
	static const char HEAD[] = "SELECT * FROM (";
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(STATEMENT_MAX);
	const struct sl_duckdb *lib = result->sql->lib;
	duckdb_prepared_statement prepared;
	duckdb_result none;

	sl_buf_str(&text, HEAD);
	sl_buf_add(&text, result->user_text, sl_duckdb_statement_len(result->user_text));
	sl_buf_str(&text, ") LIMIT 0");
	int rc = sl_buf_check(&text, "the statement", err);
	const struct sl_duckdb_statement statement = {.text = sl_buf_cstr(&text),
						      .user_text = result->user_text,
						      .shift = sizeof HEAD - 1,
						      .where = result->where};
	if (rc < 0 || (rc = sl_duckdb_prepare(result->sql, &statement, &prepared, err)) < 0)
		return rc;
	rc = sl_duckdb_bind(result->sql, prepared, params, param_count, &statement, err);
	if (rc == 0)
		rc = sl_duckdb_execute(result->sql, prepared, false, &statement, &none, err);
	if (rc == 0) {
		rc = describe_result(result, &none, err);
		lib->destroy_result(&none);
	}
	lib->destroy_prepare(&prepared);
	return rc;
}

/* Puts the statement inside one that casts what we cannot read, and prepares that instead. */
static int prepare_cast(struct sl_sql_result *result, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(STATEMENT_MAX);
	const char *user = result->user_text;

	sl_buf_str(&text, "SELECT ");
	for (size_t i = 0; i < result->column_count; i++)
		sl_buf_printf(&text, result->columns[i].cast ? "%sCAST(c%zu AS VARCHAR)" : "%sc%zu", i ? ", " : "", i);
	sl_buf_str(&text, " FROM (");
	size_t shift = text.len;
	sl_buf_add(&text, user, sl_duckdb_statement_len(user));
	sl_buf_str(&text, ") AS t(");
	for (size_t i = 0; i < result->column_count; i++)
		sl_buf_printf(&text, "%sc%zu", i ? ", " : "", i);
	sl_buf_char(&text, ')');
	int rc = sl_buf_check(&text, "the statement", err);
	if (rc < 0)
		return rc;
	result->text = sl_strdup(sl_buf_cstr(&text), err);
	if (!result->text)
		return SL_E_NO_MEMORY;
	result->statement.text = result->text;
	result->statement.shift = shift;
	result->sql->lib->destroy_prepare(&result->prepared);
	return sl_duckdb_prepare(result->sql, &result->statement, &result->prepared, err);
}

static int start(struct sl_sql_result *result, const struct sl_sql_param *params, size_t param_count, struct sl_error *err)
{
	const struct sl_duckdb *lib = result->sql->lib;
	int rc = sl_duckdb_prepare(result->sql, &result->statement, &result->prepared, err);

	if (rc < 0)
		return rc;
	if (lib->prepared_statement_type(result->prepared) == DUCKDB_STATEMENT_TYPE_SELECT)
		rc = types_known(result) ? describe_prepared(result, err) : describe_by_running(result, params, param_count, err);
	if (rc < 0 || (result->cast && (rc = prepare_cast(result, err)) < 0)
	    || (rc = sl_duckdb_bind(result->sql, result->prepared, params, param_count, &result->statement, err)) < 0
	    || (rc = sl_duckdb_execute(result->sql, result->prepared, true, &result->statement, &result->result, err)) < 0)
		return rc;
	result->has_result = true;
	return result->columns ? 0 : describe_result(result, &result->result, err);
}

int sl_sql_query(struct sl_sql *sql, const char *text, const struct sl_sql_param *params, size_t param_count, const char *where,
		 struct sl_sql_result **ret, struct sl_error *err)
{
	SL_CLEANUP(sl_sql_result_closep) struct sl_sql_result *result = sl_alloc(sizeof *result, err);

	if (!result)
		return SL_E_NO_MEMORY;
	result->sql = sql;
	result->user_text = sl_strdup(text, err);
	result->where = sl_strdup(where ? where : "", err);
	if (!result->user_text || !result->where)
		return SL_E_NO_MEMORY;
	result->statement =
		(struct sl_duckdb_statement){.text = result->user_text, .user_text = result->user_text, .where = result->where};
	int rc = start(result, params, param_count, err);
	if (rc < 0)
		return rc;
	*ret = SL_TAKE(result);
	return 0;
}

size_t sl_sql_columns(const struct sl_sql_result *result) { return result->column_count; }
const char *sl_sql_column_name(const struct sl_sql_result *result, size_t column) { return result->columns[column].name; }
const char *sl_sql_column_type(const struct sl_sql_result *result, size_t column) { return result->columns[column].type; }
enum sl_sql_kind sl_sql_column_kind(const struct sl_sql_result *result, size_t column) { return result->columns[column].kind; }

/* ---- one chunk -------------------------------------------------------------------------------------------------------- */

#define WIDEN(to, from, expression) \
	do { \
		const from *in = data; \
		to *out = column->values; \
		for (size_t i = 0; i < rows; i++) \
			out[i] = (expression); \
	} while (0)

/* Through the compiler's own 128 bits: adding two rounded halves would make 0 of -1. */
static double hugeint_double(duckdb_hugeint v)
{
	__extension__ typedef __int128 int128;
	__extension__ typedef unsigned __int128 uint128;

	return (double)(int128)((uint128)(uint64_t)v.upper << 64 | v.lower);
}

static double uhugeint_double(duckdb_uhugeint v) { return (double)v.upper * 18446744073709551616.0 + (double)v.lower; }

static void widen_decimal(const struct column *column, const void *data, size_t rows)
{
	switch (column->internal) {
	case DUCKDB_TYPE_SMALLINT:
		WIDEN(double, int16_t, in[i] / column->scale);
		break;
	case DUCKDB_TYPE_INTEGER:
		WIDEN(double, int32_t, in[i] / column->scale);
		break;
	case DUCKDB_TYPE_BIGINT:
		WIDEN(double, int64_t, (double)in[i] / column->scale);
		break;
	default:
		WIDEN(double, duckdb_hugeint, hugeint_double(in[i]) / column->scale);
	}
}

static void read_texts(const struct column *column, const void *data, size_t rows)
{
	const duckdb_string_t *in = data;
	struct sl_sql_text *out = column->values;

	/* A row that is null may hold anything, so only lengths of valid rows are looked at. */
	for (size_t i = 0; i < rows; i++) {
		uint32_t len = column->valid[i] ? in[i].value.inlined.length : 0;
		out[i].len = len;
		out[i].data = len <= sizeof in[i].value.inlined.inlined ? in[i].value.inlined.inlined : in[i].value.pointer.ptr;
	}
}

/* -infinity and infinity of DATE stay the extremes; other days cannot overflow microseconds beyond +-292,000 years, so they stop
 * there. */
static int64_t scaled(int64_t v, int64_t factor)
{
	int64_t out;

	return __builtin_mul_overflow(v, factor, &out) ? (v < 0 ? INT64_MIN : INT64_MAX) : out;
}

/* Nanoseconds are rounded down, also before 1970. */
static int64_t nanos_to_micros(int64_t v) { return v / 1000 - (v % 1000 < 0); }

static void widen(const struct column *column, const void *data, size_t rows)
{
	switch (column->id) {
	case DUCKDB_TYPE_TINYINT: WIDEN(int64_t, int8_t, in[i]); break;
	case DUCKDB_TYPE_SMALLINT: WIDEN(int64_t, int16_t, in[i]); break;
	case DUCKDB_TYPE_INTEGER: WIDEN(int64_t, int32_t, in[i]); break;
	case DUCKDB_TYPE_UTINYINT: WIDEN(int64_t, uint8_t, in[i]); break;
	case DUCKDB_TYPE_USMALLINT: WIDEN(int64_t, uint16_t, in[i]); break;
	case DUCKDB_TYPE_UINTEGER: WIDEN(int64_t, uint32_t, in[i]); break;
	case DUCKDB_TYPE_FLOAT: WIDEN(double, float, in[i]); break;
	case DUCKDB_TYPE_UBIGINT: WIDEN(double, uint64_t, (double)in[i]); break;
	case DUCKDB_TYPE_HUGEINT: WIDEN(double, duckdb_hugeint, hugeint_double(in[i])); break;
	case DUCKDB_TYPE_UHUGEINT: WIDEN(double, duckdb_uhugeint, uhugeint_double(in[i])); break;
	case DUCKDB_TYPE_DATE: WIDEN(int64_t, int32_t, scaled(in[i], INT64_C(86400000000))); break;
	case DUCKDB_TYPE_TIMESTAMP_S: WIDEN(int64_t, int64_t, scaled(in[i], 1000000)); break;
	case DUCKDB_TYPE_TIMESTAMP_MS: WIDEN(int64_t, int64_t, scaled(in[i], 1000)); break;
	case DUCKDB_TYPE_TIMESTAMP_NS: WIDEN(int64_t, int64_t, nanos_to_micros(in[i])); break;
	case DUCKDB_TYPE_DECIMAL: widen_decimal(column, data, rows); break;
	default: read_texts(column, data, rows);
	}
}

static void view_column(struct sl_sql_result *result, size_t index, size_t rows)
{
	const struct sl_duckdb *lib = result->sql->lib;
	struct column *column = &result->columns[index];
	struct sl_sql_column *view = &result->views[index];
	duckdb_vector vector = lib->data_chunk_get_vector(result->chunk, index);
	const uint64_t *mask = lib->vector_get_validity(vector);
	const void *data = lib->vector_get_data(vector);
	bool all = true;

	for (size_t i = 0; i < rows; i++)
		all &= column->valid[i] = !mask || (mask[i / 64] >> (i % 64) & 1);
	view->kind = column->kind;
	view->valid = all ? NULL : column->valid;
	if (column->values)
		widen(column, data, rows);
	view->ints = column->values ? column->values : data;
}

int sl_sql_next(struct sl_sql_result *result, const struct sl_sql_column **ret_columns, size_t *ret_rows, struct sl_error *err)
{
	const struct sl_duckdb *lib = result->sql->lib;
	const volatile int *cancel = result->sql->cancel;

	if (cancel && *cancel)
		return sl_fail_at(err, SL_E_CANCELLED, result->statement.where, "cancelled");
	if (result->chunk)
		lib->destroy_data_chunk(&result->chunk);
	result->chunk = lib->fetch_chunk(result->result);
	if (!result->chunk) {
		const char *message = lib->result_error(&result->result);
		return message ? sl_duckdb_fail(result->sql, message, &result->statement, err) : 0;
	}
	*ret_rows = lib->data_chunk_get_size(result->chunk);
	if (!*ret_rows)
		return 0;
	for (size_t i = 0; i < result->column_count; i++)
		view_column(result, i, *ret_rows);
	*ret_columns = result->views;
	return 1;
}

void sl_sql_result_close(struct sl_sql_result *result)
{
	if (!result)
		return;
	const struct sl_duckdb *lib = result->sql->lib;
	if (result->chunk)
		lib->destroy_data_chunk(&result->chunk);
	if (result->has_result)
		lib->destroy_result(&result->result);
	if (result->prepared)
		lib->destroy_prepare(&result->prepared);
	for (size_t i = 0; i < result->column_count; i++) {
		sl_free(result->columns[i].name);
		sl_free(result->columns[i].type);
		sl_free(result->columns[i].valid);
		sl_free(result->columns[i].values);
	}
	sl_free(result->columns);
	sl_free(result->views);
	sl_free(result->text);
	sl_free(result->user_text);
	sl_free(result->where);
	sl_free(result);
}

void sl_sql_result_closep(struct sl_sql_result **result)
{
	sl_sql_result_close(*result);
	*result = NULL;
}
