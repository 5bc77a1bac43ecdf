/* JSON: any bytes are read or refused, and the canonical form of what was read is its own canonical form. */
#include <assert.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"

enum { OUTPUT_MAX = 16 << 20 };

static int canonical(const char *text, size_t len, struct sl_buf *out)
{
	struct sl_error err;
	SL_AUTO_JSON yyjson_doc *doc = sl_json_parse(text, len, "input", &err);

	return doc ? sl_json_canonical(yyjson_doc_get_root(doc), out, &err) : err.code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	SL_AUTO_BUF struct sl_buf once = SL_BUF_INIT(OUTPUT_MAX);
	SL_AUTO_BUF struct sl_buf twice = SL_BUF_INIT(OUTPUT_MAX);

	if (canonical((const char *)data, len, &once) < 0)
		return 0;
	int again = canonical(once.data, once.len, &twice);
	assert(again == 0);
	assert(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
	return 0;
}
