#include "op/pins.h"

#include <string.h>

#include "base/str.h"
#include "track/pin.h"

/* The file's value as JSON text; "null" when the file has no such parameter. */
static int file_value(const struct sl_project *project, const char *name, struct sl_buf *out)
{
	const struct sl_param *param = sl_project_param(project, name);
	sl_buf_clear(out);
	if (!param)
		sl_buf_str(out, "null");
	else if (param->value.type == SL_VALUE_BOOL)
		sl_buf_str(out, param->value.i ? "true" : "false");
	else if (param->value.type == SL_VALUE_INT)
		sl_buf_printf(out, "%lld", (long long)param->value.i);
	else if (param->value.type == SL_VALUE_DOUBLE)
		sl_buf_printf(out, "%.17g", param->value.d);
	else if (param->value.type == SL_VALUE_JSON)
		sl_buf_str(out, param->value.text);
	else if (param->value.type == SL_VALUE_NULL)
		sl_buf_str(out, "null");
	else
		sl_json_string(out, param->value.text, strlen(param->value.text));
	return out->failed;
}

/* "name" of "name=value"; NULL for what is no plain override. */
static const char *override_name(struct sl_arena *arena, const char *override)
{
	const char *equals = strchr(override, '=');
	return equals ? sl_arena_strndup(arena, override, (size_t)(equals - override)) : NULL;
}

static bool overridden(const char *const *overrides, size_t count, const char *param)
{
	size_t len = strlen(param);
	for (size_t i = 0; i < count; i++)
		if (strncmp(overrides[i], param, len) == 0 && overrides[i][len] == '=')
			return true;
	return false;
}

/* Which pins hold: those that the file has not overtaken and the caller does not replace. */
static int choose(struct sl_call *call, struct sl_store *store, const struct sl_project *plain, const struct sl_pin *pins,
	size_t pin_count, const char *const *overrides, size_t count, bool settle, const char **ret, size_t *ret_count, struct sl_error *err)
{
	struct sl_buf value SL_AUTO_BUF = SL_BUF_INIT(1 << 20);
	for (size_t i = 0; i < pin_count; i++) {
		if (file_value(plain, pins[i].param, &value))
			return sl_fail_memory(err);
		if (!sl_str_eq(sl_buf_cstr(&value), pins[i].file_value)) {
			int rc = settle ? sl_pin_remove(&store->track, pins[i].param, "the project file changed it", err) : 0;
			if (rc)
				return rc;
			if (settle)
				sl_call_line(call, "%s is no longer pinned: the project file changed it", pins[i].param);
		} else if (!overridden(overrides, count, pins[i].param)) {
			ret[(*ret_count)++] = pins[i].override;
		}
	}
	return 0;
}

int sl_pins_project(struct sl_call *call, struct sl_store *store, const char *const *overrides, size_t count, bool settle,
	struct sl_project **ret, struct sl_error *err)
{
	struct sl_pin *pins;
	size_t pin_count = 0, all_count = 0;
	int rc = sl_pins_read(&store->track, call->arena, &pins, &pin_count, err);
	const char **all = rc ? NULL : sl_arena_array(call->arena, pin_count + count + 1, sizeof *all);
	if (!rc && !all)
		rc = sl_fail_memory(err);
	if (!rc && pin_count) {
		struct sl_project *plain SL_CLEANUP(sl_project_freep) = NULL;
		rc = sl_project_load(store->project_dir, NULL, 0, &plain, err);
		if (!rc)
			rc = choose(call, store, plain, pins, pin_count, overrides, count, settle, all, &all_count, err);
	}
	if (rc)
		return rc;
	for (size_t i = 0; i < count; i++)
		all[all_count++] = overrides[i];
	sl_project_freep(&call->project);
	call->project = NULL;
	rc = sl_project_load(store->project_dir, all, all_count, &call->project, err);
	*ret = call->project;
	return rc;
}

int sl_pins_keep(struct sl_call *call, struct sl_store *store, const char *const *overrides, size_t count, struct sl_error *err)
{
	struct sl_project *plain SL_CLEANUP(sl_project_freep) = NULL;
	struct sl_buf value SL_AUTO_BUF = SL_BUF_INIT(1 << 20);
	int rc = count ? sl_project_load(store->project_dir, NULL, 0, &plain, err) : 0;
	for (size_t i = 0; i < count && !rc; i++) {
		struct sl_pin pin = {.param = override_name(call->arena, overrides[i]), .override = overrides[i]};
		if (!pin.param)
			continue;
		if (file_value(plain, pin.param, &value))
			return sl_fail_memory(err);
		pin.file_value = sl_buf_cstr(&value);
		rc = sl_pin_set(&store->track, &pin, err);
	}
	return rc;
}

int sl_pins_drop(struct sl_call *call, struct sl_store *store, const char *reason, struct sl_error *err)
{
	struct sl_pin *pins;
	size_t count = 0;
	int rc = sl_pins_read(&store->track, call->arena, &pins, &count, err);
	for (size_t i = 0; i < count && !rc; i++)
		rc = sl_pin_remove(&store->track, pins[i].param, reason, err);
	return rc;
}
