#include "learn/gate.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

struct cursor {
	const char *text, *at;
	struct sl_error *err;
};

static void skip_blanks(struct cursor *in)
{
	while (*in->at == ' ' || *in->at == '\t')
		in->at++;
}

static int fail_here(struct cursor *in, const char *wants)
{
	size_t column = (size_t)(in->at - in->text) + 1;
	if (*in->at)
		return sl_fail(in->err, SL_E_INVALID, "gate rule '%s', column %zu: %s is wanted, not '%.20s'", in->text, column,
			       wants, in->at);
	return sl_fail(in->err, SL_E_INVALID, "gate rule '%s', column %zu: %s is wanted", in->text, column, wants);
}

static bool is_word(char c) { return isalnum((unsigned char)c) || c == '_'; }

static size_t metric_count(void)
{
	size_t n = 0;
	while (sl_metric_names[n])
		n++;
	return n;
}

static int parse_metric(struct cursor *in, char ret[64])
{
	size_t len = 0;
	while (is_word(in->at[len]))
		len++;
	if (!len || len >= 64 || isdigit((unsigned char)*in->at))
		return fail_here(in, "a metric's name");
	memcpy(ret, in->at, len);
	ret[len] = 0;
	for (size_t i = 0; i < metric_count(); i++)
		if (sl_str_eq(sl_metric_names[i], ret)) {
			in->at += len;
			return 0;
		}
	sl_fail(in->err, SL_E_INVALID, "gate rule '%s', column %zu: there is no metric '%s'", in->text,
		(size_t)(in->at - in->text) + 1, ret);
	const char *nearest = sl_str_nearest(ret, sl_metric_names, metric_count());
	return nearest ? sl_error_hint(in->err, "did you mean '%s'?", nearest) : SL_E_INVALID;
}

static int parse_comparison(struct cursor *in, char ret[3])
{
	if (*in->at != '<' && *in->at != '>')
		return fail_here(in, "one of < <= > >=");
	size_t len = in->at[1] == '=' ? 2 : 1;
	memcpy(ret, in->at, len);
	ret[len] = 0;
	in->at += len;
	return 0;
}

static int parse_number(struct cursor *in, double *ret)
{
	char text[64];
	size_t len = 0;
	while (in->at[len] && strchr("0123456789.eE+-", in->at[len]) &&
	       (len == 0 || (in->at[len] != '+' && in->at[len] != '-') || tolower((unsigned char)in->at[len - 1]) == 'e'))
		len++;
	if (!len || len >= sizeof text)
		return fail_here(in, "a number");
	memcpy(text, in->at, len);
	text[len] = 0;
	if (!sl_str_double(text, ret) || !isfinite(*ret))
		return fail_here(in, "a number");
	in->at += len;
	return 0;
}

static int parse_side(struct cursor *in, struct sl_gate_rule *ret)
{
	static const char prefix[] = "champion.";
	if (!sl_str_starts(in->at, prefix))
		return parse_number(in, &ret->number);
	in->at += sizeof prefix - 1;
	ret->champion = true;
	int rc = parse_metric(in, ret->champion_metric);
	skip_blanks(in);
	if (rc || !*in->at)
		return rc;
	if (!strchr("+-*", *in->at))
		return fail_here(in, "one of + - *");
	ret->operation = *in->at++;
	skip_blanks(in);
	return parse_number(in, &ret->number);
}

int sl_gate_parse(const char *text, struct sl_gate_rule *ret, struct sl_error *err)
{
	struct cursor in = {text, text, err};
	*ret = (struct sl_gate_rule){0};
	skip_blanks(&in);
	int rc = parse_metric(&in, ret->metric);
	skip_blanks(&in);
	if (rc || (rc = parse_comparison(&in, ret->comparison)))
		return rc;
	skip_blanks(&in);
	if ((rc = parse_side(&in, ret)))
		return rc;
	skip_blanks(&in);
	return *in.at ? fail_here(&in, "the end") : 0;
}

bool sl_gate_wants_champion(const char *const *rules, size_t count)
{
	struct sl_gate_rule rule;
	for (size_t i = 0; i < count; i++)
		if (sl_gate_parse(rules[i], &rule, NULL) == 0 && rule.champion)
			return true;
	return false;
}

static bool holds(double value, const char *comparison, double bar)
{
	bool equal = comparison[1] && value == bar;
	return equal || (comparison[0] == '<' ? value < bar : value > bar);
}

struct verdict {
	bool passed;
	double value, bar;
	char note[160];
};

static double bar_of(const struct sl_gate_rule *rule, const struct sl_scores *champion)
{
	double theirs = rule->champion ? sl_scores_get(champion, rule->champion_metric) : rule->number;
	switch (rule->operation) {
	case '+': return theirs + rule->number;
	case '-': return theirs - rule->number;
	case '*': return theirs * rule->number;
	default: return theirs;
	}
}

static struct verdict judge(const struct sl_gate_rule *rule, const struct sl_scores *candidate, const struct sl_scores *champion)
{
	struct verdict v = {.value = sl_scores_get(candidate, rule->metric), .bar = NAN};
	if (rule->champion && !champion) {
		v.passed = true;
		snprintf(v.note, sizeof v.note, "there is no champion to compare with");
		return v;
	}
	v.bar = bar_of(rule, champion);
	if (isnan(v.value))
		snprintf(v.note, sizeof v.note, "the candidate has no '%s'", rule->metric);
	else if (isnan(v.bar))
		snprintf(v.note, sizeof v.note, "the champion has no '%s'", rule->champion_metric);
	else
		v.passed = holds(v.value, rule->comparison, v.bar);
	return v;
}

static bool add_verdict(yyjson_mut_doc *doc, yyjson_mut_val *list, const char *rule, const struct verdict *v)
{
	yyjson_mut_val *item = yyjson_mut_arr_add_obj(doc, list);
	bool ok = yyjson_mut_obj_add_strcpy(doc, item, "rule", rule) && yyjson_mut_obj_add_bool(doc, item, "passed", v->passed);
	ok = ok && (isnan(v->value) ? yyjson_mut_obj_add_null(doc, item, "value")
				    : yyjson_mut_obj_add_real(doc, item, "value", v->value));
	ok = ok &&
	     (isnan(v->bar) ? yyjson_mut_obj_add_null(doc, item, "bar") : yyjson_mut_obj_add_real(doc, item, "bar", v->bar));
	return ok && yyjson_mut_obj_add_strcpy(doc, item, "note", v->note);
}

int sl_gate_check(const char *const *rules, size_t count, const struct sl_scores *candidate, const struct sl_scores *champion,
		  bool *ret_passed, struct sl_buf *verdict, struct sl_error *err)
{
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *list = yyjson_mut_arr(doc);
	bool passed = true;
	if (!list)
		return sl_fail_memory(err);
	for (size_t i = 0; i < count; i++) {
		struct sl_gate_rule rule;
		int rc = sl_gate_parse(rules[i], &rule, err);
		if (rc)
			return rc;
		struct verdict v = judge(&rule, candidate, champion);
		if (!add_verdict(doc, list, rules[i], &v))
			return sl_fail_memory(err);
		passed = passed && v.passed;
	}
	*ret_passed = passed;
	return sl_json_write(list, false, verdict, err);
}
