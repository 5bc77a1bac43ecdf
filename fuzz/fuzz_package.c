/* Manifests of model packages and reference statistics: refused, or understood and written back the same. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "learn/package.h"

enum { OUTPUT_MAX = 64 << 20 };

static void package(const char *text, size_t len, struct sl_arena *arena)
{
	struct sl_buf once SL_CLEANUP(sl_buf_done) = SL_BUF_INIT(OUTPUT_MAX),
			   twice SL_CLEANUP(sl_buf_done) = SL_BUF_INIT(OUTPUT_MAX);
	struct sl_package read;
	struct sl_error err;

	if (sl_package_parse(text, len, arena, &read, &err) || sl_package_write(&read, &once, &err))
		return;
	assert(sl_package_parse(once.data, once.len, arena, &read, &err) == 0);
	assert(sl_package_write(&read, &twice, &err) == 0);
	assert(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
}

static void reference(const char *text, size_t len, struct sl_arena *arena)
{
	struct sl_buf out SL_CLEANUP(sl_buf_done) = SL_BUF_INIT(OUTPUT_MAX);
	struct sl_reference read;
	struct sl_error err;

	if (sl_reference_parse(text, len, arena, &read, &err))
		return;
	for (size_t i = 0; i < read.feature_count; i++)
		if (read.features[i].encoding == SL_ENCODE_NUMBER)
			assert(sl_reference_bin(&read.features[i], 0) < read.features[i].bin_count);
	if (sl_reference_write(&read, &out, &err) == 0)
		assert(sl_reference_parse(out.data, out.len, arena, &read, &err) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sl_arena *arena = sl_arena_new(0, NULL);

	assert(arena);
	package((const char *)data, len, arena);
	reference((const char *)data, len, arena);
	sl_arena_free(arena);
	return 0;
}
