#include "cli/progress.h"

#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "os/clock.h"
#include "os/file.h"

enum { BAR_COLUMNS = 20 };

static int64_t now_ms(void) { return sl_monotonic_ns() / 1000000; }

static void put(struct sl_buf *text)
{
	if (text->len)
		sl_file_write_all(2, text->data, text->len, "standard error", NULL);
}

static void clear_line(struct sl_progress *p)
{
	if (p->on_screen)
		sl_file_write_all(2, "\r\x1b[K", 4, "standard error", NULL);
	p->on_screen = false;
}

static struct piece *find(struct sl_progress *p, const char *name)
{
	struct piece *spare = NULL;
	for (size_t i = 0; i < SL_PROGRESS_PIECES_MAX; i++) {
		if (p->pieces[i].active && sl_str_eq(p->pieces[i].name, name))
			return &p->pieces[i];
		if (!p->pieces[i].active)
			spare = &p->pieces[i];
	}
	if (spare) {
		*spare = (struct piece){.fraction = -1, .started_ms = now_ms(), .told_ms = now_ms(), .active = true};
		snprintf(spare->name, sizeof spare->name, "%.63s", name);
	}
	return spare;
}

/* "45 %, 12 s left": by what has been done in what time. */
static void describe(const struct piece *piece, struct sl_buf *out)
{
	char left[SL_TIME_TEXT];
	int64_t spent = now_ms() - piece->started_ms;
	sl_buf_printf(out, "%s", piece->name);
	if (piece->what[0])
		sl_buf_printf(out, "  %s", piece->what);
	if (piece->fraction >= 0)
		sl_buf_printf(out, "  %.0f %%", piece->fraction * 100);
	if (piece->fraction > 0.02 && spent > 1000)
		sl_buf_printf(out, ", %s left",
			sl_duration_format((int64_t)((double)spent * (1 - piece->fraction) / piece->fraction), left));
	else
		sl_buf_printf(out, ", %s", sl_duration_format(spent, left));
}

static void add_bar(const struct piece *piece, struct sl_buf *out)
{
	int full = (int)(piece->fraction * BAR_COLUMNS);
	sl_buf_char(out, '[');
	for (int i = 0; i < BAR_COLUMNS; i++)
		sl_buf_char(out, i < full ? '=' : i == full ? '>' : ' ');
	sl_buf_str(out, "] ");
}

static void draw(struct sl_progress *p, const struct piece *newest)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(4096), out SL_AUTO_BUF = SL_BUF_INIT(8192);
	size_t others = 0;
	for (size_t i = 0; i < SL_PROGRESS_PIECES_MAX; i++)
		others += p->pieces[i].active && &p->pieces[i] != newest;
	if (newest->fraction >= 0)
		add_bar(newest, &text);
	describe(newest, &text);
	if (others)
		sl_buf_printf(&text, "  (+%zu more)", others);
	if ((int)text.len >= p->term.width)
		text.data[p->term.width - 1] = 0;
	sl_buf_str(&out, "\r\x1b[K");
	sl_term_text(&p->term, &out, SL_STYLE_DIM, sl_buf_cstr(&text));
	put(&out);
	p->on_screen = true;
	p->drawn_ms = now_ms();
}

static void tell_plain(struct piece *piece)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(4096);
	if (now_ms() - piece->told_ms < SL_PROGRESS_PLAIN_MS)
		return;
	describe(piece, &text);
	sl_buf_char(&text, '\n');
	put(&text);
	piece->told_ms = now_ms();
}

static void on_advance(void *context, const char *name, double fraction, const char *what)
{
	struct sl_progress *p = context;
	struct piece *piece = find(p, name);
	if (!piece)
		return;
	if (fraction > -1.5)
		piece->fraction = fraction;
	if (what && *what)
		snprintf(piece->what, sizeof piece->what, "%.95s", what);
	if (fraction >= 1) {
		piece->active = false;
		clear_line(p);
	} else if (!p->term.tty) {
		tell_plain(piece);
	} else if (now_ms() - p->drawn_ms >= SL_PROGRESS_DRAW_MS) {
		draw(p, piece);
	}
}

/* A line of news stands above the bar. */
static void on_line(void *context, const char *line)
{
	struct sl_progress *p = context;
	struct sl_buf out SL_AUTO_BUF = SL_BUF_INIT(8192);
	clear_line(p);
	sl_term_text(&p->term, &out, SL_STYLE_PLAIN, line);
	sl_buf_char(&out, '\n');
	put(&out);
}

static int on_output(void *context, const char *text)
{
	struct sl_progress *p = context;
	struct sl_term term;
	struct sl_buf out SL_AUTO_BUF = SL_BUF_INIT(64 << 20);
	clear_line(p);
	sl_term_look(1, &term);
	sl_term_text(&term, &out, SL_STYLE_PLAIN, text);
	return sl_buf_check(&out, "the output", NULL) || sl_file_write_all(1, out.data, out.len, "standard output", NULL);
}

void sl_progress_begin(struct sl_progress *progress, struct sl_call *call)
{
	*progress = (struct sl_progress){0};
	sl_term_look(2, &progress->term);
	call->progress = (struct sl_op_progress){.advance = on_advance, .line = on_line, .output = on_output, .context = progress};
}

void sl_progress_end(struct sl_progress *progress) { clear_line(progress); }
