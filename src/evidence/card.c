/* The card: what the bundle says, for a reader. A pure function of the parsed members: verifying writes it anew and compares, so
 * nothing here may depend on time, place or locale. */
#include <stdio.h>
#include <string.h>

#include "base/html.h"
#include "base/str.h"
#include "base/time.h"
#include "evidence/bundle.h"

static const char STYLE[] =
	"body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222;background:#fff}"
	"h1{margin-bottom:0}h2{margin-top:2em;border-bottom:1px solid #ccc}table{border-collapse:collapse;margin:.5em 0}"
	"th,td{text-align:left;vertical-align:top;padding:.15em 1em .15em 0;overflow-wrap:anywhere}th{color:#555;font-weight:600}"
	"tr+tr td{border-top:1px solid #eee}code{font:13px ui-monospace,monospace}";

/* A column of a table: of rows that are arrays the element `at`, of objects the member `name`. */
struct column {
	const char *title, *name;
	size_t at;
	char how; /* t text or JSON as it is, m milliseconds as a time, c code (hashes, ids), b 1 and 0 as yes and no */
};

static void put_value(struct sl_buf *out, yyjson_val *value, char how)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(SL_EVIDENCE_MAX_BYTES);
	char time[SL_TIME_TEXT];
	if (!value || yyjson_is_null(value))
		return;
	if (how == 'm' && yyjson_is_int(value))
		sl_html_escape(out, sl_time_format(yyjson_get_sint(value), time));
	else if (how == 'b')
		sl_buf_str(out, yyjson_get_sint(value) ? "yes" : "no");
	else if (yyjson_is_str(value))
		sl_html_escape(out, yyjson_get_str(value));
	else if (sl_json_canonical(value, &text, NULL) == 0)
		sl_html_escape(out, sl_buf_cstr(&text));
	if (text.failed)
		out->failed = text.failed;
}

static void put_cell(struct sl_buf *out, yyjson_val *value, char how)
{
	sl_buf_str(out, how == 'c' ? "<td><code>" : "<td>");
	put_value(out, value, how);
	sl_buf_str(out, how == 'c' ? "</code></td>" : "</td>");
}

static void heading(struct sl_buf *out, const char *text)
{
	sl_buf_str(out, "<h2>");
	sl_html_escape(out, text);
	sl_buf_str(out, "</h2>\n");
}

static void begin_table(struct sl_buf *out, const struct column *columns, size_t count)
{
	sl_buf_str(out, "<table><tr>");
	for (size_t i = 0; i < count; i++)
		sl_buf_printf(out, "<th>%s</th>", columns[i].title);
	sl_buf_str(out, "</tr>\n");
}

static void put_row(struct sl_buf *out, yyjson_val *row, const struct column *columns, size_t count)
{
	sl_buf_str(out, "<tr>");
	for (size_t i = 0; i < count; i++)
		put_cell(out, columns[i].name ? yyjson_obj_get(row, columns[i].name) : yyjson_arr_get(row, columns[i].at), columns[i].how);
	sl_buf_str(out, "</tr>\n");
}

static void end_table(struct sl_buf *out) { sl_buf_str(out, "</table>\n"); }

static void put_table(struct sl_buf *out, yyjson_val *rows, const struct column *columns, size_t count)
{
	yyjson_val *row;
	size_t i, max;
	if (!yyjson_arr_size(rows)) {
		sl_buf_str(out, "<p>None.</p>\n");
		return;
	}
	begin_table(out, columns, count);
	yyjson_arr_foreach(rows, i, max, row)
		put_row(out, row, columns, count);
	end_table(out);
}

/* An object's members as rows of two cells. */
static void put_members(struct sl_buf *out, yyjson_val *object)
{
	yyjson_val *name, *value;
	size_t i, max;
	if (!yyjson_obj_size(object)) {
		sl_buf_str(out, "<p>None.</p>\n");
		return;
	}
	sl_buf_str(out, "<table>");
	yyjson_obj_foreach(object, i, max, name, value) {
		sl_buf_str(out, "<tr><th>");
		sl_html_escape(out, yyjson_get_str(name));
		sl_buf_str(out, "</th>");
		put_cell(out, value, 't');
		sl_buf_str(out, "</tr>\n");
	}
	end_table(out);
}

/* JSON that a row keeps as text. */
static yyjson_doc *stored(yyjson_val *text)
{
	return yyjson_is_str(text) ? sl_json_parse(yyjson_get_str(text), yyjson_get_len(text), "card", NULL) : NULL;
}

static void put_model(const struct sl_bundle *b, struct sl_buf *out)
{
	static const struct column MODEL[] = {{"Status", NULL, 4, 't'}, {"Made", NULL, 7, 'm'}, {"By run", NULL, 3, 'c'}, {"SHA-256 of the package", NULL, 2, 'c'}};
	static const struct column INPUTS[] = {{"Input", "name", 0, 't'}, {"Type", "type", 0, 't'}, {"Encoding", "encoding", 0, 't'}};
	static const char *const SHOWN[] = {"algorithm", "task", "target", "output", "threshold", "model"};
	yyjson_val *package = yyjson_doc_get_root(b->package);
	put_table(out, sl_bundle_table(b, "model_version"), MODEL, SL_ARRAY_LEN(MODEL));
	sl_buf_str(out, "<table>");
	for (size_t i = 0; i < SL_ARRAY_LEN(SHOWN); i++) {
		sl_buf_printf(out, "<tr><th>%s</th>", SHOWN[i]);
		put_cell(out, yyjson_obj_get(package, SHOWN[i]), 't');
		sl_buf_str(out, "</tr>\n");
	}
	end_table(out);
	put_table(out, yyjson_obj_get(package, "inputs"), INPUTS, SL_ARRAY_LEN(INPUTS));
	heading(out, "Training");
	put_members(out, yyjson_obj_get(package, "training"));
}

static void put_quality(const struct sl_bundle *b, struct sl_buf *out)
{
	yyjson_val *row = yyjson_arr_get_first(sl_bundle_table(b, "model_version")), *rule;
	yyjson_doc *gate SL_AUTO_JSON = stored(yyjson_arr_get(row, 5)), *metrics SL_AUTO_JSON = stored(yyjson_arr_get(row, 6));
	size_t i, max;
	heading(out, "Metrics");
	put_members(out, yyjson_doc_get_root(metrics));
	heading(out, "Verdicts of the gate");
	if (!yyjson_arr_size(yyjson_doc_get_root(gate)))
		sl_buf_str(out, "<p>None: no gate was asked.</p>\n");
	yyjson_arr_foreach(yyjson_doc_get_root(gate), i, max, rule)
		put_members(out, rule);
}

static void put_data(const struct sl_bundle *b, struct sl_buf *out)
{
	static const struct column VERSIONS[] = {{"Dataset", NULL, 1, 't'}, {"Rows", NULL, 3, 't'}, {"Bytes", NULL, 4, 't'}, {"Committed", NULL, 7, 'm'}, {"SHA-256", NULL, 2, 'c'}};
	static const struct column CHECKS[] = {{"Dataset", NULL, 2, 't'}, {"Check", NULL, 4, 't'}, {"Severity", NULL, 5, 't'}, {"Passed", NULL, 6, 'b'}, {"Failing rows", NULL, 7, 't'}};
	static const struct column FILES[] = {{"Kind", "kind", 0, 't'}, {"Name", "name", 0, 't'}, {"SHA-256", "hash", 0, 'c'}};
	yyjson_val *node;
	size_t i, max;
	heading(out, "Data that it comes from");
	put_table(out, sl_bundle_table(b, "dataset_version"), VERSIONS, SL_ARRAY_LEN(VERSIONS));
	heading(out, "Raw files and code");
	begin_table(out, FILES, SL_ARRAY_LEN(FILES));
	yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(b->lineage), "nodes"), i, max, node) {
		const char *kind = sl_json_str(node, "kind", "");
		if (sl_str_eq(kind, "file") || sl_str_eq(kind, "code") || sl_str_eq(kind, "output"))
			put_row(out, node, FILES, SL_ARRAY_LEN(FILES));
	}
	end_table(out);
	heading(out, "Checks of this data");
	put_table(out, sl_bundle_table(b, "check_result"), CHECKS, SL_ARRAY_LEN(CHECKS));
}

static void put_runs(const struct sl_bundle *b, struct sl_buf *out)
{
	static const struct column RUN[] = {{"Run", "id", 0, 'c'}, {"Kind", "kind", 0, 't'}, {"Name", "name", 0, 't'}, {"Status", "status", 0, 't'},
		{"Started", "started_ms", 0, 'm'}, {"Ended", "ended_ms", 0, 'm'}, {"Parameters", "params", 0, 't'}, {"Environment", "environment", 0, 't'}};
	heading(out, "Runs, parameters and environment");
	begin_table(out, RUN, SL_ARRAY_LEN(RUN));
	for (size_t i = 0; i < b->run_count; i++)
		put_row(out, yyjson_doc_get_root(b->runs[i]), RUN, SL_ARRAY_LEN(RUN));
	end_table(out);
}

static void put_life(const struct sl_bundle *b, struct sl_buf *out)
{
	static const struct column ALIASES[] = {{"Alias now", NULL, 1, 't'}, {"Since", NULL, 3, 'm'}};
	static const struct column MOVES[] = {{"Alias", NULL, 2, 't'}, {"From", NULL, 4, 't'}, {"To", NULL, 3, 't'}, {"When", NULL, 7, 'm'}, {"By", NULL, 6, 't'}, {"Why", NULL, 5, 't'}};
	static const struct column WINDOWS[] = {{"Monitor", NULL, 0, 't'}, {"From", NULL, 1, 'm'}, {"To", NULL, 2, 'm'}, {"Level", NULL, 3, 't'}, {"Rows", NULL, 4, 't'}};
	static const struct column EVENTS[] = {{"Event", NULL, 1, 't'}, {"Of", NULL, 2, 't'}, {"From", NULL, 3, 'm'}, {"To", NULL, 4, 'm'}, {"When", NULL, 6, 'm'}};
	static const struct column FIRINGS[] = {{"Trigger", NULL, 1, 't'}, {"Status", NULL, 3, 't'}, {"Why", NULL, 4, 't'}, {"Run", NULL, 5, 'c'}, {"When", NULL, 6, 'm'}};
	heading(out, "Approvals and aliases");
	put_table(out, sl_bundle_table(b, "model_alias"), ALIASES, SL_ARRAY_LEN(ALIASES));
	put_table(out, sl_bundle_table(b, "alias_move"), MOVES, SL_ARRAY_LEN(MOVES));
	heading(out, "Monitoring");
	put_table(out, sl_bundle_table(b, "monitor_window"), WINDOWS, SL_ARRAY_LEN(WINDOWS));
	put_table(out, sl_bundle_table(b, "event"), EVENTS, SL_ARRAY_LEN(EVENTS));
	put_table(out, sl_bundle_table(b, "trigger_firing"), FIRINGS, SL_ARRAY_LEN(FIRINGS));
}

static void put_entries(const struct sl_bundle *b, struct sl_buf *out)
{
	static const struct column ENTRY[] = {{"Entry", "seq", 0, 't'}, {"Time", "time", 0, 't'}, {"Who", "actor", 0, 't'}, {"What", "action", 0, 't'}, {"Of", "subject", 0, 't'}};
	heading(out, "Ledger entries that this rests on");
	begin_table(out, ENTRY, SL_ARRAY_LEN(ENTRY));
	for (size_t i = 0; i < b->proof_count; i++)
		put_row(out, b->proofs[i].entry, ENTRY, SL_ARRAY_LEN(ENTRY));
	end_table(out);
}

void sl_bundle_card(const struct sl_bundle *bundle, const char *subject, struct sl_buf *out)
{
	sl_buf_str(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"Content-Security-Policy\" "
			"content=\"default-src 'none'; style-src 'unsafe-inline'\"><title>");
	sl_html_escape(out, subject);
	sl_buf_printf(out, "</title><style>%s</style></head><body>\n<h1>", STYLE);
	sl_html_escape(out, subject);
	sl_buf_str(out, "</h1>\n<p>Every figure here is one of the other members of this bundle; <code>sluice verify BUNDLE</code> proves that.</p>\n");
	put_model(bundle, out);
	put_quality(bundle, out);
	put_data(bundle, out);
	put_runs(bundle, out);
	put_life(bundle, out);
	put_entries(bundle, out);
	sl_buf_str(out, "</body></html>\n");
}
