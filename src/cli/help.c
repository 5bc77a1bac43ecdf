#include "cli/help.h"

#include <string.h>

#include "base/str.h"

enum { SUMMARY_COLUMN = 14, OPTION_COLUMN = 26 };

static void pad(struct sl_buf *out, int columns)
{
	for (; columns > 0; columns--)
		sl_buf_char(out, ' ');
}

void sl_help_all(const struct sl_term *term, struct sl_buf *out)
{
	const char *noun = "";
	sl_term_text(term, out, SL_STYLE_BOLD, "sluice");
	sl_buf_str(out, " - from raw data to a watched model, in one program\n\nusage: sluice VERB [arguments]\n");
	for (size_t i = 0; i < sl_op_count; i++) {
		const struct sl_op *op = &sl_ops[i];
		if (op->hidden)
			continue;
		if (!sl_str_eq(noun, op->noun)) {
			sl_buf_char(out, '\n');
			sl_term_text(term, out, SL_STYLE_BOLD, op->noun);
			sl_buf_char(out, '\n');
		}
		noun = op->noun;
		sl_buf_printf(out, "  %s", op->name);
		pad(out, SUMMARY_COLUMN - 2 - sl_term_columns(op->name));
		sl_buf_printf(out, "%s\n", op->summary);
	}
	sl_buf_str(out,
		"\nEvery command takes --json (the result as JSON), -C DIR (as if started there) and -h (help with examples).\n"
		"New here?  sluice init\n");
}

static void write_usage(const struct sl_term *term, const struct sl_op *op, struct sl_buf *out)
{
	char text[128];
	bool options = false;
	snprintf(text, sizeof text, "sluice %s", op->name);
	sl_buf_str(out, "usage: ");
	sl_term_text(term, out, SL_STYLE_BOLD, text);
	for (size_t i = 0; i < op->arg_count; i++) {
		const struct sl_op_arg *arg = &op->args[i];
		options |= !arg->position;
		if (arg->position)
			sl_buf_printf(out, arg->required ? " %s%s" : " [%s%s]", arg->metavar, arg->rest ? " ..." : "");
	}
	sl_buf_str(out, options ? " [options]\n" : "\n");
}

static int write_flag(const struct sl_op_arg *arg, struct sl_buf *out)
{
	size_t before = out->len;
	if (arg->position)
		sl_buf_printf(out, "  %s", arg->metavar);
	else if (arg->letter)
		sl_buf_printf(out, "  -%c, --%s", arg->letter, arg->name);
	else
		sl_buf_printf(out, "      --%s", arg->name);
	if (!arg->position && arg->type != SL_ARG_FLAG)
		sl_buf_printf(out, " %s", arg->metavar);
	return (int)(out->len - before);
}

static void write_arg(const struct sl_term *term, const struct sl_op_arg *arg, struct sl_buf *out)
{
	int used = write_flag(arg, out);
	pad(out, used < OPTION_COLUMN - 1 ? OPTION_COLUMN - used : 2);
	sl_buf_str(out, arg->doc);
	if (arg->choices) {
		sl_buf_str(out, ": ");
		for (size_t i = 0; arg->choices[i]; i++)
			sl_buf_printf(out, "%s%s", i ? ", " : "", arg->choices[i]);
	}
	if (arg->fallback && *arg->fallback && arg->type != SL_ARG_FLAG) {
		char text[160];
		snprintf(text, sizeof text, " (default %.120s)", arg->fallback);
		sl_term_text(term, out, SL_STYLE_DIM, text);
	}
	sl_buf_char(out, '\n');
}

void sl_help_op(const struct sl_term *term, const struct sl_op *op, struct sl_buf *out)
{
	sl_buf_printf(out, "%s\n\n", op->summary);
	write_usage(term, op, out);
	if (*op->doc)
		sl_buf_printf(out, "\n%s\n", op->doc);
	sl_buf_char(out, '\n');
	for (size_t i = 0; i < op->arg_count; i++)
		write_arg(term, &op->args[i], out);
	sl_buf_str(out, "      --json              the result as JSON\n  -C DIR                  as if started in DIR\n");
	if (op->example_count)
		sl_buf_str(out, "\nexamples:\n");
	for (size_t i = 0; i < op->example_count; i++) {
		sl_buf_str(out, "  ");
		sl_term_text(term, out, SL_STYLE_BOLD, op->examples[i].command);
		sl_buf_str(out, "\n      ");
		sl_term_text(term, out, SL_STYLE_DIM, op->examples[i].does);
		sl_buf_char(out, '\n');
	}
	if (*op->method)
		sl_buf_printf(
			out, "\nover HTTP: %s %s (permission %s)\n", op->method, op->path, sl_permission_name(op->permission));
}
