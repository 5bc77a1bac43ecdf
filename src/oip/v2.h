/* Open Inference Protocol, REST: reading an inference request and writing its answer; metadata of a model.
 *
 * Tensors: one per column, shape [n] or [n,1]; or one of shape [n, features] for a model whose columns are all numbers (or all
 * text), beside which the endpoint's key and time columns may come. Data nested or flat, or raw bytes behind the JSON (Triton's
 * binary tensor extension). null in a tensor is a missing value.
 */
#ifndef SL_OIP_V2_H
#define SL_OIP_V2_H

#include "oip/body.h"
#include "serve/predict.h"

enum { SL_V2_ID_MAX = 256 };

/* What the answer needs of the request. */
struct sl_v2_request {
	yyjson_doc *doc;         /* its texts are borrowed by the rows until sl_v2_end */
	const char *id;          /* NULL: none */
	size_t id_len;
	bool binary_output;
	unsigned priority;       /* the parameter of that name: 1 goes first; 0: it does not say */
	int64_t timeout_ns;      /* "timeout", which is in microseconds; 0: none */
};
/* Of a parameter "priority" or "timeout", as Triton's extension "schedule policy" has them. A priority beyond the last is the last. */
void sl_v2_set_priority(struct sl_v2_request *request, uint64_t priority);
void sl_v2_set_timeout(struct sl_v2_request *request, uint64_t timeout_us);

/* Fills `rows` (begun here, for `served`) out of a body whose first `json_len` bytes are JSON and whose rest are raw tensors.
 * SL_E_INVALID and SL_E_TOO_LARGE name the tensor; rows must be ended and the request given to sl_v2_end in every case. */
int sl_v2_read(struct sl_body_parser *parser, struct sl_served *served, const char *body, size_t len, size_t json_len,
	       struct sl_arena *arena,
	       struct sl_inputs *rows, struct sl_v2_request *ret, struct sl_error *err);
/* The same by way of a tree, whatever the body looks like; sl_v2_read uses it for what v2_plain.h does not read. */
int sl_v2_read_any(struct sl_body_parser *parser, struct sl_served *served, const char *body, size_t len, size_t json_len,
		   struct sl_arena *arena, struct sl_inputs *rows, struct sl_v2_request *ret, struct sl_error *err);
void sl_v2_end(struct sl_v2_request *request);
/* The request's "id" and "parameters" (NULL: absent). */
int sl_v2_take_head(yyjson_val *id, yyjson_val *parameters, struct sl_v2_request *ret, struct sl_error *err);

/* Appends the answer; *ret_json_len is where raw outputs begin, or out->len when there are none. */
void sl_v2_write(const struct sl_v2_request *request, struct sl_inputs *rows, const struct sl_id *id, struct sl_buf *out,
		 size_t *ret_json_len);
/* Appends it up to its first output. */
void sl_v2_write_head(const struct sl_v2_request *request, struct sl_inputs *rows, const struct sl_id *id, struct sl_buf *out);
/* Appends the counters of an endpoint in Triton's form (its extension "statistics"). An execution is
 * a request, or several that ran together; "pending_count", which Triton has among its metrics, those that wait or run now. */
void sl_v2_statistics(struct sl_endpoint_state *endpoint, const char *version, struct sl_buf *out);
/* The datatype that the metadata shows for a column. */
const char *sl_v2_datatype(const struct sl_feature *feature);
/* Appends a model's metadata. */
void sl_v2_metadata(const struct sl_served *served, struct sl_buf *out);

#endif
