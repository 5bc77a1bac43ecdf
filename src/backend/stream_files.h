/* The files of one stream's folder: names, the shared head, the sparse index, the seals (docs/formats/stream.md). */
#ifndef SL_BACKEND_STREAM_FILES_H
#define SL_BACKEND_STREAM_FILES_H

#include <stdatomic.h>

#include "backend/stream_batch.h"
#include "os/file.h"
#include "port/stream.h"

/* "<folder>/<20 digits>.<suffix>" */
int sl_segment_path(char out[SL_PATH_MAX], const char *folder, int64_t base, const char *suffix, struct sl_error *err);

/* Base offsets of the segments there, ascending. */
struct sl_segments {
	int64_t *bases;
	size_t count, cap;
};
int sl_segments_list(const char *folder, struct sl_segments *ret, struct sl_error *err);
void sl_segments_done(struct sl_segments *segments);
#define SL_AUTO_SEGMENTS SL_CLEANUP(sl_segments_done)
/* Index of the last segment that begins at or before `offset`; -1 when there is none. */
ptrdiff_t sl_segments_find(const struct sl_segments *segments, int64_t offset);

/* The file "head", mapped shared by the writer and every reader. Each word carries 48 bits and their own checksum, so that one
 * store changes both and a flipped bit is never taken for an offset. A reader that sees an end offset sees the batches before it,
 * because the writer stores it last (release) and both look at the same pages. */
enum sl_head_slot { SL_HEAD_END, SL_HEAD_SYNCED, SL_HEAD_BOOT, SL_HEAD_FAILED, SL_HEAD_REPAIRED, SL_HEAD_SLOTS };
struct sl_head {
	char magic[8];
	/* END: offset that was acknowledged; SYNCED: what survives power loss; BOOT: of the machine when the writer opened it: END
	 * counts only on the same one. FAILED: how many syncs have failed, and REPAIRED: as of which of them everything was written
	 * again (stream_sync.h); both may be plain zeros. Little-endian. */
	_Atomic uint64_t word[SL_HEAD_SLOTS];
	unsigned char zero[16];
};
int sl_head_create(const char *folder, struct sl_error *err);
/* SL_E_CORRUPT for a head of which a bit was flipped. */
int sl_head_map(const char *folder, bool writable, struct sl_head **ret, struct sl_error *err);
void sl_head_unmap(struct sl_head **head);
#define SL_AUTO_HEAD SL_CLEANUP(sl_head_unmap)
/* A word's value, or SL_E_CORRUPT (negative) when its checksum differs. */
int64_t sl_head_get(const struct sl_head *head, enum sl_head_slot slot);
/* `value` below 2^48 (asserted). */
void sl_head_set(struct sl_head *head, enum sl_head_slot slot, int64_t value);
/* Everything before this offset must be there and good; SL_E_CORRUPT when the head is damaged. */
int64_t sl_head_trusted(const struct sl_head *head);
/* The same with `err` filled; *ret only when 0. */
int sl_head_check(const struct sl_head *head, const char *folder, int64_t *ret, struct sl_error *err);
/* The writer's word after recovery: everything before `end_offset` is there, on this boot. */
void sl_head_adopt(struct sl_head *head, int64_t end_offset);

/* One point of the sparse index. */
struct sl_index_entry {
	int64_t max_time_ms; /* newest time of all records before it in its segment; INT64_MIN when there are none */
	uint32_t relative_offset, position;
};
enum { SL_INDEX_ENTRY = 20, SL_INDEX_EVERY = 32 * 1024, SL_INDEX_FILE_MAX = 1 << 20, SL_SEAL_FILE_MAX = 4096 };
void sl_index_encode(const struct sl_index_entry *entry, unsigned char out[SL_INDEX_ENTRY]);
/* The good entries of a segment's index, in order, as far as they go; a missing or damaged index only costs time. */
struct sl_index { struct sl_index_entry *entries; size_t count; };
int sl_index_load(const char *folder, int64_t base, struct sl_index *ret, struct sl_error *err);
void sl_index_done(struct sl_index *index);
#define SL_AUTO_INDEX SL_CLEANUP(sl_index_done)

/* A finished segment. */
struct sl_seal {
	int64_t base_offset, end_offset, batches, min_time_ms, max_time_ms;
	uint64_t bytes;
	struct sl_hash digest; /* SHA-256 of the .log file */
};
/* The .sealed file's one line. */
void sl_seal_text(const struct sl_seal *seal, struct sl_buf *out);
int sl_seal_write(const char *folder, const struct sl_seal *seal, struct sl_error *err);
/* SL_E_NOT_FOUND when the segment is not sealed. */
int sl_seal_read(const char *folder, int64_t base, struct sl_seal *ret, struct sl_error *err);

/* Proves segment `base` up to offset `must`, record by record, and against the entries of `index` (NULL: none), and measures it;
 * with `digest`, hashes its bytes. */
int sl_segment_measure(const char *folder, int64_t base, int64_t must, const struct sl_index *index, bool digest,
		       struct sl_seal *ret, struct sl_error *err);

/* A walk over one segment's batches, which proves each. */
struct sl_cursor {
	int fd; /* -1: not open */
	char path[SL_PATH_MAX];
	unsigned char *data;    /* bytes [begin, end) of it stand for the file from `position` on */
	size_t begin, end, cap;
	uint64_t position;
	int64_t offset;         /* of the batch that must stand at the position */
};
#define SL_CURSOR_INIT {.fd = -1}
/* Opens the segment `base` with the batch of `offset` at `position`. A cursor that is open is moved there and keeps
 * its memory. */
int sl_cursor_open(struct sl_cursor *cursor, const char *folder, int64_t base, uint64_t position, int64_t offset,
		   struct sl_error *err);
void sl_cursor_close(struct sl_cursor *cursor);
#define SL_AUTO_CURSOR SL_CLEANUP(sl_cursor_close)
/* 1 with the good batch at the cursor, which stays there (*ret_data lives until the next call); 0 when there is none: *ret_why
 * says what stands there instead, "" for the end of the file or unwritten bytes. Negative: the machine refused. */
int sl_cursor_look(struct sl_cursor *cursor, struct sl_batch *ret, const unsigned char **ret_data, const char **ret_why,
		   struct sl_error *err);
void sl_cursor_pass(struct sl_cursor *cursor, const struct sl_batch *batch);
/* Drops what was read ahead: the writer may have changed it since. */
void sl_cursor_forget(struct sl_cursor *cursor);

#endif
