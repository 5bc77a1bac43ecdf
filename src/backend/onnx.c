/* Port "graph" over ONNX Runtime's C API (1.21 and later; the library is loaded on first use). */
#include "port/graph.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <onnxruntime/onnxruntime_c_api.h>

#include "backend/onnx_check.h"
#include "backend/onnx_rows.h"
#include "backend/onnx_value.h"
#include "base/log.h"
#include "base/str.h"
#include "os/library.h"

struct sl_graph {
	OrtSession *session;
	struct sl_graph_info info;
	struct sl_graph_port *inputs, *outputs;
	const char **input_names, **output_names;
	struct sl_arena *arena; /* of the ports */
};

/* ---- the library ---- */

static struct {
	pthread_mutex_t lock;
	const OrtApi *api; /* NULL: not loaded yet */
	OrtEnv *env;
	OrtMemoryInfo *memory;
} ort = {.lock = PTHREAD_MUTEX_INITIALIZER};

const OrtApi *sl_ort(void) { return ort.api; }

static void log_line(void *context, OrtLoggingLevel level, const char *category, const char *id, const char *where, const char *message)
{
	(void)context;
	(void)level;
	(void)category;
	(void)id;
	(void)where;
	sl_debug("onnxruntime: %s", message);
}

/* Its sentences begin with the place in its source, "matmul_helper.h:59 Compute MatMul dimension mismatch" or "file.cc:123 function(types) the
 * sentence", which says nothing to a client. */
static const char *sentence_of(const char *text)
{
	const char *said = strstr(text, "Status Message: ");
	if (said)
		text = said + strlen("Status Message: ");
	const char *source = strstr(text, ".cc:"), *header = strstr(text, ".h:");
	if (!source || (header && header < source))
		source = header;
	if (!source || !strchr(source, ' '))
		return text;
	const char *function = strchr(source, ' ') + 1, *types = strchr(function, '('), *behind = strchr(function, ' ');
	if (types && behind && types < behind)
		behind = strchr(types, ')');
	return behind ? behind + 1 + strspn(behind + 1, " ") : text;
}

int sl_ort_fail(OrtStatus *status, int code, const char *doing, struct sl_error *err)
{
	char text[400];
	snprintf(text, sizeof text, "%s", ort.api->GetErrorMessage(status));
	if (ort.api->GetErrorCode(status) == ORT_INVALID_ARGUMENT || ort.api->GetErrorCode(status) == ORT_INVALID_GRAPH)
		code = SL_E_INVALID;
	ort.api->ReleaseStatus(status);
	text[strcspn(text, "\n")] = 0;
	return sl_fail(err, code, "%s: %s", doing, sentence_of(text));
}

static int start(struct sl_error *err)
{
	const OrtApiBase *(*base)(void) = NULL;
	const struct sl_library_symbol symbols[] = {{"OrtGetApiBase", &base}};
	int rc = sl_library_load("libonnxruntime.so.1", symbols, SL_ARRAY_LEN(symbols), err);
	if (rc)
		return rc;
	ort.api = base()->GetApi(ORT_API_VERSION);
	if (!ort.api)
		return sl_fail(err, SL_E_NO_LIBRARY, "ONNX Runtime %s is older than what this program needs", base()->GetVersionString());
	OrtStatus *status = ort.api->CreateEnvWithCustomLogger(log_line, NULL, ORT_LOGGING_LEVEL_WARNING, "sluice", &ort.env);
	if (!status)
		status = ort.api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &ort.memory);
	return status ? sl_ort_fail(status, SL_E_NO_LIBRARY, "ONNX Runtime does not start", err) : 0;
}

static int load_library(struct sl_error *err)
{
	pthread_mutex_lock(&ort.lock);
	int rc = ort.memory ? 0 : start(err);
	pthread_mutex_unlock(&ort.lock);
	return rc;
}

/* ---- loading ---- */

/* A run uses the thread that calls it and nobody else's; without the arena, memory of large requests goes back to the system. */
static OrtStatus *set_options(OrtSessionOptions *options)
{
	OrtStatus *status = ort.api->SetIntraOpNumThreads(options, 1);
	if (!status)
		status = ort.api->SetInterOpNumThreads(options, 1);
	if (!status)
		status = ort.api->SetSessionExecutionMode(options, ORT_SEQUENTIAL);
	if (!status)
		status = ort.api->DisableCpuMemArena(options);
	if (!status)
		status = ort.api->SetSessionGraphOptimizationLevel(options, ORT_ENABLE_ALL);
	return status;
}

static int open_session(const void *data, size_t len, OrtSession **ret, struct sl_error *err)
{
	OrtSessionOptions *options = NULL;
	OrtStatus *status = ort.api->CreateSessionOptions(&options);
	if (!status)
		status = set_options(options);
	if (!status)
		status = ort.api->CreateSessionFromArray(ort.env, data, len, options, ret);
	if (options)
		ort.api->ReleaseSessionOptions(options);
	return status ? sl_ort_fail(status, SL_E_INVALID, "ONNX Runtime does not load it", err) : 0;
}

/* ---- the signature ---- */

static int read_tensor_info(const OrtTensorTypeAndShapeInfo *info, struct sl_graph_port *port, struct sl_error *err)
{
	ONNXTensorElementDataType type;
	OrtStatus *status = ort.api->GetTensorElementType(info, &type);
	if (!status)
		status = ort.api->GetDimensionsCount(info, &port->dims);
	if (status)
		return sl_ort_fail(status, SL_E_INVALID, "its type cannot be read", err);
	if (!sl_ort_element(type, &port->element))
		return sl_fail(err, SL_E_INVALID, "'%s' is of a type that no request can carry", port->name);
	if (port->dims > SL_GRAPH_DIMS_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "'%s' has %zu dimensions, at most %d are served", port->name, port->dims, SL_GRAPH_DIMS_MAX);
	port->any_shape = port->dims == 0;
	status = ort.api->GetDimensions(info, port->sizes, port->dims);
	for (size_t i = 0; i < port->dims; i++)
		if (port->sizes[i] < 0)
			port->sizes[i] = -1;
	return status ? sl_ort_fail(status, SL_E_INVALID, "its shape cannot be read", err) : 0;
}

static int no_type(const struct sl_graph_port *port, struct sl_error *err)
{
	sl_fail(err, SL_E_INVALID, "'%s' is neither a tensor nor a sequence of maps with numbers", port->name);
	return sl_error_hint(err, "requests and answers carry tensors; maps are served as outputs only");
}

/* sequence(map(text or int64, float)) */
static OrtStatus *read_map_info(const OrtTypeInfo *type, ONNXTensorElementDataType *ret_key, ONNXTensorElementDataType *ret_value)
{
	const OrtSequenceTypeInfo *sequence = NULL;
	OrtTypeInfo *item = NULL, *value = NULL;
	const OrtMapTypeInfo *map = NULL;
	const OrtTensorTypeAndShapeInfo *tensor = NULL;
	OrtStatus *status = ort.api->CastTypeInfoToSequenceTypeInfo(type, &sequence);
	if (!status && sequence)
		status = ort.api->GetSequenceElementType(sequence, &item);
	if (!status && item)
		status = ort.api->CastTypeInfoToMapTypeInfo(item, &map);
	if (!status && map)
		status = ort.api->GetMapKeyType(map, ret_key);
	if (!status && map)
		status = ort.api->GetMapValueType(map, &value);
	if (!status && value)
		status = ort.api->CastTypeInfoToTensorInfo(value, &tensor);
	if (!status && tensor)
		status = ort.api->GetTensorElementType(tensor, ret_value);
	if (value)
		ort.api->ReleaseTypeInfo(value);
	if (item)
		ort.api->ReleaseTypeInfo(item);
	return status;
}

static int read_maps(const OrtTypeInfo *type, bool is_input, struct sl_graph_port *port, struct sl_error *err)
{
	ONNXTensorElementDataType key = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED, value = key;
	OrtStatus *status = read_map_info(type, &key, &value);
	if (status)
		return sl_ort_fail(status, SL_E_INVALID, "its type cannot be read", err);
	bool good = key == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64 || key == ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING;
	if (is_input || !good || value != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT)
		return no_type(port, err);
	port->element = SL_ELEMENT_FP32;
	port->dims = 2;
	port->sizes[0] = port->sizes[1] = -1;
	port->maps = true;
	return 0;
}

static int read_type(const OrtTypeInfo *type, bool is_input, struct sl_graph_port *port, struct sl_error *err)
{
	enum ONNXType kind;
	const OrtTensorTypeAndShapeInfo *tensor = NULL;
	OrtStatus *status = ort.api->GetOnnxTypeFromTypeInfo(type, &kind);
	if (!status && kind == ONNX_TYPE_TENSOR)
		status = ort.api->CastTypeInfoToTensorInfo(type, &tensor);
	if (status)
		return sl_ort_fail(status, SL_E_INVALID, "its type cannot be read", err);
	if (tensor)
		return read_tensor_info(tensor, port, err);
	return kind == ONNX_TYPE_SEQUENCE ? read_maps(type, is_input, port, err) : no_type(port, err);
}

static int read_port(struct sl_graph *graph, bool is_input, size_t i, struct sl_graph_port *port, struct sl_error *err)
{
	OrtAllocator *allocator;
	OrtTypeInfo *type = NULL;
	char *name = NULL;
	OrtStatus *status = ort.api->GetAllocatorWithDefaultOptions(&allocator);
	if (!status)
		status = is_input ? ort.api->SessionGetInputName(graph->session, i, allocator, &name)
				  : ort.api->SessionGetOutputName(graph->session, i, allocator, &name);
	if (status)
		return sl_ort_fail(status, SL_E_INVALID, "an input cannot be read", err);
	bool good = strlen(name) <= SL_GRAPH_NAME_MAX && sl_utf8_valid(name, strlen(name));
	port->name = sl_arena_strdup(graph->arena, good ? name : "");
	allocator->Free(allocator, name);
	if (!good || !port->name)
		return good ? sl_fail_memory(err) : sl_fail(err, SL_E_INVALID, "the name of an input or output is too long, or not UTF-8");
	status = is_input ? ort.api->SessionGetInputTypeInfo(graph->session, i, &type) : ort.api->SessionGetOutputTypeInfo(graph->session, i, &type);
	if (status)
		return sl_ort_fail(status, SL_E_INVALID, "an input cannot be read", err);
	int rc = read_type(type, is_input, port, err);
	ort.api->ReleaseTypeInfo(type);
	return rc;
}

static int read_ports(struct sl_graph *graph, bool inputs, struct sl_graph_port **ret, const char ***ret_names, size_t *ret_count,
		      struct sl_error *err)
{
	size_t count;
	OrtStatus *status = inputs ? ort.api->SessionGetInputCount(graph->session, &count) : ort.api->SessionGetOutputCount(graph->session, &count);
	if (status)
		return sl_ort_fail(status, SL_E_INVALID, "its inputs cannot be counted", err);
	if (!count || count > SL_GRAPH_PORTS_MAX)
		return sl_fail(err, SL_E_INVALID, "it has %zu %s, 1 to %d are served", count, inputs ? "inputs" : "outputs", SL_GRAPH_PORTS_MAX);
	struct sl_graph_port *ports = sl_arena_array(graph->arena, count, sizeof *ports);
	const char **names = sl_arena_array(graph->arena, count, sizeof *names);
	if (!ports || !names)
		return sl_fail_memory(err);
	for (size_t i = 0; i < count; i++) {
		int rc = read_port(graph, inputs, i, &ports[i], err);
		if (rc)
			return rc;
		names[i] = ports[i].name;
	}
	*ret = ports;
	*ret_names = names;
	*ret_count = count;
	return 0;
}

static int read_signature(struct sl_graph *graph, struct sl_error *err)
{
	struct sl_graph_info *info = &graph->info;
	int rc = read_ports(graph, true, &graph->inputs, &graph->input_names, &info->input_count, err);
	if (!rc)
		rc = read_ports(graph, false, &graph->outputs, &graph->output_names, &info->output_count, err);
	info->inputs = graph->inputs;
	info->outputs = graph->outputs;
	return rc;
}

static size_t allocated_bytes(void)
{
	struct mallinfo2 now = mallinfo2();
	return now.uordblks + now.hblkhd;
}

int sl_graph_load(const void *data, size_t len, struct sl_graph **ret, struct sl_error *err)
{
	int rc = sl_onnx_check(data, len, err);
	if (!rc)
		rc = load_library(err);
	if (rc)
		return rc;
	struct sl_graph *graph = sl_alloc(sizeof *graph, err);
	size_t before = allocated_bytes();
	rc = graph && (graph->arena = sl_arena_new(0, err)) ? 0 : SL_E_NO_MEMORY;
	if (!rc)
		rc = open_session(data, len, &graph->session, err);
	if (!rc)
		rc = read_signature(graph, err);
	if (rc) {
		sl_graph_free(graph);
		return rc;
	}
	size_t after = allocated_bytes(); /* of the whole process: other threads may be in it, so at least the file */
	graph->info.memory_bytes = after > before + len ? after - before : len;
	graph->info.by_rows = sl_onnx_by_rows(data, len);
	*ret = graph;
	return 0;
}

void sl_graph_free(struct sl_graph *graph)
{
	if (!graph)
		return;
	if (graph->session)
		ort.api->ReleaseSession(graph->session);
	sl_arena_free(graph->arena);
	sl_free(graph);
}

const struct sl_graph_info *sl_graph_info(const struct sl_graph *graph) { return &graph->info; }

/* ---- running ---- */

struct sl_graph_brake {
	OrtRunOptions *options;
	bool pulled;
};

int sl_graph_brake_new(struct sl_graph_brake **ret, struct sl_error *err)
{
	struct sl_graph_brake *brake = sl_alloc(sizeof *brake, err);
	if (!brake)
		return SL_E_NO_MEMORY;
	OrtStatus *status = ort.api->CreateRunOptions(&brake->options);
	if (status) {
		sl_free(brake);
		return sl_ort_fail(status, SL_E_NO_MEMORY, "ONNX Runtime gives no run options", err);
	}
	*ret = brake;
	return 0;
}

void sl_graph_brake_free(struct sl_graph_brake *brake)
{
	if (!brake)
		return;
	ort.api->ReleaseRunOptions(brake->options);
	sl_free(brake);
}

void sl_graph_brake_pull(struct sl_graph_brake *brake)
{
	__atomic_store_n(&brake->pulled, true, __ATOMIC_RELAXED);
	OrtStatus *status = ort.api->RunOptionsSetTerminate(brake->options);
	if (status)
		ort.api->ReleaseStatus(status);
}

void sl_graph_brake_release(struct sl_graph_brake *brake)
{
	OrtStatus *status = brake->pulled ? ort.api->RunOptionsUnsetTerminate(brake->options) : NULL;
	brake->pulled = false;
	if (status)
		ort.api->ReleaseStatus(status);
}

struct run {
	OrtValue **inputs, **outputs;
	const char **names;
	size_t *ports; /* of each wanted output: which port */
	size_t count;
};

static int run_session(const struct sl_graph *graph, struct run *run, struct sl_graph_brake *brake, struct sl_error *err)
{
	OrtStatus *status = ort.api->Run(graph->session, brake ? brake->options : NULL, graph->input_names, (const OrtValue *const *)run->inputs, graph->info.input_count,
					 run->names, run->count, run->outputs);
	if (status && brake && __atomic_load_n(&brake->pulled, __ATOMIC_RELAXED)) {
		ort.api->ReleaseStatus(status);
		return sl_fail(err, SL_E_CANCELLED, "the run was stopped");
	}
	return status ? sl_ort_fail(status, SL_E_FAILED, "the model cannot compute this", err) : 0;
}

static int run_in(const struct sl_graph *graph, const struct sl_graph_value *inputs, struct run *run, struct sl_arena *arena,
		  struct sl_graph_value *outputs, struct sl_graph_brake *brake, struct sl_error *err)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < graph->info.input_count; i++)
		rc = sl_ort_from(ort.memory, &inputs[i], &run->inputs[i], err);
	if (!rc)
		rc = run_session(graph, run, brake, err);
	for (size_t i = 0; !rc && i < run->count; i++) {
		const struct sl_graph_port *port = &graph->outputs[run->ports[i]];
		rc = sl_ort_to(run->outputs[i], port, arena, &outputs[run->ports[i]], err);
		if (rc)
			sl_error_context(err, "output '%s'", port->name);
	}
	for (size_t i = 0; i < graph->info.input_count; i++)
		if (run->inputs[i])
			ort.api->ReleaseValue(run->inputs[i]);
	for (size_t i = 0; i < run->count; i++)
		if (run->outputs[i])
			ort.api->ReleaseValue(run->outputs[i]);
	return rc;
}

int sl_graph_run(const struct sl_graph *graph, const struct sl_graph_value *inputs, const unsigned char *wanted, struct sl_arena *arena,
		 struct sl_graph_value *outputs, struct sl_graph_brake *brake, struct sl_error *err)
{
	size_t count = graph->info.output_count;
	struct run run = {
		.inputs = sl_arena_array(arena, graph->info.input_count, sizeof *run.inputs),
		.outputs = sl_arena_array(arena, count, sizeof *run.outputs),
		.names = sl_arena_array(arena, count, sizeof *run.names),
		.ports = sl_arena_array(arena, count, sizeof *run.ports),
	};
	if (!run.inputs || !run.outputs || !run.names || !run.ports)
		return sl_fail_memory(err);
	for (size_t i = 0; i < count; i++)
		if (wanted[i]) {
			run.ports[run.count] = i;
			run.names[run.count++] = graph->output_names[i];
		}
	return run_in(graph, inputs, &run, arena, outputs, brake, err);
}
