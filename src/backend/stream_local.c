/* The stream port on own segments: writer and reader. What may wait for the disk is in stream_maintain.c.
 *
 * The writer keeps a window of the segment mapped and writes batches straight into it. Space is allocated before it is mapped,
 * so a full disk is an error of append and never a signal. Measured for 295-byte batches on ext4: 0.35-0.66 us through the
 * window, 1.1-1.9 us with pwrite; a window of 1 MiB beat 256 KiB and 4 MiB, and is all that the process's memory grows by.
 */
#include "port/stream.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/stream_batch.h"
#include "backend/stream_files.h"
#include "backend/stream_sync.h"
#include "base/mem.h"
#include "base/str.h"
#include "os/sys.h"

enum { WINDOW_BYTES = 1 << 20, PAGE = 4096, SKIP_FORWARD = 4096 };
static const uint64_t SEGMENT_DEFAULT = 64u << 20, SEGMENT_LEAST = 4096, SEGMENT_MOST = 1u << 30;

struct writer {
	int lock, fd, index_fd;
	int64_t base;             /* of the segment that is written */
	uint64_t position;        /* end of the good bytes in it */
	int64_t next;             /* offset of the next record */
	unsigned char *window;    /* bytes [window_at, window_at + window_len) of the segment */
	uint64_t window_at;
	size_t window_len;
	uint64_t indexed_at;      /* position of the last index entry, 0 before the first */
	uint64_t index_len;       /* bytes of the index file */
	int64_t max_time_ms;      /* of the segment's records */
	uint64_t segment_bytes;
};

struct sl_stream {
	char folder[SL_PATH_MAX];
	struct sl_head *head;
	struct sl_cursor cursor;  /* reading: stands at a batch, or is closed */
	struct writer *writer;    /* NULL for a reader */
};

/* ---- the writer's segment ---- */

/* Room for bytes [position, end), which were never written. Not every file system can allocate ahead; writing zeros does the
 * same, slower. */
static int allocate(int fd, uint64_t position, uint64_t end, const char *path, struct sl_error *err)
{
	static const unsigned char zeros[PAGE];
	if (sl_sys->fallocate(fd, 0, (off_t)position, (off_t)(end - position)) == 0)
		return 0;
	if (errno != EOPNOTSUPP)
		return sl_fail_errno(err, errno, path, "cannot make room");
	while (position < end) {
		size_t piece = end - position < PAGE ? (size_t)(end - position) : PAGE;
		int rc = sl_file_write_at(fd, zeros, piece, position, path, err);
		if (rc)
			return rc;
		position += piece;
	}
	return 0;
}

static void window_close(struct writer *writer)
{
	if (writer->window)
		sl_sys->munmap(writer->window, writer->window_len);
	writer->window = NULL;
	writer->window_len = 0;
}

static int map_window(int fd, uint64_t position, size_t size, const char *path, unsigned char **ret, uint64_t *ret_at,
		      size_t *ret_len, struct sl_error *err)
{
	uint64_t at = position & ~(uint64_t)(PAGE - 1);
	size_t need = (size_t)(position - at) + size;
	size_t len = need > WINDOW_BYTES ? (need + PAGE - 1) & ~(size_t)(PAGE - 1) : WINDOW_BYTES;
	int rc = allocate(fd, position, at + len, path, err);
	if (rc)
		return rc;
	void *map = sl_sys->mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)at);
	if (map == MAP_FAILED)
		return sl_fail_errno(err, errno, path, "cannot map");
	*ret = map;
	*ret_at = at;
	*ret_len = len;
	return 0;
}

/* The window onto the next `size` bytes of the present segment. */
static int window_move(struct sl_stream *stream, size_t size, struct sl_error *err)
{
	struct writer *writer = stream->writer;
	char path[SL_PATH_MAX];
	unsigned char *window;
	uint64_t at;
	size_t len;
	int rc = sl_segment_path(path, stream->folder, writer->base, "log", err);
	if (!rc)
		rc = map_window(writer->fd, writer->position, size, path, &window, &at, &len, err);
	if (rc)
		return rc;
	window_close(writer);
	writer->window = window;
	writer->window_at = at;
	writer->window_len = len;
	return 0;
}

static int open_pair(const char *folder, int64_t base, int flags, int *ret_log, int *ret_index, struct sl_error *err)
{
	char log[SL_PATH_MAX], index[SL_PATH_MAX];
	int log_fd SL_AUTO_CLOSE = -1, index_fd SL_AUTO_CLOSE = -1;
	int rc = sl_segment_path(log, folder, base, "log", err);
	if (!rc)
		rc = sl_segment_path(index, folder, base, "index", err);
	if (!rc)
		rc = sl_file_open(index, O_RDWR | O_CREAT | O_CLOEXEC | flags, 0644, &index_fd, err);
	if (!rc)
		rc = sl_file_open(log, O_RDWR | O_CREAT | O_CLOEXEC | flags, 0644, &log_fd, err);
	if (rc)
		return rc;
	*ret_log = log_fd;
	*ret_index = index_fd;
	log_fd = index_fd = -1;
	return 0;
}

/* Gives back what was allocated ahead. Failing only leaves zeros behind the end, which readers know. */
static void trim(struct writer *writer)
{
	window_close(writer);
	while (sl_sys->ftruncate(writer->fd, (off_t)writer->position) && errno == EINTR)
		;
}

/* Leaves the present segment for a new one that begins at the next offset. On failure nothing has changed. */
static int roll(struct sl_stream *stream, size_t size, struct sl_error *err)
{
	struct writer *writer = stream->writer;
	char path[SL_PATH_MAX];
	int log_fd SL_AUTO_CLOSE = -1, index_fd SL_AUTO_CLOSE = -1;
	struct writer fresh = *writer;
	int rc = sl_segment_path(path, stream->folder, writer->next, "log", err);
	if (!rc)
		rc = open_pair(stream->folder, writer->next, O_TRUNC, &log_fd, &index_fd, err);
	if (!rc)
		rc = map_window(log_fd, 0, size, path, &fresh.window, &fresh.window_at, &fresh.window_len, err);
	if (rc) {
		if (log_fd >= 0)
			sl_sys->unlink(path);
		return rc;
	}
	trim(writer);
	sl_file_close(&writer->fd);
	sl_file_close(&writer->index_fd);
	fresh.fd = log_fd;
	fresh.index_fd = index_fd;
	log_fd = index_fd = -1;
	fresh.base = writer->next;
	fresh.position = fresh.indexed_at = fresh.index_len = 0;
	fresh.max_time_ms = INT64_MIN;
	*writer = fresh;
	return 0;
}

static int write_index(struct sl_stream *stream, struct sl_error *err)
{
	struct writer *writer = stream->writer;
	unsigned char bytes[SL_INDEX_ENTRY];
	struct sl_index_entry entry = {.max_time_ms = writer->max_time_ms,
		.relative_offset = (uint32_t)(writer->next - writer->base),
				       .position = (uint32_t)writer->position};
	sl_index_encode(&entry, bytes);
	int rc = sl_file_write_at(writer->index_fd, bytes, sizeof bytes, writer->index_len, stream->folder, err);
	if (rc)
		return rc;
	writer->index_len += sizeof bytes;
	writer->indexed_at = writer->position;
	return 0;
}

int sl_stream_append(struct sl_stream *stream, const struct sl_record *records, size_t count, int64_t *ret_first,
		     struct sl_error *err)
{
	struct writer *writer = stream->writer;
	assert(writer && count >= 1);
	size_t size = sl_batch_size(records, count);
	if (!size)
		return sl_fail_at(err, SL_E_TOO_LARGE, stream->folder, "a batch is larger than %d bytes", SL_BATCH_MAX);
	bool full = writer->position && (writer->position + size > writer->segment_bytes ||
					 writer->next - writer->base + (int64_t)count > INT32_MAX);
	int rc = 0;
	if (full)
		rc = roll(stream, size, err);
	else if (!writer->window || writer->position + size > writer->window_at + writer->window_len)
		rc = window_move(stream, size, err);
	if (!rc && writer->position - writer->indexed_at >= SL_INDEX_EVERY)
		rc = write_index(stream, err);
	if (rc)
		return rc;
	sl_batch_write(writer->window + (writer->position - writer->window_at), size, writer->next, records, count);
	for (size_t i = 0; i < count; i++)
		if (records[i].time_ms > writer->max_time_ms)
			writer->max_time_ms = records[i].time_ms;
	*ret_first = writer->next;
	writer->position += size;
	writer->next += (int64_t)count;
	sl_head_set(stream->head, SL_HEAD_END, writer->next);
	return 0;
}

int sl_stream_sync(struct sl_stream *stream, struct sl_error *err)
{
	struct writer *writer = stream->writer;
	assert(writer);
	int64_t end = writer->next, synced = sl_head_get(stream->head, SL_HEAD_SYNCED);
	int64_t failed = sl_head_get(stream->head, SL_HEAD_FAILED);
	if (synced >= end)
		return 0;
	if (sl_sync_in_doubt(stream->head))
		return sl_sync_again(stream->folder, stream->head, end, err);
	int rc = sl_file_sync(writer->fd, stream->folder, err);
	if (!rc && writer->base >= synced) /* the segment's name must last too, once */
		rc = sl_dir_sync(stream->folder, err);
	if (rc)
		sl_sync_failed(stream->head);
	/* Segments left behind since the last sync may still be on their way: then only maintain may say that they arrived. */
	else if (synced >= writer->base)
		sl_sync_done(stream->head, end, failed);
	return rc;
}

/* ---- opening ---- */

static int corrupt(const struct sl_cursor *cursor, const char *why, struct sl_error *err)
{
	return sl_fail_at(err, SL_E_CORRUPT, cursor->path, "byte %llu: the batch of offset %lld is bad: %s",
			  (unsigned long long)cursor->position,
			  (long long)cursor->offset, why[0] ? why : "it was never written");
}

/* Where recovery of segment `base` begins: the last good index entry whose batch is still good, else the start. */
static int recovery_start(struct sl_stream *stream, int64_t base, struct sl_cursor *cursor, struct sl_error *err)
{
	struct writer *writer = stream->writer;
	struct sl_index index SL_AUTO_INDEX = {0};
	int rc = sl_index_load(stream->folder, base, &index, err);
	writer->max_time_ms = INT64_MIN;
	writer->indexed_at = writer->index_len = 0;
	while (!rc && index.count) {
		const struct sl_index_entry *entry = &index.entries[index.count - 1];
		struct sl_batch batch;
		const unsigned char *data;
		const char *why;
		rc = sl_cursor_open(cursor, stream->folder, base, entry->position, base + entry->relative_offset, err);
		int good = rc ? 0 : sl_cursor_look(cursor, &batch, &data, &why, err);
		if (good < 0)
			return good;
		if (good) {
			writer->max_time_ms = entry->max_time_ms;
			writer->indexed_at = entry->position;
			writer->index_len = index.count * SL_INDEX_ENTRY;
			return 0;
		}
		index.count--;
	}
	return rc ? rc : sl_cursor_open(cursor, stream->folder, base, 0, base, err);
}

/* Walks segment `base` to its end; *ret_end is the offset behind its last good batch. What was acknowledged must be among it. */
static int recover_segment(struct sl_stream *stream, int64_t base, int64_t trusted, struct sl_error *err)
{
	struct writer *writer = stream->writer;
	struct sl_cursor *cursor = &stream->cursor;
	int rc = recovery_start(stream, base, cursor, err);
	if (rc)
		return rc;
	const char *why = "";
	for (;;) {
		struct sl_batch batch;
		const unsigned char *data;
		rc = sl_cursor_look(cursor, &batch, &data, &why, err);
		if (rc <= 0)
			break;
		if (batch.max_time_ms > writer->max_time_ms)
			writer->max_time_ms = batch.max_time_ms;
		sl_cursor_pass(cursor, &batch);
	}
	if (rc < 0)
		return rc;
	writer->base = base;
	writer->position = cursor->position;
	writer->next = cursor->offset;
	return cursor->offset < trusted ? corrupt(cursor, why, err) : 0;
}

/* After power loss a later segment may have reached the disk while the end of an earlier one did not: it goes. */
static int drop_segments(struct sl_stream *stream, const struct sl_segments *segments, size_t from, struct sl_error *err)
{
	static const char *const suffixes[] = {"log", "index"};
	for (size_t i = from; i < segments->count; i++)
		for (size_t k = 0; k < SL_ARRAY_LEN(suffixes); k++) {
			char path[SL_PATH_MAX];
			int rc = sl_segment_path(path, stream->folder, segments->bases[i], suffixes[k], err);
			if (rc)
				return rc;
			if (sl_sys->unlink(path) && errno != ENOENT)
				return sl_fail_errno(err, errno, path, "cannot remove");
		}
	return 0;
}

/* Finds the end, beginning with the segment that holds the last trusted offset. */
static int recover(struct sl_stream *stream, struct sl_error *err)
{
	struct sl_segments segments SL_AUTO_SEGMENTS = {0};
	int64_t trusted = 0;
	int rc = sl_head_check(stream->head, stream->folder, &trusted, err);
	if (!rc)
		rc = sl_segments_list(stream->folder, &segments, err);
	if (rc)
		return rc;
	if (!segments.count && trusted)
		return sl_fail_at(err, SL_E_CORRUPT, stream->folder, "has no segment, but records up to offset %lld were written",
				  (long long)trusted);
	ptrdiff_t first = sl_segments_find(&segments, trusted);
	if (segments.count && first < 0)
		return sl_fail_at(err, SL_E_CORRUPT, stream->folder, "has no segment that holds offset %lld", (long long)trusted);
	for (size_t i = (size_t)(segments.count ? first : 0); i < segments.count; i++) {
		bool last = i + 1 == segments.count;
		/* Of a segment with a successor, everything before that one's base was acknowledged, if that base was. */
		int64_t must = !last && segments.bases[i + 1] <= trusted ? segments.bases[i + 1] : trusted;
		rc = recover_segment(stream, segments.bases[i], must, err);
		if (rc)
			return rc;
		if (!last && stream->writer->next != segments.bases[i + 1])
			return drop_segments(stream, &segments, i + 1, err);
	}
	return 0;
}

/* Opens the last segment for writing, cutting what recovery did not accept. */
static int open_last(struct sl_stream *stream, struct sl_error *err)
{
	struct writer *writer = stream->writer;
	int rc = open_pair(stream->folder, writer->base, 0, &writer->fd, &writer->index_fd, err);
	if (rc)
		return rc;
	if (sl_sys->ftruncate(writer->fd, (off_t)writer->position) ||
	    sl_sys->ftruncate(writer->index_fd, (off_t)writer->index_len))
		return sl_fail_errno(err, errno, stream->folder, "cannot cut the torn end");
	sl_head_adopt(stream->head, writer->next);
	return 0;
}

static int open_stream(const char *dir, const char *name, struct sl_stream **ret, struct sl_error *err)
{
	if (!sl_name_valid(name))
		return sl_fail_at(err, SL_E_INVALID, name, "is not a name for a stream");
	struct sl_stream *stream = sl_alloc(sizeof *stream, err);
	if (!stream)
		return SL_E_NO_MEMORY;
	stream->cursor = (struct sl_cursor)SL_CURSOR_INIT;
	*ret = stream;
	return sl_path_join(stream->folder, dir, name, err);
}

static int start_writer(struct sl_stream *stream, const struct sl_stream_options *options, struct sl_error *err)
{
	struct writer *writer = stream->writer = sl_alloc(sizeof *writer, err);
	char path[SL_PATH_MAX], holder[64];
	if (!writer)
		return SL_E_NO_MEMORY;
	writer->lock = writer->fd = writer->index_fd = -1;
	writer->max_time_ms = INT64_MIN;
	writer->segment_bytes = options && options->segment_bytes ? options->segment_bytes : SEGMENT_DEFAULT;
	if (writer->segment_bytes < SEGMENT_LEAST || writer->segment_bytes > SEGMENT_MOST)
		return sl_fail_at(err, SL_E_INVALID, stream->folder, "a segment of %llu bytes is not between 4 KiB and 1 GiB",
				  (unsigned long long)writer->segment_bytes);
	snprintf(holder, sizeof holder, "pid %ld", (long)getpid());
	int rc = sl_dir_make(stream->folder, err);
	if (!rc)
		rc = sl_path_join(path, stream->folder, "lock", err);
	if (!rc)
		rc = sl_file_lock(path, holder, false, &writer->lock, err);
	if (!rc)
		rc = sl_path_join(path, stream->folder, "head", err);
	if (!rc && !sl_file_exists(path)) {
		struct sl_segments segments SL_AUTO_SEGMENTS = {0};
		rc = sl_segments_list(stream->folder, &segments, err);
		if (!rc && segments.count)
			rc = sl_fail_at(err, SL_E_CORRUPT, path, "is missing, and segments are there");
		if (!rc)
			rc = sl_head_create(stream->folder, err);
	}
	return rc ? rc : sl_head_map(stream->folder, true, &stream->head, err);
}

int sl_stream_open_writer(const char *dir, const char *name, const struct sl_stream_options *options, struct sl_stream **ret,
			  struct sl_error *err)
{
	struct sl_stream *stream = NULL;
	int rc = open_stream(dir, name, &stream, err);
	if (!rc)
		rc = start_writer(stream, options, err);
	if (!rc)
		rc = recover(stream, err);
	if (!rc)
		rc = open_last(stream, err);
	if (rc) {
		sl_stream_close(stream);
		return rc;
	}
	sl_file_close(&stream->cursor.fd);
	*ret = stream;
	return 0;
}

int sl_stream_open_reader(const char *dir, const char *name, struct sl_stream **ret, struct sl_error *err)
{
	struct sl_stream *stream = NULL;
	int rc = open_stream(dir, name, &stream, err);
	if (!rc)
		rc = sl_head_map(stream->folder, false, &stream->head, err);
	if (rc) {
		sl_stream_close(stream);
		return rc;
	}
	*ret = stream;
	return 0;
}

void sl_stream_close(struct sl_stream *stream)
{
	if (!stream)
		return;
	struct writer *writer = stream->writer;
	if (writer) {
		if (writer->fd >= 0) {
			trim(writer);
			sl_stream_sync(stream, NULL); /* what append promised holds without it */
		}
		sl_file_close(&writer->fd);
		sl_file_close(&writer->index_fd);
		sl_file_close(&writer->lock);
		sl_free(writer);
	}
	sl_head_unmap(&stream->head);
	sl_cursor_close(&stream->cursor);
	sl_free(stream);
}

/* ---- reading ---- */

int64_t sl_stream_end_offset(struct sl_stream *stream) { return sl_head_trusted(stream->head); }

int64_t sl_stream_begin_offset(struct sl_stream *stream)
{
	struct sl_segments segments SL_AUTO_SEGMENTS = {0};
	if (sl_segments_list(stream->folder, &segments, NULL) || !segments.count)
		return sl_stream_end_offset(stream);
	return segments.bases[0];
}

/* Puts the cursor on a batch at or before `offset`, near it. */
static int seek(struct sl_stream *stream, int64_t offset, struct sl_error *err)
{
	struct sl_cursor *cursor = &stream->cursor;
	struct sl_segments segments SL_AUTO_SEGMENTS = {0};
	struct sl_index index SL_AUTO_INDEX = {0};
	sl_cursor_forget(cursor);
	if (cursor->fd >= 0 && cursor->offset <= offset && offset - cursor->offset < SKIP_FORWARD)
		return 0;
	int rc = sl_segments_list(stream->folder, &segments, err);
	if (rc)
		return rc;
	ptrdiff_t i = sl_segments_find(&segments, offset);
	if (i < 0)
		return sl_fail_at(err, SL_E_NOT_FOUND, stream->folder, "offset %lld was retired", (long long)offset);
	int64_t base = segments.bases[i];
	rc = sl_index_load(stream->folder, base, &index, err);
	if (rc)
		return rc;
	struct sl_index_entry start = {0};
	for (size_t k = 0; k < index.count && base + index.entries[k].relative_offset <= offset; k++)
		start = index.entries[k];
	return sl_cursor_open(cursor, stream->folder, base, start.position, base + start.relative_offset, err);
}

/* 1 with the next batch, which must exist; steps into the next segment where one ends. */
static int next_batch(struct sl_stream *stream, struct sl_batch *ret, const unsigned char **ret_data, struct sl_error *err)
{
	struct sl_cursor *cursor = &stream->cursor;
	const char *why;
	int rc = sl_cursor_look(cursor, ret, ret_data, &why, err);
	if (rc)
		return rc;
	char next[SL_PATH_MAX];
	rc = sl_segment_path(next, stream->folder, cursor->offset, "log", err);
	if (rc)
		return rc;
	if (why[0] || !sl_file_exists(next) || strcmp(next, cursor->path) == 0)
		return corrupt(cursor, why, err);
	rc = sl_cursor_open(cursor, stream->folder, cursor->offset, 0, cursor->offset, err);
	if (!rc)
		rc = sl_cursor_look(cursor, ret, ret_data, &why, err);
	return rc ? rc : corrupt(cursor, why, err);
}

int sl_stream_read(struct sl_stream *stream, int64_t offset, size_t max_bytes, sl_stream_visit *each, void *context,
		   int64_t *ret_next,
		   struct sl_error *err)
{
	struct sl_cursor *cursor = &stream->cursor;
	*ret_next = offset;
	int64_t end;
	int rc = sl_head_check(stream->head, stream->folder, &end, err);
	if (rc || offset >= end)
		return rc;
	rc = seek(stream, offset, err);
	for (size_t taken = 0; !rc && *ret_next < end && taken < max_bytes;) {
		struct sl_batch batch;
		const unsigned char *data;
		rc = next_batch(stream, &batch, &data, err);
		if (rc < 0)
			break;
		rc = 0;
		if (batch.base_offset + batch.count > offset) {
			rc = sl_batch_each(data, &batch, offset, each, context, ret_next, err);
			taken += batch.size;
			if (rc < 0)
				sl_error_where(err, "%s", cursor->path);
		}
		if (!rc)
			sl_cursor_pass(cursor, &batch);
	}
	return rc == 1 ? 0 : rc;
}

/* ---- finding by time ---- */

struct time_search {
	int64_t time_ms, found;
};

static int reach_time(void *context, const struct sl_record *record, struct sl_error *err)
{
	(void)err;
	struct time_search *search = context;
	if (record->time_ms < search->time_ms)
		return 0;
	search->found = record->offset;
	return 1;
}

/* An offset with no record of time_ms or later before it, as far on as seals and indexes can tell. */
static int time_start(struct sl_stream *stream, int64_t time_ms, int64_t *ret, struct sl_error *err)
{
	struct sl_segments segments SL_AUTO_SEGMENTS = {0};
	int rc = sl_segments_list(stream->folder, &segments, err);
	*ret = segments.count ? segments.bases[0] : 0;
	for (size_t i = 0; !rc && i < segments.count; i++) {
		struct sl_seal seal;
		struct sl_index index SL_AUTO_INDEX = {0};
		*ret = segments.bases[i];
		if (sl_seal_read(stream->folder, segments.bases[i], &seal, NULL) == 0 && seal.max_time_ms < time_ms)
			continue;
		rc = sl_index_load(stream->folder, segments.bases[i], &index, err);
		for (size_t k = 0; k < index.count && index.entries[k].max_time_ms < time_ms; k++)
			*ret = segments.bases[i] + index.entries[k].relative_offset;
		break;
	}
	return rc;
}

int sl_stream_find_time(struct sl_stream *stream, int64_t time_ms, int64_t *ret_offset, struct sl_error *err)
{
	enum { STEP_BYTES = 4 << 20 };
	struct time_search search = {.time_ms = time_ms, .found = -1};
	int64_t at, next, end = sl_stream_end_offset(stream);
	int rc = time_start(stream, time_ms, &at, err);
	for (; !rc && at < end && search.found < 0; at = next)
		rc = sl_stream_read(stream, at, STEP_BYTES, reach_time, &search, &next, err);
	*ret_offset = search.found >= 0 ? search.found : end;
	return rc;
}
