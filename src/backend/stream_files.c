#include "backend/stream_files.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "backend/stream_batch.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "os/sys.h"

enum { BASE_DIGITS = 20, WALK_BYTES = 256 * 1024, HEAD_VALUE_BITS = 48 };
static const char HEAD_MAGIC[8] = {'S', 'L', 'S', 'T', 'R', 'M', '0', '2'};
#define HEAD_VALUE_MAX ((UINT64_C(1) << HEAD_VALUE_BITS) - 1)

int sl_segment_path(char out[SL_PATH_MAX], const char *folder, int64_t base, const char *suffix, struct sl_error *err)
{
	char name[64];
	snprintf(name, sizeof name, "%020lld.%s", (long long)base, suffix);
	return sl_path_join(out, folder, name, err);
}

/* ---- the list of segments ---- */

static int take_segment(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct sl_segments *segments = context;
	char digits[BASE_DIGITS + 1] = {0};
	int64_t base;
	if (!info->is_regular || strlen(name) != BASE_DIGITS + 4 || !sl_str_ends(name, ".log"))
		return 0;
	memcpy(digits, name, BASE_DIGITS);
	if (strspn(digits, "0123456789") != BASE_DIGITS)
		return 0;
	errno = 0;
	base = strtoll(digits, NULL, 10);
	if (errno)
		return 0;
	if (segments->count == segments->cap) {
		size_t cap = segments->cap ? segments->cap * 2 : 16;
		int64_t *bases = sl_realloc(segments->bases, cap * sizeof *bases, err);
		if (!bases)
			return SL_E_NO_MEMORY;
		segments->bases = bases;
		segments->cap = cap;
	}
	segments->bases[segments->count++] = base; /* names of equal length come in the order of their numbers */
	return 0;
}

int sl_segments_list(const char *folder, struct sl_segments *ret, struct sl_error *err)
{
	*ret = (struct sl_segments){0};
	return sl_dir_each(folder, take_segment, ret, err);
}

void sl_segments_done(struct sl_segments *segments)
{
	sl_free(segments->bases);
	*segments = (struct sl_segments){0};
}

ptrdiff_t sl_segments_find(const struct sl_segments *segments, int64_t offset)
{
	size_t low = 0, high = segments->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (segments->bases[middle] <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return (ptrdiff_t)low - 1;
}

/* ---- the head ---- */

/* The low half of a CRC-32C over slot and value: a test flips every bit of many words to see that it differs each time. */
static uint64_t head_word(enum sl_head_slot slot, uint64_t value)
{
	unsigned char text[7] = {(unsigned char)slot};
	for (int i = 0; i < 6; i++)
		text[1 + i] = (unsigned char)(value >> 8 * i);
	return value | (uint64_t)(sl_crc32c(0, text, sizeof text) & 0xffff) << HEAD_VALUE_BITS;
}

int64_t sl_head_get(const struct sl_head *head, enum sl_head_slot slot)
{
	uint64_t word = atomic_load_explicit(&head->word[slot], memory_order_acquire);
	uint64_t value = word & HEAD_VALUE_MAX;
	if (!word && slot >= SL_HEAD_FAILED) /* a head from before these were kept */
		return 0;
	return word == head_word(slot, value) ? (int64_t)value : SL_E_CORRUPT;
}

void sl_head_set(struct sl_head *head, enum sl_head_slot slot, int64_t value)
{
	assert(value >= 0 && (uint64_t)value <= HEAD_VALUE_MAX);
	atomic_store_explicit(&head->word[slot], head_word(slot, (uint64_t)value), memory_order_release);
}

static int64_t this_boot;

static void read_boot_name(void)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(64);
	struct sl_hash hash;
	if (sl_file_read("/proc/sys/kernel/random/boot_id", &text, NULL) || !text.len)
		return;
	sl_sha256(text.data, text.len, &hash);
	this_boot = (int64_t)(sl_read_be64(hash.bytes) >> (64 - HEAD_VALUE_BITS));
}

/* 48 bits of the SHA-256 of the kernel's name of the present boot; 0 when it does not tell, and then only what was synced is
 * trusted. Several threads of the api role open streams at once. */
static int64_t boot_name(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, read_boot_name);
	return this_boot;
}

int sl_head_create(const char *folder, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	struct sl_head head = {0};
	memcpy(head.magic, HEAD_MAGIC, sizeof head.magic);
	sl_head_set(&head, SL_HEAD_END, 0);
	sl_head_set(&head, SL_HEAD_SYNCED, 0);
	sl_head_set(&head, SL_HEAD_BOOT, boot_name());
	int rc = sl_path_join(path, folder, "head", err);
	return rc ? rc : sl_file_replace(path, &head, sizeof head, 0644, err);
}

/* What is no offset: the magic, the boot, and the zeros behind. The offsets may change meanwhile, each by itself. */
static bool is_head(const struct sl_head *head)
{
	static const unsigned char zero[sizeof head->zero];
	return memcmp(head->magic, HEAD_MAGIC, sizeof head->magic) == 0 && memcmp(head->zero, zero, sizeof zero) == 0 &&
	       sl_head_get(head, SL_HEAD_BOOT) >= 0 && sl_head_get(head, SL_HEAD_SYNCED) >= 0 && sl_head_get(head, SL_HEAD_END) >= 0 &&
	       sl_head_get(head, SL_HEAD_FAILED) >= 0 && sl_head_get(head, SL_HEAD_REPAIRED) >= 0;
}

int sl_head_map(const char *folder, bool writable, struct sl_head **ret, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int fd SL_AUTO_CLOSE = -1;
	struct stat st;
	int rc = sl_path_join(path, folder, "head", err);
	if (!rc)
		rc = sl_file_open(path, writable ? O_RDWR : O_RDONLY, 0, &fd, err);
	if (rc)
		return rc;
	if (sl_sys->fstat(fd, &st))
		return sl_fail_errno(err, errno, path, "cannot look at it");
	if (st.st_size != sizeof(struct sl_head))
		return sl_fail_at(err, SL_E_CORRUPT, path, "is %lld bytes long, not %zu", (long long)st.st_size,
				  sizeof(struct sl_head));
	void *map = sl_sys->mmap(NULL, sizeof(struct sl_head), writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return sl_fail_errno(err, errno, path, "cannot map");
	struct sl_head *head SL_AUTO_HEAD = map;
	if (!is_head(head))
		return sl_fail_at(err, SL_E_CORRUPT, path, "is not the head of a stream as it was written");
	*ret = SL_TAKE(head);
	return 0;
}

void sl_head_unmap(struct sl_head **head)
{
	if (*head)
		sl_sys->munmap(*head, sizeof **head);
	*head = NULL;
}

static bool is_this_boot(const struct sl_head *head) { return boot_name() && sl_head_get(head, SL_HEAD_BOOT) == boot_name(); }

int64_t sl_head_trusted(const struct sl_head *head)
{
	return sl_head_get(head, is_this_boot(head) ? SL_HEAD_END : SL_HEAD_SYNCED);
}

int sl_head_check(const struct sl_head *head, const char *folder, int64_t *ret, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int64_t trusted = sl_head_trusted(head);
	if (trusted >= 0) {
		*ret = trusted;
		return 0;
	}
	snprintf(path, sizeof path, "%.3900s/head", folder);
	return sl_fail_at(err, SL_E_CORRUPT, path, "its offset is not what was written");
}

void sl_head_adopt(struct sl_head *head, int64_t end_offset)
{
	bool rebooted = !is_this_boot(head);
	if (rebooted) { /* it was read from the disk, so it is on the disk */
		sl_head_set(head, SL_HEAD_SYNCED, end_offset);
		sl_head_set(head, SL_HEAD_FAILED, 0);
		sl_head_set(head, SL_HEAD_REPAIRED, 0);
	}
	sl_head_set(head, SL_HEAD_END, end_offset);
	if (rebooted)
		sl_head_set(head, SL_HEAD_BOOT, boot_name());
}

/* ---- the index ---- */

void sl_index_encode(const struct sl_index_entry *entry, unsigned char out[SL_INDEX_ENTRY])
{
	sl_write_be64(out, (uint64_t)entry->max_time_ms);
	sl_write_be32(out + 8, entry->relative_offset);
	sl_write_be32(out + 12, entry->position);
	sl_write_be32(out + 16, sl_crc32c(0, out, 16));
}

static bool decode_entry(const unsigned char *p, struct sl_index_entry *ret)
{
	if (sl_read_be32(p + 16) != sl_crc32c(0, p, 16))
		return false;
	*ret = (struct sl_index_entry){
		.max_time_ms = (int64_t)sl_read_be64(p), .relative_offset = sl_read_be32(p + 8),
		.position = sl_read_be32(p + 12)};
	return true;
}

int sl_index_load(const char *folder, int64_t base, struct sl_index *ret, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	struct sl_buf bytes SL_AUTO_BUF = SL_BUF_INIT(SL_INDEX_FILE_MAX);
	*ret = (struct sl_index){0};
	int rc = sl_segment_path(path, folder, base, "index", err);
	if (rc)
		return rc;
	if (sl_file_read(path, &bytes, NULL) || bytes.len < SL_INDEX_ENTRY)
		return 0;
	ret->entries = sl_alloc_array(bytes.len / SL_INDEX_ENTRY, sizeof *ret->entries, err);
	if (!ret->entries)
		return SL_E_NO_MEMORY;
	for (size_t at = 0; at + SL_INDEX_ENTRY <= bytes.len; at += SL_INDEX_ENTRY) {
		struct sl_index_entry *entry = &ret->entries[ret->count];
		if (!decode_entry((const unsigned char *)bytes.data + at, entry))
			break;
		if (ret->count && (entry->position <= entry[-1].position || entry->relative_offset <= entry[-1].relative_offset))
			break;
		ret->count++;
	}
	return 0;
}

void sl_index_done(struct sl_index *index)
{
	sl_free(index->entries);
	*index = (struct sl_index){0};
}

/* ---- seals ---- */

void sl_seal_text(const struct sl_seal *seal, struct sl_buf *out)
{
	char hex[SL_HASH_HEX + 1];
	size_t from = out->len;
	sl_buf_printf(out, "{\"base_offset\":%lld,\"batches\":%lld,\"bytes\":%llu,\"end_offset\":%lld,",
		      (long long)seal->base_offset, (long long)seal->batches, (unsigned long long)seal->bytes,
		      (long long)seal->end_offset);
	sl_buf_printf(out, "\"max_time_ms\":%lld,\"min_time_ms\":%lld,\"sha256\":\"%s\"",
		      (long long)seal->max_time_ms, (long long)seal->min_time_ms, sl_hash_hex(&seal->digest, hex));
	sl_buf_printf(out, ",\"crc32c\":\"%08x\"}\n", sl_crc32c(0, sl_buf_cstr(out) + from, out->len - from));
}

int sl_seal_write(const char *folder, const struct sl_seal *seal, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(SL_SEAL_FILE_MAX);
	int rc = sl_segment_path(path, folder, seal->base_offset, "sealed", err);
	if (rc)
		return rc;
	sl_seal_text(seal, &text);
	rc = sl_buf_check(&text, path, err);
	return rc ? rc : sl_file_replace(path, text.data, text.len, 0444, err);
}

int sl_seal_read(const char *folder, int64_t base, struct sl_seal *ret, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(SL_SEAL_FILE_MAX);
	int rc = sl_segment_path(path, folder, base, "sealed", err);
	if (!rc)
		rc = sl_file_read(path, &text, err);
	if (rc)
		return rc;
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(sl_buf_cstr(&text), text.len, path, err);
	if (!doc)
		return SL_E_CORRUPT;
	yyjson_val *root = yyjson_doc_get_root(doc);
	*ret = (struct sl_seal){
		.base_offset = sl_json_int(root, "base_offset", -1), .end_offset = sl_json_int(root, "end_offset", -1),
		.batches = sl_json_int(root, "batches", -1), .bytes = (uint64_t)sl_json_int(root, "bytes", -1),
		.min_time_ms = sl_json_int(root, "min_time_ms", INT64_MAX),
		.max_time_ms = sl_json_int(root, "max_time_ms", INT64_MIN),
	};
	struct sl_buf again SL_AUTO_BUF = SL_BUF_INIT(SL_SEAL_FILE_MAX);
	bool ok = ret->base_offset == base && ret->end_offset >= base && sl_hash_parse(sl_json_str(root, "sha256", ""), &ret->digest);
	if (ok)
		sl_seal_text(ret, &again);
	if (!ok || again.len != text.len || memcmp(again.data, text.data, text.len))
		return sl_fail_at(err, SL_E_CORRUPT, path, "is not the seal of this segment as it was written");
	return 0;
}

/* ---- walking a segment ---- */

int sl_cursor_open(struct sl_cursor *cursor, const char *folder, int64_t base, uint64_t position, int64_t offset,
		   struct sl_error *err)
{
	sl_file_close(&cursor->fd);
	sl_cursor_forget(cursor);
	int rc = sl_segment_path(cursor->path, folder, base, "log", err);
	if (!rc)
		rc = sl_file_open(cursor->path, O_RDONLY, 0, &cursor->fd, err);
	cursor->position = position;
	cursor->offset = offset;
	return rc;
}

void sl_cursor_close(struct sl_cursor *cursor)
{
	sl_file_close(&cursor->fd);
	sl_free(cursor->data);
	*cursor = (struct sl_cursor)SL_CURSOR_INIT;
}

void sl_cursor_forget(struct sl_cursor *cursor) { cursor->begin = cursor->end = 0; }

void sl_cursor_pass(struct sl_cursor *cursor, const struct sl_batch *batch)
{
	assert(cursor->end - cursor->begin >= batch->size);
	cursor->begin += batch->size;
	cursor->position += batch->size;
	cursor->offset += batch->count;
}

static int cursor_room(struct sl_cursor *cursor, size_t need, struct sl_error *err)
{
	if (cursor->begin) { /* once per piece read, not per batch */
		memmove(cursor->data, cursor->data + cursor->begin, cursor->end - cursor->begin);
		cursor->end -= cursor->begin;
		cursor->begin = 0;
	}
	if (need <= cursor->cap)
		return 0;
	size_t cap = need + WALK_BYTES;
	unsigned char *data = sl_realloc(cursor->data, cap, err);
	if (!data)
		return SL_E_NO_MEMORY;
	cursor->data = data;
	cursor->cap = cap;
	return 0;
}

/* Makes `need` bytes from the position available, or as many as the file has. */
static int cursor_fill(struct sl_cursor *cursor, size_t need, struct sl_error *err)
{
	if (cursor->end - cursor->begin >= need)
		return 0;
	int rc = cursor_room(cursor, need, err);
	while (!rc && cursor->end < need) {
		ssize_t n = sl_sys->pread(cursor->fd, cursor->data + cursor->end, cursor->cap - cursor->end,
					  (off_t)(cursor->position + cursor->end));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return sl_fail_errno(err, errno, cursor->path, "cannot read");
		if (n == 0)
			return 0;
		cursor->end += (size_t)n;
	}
	return rc;
}

/* Whether what the cursor has looks like space that was never written. */
static bool unwritten(const struct sl_cursor *cursor)
{
	size_t have = cursor->end - cursor->begin;
	for (size_t i = 0; i < have && i < SL_BATCH_HEAD; i++)
		if (cursor->data[cursor->begin + i])
			return false;
	return true;
}

int sl_cursor_look(struct sl_cursor *cursor, struct sl_batch *ret, const unsigned char **ret_data, const char **ret_why,
		   struct sl_error *err)
{
	enum sl_batch_state state = SL_BATCH_SHORT;
	size_t need = SL_BATCH_HEAD;
	while (state == SL_BATCH_SHORT) {
		int rc = cursor_fill(cursor, need, err);
		if (rc)
			return rc;
		size_t have = cursor->end - cursor->begin;
		*ret_why = "the file ends inside it";
		if (have >= SL_BATCH_HEAD || !have)
			state = have ? sl_batch_look(cursor->data + cursor->begin, have, ret, ret_why) : SL_BATCH_BAD;
		if (state == SL_BATCH_SHORT && have < need)
			break;
		need = ret->size;
	}
	if (state == SL_BATCH_GOOD && ret->base_offset == cursor->offset) {
		*ret_data = cursor->data + cursor->begin;
		return 1;
	}
	if (state == SL_BATCH_GOOD)
		*ret_why = "it carries another offset";
	else if (unwritten(cursor))
		*ret_why = "";
	return 0;
}
