/* diff: two things of one kind, as `show` tells them, compared value by value. */
#include <string.h>

#include "base/map.h"
#include "base/str.h"
#include "learn/package.h"
#include "op/diff_data.h"
#include "op/handlers.h"
#include "op/resolve.h"
#include "op/show.h"
#include "track/model.h"

enum { DEPTH_MAX = 8, DIFFERENCES_MAX = 10000 };

/* Of no interest: they differ by nature. */
static bool skipped(const char *name)
{
	static const char *const names[] = {"kind", "id", "created", "started", "ended", "took_ms", "record", "fingerprint",
		"moves", "run", "parent", "aliases", "host", "received", "latency_us",
		"first_files"};
	for (size_t i = 0; i < SL_ARRAY_LEN(names); i++)
		if (sl_str_eq(names[i], name))
			return true;
	return false;
}

/* The leaves of a value under dotted paths: {"metrics.auc": 0.65}. A list's element is known by its name, else by its number. */
static int flatten(
	struct sl_call *call, yyjson_mut_val *value, const char *path, struct sl_map *ret, int depth, struct sl_error *err)
{
	size_t i, max;
	yyjson_mut_val *key, *item;
	if (depth > DEPTH_MAX || !yyjson_mut_is_ctn(value))
		return sl_map_set(ret, path, value, NULL, err);
	if (yyjson_mut_is_obj(value)) {
		yyjson_mut_obj_foreach(value, i, max, key, item) {
			const char *name = yyjson_mut_get_str(key);
			if (skipped(name) || (depth && sl_str_eq(name, "name")))
				continue;
			char *inner = sl_arena_printf(call->arena, *path ? "%s.%s" : "%s%s", path, name);
			int rc = inner ? flatten(call, item, inner, ret, depth + 1, err) : sl_fail_memory(err);
			if (rc)
				return rc;
		}
		return 0;
	}
	yyjson_mut_arr_foreach(value, i, max, item) {
		const char *name = yyjson_mut_get_str(yyjson_mut_obj_get(item, "name"));
		char *inner = name ? sl_arena_printf(call->arena, "%s.%s", path, name)
				   : sl_arena_printf(call->arena, "%s.%zu", path, i);
		int rc = inner ? flatten(call, item, inner, ret, depth + 1, err) : sl_fail_memory(err);
		if (rc)
			return rc;
	}
	return 0;
}

/* How a model was trained stands in its package. */
static int add_training(
	struct sl_call *call, struct sl_store *store, const struct sl_ref *ref, yyjson_mut_val *out, struct sl_error *err)
{
	struct sl_model_version version;
	struct sl_package package;
	int rc = sl_model_find(&store->track, ref->name, ref->version, &version, err);
	if (!rc)
		rc = sl_package_read(store->objects, &version.hash, call->arena, &package, err);
	if (rc)
		return rc;
	sl_put_json(call, out, "training", package.training);
	yyjson_mut_val *features = sl_put_array(call, out, "features");
	for (size_t i = 0; i < package.feature_count; i++) {
		yyjson_mut_val *feature = sl_add_object(call, features);
		sl_put_text(call, feature, "name", package.features[i].name);
		sl_put_text(call, feature, "type", package.features[i].type);
	}
	return 0;
}

static int describe(struct sl_call *call, struct sl_store *store, const char *text, struct sl_ref *ref, struct sl_map *ret,
	struct sl_error *err)
{
	yyjson_mut_val *object = yyjson_mut_obj(call->doc);
	int rc = sl_resolve(call, store, text, ref, err);
	if (!rc)
		rc = sl_show(call, store, ref, 1, object, err);
	if (!rc && ref->kind == SL_REF_MODEL)
		rc = add_training(call, store, ref, object, err);
	return rc ? rc : flatten(call, object, "", ret, 0, err);
}

static void add_difference(struct sl_call *call, yyjson_mut_val *items, const char *path, yyjson_mut_val *a, yyjson_mut_val *b)
{
	yyjson_mut_val *item = sl_add_object(call, items);
	sl_put_text(call, item, "what", path);
	yyjson_mut_obj_add_val(call->doc, item, "a", a ? yyjson_mut_val_mut_copy(call->doc, a) : yyjson_mut_null(call->doc));
	yyjson_mut_obj_add_val(call->doc, item, "b", b ? yyjson_mut_val_mut_copy(call->doc, b) : yyjson_mut_null(call->doc));
	if (yyjson_mut_is_num(a) && yyjson_mut_is_num(b))
		sl_put_double(call, item, "change", yyjson_mut_get_num(b) - yyjson_mut_get_num(a));
}

static void compare(struct sl_call *call, const struct sl_map *a, const struct sl_map *b, yyjson_mut_val *items)
{
	for (size_t i = 0; i < sl_map_count(a); i++) {
		yyjson_mut_val *x = sl_map_value(a, i), *y = sl_map_get(b, sl_map_key(a, i));
		if ((!y || !yyjson_mut_equals(x, y)) && yyjson_mut_arr_size(items) < DIFFERENCES_MAX)
			add_difference(call, items, sl_map_key(a, i), x, y);
	}
	for (size_t i = 0; i < sl_map_count(b); i++)
		if (!sl_map_has(a, sl_map_key(b, i)) && yyjson_mut_arr_size(items) < DIFFERENCES_MAX)
			add_difference(call, items, sl_map_key(b, i), NULL, sl_map_value(b, i));
}

int sl_op_diff(struct sl_call *call, struct sl_error *err)
{
	struct sl_store *store;
	struct sl_ref ref[2];
	struct sl_map *a SL_CLEANUP(sl_map_freep) = sl_map_new(err), *b SL_CLEANUP(sl_map_freep) = sl_map_new(err);
	int rc = a && b ? sl_call_store(call, &store, err) : SL_E_NO_MEMORY;
	if (!rc)
		rc = describe(call, store, sl_call_text(call, "a"), &ref[0], a, err);
	if (!rc)
		rc = describe(call, store, sl_call_text(call, "b"), &ref[1], b, err);
	if (!rc && ref[0].kind != ref[1].kind)
		rc = sl_fail(err, SL_E_INVALID, "%s cannot be compared with %s", sl_ref_kind_phrase(ref[0].kind),
			sl_ref_kind_name(ref[1].kind));
	if (rc)
		return rc;
	yyjson_mut_val *items = sl_put_array(call, sl_call_object(call), "items");
	compare(call, a, b, items);
	if (ref[0].kind == SL_REF_DATASET) {
		size_t key_count;
		const char *const *keys = sl_call_list(call, "key", &key_count);
		rc = sl_diff_data(call, store, ref, keys, key_count, sl_call_object(call), err);
		if (rc)
			return rc;
	}
	if (!yyjson_mut_arr_size(items))
		sl_put_text(call, sl_call_object(call), "note", "no difference");
	return 0;
}
