/* Operations whose result reads better in its own form than as lines and tables. */
#ifndef SL_CLI_RENDER_OP_H
#define SL_CLI_RENDER_OP_H

#include "cli/term.h"
#include "op/op.h"

typedef void sl_op_renderer(const struct sl_term *term, yyjson_mut_val *result, struct sl_buf *out);
/* NULL: the general form. */
sl_op_renderer *sl_op_renderer_find(const char *op);

#endif
