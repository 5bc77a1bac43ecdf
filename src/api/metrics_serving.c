#include "api/metrics_serving.h"

#include <inttypes.h>
#include <string.h>

#include "api/metrics.h"
#include "base/json.h"
#include "port/stream.h"
#include "serve/log.h"

/* endpoint="delay",version="3" */
static void series_labels(struct sl_buf *out, const struct sl_stats_series *series)
{
	sl_metrics_label(out, "endpoint", series->endpoint);
	sl_buf_char(out, ',');
	sl_metrics_label(out, "version", series->version);
}

static void write_statuses(const struct sl_stats_file *file, struct sl_buf *out)
{
	static const char name[] = "sluice_predictions_total";
	sl_metrics_head(out, name, "counter", "prediction requests by what they were answered with");
	for (uint64_t i = 0; i < file->count; i++) {
		for (size_t s = 0; s < SL_STATS_STATUS_MAX; s++) {
			if (!file->series[i].status[s])
				continue;
			sl_buf_printf(out, "%s{", name);
			series_labels(out, &file->series[i]);
			if (sl_stats_statuses[s])
				sl_buf_printf(out, ",status=\"%u\"", sl_stats_statuses[s]);
			else
				sl_buf_str(out, ",status=\"other\"");
			sl_buf_printf(out, "} %" PRIu64 "\n", file->series[i].status[s]);
		}
	}
}

static void write_counter(const struct sl_stats_file *file, struct sl_buf *out, const char *name, const char *help, size_t offset)
{
	sl_metrics_head(out, name, "counter", help);
	for (uint64_t i = 0; i < file->count; i++) {
		const uint64_t *value = (const uint64_t *)(const void *)((const char *)&file->series[i] + offset);
		sl_buf_printf(out, "%s{", name);
		series_labels(out, &file->series[i]);
		sl_buf_printf(out, "} %" PRIu64 "\n", *value);
	}
}

/* Buckets of Prometheus hold everything up to their bound. */
static void write_histogram(const struct sl_stats_series *series, enum sl_stats_phase phase, const char *name, struct sl_buf *out)
{
	const struct sl_stats_histogram *h = &series->phases[phase];
	uint64_t total = 0;
	for (size_t b = 0; b < SL_STATS_BUCKETS; b++) {
		total += h->buckets[b];
		sl_buf_printf(out, "%s_bucket{", name);
		series_labels(out, series);
		if (b < SL_STATS_BUCKETS - 1)
			sl_buf_printf(out, ",phase=\"%s\",le=\"%g\"} ", sl_stats_phase_names[phase], sl_stats_bounds_us[b] / 1e6);
		else
			sl_buf_printf(out, ",phase=\"%s\",le=\"+Inf\"} ", sl_stats_phase_names[phase]);
		sl_buf_printf(out, "%" PRIu64 "\n", total);
	}
	const struct { const char *suffix; double value; } ends[] = {{"sum", (double)h->sum_ns / 1e9}, {"count", (double)total}};
	for (size_t i = 0; i < 2; i++) {
		sl_buf_printf(out, "%s_%s{", name, ends[i].suffix);
		series_labels(out, series);
		sl_buf_printf(out, ",phase=\"%s\"} %.17g\n", sl_stats_phase_names[phase], ends[i].value);
	}
}

/* Of endpoints, whichever version answered what was copied. */
static void write_shadows(const struct sl_stats_file *file, struct sl_buf *out)
{
	static const char name[] = "sluice_shadow_requests_total";
	sl_metrics_head(out, name, "counter", "copies of answered requests for shadows, by what became of them");
	for (uint64_t i = 0; i < file->count; i++) {
		const struct sl_stats_series *series = &file->series[i];
		const struct { const char *result; uint64_t count; } counts[] = {
			{"seen", series->shadows}, {"failed", series->shadows_failed}, {"dropped", series->shadows_dropped}};
		for (size_t c = 0; !series->version[0] && c < 3; c++) {
			sl_buf_printf(out, "%s{", name);
			sl_metrics_label(out, "endpoint", series->endpoint);
			sl_buf_printf(out, ",result=\"%s\"} %" PRIu64 "\n", counts[c].result, counts[c].count);
		}
	}
}

void sl_metrics_serving(const struct sl_stats_file *file, struct sl_buf *out)
{
	static const char duration[] = "sluice_prediction_duration_seconds";
	write_statuses(file, out);
	write_counter(file, out, "sluice_prediction_rows_total", "rows predicted", offsetof(struct sl_stats_series, rows));
	write_counter(file, out, "sluice_prediction_unseen_total", "category values that training did not have",
		offsetof(struct sl_stats_series, unseen));
	write_counter(file, out, "sluice_prediction_log_failures_total", "predictions refused because they could not be logged",
		offsetof(struct sl_stats_series, log_failures));
	write_counter(file, out, "sluice_prediction_fallback_rows_total", "rows that the fallback answered", offsetof(struct sl_stats_series, fallbacks));
	write_shadows(file, out);
	sl_metrics_head(out, duration, "histogram", "time spent on answered requests, by phase; request is the whole");
	for (uint64_t i = 0; i < file->count; i++) {
		if (!file->series[i].version[0])
			continue; /* never answered */
		for (enum sl_stats_phase phase = 0; phase < SL_STATS_PHASES; phase++)
			write_histogram(&file->series[i], phase, duration, out);
	}
}

/* ---- logs ---- */

/* Each endpoint once; a log that was never written, or cannot be read now, has no line. */
static void write_log_ends(struct sl_store *store, const struct sl_stats_file *file, struct sl_buf *out)
{
	static const char name[] = "sluice_prediction_log_end_offset";
	sl_metrics_head(out, name, "gauge", "records written to the endpoint's prediction log, since its beginning");
	for (uint64_t i = 0; i < file->count; i++) {
		char stream_name[160];
		struct sl_stream *stream = NULL;
		if (file->series[i].version[0]) /* the one without a version stands for the endpoint */
			continue;
		sl_predlog_name(file->series[i].endpoint, stream_name);
		if (sl_stream_open_reader(store->streams_dir, stream_name, &stream, NULL))
			continue;
		sl_buf_printf(out, "%s{", name);
		sl_metrics_label(out, "endpoint", file->series[i].endpoint);
		sl_buf_printf(out, "} %" PRId64 "\n", sl_stream_end_offset(stream));
		sl_stream_close(stream);
	}
}

int sl_metrics_logs(struct sl_store *store, const struct sl_stats_file *file, struct sl_buf *out, struct sl_error *err)
{
	static const char name[] = "sluice_monitor_prediction_offset";
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	write_log_ends(store, file, out);
	sl_metrics_head(out, name, "gauge", "record of its endpoint's prediction log that the monitor reads next");
	int rc = sl_meta_query(store->meta, &stmt, err, "SELECT monitor, state FROM monitor_state ORDER BY monitor LIMIT 1000", "");
	if (rc)
		return rc;
	while ((rc = sl_stmt_step(stmt, err)) == 1) {
		const char *state = sl_stmt_text(stmt, 1);
		yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(state, strlen(state), "monitor_state", NULL);
		if (!doc)
			continue;
		sl_buf_printf(out, "%s{", name);
		sl_metrics_label(out, "monitor", sl_stmt_text(stmt, 0));
		sl_buf_printf(out, "} %" PRId64 "\n", sl_json_int(yyjson_doc_get_root(doc), "prediction_offset", 0));
	}
	return rc;
}
