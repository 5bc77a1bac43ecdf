#include "oip/grpc_health.h"

#include <string.h>

#include "base/proto.h"
#include "base/str.h"
#include "oip/work.h"

enum status { SERVING = 1, NOT_SERVING = 2, SERVICE_UNKNOWN = 3 };

struct watcher {
	struct oip_kept kept;
	struct oip_health *health;
	struct sl_grpc_call *call;
	enum status told;
	struct watcher *prev, *next;
	char service[SL_NAME_MAX + 1];
};

struct oip_health {
	struct sl_oip *oip;
	struct sl_timer *timer; /* runs while somebody watches */
	struct watcher *watchers;
	size_t count;
};

static enum status status_of(const struct sl_oip *oip, const char *service)
{
	if (!*service || strcmp(service, "inference.GRPCInferenceService") == 0)
		return oip_all_ready(oip) ? SERVING : NOT_SERVING;
	const struct sl_endpoint_state *endpoint = sl_serving_find(oip->serving, service, strlen(service));
	return !endpoint ? SERVICE_UNKNOWN : sl_endpoint_ready(endpoint) ? SERVING : NOT_SERVING;
}

/* The one field of a request. No service has a longer name. */
static int read_service(const void *data, size_t len, char ret[SL_NAME_MAX + 1], struct sl_error *err)
{
	struct sl_proto in = sl_proto_of(data, len);
	struct sl_proto_field field;
	ret[0] = 0;
	while (sl_proto_next(&in, &field)) {
		if (field.number != 1)
			continue;
		if (field.wire != SL_PROTO_BYTES || field.len > SL_NAME_MAX || !sl_utf8_valid((const char *)field.data, field.len))
			return sl_fail(err, SL_E_NOT_FOUND, "no service has such a name");
		memcpy(ret, field.data, field.len);
		ret[field.len] = 0;
	}
	return in.bad ? sl_fail(err, SL_E_INVALID, "the message is no HealthCheckRequest") : 0;
}

static bool tell(struct sl_grpc_call *call, enum status status)
{
	const unsigned char message[] = {1 << 3, (unsigned char)status};
	return sl_grpc_send(call, message, sizeof message);
}

void oip_health_check(void *context, struct sl_grpc_call *call, const void *data, size_t len)
{
	const struct sl_oip *oip = context;
	char service[SL_NAME_MAX + 1];
	struct sl_error err = {0};
	int rc = read_service(data, len, service, &err);
	enum status status = rc ? SERVICE_UNKNOWN : status_of(oip, service);
	if (!rc && status == SERVICE_UNKNOWN)
		rc = sl_fail(&err, SL_E_NOT_FOUND, "no endpoint is called '%s'", service);
	if (rc)
		sl_grpc_fail(call, &err);
	else
		sl_grpc_finish(call, tell(call, status) ? SL_GRPC_OK : SL_GRPC_RESOURCE_EXHAUSTED, NULL);
}

/* ---- watching ---- */

static void look(void *context)
{
	struct oip_health *health = context;
	for (struct watcher *w = health->watchers, *next; w; w = next) {
		enum status status = status_of(health->oip, w->service);
		next = w->next;
		if (status == w->told)
			continue;
		w->told = status;
		if (!tell(w->call, status))
			sl_grpc_finish(w->call, SL_GRPC_RESOURCE_EXHAUSTED, NULL);
	}
}

static void on_gone(struct oip_kept *kept)
{
	struct watcher *w = (struct watcher *)(void *)kept;
	struct oip_health *health = w->health;
	*(w->prev ? &w->prev->next : &health->watchers) = w->next;
	if (w->next)
		w->next->prev = w->prev;
	sl_free(w);
	if (--health->count == 0)
		sl_timer_stop(health->timer);
}

static void add_watcher(struct oip_health *health, struct watcher *w, struct sl_grpc_call *call)
{
	w->kept.gone = on_gone;
	w->health = health;
	w->call = call;
	w->next = health->watchers;
	if (w->next)
		w->next->prev = w;
	health->watchers = w;
	if (health->count++ == 0)
		sl_timer_start(health->timer, OIP_HEALTH_EVERY_MS, OIP_HEALTH_EVERY_MS);
	sl_grpc_keep(call, &w->kept);
}

void oip_health_watch(void *context, struct sl_grpc_call *call, const void *data, size_t len)
{
	struct sl_oip *oip = context;
	struct sl_error err = {0};
	if (oip->health->count == OIP_HEALTH_WATCHERS_MAX) {
		sl_grpc_finish(call, SL_GRPC_RESOURCE_EXHAUSTED, "too many clients watch already");
		return;
	}
	struct watcher *w = sl_alloc(sizeof *w, &err);
	if (!w || read_service(data, len, w->service, &err)) {
		sl_free(w);
		sl_grpc_fail(call, &err);
		return;
	}
	w->told = status_of(oip, w->service);
	add_watcher(oip->health, w, call);
	if (!tell(call, w->told))
		sl_grpc_finish(call, SL_GRPC_RESOURCE_EXHAUSTED, NULL);
}

void oip_health_stop(struct oip_health *health)
{
	while (health->watchers)
		sl_grpc_finish(health->watchers->call, SL_GRPC_UNAVAILABLE, "the server ends");
}

int oip_health_new(struct sl_oip *oip, struct oip_health **ret, struct sl_error *err)
{
	struct oip_health *health = sl_alloc(sizeof *health, err);
	if (!health)
		return SL_E_NO_MEMORY;
	health->oip = oip;
	int rc = sl_timer_new(oip->loop, look, health, &health->timer, err);
	if (rc)
		oip_health_free(health);
	else
		*ret = health;
	return rc;
}

void oip_health_free(struct oip_health *health)
{
	if (!health)
		return;
	sl_timer_free(health->timer);
	sl_free(health);
}
