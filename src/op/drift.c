/* drift: two sides, read at the same time where both are tables, compared and told. */
#include <math.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "op/handlers.h"
#include "op/resolve.h"
#include "os/crew.h"
#include "track/model.h"
#include "watch/drift_joint.h"
#include "watch/drift_report.h"
#include "watch/estimate.h"

struct side {
	struct sl_call *call;
	struct sl_store *store;
	struct sl_ref ref;
	const char *shown;               /* what the report calls it: with the version that it turned out to be */
	struct sl_drift_columns columns;
	struct sl_staged table;          /* a dataset */
	int64_t from_ms, to_ms;          /* an endpoint */
	struct sl_package package;       /* a model */
	struct sl_reference statistics;
	struct sl_arena *arena;          /* of `rows`: each side has its own, as they are filled at the same time */
	struct sl_drift_rows rows;
	bool no_probability;             /* the answers are none: an endpoint's model is not binary */
};

static void side_done(struct side *side)
{
	sl_drift_rows_done(&side->rows);
	sl_arena_free(side->arena);
}

/* ---- what a side is ---------------------------------------------------------------------------------------------------- */

static int find_dataset(struct side *side, struct sl_error *err)
{
	struct sl_dataset_head head;
	char hex[SL_HASH_HEX + 1];
	int rc = sl_dataset_find(&side->store->track, side->ref.name, side->ref.version, &head, err);
	if (!rc)
		rc = sl_staged_version(side->store->objects, &head.hash, side->call->arena, &side->table, err);
	if (rc)
		return rc;
	side->shown = sl_arena_printf(side->call->arena, "%s@%.12s", side->ref.name, sl_hash_hex(&head.hash, hex));
	return side->shown ? 0 : sl_fail_memory(err);
}

static int find_model(struct side *side, struct sl_error *err)
{
	struct sl_model_version version;
	int rc = sl_model_find(&side->store->track, side->ref.name, side->ref.version, &version, err);
	if (!rc)
		rc = sl_package_read(side->store->objects, &version.hash, side->call->arena, &side->package, err);
	if (!rc)
		rc = sl_package_reference(side->store->objects, &side->package, side->call->arena, &side->statistics, err);
	if (rc)
		return rc;
	side->shown = sl_arena_printf(side->call->arena, "model:%s@%lld", side->ref.name, (long long)version.version);
	return side->shown ? 0 : sl_fail_memory(err);
}

/* "FROM..TO", each may be missing; "" is all of the log. */
static int parse_window(struct side *side, struct sl_error *err)
{
	char from[sizeof side->ref.version];
	const char *dots = strstr(side->ref.version, "..");
	side->from_ms = INT64_MIN;
	side->to_ms = INT64_MAX;
	if (!side->ref.version[0])
		return 0;
	memcpy(from, side->ref.version, sizeof from);
	if (dots)
		from[dots - side->ref.version] = 0;
	if (dots && (!from[0] || sl_time_parse(from, &side->from_ms)) && (!dots[2] || sl_time_parse(dots + 2, &side->to_ms)) && side->from_ms < side->to_ms)
		return 0;
	sl_fail(err, SL_E_INVALID, "'%s' is no window of time", side->ref.version);
	return sl_error_hint(err, "endpoint:%s@2001-03-01..2001-04-01; either end may be left out", side->ref.name);
}

static int find_side(struct side *side, const char *argument, bool may_be_model, struct sl_error *err)
{
	const char *text = sl_call_text(side->call, argument);
	int rc = sl_resolve(side->call, side->store, text, &side->ref, err);
	if (rc)
		return rc;
	switch (side->ref.kind) {
	case SL_REF_DATASET: return find_dataset(side, err);
	case SL_REF_ENDPOINT:
		side->shown = text;
		return parse_window(side, err);
	case SL_REF_MODEL:
		if (may_be_model)
			return find_model(side, err);
		sl_fail(err, SL_E_INVALID, "'%.200s' is a model: it has statistics of its training rows, not rows", text);
		return sl_error_hint(err, "a model can be the reference: sluice drift model:NAME endpoint:NAME");
	default:
		sl_fail(err, SL_E_INVALID, "'%.200s' is neither a dataset nor an endpoint", text);
		return sl_error_hint(err, "sluice ls datasets, sluice ls endpoints");
	}
}

/* ---- reading ------------------------------------------------------------------------------------------------------------ */

static int read_table(struct side *side, struct sl_error *err)
{
	struct sl_sql *sql SL_CLEANUP(sl_sql_closep) = NULL;
	const char **paths = sl_arena_array(side->arena, side->table.file_count + 1, sizeof *paths);
	if (!paths)
		return sl_fail_memory(err);
	for (size_t i = 0; i < side->table.file_count; i++)
		paths[i] = side->table.files[i].path;
	struct sl_sql_options options = {.raw_paths = paths, .raw_path_count = side->table.file_count, .threads = 1, .cancel = side->call->cancel};
	int rc = sl_sql_open(&options, &sql, err);
	rc = rc ? rc : sl_drift_read_table(sql, &side->table, &side->columns, &side->rows, err);
	return rc < 0 ? sl_error_context(err, "%s", side->shown) : 0;
}

static int read_side(struct side *side, struct sl_error *err)
{
	struct sl_hash model;
	if (side->ref.kind == SL_REF_MODEL)
		return 0;
	if (side->ref.kind == SL_REF_DATASET)
		return read_table(side, err);
	struct sl_hash none = {0};
	int rc = sl_drift_read_log(side->store, side->ref.name, side->from_ms, side->to_ms, &side->columns, &side->rows, &model, err);
	if (rc == SL_E_NOT_FOUND)
		return sl_fail(err, SL_E_NOT_FOUND, "'%s' has answered nothing yet", side->shown);
	if (rc || sl_hash_eq(&model, &none))
		return rc;
	rc = sl_package_read(side->store->objects, &model, side->call->arena, &side->package, err);
	side->no_probability = side->package.task != SL_TASK_BINARY;
	return rc;
}

static int read_one_table(void *context, size_t i, int worker, struct sl_error *err)
{
	(void)worker;
	return read_table(&((struct side *)context)[i], err);
}

static int read_sides(struct side sides[2], struct sl_error *err)
{
	struct sl_crew *crew SL_CLEANUP(sl_crew_freep) = NULL;
	bool tables = sides[0].ref.kind == SL_REF_DATASET && sides[1].ref.kind == SL_REF_DATASET;
	int rc;
	if (!tables || sides[0].columns.segment) { /* the current side's segments are those of the reference */
		rc = read_side(&sides[0], err);
		rc = rc ? rc : sl_drift_share_segments(&sides[0].rows, &sides[1].rows, err);
		return rc ? rc : read_side(&sides[1], err);
	}
	rc = sl_crew_new(2, &crew, err);
	return rc ? rc : sl_crew_run(crew, 2, read_one_table, sides, err);
}

/* ---- the report --------------------------------------------------------------------------------------------------------- */

static int read_options(struct sl_call *call, struct sl_drift_options *ret, struct sl_error *err)
{
	size_t count;
	const char *const *bars = sl_call_list(call, "bar", &count), *correction = sl_call_text(call, "correction");
	sl_drift_defaults(ret);
	ret->alpha = sl_call_double(call, "alpha");
	ret->share = sl_call_double(call, "share");
	ret->correction = sl_str_eq(correction, "bonferroni") ? SL_DRIFT_BONFERRONI
			  : sl_str_eq(correction, "none")     ? SL_DRIFT_UNCORRECTED
							      : SL_DRIFT_FALSE_DISCOVERY;
	if (!(ret->alpha > 0 && ret->alpha <= 1) || !(ret->share > 0 && ret->share <= 1))
		return sl_fail(err, SL_E_INVALID, "--alpha and --share lie above 0 and are at most 1");
	for (size_t i = 0; i < count; i++) {
		int rc = sl_drift_parse_bar(bars[i], ret, err);
		if (rc)
			return rc;
	}
	return 0;
}

static int write_page(struct sl_call *call, const struct side sides[2], const struct sl_drift_report *report, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	struct sl_buf page SL_AUTO_BUF = SL_BUF_INIT(SL_DRIFT_HTML_MAX);
	const char *file = sl_call_text(call, "html");
	if (!file)
		return 0;
	int rc = sl_call_path(call, file, path, err);
	rc = rc ? rc : sl_drift_html(report, sides[0].shown, sides[1].shown, &page, err);
	rc = rc ? rc : sl_file_replace(path, page.data, page.len, 0644, err);
	if (!rc)
		sl_put_text(call, sl_call_object(call), "file", path);
	return rc;
}

static bool has_failed(struct sl_call *call, const struct sl_drift_report *report)
{
	const char *fail = sl_call_text(call, "fail");
	if (!fail)
		return false;
	return sl_str_eq(fail, "dataset") ? report->dataset_drift : report->level >= (sl_str_eq(fail, "warn") ? SL_DRIFT_WARN : SL_DRIFT_ALARM);
}

/* The two that look at whole rows: each is told when asked for. */
static int compare_rows(struct sl_call *call, struct side sides[2], struct sl_drift_report *report, struct sl_error *err)
{
	struct sl_drift_classifier *classifier = sl_arena_alloc(call->arena, sizeof *classifier);
	struct sl_drift_outliers *outliers = sl_arena_alloc(call->arena, sizeof *outliers);
	bool classify = sl_call_flag(call, "classify"), isolate = sl_call_flag(call, "outliers");
	int rc = classifier && outliers ? 0 : sl_fail_memory(err);
	if (!rc && (classify || isolate) && sides[0].ref.kind == SL_REF_MODEL)
		rc = sl_fail(err, SL_E_INVALID, "'%s' is a model: rows as a whole can only be compared with rows", sides[0].shown);
	if (!rc && classify)
		rc = sl_drift_classify(&sides[0].rows, &sides[1].rows, call->arena, classifier, err);
	if (!rc && isolate)
		rc = sl_drift_find_outliers(&sides[0].rows, &sides[1].rows, call->arena, outliers, err);
	report->classifier = classify ? classifier : NULL;
	report->outliers = isolate ? outliers : NULL;
	return rc;
}

/* Answers that are probabilities, as one distribution; NULL: there are none. */
static const struct sl_distribution *probabilities_of(const struct side *side)
{
	for (size_t i = 0; i < side->rows.field_count && !side->no_probability; i++) {
		const struct sl_distribution *d = &side->rows.groups[0].columns[i];
		if (side->rows.fields[i].role == SL_DRIFT_PREDICTION && !d->texts && d->moments.n && d->min >= 0 && d->max <= 1)
			return d;
	}
	return NULL;
}

/* What the answers' quality is expected to be, before labels come. */
static int put_estimate(struct sl_call *call, yyjson_mut_val *object, const char *name, const struct sl_distribution *d, struct sl_error *err)
{
	static const char *const NAMES[] = {"estimated_error_rate", "estimated_auc", "estimated_log_loss", "estimated_brier"};
	struct sl_estimate estimate SL_CLEANUP(sl_estimate_done) = {0};
	size_t count;
	double error;
	SL_AUTO_FREE struct sl_weighted *items = sl_distribution_items(d, &count);
	bool ok = items;
	for (size_t i = 0; ok && i < count; i++)
		ok = sl_estimate_add(&estimate, items[i].value, (double)items[i].weight);
	if (!ok)
		return sl_fail_memory(err);
	yyjson_mut_val *out = sl_put_object(call, object, name);
	for (size_t i = 0; i < SL_ARRAY_LEN(NAMES); i++) {
		double value = sl_estimate_statistic(&estimate, NAMES[i], &error);
		if (!isnan(value))
			sl_put_double(call, out, NAMES[i] + strlen("estimated_"), value);
	}
	return 0;
}

static int put_estimates(struct sl_call *call, const struct side sides[2], struct sl_error *err)
{
	static const char *const NAMES[] = {"reference", "current"};
	const struct sl_distribution *of[2] = {probabilities_of(&sides[0]), probabilities_of(&sides[1])};
	yyjson_mut_val *out = of[0] || of[1] ? sl_put_object(call, sl_call_object(call), "estimated") : NULL;
	int rc = 0;
	for (size_t s = 0; s < 2 && !rc; s++)
		rc = of[s] ? put_estimate(call, out, NAMES[s], of[s], err) : 0;
	return rc;
}

static int compare(struct sl_call *call, struct side sides[2], struct sl_error *err)
{
	struct sl_drift_options options;
	struct sl_drift_report report;
	bool model = sides[0].ref.kind == SL_REF_MODEL;
	struct sl_drift_reference reference = {.rows = model ? NULL : &sides[0].rows, .package = &sides[0].package, .statistics = &sides[0].statistics};
	int rc = read_options(call, &options, err);
	rc = rc ? rc : read_sides(sides, err);
	rc = rc ? rc : sl_drift_compare(&reference, &sides[1].rows, &options, call->arena, &report, err);
	rc = rc ? rc : compare_rows(call, sides, &report, err);
	if (rc)
		return rc;
	sl_put_text(call, sl_call_object(call), "reference", sides[0].shown);
	sl_put_text(call, sl_call_object(call), "current", sides[1].shown);
	sl_drift_json(&report, call->doc, sl_call_object(call));
	call->failed = has_failed(call, &report);
	rc = put_estimates(call, sides, err);
	return rc ? rc : write_page(call, sides, &report, err);
}

int sl_op_drift(struct sl_call *call, struct sl_error *err)
{
	struct sl_store *store;
	struct side *sides = sl_arena_array(call->arena, 2, sizeof *sides);
	if (!sides)
		return sl_fail_memory(err);
	if (call->remote && sl_call_given(call, "html"))
		return sl_fail(err, SL_E_DENIED, "files cannot be named over HTTP");
	int rc = sl_call_store(call, &store, err);
	for (size_t s = 0; s < 2 && !rc; s++) {
		sides[s].call = call;
		sides[s].store = store;
		sides[s].columns.only = sl_call_list(call, "column", &sides[s].columns.only_count);
		sides[s].columns.segment = sl_call_text(call, "segment");
		sides[s].columns.prediction = sl_call_text(call, "prediction");
		sides[s].columns.label = sl_call_text(call, "label");
		rc = find_side(&sides[s], s ? "current" : "reference", s == 0, err);
		if (!rc && !(sides[s].arena = sl_arena_new(0, err)))
			rc = SL_E_NO_MEMORY;
		if (!rc)
			sl_drift_rows_init(&sides[s].rows, sides[s].arena);
		sides[s].rows.sampled = sl_call_flag(call, "classify") || sl_call_flag(call, "outliers");
	}
	rc = rc ? rc : compare(call, sides, err);
	side_done(&sides[0]);
	side_done(&sides[1]);
	return rc;
}
