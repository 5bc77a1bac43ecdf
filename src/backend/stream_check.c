/* Proving a stream: its head, every batch and record, the entries of the indexes, and the seals. */
#include <stdio.h>
#include <string.h>

#include "backend/stream_batch.h"
#include "backend/stream_files.h"
#include "port/stream.h"

enum { INDEX_TRIES = 3 };

static int bad_batch(const struct sl_cursor *cursor, const char *why, struct sl_error *err)
{
	return sl_fail_at(err, SL_E_CORRUPT, cursor->path, "byte %llu: the batch of offset %lld is bad: %s",
			  (unsigned long long)cursor->position,
			  (long long)cursor->offset, why[0] ? why : "it was never written");
}

struct minimum {
	int64_t time_ms;
};

static int take_minimum(void *context, const struct sl_record *record, struct sl_error *err)
{
	(void)err;
	struct minimum *least = context;
	if (record->time_ms < least->time_ms)
		least->time_ms = record->time_ms;
	return 0;
}

/* That the index entry for this place, if there is one, says what stands here. *next: the first entry not passed yet. */
static int check_entry(const struct sl_cursor *cursor, const struct sl_seal *so_far, const struct sl_index *index, size_t *next,
		       const char *folder, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	if (!index || *next == index->count || index->entries[*next].position > cursor->position)
		return 0;
	const struct sl_index_entry *entry = &index->entries[(*next)++];
	if (entry->position == cursor->position && so_far->base_offset + entry->relative_offset == cursor->offset &&
	    entry->max_time_ms == so_far->max_time_ms)
		return 0;
	int rc = sl_segment_path(path, folder, so_far->base_offset, "index", err);
	return rc ? rc
		  : sl_fail_at(err, SL_E_CORRUPT, path, "byte %zu: the entry does not say what stands at byte %u of the segment",
			       (*next - 1) * SL_INDEX_ENTRY, entry->position);
}

int sl_segment_measure(const char *folder, int64_t base, int64_t must, const struct sl_index *index, bool digest,
		       struct sl_seal *ret, struct sl_error *err)
{
	struct sl_cursor cursor SL_AUTO_CURSOR = SL_CURSOR_INIT;
	struct sl_sha256 *sha SL_CLEANUP(sl_sha256_freep) = digest ? sl_sha256_new(err) : NULL;
	struct minimum least = {.time_ms = INT64_MAX};
	*ret = (struct sl_seal){.base_offset = base, .max_time_ms = INT64_MIN};
	size_t next_entry = 0;
	if (digest && !sha)
		return SL_E_NO_MEMORY;
	int rc = sl_cursor_open(&cursor, folder, base, 0, base, err);
	while (!rc && cursor.offset < must) {
		struct sl_batch batch;
		const unsigned char *data;
		const char *why;
		int64_t next;
		rc = sl_cursor_look(&cursor, &batch, &data, &why, err);
		if (rc == 0)
			return bad_batch(&cursor, why, err);
		if (rc < 0)
			break;
		rc = check_entry(&cursor, ret, index, &next_entry, folder, err);
		if (!rc)
			rc = sl_batch_each(data, &batch, 0, take_minimum, &least, &next, err);
		if (rc)
			return sl_error_where(err, "%s", cursor.path);
		if (sha)
			sl_sha256_add(sha, data, batch.size);
		ret->batches++;
		ret->max_time_ms = batch.max_time_ms > ret->max_time_ms ? batch.max_time_ms : ret->max_time_ms;
		sl_cursor_pass(&cursor, &batch);
	}
	ret->min_time_ms = least.time_ms;
	ret->end_offset = cursor.offset;
	ret->bytes = cursor.position;
	if (sha)
		sl_sha256_end(sha, &ret->digest);
	return rc;
}

/* An index whose every byte is accounted for. Zeros at its end are what a power loss leaves: the index is not flushed. The writer may
 * be adding to it: look again before saying that it is bad. */
static int load_index(const char *folder, int64_t base, struct sl_index *ret, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int rc = sl_segment_path(path, folder, base, "index", err);
	for (int i = 0; i < INDEX_TRIES && !rc; i++) {
		struct sl_buf bytes SL_AUTO_BUF = SL_BUF_INIT(SL_INDEX_FILE_MAX);
		rc = sl_file_read(path, &bytes, err);
		if (rc == SL_E_NOT_FOUND)
			return 0;
		sl_index_done(ret);
		if (!rc)
			rc = sl_index_load(folder, base, ret, err);
		size_t at = ret->count * SL_INDEX_ENTRY;
		while (!rc && at < bytes.len && bytes.data[at] == 0)
			at++;
		if (!rc && at >= bytes.len)
			return 0;
	}
	return rc ? rc
		  : sl_fail_at(err, SL_E_CORRUPT, path, "byte %zu: the entry is not what was written", ret->count * SL_INDEX_ENTRY);
}

/* The seal's bytes, all of which follow from the segment. */
static int check_seal(const char *folder, const struct sl_seal *found, struct sl_error *err)
{
	char path[SL_PATH_MAX], log[SL_PATH_MAX];
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(SL_SEAL_FILE_MAX), expected SL_AUTO_BUF = SL_BUF_INIT(SL_SEAL_FILE_MAX);
	struct sl_file_info info;
	int rc = sl_segment_path(path, folder, found->base_offset, "sealed", err);
	if (!rc)
		rc = sl_segment_path(log, folder, found->base_offset, "log", err);
	if (!rc)
		rc = sl_file_info(log, &info, err);
	if (!rc)
		rc = sl_file_read(path, &text, err);
	if (rc)
		return rc;
	sl_seal_text(found, &expected);
	if (info.size_bytes != found->bytes)
		return sl_fail_at(err, SL_E_CORRUPT, log, "is %llu bytes long, its batches are %llu",
				  (unsigned long long)info.size_bytes, (unsigned long long)found->bytes);
	if (text.len == expected.len && memcmp(text.data, expected.data, text.len) == 0)
		return 0;
	return sl_fail_at(err, SL_E_CORRUPT, path, "does not belong to the segment: its bytes are not those that were sealed");
}

static int check_segment(const char *folder, int64_t base, int64_t must, struct sl_error *err)
{
	struct sl_index index SL_AUTO_INDEX = {0};
	struct sl_seal seal, found;
	int rc = sl_seal_read(folder, base, &seal, err);
	bool sealed = rc == 0;
	if (rc && rc != SL_E_NOT_FOUND)
		return rc;
	rc = load_index(folder, base, &index, err);
	if (!rc)
		rc = sl_segment_measure(folder, base, must, &index, sealed, &found, err);
	return rc || !sealed ? rc : check_seal(folder, &found, err);
}

int sl_stream_check(const char *dir, const char *name, struct sl_error *err)
{
	char folder[SL_PATH_MAX];
	struct sl_head *head SL_AUTO_HEAD = NULL;
	struct sl_segments segments SL_AUTO_SEGMENTS = {0};
	int rc = sl_path_join(folder, dir, name, err);
	if (!rc)
		rc = sl_head_map(folder, false, &head, err);
	if (!rc)
		rc = sl_segments_list(folder, &segments, err);
	if (rc)
		return rc;
	int64_t trusted;
	rc = sl_head_check(head, folder, &trusted, err);
	if (rc)
		return rc;
	if (!segments.count && trusted)
		return sl_fail_at(err, SL_E_CORRUPT, folder, "has no segment, but records up to offset %lld were written",
				  (long long)trusted);
	for (size_t i = 0; i < segments.count && !rc; i++) {
		int64_t must = i + 1 < segments.count ? segments.bases[i + 1] : trusted;
		rc = check_segment(folder, segments.bases[i], must, err);
	}
	return rc;
}
