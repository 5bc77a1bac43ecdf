/* References and cron expressions: short texts that come from command lines, URLs and project files. */
#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "project/ref.h"
#include "watch/cron.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sl_error err;
	struct sl_ref ref;
	struct sl_cron cron;
	SL_CLEANUP(sl_arena_freep) struct sl_arena *arena = sl_arena_new(0, &err);
	char *text = sl_arena_strndup(arena, (const char *)data, len);

	assert(text);
	if (sl_ref_parse(text, &ref, &err) == 0)
		assert(strlen(ref.name) < sizeof(ref.name) && strlen(ref.version) < sizeof(ref.version) && ref.row >= -1);
	if (sl_cron_parse(text, &cron, &err) == 0) {
		int64_t next = sl_cron_next(&cron, 983404800000);
		assert(next < 0 || next > 983404800000);
	}
	return 0;
}
