/* YAML: any bytes are read or refused within the limits; of what was read every text, mark and weight can be looked at. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/yaml.h"

static size_t walk(const struct sl_yaml *node, int depth)
{
	size_t weight = 1;

	assert(depth <= SL_YAML_DEPTH_MAX && node->mark.line >= 1 && node->mark.column >= 1);
	assert(strlen(node->text) == 0 || node->kind == SL_YAML_SCALAR);
	for (size_t i = 0; i < node->count; i++) {
		const struct sl_yaml_entry *entry = &node->entries[i];
		assert((entry->key != NULL) == (node->kind == SL_YAML_MAP));
		if (entry->key)
			assert(sl_yaml_get(node, entry->key->text) == entry->value);
		weight += walk(entry->value, depth + 1);
	}
	return weight;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sl_error err;
	const struct sl_yaml *root;
	SL_CLEANUP(sl_arena_freep) struct sl_arena *arena = sl_arena_new(0, &err);

	assert(arena);
	if (sl_yaml_parse((const char *)data, len, "input", arena, &root, &err) == 0)
		assert(walk(root, 0) <= SL_YAML_NODES_MAX);
	return 0;
}
