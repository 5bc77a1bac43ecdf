/* Port "stream": an append-only durable log of records, kept as Kafka record batches (magic 2), so that a Kafka face can serve
 * the files as they are. Default backend: own segments (docs/formats/stream.md):
 *
 *   streams/<name>/00000000000000000000.log     batches back to back, big-endian, CRC-32C each
 *   streams/<name>/00000000000000000000.index   sparse: relative offset -> position, time -> position
 *   streams/<name>/00000000000000000000.sealed  SHA-256 and counts of a finished segment (also a ledger entry)
 *   streams/<name>/head                         the end offset, and how much of it is on the disk; mapped by every reader
 *
 * One writing process at a time (a lock in the folder), any number of readers. Offsets count records from 0. A handle belongs
 * to one thread.
 * Durability: what append returned for survives SIGKILL of the writer at once, and power loss after sl_stream_sync or
 * sl_stream_maintain. A torn tail is cut at open, but only behind what was acknowledged (on this boot) or synced (after power
 * loss): anything bad before that is an error (SL_E_CORRUPT), never skipped.
 * Appending makes no system call but every MiB, and none that waits for the disk: 0.4-0.6 us for a record of 200 bytes,
 * encoding and checksum included, where write(2) alone costs 1.1-1.9.
 */
#ifndef SL_PORT_STREAM_H
#define SL_PORT_STREAM_H

#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"

struct sl_stream;

struct sl_stream_options {
	uint64_t segment_bytes;   /* 0: 64 MiB; 4 KiB to 1 GiB */
	uint64_t retain_bytes;    /* 0: no limit; whole sealed segments go, oldest first */
	/* 0: no limit; since the segment was last written (records carry event times, which may be years old) */
	int64_t retain_ms;
	/* Called by sl_stream_maintain when it seals a segment, before the .sealed file is written: the place for the ledger
	 * entry. A crash between the two makes it come again with the same digest. May be NULL. */
	int (*on_seal)(void *context, const char *stream, int64_t base_offset, int64_t end_offset, const struct sl_hash *digest,
		       struct sl_error *err);
	void *context;
};

struct sl_record {
	int64_t offset;       /* set by the log */
	int64_t time_ms;      /* the record's own time */
	const void *key;      /* NULL: none */
	size_t key_len;
	const void *value;
	size_t value_len;
};

/* SL_E_BUSY when another process writes it. */
int sl_stream_open_writer(const char *dir, const char *name, const struct sl_stream_options *options, struct sl_stream **ret,
			  struct sl_error *err);
int sl_stream_open_reader(const char *dir, const char *name, struct sl_stream **ret, struct sl_error *err);
void sl_stream_close(struct sl_stream *stream);

/* Appends the records as one batch; *ret_first gets the first one's offset. At most 16 MiB a batch. */
int sl_stream_append(struct sl_stream *stream, const struct sl_record *records, size_t count, int64_t *ret_first,
		     struct sl_error *err);
int sl_stream_sync(struct sl_stream *stream, struct sl_error *err);
/* What may wait for the disk, kept away from whoever appends; called from any one process, about every second: syncs what is
 * new, seals the segments that the writer has left behind (proves them, calls on_seal), and removes what retention lets go.
 * Cheap when nothing is new.
 * SL_E_BUSY when another process does it just now; a stream that does not exist is fine. */
int sl_stream_maintain(const char *dir, const char *name, const struct sl_stream_options *options, struct sl_error *err);

int64_t sl_stream_begin_offset(struct sl_stream *stream); /* the oldest kept */
/* The next to be written; a reader sees appends of the writer. SL_E_CORRUPT when the head was damaged since it was opened: reading
 * says so in words. */
int64_t sl_stream_end_offset(struct sl_stream *stream);

/* Reads whole records from `offset` on, at most about `max_bytes`; `each` returning 1 stops early (that record counts as read).
 * *ret_next gets the offset to go on from; equal to `offset` when there is nothing new. SL_E_NOT_FOUND when `offset` was
 * retired. */
typedef int sl_stream_visit(void *context, const struct sl_record *record, struct sl_error *err);
int sl_stream_read(struct sl_stream *stream, int64_t offset, size_t max_bytes, sl_stream_visit *each, void *context,
		   int64_t *ret_next,
		   struct sl_error *err);
/* The first offset whose record's time is >= time_ms (by the index, then the records), or the end offset. */
int sl_stream_find_time(struct sl_stream *stream, int64_t time_ms, int64_t *ret_offset, struct sl_error *err);

/* Head, every CRC, every entry of the indexes, and every sealed segment's digest; SL_E_CORRUPT names file, byte and offset. */
int sl_stream_check(const char *dir, const char *name, struct sl_error *err);

#endif
