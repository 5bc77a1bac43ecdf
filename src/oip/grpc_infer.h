/* ModelInferRequest to rows, rows to ModelInferResponse: the messages of open_inference_grpc.proto.
 *
 * Tensors as in v2.h; values typed (`contents`) or as `raw_input_contents`, one entry for each input in order, never both. The answer
 * is raw when the request was. */
#ifndef SL_OIP_GRPC_INFER_H
#define SL_OIP_GRPC_INFER_H

#include "base/proto.h"
#include "oip/tensor.h"

/* Field numbers of ModelInferRequest, InferInputTensor, InferTensorContents, ModelInferResponse. */
enum { REQUEST_MODEL = 1, REQUEST_VERSION, REQUEST_ID, REQUEST_PARAMETERS, REQUEST_INPUTS, REQUEST_OUTPUTS, REQUEST_RAW };
enum { TENSOR_NAME = 1, TENSOR_DATATYPE, TENSOR_SHAPE, TENSOR_PARAMETERS, TENSOR_CONTENTS };
enum { CONTENTS_BOOL = 1, CONTENTS_INT, CONTENTS_INT64, CONTENTS_UINT, CONTENTS_UINT64, CONTENTS_FP32, CONTENTS_FP64, CONTENTS_BYTES };
enum { ANSWER_MODEL = 1, ANSWER_VERSION, ANSWER_ID, ANSWER_PARAMETERS, ANSWER_OUTPUTS, ANSWER_RAW };
enum { PARAMETER_INT = 2, PARAMETER_STRING, PARAMETER_UINT = 5 };

struct sl_infer_message {
	const char *model, *version, *id; /* not NUL-terminated; into the message */
	size_t model_len, version_len, id_len;
	size_t input_count, raw_count;
	uint64_t priority, timeout_us; /* the parameters; 0: none */
};

/* The names that say who answers; counts what follows. SL_E_INVALID for what is no such message. */
int sl_infer_message_head(const void *data, size_t len, struct sl_infer_message *ret, struct sl_error *err);
/* Fills `rows` (begun here); they borrow from the message. `rows` must be ended in every case. */
int sl_infer_message_read(const void *data, size_t len, const struct sl_infer_message *head, struct sl_served *served,
			  struct sl_arena *arena, struct sl_inputs *rows, struct sl_error *err);
/* Appends the answer. */
void sl_infer_message_write(const struct sl_infer_message *head, struct sl_inputs *rows, const struct sl_id *id,
			    struct sl_buf *out);

#endif
