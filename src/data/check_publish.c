#include "data/check_publish.h"

#include <string.h>

#include "base/base64.h"
#include "base/time.h"
#include "data/engine.h"

/* For XML and HTML alike. What XML 1.0 has no character for becomes U+FFFD. */
static void escape(struct sl_buf *out, const char *text)
{
	static const char UNKNOWN[] = "\xEF\xBF\xBD";

	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p == '&')
			sl_buf_str(out, "&amp;");
		else if (*p == '<')
			sl_buf_str(out, "&lt;");
		else if (*p == '>')
			sl_buf_str(out, "&gt;");
		else if (*p == '"')
			sl_buf_str(out, "&quot;");
		else if (*p == '\'')
			sl_buf_str(out, "&#39;");
		else if (*p < 0x20 && *p != '\t' && *p != '\n' && *p != '\r')
			sl_buf_str(out, UNKNOWN);
		else if (p[0] == 0xEF && p[1] == 0xBF && (p[2] == 0xBE || p[2] == 0xBF))
			sl_buf_str(out, UNKNOWN), p += 2;
		else
			sl_buf_char(out, (char)*p);
	}
}

static size_t count_state(const struct sl_check_report *report, enum sl_check_state state)
{
	size_t count = 0;

	for (size_t i = 0; i < report->count; i++)
		count += report->results[i].state == state;
	return count;
}

/* ---- JUnit ------------------------------------------------------------------------------------------------------------ */

static void attribute(struct sl_buf *out, const char *name, const char *value)
{
	sl_buf_printf(out, " %s=\"", name);
	escape(out, value);
	sl_buf_char(out, '"');
}

static void junit_case(const struct sl_check_report *report, const struct sl_check_result *result, struct sl_buf *out)
{
	sl_buf_str(out, "    <testcase");
	attribute(out, "classname", report->dataset);
	attribute(out, "name", result->name);
	sl_buf_printf(out, " file=\"sluice.yaml\" line=\"%d\"", result->mark.line);
	if (result->state == SL_CHECK_PASSED) {
		sl_buf_str(out, "/>\n");
		return;
	}
	bool failed = result->state == SL_CHECK_FAILED;
	sl_buf_str(out, failed ? "><failure" : "><system-out>warning: ");
	if (failed) {
		attribute(out, "message", result->message);
		sl_buf_str(out, " type=\"check\">");
	} else {
		escape(out, result->message);
		sl_buf_char(out, '\n');
	}
	escape(out, result->sql);
	sl_buf_str(out, *result->sql ? "\n" : "");
	escape(out, result->rows);
	sl_buf_printf(out, "</%s></testcase>\n", failed ? "failure" : "system-out");
}

void sl_check_report_junit(const struct sl_check_report *report, struct sl_buf *out)
{
	size_t failed = count_state(report, SL_CHECK_FAILED);

	sl_buf_printf(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"%zu\" failures=\"%zu\">\n  <testsuite", report->count,
		      failed);
	attribute(out, "name", report->dataset);
	sl_buf_printf(out, " tests=\"%zu\" failures=\"%zu\" errors=\"0\" skipped=\"0\">\n", report->count, failed);
	for (size_t i = 0; i < report->count; i++)
		junit_case(report, &report->results[i], out);
	sl_buf_str(out, "  </testsuite>\n</testsuites>\n");
}

/* ---- HTML ------------------------------------------------------------------------------------------------------------- */

static const char STYLE[] =
	":root{color-scheme:light dark;--line:#8884;--good:#18794e;--bad:#c62a2f;--warn:#946800}"
	"@media(prefers-color-scheme:dark){:root{--good:#4cc38a;--bad:#ff6369;--warn:#f1a10d}}"
	"body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}"
	"h1{font-size:1.4rem;margin:0}table{border-collapse:collapse;width:100%;margin:1rem 0}"
	"th,td{border-bottom:1px solid var(--line);padding:.35rem .6rem;text-align:left;vertical-align:top}"
	"td.number{text-align:right;font-variant-numeric:tabular-nums}.passed{color:var(--good)}.failed{color:var(--bad)}.warned{color:var(--warn)}"
	"code,pre{font:13px/1.4 ui-monospace,monospace;white-space:pre-wrap;overflow-wrap:anywhere}details{margin:.3rem 0}summary{cursor:pointer}";
static const char *const STATES[] = {[SL_CHECK_PASSED] = "passed", [SL_CHECK_WARNED] = "warned", [SL_CHECK_FAILED] = "failed"};

static void html_head(const struct sl_check_report *report, struct sl_buf *out)
{
	struct sl_hash hash;

	sl_sha256(STYLE, strlen(STYLE), &hash);
	sl_buf_str(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
			"<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">");
	sl_buf_str(out, "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-");
	sl_base64_add(out, hash.bytes, sizeof hash.bytes);
	sl_buf_str(out, "'\"><title>");
	escape(out, report->dataset);
	sl_buf_printf(out, ": checks</title><style>%s</style></head><body>\n", STYLE);
}

static void html_values(yyjson_val *values, bool names, struct sl_buf *out)
{
	yyjson_obj_iter members = yyjson_obj_iter_with(values);
	yyjson_val *key;

	while ((key = yyjson_obj_iter_next(&members))) {
		SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(1 << 20);
		yyjson_val *value = yyjson_obj_iter_get_val(key);
		if (!names && !yyjson_is_str(value))
			sl_json_canonical(value, &text, NULL);
		sl_buf_str(out, names ? "<th>" : "<td>");
		escape(out, names ? yyjson_get_str(key) : yyjson_is_str(value) ? yyjson_get_str(value) : sl_buf_cstr(&text));
		sl_buf_str(out, names ? "</th>" : "</td>");
	}
}

static void html_rows(const struct sl_check_result *result, struct sl_buf *out)
{
	SL_AUTO_JSON yyjson_doc *doc = yyjson_read(result->rows, strlen(result->rows), 0);
	yyjson_val *row;
	size_t i, max;

	if (!yyjson_arr_size(yyjson_doc_get_root(doc)))
		return;
	sl_buf_str(out, "<details><summary>rows</summary><table>");
	yyjson_arr_foreach(yyjson_doc_get_root(doc), i, max, row) {
		yyjson_val *number = yyjson_obj_get(row, "row"), *values = yyjson_obj_get(row, "values");
		if (i == 0) {
			sl_buf_str(out, number ? "<tr><th>row</th>" : "<tr>");
			html_values(values, true, out);
			sl_buf_str(out, "</tr>");
		}
		sl_buf_str(out, "<tr>");
		if (number)
			sl_buf_printf(out, "<td class=\"number\">%llu</td>", (unsigned long long)yyjson_get_uint(number));
		html_values(values, false, out);
		sl_buf_str(out, "</tr>");
	}
	sl_buf_str(out, "</table></details>");
}

static void html_result(const struct sl_check_result *result, struct sl_buf *out)
{
	char failing[32], considered[32];

	sl_buf_printf(out, "<tr><td class=\"%s\">%s</td><td><code>", STATES[result->state], STATES[result->state]);
	escape(out, result->name);
	sl_buf_printf(out, "</code></td><td class=\"number\">%s</td><td class=\"number\">%s</td><td>", sl_grouped(result->failing, failing),
		      sl_grouped(result->considered, considered));
	escape(out, result->message);
	if (result->has_observed)
		sl_buf_printf(out, "%s%.10g", *result->message ? "; observed " : "observed ", result->observed);
	if (*result->sql) {
		sl_buf_str(out, "<details><summary>query</summary><pre>");
		escape(out, result->sql);
		sl_buf_str(out, "</pre></details>");
	}
	html_rows(result, out);
	sl_buf_printf(out, "</td><td>sluice.yaml:%d</td></tr>\n", result->mark.line);
}

int sl_check_report_html(const struct sl_check_report *report, int64_t now_ms, struct sl_buf *out, struct sl_error *err)
{
	char rows[32], time[SL_TIME_TEXT];

	html_head(report, out);
	sl_buf_str(out, "<h1>");
	escape(out, report->dataset);
	sl_buf_printf(out, "</h1><p>%s rows, %zu checks: <span class=\"passed\">%zu passed</span>, <span class=\"warned\">%zu warned</span>, "
			   "<span class=\"failed\">%zu failed</span>. %s</p>\n",
		      sl_grouped(report->rows, rows), report->count, count_state(report, SL_CHECK_PASSED), count_state(report, SL_CHECK_WARNED),
		      count_state(report, SL_CHECK_FAILED), sl_time_format(now_ms, time));
	sl_buf_str(out, "<table><tr><th>state</th><th>check</th><th>failing</th><th>of</th><th>what</th><th>where</th></tr>\n");
	for (size_t i = 0; i < report->count; i++)
		html_result(&report->results[i], out);
	sl_buf_str(out, "</table></body></html>\n");
	return sl_buf_check(out, "the report", err);
}
