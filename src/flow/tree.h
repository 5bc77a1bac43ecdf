/* Inside flow/: files and folders that commands make and read. A file is an object, a folder is a tree (data/tree.h). */
#ifndef SL_FLOW_TREE_H
#define SL_FLOW_TREE_H

#include "data/tree_take.h"
#include "track/store.h"

/* Keeps `path`, which is moved away: a file or a folder. Links and devices are refused. */
int flow_tree_keep(struct sl_store *store, const char *path, struct sl_hash *ret, struct sl_error *err);
/* The same for what must be a folder. */
int flow_tree_take(struct sl_store *store, const char *path, struct sl_tree_taken *ret, struct sl_error *err);
/* Is `dir`/`path` what `hash` names? Files are compared by their hash (remembered while size and times stay), folders by their
 * manifest. */
bool flow_tree_in_place(struct sl_store *store, const char *dir, const char *path, const struct sl_hash *hash);
/* Makes `dir`/`path` so, old or new and never half; the copies belong to the user. */
int flow_tree_place(struct sl_store *store, const char *dir, const char *path, const struct sl_hash *hash, struct sl_error *err);
/* Makes the file or folder `to`, which must not exist. With `link` it may share what the store has, read-only; else it is a copy. */
int flow_tree_copy(struct sl_store *store, const struct sl_hash *hash, const char *to, bool link, struct sl_error *err);

#endif
