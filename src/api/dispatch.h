/* From a request to an operation: routes, arguments. No I/O, so that tests can ask it about every route there is.
 *
 * Deny is the default: what is not in the table does not exist, and every operation of it has a permission (op/access.h). */
#ifndef SL_API_DISPATCH_H
#define SL_API_DISPATCH_H

#include "net/http.h"
#include "op/op.h"

enum { SL_API_CAPTURES_MAX = 4 };

struct sl_api_match {
	const struct sl_op *op;
	struct { const char *name; char *value; } captures[SL_API_CAPTURES_MAX]; /* of {name} in the route, in the arena */
	size_t capture_count;
};

/* SL_E_NOT_FOUND (with the nearest thing to say), SL_E_INVALID with the allowed method when only the method is wrong. HEAD counts
 * as GET. A reference at the end of a route takes the rest of the path with its slashes. */
int sl_api_route(
	enum sl_http_method method, const char *path, struct sl_arena *arena, struct sl_api_match *ret, struct sl_error *err);

/* Fills the call's arguments from captures, query (GET) or JSON body (POST; empty counts as {}), and checks them. */
int sl_api_arguments(struct sl_call *call, const struct sl_api_match *match, const char *query, const char *body, size_t body_len,
	struct sl_error *err);

#endif
