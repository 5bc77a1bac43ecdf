/* OTLP in both encodings (the first byte chooses), also compressed. What is read has ids, and is JSON again. */
#include <assert.h>
#include <string.h>

#include "mlflow/otlp.h"
#include "net/inflate.h"

enum { ARENA_BYTES = 64 << 20 };

static void check(const struct sl_trace_span *span)
{
	struct sl_error err;
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(span->content, strlen(span->content), "span", &err);
	assert(strlen(span->trace) == 35 && strlen(span->id) == 16 && (strlen(span->parent) == 16 || !*span->parent));
	assert(span->started_ns >= 0 && span->ended_ns >= 0);
	assert(doc && yyjson_arr_size(yyjson_obj_get(yyjson_doc_get_root(doc), "attributes")) >= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sl_error err;
	struct sl_trace_span *spans;
	size_t count = 0;
	struct sl_buf plain SL_AUTO_BUF = SL_BUF_INIT(1 << 20);
	SL_CLEANUP(sl_arena_freep) struct sl_arena *arena = sl_arena_new(ARENA_BYTES, &err);
	if (len < 1)
		return 0;
	const char *body = (const char *)data + 1;
	size_t body_len = len - 1;
	if (*data >= 'a') {
		if (sl_net_inflate((enum sl_inflate)(*data % 3), body, body_len, &plain, &err))
			return 0;
		body = sl_buf_cstr(&plain);
		body_len = plain.len;
	}
	int rc = *data % 2 ? sl_otlp_read_proto(body, body_len, arena, &spans, &count, &err)
			   : sl_otlp_read_json(body, body_len, arena, &spans, &count, &err);
	assert(!rc || !count);
	for (size_t i = 0; i < count; i++)
		check(&spans[i]);
	return 0;
}
