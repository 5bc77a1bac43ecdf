/* Endpoints of model files: what is on the disk, what of it is loaded, and what is let go when memory is short. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "serve/endpoint_internal.h"
#include "serve/model_open.h"

struct shelf {
	struct sl_serving_files options;
	char **files;
	char *dir;
	uint64_t used_bytes, warm_bytes;
	struct shelf_version *oldest, *newest; /* of the loaded ones */
};


/* ---- the loaded ones, by when they were last asked ---- */

static void unlink_loaded(struct shelf *shelf, struct shelf_version *version)
{
	*(version->older ? &version->older->newer : &shelf->oldest) = version->newer;
	*(version->newer ? &version->newer->older : &shelf->newest) = version->older;
	version->older = version->newer = NULL;
}

static void link_newest(struct shelf *shelf, struct shelf_version *version)
{
	version->older = shelf->newest;
	*(shelf->newest ? &shelf->newest->newer : &shelf->oldest) = version;
	shelf->newest = version;
}

static void let_go(struct shelf *shelf, struct shelf_version *version)
{
	if (!version->served)
		return;
	shelf->used_bytes -= sl_model_memory(version->served);
	unlink_loaded(shelf, version);
	sl_served_unref(version->served);
	version->served = NULL;
}

static void make_room(struct shelf *shelf, const struct shelf_version *keep)
{
	while (shelf->used_bytes > shelf->options.memory_bytes && shelf->oldest != keep)
		let_go(shelf, shelf->oldest);
}

/* ---- loading ---- */

static void keep_problem(struct shelf_model *model, struct shelf_version *version, const struct sl_error *why)
{
	if (!version->problem)
		version->problem = sl_arena_alloc(model->arena, sizeof *version->problem);
	if (version->problem)
		*version->problem = *why;
	sl_log(SL_LOG_WARNING, "model '%s' version %s cannot be served: %s: %s", model->spec.name, version->file.version, why->where,
	       why->message);
}

static int load_version(struct sl_endpoint_state *endpoint, struct shelf_version *version, struct sl_error *err)
{
	struct shelf_model *model = endpoint->files;
	struct sl_error why = {0};
	int rc = sl_model_open(endpoint, &model->spec, &version->file, model->config, &version->served, &why);
	if (rc) {
		keep_problem(model, version, &why);
		if (err)
			*err = why;
		return rc;
	}
	model->shelf->used_bytes += sl_model_memory(version->served);
	link_newest(model->shelf, version);
	make_room(model->shelf, version);
	return 0;
}

static struct shelf_version *find_version(const struct shelf_model *model, const char *text, size_t len)
{
	for (size_t i = model->version_count; i-- > 0;) {
		const char *have = model->versions[i].file.version;
		if (text ? strlen(have) == len && memcmp(have, text, len) == 0 : !model->versions[i].problem)
			return &model->versions[i];
	}
	return NULL;
}

static int no_version(const struct sl_endpoint_state *endpoint, const char *text, size_t len, struct sl_error *err)
{
	const struct shelf_model *model = endpoint->files;
	if (model->unloaded)
		return sl_fail(err, SL_E_BUSY, "model '%s' is not ready: it was unloaded", model->spec.name);
	if (endpoint->problem.code || !text)
		return sl_fail(err, SL_E_BUSY, "model '%s' is not ready: it could not be loaded", model->spec.name);
	sl_fail(err, SL_E_NOT_FOUND, "version '%.*s' of '%s' is not served", (int)(len < 40 ? len : 40), text, model->spec.name);
	return sl_error_hint(err, "version %s is", model->versions[model->version_count - 1].file.version);
}

int shelf_take(struct sl_endpoint_state *endpoint, const char *text, size_t len, struct sl_served **ret, struct sl_error *err)
{
	struct shelf_model *model = endpoint->files;
	for (;;) {
		struct shelf_version *version = model->unloaded ? NULL : find_version(model, text, len);
		if (!version)
			return no_version(endpoint, text, len, err);
		if (version->served && version->newer) {
			unlink_loaded(model->shelf, version);
			link_newest(model->shelf, version);
		}
		struct sl_error why;
		int rc = version->served ? 0 : version->problem ? version->problem->code : load_version(endpoint, version, &why);
		if (!rc) {
			*ret = version->served;
			return 0;
		}
		if (text || !version->problem) /* without a version the next older one may still answer */
			return sl_fail(err, SL_E_BUSY, "model '%s' version %s is not ready: it could not be loaded", model->spec.name,
				       version->file.version);
	}
}

bool shelf_ready(const struct sl_endpoint_state *endpoint)
{
	return !endpoint->files->unloaded && find_version(endpoint->files, NULL, 0);
}

/* Loads the newest version that can be; problems of newer ones are the endpoint's. */
static void warm(struct sl_endpoint_state *endpoint)
{
	struct shelf_model *model = endpoint->files;
	struct sl_served *served;
	struct shelf_version *newest = find_version(model, NULL, 0);
	if (!newest || newest->served || model->shelf->warm_bytes >= SL_SERVING_WARM_BYTES)
		return;
	model->shelf->warm_bytes += newest->file.size_bytes;
	struct sl_error why;
	shelf_take(endpoint, NULL, 0, &served, &why);
}

static void set_endpoint_problem(struct sl_endpoint_state *endpoint, const char *found)
{
	struct shelf_model *model = endpoint->files;
	struct sl_error none = {0};
	if (found)
		sl_fail(&endpoint->problem, SL_E_INVALID, "%s", found);
	else if (model->versions[model->version_count - 1].problem)
		endpoint->problem = *model->versions[model->version_count - 1].problem;
	else
		endpoint->problem = none;
}

/* ---- endpoints out of what was found ---- */

void shelf_endpoint_unref(struct sl_endpoint_state *endpoint)
{
	assert(endpoint->references > 0);
	if (--endpoint->references)
		return;
	sl_arena_free(endpoint->files->arena);
	sl_free(endpoint);
}

static void drop_endpoint(struct sl_endpoint_state *endpoint)
{
	struct shelf_model *model = endpoint->files;
	for (size_t i = 0; i < model->version_count; i++)
		let_go(model->shelf, &model->versions[i]);
	shelf_endpoint_unref(endpoint);
}

static bool same_file(const struct sl_model_file *a, const struct sl_model_file *b)
{
	return strcmp(a->version, b->version) == 0 && strcmp(a->path, b->path) == 0 && a->size_bytes == b->size_bytes &&
	       a->inode == b->inode && a->mtime_ns == b->mtime_ns;
}

static int copy_version(struct shelf_model *model, struct shelf_version *to, const struct sl_model_file *from, struct sl_error *err)
{
	to->file = *from;
	to->file.version = sl_arena_strdup(model->arena, from->version);
	to->file.path = sl_arena_strdup(model->arena, from->path);
	to->file.mlmodel = from->mlmodel ? sl_arena_strdup(model->arena, from->mlmodel) : NULL;
	return to->file.version && to->file.path && (to->file.mlmodel || !from->mlmodel) ? 0 : sl_fail_memory(err);
}

static int make_endpoint(struct shelf *shelf, const struct sl_model_found *found, struct sl_endpoint_state **ret, struct sl_error *err)
{
	struct sl_endpoint_state *endpoint = sl_alloc(sizeof *endpoint, err);
	struct sl_arena *arena = sl_arena_new(0, err);
	struct shelf_model *model = arena ? sl_arena_alloc(arena, sizeof *model) : NULL;
	char *name = model ? sl_arena_strdup(arena, found->name) : NULL;
	if (!endpoint || !name) {
		sl_free(endpoint);
		sl_arena_free(arena);
		return sl_fail_memory(err);
	}
	*model = (struct shelf_model){.shelf = shelf, .arena = arena};
	model->spec = (struct sl_endpoint){.name = name, .model = name, .alias = "", .key = "", .time = "", .max_wait_ms = SL_MAX_WAIT_MS,
					   .timeout_ms = SL_TIMEOUT_MS};
	endpoint->spec = &model->spec;
	endpoint->files = model;
	endpoint->references = 1;
	model->config_mtime_ns = found->config_mtime_ns;
	model->config = found->config ? sl_arena_strdup(arena, found->config) : NULL;
	model->versions = sl_arena_array(arena, found->version_count + 1, sizeof *model->versions);
	int rc = model->versions && (model->config || !found->config) ? 0 : sl_fail_memory(err);
	for (; !rc && model->version_count < found->version_count; model->version_count++)
		rc = copy_version(model, &model->versions[model->version_count], &found->versions[model->version_count], err);
	if (rc) {
		drop_endpoint(endpoint);
		return rc;
	}
	*ret = endpoint;
	return 0;
}

static bool is_same(const struct sl_endpoint_state *endpoint, const struct sl_model_found *found)
{
	const struct shelf_model *model = endpoint->files;
	if (model->version_count != found->version_count || !model->config != !found->config ||
	    model->config_mtime_ns != found->config_mtime_ns)
		return false;
	for (size_t i = 0; i < found->version_count; i++)
		if (!same_file(&model->versions[i].file, &found->versions[i]))
			return false;
	return true;
}

/* Versions whose file did not change stay loaded, but for those that a request has: they are loaded again when they are asked. The old endpoint's counters go on in the new one. */
static void take_over(struct sl_endpoint_state *old, struct sl_endpoint_state *fresh)
{
	struct shelf_model *from = old->files, *to = fresh->files;
	for (size_t i = 0; i < to->version_count; i++) {
		struct shelf_version *have = find_version(from, to->versions[i].file.version, strlen(to->versions[i].file.version));
		bool alone = have && have->served && __atomic_load_n(&have->served->references, __ATOMIC_ACQUIRE) == 1;
		if (!alone || !same_file(&have->file, &to->versions[i].file)) /* a thread may be looking at what a request has */
			continue;
		struct sl_served *served = have->served;
		sl_served_ref(served);
		let_go(from->shelf, have);
		served->endpoint = fresh;
		served->spec = fresh->spec;
		fresh->references++;
		shelf_endpoint_unref(old);
		to->versions[i].served = served;
		to->shelf->used_bytes += sl_model_memory(served);
		link_newest(to->shelf, &to->versions[i]);
	}
	fresh->stats = old->stats;
	to->unloaded = from->unloaded;
}

/* Whether the newest version of `fresh` answers, or nothing did before either: a new version that cannot be loaded never takes the
 * place of one that can. */
static bool may_replace(const struct sl_endpoint_state *old, const struct sl_endpoint_state *fresh)
{
	return shelf_ready(fresh) || !shelf_ready(old);
}

static int refresh_one(struct sl_endpoint_state *old, struct shelf *shelf, const struct sl_model_found *found, bool again,
		       struct sl_endpoint_state **ret, struct sl_error *err)
{
	struct sl_endpoint_state *fresh = NULL;
	*ret = old;
	if (old && !again && is_same(old, found))
		return 0;
	int rc = make_endpoint(shelf, found, &fresh, err);
	if (rc)
		return rc;
	if (old && !again)
		take_over(old, fresh);
	if (!fresh->files->unloaded)
		warm(fresh);
	set_endpoint_problem(fresh, found->problem);
	if (old && !may_replace(old, fresh)) {
		old->problem = fresh->problem;
		drop_endpoint(fresh);
		return 0;
	}
	*ret = fresh;
	return 1;
}

static struct sl_endpoint_state *find(const struct sl_serving *serving, const char *name)
{
	return sl_serving_find(serving, name, strlen(name));
}

/* Makes the endpoints those that were found; *ret_changed counts. Out of memory, those made so far are dropped again. */
static int follow(struct sl_serving *serving, const struct sl_models_found *found, int *ret_changed, struct sl_error *err)
{
	struct sl_serving before = *serving;
	struct sl_endpoint_state **fresh = sl_alloc_array(found->count + 1, sizeof *fresh, err);
	size_t count = 0;
	int rc = fresh ? 0 : SL_E_NO_MEMORY;
	for (; rc >= 0 && count < found->count; count += rc >= 0) {
		struct sl_endpoint_state *old = find(&before, found->models[count].name);
		rc = refresh_one(old, serving->shelf, &found->models[count], false, &fresh[count], err);
		*ret_changed += rc > 0;
	}
	struct sl_serving after = {.endpoints = fresh, .count = count, .shelf = serving->shelf};
	struct sl_serving *keep = rc < 0 ? &before : &after, *drop = rc < 0 ? &after : &before;
	for (size_t i = 0; i < drop->count; i++) {
		if (find(keep, drop->endpoints[i]->spec->name) == drop->endpoints[i])
			continue;
		drop_endpoint(drop->endpoints[i]);
	}
	*ret_changed += rc >= 0 && before.count > after.count;
	sl_free(drop->endpoints);
	serving->endpoints = keep->endpoints;
	serving->count = keep->count;
	return rc < 0 ? rc : 0;
}

int shelf_refresh(struct sl_serving *serving)
{
	struct shelf *shelf = serving->shelf;
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, NULL);
	struct sl_models_found found;
	struct sl_error err = {0};
	int changed = 0;
	if (!shelf->options.follow || !arena)
		return 0;
	if (sl_models_find(shelf->options.files, shelf->options.file_count, shelf->dir, arena, &found, &err) == 0)
		follow(serving, &found, &changed, &err);
	return changed;
}

/* ---- opening and closing ---- */

static int copy_options(struct shelf *shelf, const struct sl_serving_files *files, struct sl_error *err)
{
	shelf->options = *files;
	shelf->dir = files->dir ? sl_strdup(files->dir, err) : NULL;
	shelf->files = sl_alloc_array(files->file_count + 1, sizeof *shelf->files, err);
	if (!shelf->files || (files->dir && !shelf->dir))
		return SL_E_NO_MEMORY;
	for (size_t i = 0; i < files->file_count; i++)
		if (!(shelf->files[i] = sl_strdup(files->files[i], err)))
			return SL_E_NO_MEMORY;
	shelf->options.files = (const char *const *)shelf->files;
	shelf->options.dir = shelf->dir;
	return 0;
}

int shelf_open(struct sl_serving *serving, const struct sl_serving_files *files, struct sl_error *err)
{
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	struct sl_models_found found;
	int changed = 0;
	serving->shelf = sl_alloc(sizeof *serving->shelf, err);
	int rc = serving->shelf && arena ? copy_options(serving->shelf, files, err) : SL_E_NO_MEMORY;
	if (!rc)
		rc = sl_models_find(files->files, files->file_count, files->dir, arena, &found, err);
	if (!rc)
		rc = follow(serving, &found, &changed, err);
	for (size_t i = 0; !rc && i < serving->count; i++)
		if (found.models[i].listed && serving->endpoints[i]->problem.code) {
			*err = serving->endpoints[i]->problem;
			rc = err->code;
		}
	return rc;
}

void shelf_close(struct sl_serving *serving)
{
	struct shelf *shelf = serving->shelf;
	for (size_t i = 0; i < serving->count; i++)
		drop_endpoint(serving->endpoints[i]);
	for (size_t i = 0; shelf->files && i < shelf->options.file_count; i++)
		sl_free(shelf->files[i]);
	sl_free(shelf->files);
	sl_free(shelf->dir);
	sl_free(shelf);
}

/* ---- by request ---- */

static int insert(struct sl_serving *serving, struct sl_endpoint_state *endpoint, struct sl_error *err)
{
	struct sl_endpoint_state **endpoints = sl_realloc(serving->endpoints, (serving->count + 1) * sizeof *endpoints, err);
	if (!endpoints)
		return SL_E_NO_MEMORY;
	size_t at = 0;
	while (at < serving->count && strcmp(endpoints[at]->spec->name, endpoint->spec->name) < 0)
		at++;
	memmove(endpoints + at + 1, endpoints + at, (serving->count - at) * sizeof *endpoints);
	endpoints[at] = endpoint;
	serving->endpoints = endpoints;
	serving->count++;
	return 0;
}

static int load_found(struct sl_serving *serving, const struct sl_model_found *found, struct sl_error *err)
{
	struct sl_endpoint_state *old = find(serving, found->name), *fresh;
	int rc = refresh_one(old, serving->shelf, found, true, &fresh, err);
	if (rc < 0)
		return rc;
	if (fresh->problem.code) {
		sl_fail(err, SL_E_INVALID, "model '%s' could not be loaded", found->name);
		rc = SL_E_INVALID;
	} else {
		rc = 0;
	}
	if (fresh == old)
		return rc;
	for (size_t i = 0; i < serving->count && old; i++)
		if (serving->endpoints[i] == old) {
			serving->endpoints[i] = fresh;
			drop_endpoint(old);
			return rc;
		}
	return insert(serving, fresh, err) ? SL_E_NO_MEMORY : rc;
}

int shelf_load(struct sl_serving *serving, const char *name, size_t len, struct sl_error *err)
{
	const struct sl_serving_files *options = &serving->shelf->options;
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	struct sl_models_found found;
	int rc = arena ? sl_models_find(options->files, options->file_count, options->dir, arena, &found, err) : SL_E_NO_MEMORY;
	for (size_t i = 0; !rc && i < found.count; i++)
		if (strlen(found.models[i].name) == len && memcmp(found.models[i].name, name, len) == 0)
			return load_found(serving, &found.models[i], err);
	return rc ? rc : sl_fail(err, SL_E_NOT_FOUND, "there is no model file for '%.*s'", (int)(len < 128 ? len : 128), name);
}

void shelf_unload(struct sl_endpoint_state *endpoint)
{
	struct shelf_model *model = endpoint->files;
	for (size_t i = 0; i < model->version_count; i++)
		let_go(model->shelf, &model->versions[i]);
	model->unloaded = true;
}
