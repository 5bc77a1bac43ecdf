#include "serve/model_find.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/yaml.h"

/* Endings of model files, and of formats that carry code: those are models too, refused with the reason when they are loaded. */
static const char *const ENDINGS[] = {".ubj", ".json", ".xgb", ".bst", ".model", ".onnx", ".txt", ".lgb", ".cbm", ".cb",
				      ".pkl", ".pickle", ".joblib", ".pt", ".pth", ".h5", ".keras", ".mar", ".skops"};

struct finder {
	struct sl_arena *arena;
	struct sl_model_found *models;
	size_t count, room;
};

static const char *ending_of(const char *name)
{
	for (size_t i = 0; i < SL_ARRAY_LEN(ENDINGS); i++)
		if (sl_str_ends(name, ENDINGS[i]) && strlen(name) > strlen(ENDINGS[i]))
			return ENDINGS[i];
	return NULL;
}

static bool model_name_valid(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
	size_t len = strlen(name);
	return len && len <= SL_MODEL_NAME_MAX && name[0] != '.' && strspn(name, allowed) == len;
}

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static const char *join(struct finder *f, const char *dir, const char *name)
{
	return sl_arena_printf(f->arena, "%s/%s", dir, name);
}

/* The problem is kept in the arena; what is out of memory stays an error. Clients see it, so it tells no folder of the machine. */
static int set_problem(struct finder *f, struct sl_model_found *model, const struct sl_error *why)
{
	model->version_count = 0;
	model->problem = sl_arena_printf(f->arena, "%s%s%s", base_of(why->where), why->where[0] ? ": " : "", why->message);
	return model->problem ? 0 : SL_E_NO_MEMORY;
}

static int add_version(struct finder *f, struct sl_model_found *model, const char *version, const char *path, const char *mlmodel,
		       struct sl_error *err)
{
	struct sl_file_info info;
	if (model->version_count == SL_MODEL_VERSIONS_MAX)
		return sl_fail_at(err, SL_E_TOO_LARGE, model->name, "has more than %d versions", SL_MODEL_VERSIONS_MAX);
	int rc = path ? sl_file_info(path, &info, err) : sl_fail_memory(err);
	if (!rc && !info.is_regular)
		rc = sl_fail_at(err, SL_E_INVALID, path, "is not a file");
	if (rc)
		return rc;
	struct sl_model_file *versions = sl_arena_array(f->arena, model->version_count + 1, sizeof *versions);
	struct sl_model_file *at = versions;
	if (!versions)
		return sl_fail_memory(err);
	int64_t number = 1;
	sl_str_int(version, &number);
	for (size_t i = 0; i < model->version_count && model->versions[i].number < number; i++)
		*at++ = model->versions[i];
	*at = (struct sl_model_file){.version = sl_arena_strdup(f->arena, version), .number = number, .path = path, .mlmodel = mlmodel,
				     .size_bytes = info.size_bytes, .inode = info.inode, .mtime_ns = info.mtime_ns};
	if (!at->version)
		return sl_fail_memory(err);
	for (size_t i = (size_t)(at - versions); i < model->version_count; i++)
		versions[i + 1] = model->versions[i];
	model->versions = versions;
	model->version_count++;
	return 0;
}

/* ---- MLflow's folder ---- */

static const char *const FLAVORS[] = {"xgboost", "onnx", "lightgbm", "catboost"};

/* The model file that MLmodel's flavour names, below the folder. */
static int flavor_file(const struct sl_yaml *root, const char *where, const char **ret, struct sl_error *err)
{
	const struct sl_yaml *flavors = sl_yaml_get(root, "flavors");
	for (size_t i = 0; flavors && flavors->kind == SL_YAML_MAP && i < SL_ARRAY_LEN(FLAVORS); i++) {
		const struct sl_yaml *flavor = sl_yaml_get(flavors, FLAVORS[i]);
		const struct sl_yaml *data = flavor && flavor->kind == SL_YAML_MAP ? sl_yaml_get(flavor, "data") : NULL;
		if (!data)
			continue;
		if (data->kind != SL_YAML_SCALAR || !sl_relative_path_valid(data->text))
			return sl_fail_at(err, SL_E_INVALID, where, "its flavor '%s' names no file of the folder", FLAVORS[i]);
		*ret = data->text;
		return 0;
	}
	sl_fail_at(err, SL_E_DENIED, where, "has no flavor that is served");
	return sl_error_hint(err, "served are xgboost, onnx, lightgbm and catboost; python_function is code and is never run");
}

static int mlflow_version(struct finder *f, struct sl_model_found *model, const char *version, const char *dir, struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(SL_YAML_BYTES_MAX);
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	const struct sl_yaml *root;
	const char *mlmodel = join(f, dir, "MLmodel"), *data = "";
	if (!arena || !mlmodel)
		return sl_fail_memory(err);
	int rc = sl_file_read(mlmodel, &text, err);
	if (!rc)
		rc = sl_yaml_parse(sl_buf_cstr(&text), text.len, mlmodel, arena, &root, err);
	if (!rc)
		rc = flavor_file(root, mlmodel, &data, err);
	return rc ? rc : add_version(f, model, version, join(f, dir, data), mlmodel, err);
}

static bool has_mlmodel(struct finder *f, const char *dir)
{
	const char *path = join(f, dir, "MLmodel");
	return path && sl_file_exists(path);
}

/* ---- Triton's folder ---- */

static bool is_version(const char *name)
{
	return *name >= '1' && *name <= '9' && strspn(name, "0123456789") == strlen(name) && strlen(name) <= 18;
}

struct in_version {
	const char *model, *other; /* "model.*", and any other file with a model's ending */
	size_t others;
	struct finder *f;
};

static int visit_version_file(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct in_version *in = context;
	(void)info;
	if (name[0] == '.' || !ending_of(name))
		return 0;
	const char *copy = sl_arena_strdup(in->f->arena, name);
	if (!copy)
		return sl_fail_memory(err);
	if (sl_str_starts(name, "model.") && !in->model)
		in->model = copy;
	else
		in->other = copy;
	in->others += copy == in->other;
	return 0;
}

static int triton_version(struct finder *f, struct sl_model_found *model, const char *version, const char *dir, struct sl_error *err)
{
	if (has_mlmodel(f, dir))
		return mlflow_version(f, model, version, dir, err);
	struct in_version in = {.f = f};
	int rc = sl_dir_each(dir, visit_version_file, &in, err);
	if (rc)
		return rc;
	if (!in.model && in.others != 1)
		return sl_fail_at(err, SL_E_INVALID, dir, in.others ? "holds several model files, and none is called model.*"
								    : "holds no model file");
	return add_version(f, model, version, join(f, dir, in.model ? in.model : in.other), NULL, err);
}

struct in_model {
	struct finder *f;
	struct sl_model_found *model;
	const char *dir;
};

static int visit_model_entry(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct in_model *in = context;
	const char *path = join(in->f, in->dir, name);
	if (!path)
		return sl_fail_memory(err);
	if (strcmp(name, "config.pbtxt") == 0) {
		in->model->config = path;
		in->model->config_mtime_ns = info->mtime_ns;
	}
	return is_version(name) && sl_dir_exists(path) ? triton_version(in->f, in->model, name, path, err) : 0;
}

static int model_folder(struct finder *f, struct sl_model_found *model, const char *dir, struct sl_error *err)
{
	struct in_model in = {.f = f, .model = model, .dir = dir};
	if (has_mlmodel(f, dir))
		return mlflow_version(f, model, "1", dir, err);
	int rc = sl_dir_each(dir, visit_model_entry, &in, err);
	if (!rc && !model->version_count)
		rc = sl_fail_at(err, SL_E_INVALID, dir, "holds neither an MLmodel file nor a numbered folder");
	return rc;
}

/* ---- all of them ---- */

static int add_model(struct finder *f, const char *path, struct sl_model_found **ret, struct sl_error *err)
{
	const char *base = base_of(path), *ending = sl_dir_exists(path) ? NULL : ending_of(base);
	char *name = sl_arena_strndup(f->arena, base, strlen(base) - (ending ? strlen(ending) : 0));
	if (!name)
		return sl_fail_memory(err);
	if (!model_name_valid(name)) {
		sl_fail_at(err, SL_E_INVALID, path, "'%s' cannot be a model's name", name);
		return sl_error_hint(err, "letters, digits, '_', '-' and '.', at most %d", SL_MODEL_NAME_MAX);
	}
	for (size_t i = 0; i < f->count; i++)
		if (strcmp(f->models[i].name, name) == 0)
			return sl_fail_at(err, SL_E_CONFLICT, path, "there is a model '%s' already", name);
	if (f->count == SL_MODELS_MAX)
		return sl_fail_at(err, SL_E_TOO_LARGE, path, "more than %d models", SL_MODELS_MAX);
	if (f->count == f->room) {
		struct sl_model_found *models = sl_arena_array(f->arena, f->room * 2 + 16, sizeof *models);
		if (!models)
			return sl_fail_memory(err);
		if (f->count)
			memcpy(models, f->models, f->count * sizeof *models);
		f->models = models;
		f->room = f->room * 2 + 16;
	}
	*ret = &f->models[f->count++];
	**ret = (struct sl_model_found){.name = name};
	return 0;
}

static int fill_model(struct finder *f, struct sl_model_found *model, const char *path, struct sl_error *err)
{
	const char *copy = sl_arena_strdup(f->arena, path);
	if (!copy)
		return sl_fail_memory(err);
	return sl_dir_exists(path) ? model_folder(f, model, copy, err) : add_version(f, model, "1", copy, NULL, err);
}

static int visit_models_entry(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct in_model *in = context;
	struct sl_error why = {0};
	struct sl_model_found *model;
	const char *path = join(in->f, in->dir, name);
	(void)info;
	if (!path)
		return sl_fail_memory(err);
	if (name[0] == '.' || (!sl_dir_exists(path) && !ending_of(name)))
		return 0;
	if (!model_name_valid(name)) /* cannot be asked for, so it cannot have a problem of its own */
		return 0;
	int rc = add_model(in->f, path, &model, err);
	if (rc)
		return rc == SL_E_CONFLICT ? 0 : rc; /* the first of a name is served */
	rc = fill_model(in->f, model, path, &why);
	if (rc == SL_E_NO_MEMORY)
		return sl_fail_memory(err);
	return rc ? set_problem(in->f, model, &why) : 0;
}

static int by_name(const void *a, const void *b)
{
	const struct sl_model_found *x = a, *y = b;
	return strcmp(x->name, y->name);
}

int sl_models_find(const char *const *files, size_t file_count, const char *dir, struct sl_arena *arena,
		   struct sl_models_found *ret, struct sl_error *err)
{
	struct finder f = {.arena = arena};
	struct in_model in = {.f = &f, .dir = dir};
	int rc = 0;
	for (size_t i = 0; !rc && i < file_count; i++) {
		struct sl_model_found *model;
		size_t len = strlen(files[i]);
		while (len > 1 && files[i][len - 1] == '/')
			len--;
		const char *path = sl_arena_strndup(arena, files[i], len);
		rc = path ? add_model(&f, path, &model, err) : sl_fail_memory(err);
		if (!rc)
			rc = fill_model(&f, model, path, err);
		if (!rc)
			model->listed = true;
	}
	if (!rc && dir)
		rc = sl_dir_each(dir, visit_models_entry, &in, err);
	if (rc)
		return rc;
	qsort(f.models, f.count, sizeof *f.models, by_name);
	*ret = (struct sl_models_found){f.models, f.count};
	return 0;
}
