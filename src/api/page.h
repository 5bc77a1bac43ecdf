/* The web pages: each is a few operations, shown one under the other, each with the command that shows the same.
 *
 *   /                      status, newest runs, models, datasets
 *   /KIND                  ls KIND
 *   /KIND/NAME             show kind:NAME, and its versions, runs or windows
 *   /why/REF               why REF
 */
#ifndef SL_API_PAGE_H
#define SL_API_PAGE_H

#include "op/op.h"

enum { SL_PAGE_SECTIONS_MAX = 6, SL_PAGE_BYTES_MAX = 16 << 20 };

struct sl_page_section {
	const char *title, *op;
	const char *args[3][2]; /* name, value; a NULL name ends them */
	const char *kind;       /* what names in its rows link to */
};
struct sl_page {
	const char *title;
	struct sl_page_section sections[SL_PAGE_SECTIONS_MAX];
	size_t count;
};

/* Which page `path` is; texts in `arena`. SL_E_NOT_FOUND. */
int sl_page_find(const char *path, struct sl_arena *arena, struct sl_page *ret, struct sl_error *err);

/* Runs one section's operation with whatever store the caller has; called by sl_page_render for each. The call's result is read
 * before sl_call_done. */
typedef int sl_page_run(void *context, struct sl_call *call, struct sl_error *err);
/* Appends the page. A section that fails shows its error and the others stay; the first section's failure is the page's. */
int sl_page_render(const struct sl_page *page, const char *project, const char *dir, sl_page_run *run, void *context,
	struct sl_buf *out, struct sl_error *err);

#endif
