/* Inside openlineage/: what all that composes one event shares. */
#ifndef SL_OPENLINEAGE_INTERNAL_H
#define SL_OPENLINEAGE_INTERNAL_H

#include "base/json.h"
#include "openlineage/event.h"

/* One event while it is made. Memory running out is sticky in `failed`. */
struct ol {
	struct sl_store *store;
	const struct sl_project *project;
	const struct sl_openlineage_target *target;
	struct sl_arena *arena;
	yyjson_mut_doc *doc;
	bool failed;
};

/* A run as its row says. */
struct ol_run { const char *id, *parent, *kind, *name, *status, *cause, *fingerprint; };

yyjson_mut_val *ol_object(struct ol *o, yyjson_mut_val *into, const char *name); /* a new member; `name` is copied */
yyjson_mut_val *ol_array(struct ol *o, yyjson_mut_val *into, const char *name);
yyjson_mut_val *ol_item(struct ol *o, yyjson_mut_val *list);                     /* a new object at the end */
void ol_text(struct ol *o, yyjson_mut_val *into, const char *name, const char *value); /* what is no UTF-8 becomes U+FFFD */
void ol_int(struct ol *o, yyjson_mut_val *into, const char *name, int64_t value);
void ol_bool(struct ol *o, yyjson_mut_val *into, const char *name, bool value);
/* Left out when it is no number that JSON has. */
void ol_number(struct ol *o, yyjson_mut_val *into, const char *name, double value);
/* A facet with its producer and schema, as "1-0-1/SQLJobFacet". */
yyjson_mut_val *ol_facet(struct ol *o, yyjson_mut_val *facets, const char *name, const char *schema);
/* PROJECT.NAME, or PROJECT.NAME.part; in the arena, never NULL. */
const char *ol_name(struct ol *o, const char *name, const char *part);
/* The step that made the run, as the project file has it now; NULL when there is none, or another SQL text by now. */
int ol_step(struct ol *o, const struct ol_run *run, const struct sl_step **ret, struct sl_error *err);

/* "inputs" and (when `ended`) "outputs" of the run. */
int ol_datasets(struct ol *o, const struct ol_run *run, bool ended, yyjson_mut_val *event, struct sl_error *err);
/* One dataset with its facets, at the end of `list`; *ret_facets gets its "facets". `as` is "inputFacets" or "outputFacets", whose statistics it gets too. */
int ol_table(struct ol *o, yyjson_mut_val *list, const char *name, const struct sl_hash *version, const char *as, yyjson_mut_val **ret_dataset, struct sl_error *err);
/* "columnLineage" of the dataset that an SQL step made; nothing where the statement does not tell it (column_facet.c). */
int ol_put_columns(struct ol *o, const struct ol_run *run, const struct sl_hash *version, yyjson_mut_val *dataset, struct sl_error *err);

#endif
