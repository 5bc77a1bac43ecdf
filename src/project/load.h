/* Inside project/: what every part of the loader shares. Errors carry "sluice.yaml:line:column". Not for other rooms. */
#ifndef SL_PROJECT_LOAD_H
#define SL_PROJECT_LOAD_H

#include "base/yaml.h"
#include "project/project.h"

enum { SL_PROJECT_SQL_BYTES_MAX = 1 << 20 };

/* Names while they grow. */
struct sl_name_list { const char **items; size_t count, capacity; };

struct sl_loader {
	struct sl_project *project;
	struct sl_arena *arena;           /* the project's */
	const char *where;                /* "sluice.yaml" */
	const struct sl_yaml **values;    /* beside project->params: the value after overrides */
	bool *used;                       /* beside project->params */
	struct sl_name_list *uses;        /* where the definition being read collects the parameters that it uses; may be NULL */
	bool secrets_allowed;             /* while a step's `env` is read */
	const char *each_name;            /* a parameter of the instance that is read, and its value; NULL */
	const struct sl_yaml *each_value;
	struct sl_error *err;
};

int sl_load_fail(struct sl_loader *loader, struct sl_mark mark, int code, const char *format, ...) SL_PRINTF(4, 5);
int sl_load_memory(struct sl_loader *loader);
/* Adds "did you mean 'x'?" when a candidate is near, else "one of a, b, c" when there are few; returns err->code. */
int sl_load_suggest(struct sl_loader *loader, const char *name, const char *const *candidates, size_t count);

int sl_name_list_add(struct sl_loader *loader, struct sl_name_list *list, const char *name);     /* kept as it is; the text must live */
int sl_name_list_add_new(struct sl_loader *loader, struct sl_name_list *list, const char *name); /* unless it is in */
struct sl_names sl_name_list_names(const struct sl_name_list *list);

/* A scalar `$name` becomes the parameter's value (with this node's mark), and the use is noted; anything else stays itself.
 * SL_E_INVALID for an unknown parameter. `$$name` is the text `$name`. */
int sl_load_resolve(struct sl_loader *loader, const struct sl_yaml *node, const struct sl_yaml **ret);
/* A text: resolved, then `${env:NAME}` put in. Numbers and times give their text. Lists, maps and null are refused. `what`
 * names the key. */
int sl_load_text(struct sl_loader *loader, const struct sl_yaml *node, const char *what, const char **ret);
/* The parameters inside an SQL text or expression are noted; an unknown one is an error. `file` NULL: the text stands at
 * `mark` in the project file; else the place counts lines in `file`. */
int sl_load_sql_params(struct sl_loader *loader, const char *text, const char *file, struct sl_mark mark);
/* The text of an SQL file of the project (at most SL_PROJECT_SQL_BYTES_MAX), its parameters noted. A missing file is an error
 * at `mark`. */
int sl_load_sql_file(struct sl_loader *loader, const char *path, struct sl_mark mark, const char **ret);
/* A typed value out of a scalar, list or map (resolved). */
int sl_load_value(struct sl_loader *loader, const struct sl_yaml *node, struct sl_value *ret);
/* The node as JSON with parameters and environment put in: the stuff of definitions. */
int sl_load_json(struct sl_loader *loader, const struct sl_yaml *node, yyjson_mut_doc *doc, yyjson_mut_val **ret);
/* Its canonical text. */
int sl_load_definition(struct sl_loader *loader, const struct sl_yaml *node, const char **ret);
/* The same of a tree made with yyjson. */
int sl_load_canonical(struct sl_loader *loader, yyjson_mut_val *value, const char **ret);

#endif
