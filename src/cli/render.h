/* A result as people read it. Most operations need nothing of their own: an object becomes aligned lines, a list of objects a
 * table; members ending in _bytes and _ms become sizes and durations, hashes are cut to 12 digits on a terminal. Rows that
 * answer a query keep their names and every digit. */
#ifndef SL_CLI_RENDER_H
#define SL_CLI_RENDER_H

#include "cli/term.h"
#include "op/op.h"

void sl_render(const struct sl_call *call, const struct sl_term *term, struct sl_buf *out);

/* The pieces, for the renderers of single operations. */
void sl_render_value(const struct sl_term *term, const char *name, yyjson_mut_val *value, struct sl_buf *out);
void sl_render_table(const struct sl_term *term, yyjson_mut_val *rows, struct sl_buf *out);
void sl_render_object(const struct sl_term *term, yyjson_mut_val *object, int indent, struct sl_buf *out);
/* The style of a state word: ok is good, failed is bad ... */
enum sl_style sl_render_state(const char *word);
/* "3,000,000" */
char *sl_count_format(int64_t count, char out[32]);

#endif
