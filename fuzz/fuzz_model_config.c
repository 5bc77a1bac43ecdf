/* config.pbtxt. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "serve/model_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, NULL);
	struct sl_model_config config;
	struct sl_error err;
	char *text = malloc(size + 1);
	if (!text || !arena)
		abort();
	if (size)
		memcpy(text, data, size);
	text[size] = 0;
	if (sl_model_config_parse(text, "config.pbtxt", arena, &config, &err) == 0 &&
	    (!config.name || !config.input.name || !config.output.name))
		abort();
	free(text);
	return 0;
}
