/* Leaves of trees of files: what is read is in order, within the tree, and adds up, or it is refused. */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/tree.h"

static struct sl_objects *objects;
static char folder[SL_PATH_MAX];

static void remove_store(void)
{
	sl_objects_close(objects);
	sl_dir_remove(folder, NULL);
}

static void open_store(void)
{
	char dir[SL_PATH_MAX], tmp[SL_PATH_MAX];
	assert(sl_dir_make_temporary("/tmp", "sl-fuzz-tree-", folder, NULL) == 0);
	snprintf(dir, sizeof dir, "%.4000s/objects", folder);
	snprintf(tmp, sizeof tmp, "%.4000s/tmp", folder);
	assert(sl_objects_open(dir, tmp, &objects, NULL) == 0);
	atexit(remove_store);
}

/* The first two bytes say how many files the root tells of; the rest is the leaf. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sl_tree_reader *reader SL_CLEANUP(sl_tree_reader_freep) = NULL;
	struct sl_tree_file file;
	struct sl_hash leaf, root;
	char text[256], hex[SL_HASH_HEX + 1], last[SL_PATH_MAX] = "";
	uint64_t files = 0, bytes = 0;
	int rc;
	if (len < 2)
		return 0;
	if (!objects)
		open_store();
	assert(sl_objects_put(objects, data + 2, len - 2, &leaf, NULL) == 0);
	snprintf(text, sizeof text, SL_TREE_MAGIC "root %d %d\n%s %d %d\n", data[0], data[1], sl_hash_hex(&leaf, hex), data[0], data[1]);
	assert(sl_objects_put(objects, text, strlen(text), &root, NULL) == 0);
	if (sl_tree_reader_new(objects, &root, &reader, NULL))
		return 0;
	while ((rc = sl_tree_reader_next(reader, &file, NULL)) == 1) {
		assert(file.len == strlen(file.path) && file.len < SL_PATH_MAX && file.path[0] != '/' && strcmp(last, file.path) < 0);
		assert(!strstr(file.path, "/../") && strncmp(file.path, "../", 3) != 0);
		memcpy(last, file.path, file.len + 1);
		files++;
		bytes += file.size_bytes;
	}
	assert(rc || (files == data[0] && bytes == data[1]));
	sl_objects_remove(objects, &leaf, NULL);
	sl_objects_remove(objects, &root, NULL);
	return 0;
}
