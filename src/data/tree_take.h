/* Takes a folder of files into the store as a tree. A file that was seen before and did not change since is looked at once and not read;
 * others are hashed and kept in one pass, on all processors. Everything becomes durable together (port/object.h, batches). */
#ifndef SL_DATA_TREE_TAKE_H
#define SL_DATA_TREE_TAKE_H

#include "data/tree.h"
#include "os/walk.h"

struct sl_tree_take {
	const char *dir;            /* absolute */
	const char *pattern;        /* which files below it (sl_files_match); NULL: all */
	bool hidden;                /* also names that begin with a dot */
	enum sl_walk_links links;
	enum sl_put_how how;        /* MOVE: the files were made for us */
	bool write;                 /* else only the hash is told: nothing is kept, nothing remembered */
	const char *seen_dir;       /* where it is remembered what the files look like; NULL: nowhere */
	const volatile int *cancel; /* may be NULL */
	/* Files and bytes so far; may be NULL. */
	void (*progress)(void *context, uint64_t files, uint64_t size_bytes);
	void *context;
};
struct sl_tree_taken {
	struct sl_hash hash;
	struct sl_tree_sum sum;
	uint64_t read_files; /* of them, what had to be read */
};
/* SL_E_NOT_FOUND without the folder; SL_E_INVALID for what is no file, by name (os/walk.h); SL_E_FAILED (retriable) when a file
 * changes while it is read. */
int sl_tree_take(struct sl_objects *objects, const struct sl_tree_take *take, struct sl_tree_taken *ret, struct sl_error *err);

#endif
