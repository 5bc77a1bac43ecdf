/* Progress on standard error: on a terminal one line that is drawn again and again (bar, rate, time left), piped a plain line now
 * and then. */
#ifndef SL_CLI_PROGRESS_H
#define SL_CLI_PROGRESS_H

#include "cli/term.h"
#include "op/op.h"

enum { SL_PROGRESS_PIECES_MAX = 16, SL_PROGRESS_DRAW_MS = 100, SL_PROGRESS_PLAIN_MS = 10000 };

struct sl_progress {
	struct sl_term term;
	struct piece {
		char name[64], what[96];
		double fraction;      /* -1: unknown */
		int64_t started_ms, told_ms;
		bool active;
	} pieces[SL_PROGRESS_PIECES_MAX];
	int64_t drawn_ms;
	bool on_screen;               /* our line stands there */
};

void sl_progress_begin(struct sl_progress *progress, struct sl_call *call);
/* Clears the line. Before anything else is printed. */
void sl_progress_end(struct sl_progress *progress);

#endif
