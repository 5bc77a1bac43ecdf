#include "serve/model_open.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "base/yaml.h"
#include "serve/batch.h"
#include "serve/endpoint_internal.h"
#include "serve/model_config.h"

/* ---- the signature ---- */

/* Names of the columns out of MLmodel's signature: JSON text, [{"name":"a","type":"double"}, ...]. NULL names: it has none. */
static int signature_names(const char *mlmodel, size_t count, struct sl_arena *arena, const char **ret, struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(SL_YAML_BYTES_MAX);
	struct sl_arena *scratch SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	const struct sl_yaml *root, *signature;
	if (!scratch)
		return SL_E_NO_MEMORY;
	int rc = sl_file_read(mlmodel, &text, err);
	if (!rc)
		rc = sl_yaml_parse(sl_buf_cstr(&text), text.len, mlmodel, scratch, &root, err);
	if (rc || !(signature = sl_yaml_get(root, "signature")) || signature->kind != SL_YAML_MAP)
		return rc;
	const struct sl_yaml *inputs = sl_yaml_get(signature, "inputs");
	if (!inputs || inputs->kind != SL_YAML_SCALAR)
		return 0;
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(inputs->text, strlen(inputs->text), mlmodel, err);
	if (!doc)
		return err ? err->code : SL_E_INVALID;
	yyjson_val *list = yyjson_doc_get_root(doc);
	if (yyjson_arr_size(list) != count)
		return 0; /* a tensor signature, or one of other columns than the model's */
	for (size_t i = 0; i < count; i++) {
		const char *name = sl_json_str(yyjson_arr_get(list, i), "name", NULL);
		if (!name)
			return 0;
		ret[i] = sl_arena_strdup(arena, name);
		if (!ret[i])
			return sl_fail_memory(err);
	}
	return 0;
}

/* In order of precedence, see the header; the file's own are in `names` already, if it has any. *ret_named: they are the user's. */
static int column_names(const struct sl_model_file *file, size_t count, struct sl_arena *arena, const char **names, bool *ret_named,
			struct sl_error *err)
{
	int rc = 0;
	if (!names[0] && file->mlmodel)
		rc = signature_names(file->mlmodel, count, arena, names, err);
	*ret_named = !rc && names[count - 1];
	for (size_t i = 0; !rc && !*ret_named && i < count; i++) {
		names[i] = sl_arena_printf(arena, "f%zu", i);
		rc = names[i] ? 0 : sl_fail_memory(err);
	}
	return rc;
}

static void set_task(struct sl_package *package, const struct sl_infer_info *info)
{
	package->output_count = info->outputs;
	package->task = SL_TASK_REGRESSION;
	package->output = "prediction";
	const char *objective = info->objective;
	if (sl_str_eq(objective, "binary:logistic") || sl_str_eq(objective, "binary:probability") || sl_str_eq(objective, "Logloss") ||
	    sl_str_eq(objective, "CrossEntropy")) {
		package->task = SL_TASK_BINARY;
		package->output = "probability";
	} else if (sl_str_eq(objective, "multi:softprob") || sl_str_eq(objective, "multi:probability") || sl_str_eq(objective, "MultiClass") ||
		   sl_str_eq(objective, "MultiClassOneVsAll")) {
		package->task = SL_TASK_MULTICLASS;
		package->output = "probabilities";
	}
}

static int fill_package(struct sl_served *served, const struct sl_model_file *file, struct sl_error *err)
{
	struct sl_package *package = &served->package;
	struct sl_infer_info info;
	bool named;
	sl_infer_info(served->infer, &info);
	if (info.features > SL_FEATURES_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "the model has %zu columns, at most %d are served", info.features, SL_FEATURES_MAX);
	package->features = sl_arena_array(served->arena, info.features, sizeof *package->features);
	const char **names = sl_arena_array(served->arena, info.features, sizeof *names);
	int rc = package->features && names ? 0 : sl_fail_memory(err);
	for (size_t i = 0; !rc && i < info.features; i++) {
		const char *own = sl_infer_feature_name(served->infer, i);
		names[i] = own ? sl_arena_strdup(served->arena, own) : NULL;
	}
	if (!rc)
		rc = column_names(file, info.features, served->arena, names, &named, err);
	if (rc)
		return rc;
	package->feature_count = info.features;
	for (size_t i = 0; i < info.features; i++)
		package->features[i] = (struct sl_feature){
			.name = names[i], .type = "DOUBLE", .encoding = SL_ENCODE_NUMBER, .kind = SL_SQL_DOUBLE};
	package->target = package->training = "";
	set_task(package, &info);
	served->matrix = named ? NULL : "input";
	return 0;
}

/* ---- a graph's columns ---- */

static struct sl_feature column_of(const char *name, enum sl_element element)
{
	struct sl_feature feature = {.name = name, .type = "BIGINT", .encoding = SL_ENCODE_NUMBER, .kind = SL_SQL_INT};
	switch (element) {
	case SL_ELEMENT_BOOL:
		feature.type = "BOOLEAN";
		feature.kind = SL_SQL_BOOL;
		break;
	case SL_ELEMENT_TEXT:
		feature.type = "VARCHAR";
		feature.kind = SL_SQL_TEXT;
		break;
	case SL_ELEMENT_FP16:
	case SL_ELEMENT_BF16:
	case SL_ELEMENT_FP32:
	case SL_ELEMENT_FP64:
		feature.type = "DOUBLE";
		feature.kind = SL_SQL_DOUBLE;
		break;
	default: break;
	}
	return feature;
}

static bool is_column(const struct sl_graph_port *port)
{
	return !port->any_shape && port->sizes[0] == -1 && (port->dims == 1 || (port->dims == 2 && port->sizes[1] == 1));
}

/* How many columns a table would have for this graph; 0: it is none of tables. */
static size_t column_count(const struct sl_graph_info *info)
{
	const struct sl_graph_port *first = info->inputs;
	if (info->input_count == 1 && first->dims == 2 && first->sizes[0] == -1 && first->sizes[1] > 1 && first->sizes[1] <= SL_FEATURES_MAX)
		return (size_t)first->sizes[1];
	for (size_t i = 0; i < info->input_count; i++)
		if (!is_column(&info->inputs[i]))
			return 0;
	return info->input_count;
}

static int fill_graph_package(struct sl_served *served, const struct sl_model_file *file, struct sl_error *err)
{
	struct sl_package *package = &served->package;
	const struct sl_graph_info *info = sl_graph_info(served->graph);
	size_t count = column_count(info);
	bool each = count == info->input_count, named;
	package->target = package->training = "";
	package->task = SL_TASK_REGRESSION;
	package->output = info->outputs[0].name;
	package->feature_count = count;
	package->features = sl_arena_array(served->arena, count + 1, sizeof *package->features);
	const char **names = sl_arena_array(served->arena, count + 1, sizeof *names);
	if (!package->features || !names)
		return sl_fail_memory(err);
	for (size_t i = 0; i < count && each; i++)
		names[i] = info->inputs[i].name;
	int rc = count ? column_names(file, count, served->arena, names, &named, err) : 0;
	for (size_t i = 0; !rc && i < count; i++)
		package->features[i] = column_of(names[i], info->inputs[each ? i : 0].element);
	served->matrix = each ? NULL : info->inputs[0].name;
	served->lane.batch_rows = info->by_rows ? SL_BATCH_ROWS : 0;
	return rc;
}

/* A configuration's word counts: with dynamic_batching what waits runs together, without it does not. */
static void apply_batching(struct sl_served *served, const struct sl_model_config *config)
{
	const int64_t us = 1000;
	struct sl_lane *lane = &served->lane;
	lane->batch_rows = served->graph && config->batches ? served->max_rows : 0;
	lane->fill_rows = (size_t)config->preferred;
	lane->delay_ns = config->delay_us * us;
	lane->queue_max = (size_t)config->queue_max;
	lane->timeout_ns = config->timeout_us * us;
	lane->priority = config->priority > SL_POOL_PRIORITIES ? SL_POOL_PRIORITIES : (unsigned)config->priority;
}

/* config.pbtxt's names of the one input and the one output, where it has them. */
static int apply_config(struct sl_served *served, const char *path, struct sl_error *err)
{
	struct sl_model_config config;
	int rc = path ? sl_model_config_read(path, served->arena, &config, err) : 0;
	if (rc || !path)
		return rc;
	if (config.name[0] && strcmp(config.name, served->spec->name) != 0)
		return sl_fail_at(err, SL_E_INVALID, path, "its name is '%s', its folder's is '%s'", config.name, served->spec->name);
	served->max_rows = config.max_batch_size > 0 ? (size_t)config.max_batch_size : 0;
	apply_batching(served, &config);
	if (served->graph) /* its inputs and outputs have names and shapes of their own */
		return 0;
	if (config.input_count > 1 || config.output_count > 1)
		return sl_fail_at(err, SL_E_INVALID, path, "it has %zu inputs and %zu outputs, the model has one of each",
				  config.input_count, config.output_count);
	if (config.input_count && config.input.dims && config.input.dim != (int64_t)served->package.feature_count &&
	    config.input.dim != -1)
		return sl_fail_at(err, SL_E_INVALID, path, "its input has %lld columns, the model has %zu", (long long)config.input.dim,
				  served->package.feature_count);
	if (config.input_count && config.input.name[0])
		served->matrix = config.input.name;
	if (config.output_count && config.output.name[0])
		served->package.output = config.output.name;
	return 0;
}

/* ---- opening ---- */

static int load_file(struct sl_served *served, const struct sl_model_file *file, bool any_graph, struct sl_error *err)
{
	struct sl_buf data SL_AUTO_BUF = SL_BUF_INIT(SL_MODEL_BYTES_MAX);
	struct sl_package *package = &served->package;
	const char *slash = strrchr(file->path, '/');
	int rc = sl_file_read(file->path, &data, err);
	if (!rc)
		rc = sl_infer_format(slash ? slash + 1 : file->path, sl_buf_cstr(&data), data.len, &package->format, err);
	if (!rc)
		rc = any_graph && sl_str_eq(package->format, "onnx") ? sl_graph_load(data.data, data.len, &served->graph, err)
									      : sl_infer_load(package->format, data.data, data.len, &served->infer, err);
	if (rc)
		return rc;
	sl_sha256(data.data, data.len, &package->hash);
	package->model = package->hash;
	package->model_bytes = data.len;
	size_t len = strcspn(package->format, "-"); /* "xgboost-ubj" is by xgboost */
	package->algorithm = sl_arena_strndup(served->arena, package->format, len);
	if (!package->algorithm)
		return sl_fail_memory(err);
	return served->graph ? fill_graph_package(served, file, err) : fill_package(served, file, err);
}

int sl_model_open(struct sl_endpoint_state *endpoint, const struct sl_endpoint *spec, const struct sl_model_file *file,
		  const char *config, struct sl_served **ret, struct sl_error *err)
{
	struct sl_arena *arena = sl_arena_new(0, err);
	struct sl_served *served = arena ? sl_arena_alloc(arena, sizeof *served) : NULL;
	if (!served) {
		sl_arena_free(arena);
		return sl_fail_memory(err);
	}
	*served = (struct sl_served){.endpoint = endpoint, .spec = spec, .version = file->number, .references = 1, .arena = arena};
	snprintf(served->version_text, sizeof served->version_text, "%s", file->version);
	if (endpoint)
		endpoint->references++; /* given back with the version */
	int rc = load_file(served, file, endpoint != NULL, err);
	if (!rc)
		rc = apply_config(served, config, err);
	if (!rc)
		rc = sl_served_make_slots(served, NULL, 0, err);
	if (rc) {
		sl_error_where(err, "%s", file->path);
		sl_served_unref(served);
		return rc;
	}
	*ret = served;
	return 0;
}

uint64_t sl_model_memory(const struct sl_served *served)
{
	struct sl_infer_info info = {0};
	if (served->graph)
		return sl_graph_info(served->graph)->memory_bytes + sl_arena_used(served->arena);
	sl_infer_info(served->infer, &info);
	return info.memory_bytes + sl_arena_used(served->arena);
}
