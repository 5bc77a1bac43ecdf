/* Packed files (gzip, zstd) as users bring them. */
#ifndef SL_PORT_PACKED_H
#define SL_PORT_PACKED_H

#include "base/error.h"

enum sl_packing { SL_PACKING_NONE, SL_PACKING_GZIP, SL_PACKING_ZSTD };

/* By the file's first bytes. */
int sl_packed_kind(const char *path, enum sl_packing *ret, struct sl_error *err);

/* Unpacks a file to its end and keeps nothing: every member or frame must be whole, with the length and checksum that it tells
 * of, and nothing else may stand behind the last one. DuckDB's readers take a file that was cut off for a short one.
 * SL_E_FAILED in the name of `name`; constant memory (a zstd window of at most 128 MiB). */
int sl_packed_prove(const char *path, enum sl_packing kind, const char *name, struct sl_error *err);

#endif
