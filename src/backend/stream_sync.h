/* What a stream does when the disk fails to take its records.
 *
 * After a failed fdatasync the kernel marks the pages clean and tells of the failure once: a second fdatasync succeeds and says
 * nothing about them, although the bytes are only in memory. So every failure is counted in the head, which outlives the process
 * that met it, and from then on SYNCED moves only after [SYNCED, END) was read back, proved batch by batch, written again in
 * place, and synced. What is acknowledged never changes, so readers and the writer may go on meanwhile.
 */
#ifndef SL_BACKEND_STREAM_SYNC_H
#define SL_BACKEND_STREAM_SYNC_H

#include "backend/stream_files.h"

/* Counts a sync that failed. */
void sl_sync_failed(struct sl_head *head);
/* Whether one failed since everything was last written again: then sl_sync_again is due, and no plain sync counts. */
bool sl_sync_in_doubt(const struct sl_head *head);
/* After a plain sync of everything before `end` succeeded, with `failed` the count from before it: SYNCED moves to `end`, unless
 * another process saw a failure meanwhile. */
void sl_sync_done(struct sl_head *head, int64_t end, int64_t failed);
/* Writes [SYNCED, end) again, syncs it, and sets SYNCED. SL_E_CORRUPT when some of it is in memory no more: then the records
 * are lost, and it is said where. Costs a read of the segments concerned. */
int sl_sync_again(const char *folder, struct sl_head *head, int64_t end, struct sl_error *err);

#endif
