/* JSON request bodies: parsed by yyjson out of memory that is kept from request to request, within limits. */
#ifndef SL_OIP_BODY_H
#define SL_OIP_BODY_H

#include "base/json.h"
#include "learn/encode.h"

enum {
	SL_BODY_BYTES_MAX = 64 << 20,    /* of any request */
	SL_BODY_MEMORY_MAX = 256 << 20,  /* that its parsed form may take */
};

struct sl_body_parser {
	void *pool;        /* small bodies are parsed without any allocation */
	size_t used;       /* bytes allocated for a large one */
	bool refused;      /* it wanted more than the limit */
};
int sl_body_parser_init(struct sl_body_parser *parser, struct sl_error *err);
void sl_body_parser_done(struct sl_body_parser *parser);

/* The body as an object, whose texts are NUL-terminated and live until sl_body_end. One body at a time. SL_E_INVALID with line
 * and column; SL_E_TOO_LARGE for what is deeper than SL_JSON_DEPTH_MAX or takes too much memory. */
int sl_body_parse(struct sl_body_parser *parser, const char *text, size_t len, yyjson_doc **ret, struct sl_error *err);
void sl_body_end(yyjson_doc **doc); /* for SL_CLEANUP too */
#define SL_AUTO_BODY SL_CLEANUP(sl_body_end)

/* The members of an object that have one of the names, into `values` (zeroed by the caller); others are passed over. SL_E_INVALID: one stands
 * twice. */
int sl_body_members(yyjson_val *object, const char *const *names, yyjson_val **values, size_t count, struct sl_error *err);
/* A scalar as a cell, its text borrowed. false for arrays and objects. */
bool sl_body_cell(yyjson_val *value, struct sl_cell *ret);
/* "null", "true or false", "an integer", "a number", "text", "an array", "an object": for errors. */
const char *sl_body_kind(yyjson_val *value);

#endif
