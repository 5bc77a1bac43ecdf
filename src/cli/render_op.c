#include "cli/render_op.h"

#include <string.h>

#include "base/map.h"
#include "base/str.h"
#include "base/time.h"
#include "cli/render.h"
#include "cli/render_drift.h"
#include "cli/render_profile.h"

enum { WHY_DEPTH_MAX = 60 };

static const char *text_of(yyjson_mut_val *object, const char *name)
{
	const char *text = yyjson_mut_get_str(yyjson_mut_obj_get(object, name));
	return text ? text : "";
}

static int64_t int_of(yyjson_mut_val *object, const char *name) { return yyjson_mut_get_sint(yyjson_mut_obj_get(object, name)); }

/* ---- run ---- */

static enum sl_style state_style(const char *state)
{
	static const char *const dim[] = {"fresh", "reused", "skipped"};
	for (size_t i = 0; i < SL_ARRAY_LEN(dim); i++)
		if (sl_str_eq(dim[i], state))
			return SL_STYLE_DIM;
	return sl_render_state(state);
}

static void render_steps(const struct sl_term *term, yyjson_mut_val *steps, bool with_fresh, struct sl_buf *out)
{
	size_t i, max;
	yyjson_mut_val *step;
	int width = 0;
	yyjson_mut_arr_foreach(steps, i, max, step) {
		int columns = sl_term_columns(text_of(step, "name"));
		width = columns > width ? columns : width;
	}
	yyjson_mut_arr_foreach(steps, i, max, step) {
		const char *state = text_of(step, "state"), *cause = text_of(step, "cause"), *name = text_of(step, "name");
		if (!with_fresh && sl_str_eq(state, "fresh"))
			continue;
		sl_term_text(term, out, state_style(state), state);
		sl_buf_printf(out, "%*s", (int)(10 - strlen(state)), "");
		sl_term_text(term, out, SL_STYLE_BOLD, name);
		sl_buf_printf(out, "%*s", width - sl_term_columns(name) + 2, "");
		sl_term_text(term, out, SL_STYLE_PLAIN, *cause ? cause : text_of(step, "reason"));
		sl_buf_char(out, '\n');
	}
}

static void add_count(struct sl_buf *out, int64_t count, const char *word, bool *first)
{
	if (!count)
		return;
	sl_buf_printf(out, "%s%lld %s", *first ? "" : ", ", (long long)count, word);
	*first = false;
}

static void render_counts(yyjson_mut_val *result, bool preview, struct sl_buf *out)
{
	yyjson_mut_val *counts = yyjson_mut_obj_get(result, "counts");
	char took[SL_TIME_TEXT];
	bool first = true;
	add_count(out, int_of(counts, "ran"), preview ? "to run" : "ran", &first);
	add_count(out, int_of(counts, "reused"), "reused", &first);
	add_count(out, int_of(counts, "failed"), "failed", &first);
	add_count(out, int_of(counts, "skipped"), "skipped", &first);
	add_count(out, int_of(counts, "waiting"), "waiting for approval", &first);
	if (first) {
		sl_buf_str(out, "nothing changed");
		first = false;
	}
	add_count(out, int_of(counts, "fresh"), "up to date", &first);
	if (!preview)
		sl_buf_printf(out, " in %s", sl_duration_format(int_of(result, "took_ms"), took));
}

static void render_side(const struct sl_term *term, char mark, const char *text, struct sl_buf *out)
{
	sl_buf_printf(out, "  %c ", mark);
	sl_term_text(term, out, SL_STYLE_PLAIN, text);
	sl_buf_char(out, '\n');
}

/* Rows and files that two versions differ in: - the first one's, + the second's, ~ another content. */
static void render_changes(const struct sl_term *term, yyjson_mut_val *item, struct sl_buf *out)
{
	yyjson_mut_val *samples = yyjson_mut_obj_get(yyjson_mut_obj_get(item, "rows"), "samples"), *one;
	yyjson_mut_val *files = yyjson_mut_obj_get(yyjson_mut_obj_get(item, "files"), "items");
	size_t i, max;
	yyjson_mut_arr_foreach(samples, i, max, one) {
		struct sl_buf row SL_AUTO_BUF = SL_BUF_INIT(1 << 20);
		const char *change = text_of(one, "change");
		sl_json_write(yyjson_mut_obj_get(one, "row"), false, &row, NULL);
		render_side(term, *change == 'a' ? '+' : *change == 'r' ? '-' : '~', sl_buf_cstr(&row), out);
	}
	yyjson_mut_arr_foreach(files, i, max, one)
		render_side(term, *text_of(one, "change") == 'a' ? '+' : *text_of(one, "change") == 'r' ? '-' : '~', text_of(one, "path"), out);
}

/* Of a step that was run twice. */
static void render_difference(const struct sl_term *term, yyjson_mut_val *item, struct sl_buf *out)
{
	yyjson_mut_val *bytes = yyjson_mut_obj_get(item, "bytes");
	sl_term_text(term, out, SL_STYLE_BOLD, text_of(item, "output"));
	if (bytes)
		sl_buf_printf(out, ": differs from byte %lld on, in line %lld", (long long)int_of(bytes, "at"), (long long)int_of(bytes, "line"));
	sl_buf_char(out, '\n');
	if (bytes) {
		render_side(term, '-', text_of(bytes, "first"), out);
		render_side(term, '+', text_of(bytes, "second"), out);
	}
	render_changes(term, item, out);
}

static void render_diff(const struct sl_term *term, yyjson_mut_val *result, struct sl_buf *out)
{
	static const char *const KINDS[] = {"rows", "files"}, *const CHANGES[] = {"added", "removed", "changed"};
	yyjson_mut_val *items = yyjson_mut_obj_get(result, "items");
	if (yyjson_mut_arr_size(items))
		sl_render_table(term, items, out);
	for (size_t k = 0; k < SL_ARRAY_LEN(KINDS); k++) {
		yyjson_mut_val *part = yyjson_mut_obj_get(result, KINDS[k]);
		char count[32];
		if (!part)
			continue;
		sl_term_text(term, out, SL_STYLE_BOLD, KINDS[k]);
		for (size_t i = 0; i < SL_ARRAY_LEN(CHANGES); i++)
			if (yyjson_mut_obj_get(part, CHANGES[i]))
				sl_buf_printf(out, "%s %s %s", i ? "," : " ", sl_count_format(int_of(part, CHANGES[i]), count), CHANGES[i]);
		sl_buf_char(out, '\n');
	}
	render_changes(term, result, out);
	if (*text_of(result, "note")) {
		sl_term_text(term, out, SL_STYLE_PLAIN, text_of(result, "note"));
		sl_buf_char(out, '\n');
	}
}

static void render_run(const struct sl_term *term, yyjson_mut_val *result, struct sl_buf *out)
{
	bool preview = yyjson_mut_get_bool(yyjson_mut_obj_get(result, "preview"));
	const char *run = text_of(result, "run");
	if (preview)
		render_steps(term, yyjson_mut_obj_get(result, "steps"), true, out);
	yyjson_mut_val *differences = yyjson_mut_obj_get(result, "differences"), *one;
	size_t i, max;
	yyjson_mut_arr_foreach(differences, i, max, one)
		render_difference(term, one, out);
	render_counts(result, preview, out);
	if (*run) {
		sl_buf_str(out, "  ");
		sl_term_text(term, out, SL_STYLE_DIM, "run:");
		sl_term_text(term, out, SL_STYLE_DIM, run);
	}
	sl_buf_char(out, '\n');
}

/* ---- status ---- */

static void render_section(const struct sl_term *term, yyjson_mut_val *result, const char *name, struct sl_buf *out)
{
	yyjson_mut_val *rows = yyjson_mut_obj_get(result, name);
	if (!yyjson_mut_arr_size(rows))
		return;
	sl_buf_char(out, '\n');
	sl_term_text(term, out, SL_STYLE_BOLD, name);
	sl_buf_char(out, '\n');
	sl_render_table(term, rows, out);
}

/* OpenLineage events, only when there is something to say of them. */
static void render_waiting(const struct sl_term *term, yyjson_mut_val *told, struct sl_buf *out)
{
	if (!yyjson_mut_obj_get(told, "failing_since"))
		return;
	sl_term_text(term, out, SL_STYLE_DIM, "openlineage  ");
	sl_buf_printf(out, "%lld events wait since ", (long long)int_of(told, "waiting"));
	sl_term_text(term, out, SL_STYLE_PLAIN, text_of(told, "failing_since"));
	sl_buf_str(out, ": ");
	sl_term_text(term, out, SL_STYLE_PLAIN, text_of(told, "message"));
	sl_buf_char(out, '\n');
}

static void render_status(const struct sl_term *term, yyjson_mut_val *result, struct sl_buf *out)
{
	static const char *const sections[] = {"roles", "models", "monitors", "working", "failed"};
	yyjson_mut_val *plan = yyjson_mut_obj_get(result, "plan"), *pins = yyjson_mut_obj_get(result, "pinned");
	sl_term_text(term, out, SL_STYLE_BOLD, text_of(result, "project"));
	sl_buf_str(out, "  ");
	render_counts(plan, true, out);
	sl_buf_char(out, '\n');
	render_steps(term, yyjson_mut_obj_get(plan, "steps"), false, out);
	if (pins) {
		sl_term_text(term, out, SL_STYLE_DIM, "pinned  ");
		sl_render_value(term, "pinned", pins, out);
		sl_buf_char(out, '\n');
	}
	sl_term_text(term, out, SL_STYLE_DIM, "server  ");
	sl_term_text(term, out, SL_STYLE_PLAIN, text_of(result, "server"));
	sl_buf_char(out, '\n');
	render_waiting(term, yyjson_mut_obj_get(result, "openlineage"), out);
	for (size_t i = 0; i < SL_ARRAY_LEN(sections); i++)
		render_section(term, result, sections[i], out);
}

/* ---- why ---- */

struct graph {
	const struct sl_term *term;
	yyjson_mut_val *nodes, *edges;
	struct sl_buf *out;
	struct sl_map *shown; /* ids that stand already: each is written out once */
};

static yyjson_mut_val *node_of(const struct graph *g, const char *id)
{
	size_t i, max;
	yyjson_mut_val *node;
	yyjson_mut_arr_foreach(g->nodes, i, max, node)
		if (sl_str_eq(text_of(node, "id"), id))
			return node;
	return NULL;
}

/* A node's line: what it is called, and the one or two things worth knowing. */
static void write_node(const struct graph *g, yyjson_mut_val *node)
{
	static const char *const shown[] = {"name", "version", "status", "reason", "rows", "created", "started"};
	const char *hash = text_of(node, "hash");
	sl_term_text(g->term, g->out, SL_STYLE_BOLD, text_of(node, "kind"));
	for (size_t i = 0; i < SL_ARRAY_LEN(shown); i++) {
		yyjson_mut_val *value = yyjson_mut_obj_get(node, shown[i]);
		if (!value || yyjson_mut_is_null(value))
			continue;
		sl_buf_str(g->out, "  ");
		sl_render_value(g->term, shown[i], value, g->out);
	}
	if (sl_str_eq(text_of(node, "kind"), "run"))
		sl_buf_printf(g->out, "  %s", text_of(node, "id"));
	if (*hash) {
		sl_buf_str(g->out, "  ");
		sl_term_text(g->term, g->out, SL_STYLE_DIM, hash);
	}
	yyjson_mut_val *params = yyjson_mut_obj_get(node, "params");
	if (yyjson_mut_obj_size(params)) {
		sl_buf_str(g->out, "  ");
		sl_render_value(g->term, "params", params, g->out);
	}
	sl_buf_char(g->out, '\n');
}

static void walk(struct graph *g, const char *id, int depth)
{
	size_t i, max;
	yyjson_mut_val *edge, *node = node_of(g, id);
	bool seen = sl_map_has(g->shown, id);
	for (int k = 0; k < depth; k++)
		sl_buf_str(g->out, "  ");
	if (!node || depth == WHY_DEPTH_MAX) {
		sl_buf_printf(g->out, "%s\n", id);
		return;
	}
	if (seen) {
		sl_buf_printf(g->out, "%s %s (above)\n", text_of(node, "kind"), text_of(node, "name"));
		return;
	}
	write_node(g, node);
	if (sl_map_set(g->shown, id, g, NULL, NULL))
		return;
	yyjson_mut_arr_foreach(g->edges, i, max, edge)
		if (sl_str_eq(text_of(edge, "from"), id))
			walk(g, text_of(edge, "to"), depth + 1);
}

static void render_why(const struct sl_term *term, yyjson_mut_val *result, struct sl_buf *out)
{
	struct graph g = {.term = term,
		.nodes = yyjson_mut_obj_get(result, "nodes"),
		.edges = yyjson_mut_obj_get(result, "edges"),
		.out = out,
		.shown = sl_map_new(NULL)};
	if (g.shown)
		walk(&g, text_of(result, "root"), 0);
	sl_map_free(g.shown);
}

/* ---- log, check: text that is finished already ---- */

static void render_log(const struct sl_term *term, yyjson_mut_val *result, struct sl_buf *out)
{
	const char *text = text_of(result, "text"), *note = text_of(result, "note");
	sl_term_text(term, out, SL_STYLE_PLAIN, text);
	if (*text && text[strlen(text) - 1] != '\n')
		sl_buf_char(out, '\n');
	if (*note) {
		sl_term_text(term, out, SL_STYLE_DIM, note);
		sl_buf_char(out, '\n');
	}
}

sl_op_renderer *sl_op_renderer_find(const char *op)
{
	static const struct { const char *op; sl_op_renderer *render; } RENDERERS[] = {
		{"run", render_run}, {"status", render_status}, {"why", render_why}, {"log", render_log}, {"check", render_log}, {"import", render_log}, {"profile", sl_render_profile},
		{"diff", render_diff}, {"drift", sl_render_drift},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(RENDERERS); i++)
		if (sl_str_eq(RENDERERS[i].op, op))
			return RENDERERS[i].render;
	return NULL;
}
