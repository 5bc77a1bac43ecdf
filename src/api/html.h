/* Results as HTML: the same JSON that the command line shows, as tables and definition lists. Every text is escaped; nothing here
 * runs a script. */
#ifndef SL_API_HTML_H
#define SL_API_HTML_H

#include "base/buf.h"
#include "base/html.h"
#include "base/json.h"

extern const char sl_html_style[]; /* served as /style.css */

void sl_html_begin(struct sl_buf *out, const char *project, const char *title);
void sl_html_end(struct sl_buf *out);
/* A heading and the command that shows the same. */
void sl_html_section(struct sl_buf *out, const char *title, const char *command);
/* `kind` tells what a member "name" of a row links to ("datasets", "models", ...); "" = nothing. */
void sl_html_result(struct sl_buf *out, yyjson_mut_val *result, const char *kind);

#endif
