#include "backend/stream_sync.h"

#include <fcntl.h>

#include "os/file.h"

void sl_sync_failed(struct sl_head *head)
{
	int64_t failed = sl_head_get(head, SL_HEAD_FAILED);
	sl_head_set(head, SL_HEAD_FAILED, failed < 0 ? 1 : failed + 1); /* negative: a bit flipped since it was mapped */
}

bool sl_sync_in_doubt(const struct sl_head *head)
{
	return sl_head_get(head, SL_HEAD_FAILED) != sl_head_get(head, SL_HEAD_REPAIRED);
}

void sl_sync_done(struct sl_head *head, int64_t end, int64_t failed)
{
	if (sl_head_get(head, SL_HEAD_FAILED) == failed)
		sl_head_set(head, SL_HEAD_SYNCED, end);
}

static int lost(const struct sl_cursor *cursor, struct sl_error *err)
{
	int rc = sl_fail_at(err, SL_E_CORRUPT, cursor->path, "byte %llu: the records from offset %lld on are lost: the disk failed to "
			    "take them, and memory holds them no more", (unsigned long long)cursor->position,
			    (long long)cursor->offset);
	sl_error_hint(err, "look at the kernel's log for the disk's errors, and restore the project from a backup");
	return rc;
}

/* Batches of segment `base` with records of [from, end), which the segment holds, in place; then a sync of the file. */
static int write_again(const char *folder, int64_t base, int64_t from, int64_t end, struct sl_error *err)
{
	struct sl_cursor cursor SL_AUTO_CURSOR = SL_CURSOR_INIT;
	int fd SL_AUTO_CLOSE = -1;
	int rc = sl_cursor_open(&cursor, folder, base, 0, base, err);
	if (!rc)
		rc = sl_file_open(cursor.path, O_RDWR, 0, &fd, err);
	while (!rc && cursor.offset < end) {
		struct sl_batch batch;
		const unsigned char *data;
		const char *why;
		rc = sl_cursor_look(&cursor, &batch, &data, &why, err);
		if (rc <= 0)
			return rc ? rc : lost(&cursor, err);
		rc = cursor.offset + batch.count <= from
			     ? 0
			     : sl_file_write_at(fd, data, batch.size, cursor.position, cursor.path, err);
		sl_cursor_pass(&cursor, &batch);
	}
	return rc ? rc : sl_file_sync(fd, cursor.path, err);
}

int sl_sync_again(const char *folder, struct sl_head *head, int64_t end, struct sl_error *err)
{
	struct sl_segments segments SL_AUTO_SEGMENTS = {0};
	int64_t synced = sl_head_get(head, SL_HEAD_SYNCED), failed = sl_head_get(head, SL_HEAD_FAILED);
	int rc = sl_segments_list(folder, &segments, err);
	ptrdiff_t first = sl_segments_find(&segments, synced);
	for (size_t i = first < 0 ? 0 : (size_t)first; !rc && i < segments.count && segments.bases[i] < end; i++) {
		int64_t next = i + 1 < segments.count ? segments.bases[i + 1] : end;
		rc = write_again(folder, segments.bases[i], synced, next < end ? next : end, err);
	}
	if (!rc)
		rc = sl_dir_sync(folder, err);
	if (rc) {
		sl_sync_failed(head);
		return rc;
	}
	sl_head_set(head, SL_HEAD_REPAIRED, failed < 0 ? 0 : failed);
	sl_sync_done(head, end, failed);
	return 0;
}
