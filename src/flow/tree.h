/* Inside flow/: files and folders that commands make and read. A file is an object; a folder is the object of a manifest
 * (docs/formats/tree.md):
 *
 *   {"files":[{"object":hash,"path":"a/b","size":N}...],"format":"sluice.tree/1"}    sorted by path, no links, no empty folders
 */
#ifndef SL_FLOW_TREE_H
#define SL_FLOW_TREE_H

#include "track/store.h"

enum { SL_TREE_FILES_MAX = 1000000, SL_TREE_DEPTH_MAX = 64 };

/* Keeps `path`, which is moved away: a file or a folder. Links and devices are refused. */
int flow_tree_keep(struct sl_store *store, const char *path, struct sl_hash *ret, struct sl_error *err);
/* Is `dir`/`path` what `hash` names? Files are compared by their hash (remembered while size and times stay), folders by their
 * manifest. */
bool flow_tree_in_place(struct sl_store *store, const char *dir, const char *path, const struct sl_hash *hash);
/* Makes `dir`/`path` so, old or new and never half; the copies belong to the user. */
int flow_tree_place(struct sl_store *store, const char *dir, const char *path, const struct sl_hash *hash, struct sl_error *err);
/* Copies (or, with `link`, points to) the file or folder at `to`, which must not exist. */
int flow_tree_copy(struct sl_store *store, const struct sl_hash *hash, const char *to, bool link, struct sl_error *err);

#endif
