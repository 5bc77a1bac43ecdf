/* Who may ask the server for what.
 *
 *   Authorization: Bearer SECRET, or Basic ANYTHING:SECRET --SHA-256--> a token of the table access_token --> its permissions
 *
 * The secret of .sluice/key/token is a token called "project" with every permission. Deny is the default: whatever is not said to
 * be allowed is refused; without `require_token`, looking and predicting are allowed to whoever reaches the address, which then is
 * loopback. A given secret is compared with every token in constant time, as a hash. */
#ifndef SL_OP_ACCESS_H
#define SL_OP_ACCESS_H

#include "base/buf.h"
#include "base/str.h"
#include "op/op.h"
#include "port/meta.h"

enum { SL_TOKENS_MAX = 1000, SL_SECRET_MAX = 200 };
#define SL_SECRET_PREFIX "slt_"
#define SL_ACTOR_ANYBODY "api:anonymous"

/* For the ledger: "token:NAME" or SL_ACTOR_ANYBODY. */
struct sl_caller {
	char actor[SL_NAME_MAX + 8];
};

struct sl_access;
/* `meta` is borrowed until sl_access_close. Reads the project's token of `store_dir`, and the table. */
int sl_access_open(struct sl_meta *meta, const char *store_dir, bool require_token, struct sl_access **ret, struct sl_error *err);
void sl_access_close(struct sl_access *access); /* NULL is fine */
/* Reads the table anew (about 20 us). On failure what was read before holds. */
int sl_access_refresh(struct sl_access *access, struct sl_error *err);
/* Whether the table is needed at all to judge a request with this header: not for the project's own token or without one. */
bool sl_access_is_named(const struct sl_access *access, const char *authorization);

/* 0; or the HTTP status of the refusal (401: no token, or none that is valid; 403: one without that permission),
 * with `err` filled. *ret is filled in any case. `authorization`: the header, or NULL. */
int sl_access_check(const struct sl_access *access, enum sl_permission permission, const char *authorization,
	struct sl_caller *ret, struct sl_error *err);

/* ---- tokens ---- */

/* "run", or a role's name, to bits 1 << permission; 0 when there is none of that name. */
unsigned sl_permissions_of(const char *name);
/* The names of the bits, with commas. */
void sl_permissions_write(unsigned permissions, struct sl_buf *out);

#endif
