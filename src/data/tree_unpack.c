#include "data/tree_unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "os/sys.h"
#include "port/archive.h"

#define NAMES_BYTES_MAX (UINT64_C(2) << 30)

struct unpacking {
	const struct sl_tree_unpack *unpack;
	struct sl_batch *batch; /* NULL: nothing is kept */
	struct sl_arena *names;
	struct sl_tree_file *files; /* in the archive's order */
	size_t count, room;
	/* of the member at hand */
	struct sl_buf small;
	struct sl_sha256 *sha;
	char staged[SL_PATH_MAX];
	int fd; /* of `staged`, once it is more than a small file */
};

static int begin(void *context, const struct sl_archive_member *member, struct sl_error *err)
{
	struct unpacking *u = context;
	if (u->count == u->room) {
		size_t room = u->room ? u->room * 2 : 1024;
		struct sl_tree_file *files = sl_realloc(u->files, room * sizeof *files, err);
		if (!files)
			return SL_E_NO_MEMORY;
		u->files = files;
		u->room = room;
	}
	char *path = sl_arena_strndup(u->names, member->path, member->len);
	if (!path)
		return sl_fail_memory(err);
	u->files[u->count] = (struct sl_tree_file){.path = path, .len = member->len, .executable = member->executable};
	sl_buf_clear(&u->small);
	return 0;
}

static int spill(struct unpacking *u, const void *data, size_t len, struct sl_error *err)
{
	int rc = 0;
	if (u->fd < 0) {
		snprintf(u->staged, sizeof u->staged, "%.4000s/unpack-%ld-%p", u->unpack->tmp, (long)getpid(), (void *)u);
		sl_sys->unlink(u->staged);
		rc = sl_file_open(u->staged, O_RDWR | O_CREAT | O_EXCL, 0600, &u->fd, err);
		rc = rc ? rc : sl_file_write_all(u->fd, sl_buf_cstr(&u->small), u->small.len, u->staged, err);
	}
	return rc ? rc : sl_file_write_all(u->fd, data, len, u->staged, err);
}

static int piece(void *context, const void *data, size_t len, struct sl_error *err)
{
	struct unpacking *u = context;
	u->files[u->count].size_bytes += len;
	if (!u->batch) {
		sl_sha256_add(u->sha, data, len);
		return 0;
	}
	if (u->fd >= 0 || u->small.len + len > SL_PACK_FILE_MAX)
		return spill(u, data, len, err);
	sl_buf_add(&u->small, data, len);
	return sl_buf_check(&u->small, "a member of an archive", err);
}

static int keep_staged(struct unpacking *u, struct sl_hash *ret, struct sl_error *err)
{
	struct sl_file_info info;
	int rc = sl_file_info(u->staged, &info, err);
	const struct sl_put_source source = {.fd = u->fd, .name = u->staged, .seen = &info, .how = SL_PUT_MOVE};
	if (!rc && lseek(u->fd, 0, SEEK_SET))
		rc = sl_fail_errno(err, errno, u->staged, "cannot read");
	rc = rc ? rc : sl_batch_put_file(u->batch, &source, ret, err);
	sl_file_close(&u->fd);
	return rc;
}

static int end(void *context, struct sl_error *err)
{
	struct unpacking *u = context;
	struct sl_hash *hash = &u->files[u->count++].hash;
	if (!u->batch) {
		sl_sha256_end(u->sha, hash);
		return 0;
	}
	return u->fd >= 0 ? keep_staged(u, hash, err) : sl_batch_put(u->batch, sl_buf_cstr(&u->small), u->small.len, hash, err);
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct sl_tree_file *)a)->path, ((const struct sl_tree_file *)b)->path);
}

static int write_tree(struct unpacking *u, struct sl_tree_taken *ret, struct sl_error *err)
{
	struct sl_tree_writer *writer SL_CLEANUP(sl_tree_writer_freep) = NULL;
	int rc = sl_tree_writer_new(u->batch, &writer, err);
	if (u->count)
		qsort(u->files, u->count, sizeof *u->files, by_path);
	for (size_t i = 0; !rc && i < u->count; i++)
		rc = sl_tree_writer_add(writer, &u->files[i], err);
	rc = rc ? rc : sl_tree_writer_end(writer, &ret->hash, &ret->sum, err);
	ret->read_files = u->count;
	return rc || !u->batch ? rc : sl_batch_commit(u->batch, err);
}

int sl_tree_unpack(struct sl_objects *objects, const struct sl_tree_unpack *unpack, struct sl_tree_taken *ret, struct sl_error *err)
{
	struct unpacking u = {.unpack = unpack, .small = SL_BUF_INIT(SL_PACK_FILE_MAX), .fd = -1};
	const struct sl_archive_taker taker = {begin, piece, end, &u};
	*ret = (struct sl_tree_taken){0};
	int rc = unpack->write ? sl_batch_begin(objects, &u.batch, err) : 0;
	u.sha = rc ? NULL : sl_sha256_new(err);
	u.names = u.sha ? sl_arena_new(NAMES_BYTES_MAX, err) : NULL;
	rc = rc ? rc : u.names ? sl_archive_unpack(unpack->path, unpack->name, &taker, err) : SL_E_NO_MEMORY;
	rc = rc ? rc : write_tree(&u, ret, err);
	if (u.fd >= 0)
		sl_sys->unlink(u.staged);
	sl_file_close(&u.fd);
	sl_batch_free(u.batch);
	sl_sha256_free(u.sha);
	sl_arena_free(u.names);
	sl_buf_done(&u.small);
	sl_free(u.files);
	return rc ? sl_error_where(err, "%s", unpack->name) : 0;
}
