/* Manifests of dataset versions, as they come out of the object store or from elsewhere: the sums hold, or it is refused. */
#include <assert.h>

#include "base/mem.h"
#include "data/dataset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sl_error err;
	struct sl_manifest manifest;
	SL_CLEANUP(sl_arena_freep) struct sl_arena *arena = sl_arena_new(0, &err);
	uint64_t rows = 0;

	assert(arena);
	if (sl_manifest_parse((const char *)data, len, arena, &manifest, &err) < 0)
		return 0;
	for (size_t i = 0; i < manifest.file_count; i++)
		rows += manifest.files[i].rows;
	assert(rows == manifest.rows);
	for (size_t i = 0; i < manifest.column_count; i++)
		assert(manifest.columns[i].name && manifest.columns[i].type);
	return 0;
}
