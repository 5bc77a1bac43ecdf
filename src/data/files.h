/* Which files a pattern means. */
#ifndef SL_DATA_FILES_H
#define SL_DATA_FILES_H

#include "base/error.h"
#include "base/mem.h"
#include "os/file.h"

struct sl_found_file { const char *name; struct sl_file_info info; };
struct sl_found { struct sl_found_file *files; size_t count, capacity; };

/* Regular files that `pattern` (relative to `dir`, or absolute) means, sorted by name, in `arena`: a file; a glob with * ? [..]
 * in any part, where the part "**" stands for any number of folders; a folder, for every file below it. Names are the pattern's
 * own way of saying them: relative stays relative. Names that start with a dot are left out unless the pattern's part does. Links
 * are followed, but not into folders by "**", so that loops end. At most `max` files. None: count 0. */
int sl_files_find(const char *dir, const char *pattern, size_t max, struct sl_arena *arena, struct sl_found *ret,
		  struct sl_error *err);

/* The file or folder beside where `path` (relative to `dir`, or absolute) would be whose name is nearest to it, in the path's own
 * way of saying it; NULL: none is near. For "did you mean". */
const char *sl_files_nearest(const char *dir, const char *path, struct sl_arena *arena);

/* Does the relative path fit the pattern? Parts as above; the whole path must fit. */
bool sl_files_match(const char *pattern, const char *path);
/* Splits a pattern at its first part with * ? [: "data/" and "**" / "*.jpg". `ret_rest` points into the pattern, "" when it has none. */
void sl_files_split(const char *pattern, char ret_dir[SL_PATH_MAX], const char **ret_rest);

#endif
