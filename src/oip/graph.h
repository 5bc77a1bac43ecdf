/* Requests for a graph, and its answers: tensors of any shape and all datatypes, in every protocol's form. The faces' readers and writers
 * (v2.h, grpc_infer.h, invocations.h) come here when the served model is a graph. */
#ifndef SL_OIP_GRAPH_H
#define SL_OIP_GRAPH_H

#include "base/proto.h"
#include "oip/body.h"
#include "oip/grpc_infer.h"
#include "oip/v2.h"
#include "serve/feed.h"

/* ---- V2 over REST (graph_v2.c) ---- */

struct sl_graph_body {
	const char *bytes;
	size_t len, json_len;
};
/* As sl_v2_read. */
int sl_graph_v2_read(struct sl_body_parser *parser, struct sl_served *served, const struct sl_graph_body *body, struct sl_inputs *rows,
		     struct sl_v2_request *ret, struct sl_error *err);
/* One output: name, type, shape, and the data or how long it is as raw bytes; `index` 0: the first. */
void sl_graph_write_output(struct sl_buf *out, size_t index, const char *name, const struct sl_graph_value *value, bool binary);
/* As sl_v2_write. */
void sl_graph_v2_write(const struct sl_v2_request *request, struct sl_inputs *rows, const struct sl_id *id, struct sl_buf *out,
		       size_t *ret_json_len);
/* The rest of the metadata, from the first input on. */
void sl_graph_metadata(const struct sl_served *served, struct sl_buf *out);

/* ---- V2 over gRPC (graph_message.c): as sl_infer_message_read and _write ---- */

int sl_graph_message_read(const void *data, size_t len, const struct sl_infer_message *head, struct sl_served *served, struct sl_inputs *rows,
			  struct sl_error *err);
void sl_graph_message_write(const struct sl_infer_message *head, const struct sl_inputs *rows, struct sl_buf *out);

/* ---- tables and bare tensors: /invocations, KServe's V1 (graph_rows.c) ---- */

/* `form`: "instances" or "inputs". Whether its value is tensors, to be read by sl_graph_rows_read; else it is a table. */
bool sl_graph_is_tensors(const struct sl_served *served, const char *form, yyjson_val *value);
int sl_graph_rows_read(struct sl_served *served, const char *form, yyjson_val *value, struct sl_inputs *rows, struct sl_error *err);
/* Fails when the graph is none of tables. */
int sl_graph_check_table(const struct sl_served *served, struct sl_error *err);
/* Appends {"predictions": ...}: the one output, nested by its shape; of several, an object per row where each has the rows, else one object. */
void sl_graph_rows_write(const struct sl_inputs *rows, struct sl_buf *out);

/* ---- elements (graph_value.c) ---- */

/* Nested or flat; the error names the element. */
int sl_graph_fill_json(struct sl_graph_value *value, yyjson_val *data, const char *name, struct sl_error *err);
/* Little-endian, row-major; BYTES: each element is its length in 4 bytes, and its bytes, borrowed. */
int sl_graph_fill_raw(struct sl_graph_value *value, const unsigned char *raw, size_t len, const char *name, struct sl_error *err);
/* Appends elements [from, from + count) of the last dimensions below `level` as JSON; `level` 0: all of them, nested. */
void sl_graph_write_nested(struct sl_buf *out, const struct sl_graph_value *value, size_t level, size_t from);
void sl_graph_write_flat(struct sl_buf *out, const struct sl_graph_value *value);
/* As sl_graph_fill_raw reads. */
size_t sl_graph_raw_bytes(const struct sl_graph_value *value);
void sl_graph_write_raw(struct sl_buf *out, const struct sl_graph_value *value);
/* [2,3] */
void sl_graph_write_shape(struct sl_buf *out, const int64_t *sizes, size_t dims);

#endif
