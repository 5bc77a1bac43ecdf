#include "base/html.h"

void sl_html_escape(struct sl_buf *out, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '&': sl_buf_str(out, "&amp;"); break;
		case '<': sl_buf_str(out, "&lt;"); break;
		case '>': sl_buf_str(out, "&gt;"); break;
		case '"': sl_buf_str(out, "&quot;"); break;
		case '\'': sl_buf_str(out, "&#39;"); break;
		default: sl_buf_char(out, (unsigned char)*text < 0x20 && *text != '\n' && *text != '\t' ? ' ' : *text);
		}
	}
}
