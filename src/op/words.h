/* The words behind `run` and `start`: names of things, and overrides of parameters. */
#ifndef SL_OP_WORDS_H
#define SL_OP_WORDS_H

#include "op/op.h"

struct sl_run_words {
	const char **names, **overrides; /* in the call's arena */
	size_t name_count, override_count;
};
/* Of the argument "what": words with '=' (or Hydra's marks in front) are overrides, all others names. */
int sl_run_words(struct sl_call *call, struct sl_run_words *ret, struct sl_error *err);

#endif
