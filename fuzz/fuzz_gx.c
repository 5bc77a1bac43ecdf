/* Suites of Great Expectations from anywhere. Whatever they hold, the section that comes out has one check or one comment a line:
 * nothing of theirs can become a line of sluice.yaml. */
#include <assert.h>
#include <string.h>

#include "data/check_gx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sl_error err;
	struct sl_gx_count count;
	SL_AUTO_BUF struct sl_buf out = SL_BUF_INIT(16 << 20);
	static const char HEAD[] = "datasets:\n  t:\n    checks:\n", CHECK[] = "      - {", COMMENT[] = "      # not mapped: \"";

	if (sl_gx_import((const char *)data, len, "input", "t", &out, &count, &err) != 0)
		return 0;
	const char *line = sl_buf_cstr(&out);
	assert(strncmp(line, HEAD, sizeof HEAD - 1) == 0);
	for (line += sizeof HEAD - 1; *line; line = strchr(line, '\n') + 1)
		assert(strncmp(line, CHECK, sizeof CHECK - 1) == 0 || strncmp(line, COMMENT, sizeof COMMENT - 1) == 0);
	return 0;
}
