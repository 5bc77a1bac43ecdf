/* What the files of a tree looked like when they were hashed, in the order of their paths: so that a tree in which nothing changed costs
 * one look per file. One file per tree and way of taking it, read and written from begin to end; private to this program, thrown away
 * when it is damaged or of another version.
 *
 * An entry is trusted while size, mtime, ctime and inode are what they were, and only if the file had been still for longer than a tick
 * of any file system's clock when it was hashed (data/file_hash.c).
 */
#ifndef SL_DATA_SEEN_H
#define SL_DATA_SEEN_H

#include "data/tree.h"

struct sl_seen_entry {
	struct sl_tree_file file; /* the path lives as long as the reader */
	int64_t mtime_ns, ctime_ns;
	uint64_t inode;
	bool settled;
};

/* ---- reading; all of it is empty when there is no file that can be used ---------------------------------------------- */
struct sl_seen_reader {
	const unsigned char *map;
	size_t map_len, at, end;
	struct sl_hash root;      /* the tree that was made of it */
	struct sl_tree_sum sum;
	bool has_next;
	struct sl_seen_entry next; /* the entry at the place of reading */
	size_t next_at;            /* where it begins */
};
void sl_seen_open(const char *path, struct sl_seen_reader *ret);
void sl_seen_done(struct sl_seen_reader *reader);
void sl_seen_advance(struct sl_seen_reader *reader);
/* From the first entry again. */
void sl_seen_rewind(struct sl_seen_reader *reader);
/* Is the entry what the file is now, and may it be believed? */
bool sl_seen_holds(const struct sl_seen_entry *entry, const struct sl_file_info *info);

/* ---- writing --------------------------------------------------------------------------------------------------------- */
struct sl_seen_writer;
/* A new file for `path`, which takes its place at the end. */
int sl_seen_writer_new(const char *path, struct sl_seen_writer **ret, struct sl_error *err);
void sl_seen_writer_free(struct sl_seen_writer *writer); /* without end: nothing changed */
void sl_seen_writer_freep(struct sl_seen_writer **writer);
int sl_seen_writer_add(struct sl_seen_writer *writer, const struct sl_seen_entry *entry, struct sl_error *err);
/* The entries of `reader` before `end` (an entry's place), as they are. */
int sl_seen_writer_copy(struct sl_seen_writer *writer, const struct sl_seen_reader *reader, size_t end, struct sl_error *err);
int sl_seen_writer_end(struct sl_seen_writer *writer, const struct sl_hash *root, const struct sl_tree_sum *sum, struct sl_error *err);

/* ---- forgetting ------------------------------------------------------------------------------------------------------ */

/* What `dir` remembers of trees that are not kept goes, before any object does: a memory of a tree is trusted while its root is there,
 * and a collection that is broken off may leave a root without its files. */
int sl_seen_forget(const char *dir, bool (*kept)(void *context, const struct sl_hash *root), void *context, struct sl_error *err);

#endif
