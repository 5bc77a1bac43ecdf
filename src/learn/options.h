/* The options that a training step may set, checked, in the library's words (docs/training.md has the list). */
#ifndef SL_LEARN_OPTIONS_H
#define SL_LEARN_OPTIONS_H

#include "learn/package.h"
#include "port/train.h"
#include "project/project.h"

enum { SL_TRAIN_OPTIONS_MAX = 64, SL_TRAIN_ROUNDS_MAX = 100000, SL_TRAIN_METRICS_MAX = 8 };

struct sl_train_options {
	struct sl_train_option items[SL_TRAIN_OPTIONS_MAX];
	size_t count;
};

/* All of a spec's settings that need no data: algorithm, rounds, names of columns, options. SL_E_INVALID names the nearest
 * option. */
int sl_options_check(const struct sl_train *spec, struct sl_error *err);
/* "binary" ...; false when `text` is no task. */
bool sl_options_task(const char *text, enum sl_task *ret);
/* The checked options with objective, seed and threads for a task; texts are the arena's. */
int sl_options_make(const struct sl_train *spec, enum sl_task task, size_t classes, int threads, struct sl_arena *arena,
		    struct sl_train_options *ret, struct sl_error *err);

#endif
