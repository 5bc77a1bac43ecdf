#include "oip/grpc.h"

#include <string.h>

#include "base/str.h"
#include "oip/grpc_health.h"
#include "oip/grpc_infer.h"
#include "oip/grpc_reflect.h"
#include "oip/grpc_stream.h"
#include "oip/v2.h"
#include "op/access.h"
#include "op/refusal.h"
#include "os/clock.h"

#define SERVICE "/inference.GRPCInferenceService/"

/* ---- small requests: messages of a few texts and a truth value ---- */

enum { TEXTS_MAX = 4 };

struct small {
	const char *texts[TEXTS_MAX]; /* of fields 1 to 3, NUL-terminated in the arena; "" when absent */
	bool flag;                    /* of any truth value */
};

static int read_small(struct sl_oip *oip, const void *data, size_t len, struct small *ret, struct sl_error *err)
{
	struct sl_proto in = sl_proto_of(data, len);
	struct sl_proto_field field;
	*ret = (struct small){.texts = {"", "", "", ""}};
	sl_arena_reset(oip->arena);
	while (sl_proto_next(&in, &field)) {
		if (field.wire == SL_PROTO_VARINT)
			ret->flag = field.value != 0;
		if (field.wire != SL_PROTO_BYTES || field.number >= TEXTS_MAX)
			continue;
		if (!sl_utf8_valid((const char *)field.data, field.len))
			in.bad = true;
		else if (!(ret->texts[field.number] = sl_arena_strndup(oip->arena, (const char *)field.data, field.len)))
			return sl_fail_memory(err);
	}
	return in.bad ? sl_fail(err, SL_E_INVALID, "the message is not what this method takes") : 0;
}

static void reply(struct sl_oip *oip, struct sl_grpc_call *call)
{
	struct sl_error err = {0};
	if (sl_buf_check(&oip->desk.out, "the answer", &err))
		sl_grpc_fail(call, &err);
	else if (sl_grpc_send(call, oip->desk.out.data ? oip->desk.out.data : "", oip->desk.out.len))
		sl_grpc_finish(call, SL_GRPC_OK, NULL);
	else
		sl_grpc_finish(call, SL_GRPC_RESOURCE_EXHAUSTED, NULL);
	oip_trim(oip);
}

static int no_endpoint(const char *name, size_t len, struct sl_error *err)
{
	return sl_fail(err, SL_E_NOT_FOUND, "no endpoint is called '%.*s'", (int)(len < SL_NAME_MAX ? len : SL_NAME_MAX), name);
}

/* What answers for a model's name and version ("": its own choice). */
static int take(struct sl_oip *oip, const char *name, size_t name_len, const char *version, size_t version_len, struct sl_served **ret,
		struct sl_error *err)
{
	struct sl_endpoint_state *endpoint = sl_serving_find(oip->serving, name, name_len);
	if (!endpoint)
		return no_endpoint(name, name_len, err);
	int rc = sl_endpoint_take(endpoint, version_len ? version : NULL, version_len, ret, err);
	if (rc)
		sl_endpoint_refused(endpoint, sl_code_http_status(rc));
	return rc;
}

static int take_small(struct sl_oip *oip, const void *data, size_t len, struct sl_served **ret, struct sl_error *err)
{
	struct small small;
	int rc = read_small(oip, data, len, &small, err);
	return rc ? rc : take(oip, small.texts[1], strlen(small.texts[1]), small.texts[2], strlen(small.texts[2]), ret, err);
}

/* ---- health and metadata ---- */

static void reply_flag(struct sl_oip *oip, struct sl_grpc_call *call, bool flag)
{
	sl_buf_clear(&oip->desk.out);
	if (flag)
		sl_proto_put_int(&oip->desk.out, 1, 1);
	reply(oip, call);
}

static void server_live(void *context, struct sl_grpc_call *call, const void *data, size_t len)
{
	(void)data;
	(void)len;
	reply_flag(context, call, true);
}

static void server_ready(void *context, struct sl_grpc_call *call, const void *data, size_t len)
{
	struct sl_oip *oip = context;
	(void)data;
	(void)len;
	reply_flag(oip, call, oip_all_ready(oip));
}

static void model_ready(void *context, struct sl_grpc_call *call, const void *data, size_t len)
{
	struct sl_served *served;
	struct sl_error err = {0};
	int rc = take_small(context, data, len, &served, &err);
	if (rc && rc != SL_E_BUSY)
		sl_grpc_fail(call, &err);
	else
		reply_flag(context, call, !rc);
}

static void server_metadata(void *context, struct sl_grpc_call *call, const void *data, size_t len)
{
	static const char *const extensions[] = {"model_repository", "statistics"};
	struct sl_oip *oip = context;
	(void)data;
	(void)len;
	sl_buf_clear(&oip->desk.out);
	sl_proto_put_text(&oip->desk.out, 1, "sluice");
	sl_proto_put_text(&oip->desk.out, 2, SLUICE_VERSION);
	for (size_t i = 0; i < SL_ARRAY_LEN(extensions); i++)
		sl_proto_put_text(&oip->desk.out, 3, extensions[i]);
	reply(oip, call);
}

static void put_tensor(struct sl_buf *out, uint32_t number, const char *name, const char *datatype, const int64_t *sizes, size_t dims)
{
	size_t tensor = sl_proto_open(out, number);
	sl_proto_put_text(out, 1, name);
	sl_proto_put_text(out, 2, datatype);
	size_t shape = sl_proto_open(out, 3);
	for (size_t i = 0; i < dims; i++)
		sl_proto_put_varint(out, (uint64_t)sizes[i]);
	sl_proto_close(out, shape);
	sl_proto_close(out, tensor);
}

static void put_table(struct sl_buf *out, uint32_t number, const char *name, const char *datatype, size_t width)
{
	const int64_t sizes[] = {-1, (int64_t)width};
	put_tensor(out, number, name, datatype, sizes, width > 1 ? 2 : 1);
}

static void put_signature(struct sl_buf *out, const struct sl_served *served)
{
	const struct sl_package *package = &served->package;
	if (served->graph) {
		const struct sl_graph_info *info = sl_graph_info(served->graph);
		for (size_t i = 0; i < info->input_count; i++)
			put_tensor(out, 4, info->inputs[i].name, sl_element_name(info->inputs[i].element), info->inputs[i].sizes, info->inputs[i].dims);
		for (size_t i = 0; i < info->output_count; i++)
			put_tensor(out, 5, info->outputs[i].name, sl_element_name(info->outputs[i].element), info->outputs[i].sizes,
				   info->outputs[i].dims);
		return;
	}
	if (served->matrix)
		put_table(out, 4, served->matrix, "FP32", served->column_count);
	for (size_t i = 0; !served->matrix && i < served->column_count; i++)
		put_table(out, 4, served->slots[i], sl_v2_datatype(sl_served_feature(served, i)), 1);
	put_table(out, 5, package->output, "FP32", package->output_count);
}

/* Field 6 is not sent: the protocol and its servers disagree about what it is. */
static void model_metadata(void *context, struct sl_grpc_call *call, const void *data, size_t len)
{
	struct sl_oip *oip = context;
	struct sl_served *served;
	struct sl_error err = {0};
	if (take_small(oip, data, len, &served, &err)) {
		sl_grpc_fail(call, &err);
		return;
	}
	struct sl_buf *out = &oip->desk.out;
	sl_buf_clear(out);
	sl_proto_put_text(out, 1, served->spec->name);
	for (size_t i = 0; i < sl_endpoint_version_count(served->endpoint); i++)
		sl_proto_put_text(out, 2, sl_endpoint_version(served->endpoint, i));
	const char *platform = sl_arena_printf(oip->arena, "sluice_%s", served->package.algorithm);
	sl_proto_put_text(out, 3, platform ? platform : "sluice");
	put_signature(out, served);
	reply(oip, call);
}

/* ---- inference ---- */

int oip_grpc_take(struct sl_oip *oip, const struct sl_infer_message *head, struct sl_served **ret, struct sl_error *err)
{
	return take(oip, head->model, head->model_len, head->version, head->version_len, ret, err);
}

int oip_read_message(struct oip_prediction *p, struct sl_error *err)
{
	struct sl_arena *arena = p->work ? p->work->arena : p->oip->arena;
	sl_arena_reset(arena);
	sl_v2_set_priority(&p->v2, p->head.priority);
	sl_v2_set_timeout(&p->v2, p->head.timeout_us);
	return sl_infer_message_read(p->message, p->len, &p->head, p->served, arena, &p->desk->rows, err);
}

static void answer_infer(struct oip_prediction *p, const struct sl_id *id)
{
	struct sl_error err = {0};
	const struct sl_buf *out = &p->desk->out;
	if (!p->call)
		return;
	sl_grpc_keep(p->call, NULL);
	sl_infer_message_write(&p->head, &p->desk->rows, id, &p->desk->out);
	if (sl_buf_check(out, "the answer", &err))
		sl_grpc_fail(p->call, &err);
	else if (sl_grpc_send(p->call, out->data, out->len))
		sl_grpc_finish(p->call, SL_GRPC_OK, NULL);
	else
		sl_grpc_finish(p->call, SL_GRPC_RESOURCE_EXHAUSTED, NULL);
}

static void refuse_infer(struct oip_prediction *p, const struct sl_error *err)
{
	sl_endpoint_refused(p->served->endpoint, sl_code_http_status(err->code));
	if (!p->call)
		return;
	sl_grpc_keep(p->call, NULL);
	sl_grpc_fail(p->call, err);
}

static void model_infer(void *context, struct sl_grpc_call *call, const void *data, size_t len)
{
	struct oip_prediction p = {.oip = context, .call = call, .message = data, .len = len, .read = oip_read_message, .answer = answer_infer,
				   .refuse = refuse_infer};
	struct sl_error err = {0};
	int rc = sl_infer_message_head(data, len, &p.head, &err);
	if (!rc)
		rc = oip_grpc_take(p.oip, &p.head, &p.served, &err);
	if (rc)
		sl_grpc_fail(call, &err);
	else
		oip_predict(&p);
}

/* ---- the repository and statistics ---- */

static void put_index(struct sl_buf *out, const struct sl_endpoint_state *endpoint)
{
	bool ready = sl_endpoint_ready(endpoint);
	size_t versions = sl_endpoint_version_count(endpoint), model = sl_proto_open(out, 1);
	sl_proto_put_text(out, 1, sl_endpoint_spec(endpoint)->name);
	sl_proto_put_text(out, 2, versions ? sl_endpoint_version(endpoint, versions - 1) : "");
	sl_proto_put_text(out, 3, ready ? "READY" : "UNAVAILABLE");
	const struct sl_error *problem = sl_endpoint_problem(endpoint);
	sl_proto_put_text(out, 4, problem->code ? problem->message : ready ? "" : "unloaded");
	sl_proto_close(out, model);
}

static void repository_index(void *context, struct sl_grpc_call *call, const void *data, size_t len)
{
	struct sl_oip *oip = context;
	struct small small;
	struct sl_error err = {0};
	if (read_small(oip, data, len, &small, &err)) {
		sl_grpc_fail(call, &err);
		return;
	}
	sl_buf_clear(&oip->desk.out);
	for (size_t i = 0; i < sl_serving_count(oip->serving); i++) {
		const struct sl_endpoint_state *endpoint = sl_serving_at(oip->serving, i);
		if (!small.flag || sl_endpoint_ready(endpoint))
			put_index(&oip->desk.out, endpoint);
	}
	reply(oip, call);
}

static void control(struct sl_oip *oip, struct sl_grpc_call *call, bool load, const void *data, size_t len)
{
	struct small small;
	struct sl_error err = {0};
	int rc = read_small(oip, data, len, &small, &err);
	if (!rc && load && *small.texts[3])
		rc = sl_fail(&err, SL_E_INVALID, "parameters are not taken: models are loaded from the disk");
	if (!rc)
		rc = oip_control(oip, load, small.texts[2], strlen(small.texts[2]), &err);
	sl_buf_clear(&oip->desk.out);
	if (rc)
		sl_grpc_fail(call, &err);
	else
		reply(oip, call);
}

static void repository_load(void *context, struct sl_grpc_call *call, const void *data, size_t len)
{
	control(context, call, true, data, len);
}

static void repository_unload(void *context, struct sl_grpc_call *call, const void *data, size_t len)
{
	control(context, call, false, data, len);
}

static void put_duration(struct sl_buf *out, uint32_t number, uint64_t count, uint64_t ns)
{
	size_t duration = sl_proto_open(out, number);
	sl_proto_put_int(out, 1, count);
	sl_proto_put_int(out, 2, ns);
	sl_proto_close(out, duration);
}

static void put_statistics(struct sl_buf *out, struct sl_endpoint_state *endpoint, const char *version)
{
	enum { SUCCESS = 1, FAIL, QUEUE, INPUT, INFER, OUTPUT };
	const struct sl_endpoint_stats *stats = sl_endpoint_stats(endpoint);
	size_t model = sl_proto_open(out, 1);
	sl_proto_put_text(out, 1, sl_endpoint_spec(endpoint)->name);
	sl_proto_put_text(out, 2, version);
	sl_proto_put_int(out, 3, (uint64_t)stats->last_ms);
	sl_proto_put_int(out, 4, stats->rows);
	sl_proto_put_int(out, 5, stats->requests - stats->joined);
	size_t inference = sl_proto_open(out, 6);
	put_duration(out, SUCCESS, stats->requests, stats->latency_us * 1000);
	put_duration(out, FAIL, stats->refused + stats->failed, 0);
	put_duration(out, QUEUE, stats->requests, stats->queue_us * 1000);
	put_duration(out, INPUT, stats->requests, 0);
	put_duration(out, INFER, stats->requests, stats->latency_us * 1000);
	put_duration(out, OUTPUT, stats->requests, 0);
	sl_proto_close(out, inference);
	sl_proto_close(out, model);
}

/* Of one model, or of all when none is named. */
static void model_statistics(void *context, struct sl_grpc_call *call, const void *data, size_t len)
{
	struct sl_oip *oip = context;
	struct sl_served *served = NULL;
	struct small small;
	struct sl_error err = {0};
	int rc = read_small(oip, data, len, &small, &err);
	if (!rc && *small.texts[1])
		rc = take(oip, small.texts[1], strlen(small.texts[1]), small.texts[2], strlen(small.texts[2]), &served, &err);
	if (rc) {
		sl_grpc_fail(call, &err);
		return;
	}
	sl_buf_clear(&oip->desk.out);
	if (served)
		put_statistics(&oip->desk.out, served->endpoint, served->version_text);
	for (size_t i = 0; !served && i < sl_serving_count(oip->serving); i++) {
		struct sl_endpoint_state *endpoint = sl_serving_at(oip->serving, i);
		size_t versions = sl_endpoint_version_count(endpoint);
		if (versions)
			put_statistics(&oip->desk.out, endpoint, sl_endpoint_version(endpoint, versions - 1));
	}
	reply(oip, call);
}

/* ---- the server ---- */

static const struct sl_grpc_method METHODS[] = {
	{SERVICE "ModelInfer", false, model_infer, NULL},
	{SERVICE "ModelStreamInfer", true, oip_stream_message, oip_stream_ended},
	{SERVICE "ModelReady", false, model_ready, NULL},
	{SERVICE "ModelMetadata", false, model_metadata, NULL},
	{SERVICE "ServerLive", false, server_live, NULL},
	{SERVICE "ServerReady", false, server_ready, NULL},
	{SERVICE "ServerMetadata", false, server_metadata, NULL},
	{SERVICE "ModelStatistics", false, model_statistics, NULL},
	{SERVICE "RepositoryIndex", false, repository_index, NULL},
	{SERVICE "RepositoryModelLoad", false, repository_load, NULL},
	{SERVICE "RepositoryModelUnload", false, repository_unload, NULL},
	{"/grpc.health.v1.Health/Check", false, oip_health_check, NULL},
	{"/grpc.health.v1.Health/Watch", false, oip_health_watch, NULL},
	{"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", true, oip_reflect, NULL},
	{"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", true, oip_reflect, NULL},
};

static int permit(void *context, const char *path, const char *authorization, struct sl_error *err)
{
	struct sl_oip *oip = context;
	struct sl_caller caller;
	if (!oip->options.require_token)
		return 0;
	if (!sl_access_check(oip->access, SL_PERMIT_PREDICT, authorization, &caller, err))
		return 0;
	sl_refusals_note(oip->refusals, caller.actor, "gRPC", path);
	return SL_E_DENIED;
}

/* Of whatever kind: each begins with its own function. */
static void on_gone(void *context, void *kept)
{
	(void)context;
	((struct oip_kept *)kept)->gone(kept);
}

int oip_grpc_open(struct sl_oip *oip, struct sl_grpc_server **ret, struct sl_error *err)
{
	struct sl_grpc_config config = {.context = oip, .methods = METHODS, .method_count = SL_ARRAY_LEN(METHODS), .permit = permit,
					 .gone = on_gone};
	oip->arena = sl_arena_new(0, err);
	int rc = oip->arena ? oip_health_new(oip, &oip->health, err) : SL_E_NO_MEMORY;
	return rc ? rc : sl_grpc_server_new(oip->loop, &config, ret, err);
}
