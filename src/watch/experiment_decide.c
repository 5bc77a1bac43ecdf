/* What follows from what was measured: the next step, the way back, a winner, other shares. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "track/model.h"
#include "watch/experiment_internal.h"

enum { BASE, TO, REASON_MAX = 400, SHOW_EVERY_MS = 5000 };

static void tell(const struct running *run, const char *reason)
{
	sl_log(SL_LOG_INFO, "endpoint '%s', %s: %s", run->endpoint->name, sl_experiment_kind_name(EXPERIMENT(run)->kind), reason);
}

static const char *name_of(const struct running *run, size_t arm) { return run->traffic->variants[EXPERIMENT(run)->arms[arm]].name; }

/* Records from now on count. */
static int begin_step(struct running *run, int64_t now_ms, struct sl_error *err)
{
	int rc = experiment_ends(run, &run->from_prediction, &run->from_label, err);
	run->at_prediction = run->from_prediction;
	run->at_label = run->from_label;
	run->since_ms = now_ms;
	experiment_forget(run);
	return rc;
}

/* ---- canary ---- */

static int save_step(struct running *run, const char *action, const char *reason, int64_t now_ms, struct sl_error *err)
{
	double share = EXPERIMENT(run)->steps[run->step], shares[SL_ARMS_MAX] = {1 - share, share};
	int rc = experiment_save(run, shares, action, reason, now_ms, err);
	if (!rc)
		tell(run, reason);
	return rc;
}

static double measure(const struct running *run, size_t arm, enum sl_measure what)
{
	double value = sl_arm_measure(&run->arms[arm], what);
	return arm == BASE && isnan(value) ? run->base[what] : value;
}

enum verdict { HOLDS, FAILS, UNKNOWN };

/* Of a gate; UNKNOWN while too little was seen to judge by it. */
static enum verdict judge(const struct running *run, const struct sl_canary_gate *gate, char reason[REASON_MAX])
{
	const struct sl_experiment *spec = EXPERIMENT(run);
	const struct sl_arm *to = &run->arms[TO];
	double value = measure(run, TO, gate->measure), base = gate->base ? measure(run, BASE, gate->base_measure) : 0;
	bool labelled = gate->measure >= SL_MEASURE_LABELLED;
	if (labelled ? to->labelled < spec->minimum : to->requests + to->errors < spec->requests)
		return UNKNOWN;
	if (isnan(base) || isnan(value)) {
		snprintf(reason, REASON_MAX, "'%s' cannot be told yet", gate->text);
		return UNKNOWN;
	}
	if (sl_canary_gate_holds(gate, value, base))
		return HOLDS;
	snprintf(reason, REASON_MAX, gate->base ? "'%.150s' does not hold: %s is %.6g, of %s %.6g" : "'%.150s' does not hold: %s is %.6g",
		 gate->text, sl_measure_name(gate->measure), value, name_of(run, BASE), base);
	return FAILS;
}

static int roll_back(struct running *run, const char *why, int64_t now_ms, struct sl_error *err)
{
	char reason[REASON_MAX + 100];
	snprintf(reason, sizeof reason, "rolled back at %g %%: %s", EXPERIMENT(run)->steps[run->step] * 100, why);
	run->phase = PHASE_ROLLED_BACK;
	int rc = experiment_save(run, NULL, "route.rollback", reason, now_ms, err);
	if (!rc)
		sl_log(SL_LOG_WARNING, "endpoint '%s', canary %s: %s", run->endpoint->name, name_of(run, TO), reason);
	return rc;
}

/* The alias first: when this is cut off, the step is decided again, and the alias is there already. */
static int finish_canary(struct running *run, int64_t now_ms, struct sl_error *err)
{
	const struct sl_variant *base = &run->traffic->variants[0];
	int rc = 0;
	if (EXPERIMENT(run)->promote)
		rc = sl_model_alias(&run->store->track, base->model, base->alias, run->versions[TO], "canary met every gate", false, err);
	if (rc)
		return rc;
	run->phase = PHASE_DONE;
	return save_step(run, "route.done", EXPERIMENT(run)->promote ? "every step is met: promoted" : "every step is met", now_ms, err);
}

static int next_step(struct running *run, int64_t now_ms, struct sl_error *err)
{
	char reason[REASON_MAX];
	for (size_t m = 0; m < SL_MEASURES; m++)
		run->base[m] = measure(run, BASE, (enum sl_measure)m);
	if (run->step + 1 == EXPERIMENT(run)->step_count)
		return finish_canary(run, now_ms, err);
	run->step++;
	snprintf(reason, sizeof reason, "%s has %g %%", name_of(run, TO), EXPERIMENT(run)->steps[run->step] * 100);
	int rc = begin_step(run, now_ms, err);
	return rc ? rc : save_step(run, "route.step", reason, now_ms, err);
}

static int decide_canary(struct running *run, int64_t now_ms, struct sl_error *err)
{
	const struct sl_experiment *spec = EXPERIMENT(run);
	const struct sl_arm *to = &run->arms[TO];
	char reason[REASON_MAX] = "";
	bool met = to->requests + to->errors >= spec->requests && now_ms - run->since_ms >= spec->hold_ms;
	for (size_t i = 0; i < spec->gate_count; i++) {
		enum verdict verdict = judge(run, &spec->gates[i], reason);
		if (verdict == FAILS)
			return roll_back(run, reason, now_ms, err);
		met &= verdict == HOLDS;
	}
	if (met)
		return next_step(run, now_ms, err);
	if (now_ms - run->published_ms < SHOW_EVERY_MS)
		return 0;
	double share = spec->steps[run->step], shares[SL_ARMS_MAX] = {1 - share, share};
	return experiment_save(run, shares, NULL, *reason ? reason : "held until the gates are met", now_ms, err);
}

/* ---- test ---- */

static int decide_test(struct running *run, int64_t now_ms, struct sl_error *err)
{
	const struct sl_experiment *spec = EXPERIMENT(run);
	char reason[REASON_MAX] = "no difference is told yet";
	bool done = run->p <= spec->alpha;
	if (!done && now_ms - run->published_ms < SHOW_EVERY_MS)
		return 0;
	if (done) {
		double a = sl_arm_measure(&run->arms[0], spec->metric), b = sl_arm_measure(&run->arms[1], spec->metric);
		bool first = spec->metric == SL_MEASURE_LABEL ? a > b : a < b;
		run->phase = PHASE_DONE;
		snprintf(reason, sizeof reason, "%s is better: %s %.6g against %.6g, p = %.3g", name_of(run, first ? 0 : 1),
			 sl_measure_name(spec->metric), first ? a : b, first ? b : a, run->p);
		tell(run, reason);
	}
	return experiment_save(run, NULL, done ? "route.winner" : NULL, reason, now_ms, err);
}

/* ---- bandit ---- */

/* Equal while some arm is hardly known. */
static void shares_of(const struct running *run, double shares[SL_ARMS_MAX])
{
	const struct sl_experiment *spec = EXPERIMENT(run);
	bool known = true;
	for (size_t i = 0; i < spec->arm_count; i++)
		known &= run->arms[i].labelled >= spec->minimum;
	for (size_t i = 0; !known && i < spec->arm_count; i++)
		shares[i] = 1.0 / (double)spec->arm_count;
	if (known)
		sl_arm_shares(run->arms, spec->arm_count, spec, spec->seed + run->changes, shares);
}

static int decide_bandit(struct running *run, int64_t now_ms, struct sl_error *err)
{
	const struct sl_experiment *spec = EXPERIMENT(run);
	double shares[SL_ARMS_MAX];
	bool moved = false;
	if (now_ms - run->published_ms < spec->every_ms)
		return 0;
	shares_of(run, shares);
	for (size_t i = 0; i < spec->arm_count; i++)
		moved |= fabs(shares[i] - run->shares[i]) >= 0.01;
	if (!moved) {
		run->published_ms = now_ms;
		return 0;
	}
	run->changes++;
	memcpy(run->shares, shares, sizeof shares);
	return experiment_save(run, shares, "route.shares", "shares by what labels say", now_ms, err);
}

int experiment_decide(struct running *run, int64_t now_ms, struct sl_error *err)
{
	switch (EXPERIMENT(run)->kind) {
	case SL_EXPERIMENT_CANARY: return decide_canary(run, now_ms, err);
	case SL_EXPERIMENT_TEST: return decide_test(run, now_ms, err);
	case SL_EXPERIMENT_BANDIT: return decide_bandit(run, now_ms, err);
	case SL_EXPERIMENT_NONE: break;
	}
	return 0;
}

int experiment_begin(struct running *run, int64_t now_ms, struct sl_error *err)
{
	const struct sl_experiment *spec = EXPERIMENT(run);
	char reason[REASON_MAX];
	run->phase = PHASE_RUNNING;
	run->step = 0;
	run->changes = 0;
	for (size_t m = 0; m < SL_MEASURES; m++)
		run->base[m] = (double)NAN;
	int rc = begin_step(run, now_ms, err);
	if (rc)
		return rc;
	if (spec->kind == SL_EXPERIMENT_CANARY) {
		snprintf(reason, sizeof reason, "%s, version %lld, has %g %%", name_of(run, TO), (long long)run->versions[TO],
			 spec->steps[0] * 100);
		return save_step(run, "route.begin", reason, now_ms, err);
	}
	for (size_t i = 0; i < spec->arm_count; i++)
		run->shares[i] = run->traffic->variants[spec->arms[i]].weight;
	return experiment_save(run, NULL, "route.begin", "begun", now_ms, err);
}
