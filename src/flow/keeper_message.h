/* Inside flow/: messages between a run and its keeper (flow/keeper.h). */
#ifndef SL_FLOW_KEEPER_MESSAGE_H
#define SL_FLOW_KEEPER_MESSAGE_H

#include "base/mem.h"
#include "flow/keeper.h"

enum { FLOW_MESSAGE_MAX = 16 << 20, FLOW_MESSAGE_HEAD = 5 };

/* Appends a whole message. */
void flow_message_add(struct sl_buf *out, char kind, const void *text, size_t len);
/* The first message of `in`, when it is whole: its size with the head, `ret_text` behind it (not NUL-terminated); else 0. SL_E_CORRUPT when it is longer than allowed. */
int flow_message_first(const struct sl_buf *in, char *ret_kind, const char **ret_text, size_t *ret_len, struct sl_error *err);

/* The text of an S: numbers and texts, each NUL-terminated, in the order of the struct. A sandbox's ruleset travels beside it as a descriptor. */
int flow_start_write(const struct flow_kept_start *start, struct sl_buf *out, struct sl_error *err);
/* Everything in `ret` lives in `arena`; `ret_ruleset`: a descriptor is to be taken for the sandbox. */
int flow_start_read(const char *text, size_t len, struct sl_arena *arena, struct flow_kept_start *ret, bool *ret_ruleset, struct sl_error *err);

/* The text of an E behind the id, and of the file ID.exit. */
int flow_end_write(const struct flow_kept_end *end, struct sl_buf *out, struct sl_error *err);
int flow_end_read(const char *text, size_t len, struct flow_kept_end *ret, struct sl_error *err);

#endif
