/* A model file as something that can be served: loaded, and with a signature made of what the file and its companions say.
 *
 *   columns   the file's own names; else those of MLmodel's signature; else f0, f1, ... All are numbers.
 *   input     of a model whose file names its columns, one tensor per column; of any other, one tensor [rows, columns], called "input"
 *   output    "probability", "probabilities" or "prediction", by the objective
 *   config.pbtxt may rename the one input and the one output
 *
 * A graph (ONNX) has the inputs and outputs of its file. Where they are columns of a table, [rows] or [rows, 1] each or one [rows, columns],
 * it has columns too, for the forms of requests that bring tables.
 */
#ifndef SL_SERVE_MODEL_OPEN_H
#define SL_SERVE_MODEL_OPEN_H

#include "serve/endpoint.h"
#include "serve/model_find.h"

enum { SL_MODEL_BYTES_MAX = 1 << 30 };

/* *ret has one reference. `endpoint` NULL: for a package of the registry, so that a graph must be one of rows (port/infer.h). The error's place is
 * the file. */
int sl_model_open(struct sl_endpoint_state *endpoint, const struct sl_endpoint *spec, const struct sl_model_file *file,
		  const char *config, struct sl_served **ret, struct sl_error *err);
/* About how much memory it takes. */
uint64_t sl_model_memory(const struct sl_served *served);

#endif
