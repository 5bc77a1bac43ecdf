/* Overrides in Hydra's grammar: any text is parsed or refused; what is plain has a value that a parameter can take. */
#include <assert.h>
#include <string.h>

#include "project/override.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sl_error err;
	struct sl_override override;
	SL_CLEANUP(sl_arena_freep) struct sl_arena *arena = sl_arena_new(0, &err);
	char *text = sl_arena_strndup(arena, (const char *)data, len);

	assert(text);
	if (sl_override_parse(text, arena, &override, &err) == 0 && sl_override_plain(&override, &err) == 0)
		assert(override.kind == SL_OVERRIDE_SET && !override.is_group && !sl_override_is_sweep(&override.value));
	return 0;
}
