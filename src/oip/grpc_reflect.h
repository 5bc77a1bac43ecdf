/* gRPC's server reflection, v1 and v1alpha, which have the same messages: what grpcurl and the like ask before they call. The files are
 * those of spec/proto, compiled into the program, and read when the first client asks. */
#ifndef SL_OIP_GRPC_REFLECT_H
#define SL_OIP_GRPC_REFLECT_H

#include "net/grpc_server.h"

struct oip_reflection;
/* The method ServerReflectionInfo; `context` is the struct sl_oip. */
void oip_reflect(void *context, struct sl_grpc_call *call, const void *data, size_t len);
void oip_reflection_free(struct oip_reflection *reflection); /* NULL is fine */

#endif
