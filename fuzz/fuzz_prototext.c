/* Text protobuf from anywhere. What is read can be walked, and written again in quotes reads the same. */
#include <assert.h>
#include <string.h>

#include "base/prototext.h"

static size_t walk(const struct sl_prototext *message)
{
	size_t count = 0;
	for (const struct sl_prototext *f = message->first; f; f = f->next) {
		int64_t whole;
		double number;
		bool flag;
		assert(f->mark.line > 0 && f->mark.column > 0 && *f->name);
		assert(strlen(f->text) == f->len);
		if (sl_prototext_int(f, &whole))
			assert(f->kind == SL_PROTOTEXT_NUMBER);
		sl_prototext_double(f, &number);
		sl_prototext_bool(f, &flag);
		assert(sl_prototext_get(message, f->name) != NULL);
		count += 1 + (f->kind == SL_PROTOTEXT_MESSAGE ? walk(f) : 0);
	}
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sl_error err;
	const struct sl_prototext *root;
	struct sl_arena *arena = sl_arena_new(0, NULL);
	assert(arena);
	if (sl_prototext_parse((const char *)data, len, "input", arena, &root, &err) == 0)
		assert(walk(root) <= len);
	else
		assert(*err.message);
	sl_arena_free(arena);
	return 0;
}
