/* Help as text, from the operation table. */
#ifndef SL_CLI_HELP_H
#define SL_CLI_HELP_H

#include "cli/term.h"
#include "op/op.h"

void sl_help_all(const struct sl_term *term, struct sl_buf *out);
void sl_help_op(const struct sl_term *term, const struct sl_op *op, struct sl_buf *out);

#endif
