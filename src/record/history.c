#include "record/history.h"

#include <math.h>

static int each_pair(struct sl_record *record, const char *sql, int64_t run, sl_rec_pair_fn *each, void *context,
	struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(record->meta, &stmt, err, sql, "i", run);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1)
		rc = each(context, sl_stmt_text(stmt, 0), sl_stmt_text(stmt, 1));
	return rc;
}

int sl_rec_params(struct sl_record *record, int64_t run, sl_rec_pair_fn *each, void *context, struct sl_error *err)
{
	return each_pair(record, "SELECT name, value FROM rec_param WHERE run = ?1 ORDER BY name", run, each, context, err);
}

int sl_rec_tags(struct sl_record *record, int64_t run, sl_rec_pair_fn *each, void *context, struct sl_error *err)
{
	return each_pair(record, "SELECT name, value FROM rec_tag WHERE run = ?1 ORDER BY name", run, each, context, err);
}

int sl_rec_latest(struct sl_record *record, int64_t run, sl_rec_point_fn *each, void *context, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(record->meta, &stmt, err, "SELECT name, time_ms, step, value FROM rec_series WHERE run = ?1 ORDER BY name",
		"i", run);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		struct sl_rec_point point = {sl_stmt_text(stmt, 0), sl_stmt_int(stmt, 1), sl_stmt_int(stmt, 2),
			sl_stmt_null(stmt, 3) ? (double)NAN : sl_stmt_double(stmt, 3)};
		rc = each(context, &point);
	}
	return rc;
}

int sl_rec_series(struct sl_record *record, int64_t run, const char *name, int64_t *ret, struct sl_error *err)
{
	return sl_meta_int(record->meta, 0, ret, err, "SELECT id FROM rec_series WHERE run = ?1 AND name = ?2", "is", run, name);
}

int64_t sl_rec_history(struct sl_record *record, int64_t series, const char *name, struct sl_rec_cursor *cursor, int64_t max,
	sl_rec_point_fn *each, void *context, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int64_t count = 0;
	int rc;
	if (cursor->set)
		rc = sl_meta_query(record->meta, &stmt, err,
			"SELECT time_ms, step, value FROM rec_point WHERE series = ?1 AND (time_ms, step, value) > (?2, ?3, ?4) "
			"ORDER BY time_ms, step, value LIMIT ?5", "iiidi", series, cursor->time_ms, cursor->step, cursor->value, max);
	else
		rc = sl_meta_query(record->meta, &stmt, err,
			"SELECT time_ms, step, value FROM rec_point WHERE series = ?1 ORDER BY time_ms, step, value LIMIT ?2", "ii", series,
			max);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		*cursor = (struct sl_rec_cursor){true, sl_stmt_int(stmt, 0), sl_stmt_int(stmt, 1), sl_stmt_double(stmt, 2)};
		struct sl_rec_point point = {name, cursor->time_ms, cursor->step,
			isinf(cursor->value) ? (double)NAN : cursor->value};
		rc = each(context, &point);
		count++;
	}
	return rc < 0 ? rc : count;
}
