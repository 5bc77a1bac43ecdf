/* Functions of the override grammar, as in Hydra 1.3 (hydra/_internal/grammar/grammar_functions.py): casts, sweeps and their modifiers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "project/override.h"

struct context { const struct sl_override_call *call; struct sl_arena *arena; struct sl_error *err; };
typedef int function(struct context *c, struct sl_override_value *ret);

static int fail(struct context *c, const char *why) { return sl_fail(c->err, SL_E_INVALID, "%s: %s", c->call->function, why); }

static bool is_number(const struct sl_override_value *v)
{
	return v->type == SL_OVERRIDE_INT || v->type == SL_OVERRIDE_DOUBLE || v->type == SL_OVERRIDE_BOOL;
}
static double number(const struct sl_override_value *v) { return v->type == SL_OVERRIDE_DOUBLE ? v->d : (double)v->i; }
static struct sl_override_value whole(int64_t i) { return (struct sl_override_value){.type = SL_OVERRIDE_INT, .i = i}; }
static struct sl_override_value real(double d) { return (struct sl_override_value){.type = SL_OVERRIDE_DOUBLE, .d = d}; }

/* Binds the call's arguments to `names`; ret[i] NULL when not given. */
static int bind(struct context *c, const char *const *names, size_t count, const struct sl_override_value **ret)
{
	memset(ret, 0, count * sizeof *ret);
	for (size_t i = 0; i < c->call->count; i++) {
		size_t slot = i;
		for (slot = c->call->names[i] ? 0 : i; c->call->names[i] && slot < count && strcmp(names[slot], c->call->names[i]) != 0;)
			slot++;
		if (slot >= count)
			return fail(c, c->call->names[i] ? "there is no argument of that name" : "too many arguments");
		if (ret[slot])
			return fail(c, "an argument is given twice");
		ret[slot] = &c->call->args[i];
	}
	return 0;
}

static struct sl_override_value *copy_items(struct context *c, const struct sl_override_value *items, size_t count)
{
	struct sl_override_value *copy = sl_arena_array(c->arena, count + 1, sizeof *copy);
	if (!copy)
		sl_fail_memory(c->err);
	else if (count)
		memcpy(copy, items, count * sizeof *copy);
	return copy;
}

/* The positional arguments of a function that takes any number, and its named ones. */
static int positional(struct context *c, const char *const *names, size_t name_count, const struct sl_override_value **ret_named, size_t *ret_count)
{
	*ret_count = 0;
	memset(ret_named, 0, name_count * sizeof *ret_named);
	for (size_t i = 0; i < c->call->count; i++) {
		if (!c->call->names[i]) {
			*ret_count = i + 1;
			continue;
		}
		size_t slot = 0;
		while (slot < name_count && strcmp(names[slot], c->call->names[i]) != 0)
			slot++;
		if (slot == name_count)
			return fail(c, "there is no argument of that name");
		ret_named[slot] = &c->call->args[i];
	}
	return 0;
}

/* ---- casts ---------------------------------------------------------------------------------------------------------------- */

/* A number's digits as Python takes them: blanks around, '_' between digits. */
static bool clean_number(const char *text, char out[64])
{
	size_t n = 0;
	text += strspn(text, " \t");
	for (const char *p = text; *p; p++) {
		if (*p == '_' && p > text && p[-1] >= '0' && p[-1] <= '9' && p[1] >= '0' && p[1] <= '9')
			continue;
		if (n == 63)
			return false;
		out[n++] = *p;
	}
	while (n && (out[n - 1] == ' ' || out[n - 1] == '\t'))
		n--;
	out[n] = 0;
	return n > 0;
}

static int to_int(struct context *c, const struct sl_override_value *v, struct sl_override_value *ret)
{
	char text[64];
	int64_t i;
	if (v->type == SL_OVERRIDE_TEXT && clean_number(v->text, text) && sl_str_int(text, &i)) {
		*ret = whole(i);
		return 0;
	}
	if (!is_number(v) || (v->type == SL_OVERRIDE_DOUBLE && !(fabs(v->d) < 9.2e18)))
		return fail(c, "not a whole number");
	*ret = whole(v->type == SL_OVERRIDE_DOUBLE ? (int64_t)v->d : v->i);
	return 0;
}

static int to_float(struct context *c, const struct sl_override_value *v, struct sl_override_value *ret)
{
	char text[64];
	double d;
	if (v->type == SL_OVERRIDE_TEXT && clean_number(v->text, text) && sl_str_double(text, &d)) {
		*ret = real(d);
		return 0;
	}
	if (!is_number(v))
		return fail(c, "not a number");
	*ret = real(number(v));
	return 0;
}

/* As Python's repr: the fewest digits that give the number back; an exponent below 1e-4 and from 1e16 on. */
static const char *python_float(struct context *c, double d)
{
	char digits[40];
	if (isnan(d) || isinf(d))
		return isnan(d) ? "nan" : d > 0 ? "inf" : "-inf";
	int precision = 1;
	do
		snprintf(digits, sizeof digits, "%.*e", precision - 1, d);
	while (strtod(digits, NULL) != d && ++precision <= 17);
	int exponent = atoi(strchr(digits, 'e') + 1);
	if (exponent >= -4 && exponent < 16)
		return sl_arena_printf(c->arena, "%.*f", precision - 1 - exponent > 1 ? precision - 1 - exponent : 1, d);
	*strchr(digits, 'e') = 0;
	return sl_arena_printf(c->arena, "%se%c%02d", digits, exponent < 0 ? '-' : '+', abs(exponent));
}

static int to_str(struct context *c, const struct sl_override_value *v, struct sl_override_value *ret)
{
	const char *text = NULL;
	if (v->type == SL_OVERRIDE_TEXT)
		text = v->text;
	else if (v->type == SL_OVERRIDE_BOOL)
		text = v->i ? "true" : "false";
	else if (v->type == SL_OVERRIDE_INT)
		text = sl_arena_printf(c->arena, "%lld", (long long)v->i);
	else if (v->type == SL_OVERRIDE_DOUBLE)
		text = python_float(c, v->d);
	else
		return fail(c, "not a text or number");
	*ret = (struct sl_override_value){.type = SL_OVERRIDE_TEXT, .quoted = true, .text = text};
	return text ? 0 : sl_fail_memory(c->err);
}

static int to_bool(struct context *c, const struct sl_override_value *v, struct sl_override_value *ret)
{
	bool truth = is_number(v) && number(v) != 0;
	if (v->type == SL_OVERRIDE_TEXT && strcasecmp(v->text, "true") == 0)
		truth = true;
	else if (!is_number(v) && !(v->type == SL_OVERRIDE_TEXT && strcasecmp(v->text, "false") == 0))
		return fail(c, "neither true nor false");
	*ret = (struct sl_override_value){.type = SL_OVERRIDE_BOOL, .i = truth};
	return 0;
}

typedef int cast(struct context *c, const struct sl_override_value *v, struct sl_override_value *ret);

static int cast_value(struct context *c, cast *to, const struct sl_override_value *v, struct sl_override_value *ret)
{
	bool ranged = v->type == SL_OVERRIDE_RANGE || v->type == SL_OVERRIDE_INTERVAL;
	if (ranged && to != to_int && to != to_float)
		return fail(c, "a range or interval can only become int or float");
	if (v->type == SL_OVERRIDE_GLOB)
		return fail(c, "a glob cannot be cast");
	if (v->type < SL_OVERRIDE_LIST)
		return to(c, v, ret);
	struct sl_override_value out = *v;
	out.items = copy_items(c, v->items, v->count);
	if (!out.items)
		return SL_E_NO_MEMORY;
	for (size_t i = 0; i < v->count; i++) {
		int rc = cast_value(c, to, &v->items[i], &out.items[i]);
		if (rc)
			return rc;
	}
	*ret = out;
	return 0;
}

static int do_cast(struct context *c, cast *to, struct sl_override_value *ret)
{
	static const char *const NAMES[] = {"value"};
	const struct sl_override_value *named;
	size_t count;
	int rc = positional(c, NAMES, 1, &named, &count);
	if (rc)
		return rc;
	if ((named && count) || (!named && !count))
		return fail(c, named ? "takes either positional arguments or 'value'" : "an argument is missing");
	if (named || count == 1)
		return cast_value(c, to, named ? named : &c->call->args[0], ret);
	const struct sl_override_value several = {.type = SL_OVERRIDE_CHOICE, .simple = true, .items = c->call->args, .count = count};
	return cast_value(c, to, &several, ret);
}

static int do_int(struct context *c, struct sl_override_value *ret) { return do_cast(c, to_int, ret); }
static int do_float(struct context *c, struct sl_override_value *ret) { return do_cast(c, to_float, ret); }
static int do_str(struct context *c, struct sl_override_value *ret) { return do_cast(c, to_str, ret); }
static int do_bool(struct context *c, struct sl_override_value *ret) { return do_cast(c, to_bool, ret); }

/* ---- sweeps --------------------------------------------------------------------------------------------------------------- */

static int do_choice(struct context *c, struct sl_override_value *ret)
{
	const struct sl_override_value *none[1];
	size_t count;
	int rc = positional(c, NULL, 0, none, &count);
	if (!rc && count == 0)
		rc = fail(c, "an empty choice is not legal");
	if (rc)
		return rc;
	const struct sl_override_value *first = &c->call->args[0];
	if (count == 1 && first->type == SL_OVERRIDE_CHOICE && !first->simple)
		return fail(c, "choices cannot be nested");
	if (count == 1 && first->type == SL_OVERRIDE_CHOICE) {
		*ret = *first;
		ret->simple = false;
		return 0;
	}
	*ret = (struct sl_override_value){.type = SL_OVERRIDE_CHOICE, .items = copy_items(c, c->call->args, count), .count = count};
	return ret->items ? 0 : SL_E_NO_MEMORY;
}

static int make_sweep(struct context *c, enum sl_override_type type, const struct sl_override_value *items, size_t count, struct sl_override_value *ret)
{
	*ret = (struct sl_override_value){.type = type, .items = copy_items(c, items, count), .count = count};
	return ret->items ? 0 : SL_E_NO_MEMORY;
}

static int do_range(struct context *c, struct sl_override_value *ret)
{
	static const char *const NAMES[] = {"start", "stop", "step"};
	const struct sl_override_value *a[3];
	int rc = bind(c, NAMES, 3, a);
	if (!rc && !a[0])
		rc = fail(c, "'start' is missing");
	for (size_t i = 0; !rc && i < 3; i++)
		if (a[i] && !is_number(a[i]))
			rc = fail(c, "wants numbers");
	if (rc)
		return rc;
	const struct sl_override_value items[] = {a[1] ? *a[0] : whole(0), a[1] ? *a[1] : *a[0], a[2] ? *a[2] : whole(1)};
	return make_sweep(c, SL_OVERRIDE_RANGE, items, 3, ret);
}

static int do_interval(struct context *c, struct sl_override_value *ret)
{
	static const char *const NAMES[] = {"start", "end"};
	const struct sl_override_value *a[2];
	int rc = bind(c, NAMES, 2, a);
	if (!rc && (!a[0] || !a[1] || !is_number(a[0]) || !is_number(a[1])))
		rc = fail(c, "wants two numbers");
	if (rc)
		return rc;
	const struct sl_override_value items[] = {real(number(a[0])), real(number(a[1]))};
	return make_sweep(c, SL_OVERRIDE_INTERVAL, items, 2, ret);
}

/* A text, or a list of texts, as a list. */
static int patterns(struct context *c, const struct sl_override_value *v, struct sl_override_value *ret)
{
	*ret = (struct sl_override_value){.type = SL_OVERRIDE_LIST};
	if (!v)
		return 0;
	if (v->type == SL_OVERRIDE_TEXT)
		return make_sweep(c, SL_OVERRIDE_LIST, v, 1, ret);
	if (v->type != SL_OVERRIDE_LIST)
		return fail(c, "wants patterns");
	*ret = *v;
	return 0;
}

static int do_glob(struct context *c, struct sl_override_value *ret)
{
	static const char *const NAMES[] = {"include", "exclude"};
	const struct sl_override_value *a[2];
	struct sl_override_value items[2];
	int rc = bind(c, NAMES, 2, a);
	if (!rc && !a[0])
		rc = fail(c, "'include' is missing");
	rc = rc ? rc : patterns(c, a[0], &items[0]);
	rc = rc ? rc : patterns(c, a[1], &items[1]);
	return rc ? rc : make_sweep(c, SL_OVERRIDE_GLOB, items, 2, ret);
}

static int do_tag(struct context *c, struct sl_override_value *ret)
{
	static const char *const NAMES[] = {"sweep"};
	const struct sl_override_value *sweep;
	size_t count;
	int rc = positional(c, NAMES, 1, &sweep, &count);
	if (rc)
		return rc;
	if (!sweep && count)
		sweep = &c->call->args[--count];
	if (!sweep || !sl_override_is_sweep(sweep))
		return fail(c, "the last argument must be a choice, range or interval");
	*ret = *sweep;
	ret->tags = sl_arena_array(c->arena, count + 1, sizeof *ret->tags);
	ret->tag_count = count;
	if (!ret->tags)
		return sl_fail_memory(c->err);
	for (size_t i = 0; i < count; i++) {
		if (c->call->args[i].type != SL_OVERRIDE_TEXT)
			return fail(c, "tags must be texts");
		ret->tags[i] = c->call->args[i].text;
	}
	return 0;
}

/* ---- order ------------------------------------------------------------------------------------------------------------------ */

static int compare(const void *a, const void *b)
{
	const struct sl_override_value *x = a, *y = b;
	if (x->type == SL_OVERRIDE_TEXT)
		return strcmp(x->text, y->text);
	return number(x) < number(y) ? -1 : number(x) > number(y);
}

static int sort_items(struct context *c, bool reverse, struct sl_override_value *v)
{
	for (size_t i = 0; i < v->count; i++) {
		const struct sl_override_value *item = &v->items[i];
		bool same = is_number(item) ? is_number(&v->items[0]) : item->type == SL_OVERRIDE_TEXT && v->items[0].type == SL_OVERRIDE_TEXT;
		if (!same || (item->quoted && v->count > 1))
			return fail(c, "the values cannot be compared");
	}
	v->items = copy_items(c, v->items, v->count);
	if (!v->items)
		return SL_E_NO_MEMORY;
	qsort(v->items, v->count, sizeof *v->items, compare);
	for (size_t i = 0; reverse && i < v->count / 2; i++) {
		struct sl_override_value other = v->items[i];
		v->items[i] = v->items[v->count - 1 - i];
		v->items[v->count - 1 - i] = other;
	}
	return 0;
}

/* A range runs the other way: from its last value to its first. */
static int reverse_range(struct context *c, struct sl_override_value *v)
{
	double start = number(&v->items[0]), stop = number(&v->items[1]), step = number(&v->items[2]);
	double steps = step == 0 ? 0 : ceil((stop - start) / step - 1e-9);
	if (!(steps > 1))
		return 0;
	double last = start + (steps - 1) * step;
	bool integers = v->items[0].type != SL_OVERRIDE_DOUBLE && v->items[1].type != SL_OVERRIDE_DOUBLE && v->items[2].type != SL_OVERRIDE_DOUBLE;
	v->items = copy_items(c, v->items, v->count);
	if (!v->items)
		return SL_E_NO_MEMORY;
	v->items[0] = integers ? whole((int64_t)last) : real(last);
	v->items[1] = integers ? whole((int64_t)(start - step)) : real(start - step / 2);
	v->items[2] = integers ? whole((int64_t)-step) : real(-step);
	return 0;
}

static int sort_value(struct context *c, const struct sl_override_value *v, bool reverse, struct sl_override_value *ret)
{
	*ret = *v;
	if (v->type == SL_OVERRIDE_CHOICE || v->type == SL_OVERRIDE_LIST)
		return sort_items(c, reverse, ret);
	if (v->type == SL_OVERRIDE_RANGE && (number(&v->items[2]) > 0) == reverse)
		return reverse_range(c, ret);
	return v->type == SL_OVERRIDE_INTERVAL || v->type == SL_OVERRIDE_GLOB ? fail(c, "this sweep has no order") : 0;
}

static int do_sort(struct context *c, struct sl_override_value *ret)
{
	static const char *const NAMES[] = {"sweep", "list", "reverse"};
	const struct sl_override_value *named[3];
	size_t count;
	int rc = positional(c, NAMES, 3, named, &count);
	if (!rc && named[2] && named[2]->type != SL_OVERRIDE_BOOL)
		rc = fail(c, "'reverse' is true or false");
	if (rc)
		return rc;
	bool reverse = named[2] && named[2]->i;
	if (named[0] || named[1])
		return sort_value(c, named[1] ? named[1] : named[0], reverse, ret);
	if (count == 0)
		return fail(c, "nothing to sort");
	if (count == 1)
		return sort_value(c, &c->call->args[0], reverse, ret);
	for (size_t i = 0; i < count; i++)
		if (c->call->args[i].type >= SL_OVERRIDE_LIST || c->call->args[i].type == SL_OVERRIDE_NULL)
			return fail(c, "wants texts or numbers");
	const struct sl_override_value several = {.type = SL_OVERRIDE_CHOICE, .simple = true, .items = c->call->args, .count = count};
	return sort_value(c, &several, reverse, ret);
}

static int do_shuffle(struct context *c, struct sl_override_value *ret)
{
	static const char *const NAMES[] = {"sweep", "list"};
	const struct sl_override_value *named[2];
	size_t count;
	int rc = positional(c, NAMES, 2, named, &count);
	if (rc)
		return rc;
	const struct sl_override_value *one = named[1] ? named[1] : named[0] ? named[0] : count == 1 ? &c->call->args[0] : NULL;
	if (one && (one->type == SL_OVERRIDE_CHOICE || one->type == SL_OVERRIDE_RANGE || one->type == SL_OVERRIDE_LIST))
		*ret = *one;
	else if (one)
		rc = make_sweep(c, SL_OVERRIDE_LIST, one, 1, ret);
	else
		rc = make_sweep(c, SL_OVERRIDE_CHOICE, c->call->args, count, ret);
	ret->simple = ret->type == SL_OVERRIDE_CHOICE && !one;
	ret->shuffled = true;
	return rc;
}

/* Marked `simple`, so that the override becomes one that extends (sl_override_parse). */
static int do_extend_list(struct context *c, struct sl_override_value *ret)
{
	int rc = make_sweep(c, SL_OVERRIDE_LIST, c->call->args, c->call->count, ret);
	ret->simple = true;
	return rc;
}

int sl_override_apply(const struct sl_override_call *call, struct sl_arena *arena, struct sl_override_value *ret, struct sl_error *err)
{
	static const struct { const char *name; function *run; } FUNCTIONS[] = {
		{"int", do_int}, {"float", do_float}, {"str", do_str}, {"bool", do_bool}, {"choice", do_choice}, {"range", do_range},
		{"interval", do_interval}, {"glob", do_glob}, {"tag", do_tag}, {"sort", do_sort}, {"shuffle", do_shuffle}, {"extend_list", do_extend_list},
	};
	struct context c = {.call = call, .arena = arena, .err = err};
	const char *names[SL_ARRAY_LEN(FUNCTIONS)];
	for (size_t i = 0; i < SL_ARRAY_LEN(FUNCTIONS); i++) {
		names[i] = FUNCTIONS[i].name;
		if (strcmp(FUNCTIONS[i].name, call->function) == 0)
			return FUNCTIONS[i].run(&c, ret);
	}
	sl_fail(err, SL_E_INVALID, "there is no function '%.60s'", call->function);
	const char *nearest = sl_str_nearest(call->function, names, SL_ARRAY_LEN(FUNCTIONS));
	if (nearest)
		sl_error_hint(err, "did you mean '%s'? a text with brackets stands in quotes", nearest);
	return SL_E_INVALID;
}
