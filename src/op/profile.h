/* A version's profile: the one that is kept, else computed now, and kept where the store takes writes. */
#ifndef SL_OP_PROFILE_H
#define SL_OP_PROFILE_H

#include "data/profile.h"
#include "op/context.h"

/* The JSON text, in the call's arena. */
int sl_profile_text(struct sl_call *call, struct sl_store *store, const struct sl_hash *version, const char **ret, struct sl_error *err);

#endif
