/* Datasets of an event: their names by OpenLineage's conventions, and what is known of a version. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "data/dataset.h"
#include "data/profile.h"
#include "openlineage/internal.h"

/* ---- facets of a table ---------------------------------------------------------------------------------------------- */

static void put_version(struct ol *o, yyjson_mut_val *facets, const char *version, const char *type)
{
	ol_text(o, ol_facet(o, facets, "version", "1-0-1/DatasetVersionDatasetFacet"), "datasetVersion", version);
	ol_text(o, ol_facet(o, facets, "datasetType", "1-0-1/DatasetTypeDatasetFacet"), "datasetType", type);
}

static void put_schema(struct ol *o, yyjson_mut_val *facets, const struct sl_manifest *manifest)
{
	yyjson_mut_val *fields = ol_array(o, ol_facet(o, facets, "schema", "1-2-0/SchemaDatasetFacet"), "fields");
	for (size_t i = 0; i < manifest->column_count; i++) {
		yyjson_mut_val *field = ol_item(o, fields);
		ol_text(o, field, "name", manifest->columns[i].name);
		ol_text(o, field, "type", manifest->columns[i].type);
		ol_int(o, field, "ordinal_position", (int64_t)i + 1);
	}
}

static void put_column(struct ol *o, yyjson_mut_val *metrics, const struct sl_profile_column *column)
{
	yyjson_mut_val *into = ol_object(o, metrics, column->name);
	ol_int(o, into, "nullCount", (int64_t)column->missing);
	ol_int(o, into, "count", (int64_t)column->present);
	if (column->kind == SL_PROFILE_OTHER)
		return;
	ol_int(o, into, "distinctCount", (int64_t)column->distinct);
	if (column->kind != SL_PROFILE_NUMBER || column->present == column->nan + column->infinite)
		return;
	ol_number(o, into, "sum", column->mean * (double)(column->present - column->nan - column->infinite));
	ol_number(o, into, "min", column->min);
	ol_number(o, into, "max", column->max);
	yyjson_mut_val *quantiles = ol_object(o, into, "quantiles");
	static const struct { const char *share; int percent; } TOLD[] = {{"0.05", 5}, {"0.25", 25}, {"0.5", 50}, {"0.75", 75}, {"0.95", 95}};
	for (size_t i = 0; i < SL_ARRAY_LEN(TOLD); i++)
		ol_number(o, quantiles, TOLD[i].share, column->quantiles[TOLD[i].percent * (SL_PROFILE_QUANTILES - 1) / 100]);
}

/* Of the profile that was made with the version; most versions without checks have none. */
static int put_metrics(struct ol *o, yyjson_mut_val *facets, const struct sl_hash *version, const struct sl_manifest *manifest, struct sl_error *err)
{
	struct sl_profile profile;
	const char *text;
	int rc = sl_profile_find(o->store->meta, version, o->arena, &text, err);
	rc = rc == 1 ? sl_profile_parse(text, strlen(text), o->arena, &profile, err) : rc ? rc : 1;
	if (rc)
		return rc < 0 ? rc : 0;
	yyjson_mut_val *facet = ol_facet(o, facets, "dataQualityMetrics", "1-0-1/DataQualityMetricsDatasetFacet");
	ol_int(o, facet, "rowCount", (int64_t)profile.rows);
	ol_int(o, facet, "bytes", (int64_t)manifest->size_bytes);
	yyjson_mut_val *columns = ol_object(o, facet, "columnMetrics");
	for (size_t i = 0; i < profile.column_count; i++)
		put_column(o, columns, &profile.columns[i]);
	return 0;
}

static void put_statistics(struct ol *o, yyjson_mut_val *dataset, const char *as, const struct sl_manifest *manifest)
{
	bool input = sl_str_eq(as, "inputFacets");
	yyjson_mut_val *facet = ol_facet(o, ol_object(o, dataset, as), input ? "inputStatistics" : "outputStatistics",
					 input ? "1-0-0/InputStatisticsInputDatasetFacet" : "1-0-2/OutputStatisticsOutputDatasetFacet");
	ol_int(o, facet, "rowCount", (int64_t)manifest->rows);
	ol_int(o, facet, "size", (int64_t)manifest->size_bytes);
	ol_int(o, facet, "fileCount", (int64_t)manifest->file_count);
}

int ol_table(struct ol *o, yyjson_mut_val *list, const char *name, const struct sl_hash *version, const char *as, yyjson_mut_val **ret_dataset, struct sl_error *err)
{
	struct sl_manifest manifest;
	struct sl_error why;
	char hex[SL_HASH_HEX + 1];
	yyjson_mut_val *dataset = ol_item(o, list), *facets;
	*ret_dataset = dataset;
	ol_text(o, dataset, "namespace", o->target->namespace);
	ol_text(o, dataset, "name", ol_name(o, name, NULL));
	facets = ol_object(o, dataset, "facets");
	/* A tree of plain files has a manifest of another kind, and `gc` may have removed that of an old version: no columns to tell of, then. */
	bool table = sl_manifest_read(o->store->objects, version, o->arena, &manifest, &why) == 0;
	put_version(o, facets, sl_hash_hex(version, hex), table ? "TABLE" : "FILE");
	if (!table)
		return 0;
	put_statistics(o, dataset, as, &manifest);
	if (manifest.column_count > SL_OPENLINEAGE_COLUMNS_MAX)
		return 0;
	put_schema(o, facets, &manifest);
	return put_metrics(o, facets, version, &manifest, err);
}

/* ---- other things --------------------------------------------------------------------------------------------------- */

/* A file of this machine, or an address. */
static void put_file(struct ol *o, yyjson_mut_val *list, const char *name, const char *hex)
{
	yyjson_mut_val *dataset = ol_item(o, list);
	const char *host = strstr(name, "://"), *path = host ? strchr(host + 3, '/') : NULL;
	if (host && sl_str_starts(name, "http")) {
		const char *server = path ? sl_arena_strndup(o->arena, name, (size_t)(path - name)) : name;
		ol_text(o, dataset, "namespace", server);
		ol_text(o, dataset, "name", path && path[1] ? path : "/");
	} else {
		const char *whole = *name == '/' ? name : sl_arena_printf(o->arena, "%s/%s", o->store->project_dir, name);
		ol_text(o, dataset, "namespace", "file");
		ol_text(o, dataset, "name", whole);
	}
	put_version(o, ol_object(o, dataset, "facets"), hex, "FILE");
}

static int put_model(struct ol *o, yyjson_mut_val *list, const struct ol_run *run, const char *name, const char *hex, struct sl_error *err)
{
	yyjson_mut_val *dataset = ol_item(o, list);
	int64_t version;
	char text[32];
	int rc = sl_meta_int(o->store->meta, 0, &version, err, "SELECT version FROM model_version WHERE model = ?1 AND run = ?2", "ss", name, run->id);
	snprintf(text, sizeof text, "%lld", (long long)version);
	ol_text(o, dataset, "namespace", o->target->namespace);
	ol_text(o, dataset, "name", ol_name(o, name, NULL));
	put_version(o, ol_object(o, dataset, "facets"), version ? text : hex, "MODEL");
	return rc;
}

/* Where a file that a command made stands. */
static const char *output_path(const struct ol *o, const struct ol_run *run, const char *name)
{
	const struct sl_step *step = sl_project_step(o->project, run->name);
	for (size_t i = 0; step && i < step->output_count; i++)
		if (sl_str_eq(step->outputs[i].name, name) && step->outputs[i].path && *step->outputs[i].path)
			return step->outputs[i].path;
	return name;
}

static int put_thing(struct ol *o, yyjson_mut_val *list, const struct ol_run *run, struct sl_stmt *stmt, const char *as, struct sl_error *err)
{
	const char *kind = sl_stmt_text(stmt, 0), *name = sl_stmt_text(stmt, 1), *hex = sl_stmt_text(stmt, 2);
	struct sl_hash hash;
	yyjson_mut_val *dataset;
	if (sl_hash_parse(hex, &hash) == false)
		return sl_fail(err, SL_E_CORRUPT, "run %s: '%.80s' is no hash", run->id, hex);
	if (sl_str_eq(kind, "dataset")) {
		int rc = ol_table(o, list, name, &hash, as, &dataset, err);
		bool made = sl_str_eq(as, "outputFacets") && sl_str_eq(name, run->name);
		return rc || !made ? rc : ol_put_columns(o, run, &hash, dataset, err);
	}
	if (sl_str_eq(kind, "model"))
		return put_model(o, list, run, name, hex, err);
	if (sl_str_eq(kind, "output"))
		put_file(o, list, output_path(o, run, name), hex);
	else if (sl_str_eq(kind, "file"))
		put_file(o, list, name, hex);
	return 0; /* code is no dataset */
}

static int put_things(struct ol *o, yyjson_mut_val *list, const struct ol_run *run, const char *as, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	bool input = sl_str_eq(as, "inputFacets");
	int rc = sl_meta_query(o->store->meta, &stmt, err,
			       input ? "SELECT kind, name, hash FROM run_input WHERE run = ?1 ORDER BY kind, name"
				     : "SELECT kind, name, hash FROM run_output WHERE run = ?1 ORDER BY kind, name",
			       "s", run->id);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1)
		rc = put_thing(o, list, run, stmt, as, err);
	return rc;
}

int ol_datasets(struct ol *o, const struct ol_run *run, bool ended, yyjson_mut_val *event, struct sl_error *err)
{
	int rc = put_things(o, ol_array(o, event, "inputs"), run, "inputFacets", err);
	yyjson_mut_val *outputs = ol_array(o, event, "outputs");
	return rc || !ended ? rc : put_things(o, outputs, run, "outputFacets", err);
}
