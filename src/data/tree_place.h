/* Makes a folder hold a version of a tree. What is placed is proved by its hash; the object store is never written through it. */
#ifndef SL_DATA_TREE_PLACE_H
#define SL_DATA_TREE_PLACE_H

#include "data/tree.h"

/* Makes the folder `dir`, which must not exist (its parent must), with every file of the tree. Modes are 0644, 0755 where the owner may
 * execute, less umask; of links 0444. On failure what was made is left there for the caller to remove. Not synced. */
int sl_tree_place(struct sl_objects *objects, const struct sl_hash *root, const char *dir, enum sl_place_how how,
		  struct sl_error *err);

struct sl_tree_checkout {
	const char *dir;      /* absolute; made when missing, with its parents */
	enum sl_place_how how;
	bool force;           /* also over files that were changed since they were placed, or never placed by us */
	const char *seen_dir; /* where it is remembered what was placed and how files looked */
};
struct sl_tree_checked_out { uint64_t added, changed, removed, kept; };
/* Brings `dir` to the version, file by file, each old or new and never half; what is right already is not touched. SL_E_CONFLICT, before
 * anything is changed, when files there are not what was placed last: says how many, and the first. */
int sl_tree_checkout(struct sl_objects *objects, const struct sl_hash *root, const struct sl_tree_checkout *checkout,
		     struct sl_tree_checked_out *ret, struct sl_error *err);

#endif
