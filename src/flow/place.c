/* Where an engine's error stands for the user: a text in sluice.yaml, not a statement of ours. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow/graph.h"

/* "NAME:7:3" with the wanted name; what stands behind it into `ret`. */
static bool take_place(const char *where, const char *name, struct sl_mark *ret)
{
	size_t len = strlen(name);
	char end;
	return strncmp(where, name, len) == 0 && sscanf(where + len, ":%d:%d%c", &ret->line, &ret->column, &end) == 2;
}

void flow_place_error(const struct sl_project *project, const struct sl_step *step, struct sl_error *err)
{
	struct sl_mark inner, mark;
	const char *file = strrchr(project->file, '/');
	bool in_place = step->kind == SL_STEP_SQL && !*step->sql_path && take_place(err->where, step->name, &inner), of_rows = false;
	bool by_columns = step->kind == SL_STEP_TRAIN || step->kind == SL_STEP_EVALUATE;
	for (size_t i = 0; by_columns && i < step->inputs.count; i++)
		of_rows |= take_place(err->where, step->inputs.items[i], &inner);
	if (!in_place && !of_rows)
		return;
	mark = in_place ? step->sql_mark : step->mark;
	snprintf(err->where, sizeof err->where, "%.200s:%d:%d", file ? file + 1 : project->file, mark.line, mark.column);
	/* Whether the text is quoted, folded or indented there is not known any more, so its own lines are counted. */
	if (in_place && !step->lookup)
		sl_error_context(err, "at %d:%d of its SQL", inner.line, inner.column);
}
