#include "data/tree_place.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "data/tree_take.h"
#include "os/sys.h"

enum { BLOCK_FILES = 2048 };

/* ---- files of a tree, many at once ---------------------------------------------------------------------------------- */

struct placing {
	struct sl_objects *objects;
	const char *dir;
	enum sl_place_how how;
	bool replace; /* a file may be there already */
	struct sl_crew *crew;
	struct sl_buf paths;
	struct { size_t path; struct sl_hash hash; bool executable; } files[BLOCK_FILES];
	size_t count;
	char last_dir[SL_PATH_MAX]; /* made already */
};

static int full_path(const char *dir, const char *path, char out[SL_PATH_MAX], struct sl_error *err)
{
	char shown[512];
	if (snprintf(out, SL_PATH_MAX, "%s/%s", dir, path) < SL_PATH_MAX)
		return 0;
	return sl_fail_at(err, SL_E_TOO_LARGE, dir, "with '%s' the path is longer than %d bytes", sl_path_show(path, shown, sizeof shown),
			  SL_PATH_MAX - 1);
}

static int place_one(void *context, size_t i, int worker, struct sl_error *err)
{
	struct placing *p = context;
	char to[SL_PATH_MAX], fresh[SL_PATH_MAX + 64];
	unsigned mode = p->files[i].executable ? 0777 : 0666;
	(void)worker;
	int rc = full_path(p->dir, p->paths.data + p->files[i].path, to, err);
	if (rc || !p->replace)
		return rc ? rc : sl_objects_place(p->objects, &p->files[i].hash, to, mode, p->how, err);
	/* Beside it, so that it is the old file or the new one. */
	char *slash = strrchr(to, '/');
	snprintf(fresh, sizeof fresh, "%.*s/.sluice-%ld-%zu", (int)(slash - to), to, (long)getpid(), i);
	sl_sys->unlink(fresh);
	rc = strlen(fresh) < SL_PATH_MAX ? 0 : sl_fail_at(err, SL_E_TOO_LARGE, to, "path is too long");
	rc = rc ? rc : sl_objects_place(p->objects, &p->files[i].hash, fresh, mode, p->how, err);
	rc = rc ? rc : sl_file_rename(fresh, to, err);
	if (rc)
		sl_sys->unlink(fresh);
	return rc;
}

static int flush_block(struct placing *p, struct sl_error *err)
{
	int rc = sl_buf_check(&p->paths, "the paths of a tree", err);
	rc = rc ? rc : sl_crew_run(p->crew, p->count, place_one, p, err);
	p->count = 0;
	sl_buf_clear(&p->paths);
	return rc;
}

/* Files come in order, so a folder's files stand together. */
static int make_parent(struct placing *p, const struct sl_tree_file *file, struct sl_error *err)
{
	char dir[SL_PATH_MAX];
	const char *slash = strrchr(file->path, '/');
	int len = slash ? (int)(slash - file->path) : 0;
	if (!len || ((int)strlen(p->last_dir) == len && strncmp(p->last_dir, file->path, (size_t)len) == 0))
		return 0;
	snprintf(p->last_dir, sizeof p->last_dir, "%.*s", len, file->path);
	int rc = full_path(p->dir, p->last_dir, dir, err);
	return rc ? rc : sl_dir_make(dir, err);
}

static int add_file(struct placing *p, const struct sl_tree_file *file, struct sl_error *err)
{
	int rc = make_parent(p, file, err);
	if (rc)
		return rc;
	p->files[p->count].path = p->paths.len;
	p->files[p->count].hash = file->hash;
	p->files[p->count++].executable = file->executable;
	sl_buf_add(&p->paths, file->path, file->len + 1);
	return p->count == BLOCK_FILES ? flush_block(p, err) : 0;
}

static int placing_new(struct sl_objects *objects, const char *dir, enum sl_place_how how, struct placing **ret, struct sl_error *err)
{
	struct placing *p = sl_alloc(sizeof *p, err);
	if (!p)
		return SL_E_NO_MEMORY;
	p->objects = objects;
	p->dir = dir;
	p->how = how;
	sl_buf_init(&p->paths, (size_t)BLOCK_FILES * SL_PATH_MAX);
	*ret = p;
	return sl_crew_new(0, &p->crew, err);
}

static void placing_freep(struct placing **placing)
{
	struct placing *p = *placing;
	if (!p)
		return;
	sl_crew_free(p->crew);
	sl_buf_done(&p->paths);
	sl_free(p);
}

int sl_tree_place(struct sl_objects *objects, const struct sl_hash *root, const char *dir, enum sl_place_how how,
		  struct sl_error *err)
{
	struct placing *p SL_CLEANUP(placing_freep) = NULL;
	struct sl_tree_reader *reader SL_CLEANUP(sl_tree_reader_freep) = NULL;
	struct sl_tree_file file;
	int rc = sl_tree_reader_new(objects, root, &reader, err);
	rc = rc ? rc : placing_new(objects, dir, how, &p, err);
	if (!rc && sl_sys->mkdir(dir, 0777))
		rc = sl_fail_errno(err, errno, dir, "cannot make the folder");
	while (!rc && (rc = sl_tree_reader_next(reader, &file, err)) == 1)
		rc = add_file(p, &file, err);
	return rc ? rc : flush_block(p, err);
}

/* ---- a folder that is there ------------------------------------------------------------------------------------------ */

struct update { struct placing *placing; struct sl_tree_checked_out *sum; };

static bool remove_folder_above(char *path, const char *dir)
{
	char *slash = strrchr(path, '/');
	if ((size_t)(slash - path) <= strlen(dir))
		return false;
	*slash = 0;
	return sl_sys->rmdir(path) == 0; /* until one is not empty */
}

static int remove_file(struct placing *p, const char *path, struct sl_error *err)
{
	char full[SL_PATH_MAX];
	int rc = full_path(p->dir, path, full, err);
	if (!rc && sl_sys->unlink(full) && errno != ENOENT && errno != ENOTDIR)
		rc = sl_fail_errno(err, errno, full, "cannot remove");
	while (!rc && remove_folder_above(full, p->dir))
		;
	return rc;
}

/* First what goes: a file may give way to a folder of its name, and the other way round. */
static int remove_gone(void *context, const struct sl_tree_file *a, const struct sl_tree_file *b, struct sl_error *err)
{
	struct update *u = context;
	u->sum->removed += !b;
	return a && !b ? remove_file(u->placing, a->path, err) : 0;
}

static int put_new(void *context, const struct sl_tree_file *a, const struct sl_tree_file *b, struct sl_error *err)
{
	struct update *u = context;
	u->sum->added += b && !a;
	u->sum->changed += b && a;
	return b ? add_file(u->placing, b, err) : 0;
}

static int update(struct sl_objects *objects, const struct sl_hash *from, const struct sl_hash *to, const struct sl_tree_checkout *c,
		  struct sl_tree_checked_out *ret, struct sl_error *err)
{
	struct placing *p SL_CLEANUP(placing_freep) = NULL;
	struct sl_tree_reader *reader SL_CLEANUP(sl_tree_reader_freep) = NULL;
	struct update u = {.sum = ret};
	int rc = placing_new(objects, c->dir, c->how, &p, err);
	if (rc)
		return rc;
	p->replace = true;
	u.placing = p;
	rc = sl_tree_compare(objects, from, to, remove_gone, &u, err);
	rc = rc ? rc : sl_tree_compare(objects, from, to, put_new, &u, err);
	rc = rc ? rc : flush_block(p, err);
	rc = rc ? rc : sl_tree_reader_new(objects, to, &reader, err);
	if (!rc)
		ret->kept = sl_tree_reader_sum(reader)->files - ret->added - ret->changed;
	return rc;
}

/* ---- what was placed last -------------------------------------------------------------------------------------------- */

static int placed_path(const struct sl_tree_checkout *c, char out[SL_PATH_MAX], struct sl_error *err)
{
	struct sl_hash key;
	char hex[SL_HASH_HEX + 1], name[SL_HASH_HEX + 16];
	sl_sha256(c->dir, strlen(c->dir), &key);
	snprintf(name, sizeof name, "%s.placed", sl_hash_hex(&key, hex));
	return sl_path_join(out, c->seen_dir, name, err);
}

/* false: nothing is known. */
static bool read_placed(const char *path, struct sl_hash *ret)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(SL_HASH_HEX + 1);
	return sl_file_read(path, &text, NULL) == 0 && sl_hash_parse(sl_buf_cstr(&text), ret);
}

static int write_placed(const struct sl_tree_checkout *c, const char *path, const struct sl_hash *root, struct sl_error *err)
{
	char hex[SL_HASH_HEX + 1];
	int rc = sl_dir_make(c->seen_dir, err);
	return rc ? rc : sl_file_replace(path, sl_hash_hex(root, hex), SL_HASH_HEX, 0600, err);
}

struct edits { uint64_t count; char first[512]; };

static int note_edit(void *context, const struct sl_tree_file *a, const struct sl_tree_file *b, struct sl_error *err)
{
	struct edits *edits = context;
	(void)err;
	if (edits->count++ == 0)
		sl_path_show((a ? a : b)->path, edits->first, sizeof edits->first);
	return 0;
}

static int refuse_edits(struct sl_objects *objects, const struct sl_tree_checkout *c, const struct sl_hash *placed,
			const struct sl_hash *now, struct sl_error *err)
{
	struct edits edits = {0};
	int rc = placed ? sl_tree_compare(objects, placed, now, note_edit, &edits, NULL) : 0;
	if (rc || !placed)
		sl_fail_at(err, SL_E_CONFLICT, c->dir, "the folder holds files that no version was placed over");
	else
		sl_fail_at(err, SL_E_CONFLICT, c->dir, "%llu %s changed there since a version was placed, the first is '%s'",
			   (unsigned long long)edits.count, edits.count == 1 ? "file was" : "files were", edits.first);
	return sl_error_hint(err, "keep them elsewhere, or overwrite them with --force");
}

/* What the folder holds now, as a tree in the store, so that it can be compared: files that are not in the store yet are kept there. */
static int take_now(struct sl_objects *objects, const struct sl_tree_checkout *c, struct sl_tree_taken *ret, struct sl_error *err)
{
	const struct sl_tree_take take = {.dir = c->dir, .hidden = true, .links = SL_LINKS_REFUSE, .how = SL_PUT_COPY, .write = true,
					  .seen_dir = c->seen_dir};
	return sl_tree_take(objects, &take, ret, err);
}

static int make_new(struct sl_objects *objects, const struct sl_hash *root, const struct sl_tree_checkout *c,
		    struct sl_tree_checked_out *ret, struct sl_error *err)
{
	char fresh[SL_PATH_MAX], parent[SL_PATH_MAX];
	struct sl_tree_reader *reader SL_CLEANUP(sl_tree_reader_freep) = NULL;
	snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(c->dir, '/') - c->dir), c->dir);
	int rc = *parent ? sl_dir_make(parent, err) : 0;
	rc = rc ? rc : sl_tree_reader_new(objects, root, &reader, err);
	if (!rc && snprintf(fresh, sizeof fresh, "%s/.sluice-get-%ld", parent, (long)getpid()) >= SL_PATH_MAX)
		rc = sl_fail_at(err, SL_E_TOO_LARGE, c->dir, "path is too long");
	if (rc)
		return rc;
	sl_dir_remove(fresh, NULL);
	rc = sl_tree_place(objects, root, fresh, c->how, err);
	if (!rc && sl_sys->rmdir(c->dir) && errno != ENOENT)
		rc = sl_fail_errno(err, errno, c->dir, "cannot take the place of the folder");
	rc = rc ? rc : sl_file_rename(fresh, c->dir, err);
	if (rc)
		sl_dir_remove(fresh, NULL);
	else
		ret->added = sl_tree_reader_sum(reader)->files;
	return rc;
}

static int note_entry(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	(void)context, (void)name, (void)info, (void)err;
	return 1;
}

int sl_tree_checkout(struct sl_objects *objects, const struct sl_hash *root, const struct sl_tree_checkout *checkout,
		     struct sl_tree_checked_out *ret, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	struct sl_hash placed;
	struct sl_tree_taken now;
	*ret = (struct sl_tree_checked_out){0};
	int rc = placed_path(checkout, path, err);
	if (rc)
		return rc;
	if (!sl_dir_exists(checkout->dir) || sl_dir_each(checkout->dir, note_entry, NULL, NULL) == 0) {
		rc = make_new(objects, root, checkout, ret, err);
		return rc ? rc : write_placed(checkout, path, root, err);
	}
	bool known = read_placed(path, &placed);
	rc = take_now(objects, checkout, &now, err);
	if (rc)
		return rc;
	if (!checkout->force && !sl_hash_eq(&now.hash, root) && !(known && sl_hash_eq(&now.hash, &placed)))
		return refuse_edits(objects, checkout, known ? &placed : NULL, &now.hash, err);
	rc = update(objects, &now.hash, root, checkout, ret, err);
	return rc ? rc : write_placed(checkout, path, root, err);
}
