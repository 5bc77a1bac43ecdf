#include "api/metrics.h"

#include <inttypes.h>

#include "api/metrics_serving.h"
#include "base/mem.h"
#include "base/str.h"
#include "op/up_state.h"

void sl_metrics_head(struct sl_buf *out, const char *name, const char *type, const char *help)
{
	sl_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void sl_metrics_label(struct sl_buf *out, const char *name, const char *value)
{
	sl_buf_printf(out, "%s=\"", name);
	for (; *value; value++) {
		if (*value == '\n') {
			sl_buf_str(out, "\\n");
			continue;
		}
		if (*value == '"' || *value == '\\')
			sl_buf_char(out, '\\');
		sl_buf_char(out, *value);
	}
	sl_buf_char(out, '"');
}

/* The counters stand in the order in which oip/server.c puts them into the file. */
static void write_http(struct sl_buf *out, const struct sl_http_stats *stats, const struct sl_stats_file *serving)
{
	const struct { const char *name, *help; uint64_t value; } rows[] = {
		{"sluice_http_connections_total", "connections accepted", stats->connections_accepted},
		{"sluice_http_requests_total", "requests read", stats->requests},
		{"sluice_http_refusals_total", "requests refused before any operation saw them", stats->refusals},
		{"sluice_http_received_bytes_total", "bytes received", stats->bytes_in},
		{"sluice_http_sent_bytes_total", "bytes sent", stats->bytes_out},
		{"sluice_http_handed_over_total", "connections handed over to another role", stats->handed_over},
		{"sluice_http_adopted_total", "connections taken over from another role", stats->adopted},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
		sl_metrics_head(out, rows[i].name, "counter", rows[i].help);
		sl_buf_printf(out, "%s{role=\"api\"} %" PRIu64 "\n", rows[i].name, rows[i].value);
		if (serving)
			sl_buf_printf(out, "%s{role=\"infer\"} %" PRIu64 "\n", rows[i].name, serving->server[i]);
	}
	sl_metrics_head(out, "sluice_http_connections", "gauge", "connections open");
	sl_buf_printf(out, "sluice_http_connections{role=\"api\"} %" PRIu32 "\n", stats->connections_open);
}

static void write_roles(struct sl_buf *out, const char *store_dir)
{
	struct sl_up_state up = {0};
	if (sl_up_state_read(store_dir, &up, NULL) <= 0)
		return;
	sl_metrics_head(out, "sluice_role_ready", "gauge", "1 while the role is ready");
	for (size_t i = 0; i < up.role_count; i++) {
		sl_buf_str(out, "sluice_role_ready{");
		sl_metrics_label(out, "role", up.roles[i].name);
		sl_buf_printf(out, "} %d\n", sl_str_eq(up.roles[i].state, "ready"));
	}
	sl_metrics_head(out, "sluice_role_restarts_total", "counter", "restarts of the role since up");
	for (size_t i = 0; i < up.role_count; i++) {
		sl_buf_str(out, "sluice_role_restarts_total{");
		sl_metrics_label(out, "role", up.roles[i].name);
		sl_buf_printf(out, "} %" PRId64 "\n", up.roles[i].restarts);
	}
}

struct series {
	const char *name, *help, *label_1, *label_2; /* label_2 NULL: one label */
	const char *sql;                             /* labels, then the value */
};

static const struct series SERIES[] = {
	{"sluice_model_version", "version that an alias of a model points to", "model", "alias",
		"SELECT model, alias, version FROM model_alias ORDER BY model, alias LIMIT 1000"},
	{"sluice_monitor_level", "level of a monitor: 0 ok, 1 warn, 2 alarm", "monitor", NULL,
		"SELECT monitor, CASE level WHEN 'alarm' THEN 2 WHEN 'warn' THEN 1 ELSE 0 END FROM monitor_state ORDER BY "
			"monitor LIMIT 1000"},
};

static int write_series(struct sl_store *store, const struct series *series, struct sl_buf *out, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(store->meta, &stmt, err, series->sql, "");
	if (rc)
		return rc;
	sl_metrics_head(out, series->name, "gauge", series->help);
	while ((rc = sl_stmt_step(stmt, err)) == 1) {
		sl_buf_printf(out, "%s{", series->name);
		sl_metrics_label(out, series->label_1, sl_stmt_text(stmt, 0));
		if (series->label_2) {
			sl_buf_char(out, ',');
			sl_metrics_label(out, series->label_2, sl_stmt_text(stmt, 1));
		}
		sl_buf_printf(out, "} %" PRId64 "\n", sl_stmt_int(stmt, series->label_2 ? 2 : 1));
	}
	return rc;
}

int sl_metrics_write(struct sl_store *store, const struct sl_http_stats *stats, struct sl_buf *out, struct sl_error *err)
{
	int64_t entries;
	int rc = sl_meta_int(store->meta, -1, &entries, err, "SELECT max(seq) FROM ledger_entry", "");
	sl_metrics_head(out, "sluice_build_info", "gauge", "the program's version");
	sl_buf_str(out, "sluice_build_info{");
	sl_metrics_label(out, "version", SLUICE_VERSION);
	sl_buf_str(out, "} 1\n");
	sl_metrics_head(out, "sluice_ledger_entries_total", "counter", "entries of the ledger");
	sl_buf_printf(out, "sluice_ledger_entries_total %" PRId64 "\n", entries + 1);
	struct sl_stats_file *serving = NULL;
	sl_stats_read(store->dir, &serving, NULL); /* none: nothing was served here */
	write_http(out, stats, serving);
	if (serving)
		sl_metrics_serving(serving, out);
	if (serving && !rc)
		rc = sl_metrics_logs(store, serving, out, err);
	sl_free(serving);
	write_roles(out, store->dir);
	for (size_t i = 0; i < SL_ARRAY_LEN(SERIES) && !rc; i++)
		rc = write_series(store, &SERIES[i], out, err);
	return rc ? rc : sl_buf_check(out, "the metrics", err);
}
