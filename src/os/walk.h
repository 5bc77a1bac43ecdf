/* Walks a folder of any size in the order of the paths' bytes, with one system call per file: names by getdents, identities by fstatat
 * on a crew. Files come in blocks; memory is one block and the names of the folders that are open.
 *
 * Order: paths compared as bytes, so "a-b" < "a/b" < "a0": a folder sorts as if its name ended in '/'.
 * Names are bytes: no encoding is assumed, only NUL and '/' cannot occur.
 */
#ifndef SL_OS_WALK_H
#define SL_OS_WALK_H

#include "os/crew.h"
#include "os/file.h"

enum { SL_WALK_BLOCK = 4096, SL_WALK_DEPTH_MAX = 256 };

enum sl_walk_links {
	SL_LINKS_FOLLOW, /* a link to a file is that file; one to a folder or to nothing is refused, by name */
	SL_LINKS_REFUSE, /* any link is refused */
};

struct sl_walk_options {
	bool hidden; /* also names that begin with a dot */
	enum sl_walk_links links;
	uint64_t files_max; /* SL_E_TOO_LARGE beyond */
	/* Which files; NULL: all. `path` is relative to the folder, NUL-terminated. */
	bool (*wanted)(void *context, const char *path);
	void *context;
};

struct sl_walk_entry {
	const char *path; /* relative to the folder, NUL-terminated; valid during the call */
	size_t len;
	struct sl_file_info info; /* of the file itself; is_link: it was reached over a link */
};
typedef int sl_walk_block(void *context, const struct sl_walk_entry *entries, size_t count, struct sl_error *err);

/* `dir_fd` is an open folder; `dir` names it in errors. Sockets, devices and pipes are refused by name (SL_E_INVALID); a file that
 * goes while it is looked at is left out; a path of SL_PATH_MAX bytes or more is SL_E_TOO_LARGE. */
int sl_walk(int dir_fd, const char *dir, const struct sl_walk_options *options, struct sl_crew *crew, sl_walk_block *block,
	    void *context, struct sl_error *err);

/* Opens a regular file that a walk found, for reading: no part of the path may have become a link meanwhile, unless `link` says
 * that the last one was. */
int sl_walk_open(int dir_fd, const char *dir, const char *path, bool link, int *ret_fd, struct sl_error *err);

/* Bytes as people may read them: control bytes, and those that are not UTF-8, as \n or \xNN; cut to the size of `out`. */
char *sl_path_show(const char *path, char *out, size_t size);

#endif
