/* `each:` of a step: one instance per item of a list, per file of a glob, or per row of a query's answer. */
#include <glob.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/str.h"
#include "project/shape.h"

enum { LABEL_MAX = 48 };

struct items { struct sl_loader *loader; const struct sl_yaml *node; struct sl_each *each; };

/* A name's part out of a value: as it is when that is one, else with '_' for what cannot stand there and six digits of its hash, so that
 * different values have different names whatever other items there are. */
static const char *make_label(struct sl_loader *loader, const char *text)
{
	char label[LABEL_MAX + 1];
	size_t n = 0;
	bool plain = *text != 0;
	for (const char *p = text; *p && n < LABEL_MAX; p++) {
		bool fits = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '-' || *p == '_';
		plain &= fits;
		label[n++] = fits ? *p : '_';
	}
	label[n] = 0;
	if (plain && !text[n])
		return sl_arena_strdup(loader->arena, label);
	struct sl_hash hash;
	char hex[SL_HASH_HEX + 1];
	sl_sha256(text, strlen(text), &hash);
	return sl_arena_printf(loader->arena, "%s-%.6s", label, sl_hash_hex(&hash, hex));
}

static int add_item(struct items *items, const struct sl_yaml *value, const char *text, const char *file)
{
	struct sl_each_item *item = &items->each->items[items->each->count++];
	*item = (struct sl_each_item){.label = make_label(items->loader, text), .value = value, .file = file};
	if (!item->label)
		return sl_load_memory(items->loader);
	for (size_t i = 0; i + 1 < items->each->count; i++)
		if (strcmp(items->each->items[i].label, item->label) == 0)
			return sl_load_fail(items->loader, value->mark, SL_E_INVALID, "'%.100s' stands in 'each' a second time", text);
	return 0;
}

static int read_list(struct items *items, const struct sl_yaml *list)
{
	if (list->count > SL_EACH_MAX)
		return sl_load_fail(items->loader, list->mark, SL_E_TOO_LARGE, "'each' has more than %d items", SL_EACH_MAX);
	items->each->items = sl_arena_array(items->loader->arena, list->count + 1, sizeof *items->each->items);
	int rc = items->each->items ? 0 : sl_load_memory(items->loader);
	for (size_t i = 0; !rc && i < list->count; i++) {
		const struct sl_yaml *value;
		const char *text;
		rc = sl_load_resolve(items->loader, list->entries[i].value, &value);
		rc = rc ? rc : sl_load_text(items->loader, value, "each", &text);
		rc = rc ? rc : add_item(items, value, text, "");
	}
	return rc;
}

/* What tells the files of a glob apart: the path from the first part with a mark on, without its suffix. */
static const char *label_of_file(struct sl_loader *loader, const char *pattern, const char *path)
{
	size_t from = 0;
	for (size_t i = 0; pattern[i] && !strchr("*?[", pattern[i]); i++)
		from = pattern[i] == '/' ? i + 1 : from;
	const char *dot = strrchr(path + from, '.'), *slash = strrchr(path, '/');
	size_t len = dot && dot > path + from && (!slash || dot > slash) ? (size_t)(dot - path) - from : strlen(path + from);
	return sl_arena_strndup(loader->arena, path + from, len);
}

static int add_file(struct items *items, const char *pattern, const char *path)
{
	struct sl_arena *arena = items->loader->arena;
	struct sl_yaml *value = sl_arena_alloc(arena, sizeof *value);
	const char *copy = sl_arena_strdup(arena, path), *label = label_of_file(items->loader, pattern, path);
	if (!value || !copy || !label)
		return sl_load_memory(items->loader);
	*value = (struct sl_yaml){.kind = SL_YAML_SCALAR, .mark = items->node->mark, .text = copy};
	return add_item(items, value, label, copy);
}

static int read_glob(struct items *items, const struct sl_yaml *node)
{
	struct sl_loader *loader = items->loader;
	const char *pattern = node->text;
	glob_t found;
	if (!sl_relative_path_valid(pattern) || !strpbrk(pattern, "*?["))
		return sl_load_fail(loader, node->mark, SL_E_INVALID, "'each' wants a list, or a glob of files of the project as data/*.csv");
	const char *full = sl_arena_printf(loader->arena, "%s/%s", loader->project->dir, pattern);
	size_t dir_len = strlen(loader->project->dir) + 1;
	if (!full)
		return sl_load_memory(loader);
	int status = glob(full, 0, NULL, &found); /* sorted by name */
	if (status == GLOB_NOSPACE)
		return sl_load_memory(loader);
	int rc = status == 0 || status == GLOB_NOMATCH ? 0 : sl_load_fail(loader, node->mark, SL_E_IO, "the files of '%.200s' cannot be listed", pattern);
	size_t count = status == 0 ? found.gl_pathc : 0;
	if (!rc && count > SL_EACH_MAX)
		rc = sl_load_fail(loader, node->mark, SL_E_TOO_LARGE, "'%.200s' matches more than %d files", pattern, SL_EACH_MAX);
	items->each->items = rc ? NULL : sl_arena_array(loader->arena, count + 1, sizeof *items->each->items);
	rc = rc || items->each->items ? rc : sl_load_memory(loader);
	for (size_t i = 0; !rc && i < count; i++)
		rc = add_file(items, pattern, found.gl_pathv[i] + dir_len);
	if (status == 0)
		globfree(&found);
	return rc;
}

/* {query: SQL}: the items of its answer; without one a stand-in, which is left out. */
static int read_query(struct items *items, const struct sl_yaml *node)
{
	struct sl_loader *loader = items->loader;
	const struct sl_yaml **values;
	size_t count;
	int rc = sl_read_each_query(loader, node, &values, &count, items->each);
	items->each->items = rc ? NULL : sl_arena_array(loader->arena, count + 1, sizeof *items->each->items);
	rc = rc || items->each->items ? rc : sl_load_memory(loader);
	for (size_t i = 0; !rc && i < count; i++)
		rc = add_item(items, values[i], values[i]->text, "");
	return rc;
}

int sl_read_each(struct sl_loader *loader, const struct sl_yaml *node, struct sl_each *ret)
{
	*ret = (struct sl_each){0};
	if (node->kind != SL_YAML_MAP || node->count != 1)
		return sl_load_fail(loader, node->mark, SL_E_INVALID, "'each' wants one name with its values: each: {region: [us, eu]}");
	const struct sl_yaml *key = node->entries[0].key, *value;
	ret->name = key->text;
	if (!sl_name_valid(key->text) || strpbrk(key->text, ".-"))
		return sl_load_fail(loader, key->mark, SL_E_INVALID, "'%.100s' cannot be a parameter's name", key->text);
	if (sl_project_param(loader->project, key->text))
		return sl_load_fail(loader, key->mark, SL_E_INVALID, "'%s' is a parameter already", key->text);
	struct items items = {loader, node, ret};
	int rc = sl_load_resolve(loader, node->entries[0].value, &value);
	if (rc)
		return rc;
	static int (*const READ[])(struct items *, const struct sl_yaml *) = {
		[SL_YAML_LIST] = read_list, [SL_YAML_SCALAR] = read_glob, [SL_YAML_MAP] = read_query};
	rc = READ[value->kind](&items, value);
	return rc || ret->count ? rc : sl_load_fail(loader, value->mark, SL_E_INVALID, "'each' finds nothing: there is no item of '%s'", key->text);
}
