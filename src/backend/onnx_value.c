#include "backend/onnx_value.h"

#include <string.h>

static const unsigned char TYPES[] = {
	[SL_ELEMENT_BOOL] = ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL,	    [SL_ELEMENT_INT8] = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8,
	[SL_ELEMENT_INT16] = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16,   [SL_ELEMENT_INT32] = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
	[SL_ELEMENT_INT64] = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64,   [SL_ELEMENT_UINT8] = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,
	[SL_ELEMENT_UINT16] = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16, [SL_ELEMENT_UINT32] = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32,
	[SL_ELEMENT_UINT64] = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64, [SL_ELEMENT_FP16] = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
	[SL_ELEMENT_BF16] = ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16, [SL_ELEMENT_FP32] = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
	[SL_ELEMENT_FP64] = ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE,   [SL_ELEMENT_TEXT] = ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING,
};

bool sl_ort_element(ONNXTensorElementDataType type, enum sl_element *ret)
{
	for (size_t i = 0; i < SL_ARRAY_LEN(TYPES); i++)
		if (TYPES[i] == type) {
			*ret = (enum sl_element)i;
			return true;
		}
	return false;
}

/* ---- to the library ---- */

static OrtStatus *fill_texts(OrtValue *value, const struct sl_graph_text *texts, size_t count)
{
	OrtStatus *status = NULL;
	for (size_t i = 0; !status && i < count; i++) {
		char *to;
		status = sl_ort()->GetResizedStringTensorElementBuffer(value, i, texts[i].len, &to);
		if (!status && texts[i].len)
			memcpy(to, texts[i].text, texts[i].len);
	}
	return status;
}

int sl_ort_from(const OrtMemoryInfo *memory, const struct sl_graph_value *value, OrtValue **ret, struct sl_error *err)
{
	const OrtApi *api = sl_ort();
	OrtAllocator *allocator;
	OrtStatus *status;
	ONNXTensorElementDataType type = (ONNXTensorElementDataType)TYPES[value->element];
	if (value->element != SL_ELEMENT_TEXT) {
		status = api->CreateTensorWithDataAsOrtValue(memory, value->data, value->count * sl_element_bytes(value->element), value->sizes,
							     value->dims, type, ret);
	} else {
		status = api->GetAllocatorWithDefaultOptions(&allocator);
		if (!status)
			status = api->CreateTensorAsOrtValue(allocator, value->sizes, value->dims, type, ret);
		if (!status)
			status = fill_texts(*ret, value->data, value->count);
	}
	return status ? sl_ort_fail(status, SL_E_FAILED, "an input cannot be given to the model", err) : 0;
}

/* ---- from the library ---- */

static int read_shape(const OrtValue *from, const struct sl_graph_port *port, struct sl_graph_value *ret, struct sl_error *err)
{
	const OrtApi *api = sl_ort();
	OrtTensorTypeAndShapeInfo *info = NULL;
	ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
	OrtStatus *status = api->GetTensorTypeAndShape(from, &info);
	if (!status)
		status = api->GetTensorElementType(info, &type);
	if (!status)
		status = api->GetDimensionsCount(info, &ret->dims);
	bool good = !status && ret->dims <= SL_GRAPH_DIMS_MAX && sl_ort_element(type, &ret->element) && ret->element == port->element;
	if (good)
		status = api->GetDimensions(info, ret->sizes, ret->dims);
	if (good && !status)
		status = api->GetTensorShapeElementCount(info, &ret->count);
	if (info)
		api->ReleaseTensorTypeAndShapeInfo(info);
	if (status)
		return sl_ort_fail(status, SL_E_FAILED, "it cannot be read", err);
	if (!good)
		return sl_fail(err, SL_E_FAILED, "it is not of the type that the model promises");
	return ret->count <= SL_GRAPH_ELEMENTS_MAX ? 0 : sl_fail(err, SL_E_TOO_LARGE, "it has %zu elements, at most %d are given", ret->count,
								 SL_GRAPH_ELEMENTS_MAX);
}

static int no_room(struct sl_error *err) { return sl_fail(err, SL_E_TOO_LARGE, "it takes more memory than a request may have"); }

static int read_texts(OrtValue *from, struct sl_arena *arena, struct sl_graph_value *ret, struct sl_error *err)
{
	const OrtApi *api = sl_ort();
	size_t len = 0, *offsets = sl_arena_array(arena, ret->count + 1, sizeof *offsets);
	struct sl_graph_text *texts = sl_arena_array(arena, ret->count + 1, sizeof *texts);
	OrtStatus *status = api->GetStringTensorDataLength(from, &len);
	char *bytes = status ? NULL : sl_arena_alloc(arena, len + 1);
	if (!status && (!offsets || !texts || !bytes))
		return no_room(err);
	if (!status && ret->count)
		status = api->GetStringTensorContent(from, bytes, len, offsets, ret->count);
	if (status)
		return sl_ort_fail(status, SL_E_FAILED, "it cannot be read", err);
	for (size_t i = 0; i < ret->count; i++)
		texts[i] = (struct sl_graph_text){bytes + offsets[i], (i + 1 < ret->count ? offsets[i + 1] : len) - offsets[i]};
	ret->data = texts;
	return 0;
}

static int read_tensor(OrtValue *from, const struct sl_graph_port *port, struct sl_arena *arena, struct sl_graph_value *ret,
		       struct sl_error *err)
{
	void *data = NULL;
	*ret = (struct sl_graph_value){0};
	int rc = read_shape(from, port, ret, err);
	if (rc)
		return rc;
	if (ret->element == SL_ELEMENT_TEXT)
		return read_texts(from, arena, ret, err);
	size_t bytes = ret->count * sl_element_bytes(ret->element);
	OrtStatus *status = sl_ort()->GetTensorMutableData(from, &data);
	if (status)
		return sl_ort_fail(status, SL_E_FAILED, "it cannot be read", err);
	ret->data = sl_arena_alloc(arena, bytes + 1);
	if (!ret->data)
		return no_room(err);
	if (bytes)
		memcpy(ret->data, data, bytes);
	return 0;
}

/* ---- sequences of maps ---- */

/* The values of map `row`: how many there are, and up to `width` of them. std::map, so its keys rise. */
static OrtStatus *read_map(const OrtValue *maps, OrtAllocator *allocator, size_t row, float *ret, size_t width, size_t *ret_count)
{
	const OrtApi *api = sl_ort();
	OrtValue *map = NULL, *values = NULL;
	OrtTensorTypeAndShapeInfo *info = NULL;
	void *data = NULL;
	OrtStatus *status = api->GetValue(maps, (int)row, allocator, &map);
	if (!status)
		status = api->GetValue(map, 1, allocator, &values);
	if (!status)
		status = api->GetTensorTypeAndShape(values, &info);
	if (!status)
		status = api->GetTensorShapeElementCount(info, ret_count);
	if (!status)
		status = api->GetTensorMutableData(values, &data);
	if (!status && width)
		memcpy(ret, data, (*ret_count < width ? *ret_count : width) * sizeof *ret);
	if (info)
		api->ReleaseTensorTypeAndShapeInfo(info);
	if (values)
		api->ReleaseValue(values);
	if (map)
		api->ReleaseValue(map);
	return status;
}

static int read_maps(OrtValue *from, struct sl_arena *arena, struct sl_graph_value *ret, struct sl_error *err)
{
	OrtAllocator *allocator;
	size_t rows = 0, width = 0, count;
	*ret = (struct sl_graph_value){.element = SL_ELEMENT_FP32, .dims = 2};
	OrtStatus *status = sl_ort()->GetAllocatorWithDefaultOptions(&allocator);
	if (!status)
		status = sl_ort()->GetValueCount(from, &rows);
	if (!status && rows)
		status = read_map(from, allocator, 0, NULL, 0, &width);
	if (!status && rows && width > SL_GRAPH_ELEMENTS_MAX / rows)
		return sl_fail(err, SL_E_TOO_LARGE, "it has more than %d elements", SL_GRAPH_ELEMENTS_MAX);
	float *values = sl_arena_array(arena, rows * width + 1, sizeof *values);
	if (!status && !values)
		return no_room(err);
	for (size_t row = 0; !status && row < rows; row++) {
		status = read_map(from, allocator, row, values + row * width, width, &count);
		if (!status && count != width)
			return sl_fail(err, SL_E_FAILED, "its maps have different keys");
	}
	ret->sizes[0] = (int64_t)rows;
	ret->sizes[1] = (int64_t)width;
	ret->count = rows * width;
	ret->data = values;
	return status ? sl_ort_fail(status, SL_E_FAILED, "it cannot be read", err) : 0;
}

int sl_ort_to(OrtValue *from, const struct sl_graph_port *port, struct sl_arena *arena, struct sl_graph_value *ret, struct sl_error *err)
{
	return port->maps ? read_maps(from, arena, ret, err) : read_tensor(from, port, arena, ret, err);
}
