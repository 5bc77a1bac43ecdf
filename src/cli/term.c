#include "cli/term.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void sl_term_look(int fd, struct sl_term *ret)
{
	const char *no_color = getenv("NO_COLOR"), *kind = getenv("TERM");
	struct winsize size;
	*ret = (struct sl_term){.tty = isatty(fd) == 1};
	ret->colour = ret->tty && !(no_color && *no_color) && !(kind && strcmp(kind, "dumb") == 0);
	if (ret->tty)
		ret->width = ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20 ? size.ws_col : 80;
}

void sl_term_text(const struct sl_term *term, struct sl_buf *out, enum sl_style style, const char *text)
{
	static const char *const CODES[] = {"", "1", "2", "32", "33", "31"};
	bool styled = term->colour && style != SL_STYLE_PLAIN;
	if (styled)
		sl_buf_printf(out, "\x1b[%sm", CODES[style]);
	for (; *text; text++)
		sl_buf_char(out, ((unsigned char)*text < 0x20 && *text != '\n' && *text != '\t') || *text == 0x7f ? '?' : *text);
	if (styled)
		sl_buf_str(out, "\x1b[0m");
}

int sl_term_columns(const char *text)
{
	int columns = 0;
	for (; *text; text++)
		columns += ((unsigned char)*text & 0xc0) != 0x80;
	return columns;
}

/* Errors quote what came from outside (a cell, a file's name), which must not steer the terminal: "\n" and the like as "\x0a". */
static void add_quoted(const struct sl_term *term, struct sl_buf *out, enum sl_style style, const char *text)
{
	char safe[4 * sizeof ((struct sl_error *)0)->message + 1];
	size_t len = 0;
	for (const unsigned char *c = (const unsigned char *)text; *c && len + 5 < sizeof safe; c++)
		if (*c < 0x20 || *c == 0x7f)
			len += (size_t)snprintf(safe + len, 5, "\\x%02x", *c);
		else
			safe[len++] = (char)*c;
	safe[len] = 0;
	sl_term_text(term, out, style, safe);
}

void sl_term_error(const struct sl_term *term, struct sl_buf *out, const struct sl_error *err)
{
	sl_term_text(term, out, SL_STYLE_BAD, "error: ");
	if (err->where[0]) {
		add_quoted(term, out, SL_STYLE_BOLD, err->where);
		sl_buf_str(out, ": ");
	}
	add_quoted(term, out, SL_STYLE_PLAIN, err->message);
	sl_buf_char(out, '\n');
	if (!err->hint[0])
		return;
	sl_term_text(term, out, SL_STYLE_DIM, "  hint: ");
	add_quoted(term, out, SL_STYLE_PLAIN, err->hint);
	sl_buf_char(out, '\n');
}
