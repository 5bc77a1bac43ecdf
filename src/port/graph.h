/* Port "graph": models of tensors in and tensors out. Backend: ONNX Runtime, loaded on first use.
 *
 * A loaded graph is immutable and may be run by any thread; a run uses the calling thread only. The bytes are hostile: the whole
 * file is checked before the library sees any of it (backend/onnx_check.h says for what), and nothing outside of it is ever read.
 * What a graph computes is not bounded: a loop in it runs for as long as the file says.
 */
#ifndef SL_PORT_GRAPH_H
#define SL_PORT_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"

/* In memory: little-endian, side by side; BOOL is a byte, 0 or 1; FP16 is IEEE 754 binary16, BF16 the upper half of a float32; TEXT is
 * struct sl_graph_text. */
enum sl_element {
	SL_ELEMENT_BOOL, SL_ELEMENT_INT8, SL_ELEMENT_INT16, SL_ELEMENT_INT32, SL_ELEMENT_INT64, SL_ELEMENT_UINT8, SL_ELEMENT_UINT16,
	SL_ELEMENT_UINT32, SL_ELEMENT_UINT64, SL_ELEMENT_FP16, SL_ELEMENT_BF16, SL_ELEMENT_FP32, SL_ELEMENT_FP64, SL_ELEMENT_TEXT,
};
struct sl_graph_text {
	const char *text; /* not NUL-terminated; any bytes */
	size_t len;
};

enum { SL_GRAPH_DIMS_MAX = 8, SL_GRAPH_PORTS_MAX = 10000, SL_GRAPH_ELEMENTS_MAX = 16 << 20, SL_GRAPH_NAME_MAX = 1024 };

/* An input or an output. */
struct sl_graph_port {
	const char *name; /* UTF-8 */
	enum sl_element element;
	size_t dims;
	int64_t sizes[SL_GRAPH_DIMS_MAX]; /* -1: any */
	bool any_shape;                   /* the file does not say, and `dims` is 0; or it is a single value */
	bool maps; /* the file has a sequence of maps (the ZipMap of scikit-learn's converter): it is given as [rows, keys], keys rising */
};
struct sl_graph_info {
	const struct sl_graph_port *inputs, *outputs;
	size_t input_count, output_count;
	size_t memory_bytes; /* that the loaded graph takes, about */
	bool by_rows; /* proven of its operators: the first size of every tensor in and out counts rows, none of which has to do with another, and
			 what a run costs follows from the shapes alone. Runs may be put together, and split by rows (in float32 a sum may then
			 differ in its last bits, as the library chooses its kernels by the shape) */
};

struct sl_graph_value {
	enum sl_element element;
	size_t dims, count; /* count: the product of the sizes, at most SL_GRAPH_ELEMENTS_MAX */
	int64_t sizes[SL_GRAPH_DIMS_MAX];
	void *data; /* NULL: no value */
};

struct sl_graph;

/* At most 1 GiB. SL_E_DENIED for what reaches outside of the file or needs code from elsewhere, SL_E_INVALID and SL_E_TOO_LARGE for
 * other files that are no sound model: with the node or tensor. */
int sl_graph_load(const void *data, size_t len, struct sl_graph **ret, struct sl_error *err);
void sl_graph_free(struct sl_graph *graph); /* NULL is fine */
const struct sl_graph_info *sl_graph_info(const struct sl_graph *graph);

/* Ends a run that nobody waits for any more. */
struct sl_graph_brake;
int sl_graph_brake_new(struct sl_graph_brake **ret, struct sl_error *err);
void sl_graph_brake_free(struct sl_graph_brake *brake); /* NULL is fine; not while a run has it */
/* The run that has it, or gets it next, fails at its next node with SL_E_CANCELLED. Any thread. */
void sl_graph_brake_pull(struct sl_graph_brake *brake);
void sl_graph_brake_release(struct sl_graph_brake *brake); /* for the next run */

/* `inputs`: input_count values of the ports' elements and shapes. `outputs`: output_count; those with `wanted[i]` are filled, their data
 * in `arena`. SL_E_INVALID: the graph refuses these values; SL_E_FAILED: it fails on them; SL_E_TOO_LARGE: an output is beyond the limits.
 * `brake` may be NULL. */
int sl_graph_run(const struct sl_graph *graph, const struct sl_graph_value *inputs, const unsigned char *wanted, struct sl_arena *arena,
		 struct sl_graph_value *outputs, struct sl_graph_brake *brake, struct sl_error *err);

/* As the Open Inference Protocol calls it: "FP32", "BYTES". */
static inline const char *sl_element_name(enum sl_element element)
{
	static const char *const names[] = {"BOOL",   "INT8",   "INT16", "INT32", "INT64", "UINT8", "UINT16",
					    "UINT32", "UINT64", "FP16",  "BF16",  "FP32",  "FP64",  "BYTES"};
	return names[element];
}

/* In memory. */
static inline size_t sl_element_bytes(enum sl_element element)
{
	static const unsigned char bytes[] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 2, 4, 8, sizeof(struct sl_graph_text)};
	return bytes[element];
}

#endif
