/* One event to where it belongs: appended to a file, or by HTTP POST. */
#ifndef SL_OP_OPENLINEAGE_SENDER_H
#define SL_OP_OPENLINEAGE_SENDER_H

#include "openlineage/target.h"

struct sl_ol_sender;
/* `target` must outlive it. Nothing is connected to yet. */
int sl_ol_sender_new(const struct sl_openlineage_target *target, struct sl_ol_sender **ret, struct sl_error *err);
void sl_ol_sender_free(struct sl_ol_sender *sender);
void sl_ol_sender_freep(struct sl_ol_sender **sender);

/* 0; 1: the receiver answered that it will never take this event (400, 413, 415, 422), `err` says its words; negative: not now. Redirects are not
 * followed, and an address that is not public is refused unless the target allows it. At most target->timeout_ms. */
int sl_ol_send(struct sl_ol_sender *sender, const char *event, size_t len, struct sl_error *err);

#endif
