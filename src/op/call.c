#include "op/op.h"

#include <assert.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "op/resolve.h"
#include "os/disk.h"
#include "track/store.h"

static const char *const PERMISSIONS[] = {"none", "view", "run", "edit", "approve", "admin", "predict"};

const char *sl_permission_name(enum sl_permission permission)
{
	assert((size_t)permission < SL_ARRAY_LEN(PERMISSIONS));
	return PERMISSIONS[permission];
}

const struct sl_op *sl_op_find(const char *name)
{
	for (size_t i = 0; i < sl_op_count; i++)
		if (sl_str_eq(sl_ops[i].name, name))
			return &sl_ops[i];
	return NULL;
}

const struct sl_op_arg *sl_op_arg_find(const struct sl_op *op, const char *name)
{
	for (size_t i = 0; i < op->arg_count; i++)
		if (sl_str_eq(op->args[i].name, name))
			return &op->args[i];
	return NULL;
}

static int refuse(struct sl_error *err, const struct sl_op_arg *arg, const char *text, const char *takes)
{
	return sl_fail(err, SL_E_INVALID, "'%.80s' is not %s for '%s'", text, takes, arg->name);
}

static int check_choice(const struct sl_op_arg *arg, const char *text, struct sl_error *err)
{
	size_t count = 0;
	for (; arg->choices[count]; count++)
		if (sl_str_eq(arg->choices[count], text))
			return 0;
	refuse(err, arg, text, "a choice");
	const char *nearest = sl_str_nearest(text, arg->choices, count);
	if (nearest)
		return sl_error_hint(err, "did you mean '%s'?", nearest);
	char list[400] = "";
	for (size_t i = 0, at = 0; i < count && at < sizeof list - 40; i++)
		at += (size_t)snprintf(list + at, sizeof list - at, "%s%.30s", i ? ", " : "", arg->choices[i]);
	return sl_error_hint(err, "one of %s", list);
}

static int check_int(const struct sl_op_arg *arg, const char *text, int64_t *ret, struct sl_error *err)
{
	if (!sl_str_int(text, ret))
		return refuse(err, arg, text, "a whole number");
	if (arg->has_min && *ret < arg->min)
		return sl_fail(err, SL_E_INVALID, "'%s' must be at least %lld", arg->name, (long long)arg->min);
	if (arg->has_max && *ret > arg->max)
		return sl_fail(err, SL_E_INVALID, "'%s' must be at most %lld", arg->name, (long long)arg->max);
	return 0;
}

static int check_flag(const struct sl_op_arg *arg, const char *text, int64_t *ret, struct sl_error *err)
{
	if (!sl_str_eq(text, "true") && !sl_str_eq(text, "false"))
		return refuse(err, arg, text, "'true' or 'false'");
	*ret = text[0] == 't';
	return 0;
}

static int check_json(const struct sl_op_arg *arg, const char *text, struct sl_error *err)
{
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(text, strlen(text), arg->name, err);
	return doc ? 0 : err ? err->code : SL_E_INVALID;
}

static int check_type(const struct sl_op_arg *arg, const char *text, struct sl_arg_value *value, struct sl_error *err)
{
	switch (arg->type) {
	case SL_ARG_INT: return check_int(arg, text, &value->i, err);
	case SL_ARG_FLAG: return check_flag(arg, text, &value->i, err);
	case SL_ARG_CHOICE: return check_choice(arg, text, err);
	case SL_ARG_DOUBLE: return sl_str_double(text, &value->d) ? 0 : refuse(err, arg, text, "a number");
	case SL_ARG_TIME:
		return sl_time_parse(text, &value->i) ? 0 : refuse(err, arg, text, "a time (2001-03-01 or 2001-03-01T10:30Z)");
	case SL_ARG_DURATION:
		return sl_duration_parse(text, &value->i) ? 0 : refuse(err, arg, text, "a duration (90s, 15m, 6h, 1d)");
	case SL_ARG_NAME: return sl_name_valid(text) ? 0 : refuse(err, arg, text, "a name");
	case SL_ARG_PATH:
	case SL_ARG_REF: return *text ? 0 : sl_fail(err, SL_E_INVALID, "'%s' is empty", arg->name);
	case SL_ARG_TEXT: return 0;
	case SL_ARG_JSON: return check_json(arg, text, err);
	}
	return sl_fail(err, SL_E_BUG, "argument '%s' has no type", arg->name);
}

static int keep(struct sl_call *call, struct sl_arg_value *value, const char *text, struct sl_error *err)
{
	if (value->count == value->room) {
		size_t room = value->room ? value->room * 2 : 4;
		const char **texts = sl_arena_array(call->arena, room, sizeof *texts);
		if (!texts)
			return sl_fail_memory(err);
		if (value->count)
			memcpy(texts, value->texts, value->count * sizeof *texts);
		value->texts = texts;
		value->room = room;
	}
	const char *copy = sl_arena_strdup(call->arena, text);
	if (!copy)
		return sl_fail_memory(err);
	value->texts[value->count++] = copy;
	return 0;
}

int sl_call_set(struct sl_call *call, const struct sl_op_arg *arg, const char *text, struct sl_error *err)
{
	struct sl_arg_value *value = &call->args[arg - call->op->args];
	int most = arg->type == SL_ARG_JSON ? SL_ARG_JSON_MAX : SL_ARG_TEXT_MAX;
	if (strlen(text) > (size_t)most)
		return sl_fail(err, SL_E_TOO_LARGE, "'%s' is longer than %d bytes", arg->name, most);
	if (!sl_utf8_valid(text, strlen(text)))
		return sl_fail(err, SL_E_INVALID, "'%s' is not UTF-8", arg->name);
	if (value->count >= SL_ARG_ITEMS_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "'%s' has more than %d values", arg->name, SL_ARG_ITEMS_MAX);
	if (!arg->rest && value->given)
		return sl_fail(err, SL_E_INVALID, "'%s' is given twice", arg->name);
	int rc = check_type(arg, text, value, err);
	if (!rc)
		rc = keep(call, value, text, err);
	if (!rc)
		value->given = true;
	return rc;
}

int sl_call_check(struct sl_call *call, struct sl_error *err)
{
	for (size_t i = 0; i < call->op->arg_count; i++) {
		const struct sl_op_arg *arg = &call->op->args[i];
		struct sl_arg_value *value = &call->args[i];
		if (value->given)
			continue;
		if (arg->required) {
			sl_fail(err, SL_E_INVALID, "%s needs %s", call->op->name, arg->metavar);
			return sl_error_hint(err, "sluice %s -h", call->op->name);
		}
		if (arg->fallback) {
			int rc = sl_call_set(call, arg, arg->fallback, err);
			if (rc)
				return rc;
			value->given = false;
		}
	}
	return 0;
}

/* A scalar member as the text that the command line would have got; NULL for lists and objects. */
static const char *scalar_text(yyjson_val *value, char *space, size_t size)
{
	if (yyjson_is_str(value))
		return yyjson_get_len(value) == strlen(yyjson_get_str(value)) ? yyjson_get_str(value) : NULL;
	if (yyjson_is_bool(value))
		return yyjson_get_bool(value) ? "true" : "false";
	if (yyjson_is_uint(value))
		snprintf(space, size, "%llu", (unsigned long long)yyjson_get_uint(value));
	else if (yyjson_is_sint(value))
		snprintf(space, size, "%lld", (long long)yyjson_get_sint(value));
	else if (yyjson_is_real(value))
		snprintf(space, size, "%.17g", yyjson_get_real(value));
	else
		return NULL;
	return space;
}

static int set_json(struct sl_call *call, const struct sl_op_arg *arg, yyjson_val *value, struct sl_error *err)
{
	char *text = yyjson_val_write(value, 0, NULL);
	if (!text)
		return sl_fail_memory(err);
	int rc = sl_call_set(call, arg, text, err);
	free(text);
	return rc;
}

static int set_member(struct sl_call *call, const struct sl_op_arg *arg, yyjson_val *value, struct sl_error *err)
{
	char space[40];
	if (arg->type == SL_ARG_JSON)
		return set_json(call, arg, value, err);
	if (yyjson_is_arr(value) && arg->rest) {
		yyjson_arr_iter it = yyjson_arr_iter_with(value);
		for (yyjson_val *item; (item = yyjson_arr_iter_next(&it));) {
			const char *text = scalar_text(item, space, sizeof space);
			int rc = text ? sl_call_set(call, arg, text, err)
				      : sl_fail(err, SL_E_INVALID, "'%s' takes a list of plain values", arg->name);
			if (rc)
				return rc;
		}
		return 0;
	}
	const char *text = scalar_text(value, space, sizeof space);
	if (!text)
		return sl_fail(
			err, SL_E_INVALID, "'%s' takes %s", arg->name, arg->rest ? "a list of plain values" : "a plain value");
	return sl_call_set(call, arg, text, err);
}

static int refuse_unknown(const struct sl_op *op, const char *name, struct sl_error *err)
{
	const char *names[SL_ARGS_MAX];
	for (size_t i = 0; i < op->arg_count; i++)
		names[i] = op->args[i].name;
	sl_fail(err, SL_E_INVALID, "%s has no argument '%.80s'", op->name, name);
	const char *nearest = sl_str_nearest(name, names, op->arg_count);
	return nearest ? sl_error_hint(err, "did you mean '%s'?", nearest) : SL_E_INVALID;
}

int sl_call_set_json(struct sl_call *call, yyjson_val *object, struct sl_error *err)
{
	if (!yyjson_is_obj(object))
		return sl_fail(err, SL_E_INVALID, "the request body must be a JSON object");
	yyjson_obj_iter it = yyjson_obj_iter_with(object);
	for (yyjson_val *key; (key = yyjson_obj_iter_next(&it));) {
		const struct sl_op_arg *arg = sl_op_arg_find(call->op, yyjson_get_str(key));
		yyjson_val *value = yyjson_obj_iter_get_val(key);
		int rc = !arg                    ? refuse_unknown(call->op, yyjson_get_str(key), err)
			 : yyjson_is_null(value) ? 0
						 : set_member(call, arg, value, err);
		if (rc)
			return rc;
	}
	return 0;
}

static const struct sl_arg_value *value_of(const struct sl_call *call, const char *name)
{
	const struct sl_op_arg *arg = sl_op_arg_find(call->op, name);
	assert(arg);
	return &call->args[arg - call->op->args];
}

const char *sl_call_text(const struct sl_call *call, const char *name)
{
	const struct sl_arg_value *value = value_of(call, name);
	return value->count ? value->texts[value->count - 1] : NULL;
}

int64_t sl_call_int(const struct sl_call *call, const char *name) { return value_of(call, name)->i; }
double sl_call_double(const struct sl_call *call, const char *name) { return value_of(call, name)->d; }
bool sl_call_flag(const struct sl_call *call, const char *name) { return value_of(call, name)->i != 0; }
bool sl_call_given(const struct sl_call *call, const char *name) { return value_of(call, name)->given; }

const char *const *sl_call_list(const struct sl_call *call, const char *name, size_t *ret_count)
{
	const struct sl_arg_value *value = value_of(call, name);
	*ret_count = value->count;
	return value->texts;
}

int sl_call_run(struct sl_call *call, struct sl_error *err)
{
	int rc = call->op->handler(call, err);
	if (rc == SL_E_NO_SPACE && err)
		sl_disk_hint(err, *err->where == '/' ? err->where : call->store ? call->store->dir : call->dir, 0);
	if (rc == SL_E_NOT_FOUND && err)
		sl_resolve_suggest(call, err);
	if (!rc && !call->result && !call->raw)
		return sl_fail(err, SL_E_BUG, "%s made no result", call->op->name);
	return rc;
}

yyjson_mut_val *sl_error_json(yyjson_mut_doc *doc, const struct sl_error *err)
{
	yyjson_mut_val *root = yyjson_mut_obj(doc), *error = yyjson_mut_obj(doc);
	yyjson_mut_obj_add_val(doc, root, "error", error);
	yyjson_mut_obj_add_str(doc, error, "code", sl_code_name(err->code));
	yyjson_mut_obj_add_strcpy(doc, error, "message", err->message);
	if (err->where[0])
		yyjson_mut_obj_add_strcpy(doc, error, "where", err->where);
	if (err->hint[0])
		yyjson_mut_obj_add_strcpy(doc, error, "hint", err->hint);
	yyjson_mut_obj_add_bool(doc, error, "retriable", err->retriable);
	return root;
}
