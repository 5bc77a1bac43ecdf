/* Inside project/: the file's sections as tables. One row per key; the same rows check the file, fill the structs and make the
 * JSON Schema. */
#ifndef SL_PROJECT_SHAPE_H
#define SL_PROJECT_SHAPE_H

#include "project/load.h"

/* What a row's value is, and the member at `offset` that it fills. Members keep what they had when the key is absent. */
enum sl_row_type {
	SL_ROW_TEXT,     /* const char * */
	SL_ROW_REF,      /* const char *: a name of ours */
	SL_ROW_NAMES,    /* struct sl_names: a list of texts; a single text counts as a list of one */
	SL_ROW_SQL,      /* const char *: an SQL expression; `$name` in it is bound when it runs */
	SL_ROW_INT,      /* int64_t */
	SL_ROW_NUMBER,   /* double */
	SL_ROW_BOOL,     /* bool */
	SL_ROW_DURATION, /* int64_t, milliseconds; "90s", "1h30m" */
	SL_ROW_BYTES,    /* uint64_t; "512MB" */
	SL_ROW_CHOICE,   /* const char *: one of `choices` */
	SL_ROW_OTHER,    /* whatever `read` makes of it */
};

struct sl_shape;
struct sl_row {
	const char *name;
	enum sl_row_type type;
	size_t offset;
	bool required;
	const char *about;                /* one line for editors */
	const char *const *choices;       /* CHOICE: NULL-terminated */
	double min, max;                  /* INT, NUMBER: inclusive, when they differ */
	/* OTHER: `target` is the struct that the shape fills. */
	int (*read)(struct sl_loader *loader, const struct sl_yaml *node, void *target);
	const struct sl_shape *shape;     /* OTHER: for the schema: a map of this shape ... */
	const char *schema;               /* ... or this JSON, beside the shape when both are given ("anyOf") */
};
struct sl_shape {
	const char *what;                 /* "a step", for messages */
	const struct sl_row *rows;
	size_t count;
};
#define SL_SHAPE(what_, rows_) {.what = what_, .rows = rows_, .count = SL_ARRAY_LEN(rows_)}

/* Reads the map `node` into `target`; unknown and missing keys are errors with the nearest known one. */
int sl_shape_read(struct sl_loader *loader, const struct sl_shape *shape, const struct sl_yaml *node, void *target);
/* One value by its row: for maps that mix rows with free keys. */
int sl_row_read(struct sl_loader *loader, const struct sl_row *row, const struct sl_yaml *node, void *target);
const struct sl_row *sl_shape_row(const struct sl_shape *shape, const char *name); /* NULL when absent */
int sl_shape_unknown(struct sl_loader *loader, const struct sl_shape *shape, const struct sl_yaml *key);

/* A section: a map from names to definitions. Calls `read` for each with a zeroed element of `size` bytes; *ret_items is the
 * array. */
typedef int sl_section_read(struct sl_loader *loader, const char *name, const struct sl_yaml *node, void *element);
int sl_section_each(struct sl_loader *loader, const struct sl_yaml *node, const char *what, size_t size, sl_section_read *read,
		void *ret_items, size_t *ret_count);
int sl_section_name(struct sl_loader *loader, const struct sl_yaml *key); /* is the key a name? */
int sl_load_want_map(struct sl_loader *loader, const struct sl_yaml *node, const char *what);

/* The tables of the sections (read_*.c). */
extern const struct sl_shape sl_shape_source, sl_shape_dataset, sl_shape_step, sl_shape_model, sl_shape_endpoint, sl_shape_monitor, sl_shape_trigger, sl_shape_server,
	sl_shape_openlineage;
/* The JSON Schema of one check; `shape` writes that of a shape. 0 or the buffer's failure. */
int sl_check_schema(struct sl_buf *out, void (*shape)(struct sl_buf *out, const struct sl_shape *shape));

/* A dataset's list of checks; `target` is the struct sl_dataset. */
int sl_read_checks(struct sl_loader *loader, const struct sl_yaml *node, void *target);

int sl_read_server(struct sl_loader *loader, const struct sl_yaml *node, void *project);
int sl_read_openlineage(struct sl_loader *loader, const struct sl_yaml *node, void *project);
int sl_read_sources(struct sl_loader *loader, const struct sl_yaml *node, void *project);
int sl_read_datasets(struct sl_loader *loader, const struct sl_yaml *node, void *project);
int sl_read_steps(struct sl_loader *loader, const struct sl_yaml *node, void *project);
int sl_read_models(struct sl_loader *loader, const struct sl_yaml *node, void *project);
int sl_read_endpoints(struct sl_loader *loader, const struct sl_yaml *node, void *project);
int sl_read_monitors(struct sl_loader *loader, const struct sl_yaml *node, void *project);
int sl_read_triggers(struct sl_loader *loader, const struct sl_yaml *node, void *project);
/* Parts of a step that say how it is run, and section `resources` (read_policy.c). */
#define SL_AMOUNTS_SCHEMA "{\"type\":\"object\",\"additionalProperties\":{\"type\":[\"integer\",\"string\"]}}"
extern const struct sl_shape sl_shape_retry;
int sl_read_retry(struct sl_loader *loader, const struct sl_yaml *node, void *step);
/* Items of `each`: in order, with different labels. */
struct sl_each_item { const char *label; const struct sl_yaml *value; const char *file; /* of a glob; "" */ };
struct sl_each { const char *name; struct sl_each_item *items; size_t count; const char *query; bool unasked; };
int sl_read_each(struct sl_loader *loader, const struct sl_yaml *node, struct sl_each *ret);
/* The items of a query's answer (read_each_query.c). */
int sl_read_each_query(struct sl_loader *loader, const struct sl_yaml *node, const struct sl_yaml ***ret, size_t *ret_count, struct sl_each *each);
extern const struct sl_shape sl_shape_sandbox, sl_shape_limits;
#define SL_SWITCH_SCHEMA "{\"type\":[\"boolean\",\"string\"]}"
int sl_read_sandbox(struct sl_loader *loader, const struct sl_yaml *node, void *step);
int sl_read_project_sandbox(struct sl_loader *loader, const struct sl_yaml *node, void *project);
int sl_read_limits(struct sl_loader *loader, const struct sl_yaml *node, void *step);
int sl_read_when(struct sl_loader *loader, const struct sl_yaml *node, void *step);
int sl_read_finally(struct sl_loader *loader, const struct sl_yaml *node, void *step);
int sl_read_needs(struct sl_loader *loader, const struct sl_yaml *node, void *step);
int sl_read_resources(struct sl_loader *loader, const struct sl_yaml *node, void *project);
int sl_project_check_policy(struct sl_loader *loader);
/* Lookups (read_lookup.c). */
extern const struct sl_shape sl_shape_lookup, sl_shape_features;
int sl_read_lookup(struct sl_loader *loader, const struct sl_yaml *node, void *step);
int sl_read_endpoint_features(struct sl_loader *loader, const struct sl_yaml *node, struct sl_endpoint *endpoint);
int sl_read_evaluate(struct sl_loader *loader, const struct sl_yaml *node, struct sl_evaluate *ret, bool of_model);

/* Every name that a definition mentions must exist, and what is declared must be used (check_names.c). */
int sl_project_check_names(struct sl_loader *loader);

#endif
