/* version, help: what this program is. */
#include "op/context.h"
#include "op/handlers.h"

int sl_op_version(struct sl_call *call, struct sl_error *err)
{
	(void)err;
	yyjson_mut_val *result = sl_call_object(call);
	sl_put_text(call, result, "version", SLUICE_VERSION);
	sl_put_text(call, result, "compiler", __VERSION__);
	return 0;
}

static void put_args(struct sl_call *call, yyjson_mut_val *object, const struct sl_op *op)
{
	yyjson_mut_val *args = sl_put_array(call, object, "args");
	for (size_t i = 0; i < op->arg_count; i++) {
		yyjson_mut_val *arg = sl_add_object(call, args);
		sl_put_text(call, arg, "name", op->args[i].name);
		sl_put_int(call, arg, "position", op->args[i].position);
		sl_put_bool(call, arg, "required", op->args[i].required);
		sl_put_text(call, arg, "default", op->args[i].fallback);
		sl_put_text(call, arg, "doc", op->args[i].doc);
	}
}

int sl_op_help(struct sl_call *call, struct sl_error *err)
{
	const char *verb = sl_call_text(call, "verb");
	if (verb && !sl_op_find(verb))
		return sl_fail(err, SL_E_NOT_FOUND, "there is no command '%.60s'", verb);
	yyjson_mut_val *items = sl_put_array(call, sl_call_object(call), "items");
	for (size_t i = 0; i < sl_op_count; i++) {
		const struct sl_op *op = &sl_ops[i];
		if (verb ? sl_op_find(verb) != op : op->hidden)
			continue;
		yyjson_mut_val *item = sl_add_object(call, items);
		sl_put_text(call, item, "name", op->name);
		sl_put_text(call, item, "noun", op->noun);
		sl_put_text(call, item, "summary", op->summary);
		sl_put_text(call, item, "route", *op->path ? op->path : NULL);
		sl_put_text(call, item, "permission", sl_permission_name(op->permission));
		put_args(call, item, op);
	}
	return 0;
}
