/* Talking to this project's running server from a command. */
#ifndef SL_OP_CLIENT_H
#define SL_OP_CLIENT_H

#include "base/buf.h"
#include "op/token.h"
#include "op/up_state.h"

struct sl_server {
	char url[128];                /* "http://127.0.0.1:4600" */
	char authorization[SL_TOKEN_TEXT + 16];
};
/* 1 and filled when the server runs, 0 when it does not. */
int sl_server_find(const char *store_dir, struct sl_server *ret, struct sl_error *err);
/* One POST of JSON to `path`. An answer that is not 2xx is an error with the server's own words. */
int sl_server_post(const struct sl_server *server, const char *path, const char *body, size_t body_len, struct sl_buf *ret_body,
	struct sl_error *err);
/* `status` and body of an answer as an error: {"error":{code,message,...}} or {"error":"text"}. */
int sl_server_error(int status, const char *body, size_t body_len, struct sl_error *err);

#endif
