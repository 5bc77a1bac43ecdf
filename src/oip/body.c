#include "oip/body.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { POOL_BYTES = 192 * 1024 };

int sl_body_parser_init(struct sl_body_parser *parser, struct sl_error *err)
{
	parser->pool = sl_alloc(POOL_BYTES, err);
	return parser->pool ? 0 : SL_E_NO_MEMORY;
}

void sl_body_parser_done(struct sl_body_parser *parser)
{
	sl_free(parser->pool);
	parser->pool = NULL;
}

/* An allocator with an end, for bodies that the pool is too small for. One block's size stands before it. */
enum { BLOCK_HEAD = 16 };

static void *limited_realloc(void *context, void *block, size_t old_size, size_t size)
{
	struct sl_body_parser *parser = context;
	(void)old_size;
	unsigned char *head = block ? (unsigned char *)block - BLOCK_HEAD : NULL;
	size_t had = 0;
	if (head)
		memcpy(&had, head, sizeof had);
	if (size > SL_BODY_MEMORY_MAX - (parser->used - had)) {
		parser->refused = true;
		return NULL;
	}
	head = sl_realloc(head, size + BLOCK_HEAD, NULL);
	if (!head)
		return NULL;
	memcpy(head, &size, sizeof size);
	parser->used += size - had;
	return head + BLOCK_HEAD;
}

static void *limited_malloc(void *context, size_t size) { return limited_realloc(context, NULL, 0, size); }

static void limited_free(void *context, void *block)
{
	struct sl_body_parser *parser = context;
	size_t had;
	if (!block)
		return;
	memcpy(&had, (unsigned char *)block - BLOCK_HEAD, sizeof had);
	parser->used -= had;
	sl_free((unsigned char *)block - BLOCK_HEAD);
}

static int refuse(const char *text, size_t len, const yyjson_read_err *problem, struct sl_error *err)
{
	size_t line = 1, column = 1;
	for (size_t i = 0; i < problem->pos && i < len; i++) {
		column = text[i] == '\n' ? 1 : column + 1;
		line += text[i] == '\n';
	}
	sl_fail(err, SL_E_INVALID, "the body is no JSON: line %zu, column %zu: %s", line, column, problem->msg);
	size_t at = problem->pos + (problem->pos < len && text[problem->pos] == '-');
	bool number = at < len && memchr("NnIi", text[at], 4);
	return number ? sl_error_hint(err, "JSON has no NaN and no Infinity: send null for a missing value") : err->code;
}

int sl_body_parse(struct sl_body_parser *parser, const char *text, size_t len, yyjson_doc **ret, struct sl_error *err)
{
	yyjson_alc alc;
	yyjson_read_err problem;
	if (len > SL_BODY_BYTES_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "the body is larger than %d MiB", SL_BODY_BYTES_MAX >> 20);
	if (!sl_json_depth_ok(text, len))
		return sl_fail(err, SL_E_TOO_LARGE, "the body is nested deeper than %d", SL_JSON_DEPTH_MAX);
	if (yyjson_read_max_memory_usage(len, 0) <= POOL_BYTES - 1024) {
		yyjson_alc_pool_init(&alc, parser->pool, POOL_BYTES);
	} else {
		parser->used = 0;
		parser->refused = false;
		alc = (yyjson_alc){.malloc = limited_malloc, .realloc = limited_realloc, .free = limited_free, .ctx = parser};
	}
	union { const char *in; char *out; } body = {.in = text}; /* only read: the in-situ flag is not given */
	yyjson_doc *doc = yyjson_read_opts(body.out, len, 0, &alc, &problem);
	if (!doc && problem.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
		return parser->refused ? sl_fail(err, SL_E_TOO_LARGE, "the body takes more than %d MiB in memory",
						 SL_BODY_MEMORY_MAX >> 20)
				       : sl_fail_memory(err);
	if (!doc)
		return refuse(text, len, &problem, err);
	if (!yyjson_is_obj(yyjson_doc_get_root(doc))) {
		yyjson_doc_free(doc);
		return sl_fail(err, SL_E_INVALID, "the body is no JSON object");
	}
	*ret = doc;
	return 0;
}

void sl_body_end(yyjson_doc **doc)
{
	yyjson_doc_free(*doc);
	*doc = NULL;
}

static int take_member(yyjson_val **member, yyjson_val *value, const char *name, struct sl_error *err)
{
	if (*member)
		return sl_fail(err, SL_E_INVALID, "'%s' stands twice", name);
	*member = value;
	return 0;
}

int sl_body_members(yyjson_val *object, const char *const *names, yyjson_val **values, size_t count, struct sl_error *err)
{
	yyjson_obj_iter it = yyjson_obj_iter_with(object);
	for (yyjson_val *key; (key = yyjson_obj_iter_next(&it));)
		for (size_t i = 0; i < count; i++)
			if (yyjson_equals_str(key, names[i])) {
				int rc = take_member(&values[i], yyjson_obj_iter_get_val(key), names[i], err);
				if (rc)
					return rc;
				break;
			}
	return 0;
}

bool sl_body_cell(yyjson_val *value, struct sl_cell *ret)
{
	switch (yyjson_get_tag(value)) {
	case YYJSON_TYPE_NULL | YYJSON_SUBTYPE_NONE:
		*ret = (struct sl_cell){.kind = SL_CELL_NULL};
		return true;
	case YYJSON_TYPE_BOOL | YYJSON_SUBTYPE_TRUE:
	case YYJSON_TYPE_BOOL | YYJSON_SUBTYPE_FALSE:
		*ret = (struct sl_cell){.kind = SL_CELL_BOOL, .b = yyjson_get_bool(value)};
		return true;
	case YYJSON_TYPE_NUM | YYJSON_SUBTYPE_SINT:
		*ret = (struct sl_cell){.kind = SL_CELL_INT, .i = yyjson_get_sint(value)};
		return true;
	case YYJSON_TYPE_NUM | YYJSON_SUBTYPE_UINT:
		if (yyjson_get_uint(value) <= INT64_MAX)
			*ret = (struct sl_cell){.kind = SL_CELL_INT, .i = (int64_t)yyjson_get_uint(value)};
		else
			*ret = (struct sl_cell){.kind = SL_CELL_DOUBLE, .d = (double)yyjson_get_uint(value)};
		return true;
	case YYJSON_TYPE_NUM | YYJSON_SUBTYPE_REAL:
		*ret = (struct sl_cell){.kind = SL_CELL_DOUBLE, .d = yyjson_get_real(value)};
		return true;
	default:
		if (!yyjson_is_str(value))
			return false;
		*ret = (struct sl_cell){.kind = SL_CELL_TEXT, .len = (uint32_t)yyjson_get_len(value),
			.text = yyjson_get_str(value)};
		return true;
	}
}

const char *sl_body_kind(yyjson_val *value)
{
	switch (yyjson_get_type(value)) {
	case YYJSON_TYPE_NULL:
		return "null";
	case YYJSON_TYPE_BOOL:
		return "true or false";
	case YYJSON_TYPE_NUM:
		return yyjson_is_real(value) ? "a number" : "an integer";
	case YYJSON_TYPE_STR:
		return "text";
	case YYJSON_TYPE_ARR:
		return "an array";
	default:
		return "an object";
	}
}
