/* gRPC over the HTTP/2 server: calls, messages, status, deadlines. https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 *
 *   POST /package.Service/Method  --messages of 5 bytes + body-->  method->message() --sl_grpc_send, sl_grpc_finish--> trailers
 *
 * Everything on the loop's thread. A method answers inside message() or later; a unary one sends one message and finishes with
 * SL_GRPC_OK, or finishes with an error. A message is at most SL_GRPC_MESSAGE_MAX bytes; compressed ones (gzip) at most that many
 * after decompression. Calls whose deadline (grpc-timeout) has passed end with DEADLINE_EXCEEDED, looked for ten times
 * a second. */
#ifndef SL_NET_GRPC_SERVER_H
#define SL_NET_GRPC_SERVER_H

#include "net/h2_server.h"

enum { SL_GRPC_MESSAGE_MAX = 64 << 20 };

/* https://grpc.io/docs/guides/status-codes/ */
enum sl_grpc_status {
	SL_GRPC_OK = 0, SL_GRPC_CANCELLED = 1, SL_GRPC_UNKNOWN = 2, SL_GRPC_INVALID_ARGUMENT = 3, SL_GRPC_DEADLINE_EXCEEDED = 4,
	SL_GRPC_NOT_FOUND = 5, SL_GRPC_ALREADY_EXISTS = 6, SL_GRPC_PERMISSION_DENIED = 7, SL_GRPC_RESOURCE_EXHAUSTED = 8,
	SL_GRPC_FAILED_PRECONDITION = 9, SL_GRPC_UNIMPLEMENTED = 12, SL_GRPC_INTERNAL = 13, SL_GRPC_UNAVAILABLE = 14,
	SL_GRPC_UNAUTHENTICATED = 16,
};
/* The status that an error's code stands for. */
enum sl_grpc_status sl_grpc_status_of(int code);

struct sl_grpc_call;
struct sl_grpc_method {
	const char *path; /* "/inference.GRPCInferenceService/ModelInfer" */
	bool streams;     /* takes any number of messages, each of which may be answered; ended by the client's end */
	void (*message)(void *context, struct sl_grpc_call *call, const void *data, size_t len);
	void (*ended)(void *context, struct sl_grpc_call *call); /* of streams: the client has sent its last message; NULL: that ends the call */
};

struct sl_grpc_server;
/* `methods` is borrowed. `permit` (may be NULL) is asked before every call, with the method's path and the header "authorization"
 * (NULL: none): 0, or the error that ends the call. */
struct sl_grpc_config {
	void *context;
	const struct sl_grpc_method *methods;
	size_t method_count;
	int (*permit)(void *context, const char *path, const char *authorization, struct sl_error *err);
	void (*gone)(void *context, void *kept); /* may be NULL when nothing is kept */
};
int sl_grpc_server_new(struct sl_loop *loop, const struct sl_grpc_config *config, struct sl_grpc_server **ret, struct sl_error *err);
struct sl_h2_server *sl_grpc_h2(struct sl_grpc_server *server); /* to listen, adopt, drain */
void sl_grpc_server_free(struct sl_grpc_server *server); /* NULL is fine */

/* For a method that goes on answering: keeps something beside the call, which config.gone gets once when the call has ended, whoever
 * ended it. Until then the call may be sent to. */
void sl_grpc_keep(struct sl_grpc_call *call, void *kept);
void *sl_grpc_kept(const struct sl_grpc_call *call);
/* Whether a stream's client has sent its last message. */
bool sl_grpc_ended(const struct sl_grpc_call *call);
/* How long the client still waits; -1: it does not say. */
int64_t sl_grpc_left_ms(const struct sl_grpc_call *call);
/* A field of its metadata, in lower case; NULL when absent, or the client has gone. */
const char *sl_grpc_header(const struct sl_grpc_call *call, const char *name);
/* One message of the answer; copied. False: the client is gone or takes nothing, the call is over. */
bool sl_grpc_send(struct sl_grpc_call *call, const void *data, size_t len);
/* Ends the call; it may not be touched after that. `message` may be NULL. */
void sl_grpc_finish(struct sl_grpc_call *call, enum sl_grpc_status status, const char *message);
/* The same with an error's status and text. */
void sl_grpc_fail(struct sl_grpc_call *call, const struct sl_error *err);

#endif
