/* Where text goes: what the terminal can do, and what is printed how. */
#ifndef SL_CLI_TERM_H
#define SL_CLI_TERM_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"

struct sl_term {
	bool tty;    /* a person is looking */
	bool colour; /* tty, and neither NO_COLOR nor TERM=dumb */
	int width;   /* columns; 0: unlimited (a pipe) */
};
/* Looks at the file descriptor and the environment. */
void sl_term_look(int fd, struct sl_term *ret);

enum sl_style { SL_STYLE_PLAIN, SL_STYLE_BOLD, SL_STYLE_DIM, SL_STYLE_GOOD, SL_STYLE_WARN, SL_STYLE_BAD };
/* Appends `text` in a style (plain when the terminal has no colour). Control characters become '?', so that data cannot drive the
 * terminal. */
void sl_term_text(const struct sl_term *term, struct sl_buf *out, enum sl_style style, const char *text);
/* Columns that `text` takes: code points, good enough for names. */
int sl_term_columns(const char *text);
/* "error: where: message" and the hint, as base/error.h draws them. */
void sl_term_error(const struct sl_term *term, struct sl_buf *out, const struct sl_error *err);

#endif
