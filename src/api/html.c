#include "api/html.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"

enum { COLUMNS_MAX = 32, DEPTH_MAX = 6 };

const char sl_html_style[] =
	":root{color-scheme:light dark;--bg:#fff;--fg:#1c2024;--dim:#60646c;--line:#e0e1e6;--card:#f9f9fb;--link:#0b68cb;"
		"--good:#18794e;--warn:#ab6400;--bad:#ce2c31}\n"
	"@media(prefers-color-scheme:dark){:root{--bg:#111113;--fg:#edeef0;--dim:#b0b4ba;--line:#363a3f;--card:#18191b;"
		"--link:#70b8ff;--good:#3dd68c;--warn:#ffca16;--bad:#ff9592}}\n"
	"*{box-sizing:border-box}body{margin:0 auto;max-width:76rem;padding:1rem 1.5rem 4rem;background:var(--bg);"
		"color:var(--fg);font:15px/1.5 system-ui,sans-serif}\n"
	"a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}\n"
	"header{display:flex;gap:1.2rem;align-items:baseline;border-bottom:1px solid var(--line);padding-bottom:.6rem}header "
		"b{font-size:1.15rem}\n"
	"h1{font-size:1.4rem;margin:1.2rem 0 .2rem}h2{font-size:1.05rem;margin:1.8rem 0 .3rem}\n"
	"code{font:13px/1.5 ui-monospace,monospace;color:var(--dim);background:var(--card);border:1px solid var(--line);"
		"border-radius:4px;padding:.1rem .4rem}\n"
	".scroll{overflow-x:auto}table{border-collapse:collapse;margin:.4rem 0;font-variant-numeric:tabular-nums}\n"
	"th{font-weight:600;color:var(--dim);text-align:left}th,td{padding:.25rem .9rem .25rem 0;border-bottom:1px solid "
		"var(--line);vertical-align:top}td.n{text-align:right}\n"
	"dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1.2rem;margin:.4rem 0}dt{color:var(--dim)}"
		"dd{margin:0;overflow-wrap:anywhere}\n"
	".good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}.note{color:var(--dim)}\n"
	"pre{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:.7rem;overflow-x:auto;font:13px/1.5 "
		"ui-monospace,monospace}\n";

void sl_html_begin(struct sl_buf *out, const char *project, const char *title)
{
	sl_buf_str(out,
		"<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
			"content=\"width=device-width\"><title>");
	sl_html_escape(out, title);
	sl_buf_str(out, " - ");
	sl_html_escape(out, project);
	sl_buf_str(out, "</title><link rel=\"stylesheet\" href=\"/style.css\"></head><body><header><b><a href=\"/\">");
	sl_html_escape(out, project);
	sl_buf_str(out, "</a></b>");
	static const char *const kinds[] = {"datasets", "models", "runs", "monitors", "firings", "ledger"};
	for (size_t i = 0; i < SL_ARRAY_LEN(kinds); i++)
		sl_buf_printf(out, "<a href=\"/%s\">%s</a>", kinds[i], kinds[i]);
	sl_buf_str(out, "<a href=\"/api/v1/openapi.json\">API</a></header><h1>");
	sl_html_escape(out, title);
	sl_buf_str(out, "</h1>");
}

void sl_html_end(struct sl_buf *out) { sl_buf_str(out, "</body></html>\n"); }

void sl_html_section(struct sl_buf *out, const char *title, const char *command)
{
	sl_buf_str(out, "<h2>");
	sl_html_escape(out, title);
	sl_buf_str(out, "</h2><code>");
	sl_html_escape(out, command);
	sl_buf_str(out, "</code>");
}

static const char *state_class(const char *word)
{
	static const char *const states[][2] = {
		{"ok", "good"},
		{"ready", "good"},
		{"fresh", "good"},
		{"running", "warn"},
		{"waiting", "warn"},
		{"warn", "warn"},
		{"stale", "warn"},
		{"maybe", "warn"},
		{"restarting", "warn"},
		{"failed", "bad"},
		{"alarm", "bad"},
		{"killed", "bad"},
		{"refused", "bad"},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(states); i++)
		if (sl_str_eq(states[i][0], word))
			return states[i][1];
	return "";
}

/* Where a member's value leads: "runs" for run ids, `kind` for names. */
static const char *link_kind(const char *member, const char *kind)
{
	static const struct { const char *member, *kind; } LINKS[] = {
		{"run", "runs"},
		{"dataset", "datasets"},
		{"model", "models"},
		{"monitor", "monitors"},
		{"endpoint", "endpoints"},
		{"parent", "runs"},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(LINKS); i++)
		if (sl_str_eq(LINKS[i].member, member))
			return LINKS[i].kind;
	bool runs = sl_str_eq(kind, "runs"); /* known by their id; the name is their step's */
	if (sl_str_eq(member, runs ? "id" : "name"))
		return kind;
	return "";
}

static void write_link_path(struct sl_buf *out, const char *text)
{
	static const char hex[] = "0123456789ABCDEF";
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-._~@:", c))
			sl_buf_char(out, (char)c);
		else
			sl_buf_printf(out, "%%%c%c", hex[c >> 4], hex[c & 15]);
	}
}

static void write_text(struct sl_buf *out, const char *member, const char *text, const char *kind)
{
	const char *to = link_kind(member, kind);
	bool state = sl_str_eq(member, "status") || sl_str_eq(member, "level") || sl_str_eq(member, "state");
	if (*to && sl_name_valid(*text >= '0' && *text <= '9' ? "id" : text)) {
		sl_buf_printf(out, "<a href=\"/%s/", to);
		write_link_path(out, text);
		sl_buf_str(out, "\">");
		sl_html_escape(out, text);
		sl_buf_str(out, "</a>");
	} else if (state) {
		sl_buf_printf(out, "<span class=\"%s\">", state_class(text));
		sl_html_escape(out, text);
		sl_buf_str(out, "</span>");
	} else if (strchr(text, '\n')) {
		sl_buf_str(out, "<pre>");
		sl_html_escape(out, text);
		sl_buf_str(out, "</pre>");
	} else {
		sl_html_escape(out, text);
	}
}

static void write_number(struct sl_buf *out, const char *member, yyjson_mut_val *value)
{
	char text[SL_TIME_TEXT];
	double d = yyjson_mut_get_num(value);
	if (sl_str_ends(member, "_ms"))
		sl_buf_str(out, sl_duration_format((int64_t)llround(d), text));
	else if (yyjson_mut_is_int(value))
		sl_buf_printf(out, "%lld", (long long)yyjson_mut_get_sint(value));
	else
		sl_buf_printf(out, "%.6g", d);
}

static void write_value(struct sl_buf *out, const char *member, yyjson_mut_val *value, const char *kind, int depth);

static bool is_rows(yyjson_mut_val *value)
{
	return yyjson_mut_is_arr(value) && yyjson_mut_is_obj(yyjson_mut_arr_get_first(value));
}

static size_t table_columns(yyjson_mut_val *rows, const char *names[COLUMNS_MAX])
{
	size_t i, max, k, kmax, count = 0;
	yyjson_mut_val *row, *key, *value;
	yyjson_mut_arr_foreach(rows, i, max, row)
		yyjson_mut_obj_foreach(row, k, kmax, key, value) {
			const char *name = yyjson_mut_get_str(key);
			size_t c = 0;
			while (c < count && !sl_str_eq(names[c], name))
				c++;
			if (c == count && count < COLUMNS_MAX && !yyjson_mut_is_null(value))
				names[count++] = name;
		}
	return count;
}

static void write_table(struct sl_buf *out, yyjson_mut_val *rows, const char *kind, int depth)
{
	const char *names[COLUMNS_MAX];
	size_t i, max, count = table_columns(rows, names);
	yyjson_mut_val *row;
	sl_buf_str(out, "<div class=\"scroll\"><table><tr>");
	for (size_t c = 0; c < count; c++) {
		sl_buf_str(out, "<th>");
		sl_html_escape(out, names[c]);
		sl_buf_str(out, "</th>");
	}
	sl_buf_str(out, "</tr>");
	yyjson_mut_arr_foreach(rows, i, max, row) {
		sl_buf_str(out, "<tr>");
		for (size_t c = 0; c < count; c++) {
			yyjson_mut_val *value = yyjson_mut_obj_get(row, names[c]);
			sl_buf_str(out, yyjson_mut_is_num(value) ? "<td class=\"n\">" : "<td>");
			if (value)
				write_value(out, names[c], value, kind, depth + 1);
			sl_buf_str(out, "</td>");
		}
		sl_buf_str(out, "</tr>");
	}
	sl_buf_str(out, "</table></div>");
}

static void write_object(struct sl_buf *out, yyjson_mut_val *object, const char *kind, int depth)
{
	size_t i, max;
	yyjson_mut_val *key, *value;
	sl_buf_str(out, "<dl>");
	yyjson_mut_obj_foreach(object, i, max, key, value) {
		if (yyjson_mut_is_null(value) || (yyjson_mut_is_ctn(value) && !yyjson_mut_get_len(value)))
			continue;
		sl_buf_str(out, "<dt>");
		sl_html_escape(out, yyjson_mut_get_str(key));
		sl_buf_str(out, "</dt><dd>");
		write_value(out, yyjson_mut_get_str(key), value, kind, depth + 1);
		sl_buf_str(out, "</dd>");
	}
	sl_buf_str(out, "</dl>");
}

static void write_list(struct sl_buf *out, const char *member, yyjson_mut_val *list, const char *kind, int depth)
{
	size_t i, max;
	yyjson_mut_val *item;
	yyjson_mut_arr_foreach(list, i, max, item) {
		sl_buf_str(out, i ? ", " : "");
		write_value(out, member, item, kind, depth + 1);
	}
}

static void write_value(struct sl_buf *out, const char *member, yyjson_mut_val *value, const char *kind, int depth)
{
	if (depth > DEPTH_MAX)
		sl_buf_str(out, "&hellip;");
	else if (yyjson_mut_is_str(value))
		write_text(out, member, yyjson_mut_get_str(value), kind);
	else if (yyjson_mut_is_num(value))
		write_number(out, member, value);
	else if (yyjson_mut_is_bool(value))
		sl_buf_str(out, yyjson_mut_get_bool(value) ? "yes" : "no");
	else if (is_rows(value))
		write_table(out, value, kind, depth);
	else if (yyjson_mut_is_obj(value))
		write_object(out, value, kind, depth);
	else if (yyjson_mut_is_arr(value))
		write_list(out, member, value, kind, depth);
}

void sl_html_result(struct sl_buf *out, yyjson_mut_val *result, const char *kind)
{
	yyjson_mut_val *items = yyjson_mut_obj_get(result, "items");
	const char *note = yyjson_mut_get_str(yyjson_mut_obj_get(result, "note"));
	if (yyjson_mut_arr_size(items))
		write_table(out, items, kind, 0);
	else if (!items)
		write_object(out, result, kind, 0);
	if (note) {
		sl_buf_str(out, "<p class=\"note\">");
		sl_html_escape(out, note);
		sl_buf_str(out, "</p>");
	}
}
