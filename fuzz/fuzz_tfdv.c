/* Schemas of TFDV from anywhere. Whatever they hold, the section that comes out has one check or one comment a line: nothing of theirs can become a line of
 * sluice.yaml. */
#include <assert.h>
#include <string.h>

#include "base/json.h"
#include "data/check_tfdv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sl_error err;
	struct sl_tfdv_count count;
	SL_AUTO_BUF struct sl_buf out = SL_BUF_INIT(64 << 20);
	static const char HEAD[] = "datasets:\n  t:\n    checks:\n", CHECK[] = "      - {", COMMENT[] = "      # not mapped: \"";

	if (sl_tfdv_import((const char *)data, len, "input", "t", &out, &count, &err) != 0)
		return 0;
	const char *line = sl_buf_cstr(&out);
	size_t lines = 0;
	assert(strncmp(line, HEAD, sizeof HEAD - 1) == 0);
	for (line += sizeof HEAD - 1; *line; line = strchr(line, '\n') + 1, lines++) {
		assert(strncmp(line, CHECK, sizeof CHECK - 1) == 0 || strncmp(line, COMMENT, sizeof COMMENT - 1) == 0);
		if (line[6] != '-')
			continue;
		yyjson_doc *doc = sl_json_parse(line + 8, (size_t)(strchr(line, '\n') - line - 8), "check", NULL);
		assert(doc); /* one JSON object, without duplicate members */
		yyjson_doc_free(doc);
	}
	assert(lines == count.mapped + count.unmapped);
	return 0;
}
