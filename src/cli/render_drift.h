/* A comparison as people read it. */
#ifndef SL_CLI_RENDER_DRIFT_H
#define SL_CLI_RENDER_DRIFT_H

#include "cli/render_op.h"

void sl_render_drift(const struct sl_term *term, yyjson_mut_val *result, struct sl_buf *out);

#endif
