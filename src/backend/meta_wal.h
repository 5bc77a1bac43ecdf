/* Whether SQLite's write-ahead log is as it was written, looked at before SQLite opens it. SQLite itself cuts a log at the first frame
 * whose checksum differs, as after a torn write: commits behind a flipped bit would be gone without a word. */
#ifndef SL_BACKEND_META_WAL_H
#define SL_BACKEND_META_WAL_H

#include "base/error.h"

/* Before SQLite opens the database at `path`: walks its log, unless somebody has the database open, in which case SQLite does not
 * begin by cutting the log, and each frame is compared when it is read (backend/meta_vfs). How many frames are committed, and so must
 * be good, is what the shared-memory file says; SQLite writes that after the log was flushed. Without that file (a copy that left it
 * out) a bad frame is damage when a later transaction follows it. SL_E_CORRUPT names frame and byte. 0.2 ms per MiB.
 * When 0, the process counts as having a database open until sl_wal_leave: closing the shared-memory file here would drop the locks
 * that SQLite has on it elsewhere in this process. */
int sl_wal_enter(const char *path, struct sl_error *err);
void sl_wal_leave(void);

#endif
