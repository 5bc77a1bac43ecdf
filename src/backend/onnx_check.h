/* An ONNX file (protocol buffers, onnx.proto of ONNX 1.20), looked through before ONNX Runtime sees it.
 *
 * Refused with the node or tensor:
 *   external data, training information               it would read files, or is not for predicting (SL_E_DENIED)
 *   operators of domains other than ai.onnx, ai.onnx.ml and com.microsoft that are no function of the file; com.microsoft.EPContext
 *   tensors whose data is not what their shape and type say; sizes below 0; types that are not known
 *   functions that call themselves, or that stand for more than SL_ONNX_NODES_MAX nodes when written out
 *   graphs, types, calls nested deeper than SL_ONNX_DEPTH_MAX; more than SL_ONNX_NODES_MAX nodes; what is no protocol buffer
 */
#ifndef SL_BACKEND_ONNX_CHECK_H
#define SL_BACKEND_ONNX_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum {
	SL_ONNX_BYTES_MAX = 1 << 30,
	SL_ONNX_DEPTH_MAX = 16,
	SL_ONNX_NODES_MAX = 1000000,
	SL_ONNX_FUNCTIONS_MAX = 10000,
	SL_ONNX_RANK_MAX = 32,
	SL_ONNX_SPARSE_BYTES_MAX = 256 << 20, /* of a sparse tensor when it is written out */
};

/* Whether the first bytes could be those of an ONNX file. */
bool sl_onnx_is(const void *data, size_t len);
/* 0: sound, as far as this looks. */
int sl_onnx_check(const void *data, size_t len, struct sl_error *err);

#endif
