/* The token of a project's server: 256 random bits made at `init`, in .sluice/key/token (mode 0600). Who can read the file may do
 * whatever the server can do for the project; others get a token of their own (op/access.h). */
#ifndef SL_OP_TOKEN_H
#define SL_OP_TOKEN_H

#include "base/error.h"

enum { SL_TOKEN_TEXT = 64 + 1 };

/* Makes it unless it is there. `store_dir`: the project's .sluice folder. */
int sl_token_create(const char *store_dir, struct sl_error *err);
/* Refuses a file that others can read (SL_E_DENIED). */
int sl_token_read(const char *store_dir, char out[SL_TOKEN_TEXT], struct sl_error *err);

#endif
