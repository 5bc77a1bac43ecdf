/* columnLineage of what an SQL step made. */
#include <string.h>

#include "base/str.h"
#include "data/dataset.h"
#include "openlineage/columns.h"
#include "openlineage/internal.h"
#include "port/sql.h"

enum { INPUTS_MAX = 256 };

/* The tables that the run read; 1, or 0 when one of them has no columns to tell of. */
static int read_inputs(struct ol *o, const struct ol_run *run, struct ol_input *ret, size_t *ret_count, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(o->store->meta, &stmt, err, "SELECT name, hash FROM run_input WHERE run = ?1 AND kind = 'dataset' ORDER BY name", "s", run->id);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		struct sl_hash hash;
		struct sl_manifest manifest;
		struct sl_error why;
		if (*ret_count == INPUTS_MAX || !sl_hash_parse(sl_stmt_text(stmt, 1), &hash) || sl_manifest_read(o->store->objects, &hash, o->arena, &manifest, &why))
			return 0;
		const char **columns = sl_arena_array(o->arena, manifest.column_count + 1, sizeof *columns);
		const char *name = sl_arena_strdup(o->arena, sl_stmt_text(stmt, 0));
		if (!columns || !name)
			return sl_fail_memory(err);
		for (size_t i = 0; i < manifest.column_count; i++)
			columns[i] = manifest.columns[i].name;
		ret[(*ret_count)++] = (struct ol_input){name, columns, manifest.column_count};
		rc = 0;
	}
	return rc ? rc : 1;
}

static void put_sources(struct ol *o, yyjson_mut_val *list, const struct ol_sources *sources, const char *type)
{
	for (size_t i = 0; i < sources->count; i++) {
		yyjson_mut_val *field = ol_item(o, list), *transformation;
		ol_text(o, field, "namespace", o->target->namespace);
		ol_text(o, field, "name", ol_name(o, sources->items[i].table, NULL));
		ol_text(o, field, "field", sources->items[i].column);
		transformation = ol_item(o, ol_array(o, field, "transformations"));
		ol_text(o, transformation, "type", type);
		ol_text(o, transformation, "subtype", sources->items[i].how);
		ol_text(o, transformation, "description", "");
		ol_bool(o, transformation, "masking", false);
	}
}

static void put_facet(struct ol *o, yyjson_mut_val *facets, const struct sl_manifest *made, const struct ol_lineage *lineage)
{
	yyjson_mut_val *facet = ol_facet(o, facets, "columnLineage", "1-2-0/ColumnLineageDatasetFacet"), *fields = ol_object(o, facet, "fields");
	for (size_t i = 0; i < lineage->count; i++)
		put_sources(o, ol_array(o, ol_object(o, fields, made->columns[i].name), "inputFields"), &lineage->columns[i], "DIRECT");
	put_sources(o, ol_array(o, facet, "dataset"), &lineage->whole, "INDIRECT");
}

int ol_put_columns(struct ol *o, const struct ol_run *run, const struct sl_hash *version, yyjson_mut_val *dataset, struct sl_error *err)
{
	SL_AUTO_JSON yyjson_doc *tree = NULL;
	const struct sl_step *step = NULL;
	struct ol_input *inputs = sl_arena_array(o->arena, INPUTS_MAX, sizeof *inputs);
	struct sl_manifest made;
	struct ol_lineage lineage;
	struct sl_error why;
	size_t count = 0;
	int rc = inputs ? ol_step(o, run, &step, err) : sl_fail_memory(err);
	if (rc || !step || step->kind != SL_STEP_SQL || sl_manifest_read(o->store->objects, version, o->arena, &made, &why))
		return rc;
	rc = read_inputs(o, run, inputs, &count, err);
	/* A statement that ran can be parsed; a machine without the engine by now tells the rest of the event. */
	if (rc != 1 || sl_sql_tree(step->sql_text, run->name, &tree, &why))
		return rc < 0 ? rc : 0;
	rc = ol_columns(yyjson_doc_get_root(tree), inputs, count, o->arena, &lineage);
	if (rc == 1 && lineage.count == made.column_count)
		put_facet(o, yyjson_mut_obj_get(dataset, "facets"), &made, &lineage);
	return rc < 0 ? sl_fail_memory(err) : 0;
}
