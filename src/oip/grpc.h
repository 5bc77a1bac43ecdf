/* gRPC face of the endpoints: inference.GRPCInferenceService (Open Inference Protocol, with Triton's repository, statistics and
 * ModelStreamInfer), grpc.health.v1.Health (grpc_health.h) and reflection (grpc_reflect.h). Calls are answered at
 * once, on the loop's thread, as the HTTP face does. */
#ifndef SL_OIP_GRPC_H
#define SL_OIP_GRPC_H

#include "net/grpc_server.h"
#include "oip/internal.h"

/* Serves oip's endpoints; outlived by oip. */
int oip_grpc_open(struct sl_oip *oip, struct sl_grpc_server **ret, struct sl_error *err);

#endif
