/* Trees of plain files as dataset versions. A version is the SHA-256 of its root, an object like another; the root lists leaves, and
 * a leaf lists files (docs/formats/tree.md). Where a leaf ends is decided by the paths alone, so equal content gives an equal version
 * whatever was done in what order, and one changed file among a million makes one new leaf and one new root.
 *
 * Paths are bytes, relative, without empty, "." or ".." parts, at most SL_PATH_MAX - 1 of them, and sorted as bytes.
 */
#ifndef SL_DATA_TREE_H
#define SL_DATA_TREE_H

#include <stdbool.h>

#include "base/buf.h"
#include "port/object.h"

#define SL_TREE_MAGIC "sluice.tree/2 "
enum { SL_TREE_FILES_MAX = 16000000, SL_TREE_LEAF_FILES_MAX = 8192 };

struct sl_tree_file {
	const char *path; /* NUL-terminated */
	size_t len;
	struct sl_hash hash;
	uint64_t size_bytes;
	bool executable;
};
struct sl_tree_sum { uint64_t files, size_bytes; };

/* ---- writing -------------------------------------------------------------------------------------------------------- */

struct sl_tree_writer;
/* `batch` gets the leaves and the root; NULL: only the hash is wanted, nothing is kept. */
int sl_tree_writer_new(struct sl_batch *batch, struct sl_tree_writer **ret, struct sl_error *err);
void sl_tree_writer_free(struct sl_tree_writer *writer);
void sl_tree_writer_freep(struct sl_tree_writer **writer);
/* In order; SL_E_INVALID for a path that is out of order, twice there, or also a folder ("a" beside "a/b"). */
int sl_tree_writer_add(struct sl_tree_writer *writer, const struct sl_tree_file *file, struct sl_error *err);
int sl_tree_writer_end(struct sl_tree_writer *writer, struct sl_hash *ret, struct sl_tree_sum *ret_sum, struct sl_error *err);

/* ---- reading -------------------------------------------------------------------------------------------------------- */

struct sl_tree_reader;
/* SL_E_INVALID when the object is no tree, SL_E_CORRUPT when it is a damaged one. One leaf is in memory. */
int sl_tree_reader_new(struct sl_objects *objects, const struct sl_hash *root, struct sl_tree_reader **ret, struct sl_error *err);
void sl_tree_reader_free(struct sl_tree_reader *reader);
void sl_tree_reader_freep(struct sl_tree_reader **reader);
const struct sl_tree_sum *sl_tree_reader_sum(const struct sl_tree_reader *reader);
/* 1 with the next file, in order, whose path lives until the next call; 0 at the end. */
int sl_tree_reader_next(struct sl_tree_reader *reader, struct sl_tree_file *ret, struct sl_error *err);
/* At the beginning of a leaf: its hash; else NULL. So that two trees that share leaves are compared without reading them. */
const struct sl_hash *sl_tree_reader_leaf(const struct sl_tree_reader *reader);
void sl_tree_reader_skip_leaf(struct sl_tree_reader *reader);

/* Does the object hold a tree's root? */
int sl_tree_is(struct sl_objects *objects, const struct sl_hash *hash, bool *ret, struct sl_error *err);
/* Of bytes: a leaf, whose hashes name files and nothing else. */
bool sl_tree_is_leaf(const char *text, size_t len);

/* ---- differences ---------------------------------------------------------------------------------------------------- */

/* Calls `each` with every path that differs, in order: `a` NULL for an added file, `b` NULL for a removed one. Leaves that both have are
 * not read. */
typedef int sl_tree_difference(void *context, const struct sl_tree_file *a, const struct sl_tree_file *b, struct sl_error *err);
int sl_tree_compare(struct sl_objects *objects, const struct sl_hash *a, const struct sl_hash *b, sl_tree_difference *each,
		    void *context, struct sl_error *err);

#endif
