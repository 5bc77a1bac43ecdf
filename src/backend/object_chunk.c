#include "backend/object_chunk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "os/crew.h"
#include "os/sys.h"

enum { BLOCK_BYTES = 32 << 20, LIST_BYTES_MAX = 256 << 20, BLOCK_CHUNKS_MAX = BLOCK_BYTES / CHUNK_MIN + 2 };
#define LIST_MAGIC "sluice.chunks/1 "

/* ---- cutting -------------------------------------------------------------------------------------------------------- */

static uint64_t gear[256];
static pthread_once_t gear_once = PTHREAD_ONCE_INIT;

/* splitmix64 from 1: any table of random numbers does, and this one needs no listing. */
static void make_gear(void)
{
	uint64_t state = 1;
	for (int i = 0; i < 256; i++) {
		uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
		z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
		gear[i] = z ^ z >> 31;
	}
}

/* The high bits depend on the last 64 bytes. 2^21 and 2^19 bytes between marks on average, before and behind NORMAL. */
#define MASK_BEFORE (~UINT64_C(0) << (64 - 21))
#define MASK_BEHIND (~UINT64_C(0) << (64 - 19))

size_t object_cut(const unsigned char *data, size_t len)
{
	size_t i = CHUNK_MIN - 64, normal = len < CHUNK_NORMAL ? len : CHUNK_NORMAL, end = len < CHUNK_MAX ? len : CHUNK_MAX;
	uint64_t h = 0;
	pthread_once(&gear_once, make_gear);
	if (len <= CHUNK_MIN)
		return len;
	for (; i < CHUNK_MIN; i++)
		h = (h << 1) + gear[data[i]];
	for (; i < normal; i++) {
		h = (h << 1) + gear[data[i]];
		if (!(h & MASK_BEFORE))
			return i + 1;
	}
	for (; i < end; i++) {
		h = (h << 1) + gear[data[i]];
		if (!(h & MASK_BEHIND))
			return i + 1;
	}
	return end;
}

/* ---- keeping -------------------------------------------------------------------------------------------------------- */

/* A block of the file: [0, carried) is left of the block before, hashed as part of the file but not yet cut. */
struct chunking {
	struct sl_batch *batch;
	struct sl_sha256 *sha;
	unsigned char *data;
	size_t carried, len;
	size_t starts[BLOCK_CHUNKS_MAX + 1], count;
	struct object_chunk chunks[BLOCK_CHUNKS_MAX];
	struct sl_buf list;
};

/* Number 0 hashes the file on, the others keep a chunk each: the file's own hash is as much work as all of the chunks'. */
static int work(void *context, size_t i, int worker, struct sl_error *err)
{
	struct chunking *c = context;
	(void)worker;
	if (i == 0) {
		sl_sha256_add(c->sha, c->data + c->carried, c->len - c->carried);
		return 0;
	}
	struct object_chunk *chunk = &c->chunks[i - 1];
	chunk->size_bytes = c->starts[i] - c->starts[i - 1];
	return object_batch_loose(c->batch, c->data + c->starts[i - 1], chunk->size_bytes, &chunk->hash, err);
}

static int fill(struct chunking *c, const struct sl_put_source *source, uint64_t *at, bool *ret_end, struct sl_error *err)
{
	while (c->len < BLOCK_BYTES) {
		ssize_t n = sl_sys->pread(source->fd, c->data + c->len, BLOCK_BYTES - c->len, (off_t)*at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return sl_fail_errno(err, errno, source->name, "cannot read");
		if (n == 0) {
			*ret_end = true;
			return 0;
		}
		c->len += (size_t)n;
		*at += (uint64_t)n;
	}
	return 0;
}

static void cut_block(struct chunking *c, bool end)
{
	size_t at = 0;
	c->count = 0;
	c->starts[0] = 0;
	/* A cut depends on up to CHUNK_MAX bytes, so the last of a block waits for the next block. */
	while (at < c->len && (end || c->len - at >= CHUNK_MAX)) {
		at += object_cut(c->data + at, c->len - at);
		c->starts[++c->count] = at;
	}
}

static int keep_block(struct chunking *c, struct sl_crew *crew, bool end, struct sl_error *err)
{
	char hex[SL_HASH_HEX + 1];
	cut_block(c, end);
	int rc = sl_crew_run(crew, c->count + 1, work, c, err);
	for (size_t i = 0; !rc && i < c->count; i++)
		sl_buf_printf(&c->list, "%s %llu\n", sl_hash_hex(&c->chunks[i].hash, hex), (unsigned long long)c->chunks[i].size_bytes);
	size_t used = c->starts[c->count];
	memmove(c->data, c->data + used, c->len - used);
	c->len -= used;
	c->carried = c->len;
	return rc ? rc : sl_buf_check(&c->list, "the list of a file's chunks", err);
}

static int chunk_all(struct chunking *c, struct sl_crew *crew, const struct sl_put_source *source, struct sl_hash *ret,
		     struct sl_error *err)
{
	uint64_t at = 0;
	bool end = false;
	sl_buf_printf(&c->list, LIST_MAGIC "%llu\n", (unsigned long long)source->seen->size_bytes);
	int rc = 0;
	while (!rc && !end) {
		rc = fill(c, source, &at, &end, err);
		rc = rc ? rc : keep_block(c, crew, end, err);
	}
	rc = rc ? rc : object_check_unchanged(source->fd, source->name, source->seen, at, err);
	if (rc)
		return rc;
	sl_sha256_end(c->sha, ret);
	return object_batch_list(c->batch, ret, c->list.data, c->list.len, err);
}

int object_chunk_file(struct sl_batch *batch, const struct sl_put_source *source, struct sl_hash *ret, struct sl_error *err)
{
	struct sl_crew *crew SL_CLEANUP(sl_crew_freep) = NULL;
	struct chunking *c = sl_alloc(sizeof *c, err);
	if (!c)
		return SL_E_NO_MEMORY;
	c->batch = batch;
	c->list = (struct sl_buf)SL_BUF_INIT(LIST_BYTES_MAX);
	c->sha = sl_sha256_new(err);
	c->data = c->sha ? sl_alloc(BLOCK_BYTES, err) : NULL;
	int rc = c->data ? sl_crew_new(0, &crew, err) : SL_E_NO_MEMORY;
	rc = rc ? rc : chunk_all(c, crew, source, ret, err);
	sl_sha256_free(c->sha);
	sl_free(c->data);
	sl_buf_done(&c->list);
	sl_free(c);
	return rc;
}

/* ---- reading a list ------------------------------------------------------------------------------------------------- */

static int bad_list(const char *path, struct sl_error *err)
{
	sl_fail_at(err, SL_E_CORRUPT, path, "the list of a file's chunks was changed");
	return sl_error_hint(err, "put back the file from a backup");
}

/* "<64 hex> <size>\n"; returns what follows, or NULL. */
static const char *read_chunk(const char *at, struct object_chunk *ret)
{
	char hex[SL_HASH_HEX + 1], *end;
	if (strnlen(at, SL_HASH_HEX + 2) < SL_HASH_HEX + 2 || at[SL_HASH_HEX] != ' ')
		return NULL;
	memcpy(hex, at, SL_HASH_HEX);
	hex[SL_HASH_HEX] = 0;
	ret->size_bytes = strtoull(at + SL_HASH_HEX + 1, &end, 10);
	bool ok = sl_hash_parse(hex, &ret->hash) && *end == '\n' && ret->size_bytes && ret->size_bytes <= CHUNK_MAX;
	return ok ? end + 1 : NULL;
}

int object_chunks_read(struct sl_objects *objects, const struct sl_hash *hash, struct object_chunk **ret, size_t *ret_count,
		       uint64_t *ret_size, struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(LIST_BYTES_MAX);
	char path[SL_PATH_MAX], *end;
	object_chunks_path(objects, hash, path);
	int rc = sl_file_read(path, &text, err);
	if (rc)
		return rc;
	if (!sl_str_starts(sl_buf_cstr(&text), LIST_MAGIC) || strlen(text.data) != text.len)
		return bad_list(path, err);
	*ret_size = strtoull(text.data + sizeof LIST_MAGIC - 1, &end, 10);
	if (*end++ != '\n')
		return bad_list(path, err);
	size_t lines = 0;
	uint64_t sum = 0;
	for (const char *p = end; (p = strchr(p, '\n')); p++)
		lines++;
	struct object_chunk *chunks SL_AUTO_FREE = sl_alloc_array(lines + 1, sizeof *chunks, err);
	if (!chunks)
		return SL_E_NO_MEMORY;
	const char *at = end;
	for (size_t i = 0; i < lines && at; i++) {
		at = read_chunk(at, &chunks[i]);
		sum += chunks[i].size_bytes;
	}
	if (!at || *at || sum != *ret_size)
		return bad_list(path, err);
	if (ret) {
		*ret = SL_TAKE(chunks);
		*ret_count = lines;
	}
	return 0;
}
