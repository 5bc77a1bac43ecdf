/* Memory: one seam for every allocation of ours, scope-bound cleanup, and arenas.
 *
 * Ownership is one sentence per header elsewhere; here are the words it is written in:
 *   SL_CLEANUP(f) T *x = ...;   f(&x) runs when x leaves its scope
 *   return SL_TAKE(x);          hands x on: the scope's x becomes NULL, so its cleanup does nothing
 */
#ifndef SL_BASE_MEM_H
#define SL_BASE_MEM_H

#include <stdarg.h>
#include <stddef.h>

#include "base/error.h"

#define SL_CLEANUP(function) __attribute__((cleanup(function)))
#define SL_TAKE(pointer) __extension__({ __typeof__(pointer) taken_ = (pointer); (pointer) = NULL; taken_; })
#define SL_ARRAY_LEN(a) (sizeof(a) / sizeof *(a))

/* Zeroed memory, or NULL with `err` filled (SL_E_NO_MEMORY). `err` may be NULL. Free with sl_free. */
void *sl_alloc(size_t size_bytes, struct sl_error *err);
/* `count` x `size_bytes`, overflow checked. */
void *sl_alloc_array(size_t count, size_t size_bytes, struct sl_error *err);
/* Grows or shrinks; the old block stays valid on failure. New bytes are not zeroed. */
void *sl_realloc(void *old, size_t size_bytes, struct sl_error *err);
char *sl_strdup(const char *text, struct sl_error *err);
void sl_free(void *p); /* NULL is fine */
void sl_freep(void *pp); /* for SL_CLEANUP: frees *(void **)pp */
#define SL_AUTO_FREE SL_CLEANUP(sl_freep)

/* Tests replace the allocator to fail the n-th call. NULL members mean the C library's. Not thread-safe: set it first. */
struct sl_allocator {
	void *(*realloc)(void *context, void *old, size_t size_bytes);
	void *context;
};
void sl_allocator_set(struct sl_allocator allocator);

/* An arena: many small pieces with one end. Everything that it gave lives until reset or free. Not thread-safe. */
struct sl_arena;
struct sl_arena *sl_arena_new(size_t limit_bytes, struct sl_error *err); /* limit 0: 1 GiB */
void sl_arena_free(struct sl_arena *arena);
void sl_arena_freep(struct sl_arena **arena);
void sl_arena_reset(struct sl_arena *arena);
size_t sl_arena_used(const struct sl_arena *arena);
/* Zeroed, aligned to 16. NULL when memory is out or the limit is reached. */
void *sl_arena_alloc(struct sl_arena *arena, size_t size_bytes);
void *sl_arena_array(struct sl_arena *arena, size_t count, size_t size_bytes);
char *sl_arena_strdup(struct sl_arena *arena, const char *text);
char *sl_arena_strndup(struct sl_arena *arena, const char *text, size_t len);
char *sl_arena_printf(struct sl_arena *arena, const char *format, ...) SL_PRINTF(2, 3);

#endif
