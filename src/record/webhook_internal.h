/* Inside webhooks: what webhook.c and webhook_delivery.c share. */
#ifndef SL_RECORD_WEBHOOK_INTERNAL_H
#define SL_RECORD_WEBHOOK_INTERNAL_H

#include "record/webhook.h"

/* In the form of a UUID. */
int sl_webhook_new_id(struct sl_arena *arena, const char **ret, struct sl_error *err);
/* The secret of the webhook `id`; *ret NULL when `len` is 0. */
int sl_webhook_unseal(const char *store_dir, const char *id, const void *sealed, size_t len, struct sl_arena *arena, char **ret,
	struct sl_error *err);

#endif
