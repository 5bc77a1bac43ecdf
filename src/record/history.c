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

/* ---- samples -------------------------------------------------------------------------------------------------------- */

/* Which rows of `n` a sample of at most `max` takes: the first of each of `max` buckets, as NTILE makes them. */
struct sampler {
	int64_t max, q, r, next, picked;
	struct sl_rec_cursor *points;
};

static void next_pick(struct sampler *s)
{
	int64_t b = s->picked;
	s->next = b < s->max && (s->q > 0 || b < s->r) ? b * s->q + (b < s->r ? b : s->r) : -1;
}

static bool same_point(const struct sl_rec_cursor *a, const struct sl_rec_cursor *b)
{
	return a->time_ms == b->time_ms && a->step == b->step && a->value == b->value;
}

/* One pass in the order that `sql` gives; *ret_sorted tells whether that is by step too. The last row of all is kept besides. */
static int sample_pass(struct sl_record *record, const char *sql, int64_t series, const struct sl_rec_range *range,
	struct sampler *s, struct sl_rec_cursor *last, bool *ret_sorted, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int64_t row = 0, before = INT64_MIN;
	int rc = sl_meta_query(record->meta, &stmt, err, sql, "iii", series, range->first, range->last);
	s->picked = 0;
	*ret_sorted = true;
	next_pick(s);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		int64_t step = sl_stmt_int(stmt, 1);
		*ret_sorted = *ret_sorted && step >= before;
		before = step;
		last->step = step;
		last->time_ms = sl_stmt_int(stmt, 0);
		last->value = sl_stmt_double(stmt, 2);
		if (row++ == s->next) {
			s->points[s->picked++] = *last;
			next_pick(s);
		}
		rc = 0;
	}
	return rc;
}

static int sample(struct sl_record *record, int64_t series, const struct sl_rec_range *range, struct sampler *s,
	struct sl_rec_cursor *last, struct sl_error *err)
{
	bool sorted;
	int rc = sample_pass(record,
		"SELECT time_ms, step, value FROM rec_point WHERE series = ?1 AND step BETWEEN ?2 AND ?3 ORDER BY time_ms, step, value",
		series, range, s, last, &sorted, err);
	if (rc || sorted) /* time and step rise together, as they nearly always do */
		return rc;
	return sample_pass(record,
		"SELECT time_ms, step, value FROM rec_point WHERE series = ?1 AND step BETWEEN ?2 AND ?3 ORDER BY step, time_ms, value",
		series, range, s, last, &sorted, err);
}

int sl_rec_sample(struct sl_record *record, int64_t series, const char *name, const struct sl_rec_range *range, int64_t max,
	struct sl_arena *arena, sl_rec_point_fn *each, void *context, struct sl_error *err)
{
	struct sl_rec_range all = range->set ? *range : (struct sl_rec_range){true, INT64_MIN, INT64_MAX};
	struct sl_rec_cursor last = {0};
	int64_t n;
	int rc = sl_meta_int(record->meta, 0, &n, err, "SELECT count(*) FROM rec_point WHERE series = ?1 AND step BETWEEN ?2 AND ?3",
		"iii", series, all.first, all.last);
	if (rc || !n)
		return rc;
	struct sampler s = {.max = max, .q = n / max, .r = n % max, .points = sl_arena_array(arena, (size_t)max, sizeof *s.points)};
	if (!s.points)
		return sl_fail_memory(err);
	rc = sample(record, series, &all, &s, &last, err);
	/* The last point is always there: in the place of the last bucket's first. */
	if (!rc && s.picked && !same_point(&s.points[s.picked - 1], &last))
		s.points[s.picked < max ? s.picked++ : s.picked - 1] = last;
	for (int64_t i = 0; !rc && i < s.picked; i++) {
		const struct sl_rec_cursor *p = &s.points[i];
		struct sl_rec_point point = {name, p->time_ms, p->step, isinf(p->value) ? (double)NAN : p->value};
		rc = each(context, &point);
	}
	return rc;
}
