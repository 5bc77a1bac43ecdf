/* The members `canary`, `test` and `bandit` of traffic rules. */
#include <math.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "project/traffic_internal.h"

/* A number of [least, most], or what `ret` has when it is absent. */
static int take_number(struct traffic_reader *in, yyjson_val *object, const char *name, double least, double most, double *ret)
{
	yyjson_val *value = yyjson_obj_get(object, name);
	if (!value)
		return 0;
	double number = yyjson_get_num(value);
	if (!yyjson_is_num(value) || !(number >= least && number <= most))
		return sl_fail(in->err, SL_E_INVALID, "'%s' must be a number from %g to %g", name, least, most);
	*ret = number;
	return 0;
}

static int take_count(struct traffic_reader *in, yyjson_val *object, const char *name, int64_t *ret)
{
	double number = (double)*ret;
	int rc = take_number(in, object, name, 0, 1e12, &number);
	*ret = (int64_t)number;
	return rc;
}

static int take_text(struct traffic_reader *in, yyjson_val *object, const char *name, const char **ret)
{
	yyjson_val *value = yyjson_obj_get(object, name);
	*ret = "";
	if (!value)
		return 0;
	if (!yyjson_is_str(value))
		return sl_fail(in->err, SL_E_INVALID, "'%s' must be text", name);
	*ret = sl_arena_strdup(in->arena, yyjson_get_str(value));
	return *ret ? 0 : sl_fail_memory(in->err);
}

static int take_duration(struct traffic_reader *in, yyjson_val *object, const char *name, int64_t *ret_ms)
{
	const char *text;
	int rc = take_text(in, object, name, &text);
	if (!rc && *text && !sl_duration_parse(text, ret_ms))
		rc = sl_fail(in->err, SL_E_INVALID, "'%s' is '%.40s', not a duration like 10m", name, text);
	return rc;
}

static int take_labels(struct traffic_reader *in, yyjson_val *object, struct sl_experiment *e)
{
	int rc = take_text(in, object, "labels", &e->labels);
	if (!rc && *e->labels && !sl_name_valid(e->labels))
		rc = sl_fail(in->err, SL_E_INVALID, "'%.64s' is not a name of a label set", e->labels);
	return rc ? rc : take_count(in, object, "minimum", &e->minimum);
}

/* ---- canary ---- */

static int read_steps(struct traffic_reader *in, yyjson_val *steps, struct sl_experiment *e)
{
	double before = 0;
	if (!yyjson_is_arr(steps) || !yyjson_arr_size(steps) || yyjson_arr_size(steps) > SL_CANARY_STEPS_MAX)
		return sl_fail(in->err, SL_E_INVALID, "'steps' must be a list of 1 to %d percentages", SL_CANARY_STEPS_MAX);
	yyjson_arr_iter it = yyjson_arr_iter_with(steps);
	for (yyjson_val *value; (value = yyjson_arr_iter_next(&it));) {
		double percent = yyjson_get_num(value);
		if (!yyjson_is_num(value) || !(percent > before && percent <= 100))
			return sl_fail(in->err, SL_E_INVALID, "'steps' must rise, above 0 and up to 100");
		e->steps[e->step_count++] = percent / 100;
		before = percent;
	}
	return 0;
}

static int read_gates(struct traffic_reader *in, yyjson_val *gates, struct sl_experiment *e)
{
	int rc = 0;
	if (!gates)
		return 0;
	if (!yyjson_is_arr(gates) || yyjson_arr_size(gates) > SL_CANARY_GATES_MAX)
		return sl_fail(in->err, SL_E_INVALID, "'gates' must be a list of at most %d rules", SL_CANARY_GATES_MAX);
	yyjson_arr_iter it = yyjson_arr_iter_with(gates);
	for (yyjson_val *value; !rc && (value = yyjson_arr_iter_next(&it));) {
		const char *text = yyjson_is_str(value) ? sl_arena_strdup(in->arena, yyjson_get_str(value)) : NULL;
		struct sl_canary_gate *gate = &e->gates[e->gate_count++];
		if (!text)
			return sl_fail(in->err, SL_E_INVALID, "a gate is a rule as 'errors <= 0.01'");
		rc = sl_canary_gate_parse(text, gate, in->err);
		bool labelled = gate->measure >= SL_MEASURE_LABELLED || (gate->base && gate->base_measure >= SL_MEASURE_LABELLED);
		if (!rc && labelled && !*e->labels)
			rc = sl_fail(in->err, SL_E_INVALID, "gate '%.100s' needs 'labels'", text);
	}
	return rc;
}

int sl_traffic_read_canary(struct traffic_reader *in, yyjson_val *value)
{
	static const char *const MEMBERS[] = {"to", "steps", "hold", "requests", "labels", "minimum", "gates", "promote"};
	struct sl_experiment *e = &in->out->experiment;
	yyjson_val *promote = yyjson_obj_get(value, "promote");
	*e = (struct sl_experiment){.kind = SL_EXPERIMENT_CANARY, .arm_count = 2, .hold_ms = 10 * 60000, .requests = 100, .minimum = 100};
	if (!yyjson_is_obj(value) || !yyjson_is_str(yyjson_obj_get(value, "to")))
		return sl_fail(in->err, SL_E_INVALID, "'canary' is {to: VARIANT, steps: [...], gates: [...]}");
	int rc = sl_traffic_check_members(in, value, "'canary'", MEMBERS, SL_ARRAY_LEN(MEMBERS));
	rc = rc ? rc : sl_traffic_variant(in, yyjson_get_str(yyjson_obj_get(value, "to")), &e->arms[1]);
	if (!rc && e->arms[1] == 0)
		rc = sl_fail(in->err, SL_E_INVALID, "a canary goes to another variant than the endpoint's 'model'");
	if (!rc && promote && !yyjson_is_bool(promote))
		rc = sl_fail(in->err, SL_E_INVALID, "'promote' must be true or false");
	e->promote = yyjson_get_bool(promote);
	if (!rc && e->promote && strcmp(in->out->variants[e->arms[1]].model, in->out->variants[0].model) != 0)
		rc = sl_fail(in->err, SL_E_INVALID, "another model cannot be promoted to '%s'", in->out->variants[0].name);
	rc = rc ? rc : read_steps(in, yyjson_obj_get(value, "steps"), e);
	rc = rc ? rc : take_duration(in, value, "hold", &e->hold_ms);
	rc = rc ? rc : take_count(in, value, "requests", &e->requests);
	rc = rc ? rc : take_labels(in, value, e);
	return rc ? rc : read_gates(in, yyjson_obj_get(value, "gates"), e);
}

/* ---- test and bandit ---- */

static int read_arms(struct traffic_reader *in, yyjson_val *between, struct sl_experiment *e, size_t most)
{
	int rc = 0;
	if (!yyjson_is_arr(between) || yyjson_arr_size(between) < 2 || yyjson_arr_size(between) > most)
		return sl_fail(in->err, SL_E_INVALID, "'between' must be a list of 2 to %zu variants", most);
	yyjson_arr_iter it = yyjson_arr_iter_with(between);
	for (yyjson_val *value; !rc && (value = yyjson_arr_iter_next(&it));) {
		if (!yyjson_is_str(value))
			return sl_fail(in->err, SL_E_INVALID, "'between' must be a list of variants");
		rc = sl_traffic_variant(in, yyjson_get_str(value), &e->arms[e->arm_count]);
		for (size_t i = 0; !rc && i < e->arm_count; i++)
			if (e->arms[i] == e->arms[e->arm_count])
				rc = sl_fail(in->err, SL_E_INVALID, "'between' names '%.64s' twice", yyjson_get_str(value));
		e->arm_count++;
	}
	return rc;
}

static int read_metric(struct traffic_reader *in, yyjson_val *object, struct sl_experiment *e)
{
	const char *name;
	int rc = take_text(in, object, "metric", &name);
	if (rc)
		return rc;
	for (size_t i = SL_MEASURE_LABELLED; i < SL_MEASURES; i++)
		if (strcmp(sl_measure_name((enum sl_measure)i), name) == 0) {
			e->metric = (enum sl_measure)i;
			return *e->labels ? 0 : sl_fail(in->err, SL_E_INVALID, "'%s' needs 'labels'", name);
		}
	sl_fail(in->err, SL_E_INVALID, "'metric' is '%.40s'", name);
	return sl_error_hint(in->err, "one of log_loss, brier, error_rate, squared_error, absolute_error, label");
}

/* Each arm has its share, unless weights say otherwise. */
static void share_out(struct traffic_reader *in, const struct sl_experiment *e)
{
	if (in->has_weights)
		return;
	in->out->variants[0].weight = 0;
	for (size_t i = 0; i < e->arm_count; i++)
		in->out->variants[e->arms[i]].weight = 1.0 / (double)e->arm_count;
}

int sl_traffic_read_test(struct traffic_reader *in, yyjson_val *value)
{
	static const char *const MEMBERS[] = {"between", "metric", "labels", "minimum", "alpha", "mixing"};
	struct sl_experiment *e = &in->out->experiment;
	*e = (struct sl_experiment){.kind = SL_EXPERIMENT_TEST, .minimum = 100, .alpha = 0.05, .mixing = 0.1};
	int rc = yyjson_is_obj(value) ? sl_traffic_check_members(in, value, "'test'", MEMBERS, SL_ARRAY_LEN(MEMBERS))
				      : sl_fail(in->err, SL_E_INVALID, "'test' is {between: [A, B], metric: METRIC, labels: SET}");
	rc = rc ? rc : read_arms(in, yyjson_obj_get(value, "between"), e, 2);
	rc = rc ? rc : take_labels(in, value, e);
	rc = rc ? rc : read_metric(in, value, e);
	rc = rc ? rc : take_number(in, value, "alpha", 1e-6, 0.5, &e->alpha);
	rc = rc ? rc : take_number(in, value, "mixing", 1e-9, 1e9, &e->mixing);
	share_out(in, e);
	return rc;
}

int sl_traffic_read_bandit(struct traffic_reader *in, yyjson_val *value)
{
	static const char *const MEMBERS[] = {"between", "policy", "metric", "labels", "minimum", "epsilon", "floor", "every", "seed"};
	struct sl_experiment *e = &in->out->experiment;
	const char *policy = "";
	int64_t seed = 1;
	*e = (struct sl_experiment){.kind = SL_EXPERIMENT_BANDIT, .minimum = 20, .epsilon = 0.1, .floor = 0.01, .every_ms = 10000};
	int rc = yyjson_is_obj(value) ? sl_traffic_check_members(in, value, "'bandit'", MEMBERS, SL_ARRAY_LEN(MEMBERS))
				      : sl_fail(in->err, SL_E_INVALID, "'bandit' is {between: [A, B], metric: METRIC, labels: SET}");
	rc = rc ? rc : read_arms(in, yyjson_obj_get(value, "between"), e, SL_ARMS_MAX);
	rc = rc ? rc : take_labels(in, value, e);
	rc = rc ? rc : read_metric(in, value, e);
	if (!rc && e->metric != SL_MEASURE_LABEL && e->metric != SL_MEASURE_ERROR_RATE)
		rc = sl_fail(in->err, SL_E_INVALID, "a bandit's 'metric' is label (a reward from 0 to 1) or error_rate");
	rc = rc ? rc : take_text(in, value, "policy", &policy);
	e->thompson = !*policy || sl_str_eq(policy, "thompson");
	if (!rc && !e->thompson && !sl_str_eq(policy, "epsilon_greedy"))
		rc = sl_fail(in->err, SL_E_INVALID, "'policy' is thompson or epsilon_greedy");
	rc = rc ? rc : take_number(in, value, "epsilon", 0, 1, &e->epsilon);
	rc = rc ? rc : take_number(in, value, "floor", 0, 1.0 / SL_ARMS_MAX, &e->floor);
	rc = rc ? rc : take_duration(in, value, "every", &e->every_ms);
	rc = rc ? rc : take_count(in, value, "seed", &seed);
	e->seed = (uint64_t)seed;
	share_out(in, e);
	return rc;
}
