/* An SQLite VFS that proves every page it reads; the layer between SQLite and its own unix VFS.
 *
 *   database file: each 4096-byte page ends in 8 reserved bytes: CRC-32C (little-endian) of the page's number (little-endian,
 *                  4 bytes) and its first 4088 bytes, then the letters "SLP1". Put on at every write, compared at every read.
 *   -wal file:     SQLite's own frame checksum, which SQLite compares only when it recovers, is compared at every read.
 *
 * So a flipped bit, a lost or a misdirected write is an error (SQLITE_IOERR_DATA) and never an answer. 0.4 us a page.
 * docs/formats/meta.md describes the bytes.
 */
#ifndef SL_BACKEND_META_VFS_H
#define SL_BACKEND_META_VFS_H

#include <sqlite3.h>
#include <stdint.h>

#include "base/error.h"

enum { SL_VFS_PAGE_BYTES = 4096, SL_VFS_RESERVED_BYTES = 8 };

/* Name for sqlite3_open_v2; registers the VFS at the first call. NULL when SQLite could not start. */
const char *sl_vfs_name(void);

/* What this thread's last SQLITE_IOERR_DATA was: "page 7" or "page 7 in write-ahead log frame 3"; "" when there was none. */
const char *sl_vfs_fault(void);

/* Reads every page of the open database file `file` (SQLITE_FCNTL_FILE_POINTER) and compares. Pages of zeros are fine where
 * the free list has them: SQLite grows the file without writing those. SL_E_CORRUPT names the first bad page. */
int sl_vfs_check(sqlite3_file *file, const char *path, struct sl_error *err);

#endif
