/* Triton's config.pbtxt: of the protobuf text format what such files use, and of its fields those that mean something here.
 *
 *   name: "churn"  max_batch_size: 64  input [ { name: "x" data_type: TYPE_FP32 dims: [ 20 ] } ]  output [ { ... } ]
 *   dynamic_batching { max_queue_delay_microseconds: 100  preferred_batch_size: [ 16, 32 ]  default_priority_level: 2
 *                      default_queue_policy { max_queue_size: 50  default_timeout_microseconds: 200000 } }
 *
 * Other fields are read over. Fields that would run code or reach outside (backend "python", repository agents, shared memory) have
 * no meaning here: the model file alone decides what is run.
 */
#ifndef SL_SERVE_MODEL_CONFIG_H
#define SL_SERVE_MODEL_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"

enum { SL_MODEL_CONFIG_BYTES_MAX = 1 << 20, SL_MODEL_CONFIG_DEPTH_MAX = 16 };

struct sl_config_tensor {
	const char *name;  /* "" when absent */
	size_t dims;
	int64_t dim;       /* the last one */
};
struct sl_model_config {
	const char *name;  /* "" when absent */
	int64_t max_batch_size;
	size_t input_count, output_count;
	struct sl_config_tensor input, output; /* the last of each */
	bool batches;                          /* dynamic_batching is there; the rest is 0 where it is not */
	int64_t delay_us, preferred, priority, queue_max, timeout_us; /* preferred: the greatest */
};

/* SL_E_INVALID with file and line. Texts live in `arena`. */
int sl_model_config_parse(const char *text, const char *where, struct sl_arena *arena, struct sl_model_config *ret,
			  struct sl_error *err);
int sl_model_config_read(const char *path, struct sl_arena *arena, struct sl_model_config *ret, struct sl_error *err);

#endif
