#include "cli/args.h"

#include <string.h>

#include "base/str.h"

struct parser {
	struct sl_call *call;
	struct sl_cli_globals *globals;
	char *const *argv;
	int argc, at;
	int position; /* of the last positional argument, from 1 */
	bool options_ended;
	struct sl_error *err;
};

static int unknown_option(struct parser *p, const char *name)
{
	const char *names[SL_ARGS_MAX + 2] = {"json", "help"};
	size_t count = 2;
	for (size_t i = 0; i < p->call->op->arg_count; i++)
		if (!p->call->op->args[i].position)
			names[count++] = p->call->op->args[i].name;
	sl_fail(p->err, SL_E_INVALID, "%s has no option '--%.60s'", p->call->op->name, name);
	const char *nearest = sl_str_nearest(name, names, count);
	return nearest ? sl_error_hint(p->err, "did you mean '--%s'?", nearest)
		       : sl_error_hint(p->err, "sluice %s -h", p->call->op->name);
}

static int need_value(struct parser *p, const char *name, const char **ret)
{
	if (p->at + 1 >= p->argc)
		return sl_fail(p->err, SL_E_INVALID, "'%s' needs a value", name);
	*ret = p->argv[++p->at];
	return 0;
}

static int set_option(struct parser *p, const struct sl_op_arg *arg, const char *name, const char *value)
{
	int rc = 0;
	if (arg->type == SL_ARG_FLAG && !value)
		value = "true";
	if (!value)
		rc = need_value(p, name, &value);
	return rc ? rc : sl_call_set(p->call, arg, value, p->err);
}

static int parse_long(struct parser *p, const char *text)
{
	char name[80];
	const char *equals = strchr(text, '='), *value = equals ? equals + 1 : NULL;
	size_t len = equals ? (size_t)(equals - text) : strlen(text);
	if (len >= sizeof name - 3)
		return unknown_option(p, text);
	memcpy(name, text, len);
	name[len] = 0;
	if (sl_str_eq(name, "json") && !value) {
		p->globals->json = true;
		return 0;
	}
	if (sl_str_eq(name, "help") && !value) {
		p->globals->help = true;
		return 0;
	}
	const struct sl_op_arg *arg = sl_op_arg_find(p->call->op, name);
	if (!arg || arg->position)
		return unknown_option(p, name);
	return set_option(p, arg, text - 2, value);
}

static const struct sl_op_arg *by_letter(const struct sl_op *op, char letter)
{
	for (size_t i = 0; i < op->arg_count; i++)
		if (op->args[i].letter == letter)
			return &op->args[i];
	return NULL;
}

static int parse_letters(struct parser *p, const char *letters)
{
	for (; *letters; letters++) {
		const char *value = letters[1] ? letters + 1 : NULL;
		char name[3] = {'-', *letters, 0};
		const struct sl_op_arg *arg = by_letter(p->call->op, *letters);
		int rc = 0;
		if (*letters == 'h') {
			p->globals->help = true;
			continue;
		}
		if (*letters == 'C') {
			p->globals->dir = value;
			return value ? 0 : need_value(p, name, &p->globals->dir);
		}
		if (!arg) {
			sl_fail(p->err, SL_E_INVALID, "%s has no option '%s'", p->call->op->name, name);
			return sl_error_hint(p->err, "sluice %s -h", p->call->op->name);
		}
		if (arg->type != SL_ARG_FLAG)
			return set_option(p, arg, name, value);
		rc = sl_call_set(p->call, arg, "true", p->err);
		if (rc)
			return rc;
	}
	return 0;
}

static int parse_position(struct parser *p, const char *text)
{
	const struct sl_op *op = p->call->op;
	p->position++;
	for (size_t i = 0; i < op->arg_count; i++) {
		const struct sl_op_arg *arg = &op->args[i];
		if (arg->position && (arg->position == p->position || (arg->rest && arg->position < p->position)))
			return sl_call_set(p->call, arg, text, p->err);
	}
	sl_fail(p->err, SL_E_INVALID, "%s does not take '%.80s'", op->name, text);
	return sl_error_hint(p->err, "sluice %s -h", op->name);
}

int sl_cli_parse(struct sl_call *call, int argc, char *const *argv, struct sl_cli_globals *globals, struct sl_error *err)
{
	struct parser p = {.call = call, .globals = globals, .argv = argv, .argc = argc, .err = err};
	int rc = 0;
	for (; p.at < argc && !rc; p.at++) {
		const char *text = argv[p.at];
		if (p.options_ended || text[0] != '-' || !text[1])
			rc = parse_position(&p, text);
		else if (sl_str_eq(text, "--"))
			p.options_ended = true;
		else
			rc = text[1] == '-' ? parse_long(&p, text + 2) : parse_letters(&p, text + 1);
	}
	return rc;
}
