/* Values of the port "graph" as ONNX Runtime has them, and back. For backend/onnx.c. */
#ifndef SL_BACKEND_ONNX_VALUE_H
#define SL_BACKEND_ONNX_VALUE_H

#include <onnxruntime/onnxruntime_c_api.h>

#include "port/graph.h"

/* The library's functions; loaded before anything here is called. */
const OrtApi *sl_ort(void);
/* "doing: the library's words"; frees the status. `code` unless the library says that what it got was wrong: then SL_E_INVALID. */
int sl_ort_fail(OrtStatus *status, int code, const char *doing, struct sl_error *err);

/* False: no request can carry such elements. */
bool sl_ort_element(ONNXTensorElementDataType type, enum sl_element *ret);
/* Numbers are borrowed from `value` until *ret is released. */
int sl_ort_from(const OrtMemoryInfo *memory, const struct sl_graph_value *value, OrtValue **ret, struct sl_error *err);
/* Copied into `arena`. */
int sl_ort_to(OrtValue *from, const struct sl_graph_port *port, struct sl_arena *arena, struct sl_graph_value *ret, struct sl_error *err);

#endif
