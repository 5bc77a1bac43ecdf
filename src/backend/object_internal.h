/* Inside the local object store: what its files share. An object is kept in one of three forms (docs/formats/object.md):
 *
 *   loose     objects/ab/cdef...           the bytes
 *   packed    objects/pack/NAME.pack       many small objects behind each other, with an index at the end
 *   chunked   objects/ab/cdef....chunks    a list of other objects, which are its pieces in their order
 */
#ifndef SL_BACKEND_OBJECT_INTERNAL_H
#define SL_BACKEND_OBJECT_INTERNAL_H

#include <pthread.h>

#include "base/map.h"
#include "port/object.h"

enum {
	OBJECT_PIECE_BYTES = 1 << 20, /* read or written at once */
	OBJECT_PACKS_MAX = 1 << 16,
};
#define OBJECT_PACK_ENTRIES_MAX UINT32_C(8000000)
#define OBJECT_PACK_BYTES_MAX (UINT64_C(2) << 30) /* of objects in one pack; the next one goes on */

struct object_pack;
struct sl_objects {
	char dir[SL_PATH_MAX], tmp[SL_PATH_MAX];
	pthread_mutex_t lock; /* proofs, packs */
	struct sl_map *proofs; /* hash in hex -> struct proof */
	unsigned staged;       /* counts staging files of this handle; atomic */
	bool no_clone;         /* the file system of the last copy shares no blocks; atomic */
	struct object_pack **packs;
	size_t pack_count;
	int64_t packs_mtime_ns; /* of the folder when it was listed; 0: never */
};

/* ---- object_local.c: names and proofs ---- */
enum object_form { OBJECT_ABSENT, OBJECT_LOOSE, OBJECT_PACKED, OBJECT_CHUNKED };
struct object_place {
	enum object_form form;
	struct object_pack *pack; /* PACKED */
	uint64_t offset, size_bytes; /* CHUNKED: size of the list */
	struct sl_file_info info; /* LOOSE */
};
/* Where it is; ABSENT is no error. Looks again for new packs unless `known_packs`. */
int object_find(struct sl_objects *objects, const struct sl_hash *hash, bool known_packs, struct object_place *ret,
		struct sl_error *err);
/* The call that opened the store made sure that these fit. */
void object_loose_path(const struct sl_objects *objects, const struct sl_hash *hash, char out[SL_PATH_MAX]);
void object_chunks_path(const struct sl_objects *objects, const struct sl_hash *hash, char out[SL_PATH_MAX]);
/* A name for a staging file, and the file: locked so that sl_objects_tidy of a process that cannot see our pid leaves it alone. */
int object_stage(struct sl_objects *objects, char path[SL_PATH_MAX], int *ret_fd, struct sl_error *err);
bool object_proof_holds(struct sl_objects *objects, const struct sl_hash *hash, const struct sl_file_info *info);
void object_remember_proof(struct sl_objects *objects, const struct sl_hash *hash, const struct sl_file_info *info);
int object_fail_absent(const char *path, struct sl_error *err);
int object_fail_corrupt(const char *path, uint64_t size_bytes, const struct sl_hash *found, struct sl_error *err);

/* ---- object_put.c ---- */
/* Identity of an open regular file, to see whether somebody writes to it meanwhile. */
int object_watch(int fd, const char *path, struct sl_file_info *ret, struct sl_error *err);
int object_check_unchanged(int fd, const char *path, const struct sl_file_info *before, uint64_t size_read, struct sl_error *err);
/* Hashes from the beginning to the end; also writes to `copy_fd` unless that is -1. */
int object_hash_file(int fd, const char *path, int copy_fd, const char *copy_path, struct sl_hash *ret, uint64_t *ret_size,
		     struct sl_error *err);

/* ---- object_pack.c ---- */
struct object_entry { struct sl_hash hash; uint64_t offset, size_bytes; };
/* Lists objects/pack again when it changed. Under the lock. */
int object_packs_refresh(struct sl_objects *objects, struct sl_error *err);
void object_packs_close(struct sl_objects *objects);
/* Under the lock. */
bool object_packs_find(const struct sl_objects *objects, const struct sl_hash *hash, struct object_place *ret);
int object_pack_read(const struct object_pack *pack, void *data, uint64_t offset, size_t len, struct sl_error *err);
const char *object_pack_path(const struct object_pack *pack);
int object_packs_each(struct sl_objects *objects, sl_objects_visit *each, void *context, struct sl_error *err);
/* Marks an entry as removed, until object_packs_compact writes the packs that have such anew without them. */
void object_pack_drop(struct sl_objects *objects, const struct sl_hash *hash);
int object_packs_compact(struct sl_objects *objects, struct sl_error *err);
/* Ends a pack whose objects are written to `fd` behind the header, up to `end`: sorts `entries`, writes the index, makes it durable
 * and names it. */
int object_pack_seal(struct sl_objects *objects, int fd, const char *staged, struct object_entry *entries, size_t count,
		     uint64_t end, char ret_path[SL_PATH_MAX], struct sl_error *err);
int object_pack_begin(struct sl_objects *objects, char path[SL_PATH_MAX], int *ret_fd, struct sl_error *err);
enum { OBJECT_PACK_HEADER = 8 };

/* ---- object_chunk.c ---- */
/* The list's text (docs/formats/object.md). */
struct object_chunk { struct sl_hash hash; uint64_t size_bytes; };
int object_chunks_read(struct sl_objects *objects, const struct sl_hash *hash, struct object_chunk **ret, size_t *ret_count,
		       uint64_t *ret_size, struct sl_error *err);

/* ---- object_read.c ---- */
/* Calls `piece` with the object's bytes from begin to end and compares their hash; SL_E_CORRUPT comes after the last piece. */
int object_stream(struct sl_objects *objects, const struct sl_hash *hash, const struct object_place *place, sl_file_piece *piece,
		  void *context, struct sl_error *err);
/* Where an object that is no file of its own is put together. */
void object_cache_path(const struct sl_objects *objects, const struct sl_hash *hash, char out[SL_PATH_MAX]);

#endif
