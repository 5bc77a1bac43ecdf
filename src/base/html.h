/* Text inside HTML. */
#ifndef SL_BASE_HTML_H
#define SL_BASE_HTML_H

#include "base/buf.h"

/* Appends `text` so that it is text wherever it stands, also within quotes; control characters but tab and line end become blanks. */
void sl_html_escape(struct sl_buf *out, const char *text);

#endif
