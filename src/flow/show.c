#include "flow/show.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "learn/package.h"
#include "record/own.h"
#include "track/store.h"

enum { MLMODEL_BYTES_MAX = 4 << 20 };

/* MLflow's name of a column's type. */
static const char *type_of(enum sl_sql_kind kind)
{
	return kind == SL_SQL_BOOL ? "boolean" : kind == SL_SQL_INT ? "long" : "double";
}

/* A text column reaches the booster as a number that only this program knows, so such a model has no signature for others. */
static void write_signature(const struct sl_package *package, struct sl_buf *out)
{
	struct sl_buf inputs SL_AUTO_BUF = SL_BUF_INIT(MLMODEL_BYTES_MAX);
	for (size_t i = 0; i < package->feature_count; i++)
		if (package->features[i].encoding == SL_ENCODE_CATEGORY)
			return;
	for (size_t i = 0; i < package->feature_count; i++) {
		const struct sl_feature *feature = &package->features[i];
		sl_buf_printf(&inputs, "%s{\"type\":\"%s\",\"required\":false,\"name\":", i ? "," : "[", type_of(feature->kind));
		sl_json_string(&inputs, feature->name, strlen(feature->name));
		sl_buf_char(&inputs, '}');
	}
	sl_buf_char(&inputs, ']');
	sl_buf_str(out, "signature:\n  inputs: ");
	sl_json_string(out, sl_buf_cstr(&inputs), inputs.len); /* a JSON string is a YAML one */
	sl_buf_str(out, "\n");
}

/* mlflow/models/model.py: the file MLmodel. */
static int put_mlmodel(struct sl_store *store, const struct sl_id *run, const struct sl_package *package, const char *file, struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(MLMODEL_BYTES_MAX);
	struct sl_hash hash;
	char hex[SL_HASH_HEX + 1], id[SL_ID_HEX + 1];
	sl_id_hex(run, id);
	sl_buf_printf(&text, "artifact_path: model\nflavors:\n  python_function:\n    data: %s\n    env: {}\n    loader_module: mlflow.xgboost\n"
		"  xgboost:\n    code: null\n    data: %s\n    model_class: xgboost.core.Booster\n    model_format: %s\nrun_id: %s\n", file, file,
		sl_str_eq(package->format, "xgboost-json") ? "json" : "ubj", id);
	write_signature(package, &text);
	int rc = sl_buf_check(&text, "MLmodel", err);
	rc = rc ? rc : sl_objects_put(store->objects, text.data, text.len, &hash, err);
	return rc ? rc : sl_own_artifact(store->meta, run, "model/MLmodel", sl_hash_hex(&hash, hex), (int64_t)text.len, err);
}

static int show_model(struct sl_store *store, const struct sl_id *run, const struct sl_hash *package_hash, struct sl_error *err)
{
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	struct sl_package package;
	char hex[SL_HASH_HEX + 1], path[32];
	int rc = arena ? sl_package_read(store->objects, package_hash, arena, &package, err) : SL_E_NO_MEMORY;
	if (rc)
		return rc;
	const char *file = sl_str_eq(package.format, "xgboost-json") ? "model.json" : "model.ubj";
	snprintf(path, sizeof path, "model/%s", file);
	rc = sl_own_artifact(store->meta, run, path, sl_hash_hex(&package.model, hex), (int64_t)package.model_bytes, err);
	return rc ? rc : put_mlmodel(store, run, &package, file, err);
}

int flow_show_output(struct flow_graph *graph, const struct sl_id *run, const struct flow_output *output, struct sl_error *err)
{
	struct sl_store *store = graph->store;
	char hex[SL_HASH_HEX + 1];
	uint64_t size;
	if (output->kind == FLOW_MODEL)
		return show_model(store, run, &output->hash, err);
	int rc = sl_objects_size(store->objects, &output->hash, &size, err);
	return rc ? rc : sl_own_artifact(store->meta, run, output->path, sl_hash_hex(&output->hash, hex), (int64_t)size, err);
}
