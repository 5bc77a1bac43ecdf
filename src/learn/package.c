#include "learn/package.h"

#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"

static const char FORMAT[] = "sluice.model/1";
/* Files of a draft; the object store has them by hash. */
static const char MANIFEST_FILE[] = "package.json", MODEL_FILE[] = "model.ubj", REFERENCE_FILE[] = "reference.json";

static const char *const TASKS[] = {"binary", "multiclass", "regression"};
static const char *const KINDS[] = {"bool", "int", "double", "text", "time"}; /* enum sl_sql_kind */

const char *sl_task_name(enum sl_task task) { return TASKS[task]; }

/* ---- writing ---- */

static bool add_input(yyjson_mut_doc *doc, yyjson_mut_val *list, const struct sl_feature *feature)
{
	yyjson_mut_val *item = yyjson_mut_arr_add_obj(doc, list), *values;
	bool ok = yyjson_mut_obj_add_strcpy(doc, item, "name", feature->name) &&
		  yyjson_mut_obj_add_strcpy(doc, item, "type", feature->type) &&
		  yyjson_mut_obj_add_str(doc, item, "kind", KINDS[feature->kind]) &&
		  yyjson_mut_obj_add_str(doc, item, "encoding", sl_encoding_name(feature->encoding));
	if (!ok || feature->encoding != SL_ENCODE_CATEGORY)
		return ok;
	values = yyjson_mut_obj_add_arr(doc, item, "values");
	for (size_t i = 0; ok && i < sl_dictionary_count(feature->dictionary); i++) {
		const struct sl_category *value = sl_dictionary_value(feature->dictionary, i);
		ok = yyjson_mut_arr_add_strncpy(doc, values, value->text, value->len);
	}
	return ok;
}

static bool add_hash(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *name, const struct sl_hash *hash)
{
	char hex[SL_HASH_HEX + 1];
	return yyjson_mut_obj_add_strcpy(doc, object, name, sl_hash_hex(hash, hex));
}

static bool add_target(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct sl_package *package)
{
	yyjson_mut_val *target = yyjson_mut_obj_add_obj(doc, root, "target"),
		       *classes = yyjson_mut_obj_add_arr(doc, target, "classes");
	bool ok = yyjson_mut_obj_add_strcpy(doc, target, "name", package->target) &&
		  yyjson_mut_obj_add_bool(doc, target, "text", package->classes_are_text);
	for (size_t i = 0; ok && i < package->class_count; i++)
		ok = yyjson_mut_arr_add_strcpy(doc, classes, package->classes[i]);
	return ok;
}

static bool add_parts(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct sl_package *package)
{
	yyjson_mut_val *model = yyjson_mut_obj_add_obj(doc, root, "model"), *output = yyjson_mut_obj_add_obj(doc, root, "output");
	yyjson_mut_val *inputs = yyjson_mut_obj_add_arr(doc, root, "inputs");
	bool ok = yyjson_mut_obj_add_str(doc, root, "format", FORMAT) &&
		  yyjson_mut_obj_add_strcpy(doc, root, "algorithm", package->algorithm) &&
		  yyjson_mut_obj_add_str(doc, root, "task", TASKS[package->task]) &&
		  yyjson_mut_obj_add_real(doc, root, "threshold", package->threshold) &&
		  add_hash(doc, root, "reference", &package->reference) && add_hash(doc, model, "hash", &package->model) &&
		  yyjson_mut_obj_add_strcpy(doc, model, "format", package->format) &&
		  yyjson_mut_obj_add_uint(doc, model, "bytes", package->model_bytes) &&
		  yyjson_mut_obj_add_strcpy(doc, output, "name", package->output) &&
		  yyjson_mut_obj_add_uint(doc, output, "size", package->output_count) && add_target(doc, root, package);
	for (size_t i = 0; ok && i < package->feature_count; i++)
		ok = add_input(doc, inputs, &package->features[i]);
	yyjson_mut_val *lookups = ok && package->lookup_count ? yyjson_mut_obj_add_arr(doc, root, "lookups") : NULL;
	for (size_t i = 0; ok && i < package->lookup_count; i++)
		ok = yyjson_mut_arr_append(lookups, sl_lookup_json(doc, &package->lookups[i]));
	return ok;
}

int sl_package_write(const struct sl_package *package, struct sl_buf *out, struct sl_error *err)
{
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	SL_AUTO_JSON yyjson_doc *training = sl_json_parse(package->training, strlen(package->training), "training facts", err);
	yyjson_mut_val *root = yyjson_mut_obj(doc);
	if (!training)
		return SL_E_BUG;
	yyjson_mut_val *facts = yyjson_val_mut_copy(doc, yyjson_doc_get_root(training));
	if (!root || !facts || !add_parts(doc, root, package) || !yyjson_mut_obj_add_val(doc, root, "training", facts))
		return sl_fail_memory(err);
	return sl_json_mut_canonical(root, out, err);
}

/* ---- reading: a manifest is hostile until checked ---- */

static int wrong(struct sl_error *err, const char *what) { return sl_fail(err, SL_E_CORRUPT, "model package: %s", what); }

/* The text of a member in the arena; NULL when it is absent, no text, or memory is out. */
static const char *text_of(yyjson_val *object, const char *name, struct sl_arena *arena)
{
	const char *text = sl_json_str(object, name, NULL);
	return text && strlen(text) == yyjson_get_len(yyjson_obj_get(object, name)) ? sl_arena_strdup(arena, text) : NULL;
}

/* The place of a text in a list of names, or -1. */
static int place_of(const char *text, const char *const *names, int count)
{
	for (int i = 0; i < count; i++)
		if (sl_str_eq(text, names[i]))
			return i;
	return -1;
}

static int read_dictionary(yyjson_val *values, struct sl_arena *arena, struct sl_feature *feature, struct sl_error *err)
{
	struct sl_category *list = sl_arena_array(arena, yyjson_arr_size(values) + 1, sizeof *list);
	size_t count = 0;
	if (!yyjson_is_arr(values))
		return wrong(err, "a category input has no values");
	if (!list)
		return sl_fail_memory(err);
	yyjson_arr_iter it = yyjson_arr_iter_with(values);
	for (yyjson_val *item; (item = yyjson_arr_iter_next(&it));) {
		char *text = yyjson_is_str(item) ? sl_arena_strndup(arena, yyjson_get_str(item), yyjson_get_len(item)) : NULL;
		if (!text)
			return yyjson_is_str(item) ? sl_fail_memory(err) : wrong(err, "a category is not text");
		list[count++] = (struct sl_category){text, (uint32_t)yyjson_get_len(item)};
	}
	return sl_dictionary_make(list, count, arena, &feature->dictionary, err);
}

static int read_input(yyjson_val *item, struct sl_arena *arena, struct sl_feature *ret, struct sl_error *err)
{
	int kind = place_of(sl_json_str(item, "kind", ""), KINDS, SL_ARRAY_LEN(KINDS));
	const char *encoding = sl_json_str(item, "encoding", "");
	*ret = (struct sl_feature){.name = text_of(item, "name", arena), .type = text_of(item, "type", arena)};
	if (!ret->name || !ret->type || kind < 0)
		return wrong(err, "an input lacks its name, type or kind");
	ret->kind = (enum sl_sql_kind)kind;
	ret->encoding = sl_str_eq(encoding, "category") ? SL_ENCODE_CATEGORY : SL_ENCODE_NUMBER;
	if (sl_str_eq(encoding, "category") != (ret->kind == SL_SQL_TEXT) ||
	    (ret->kind != SL_SQL_TEXT && !sl_str_eq(encoding, "number")))
		return wrong(err, "an input's encoding does not fit its kind");
	return ret->encoding == SL_ENCODE_CATEGORY ? read_dictionary(yyjson_obj_get(item, "values"), arena, ret, err) : 0;
}

static int read_inputs(yyjson_val *list, struct sl_arena *arena, struct sl_package *ret, struct sl_error *err)
{
	size_t count = yyjson_arr_size(list);
	if (!count || count > SL_FEATURES_MAX)
		return wrong(err, "the list of inputs is missing or too long");
	ret->features = sl_arena_array(arena, count, sizeof *ret->features);
	if (!ret->features)
		return sl_fail_memory(err);
	yyjson_arr_iter it = yyjson_arr_iter_with(list);
	for (yyjson_val *item; (item = yyjson_arr_iter_next(&it));) {
		int rc = read_input(item, arena, &ret->features[ret->feature_count++], err);
		if (rc)
			return rc;
	}
	return 0;
}

static int read_target(yyjson_val *target, struct sl_arena *arena, struct sl_package *ret, struct sl_error *err)
{
	yyjson_val *classes = yyjson_obj_get(target, "classes");
	size_t count = yyjson_arr_size(classes);
	ret->target = text_of(target, "name", arena);
	ret->classes_are_text = sl_json_bool(target, "text", false);
	if (!ret->target || !yyjson_is_arr(classes) || count > SL_CLASSES_MAX)
		return wrong(err, "the target is missing or has too many classes");
	if ((ret->task == SL_TASK_BINARY && count != 2) || (ret->task == SL_TASK_MULTICLASS && count < 2) ||
	    (ret->task == SL_TASK_REGRESSION && count))
		return wrong(err, "the number of classes does not fit the task");
	ret->classes = sl_arena_array(arena, count + 1, sizeof *ret->classes);
	if (!ret->classes)
		return sl_fail_memory(err);
	yyjson_arr_iter it = yyjson_arr_iter_with(classes);
	for (yyjson_val *item; (item = yyjson_arr_iter_next(&it));) {
		if (!yyjson_is_str(item))
			return wrong(err, "a class is not text");
		if (!(ret->classes[ret->class_count++] = sl_arena_strdup(arena, yyjson_get_str(item))))
			return sl_fail_memory(err);
	}
	return 0;
}

static int read_model(yyjson_val *root, struct sl_arena *arena, struct sl_package *ret, struct sl_error *err)
{
	static const char *const formats[] = {"xgboost-ubj", "xgboost-json", "lightgbm-text", "onnx"};
	yyjson_val *model = yyjson_obj_get(root, "model"), *output = yyjson_obj_get(root, "output");
	int64_t bytes = sl_json_int(model, "bytes", -1), outputs = sl_json_int(output, "size", 0);
	ret->algorithm = text_of(root, "algorithm", arena);
	ret->format = text_of(model, "format", arena);
	ret->output = text_of(output, "name", arena);
	if (!ret->algorithm || place_of(ret->format, formats, SL_ARRAY_LEN(formats)) < 0 || !ret->output)
		return wrong(err, "the algorithm, the model's format or the output is missing or not known");
	if (bytes < 0 || !sl_hash_parse(sl_json_str(model, "hash", ""), &ret->model) ||
	    !sl_hash_parse(sl_json_str(root, "reference", ""), &ret->reference))
		return wrong(err, "a part's hash or size is missing");
	ret->model_bytes = (uint64_t)bytes;
	ret->output_count = (size_t)outputs;
	if (outputs < 1 || ret->output_count != (ret->task == SL_TASK_MULTICLASS ? ret->class_count : 1))
		return wrong(err, "the size of the output does not fit the task");
	return 0;
}

/* Absent in packages of models without any. */
static int read_lookups(yyjson_val *list, struct sl_arena *arena, struct sl_package *ret, struct sl_error *err)
{
	if (list && (!yyjson_is_arr(list) || yyjson_arr_size(list) > SL_LOOKUPS_MAX))
		return wrong(err, "the list of lookups is none or too long");
	ret->lookups = sl_arena_array(arena, yyjson_arr_size(list) + 1, sizeof *ret->lookups);
	if (!ret->lookups)
		return sl_fail_memory(err);
	yyjson_arr_iter it = yyjson_arr_iter_with(list);
	for (yyjson_val *item; (item = yyjson_arr_iter_next(&it));) {
		int rc = sl_lookup_parse(item, arena, &ret->lookups[ret->lookup_count++], err);
		if (rc)
			return rc;
	}
	return 0;
}

static int read_manifest(yyjson_val *root, struct sl_arena *arena, struct sl_package *ret, struct sl_error *err)
{
	*ret = (struct sl_package){.threshold = sl_json_num(root, "threshold", NAN)};
	int task = place_of(sl_json_str(root, "task", ""), TASKS, SL_ARRAY_LEN(TASKS)), rc;
	if (!sl_str_eq(sl_json_str(root, "format", ""), FORMAT))
		return wrong(err, "the format is not sluice.model/1");
	if (task < 0 || !(ret->threshold >= 0 && ret->threshold <= 1))
		return wrong(err, "the task or the threshold is missing or not known");
	ret->task = (enum sl_task)task;
	if ((rc = read_inputs(yyjson_obj_get(root, "inputs"), arena, ret, err)) ||
	    (rc = read_target(yyjson_obj_get(root, "target"), arena, ret, err)) || (rc = read_model(root, arena, ret, err)) ||
	    (rc = read_lookups(yyjson_obj_get(root, "lookups"), arena, ret, err)))
		return rc;
	struct sl_buf training SL_CLEANUP(sl_buf_done) = SL_BUF_INIT(SL_PACKAGE_MAX_BYTES);
	yyjson_val *facts = yyjson_obj_get(root, "training");
	if (!yyjson_is_obj(facts))
		return wrong(err, "the training facts are missing");
	if ((rc = sl_json_canonical(facts, &training, err)))
		return rc;
	ret->training = sl_arena_strdup(arena, sl_buf_cstr(&training));
	return ret->training ? 0 : sl_fail_memory(err);
}

int sl_package_parse(const char *text, size_t len, struct sl_arena *arena, struct sl_package *ret, struct sl_error *err)
{
	SL_AUTO_JSON yyjson_doc *doc = sl_json_parse(text, len, "model package", err);
	return doc ? read_manifest(yyjson_doc_get_root(doc), arena, ret, err) : SL_E_CORRUPT;
}

int sl_package_read(struct sl_objects *objects, const struct sl_hash *hash, struct sl_arena *arena, struct sl_package *ret,
		    struct sl_error *err)
{
	struct sl_buf text SL_CLEANUP(sl_buf_done) = SL_BUF_INIT(SL_PACKAGE_MAX_BYTES);
	int rc = sl_objects_get(objects, hash, &text, err);
	if (!rc)
		rc = sl_package_parse(sl_buf_cstr(&text), text.len, arena, ret, err);
	if (!rc)
		ret->hash = *hash;
	return rc;
}

static int read_file(const char *dir, const char *name, struct sl_buf *out, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int rc = sl_path_join(path, dir, name, err);
	return rc ? rc : sl_file_read(path, out, err);
}

int sl_package_read_draft(const char *dir, struct sl_arena *arena, struct sl_package *ret, struct sl_error *err)
{
	struct sl_buf text SL_CLEANUP(sl_buf_done) = SL_BUF_INIT(SL_PACKAGE_MAX_BYTES);
	int rc = read_file(dir, MANIFEST_FILE, &text, err);
	return rc ? rc : sl_package_parse(sl_buf_cstr(&text), text.len, arena, ret, err);
}

/* ---- keeping and loading ---- */

static int keep_part(struct sl_objects *objects, const char *dir, const char *name, const struct sl_hash *promised,
		     struct sl_error *err)
{
	char path[SL_PATH_MAX];
	struct sl_hash hash;
	uint64_t size;
	int rc = sl_path_join(path, dir, name, err);
	if (!rc)
		rc = sl_objects_put_file(objects, path, SL_PUT_MOVE, &hash, &size, err);
	if (!rc && !sl_hash_eq(&hash, promised))
		rc = sl_fail_at(err, SL_E_CORRUPT, path, "the file is not the one that its package promises");
	return rc;
}

int sl_package_keep(struct sl_objects *objects, const char *dir, struct sl_hash *ret, struct sl_error *err)
{
	SL_CLEANUP(sl_arena_freep) struct sl_arena *arena = sl_arena_new(0, err);
	struct sl_buf text SL_CLEANUP(sl_buf_done) = SL_BUF_INIT(SL_PACKAGE_MAX_BYTES);
	struct sl_package package;
	int rc = arena ? sl_package_read_draft(dir, arena, &package, err) : SL_E_NO_MEMORY;
	if (!rc)
		rc = keep_part(objects, dir, MODEL_FILE, &package.model, err);
	if (!rc)
		rc = keep_part(objects, dir, REFERENCE_FILE, &package.reference, err);
	/* Written anew: only what was understood gets into the store. */
	if (!rc)
		rc = sl_package_write(&package, &text, err);
	return rc ? rc : sl_objects_put(objects, text.data, text.len, ret, err);
}

int sl_package_load(struct sl_objects *objects, const char *dir, const struct sl_package *package, struct sl_infer **ret,
		    struct sl_error *err)
{
	struct sl_buf model SL_CLEANUP(sl_buf_done) = SL_BUF_INIT((size_t)1 << 30);
	struct sl_infer_info info;
	int rc = dir ? read_file(dir, MODEL_FILE, &model, err) : sl_objects_get(objects, &package->model, &model, err);
	if (rc || (rc = sl_infer_load(package->format, model.data, model.len, ret, err)))
		return rc;
	sl_infer_info(*ret, &info);
	if (info.features == package->feature_count && info.outputs == package->output_count)
		return 0;
	sl_infer_free(*ret);
	*ret = NULL;
	return sl_fail(err, SL_E_CORRUPT, "the model takes %zu columns and gives %zu values, its package says %zu and %zu",
		       info.features, info.outputs, package->feature_count, package->output_count);
}

/* Monitors index the one by the other. */
static int check_reference(const struct sl_package *package, const struct sl_reference *reference, struct sl_error *err)
{
	if (reference->feature_count != package->feature_count || reference->prediction_count != package->output_count)
		return wrong(err, "the reference statistics have other columns");
	for (size_t i = 0; i < package->feature_count; i++) {
		const struct sl_feature *feature = &package->features[i];
		const struct sl_reference_column *column = &reference->features[i];
		bool category = feature->encoding == SL_ENCODE_CATEGORY;
		if (column->encoding != feature->encoding || !sl_str_eq(column->name, feature->name) ||
		    (category && column->bin_count != sl_dictionary_count(feature->dictionary)))
			return wrong(err, "the reference statistics have other columns");
	}
	for (size_t i = 0; i < reference->prediction_count; i++)
		if (reference->predictions[i].encoding != SL_ENCODE_NUMBER)
			return wrong(err, "the reference statistics of the predictions are no numbers");
	return 0;
}

int sl_package_reference(struct sl_objects *objects, const struct sl_package *package, struct sl_arena *arena,
			 struct sl_reference *ret, struct sl_error *err)
{
	struct sl_buf text SL_CLEANUP(sl_buf_done) = SL_BUF_INIT(SL_PACKAGE_MAX_BYTES);
	int rc = sl_objects_get(objects, &package->reference, &text, err);
	if (!rc)
		rc = sl_reference_parse(sl_buf_cstr(&text), text.len, arena, ret, err);
	return rc ? rc : check_reference(package, ret, err);
}

