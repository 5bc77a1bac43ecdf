#include "base/mem.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_ALIGN = 16, ARENA_BLOCK_BYTES = 16 * 1024 };
#define ARENA_LIMIT_DEFAULT ((size_t)1 << 30)

static struct sl_allocator allocator_now;

void sl_allocator_set(struct sl_allocator allocator) { allocator_now = allocator; }

static void *raw_realloc(void *old, size_t size_bytes)
{
	if (allocator_now.realloc)
		return allocator_now.realloc(allocator_now.context, old, size_bytes);
	return realloc(old, size_bytes);
}

void *sl_alloc(size_t size_bytes, struct sl_error *err)
{
	/* calloc where nothing is replaced: the kernel's fresh pages are zero already. */
	void *p = allocator_now.realloc ? raw_realloc(NULL, size_bytes ? size_bytes : 1) : calloc(1, size_bytes ? size_bytes : 1);
	if (!p) {
		sl_fail_memory(err);
		return NULL;
	}
	if (allocator_now.realloc)
		memset(p, 0, size_bytes);
	return p;
}

void *sl_alloc_array(size_t count, size_t size_bytes, struct sl_error *err)
{
	if (size_bytes && count > SIZE_MAX / size_bytes) {
		sl_fail_memory(err);
		return NULL;
	}
	return sl_alloc(count * size_bytes, err);
}

void *sl_realloc(void *old, size_t size_bytes, struct sl_error *err)
{
	void *p = raw_realloc(old, size_bytes ? size_bytes : 1);
	if (!p)
		sl_fail_memory(err);
	return p;
}

char *sl_strdup(const char *text, struct sl_error *err)
{
	size_t size = strlen(text) + 1;
	char *copy = sl_alloc(size, err);
	if (copy)
		memcpy(copy, text, size);
	return copy;
}

void sl_free(void *p) { free(p); }
void sl_freep(void *pp) { free(*(void **)pp); }

struct block {
	struct block *next;
	size_t size, used; /* of data */
	_Alignas(ARENA_ALIGN) char data[];
};

struct sl_arena {
	struct block *blocks; /* newest first */
	size_t total, limit;  /* bytes in all blocks */
};

struct sl_arena *sl_arena_new(size_t limit_bytes, struct sl_error *err)
{
	struct sl_arena *arena = sl_alloc(sizeof *arena, err);
	if (arena)
		arena->limit = limit_bytes ? limit_bytes : ARENA_LIMIT_DEFAULT;
	return arena;
}

static void free_blocks(struct block *b)
{
	while (b) {
		struct block *next = b->next;
		sl_free(b);
		b = next;
	}
}

void sl_arena_free(struct sl_arena *arena)
{
	if (!arena)
		return;
	free_blocks(arena->blocks);
	sl_free(arena);
}

void sl_arena_freep(struct sl_arena **arena) { sl_arena_free(*arena); }

void sl_arena_reset(struct sl_arena *arena)
{
	/* Keeps the newest block: a request arena settles on one block and then allocates nothing. */
	struct block *keep = arena->blocks;
	if (!keep)
		return;
	free_blocks(keep->next);
	keep->next = NULL;
	keep->used = 0;
	arena->total = keep->size;
}

size_t sl_arena_used(const struct sl_arena *arena)
{
	size_t used = 0;
	for (const struct block *b = arena->blocks; b; b = b->next)
		used += b->used;
	return used;
}

static struct block *add_block(struct sl_arena *arena, size_t need)
{
	size_t size = need > ARENA_BLOCK_BYTES ? need : ARENA_BLOCK_BYTES;
	if (arena->blocks && arena->blocks->size * 2 > size && arena->blocks->size < ((size_t)1 << 20))
		size = arena->blocks->size * 2;
	if (size > arena->limit - arena->total)
		size = need;
	if (need > arena->limit - arena->total)
		return NULL;
	struct block *b = raw_realloc(NULL, sizeof *b + size);
	if (!b)
		return NULL;
	*b = (struct block){.next = arena->blocks, .size = size};
	arena->blocks = b;
	arena->total += size;
	return b;
}

void *sl_arena_alloc(struct sl_arena *arena, size_t size_bytes)
{
	if (size_bytes > arena->limit)
		return NULL;
	size_t need = (size_bytes + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
	struct block *b = arena->blocks;
	if (!b || b->size - b->used < need)
		b = add_block(arena, need);
	if (!b)
		return NULL;
	void *p = b->data + b->used;
	b->used += need;
	assert(b->used <= b->size);
	return memset(p, 0, size_bytes);
}

void *sl_arena_array(struct sl_arena *arena, size_t count, size_t size_bytes)
{
	if (size_bytes && count > SIZE_MAX / size_bytes)
		return NULL;
	return sl_arena_alloc(arena, count * size_bytes);
}

char *sl_arena_strndup(struct sl_arena *arena, const char *text, size_t len)
{
	char *copy = sl_arena_alloc(arena, len + 1);
	if (copy)
		memcpy(copy, text, len);
	return copy;
}

char *sl_arena_strdup(struct sl_arena *arena, const char *text) { return sl_arena_strndup(arena, text, strlen(text)); }

char *sl_arena_printf(struct sl_arena *arena, const char *format, ...)
{
	va_list args, again;
	va_start(args, format);
	va_copy(again, args);
	int len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	char *text = len < 0 ? NULL : sl_arena_alloc(arena, (size_t)len + 1);
	if (text)
		vsnprintf(text, (size_t)len + 1, format, again);
	va_end(again);
	return text;
}
