/* op/handlers.h and op/table.c: the table of src/op/op.h. A handler that is missing fails at the link. */
#include "opgen.h"

#include <ctype.h>
#include <string.h>

static const char *upper(const char *text)
{
	static char out[64];
	size_t i = 0;
	for (; text[i] && i < sizeof out - 1; i++)
		out[i] = (char)toupper((unsigned char)text[i]);
	out[i] = 0;
	return out;
}

static void write_handlers(const struct specs *specs, const char *dir)
{
	FILE *out = create_file(dir, "op/handlers.h");
	fputs("/* made by tools/opgen from spec/op */\n#pragma once\n#include \"op/op.h\"\n\n", out);
	for (size_t i = 0; i < specs->count; i++)
		fprintf(out, "int sl_op_%s(struct sl_call *call, struct sl_error *err);\n", specs->items[i].name);
	finish_file(out, "op/handlers.h");
}

static void write_choices(FILE *out, const struct spec *spec, yyjson_val *arg)
{
	size_t i, max;
	yyjson_val *choice;
	yyjson_val *choices = yyjson_obj_get(arg, "choices");
	if (!choices)
		return;
	fprintf(out, "static const char *const choices_%s_%s[] = {", spec->name, spec_str(arg, "name"));
	yyjson_arr_foreach(choices, i, max, choice) {
		write_c_string(out, yyjson_get_str(choice));
		fputs(", ", out);
	}
	fputs("NULL};\n", out);
}

/* METAVAR as help shows it: the declared one, else the name in capitals. */
static void write_metavar(FILE *out, yyjson_val *arg)
{
	const char *metavar = spec_str(arg, "metavar");
	write_c_string(out, *metavar ? metavar : upper(spec_str(arg, "name")));
}

static void write_arg(FILE *out, const struct spec *spec, yyjson_val *arg)
{
	yyjson_val *min = yyjson_obj_get(arg, "min"), *max = yyjson_obj_get(arg, "max");
	const char *letter = spec_str(arg, "letter");

	fputs("\t{.name = ", out);
	write_c_string(out, spec_str(arg, "name"));
	fprintf(out, ", .type = SL_ARG_%s, .position = %lld", upper(spec_str(arg, "type")),
		(long long)yyjson_get_sint(yyjson_obj_get(arg, "position")));
	if (spec_bool(arg, "rest"))
		fputs(", .rest = true", out);
	if (spec_bool(arg, "required"))
		fputs(", .required = true", out);
	if (*letter)
		fprintf(out, ", .letter = '%c'", *letter);
	if (yyjson_obj_get(arg, "default")) {
		fputs(", .fallback = ", out);
		write_c_string(out, spec_str(arg, "default"));
	}
	if (min)
		fprintf(out, ", .has_min = true, .min = %lld", (long long)yyjson_get_sint(min));
	if (max)
		fprintf(out, ", .has_max = true, .max = %lld", (long long)yyjson_get_sint(max));
	if (yyjson_obj_get(arg, "choices"))
		fprintf(out, ", .choices = choices_%s_%s", spec->name, spec_str(arg, "name"));
	fputs(",\n\t .metavar = ", out);
	write_metavar(out, arg);
	fputs(", .doc = ", out);
	write_c_string(out, spec_str(arg, "doc"));
	fputs("},\n", out);
}

static void write_lists(FILE *out, const struct spec *spec)
{
	size_t i, max;
	yyjson_val *item;
	yyjson_val *args = yyjson_obj_get(spec->root, "args"), *examples = yyjson_obj_get(spec->root, "examples");

	yyjson_arr_foreach(args, i, max, item)
		write_choices(out, spec, item);
	if (yyjson_arr_size(args)) {
		fprintf(out, "static const struct sl_op_arg args_%s[] = {\n", spec->name);
		yyjson_arr_foreach(args, i, max, item)
			write_arg(out, spec, item);
		fputs("};\n", out);
	}
	if (!yyjson_arr_size(examples))
		return;
	fprintf(out, "static const struct sl_op_example examples_%s[] = {\n", spec->name);
	yyjson_arr_foreach(examples, i, max, item) {
		fputs("\t{", out);
		write_c_string(out, spec_str(item, "command"));
		fputs(", ", out);
		write_c_string(out, spec_str(item, "does"));
		fputs("},\n", out);
	}
	fputs("};\n", out);
}

static void write_text_member(FILE *out, const char *member, const char *text)
{
	fprintf(out, "\t .%s = ", member);
	write_c_string(out, text);
	fputs(",\n", out);
}

static void write_op(FILE *out, const struct spec *spec)
{
	yyjson_val *route = yyjson_obj_get(spec->root, "route");
	size_t args = yyjson_arr_size(yyjson_obj_get(spec->root, "args")),
	       examples = yyjson_arr_size(yyjson_obj_get(spec->root, "examples"));

	fprintf(out, "\t{.name = \"%s\",\n", spec->name);
	write_text_member(out, "noun", spec_str(spec->root, "noun"));
	write_text_member(out, "summary", spec_str(spec->root, "summary"));
	write_text_member(out, "doc", spec_str(spec->root, "doc"));
	write_text_member(out, "method", spec_str(route, "method"));
	write_text_member(out, "path", spec_str(route, "path"));
	if (args)
		fprintf(out, "\t .args = args_%s, .arg_count = %zu,\n", spec->name, args);
	if (examples)
		fprintf(out, "\t .examples = examples_%s, .example_count = %zu,\n", spec->name, examples);
	fprintf(out, "\t .permission = SL_PERMIT_%s, ", upper(spec_str(spec->root, "permission")));
	fprintf(out, ".safe = %s, .hidden = %s, .handler = sl_op_%s},\n", spec_bool(spec->root, "safe") ? "true" : "false",
		spec_bool(spec->root, "hidden") ? "true" : "false", spec->name);
}

void write_table(const struct specs *specs, const char *dir)
{
	write_handlers(specs, dir);
	FILE *out = create_file(dir, "op/table.c");
	fputs("/* made by tools/opgen from spec/op */\n#include \"op/handlers.h\"\n\n", out);
	for (size_t i = 0; i < specs->count; i++)
		write_lists(out, &specs->items[i]);
	fputs("\nconst struct sl_op sl_ops[] = {\n", out);
	for (size_t i = 0; i < specs->count; i++)
		write_op(out, &specs->items[i]);
	fprintf(out, "};\nconst size_t sl_op_count = %zu;\n", specs->count);
	finish_file(out, "op/table.c");
}
