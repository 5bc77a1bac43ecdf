/* Triton's ModelStreamInfer: every message has its answer or its error, in the order of the messages, and the stream goes on. */
#ifndef SL_OIP_GRPC_STREAM_H
#define SL_OIP_GRPC_STREAM_H

#include "oip/work.h"

enum { OIP_STREAM_WAITING_MAX = 256 }; /* messages of a stream that have no answer yet */

/* The method's message(); `context` is the struct sl_oip. */
void oip_stream_message(void *context, struct sl_grpc_call *call, const void *data, size_t len);
/* The client has sent its last message: the call ends with the last answer. */
void oip_stream_ended(void *context, struct sl_grpc_call *call);

#endif
