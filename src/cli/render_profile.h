/* A profile as people read it. */
#ifndef SL_CLI_RENDER_PROFILE_H
#define SL_CLI_RENDER_PROFILE_H

#include "cli/render_op.h"

void sl_render_profile(const struct sl_term *term, yyjson_mut_val *result, struct sl_buf *out);

#endif
