/* What of the stream port may wait for the disk: syncing, sealing, retention. Any process may do it; the writer is
 * never stopped. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backend/stream_batch.h"
#include "backend/stream_files.h"
#include "backend/stream_sync.h"
#include "base/mem.h"
#include "base/str.h"
#include "os/clock.h"
#include "os/sys.h"
#include "port/stream.h"

static int sync_segment(const char *folder, int64_t base, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int fd SL_AUTO_CLOSE = -1;
	int rc = sl_segment_path(path, folder, base, "log", err);
	if (!rc)
		rc = sl_file_open(path, O_RDWR | O_CLOEXEC, 0, &fd, err);
	return rc ? rc : sl_file_sync(fd, path, err);
}

/* The segments from `synced` on, and their names. */
static int sync_segments(const char *folder, const struct sl_segments *segments, int64_t synced, struct sl_error *err)
{
	ptrdiff_t first = sl_segments_find(segments, synced);
	for (size_t i = first < 0 ? 0 : (size_t)first; i < segments->count; i++) {
		int rc = sync_segment(folder, segments->bases[i], err);
		if (rc)
			return rc;
	}
	/* A segment's name must last too, once. */
	return segments->count && segments->bases[segments->count - 1] >= synced ? sl_dir_sync(folder, err) : 0;
}

/* Everything acknowledged before now, onto the disk. */
static int sync_all(const char *folder, struct sl_head *head, const struct sl_segments *segments, struct sl_error *err)
{
	int64_t end, synced = sl_head_get(head, SL_HEAD_SYNCED), failed = sl_head_get(head, SL_HEAD_FAILED);
	int rc = sl_head_check(head, folder, &end, err);
	if (rc || synced >= end)
		return rc;
	if (sl_sync_in_doubt(head))
		return sl_sync_again(folder, head, end, err);
	rc = sync_segments(folder, segments, synced, err);
	if (rc)
		sl_sync_failed(head);
	else
		sl_sync_done(head, end, failed);
	return rc;
}

/* Seals every segment that has a successor; what is sealed is never looked at again. */
static int seal_finished(const char *folder, const char *name, const struct sl_segments *segments,
			 const struct sl_stream_options *options, struct sl_error *err)
{
	struct sl_seal seal;
	size_t first = segments->count ? segments->count - 1 : 0;
	while (first > 0) { /* sealed oldest first, so what stands before a sealed one is sealed */
		int rc = sl_seal_read(folder, segments->bases[first - 1], &seal, err);
		if (rc == 0)
			break;
		if (rc != SL_E_NOT_FOUND)
			return rc;
		first--;
	}
	for (size_t i = first; i + 1 < segments->count; i++) {
		int rc = sl_segment_measure(folder, segments->bases[i], segments->bases[i + 1], NULL, true, &seal, err);
		if (!rc && options && options->on_seal)
			rc = options->on_seal(options->context, name, seal.base_offset, seal.end_offset, &seal.digest, err);
		if (!rc)
			rc = sl_seal_write(folder, &seal, err);
		if (rc)
			return rc;
	}
	return 0;
}

/* The log goes first: with it the segment is gone. A crash before the rest leaves two small files that nothing reads. */
static int remove_segment(const char *folder, int64_t base, struct sl_error *err)
{
	static const char *const suffixes[] = {"log", "index", "sealed"};
	for (size_t k = 0; k < SL_ARRAY_LEN(suffixes); k++) {
		char path[SL_PATH_MAX];
		int rc = sl_segment_path(path, folder, base, suffixes[k], err);
		if (rc)
			return rc;
		if (sl_sys->unlink(path) && errno != ENOENT)
			return sl_fail_errno(err, errno, path, "cannot remove");
	}
	return 0;
}

static int log_info(const char *folder, int64_t base, struct sl_file_info *ret, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int rc = sl_segment_path(path, folder, base, "log", err);
	return rc ? rc : sl_file_info(path, ret, err);
}

/* By when a segment was last written, not by the times of its records: those are event times, which a client chooses and a replay
 * takes from years ago. All but the last segment are sealed here. */
static int retire(const char *folder, const struct sl_segments *segments, const struct sl_stream_options *options,
		  struct sl_error *err)
{
	uint64_t total = 0;
	struct sl_file_info info;
	if (!options || (!options->retain_bytes && !options->retain_ms))
		return 0;
	for (size_t i = 0; i < segments->count; i++) {
		int rc = log_info(folder, segments->bases[i], &info, err);
		if (rc)
			return rc;
		total += info.size_bytes;
	}
	int64_t oldest_ms = options->retain_ms ? sl_now_ms() - options->retain_ms : INT64_MIN;
	for (size_t i = 0; i + 1 < segments->count; i++) {
		int rc = log_info(folder, segments->bases[i], &info, err);
		if (rc)
			return rc;
		if (info.mtime_ns / 1000000 >= oldest_ms && (!options->retain_bytes || total <= options->retain_bytes))
			return 0;
		rc = remove_segment(folder, segments->bases[i], err);
		if (rc)
			return rc;
		total -= info.size_bytes;
	}
	return 0;
}

static int maintain(const char *folder, const char *name, const struct sl_stream_options *options, struct sl_error *err)
{
	struct sl_head *head SL_AUTO_HEAD = NULL;
	struct sl_segments segments SL_AUTO_SEGMENTS = {0};
	int rc = sl_head_map(folder, true, &head, err);
	if (!rc)
		rc = sl_segments_list(folder, &segments, err);
	if (!rc)
		rc = sync_all(folder, head, &segments, err);
	if (!rc)
		rc = seal_finished(folder, name, &segments, options, err);
	return rc ? rc : retire(folder, &segments, options, err);
}

int sl_stream_maintain(const char *dir, const char *name, const struct sl_stream_options *options, struct sl_error *err)
{
	char folder[SL_PATH_MAX], path[SL_PATH_MAX], holder[64];
	int lock SL_AUTO_CLOSE = -1;
	if (!sl_name_valid(name))
		return sl_fail_at(err, SL_E_INVALID, name, "is not a name for a stream");
	int rc = sl_path_join(folder, dir, name, err);
	if (!rc)
		rc = sl_path_join(path, folder, "head", err);
	if (rc || !sl_file_exists(path))
		return rc;
	rc = sl_path_join(path, folder, "maintain.lock", err);
	snprintf(holder, sizeof holder, "pid %ld", (long)getpid());
	if (!rc)
		rc = sl_file_lock(path, holder, false, &lock, err);
	return rc ? rc : maintain(folder, name, options, err);
}
