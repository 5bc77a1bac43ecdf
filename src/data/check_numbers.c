/* Checks of one number: of a column, of its set of values, beside the versions before. The number is an aggregate of the counting
 * statement, over rows that stay and that `where` lets in. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "data/check_worker.h"
#include "data/profile.h"
#include "os/clock.h"

/* ---- aggregates ------------------------------------------------------------------------------------------------------- */

/* What stands for @ in an aggregate, by the column's class; a class without one has no such number. */
static const struct aggregate {
	enum sl_check_kind kind;
	const char *name;             /* of a `change` or `anomaly`, NULL: of none */
	const char *sql;              /* @ the value, ! FILTER of the rows */
	bool numbers, bools, times, all; /* classes */
} AGGREGATES[] = {
	{SL_CHECK_MEAN, "mean", "avg(@) !", .numbers = true, .bools = true},
	{SL_CHECK_MEDIAN, "median", "quantile_cont(@, 0.5) !", .numbers = true, .bools = true},
	{SL_CHECK_STDEV, "std", "stddev_samp(@) !", .numbers = true, .bools = true},
	{SL_CHECK_SUM, "sum", "sum(@) !", .numbers = true, .bools = true},
	{SL_CHECK_MINIMUM, "min", "min(@) !", .numbers = true, .bools = true, .times = true},
	{SL_CHECK_MAXIMUM, "max", "max(@) !", .numbers = true, .bools = true, .times = true},
	{SL_CHECK_QUANTILE, NULL, "quantile_disc(@, #) !", .numbers = true, .bools = true},
	{SL_CHECK_DISTINCT, "distinct", "count(DISTINCT @) !", .all = true},
	{SL_CHECK_DISTINCT_SHARE, NULL, "count(DISTINCT @) ! / nullif(count(@) !, 0)", .all = true},
	{SL_CHECK_FRESH, NULL, "max(@) !", .times = true},
	{SL_CHECK_KINDS, "missing_share", "1 - count(@) ! / nullif(count(*) !, 0)", .all = true},
	{SL_CHECK_KINDS, "rows", "count(*) !", .all = true},
};

static const struct aggregate *find_aggregate(const struct sl_check *check)
{
	bool past = check->kind == SL_CHECK_CHANGE || check->kind == SL_CHECK_ANOMALY;

	for (size_t i = 0; i < SL_ARRAY_LEN(AGGREGATES); i++)
		if (past ? AGGREGATES[i].name && strcmp(AGGREGATES[i].name, check->text) == 0 : AGGREGATES[i].kind == check->kind)
			return &AGGREGATES[i];
	return NULL;
}

static bool fits(const struct aggregate *aggregate, const char *type)
{
	switch (sl_check_class(type)) {
	case SL_CLASS_NUMBER: return aggregate->numbers || aggregate->all;
	case SL_CLASS_BOOL: return aggregate->bools || aggregate->all;
	case SL_CLASS_TIME: return aggregate->times || aggregate->all;
	default: return aggregate->all;
	}
}

static void operand(const struct aggregate *aggregate, const struct sl_data_column *column, struct sl_buf *out)
{
	enum sl_check_class class = sl_check_class(column->type);
	bool time = class == SL_CLASS_TIME && !aggregate->all;

	sl_buf_str(out, time ? "epoch_us(" : "");
	sl_sql_quote_name(out, column->name);
	sl_buf_str(out, time ? "::TIMESTAMP)" : class == SL_CLASS_BOOL ? "::INTEGER" : "");
}

static int write_aggregate(struct sl_check_worker *w, struct sl_checking *c, const struct aggregate *aggregate,
			   const struct sl_data_column *column, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);

	for (const char *p = aggregate->sql; *p; p++) {
		if (*p == '@')
			operand(aggregate, column, &text);
		else if (*p == '#')
			sl_buf_printf(&text, "%.17g", c->check->number);
		else if (*p == '!') /* what is put aside is known only when all checks are planned */
			sl_buf_printf(&text, "FILTER (%s AND %s)", c->where, w->stays_name);
		else
			sl_buf_char(&text, *p);
	}
	c->numbers[0] = sl_check_keep_text(w, &text, err);
	return c->numbers[0] ? 0 : SL_E_NO_MEMORY;
}

/* ---- sets of values --------------------------------------------------------------------------------------------------- */

/* How many of the column's values are not in the set; how many of the set's values are not in the column. */
static int write_set(struct sl_check_worker *w, struct sl_checking *c, const struct sl_data_column *column, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf beyond = SL_BUF_INIT(SL_ENGINE_TEXT_MAX), missing = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);
	size_t at = 0;

	sl_buf_str(&beyond, "count(DISTINCT ");
	sl_sql_quote_name(&beyond, column->name);
	sl_buf_printf(&beyond, ") FILTER (%s AND %s AND ", c->where, w->stays_name);
	sl_check_set_sql(c->check, column, true, &beyond);
	sl_buf_char(&beyond, ')');
	/* One term for each value: the same value written twice would be one value. */
	for (size_t i = 0; i < c->check->value_count; i++) {
		struct sl_check one = {.values = &c->check->values[i], .value_count = 1};
		sl_buf_printf(&missing, "%s(count(*) FILTER (%s AND %s AND ", i ? " + " : "", c->where, w->stays_name);
		sl_check_set_sql(&one, column, false, &missing);
		sl_buf_str(&missing, ") = 0)::INTEGER");
	}
	if (c->check->kind != SL_CHECK_DISTINCT_CONTAINS)
		c->numbers[at++] = sl_check_keep_text(w, &beyond, err);
	if (c->check->kind != SL_CHECK_DISTINCT_IN)
		c->numbers[at++] = sl_check_keep_text(w, &missing, err);
	return c->numbers[0] && c->numbers[at - 1] ? 0 : SL_E_NO_MEMORY;
}

int sl_check_plan_number(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	static const struct sl_data_column NONE = {"", ""};
	enum sl_check_kind kind = c->check->kind;
	int rc = sl_check_need_columns(w, c, &c->check->columns, err);

	if (rc < 0 || c->settled || kind == SL_CHECK_MOST_COMMON || kind == SL_CHECK_DISTRIBUTION)
		return rc;
	const struct sl_data_column *column = c->check->columns.count ? sl_check_column(w, c->check->columns.items[0]) : &NONE;
	if (kind == SL_CHECK_DISTINCT_IN || kind == SL_CHECK_DISTINCT_CONTAINS || kind == SL_CHECK_DISTINCT_EQUALS)
		return write_set(w, c, column, err);
	const struct aggregate *aggregate = find_aggregate(c->check);
	if (!fits(aggregate, column->type))
		return sl_check_settle(w, c, err, "column '%s' is %s, which has no %s", column->name, column->type,
				       aggregate->name ? aggregate->name : "such number");
	return write_aggregate(w, c, aggregate, column, err);
}

/* ---- judging ---------------------------------------------------------------------------------------------------------- */

static void observe(struct sl_checking *c, double value)
{
	c->result->has_observed = isfinite(value);
	c->result->observed = isfinite(value) ? value : 0;
}

/* "at least 3", "above 3 and at most 5" */
static const char *wanted(const struct sl_check *check, char out[128])
{
	size_t len = 0;

	out[0] = '\0';
	if (check->has_min)
		len = (size_t)snprintf(out, 128, "%s %.15g", check->above ? "above" : "at least", sl_check_bound(&check->min));
	if (check->has_max)
		snprintf(out + len, 128 - len, "%s%s %.15g", len ? " and " : "", check->below ? "below" : "at most", sl_check_bound(&check->max));
	return out;
}

static int judge_range(struct sl_check_worker *w, struct sl_checking *c, const char *what, struct sl_error *err)
{
	char range[128];

	observe(c, c->got[0]);
	if (sl_check_within(c->check, c->got[0]))
		return 0;
	if (isnan(c->got[0]))
		return sl_check_settle(w, c, err, "there is no %s: no value", what);
	return sl_check_settle(w, c, err, "the %s is %.15g, %s is asked for", what, c->got[0], wanted(c->check, range));
}

static int judge_set(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	bool in = c->check->kind != SL_CHECK_DISTINCT_CONTAINS;
	double beyond = in ? c->got[0] : 0, missing = c->check->kind == SL_CHECK_DISTINCT_IN ? 0 : c->got[in];

	c->result->failing = (uint64_t)(beyond + missing);
	if (!c->result->failing)
		return 0;
	return sl_check_settle(w, c, err, "%.0f different values are not among those asked for, %.0f of those are missing", beyond, missing);
}

static int judge_fresh(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	const struct sl_check *check = c->check;
	int64_t now_ms = check->at.type == SL_VALUE_TIME ? check->at.i / 1000 : w->job->now_ms ? w->job->now_ms : sl_now_ms();
	char age[SL_TIME_TEXT], most[SL_TIME_TEXT];
	double age_ms = (double)now_ms - c->got[0] / 1000;

	observe(c, age_ms / 1000);
	if (isnan(age_ms))
		return sl_check_settle(w, c, err, "there is no time in column '%s'", check->columns.items[0]);
	if (age_ms <= (double)check->span)
		return 0;
	return sl_check_settle(w, c, err, "the newest time is %s old, at most %s is asked for", sl_duration_format((int64_t)age_ms, age),
			       sl_duration_format(check->span, most));
}

/* ---- beside the versions before --------------------------------------------------------------------------------------- */

/* The same number of an earlier version, out of its profile; NaN when it has none. */
static double past_number(const struct sl_check *check, const struct sl_profile *profile)
{
	const struct sl_profile_column *c = check->columns.count ? sl_profile_column(profile, check->columns.items[0]) : NULL;
	const char *name = check->text;

	if (strcmp(name, "rows") == 0)
		return (double)profile->rows;
	if (!c)
		return NAN;
	if (strcmp(name, "missing_share") == 0)
		return profile->rows ? (double)c->missing / (double)profile->rows : NAN;
	if (strcmp(name, "distinct") == 0)
		return (double)c->distinct;
	if (strcmp(name, "median") == 0)
		return c->quantiles[SL_PROFILE_QUANTILES / 2];
	if (strcmp(name, "sum") == 0)
		return c->mean * (double)(c->present - c->nan - c->infinite);
	return strcmp(name, "mean") == 0 ? c->mean : strcmp(name, "std") == 0 ? c->std : strcmp(name, "min") == 0 ? c->min : c->max;
}

/* What the newest `most` profiles say; *ret_count numbers, the newest first. */
static int past_numbers(struct sl_check_worker *w, const struct sl_checking *c, size_t most, double *ret, size_t *ret_count,
			struct sl_error *err)
{
	*ret_count = 0;
	for (size_t i = 0; i < w->job->profile_count && i < most; i++) {
		struct sl_profile profile;
		const char *text = w->job->profiles[i];
		int rc = sl_profile_parse(text, strlen(text), w->arena, &profile, err);
		if (rc < 0)
			return rc;
		double number = past_number(c->check, &profile);
		if (!isnan(number))
			ret[(*ret_count)++] = number;
	}
	return 0;
}

static int judge_change(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	bool share = strcmp(c->check->text, "missing_share") == 0;
	double before = NAN, change;
	char range[128];
	size_t count = 0;
	int rc = past_numbers(w, c, 1, &before, &count, err);

	if (rc < 0 || !count)
		return rc;
	change = c->got[0] - before;
	if (!share && change != 0)
		change = before != 0 ? change / fabs(before) : change > 0 ? INFINITY : -INFINITY;
	observe(c, change);
	if (sl_check_within(c->check, change))
		return 0;
	return sl_check_settle(w, c, err, "%s changed by %.4g%s (%.15g after %.15g), %s is asked for", c->check->text, change,
			       share ? "" : " of what it was", c->got[0], before, wanted(c->check, range));
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median_of(double *values, size_t count)
{
	qsort(values, count, sizeof *values, by_size);
	return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* Robust standard deviation: 1.4826 times the median distance from the median (Rousseeuw and Croux, 1993); 1.2533 times the mean
 * distance where more than half of the values are equal. */
static double spread_of(double *values, size_t count, double median)
{
	double mean = 0;

	for (size_t i = 0; i < count; i++) {
		values[i] = fabs(values[i] - median);
		mean += values[i] / (double)count;
	}
	double typical = median_of(values, count);
	return typical > 0 ? 1.4826 * typical : 1.2533 * mean;
}

enum { HISTORY_LEAST = 3 };

static int judge_anomaly(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	double *past = sl_arena_array(w->arena, (size_t)c->check->span + 1, sizeof *past);
	size_t count = 0;
	int rc = past ? past_numbers(w, c, (size_t)c->check->span, past, &count, err) : sl_fail_memory(err);

	if (rc < 0 || count < HISTORY_LEAST)
		return rc;
	double median = median_of(past, count), spread = spread_of(past, count, median), off = fabs(c->got[0] - median);
	double deviations = off > 0 ? off / spread : 0;
	observe(c, deviations);
	if (deviations <= c->check->number)
		return 0;
	return sl_check_settle(w, c, err, "%s is %.15g; the last %zu versions had %.15g with a deviation of %.4g, at most %.15g of which are asked for",
			       c->check->text, c->got[0], count, median, spread, c->check->number);
}

int sl_check_judge_number(struct sl_check_worker *w, struct sl_checking *c, struct sl_error *err)
{
	static const char *const NAMES[SL_CHECK_KINDS] = {
		[SL_CHECK_MEAN] = "mean", [SL_CHECK_MEDIAN] = "median", [SL_CHECK_STDEV] = "standard deviation", [SL_CHECK_SUM] = "sum",
		[SL_CHECK_MINIMUM] = "least value", [SL_CHECK_MAXIMUM] = "greatest value", [SL_CHECK_QUANTILE] = "quantile",
		[SL_CHECK_DISTINCT] = "number of different values", [SL_CHECK_DISTINCT_SHARE] = "share of different values"};

	switch (c->check->kind) {
	case SL_CHECK_DISTINCT_IN:
	case SL_CHECK_DISTINCT_CONTAINS:
	case SL_CHECK_DISTINCT_EQUALS:
		return judge_set(w, c, err);
	case SL_CHECK_FRESH:
		return judge_fresh(w, c, err);
	case SL_CHECK_CHANGE:
		return judge_change(w, c, err);
	case SL_CHECK_ANOMALY:
		return judge_anomaly(w, c, err);
	default:
		return judge_range(w, c, NAMES[c->check->kind], err);
	}
}
