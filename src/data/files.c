#include "data/files.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

enum { PARTS_MAX = 128 };

struct search {
	const char *dir;          /* what relative names start from */
	const char *parts[PARTS_MAX];
	size_t part_count, max;
	struct sl_arena *arena;
	struct sl_found *found;
	bool absolute;
};

static int visit(struct search *s, const char *name, size_t part, struct sl_error *err);
static int take(struct search *s, const char *name, bool enter, struct sl_error *err);

static bool is_glob(const char *part) { return strpbrk(part, "*?[") != NULL; }

static int full_path(const struct search *s, const char *name, char out[SL_PATH_MAX], struct sl_error *err)
{
	if (!s->absolute)
		return sl_path_join(out, s->dir, *name ? name : ".", err);
	return snprintf(out, SL_PATH_MAX, "/%s", name) < SL_PATH_MAX ? 0
								     : sl_fail_at(err, SL_E_TOO_LARGE, name, "path is too long");
}

static int add(struct search *s, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct sl_found *found = s->found;

	if (found->count == s->max)
		return sl_fail(err, SL_E_TOO_LARGE, "more than %zu files", s->max);
	if (found->count == found->capacity) {
		size_t capacity = found->capacity ? found->capacity * 2 : 16;
		struct sl_found_file *files = sl_arena_array(s->arena, capacity, sizeof *files);
		if (!files)
			return sl_fail_memory(err);
		if (found->count)
			memcpy(files, found->files, found->count * sizeof *files);
		found->files = files;
		found->capacity = capacity;
	}
	char *copy = sl_arena_printf(s->arena, "%s%s", s->absolute ? "/" : "", name);
	if (!copy)
		return sl_fail_memory(err);
	found->files[found->count++] = (struct sl_found_file){.name = copy, .info = *info};
	return 0;
}

struct level {
	struct search *search;
	const char *name;   /* of the folder that is listed */
	const char *pattern;
	size_t next;        /* part that its entries go on with; part_count: take files */
	bool deep;          /* below a "**" */
};

static bool entry_fits(const struct level *level, const char *entry)
{
	return level->deep ? entry[0] != '.' : fnmatch(level->pattern, entry, FNM_PERIOD) == 0;
}

static int each_entry(void *context, const char *entry, const struct sl_file_info *info, struct sl_error *err)
{
	const struct level *level = context;
	char name[SL_PATH_MAX];

	if (!entry_fits(level, entry) || (level->deep && !info->is_dir))
		return 0;
	if (snprintf(name, sizeof name, "%s%s%s", level->name, *level->name ? "/" : "", entry) >= (int)sizeof name)
		return sl_fail_at(err, SL_E_TOO_LARGE, entry, "path is too long");
	return visit(level->search, name, level->next, err);
}

static int list(struct search *s, const char *name, const struct level *level, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int rc = full_path(s, name, path, err);

	if (rc < 0 || !sl_dir_exists(path))
		return rc;
	struct level copy = *level;
	return sl_dir_each(path, each_entry, &copy, err);
}

/* Every file in a folder and below: what a folder as source means. */
static int each_below(void *context, const char *entry, const struct sl_file_info *info, struct sl_error *err)
{
	const struct level *level = context;
	char name[SL_PATH_MAX];

	if (entry[0] == '.')
		return 0;
	if (snprintf(name, sizeof name, "%s%s%s", level->name, *level->name ? "/" : "", entry) >= (int)sizeof name)
		return sl_fail_at(err, SL_E_TOO_LARGE, entry, "path is too long");
	return take(level->search, name, !info->is_link, err);
}

/* A file is taken; a folder is gone into when `enter`. */
static int take(struct search *s, const char *name, bool enter, struct sl_error *err)
{
	struct sl_file_info info;
	char path[SL_PATH_MAX];
	int rc = full_path(s, name, path, err);

	if (rc < 0)
		return rc;
	if (sl_file_info(path, &info, NULL) < 0)
		return 0; /* a literal part that is not there, or a link to nothing */
	if (info.is_regular)
		return add(s, name, &info, err);
	if (!info.is_dir || !enter)
		return 0;
	struct level level = {.search = s, .name = name};
	return sl_dir_each(path, each_below, &level, err);
}

/* `name` matched the parts before `part`; goes on with that one. */
static int visit(struct search *s, const char *name, size_t part, struct sl_error *err)
{
	char next[SL_PATH_MAX];
	int rc;

	if (part == s->part_count)
		return take(s, name, true, err);
	const char *pattern = s->parts[part];
	if (strcmp(pattern, "**") == 0) {
		const struct level deeper = {.search = s, .name = name, .next = part, .deep = true};
		rc = visit(s, name, part + 1, err);
		return rc < 0 ? rc : list(s, name, &deeper, err);
	}
	if (is_glob(pattern)) {
		const struct level level = {.search = s, .name = name, .pattern = pattern, .next = part + 1};
		return list(s, name, &level, err);
	}
	if (snprintf(next, sizeof next, "%s%s%s", name, *name ? "/" : "", pattern) >= (int)sizeof next)
		return sl_fail_at(err, SL_E_TOO_LARGE, pattern, "path is too long");
	return visit(s, next, part + 1, err);
}

/* ---- matching a path ------------------------------------------------------------------------------------------------ */

/* The part at the beginning of `path`, copied; returns what is behind it and its '/', or NULL when it was the last. */
static const char *next_part(const char *path, char out[SL_PATH_MAX])
{
	size_t n = strcspn(path, "/");
	snprintf(out, SL_PATH_MAX, "%.*s", (int)n, path);
	return path[n] ? path + n + 1 : NULL;
}

bool sl_files_match(const char *pattern, const char *path)
{
	char wanted[SL_PATH_MAX], part[SL_PATH_MAX];
	const char *more_pattern = next_part(pattern, wanted);
	if (strcmp(wanted, "**") != 0) {
		const char *more_path = next_part(path, part);
		if (fnmatch(wanted, part, FNM_PERIOD) != 0)
			return false;
		return more_pattern && more_path ? sl_files_match(more_pattern, more_path) : !more_pattern && !more_path;
	}
	/* Any number of folders, none of them hidden; what is last must be a file. */
	for (; path; path = *path == '.' ? NULL : next_part(path, part))
		if (!more_pattern ? !strchr(path, '/') && *path != '.' : sl_files_match(more_pattern, path))
			return true;
	return false;
}

void sl_files_split(const char *pattern, char ret_dir[SL_PATH_MAX], const char **ret_rest)
{
	const char *rest = pattern;
	for (const char *at = pattern; *at;) {
		size_t n = strcspn(at, "/");
		if (memchr(at, '*', n) || memchr(at, '?', n) || memchr(at, '[', n))
			break;
		at += n + (at[n] == '/');
		rest = at;
	}
	snprintf(ret_dir, SL_PATH_MAX, "%.*s", (int)(rest - pattern), pattern);
	*ret_rest = rest;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct sl_found_file *)a)->name, ((const struct sl_found_file *)b)->name);
}

/* "**" can come to the same file on two ways. */
static void drop_twins(struct sl_found *found)
{
	size_t kept = 0;

	for (size_t i = 0; i < found->count; i++)
		if (!kept || strcmp(found->files[i].name, found->files[kept - 1].name) != 0)
			found->files[kept++] = found->files[i];
	found->count = kept;
}

int sl_files_find(const char *dir, const char *pattern, size_t max, struct sl_arena *arena, struct sl_found *ret,
		  struct sl_error *err)
{
	struct search s = {.dir = dir, .max = max, .arena = arena, .found = ret, .absolute = pattern[0] == '/'};
	char *copy = sl_arena_strdup(arena, pattern), *rest = NULL;

	*ret = (struct sl_found){0};
	if (!copy)
		return sl_fail_memory(err);
	for (char *part = strtok_r(copy, "/", &rest); part; part = strtok_r(NULL, "/", &rest)) {
		if (strcmp(part, ".") == 0)
			continue;
		if (s.part_count == PARTS_MAX)
			return sl_fail_at(err, SL_E_TOO_LARGE, pattern, "a path has more than %d parts", PARTS_MAX);
		s.parts[s.part_count++] = part;
	}
	int rc = visit(&s, "", 0, err);
	if (rc < 0)
		return rc;
	if (ret->count)
		qsort(ret->files, ret->count, sizeof *ret->files, by_name);
	drop_twins(ret);
	return 0;
}

enum { NEAR_NAMES_MAX = 1000 };

struct near_names {
	struct sl_arena *arena;
	const char *names[NEAR_NAMES_MAX];
	size_t count;
};

static int keep_name(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct near_names *near = context;
	(void)info, (void)err;
	if (near->count == NEAR_NAMES_MAX || !(near->names[near->count] = sl_arena_strdup(near->arena, name)))
		return 1;
	near->count++;
	return 0;
}

const char *sl_files_nearest(const char *dir, const char *path, struct sl_arena *arena)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	const char *folder = sl_arena_printf(arena, "%s%s%.*s", *path == '/' ? "" : dir, *path == '/' ? "" : "/", (int)(name - path), path);
	struct near_names *near = sl_arena_alloc(arena, sizeof *near);
	if (!folder || !near || path[strcspn(path, "*?[")])
		return NULL;
	near->arena = arena;
	sl_dir_each(folder, keep_name, near, NULL);
	const char *nearest = sl_str_nearest(name, near->names, near->count);
	return nearest ? sl_arena_printf(arena, "%.*s%s", (int)(name - path), path, nearest) : NULL;
}
