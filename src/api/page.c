#include "api/page.h"

#include <string.h>

#include "api/html.h"
#include "base/str.h"

static const char *const KINDS[] = {"datasets", "models", "runs", "monitors", "endpoints", "triggers", "steps", "sources",
	"windows", "firings", "events", "checks", "ledger"};

static struct sl_page_section *add(struct sl_page *page, const char *title, const char *op, const char *kind)
{
	struct sl_page_section *section = &page->sections[page->count++];
	*section = (struct sl_page_section){.title = title, .op = op, .kind = kind};
	return section;
}

static void add_listing(struct sl_page *page, const char *title, const char *kind, const char *name, const char *limit)
{
	struct sl_page_section *section = add(page, title, "ls", kind);
	size_t n = 0;
	section->args[n][0] = "kind";
	section->args[n++][1] = kind;
	if (name) {
		section->args[n][0] = "name";
		section->args[n++][1] = name;
	}
	section->args[n][0] = "limit";
	section->args[n][1] = limit;
}

static void home(struct sl_page *page)
{
	page->title = "Status";
	add(page, "Now", "status", "");
	add_listing(page, "Newest runs", "runs", NULL, "15");
	add_listing(page, "Models", "models", NULL, "50");
	add_listing(page, "Datasets", "datasets", NULL, "50");
	add_listing(page, "Newest monitor windows", "windows", NULL, "10");
}

/* What else is worth seeing of one thing. */
static void add_related(struct sl_page *page, const char *kind, const char *name)
{
	if (sl_str_eq(kind, "datasets")) {
		add_listing(page, "Versions", "datasets", name, "50");
		add_listing(page, "Checks", "checks", name, "50");
	} else if (sl_str_eq(kind, "models")) {
		add_listing(page, "Versions", "models", name, "50");
	} else if (sl_str_eq(kind, "monitors")) {
		add_listing(page, "Windows", "windows", name, "50");
	} else if (sl_str_eq(kind, "steps")) {
		add_listing(page, "Runs", "runs", name, "50");
	} else if (sl_str_eq(kind, "triggers")) {
		add_listing(page, "Firings", "firings", name, "50");
	}
}

static void one(struct sl_page *page, const char *kind, const char *name, struct sl_arena *arena)
{
	char *ref = sl_arena_printf(arena, "%.*s:%s", (int)strlen(kind) - 1, kind, name);
	page->title = ref;
	struct sl_page_section *show = add(page, "What it is", "show", kind);
	show->args[0][0] = "ref";
	show->args[0][1] = ref;
	add_related(page, kind, name);
	if (!sl_op_find("why") || (!sl_str_eq(kind, "datasets") && !sl_str_eq(kind, "models") && !sl_str_eq(kind, "runs")))
		return;
	struct sl_page_section *why = add(page, "Where it comes from", "why", "");
	why->args[0][0] = "ref";
	why->args[0][1] = ref;
}

int sl_page_find(const char *path, struct sl_arena *arena, struct sl_page *ret, struct sl_error *err)
{
	*ret = (struct sl_page){0};
	if (sl_str_eq(path, "/")) {
		home(ret);
		return 0;
	}
	if (sl_str_starts(path, "/why/") && path[5] && sl_op_find("why")) {
		struct sl_page_section *why = add(ret, "Where it comes from", "why", "");
		why->args[0][0] = "ref";
		why->args[0][1] = ret->title = sl_arena_strdup(arena, path + 5);
		return 0;
	}
	for (size_t i = 0; i < SL_ARRAY_LEN(KINDS); i++) {
		size_t len = strlen(KINDS[i]);
		if (strncmp(path + 1, KINDS[i], len) != 0)
			continue;
		if (!path[1 + len]) {
			ret->title = KINDS[i];
			add_listing(ret, "All", KINDS[i], NULL, "200");
			return 0;
		}
		if (path[1 + len] == '/' && path[2 + len]) {
			one(ret, KINDS[i], sl_arena_strdup(arena, path + 2 + len), arena);
			return 0;
		}
	}
	sl_fail(err, SL_E_NOT_FOUND, "there is no page %.200s", path);
	return sl_error_hint(err, "the start page is /");
}

static int fill_call(struct sl_call *call, const struct sl_page_section *section, struct sl_error *err)
{
	int rc = 0;
	for (size_t i = 0; i < SL_ARRAY_LEN(section->args) && section->args[i][0] && !rc; i++) {
		const struct sl_op_arg *arg = sl_op_arg_find(call->op, section->args[i][0]);
		rc = arg ? sl_call_set(call, arg, section->args[i][1], err)
			 : sl_fail(err, SL_E_BUG, "'%s' has no '%s'", section->op, section->args[i][0]);
	}
	return rc ? rc : sl_call_check(call, err);
}

static void write_heading(const struct sl_page_section *section, struct sl_buf *out)
{
	struct sl_buf command SL_AUTO_BUF = SL_BUF_INIT(1 << 16);
	sl_buf_printf(&command, "sluice %s", section->op);
	for (size_t i = 0; i < SL_ARRAY_LEN(section->args) && section->args[i][0]; i++)
		sl_buf_printf(&command, sl_str_eq(section->args[i][0], "limit") ? " -l %s" : " %s", section->args[i][1]);
	sl_html_section(out, section->title, sl_buf_cstr(&command));
}

static int write_section(const struct sl_page_section *section, const char *dir, sl_page_run *run, void *context,
	struct sl_buf *out, struct sl_error *err)
{
	struct sl_call call;
	const struct sl_op *op = sl_op_find(section->op);
	int rc = op ? sl_call_begin(&call, op, dir, err) : sl_fail(err, SL_E_BUG, "no operation '%s'", section->op);
	if (rc)
		return rc;
	call.remote = true;
	rc = fill_call(&call, section, err);
	if (!rc)
		rc = run(context, &call, err);
	write_heading(section, out);
	if (!rc)
		sl_html_result(out, call.result, section->kind);
	sl_call_done(&call);
	return rc;
}

int sl_page_render(const struct sl_page *page, const char *project, const char *dir, sl_page_run *run, void *context,
	struct sl_buf *out, struct sl_error *err)
{
	sl_html_begin(out, project, page->title);
	for (size_t i = 0; i < page->count; i++) {
		struct sl_error inner = {0};
		int rc = write_section(&page->sections[i], dir, run, context, out, &inner);
		if (rc && i == 0) {
			*err = inner;
			return rc;
		}
		if (rc) {
			sl_buf_str(out, "<p class=\"note\">");
			sl_html_escape(out, inner.message);
			sl_buf_str(out, "</p>");
		}
	}
	sl_html_end(out);
	return sl_buf_check(out, "the page", err);
}
