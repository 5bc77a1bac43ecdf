/* Inside the local object store: where a file is cut, and how its pieces are kept. */
#ifndef SL_BACKEND_OBJECT_CHUNK_H
#define SL_BACKEND_OBJECT_CHUNK_H

#include "backend/object_internal.h"

/* FastCDC (Xia and others, USENIX ATC 2016) with a gear hash over the last 64 bytes: no cut before MIN, a rarer mark until NORMAL, a
 * more frequent one until MAX. These numbers and the table (docs/formats/object.md) decide what versions share: they never change. */
enum { CHUNK_MIN = 512 << 10, CHUNK_NORMAL = 1 << 20, CHUNK_MAX = 4 << 20 };

/* Length of the first chunk of `data`; `len` when no cut is found: the file's last chunk, or more bytes are needed (len < MAX). */
size_t object_cut(const unsigned char *data, size_t len);

/* Keeps the open file as chunks of `batch`, which gets the list too. */
int object_chunk_file(struct sl_batch *batch, const struct sl_put_source *source, struct sl_hash *ret, struct sl_error *err);

/* What of a batch that takes: one whole object as a file of its own; a list for the object `hash`. */
int object_batch_loose(struct sl_batch *batch, const void *data, size_t len, struct sl_hash *ret, struct sl_error *err);
int object_batch_list(struct sl_batch *batch, const struct sl_hash *hash, const void *text, size_t len, struct sl_error *err);
struct sl_objects *object_batch_objects(struct sl_batch *batch);

#endif
