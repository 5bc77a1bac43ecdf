/* Statements of their own over the rows that stay: the most common value; the distance of a column's distribution from that of
 * another dataset, or of the version before. docs/checks.md has the definitions; those of PSI and Jensen-Shannon are the
 * monitors' (data/distance.h). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/check_worker.h"
#include "data/distance.h"

/* WITH kept AS (the column's values that count, as x), and `other` beside it. */
static void with_values(const struct sl_check_worker *w, const struct sl_checking *c, const char *other, struct sl_buf *out)
{
	SL_AUTO_BUF struct sl_buf name = SL_BUF_INIT(1 << 20);

	sl_sql_quote_name(&name, c->check->columns.items[0]);
	sl_buf_printf(out, "WITH kept AS (SELECT %s AS x FROM ", sl_buf_cstr(&name));
	sl_check_rows_kept(w, out);
	sl_buf_printf(out, " AND %s AND %s IS NOT NULL)", c->where, sl_buf_cstr(&name));
	if (!other)
		return;
	sl_buf_printf(out, ", other AS (SELECT %s AS x FROM ", sl_buf_cstr(&name));
	sl_sql_quote_name(out, other);
	sl_buf_printf(out, " WHERE %s AND %s IS NOT NULL)", c->where, sl_buf_cstr(&name));
}

static int one_number(struct sl_check_worker *w, const struct sl_buf *text, double *ret, struct sl_error *err)
{
	SL_CLEANUP(sl_sql_result_closep) struct sl_sql_result *result = NULL;
	const struct sl_sql_column *columns;
	size_t rows;
	int rc = sl_buf_check(text, "a check", err);

	if (rc < 0 || (rc = sl_engine_query(&w->engine, sl_buf_cstr(text), &result, err)) < 0
	    || (rc = sl_sql_next(result, &columns, &rows, err)) < 0)
		return rc;
	*ret = rc == 0 || (columns[0].valid && !columns[0].valid[0]) ? NAN : columns[0].doubles[0];
	return 0;
}

int sl_check_most_common(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);
	const struct sl_data_column x = {"x", sl_check_column(w, c->check->columns.items[0])->type};
	double within;

	with_values(w, c, NULL, &text);
	sl_buf_str(&text, ", counted AS (SELECT x, count(*) AS n FROM kept GROUP BY x) SELECT bool_or(");
	sl_check_set_sql(c->check, &x, false, &text);
	sl_buf_str(&text, ")::INTEGER::DOUBLE FROM counted WHERE n = (SELECT max(n) FROM counted)");
	int rc = one_number(w, &text, &within, err);
	if (rc < 0 || within == 1)
		return rc;
	return sl_check_settle(w, c, err, isnan(within) ? "column '%s' has no value" : "the most common value of '%s' is none of those asked for",
			       c->check->columns.items[0]);
}

/* ---- distances -------------------------------------------------------------------------------------------------------- */

/* The share of both that falls into each bin: numbers and times by the deciles of the reference, bin i holding what is above its
 * lower edge up to its upper edge; all else by value. */
static void binned_sql(bool ordered, struct sl_buf *out)
{
	if (ordered)
		sl_buf_str(out,
			   ", edges AS (SELECT unnest(list_distinct(quantile_disc(x, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]))) AS edge FROM other), "
			      "kept_b AS (SELECT edge AS b FROM kept ASOF LEFT JOIN edges ON kept.x <= edges.edge), "
			      "other_b AS (SELECT edge AS b FROM other ASOF LEFT JOIN edges ON other.x <= edges.edge)");
	else
		sl_buf_str(out, ", kept_b AS (SELECT x::VARCHAR AS b FROM kept), other_b AS (SELECT x::VARCHAR AS b FROM other)");
	sl_buf_str(out, ", counts AS (SELECT coalesce(sum(n) FILTER (new), 0)::DOUBLE AS q, coalesce(sum(n) FILTER (NOT new), 0)::DOUBLE AS p "
			"FROM (SELECT b, true AS new, count(*) AS n FROM kept_b GROUP BY b UNION ALL "
			"SELECT b, false, count(*) FROM other_b GROUP BY b) GROUP BY b), "
			"shares AS (SELECT q / sum(q) OVER () AS q, p / sum(p) OVER () AS p, q AS qn, p AS pn FROM counts)");
}

static void measure_sql(const char *measure, struct sl_buf *out)
{
	if (strcmp(measure, "psi") == 0) /* shares of at least 1e-4, then made to sum up to 1 again */
		sl_buf_str(out, ", floored AS (SELECT greatest(q, 1e-4) AS q, greatest(p, 1e-4) AS p FROM shares), "
				"scaled AS (SELECT q / sum(q) OVER () AS q, p / sum(p) OVER () AS p FROM floored) "
				"SELECT sum((q - p) * ln(q / p)) FROM scaled");
	else if (strcmp(measure, "js") == 0)
		sl_buf_str(out, " SELECT sqrt(greatest(0, sum(CASE WHEN q > 0 THEN q * log2(2 * q / (p + q)) ELSE 0 END + "
				"CASE WHEN p > 0 THEN p * log2(2 * p / (p + q)) ELSE 0 END) / 2)) FROM shares");
	else if (strcmp(measure, "l_infinity") == 0)
		sl_buf_str(out, " SELECT max(abs(q - p)) FROM shares");
	else if (strcmp(measure, "normalized_difference") == 0)
		sl_buf_str(out, " SELECT max(abs(qn - pn)) / (sum(qn) + sum(pn)) FROM shares");
	else /* two samples, r x 2 table: sum over both of (seen - expected)^2 / expected */
		sl_buf_str(out, " SELECT sum(pow(qn - (qn + pn) * a, 2) / ((qn + pn) * a) + pow(pn - (qn + pn) * (1 - a), 2) / ((qn + pn) * (1 - a))) FROM "
				"(SELECT *, sum(qn) OVER () / (sum(qn) OVER () + sum(pn) OVER ()) AS a FROM shares)");
}

/* The greatest distance of the two distribution functions, over every value. */
static void ks_sql(struct sl_buf *out)
{
	sl_buf_str(out, ", counts AS (SELECT x, coalesce(sum(n) FILTER (new), 0)::DOUBLE AS q, coalesce(sum(n) FILTER (NOT new), 0)::DOUBLE AS p "
			"FROM (SELECT x, true AS new, count(*) AS n FROM kept GROUP BY x UNION ALL SELECT x, false, count(*) FROM other GROUP BY x) GROUP BY x) "
			"SELECT max(abs(qs - ps)) FROM (SELECT sum(q) OVER w / sum(q) OVER () AS qs, sum(p) OVER w / sum(p) OVER () AS ps FROM counts "
			"WINDOW w AS (ORDER BY x ROWS UNBOUNDED PRECEDING))");
}

static void write_measure(const struct sl_check_worker *w, const struct sl_checking *c, const char *other, bool count_bins, struct sl_buf *out)
{
	enum sl_check_class class = sl_check_class(sl_check_column(w, c->check->columns.items[0])->type);
	bool ordered = class == SL_CLASS_NUMBER || class == SL_CLASS_TIME;

	with_values(w, c, other, out);
	if (strcmp(c->check->text, "ks") == 0) {
		ks_sql(out);
		return;
	}
	binned_sql(ordered, out);
	if (count_bins)
		sl_buf_str(out, " SELECT count(*)::DOUBLE FROM counts");
	else
		measure_sql(c->check->text, out);
}

static int measure(struct sl_check_worker *w, struct sl_checking *c, const char *other, double *ret, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_ENGINE_TEXT_MAX), bins = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);
	double count;

	write_measure(w, c, other, false, &text);
	int rc = one_number(w, &text, ret, err);
	if (rc < 0 || strcmp(c->check->text, "chi_square") != 0)
		return rc;
	write_measure(w, c, other, true, &bins);
	if ((rc = one_number(w, &bins, &count, err)) < 0)
		return rc;
	*ret = isnan(*ret) ? NAN : sl_chi_square_p(*ret, count - 1);
	return 0;
}

int sl_check_distance(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	const struct sl_check *check = c->check;
	bool previous = strcmp(check->other, "previous") == 0;
	const char *other = previous ? sl_arena_printf(w->arena, "%s@previous", w->job->dataset) : check->other;
	double value;

	if (!other)
		return sl_fail_memory(err);
	if (previous && !w->job->previous)
		return 0; /* the first version is what it is */
	if (!previous && !sl_check_other(w, c, err))
		return c->settled ? 0 : SL_E_NO_MEMORY;
	int rc = measure(w, c, other, &value, err);
	if (rc < 0)
		return sl_error_context(err, "check %s", check->name);
	c->result->has_observed = isfinite(value);
	c->result->observed = isfinite(value) ? value : 0;
	if (sl_check_within(check, value))
		return 0;
	if (isnan(value))
		return sl_check_settle(w, c, err, "column '%s' has no value here or in '%s'", check->columns.items[0], other);
	const char *what = strcmp(check->text, "chi_square") == 0 ? "the chi-square test's p-value" : check->text;
	return sl_check_settle(w, c, err, "%s is %.4g against '%s'", what, value, other);
}
