#include "op/context.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"

enum { CALL_ARENA_BYTES = 64 << 20 };

int sl_call_begin(struct sl_call *call, const struct sl_op *op, const char *dir, struct sl_error *err)
{
	*call = (struct sl_call){.op = op, .dir = dir};
	call->arena = sl_arena_new(CALL_ARENA_BYTES, err);
	if (!call->arena)
		return SL_E_NO_MEMORY;
	call->doc = yyjson_mut_doc_new(NULL);
	if (!call->doc) {
		sl_arena_freep(&call->arena);
		return sl_fail_memory(err);
	}
	return 0;
}

void sl_call_done(struct sl_call *call)
{
	yyjson_mut_doc_free(call->doc);
	call->doc = NULL;
	sl_project_freep(&call->project);
	if (!call->store_borrowed)
		sl_store_closep(&call->store);
	call->store = NULL;
	sl_arena_freep(&call->arena);
}

yyjson_mut_val *sl_call_object(struct sl_call *call)
{
	if (!call->result)
		call->result = yyjson_mut_obj(call->doc);
	return call->result;
}

yyjson_mut_val *sl_call_json_text(struct sl_call *call, const char *text)
{
	if (!text)
		return yyjson_mut_null(call->doc);
	size_t len = strlen(text);
	if (sl_utf8_valid(text, len))
		return yyjson_mut_strncpy(call->doc, text, len);
	struct sl_buf quoted SL_AUTO_BUF = SL_BUF_INIT((size_t)64 << 20);
	sl_json_string(&quoted, text, len);
	if (quoted.failed)
		return yyjson_mut_null(call->doc);
	yyjson_doc *doc SL_AUTO_JSON = yyjson_read(quoted.data, quoted.len, 0);
	return doc ? yyjson_val_mut_copy(call->doc, yyjson_doc_get_root(doc)) : yyjson_mut_null(call->doc);
}

void sl_put_text(struct sl_call *call, yyjson_mut_val *object, const char *name, const char *text)
{
	yyjson_mut_obj_add_val(call->doc, object, name, sl_call_json_text(call, text));
}

void sl_put_int(struct sl_call *call, yyjson_mut_val *object, const char *name, int64_t value)
{
	yyjson_mut_obj_add_int(call->doc, object, name, value);
}

void sl_put_double(struct sl_call *call, yyjson_mut_val *object, const char *name, double value)
{
	if (isfinite(value))
		yyjson_mut_obj_add_real(call->doc, object, name, value);
	else
		yyjson_mut_obj_add_null(call->doc, object, name);
}

void sl_put_bool(struct sl_call *call, yyjson_mut_val *object, const char *name, bool value)
{
	yyjson_mut_obj_add_bool(call->doc, object, name, value);
}

void sl_put_time(struct sl_call *call, yyjson_mut_val *object, const char *name, int64_t time_ms)
{
	char text[SL_TIME_TEXT];
	sl_put_text(call, object, name, time_ms ? sl_time_format(time_ms, text) : NULL);
}

void sl_put_json(struct sl_call *call, yyjson_mut_val *object, const char *name, const char *json_text)
{
	yyjson_doc *doc SL_AUTO_JSON = yyjson_read(json_text, strlen(json_text), 0);
	yyjson_mut_val *value = doc ? yyjson_val_mut_copy(call->doc, yyjson_doc_get_root(doc)) : yyjson_mut_null(call->doc);
	yyjson_mut_obj_add_val(call->doc, object, name, value);
}

yyjson_mut_val *sl_put_array(struct sl_call *call, yyjson_mut_val *object, const char *name)
{
	yyjson_mut_val *array = yyjson_mut_arr(call->doc);
	yyjson_mut_obj_add_val(call->doc, object, name, array);
	return array;
}

yyjson_mut_val *sl_put_object(struct sl_call *call, yyjson_mut_val *object, const char *name)
{
	yyjson_mut_val *inner = yyjson_mut_obj(call->doc);
	yyjson_mut_obj_add_val(call->doc, object, name, inner);
	return inner;
}

yyjson_mut_val *sl_add_object(struct sl_call *call, yyjson_mut_val *array)
{
	yyjson_mut_val *inner = yyjson_mut_obj(call->doc);
	yyjson_mut_arr_append(array, inner);
	return inner;
}

int sl_call_project_dir(struct sl_call *call, char out[SL_PATH_MAX], struct sl_error *err)
{
	if (call->store) {
		snprintf(out, SL_PATH_MAX, "%s", call->store->project_dir);
		return 0;
	}
	return sl_project_find(call->dir, out, err);
}

int sl_call_project(struct sl_call *call, struct sl_project **ret, struct sl_error *err)
{
	char dir[SL_PATH_MAX];
	if (!call->project) {
		int rc = sl_call_project_dir(call, dir, err);
		if (!rc)
			rc = sl_project_load(dir, NULL, 0, &call->project, err);
		if (rc)
			return rc;
	}
	*ret = call->project;
	return 0;
}

int sl_call_store(struct sl_call *call, struct sl_store **ret, struct sl_error *err)
{
	char dir[SL_PATH_MAX];
	if (!call->store) {
		int rc = sl_call_project_dir(call, dir, err);
		if (!rc)
			rc = sl_store_open(dir, &call->store, err);
		if (rc)
			return rc;
		if (call->actor)
			sl_ledger_set_actor(call->store->ledger, call->actor);
	}
	*ret = call->store;
	return 0;
}

int sl_call_path(struct sl_call *call, const char *path, char out[SL_PATH_MAX], struct sl_error *err)
{
	if (path[0] != '/')
		return sl_path_join(out, call->dir, path, err);
	if (strlen(path) >= SL_PATH_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "the path is longer than %d bytes", SL_PATH_MAX - 1);
	strcpy(out, path);
	return 0;
}

void sl_call_line(struct sl_call *call, const char *format, ...)
{
	char text[1024];
	va_list args;
	if (!call->progress.line)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	for (char *c = text; *c; c++) /* what came from outside must not steer a terminal */
		*c = (unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c;
	call->progress.line(call->progress.context, text);
}

void sl_call_advance(struct sl_call *call, const char *name, double fraction, const char *what)
{
	if (call->progress.advance)
		call->progress.advance(call->progress.context, name, fraction, what);
}

bool sl_call_cancelled(const struct sl_call *call) { return call->cancel && *call->cancel; }
