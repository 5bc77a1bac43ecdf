/* gRPC face of the endpoints: inference.GRPCInferenceService (Open Inference Protocol, with Triton's repository, statistics and
 * ModelStreamInfer, grpc_stream.h), grpc.health.v1.Health (grpc_health.h) and reflection (grpc_reflect.h). Predictions go the way of those of
 * the HTTP face (oip_predict). */
#ifndef SL_OIP_GRPC_H
#define SL_OIP_GRPC_H

#include "net/grpc_server.h"
#include "oip/internal.h"

/* What answers for the model and version of a request, and `read` of one. */
int oip_grpc_take(struct sl_oip *oip, const struct sl_infer_message *head, struct sl_served **ret, struct sl_error *err);
int oip_read_message(struct oip_prediction *p, struct sl_error *err);

/* Serves oip's endpoints; outlived by oip. */
int oip_grpc_open(struct sl_oip *oip, struct sl_grpc_server **ret, struct sl_error *err);

#endif
