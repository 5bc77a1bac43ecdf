/* Requests for a graph that gives every datatype back: the first byte picks the form, and how much of an inference request is raw. What is
 * read is computed, and written in every form. */
#include <stdint.h>
#include <stdlib.h>

#include "../tests/unit/oip/forms.h"
#include "oip/graph.h"
#include "oip/invocations.h"

static void put_port(struct sl_buf *graph, uint32_t field, char side, enum sl_element element)
{
	static const unsigned char types[] = {9, 3, 5, 6, 7, 2, 4, 12, 13, 10, 16, 1, 11, 8}; /* of onnx.proto, by sl_element */
	char name[] = {side, (char)('a' + (int)element), 0};
	size_t value = sl_proto_open(graph, field), type, tensor, shape, dim;
	sl_proto_put_text(graph, 1, name);
	type = sl_proto_open(graph, 2);
	tensor = sl_proto_open(graph, 1);
	sl_proto_put_int(graph, 1, types[element]);
	shape = sl_proto_open(graph, 2);
	dim = sl_proto_open(graph, 1);
	sl_proto_put_text(graph, 2, "n");
	sl_proto_close(graph, dim);
	sl_proto_close(graph, shape);
	sl_proto_close(graph, tensor);
	sl_proto_close(graph, type);
	sl_proto_close(graph, value);
}

static void put_identity(struct sl_buf *graph, enum sl_element element)
{
	char name[] = {'i', (char)('a' + (int)element), 0};
	size_t node = sl_proto_open(graph, 1);
	sl_proto_put_text(graph, 1, name);
	name[0] = 'o';
	sl_proto_put_text(graph, 2, name);
	sl_proto_put_text(graph, 4, "Identity");
	sl_proto_close(graph, node);
}

/* Inputs "ia", "ib", ... and outputs "oa", ..., each [n]. */
static void load_echo(struct sl_graph **ret)
{
	struct sl_buf model SL_AUTO_BUF = SL_BUF_INIT(1 << 20);
	struct sl_error err;
	sl_proto_put_int(&model, 1, 9);
	size_t graph = sl_proto_open(&model, 7);
	sl_proto_put_text(&model, 2, "echo");
	for (int i = 0; i <= SL_ELEMENT_TEXT; i++)
		put_identity(&model, (enum sl_element)i);
	for (int i = 0; i <= SL_ELEMENT_TEXT; i++)
		put_port(&model, 11, 'i', (enum sl_element)i);
	for (int i = 0; i <= SL_ELEMENT_TEXT; i++)
		put_port(&model, 12, 'o', (enum sl_element)i);
	sl_proto_close(&model, graph);
	size_t opset = sl_proto_open(&model, 8);
	sl_proto_put_int(&model, 2, 19);
	sl_proto_close(&model, opset);
	if (sl_graph_load(model.data, model.len, ret, &err))
		abort();
}

static struct sl_served *make_served(void)
{
	static const struct sl_endpoint spec = {.name = "echo", .model = "echo", .alias = "", .key = "", .time = ""};
	static struct sl_feature columns[SL_ELEMENT_TEXT + 1];
	struct sl_served *served = forms_served(&spec, false);
	load_echo(&served->graph);
	for (int i = 0; i <= SL_ELEMENT_TEXT; i++) {
		bool text = i == SL_ELEMENT_TEXT, real = i >= SL_ELEMENT_FP16;
		columns[i] = (struct sl_feature){.name = sl_graph_info(served->graph)->inputs[i].name, .type = "",
						 .kind = text ? SL_SQL_TEXT : real ? SL_SQL_DOUBLE : i ? SL_SQL_INT : SL_SQL_BOOL};
	}
	served->package.features = columns;
	served->package.feature_count = SL_ELEMENT_TEXT + 1;
	served->slot_count = 0;
	sl_map_free(served->by_name);
	if (sl_served_make_slots(served, NULL, 0, NULL))
		abort();
	return served;
}

static int read_request(unsigned char how, const char *body, size_t len, struct sl_served *served, struct sl_inputs *rows, struct sl_arena *arena,
			struct sl_v2_request *v2, yyjson_doc **doc, struct sl_infer_message *head)
{
	static struct sl_body_parser parser;
	struct sl_error err;
	size_t raw = how / 3 % 40;
	if (!parser.pool && sl_body_parser_init(&parser, NULL))
		abort();
	if (how % 3 == 0)
		return sl_v2_read(&parser, served, body, len, raw < len ? len - raw : len, arena, rows, v2, &err);
	if (how % 3 == 1) {
		int rc = sl_body_parse(&parser, body, len, doc, &err);
		return rc ? rc : sl_invocations_json(yyjson_doc_get_root(*doc), served, arena, rows, &err);
	}
	int rc = sl_infer_message_head(body, len, head, &err);
	return rc ? rc : sl_infer_message_read(body, len, head, served, arena, rows, &err);
}

static void write_all(const struct sl_v2_request *v2, const struct sl_infer_message *head, struct sl_inputs *rows)
{
	struct sl_buf out SL_AUTO_BUF = SL_BUF_INIT(16 << 20);
	struct sl_id id = {.text = "01M843MAC3EY794N0VTXTSXZMC"};
	size_t json_len;
	sl_v2_write(v2, rows, &id, &out, &json_len);
	sl_infer_message_write(head, rows, &id, &out);
	for (size_t i = 0; i < sl_graph_info(rows->served->graph)->output_count; i++)
		if (!rows->feed.wanted[i])
			return;
	sl_invocations_write(rows, &out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sl_served *served;
	static struct sl_inputs rows;
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, NULL);
	struct sl_v2_request v2 = {0};
	yyjson_doc *doc SL_AUTO_BODY = NULL;
	struct sl_infer_message head = {0};
	struct sl_error err;
	if (!served)
		served = make_served();
	char *body = size ? malloc(size) : NULL; /* NUL-terminated, as the server gives it, and nothing behind that */
	if (!body)
		return 0;
	memcpy(body, data + 1, size - 1);
	body[size - 1] = 0;
	if (read_request(data[0], body, size - 1, served, &rows, arena, &v2, &doc, &head) == 0 && sl_predict_compute(&rows, &err) == 0)
		write_all(&v2, &head, &rows);
	sl_v2_end(&v2);
	sl_inputs_end(&rows);
	free(body);
	return 0;
}
