/* An archive's members as a tree of files. */
#ifndef SL_DATA_TREE_UNPACK_H
#define SL_DATA_TREE_UNPACK_H

#include "data/tree_take.h"

struct sl_tree_unpack {
	const char *path, *name; /* of the archive; `name` stands in errors */
	bool write;              /* else only the hash is told */
	const char *tmp;         /* folder for members that do not fit into memory, in the store's file system */
};
/* SL_E_INVALID names a member that is refused (port/archive.h), or that comes twice. */
int sl_tree_unpack(struct sl_objects *objects, const struct sl_tree_unpack *unpack, struct sl_tree_taken *ret, struct sl_error *err);

#endif
