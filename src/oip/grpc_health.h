/* grpc.health.v1: the server is the service "", and inference.GRPCInferenceService; each endpoint is one of its own name.
 * https://github.com/grpc/grpc-proto/blob/master/grpc/health/v1/health.proto */
#ifndef SL_OIP_GRPC_HEALTH_H
#define SL_OIP_GRPC_HEALTH_H

#include "net/grpc_server.h"

/* Watch looks so often; a client learns of a change within that. */
enum { OIP_HEALTH_WATCHERS_MAX = 1000, OIP_HEALTH_EVERY_MS = 500 };

struct oip_health;
struct sl_oip;
int oip_health_new(struct sl_oip *oip, struct oip_health **ret, struct sl_error *err);
void oip_health_free(struct oip_health *health); /* NULL is fine */

/* The methods; `context` is the struct sl_oip. */
void oip_health_check(void *context, struct sl_grpc_call *call, const void *data, size_t len);
/* Sends the status now and whenever it changes. A service that is not known may become known. */
void oip_health_watch(void *context, struct sl_grpc_call *call, const void *data, size_t len);
/* Ends every watching call: the server goes. */
void oip_health_stop(struct oip_health *health);

#endif
