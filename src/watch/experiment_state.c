/* Where an experiment stands: the row of route_state, and its way back. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "track/notify.h"
#include "watch/experiment_internal.h"

static const char *const PHASES[] = {"", "running", "done", "rolled_back"};

static const char *name_of(const struct running *run, size_t arm) { return run->traffic->variants[EXPERIMENT(run)->arms[arm]].name; }

static bool put_real(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *name, double value)
{
	return isfinite(value) ? yyjson_mut_obj_add_real(doc, object, name, value) : yyjson_mut_obj_add_null(doc, object, name);
}

/* {"MODEL@ALIAS": version} */
static bool put_versions(const struct running *run, yyjson_mut_doc *doc, yyjson_mut_val *object)
{
	yyjson_mut_val *versions = yyjson_mut_obj_add_obj(doc, object, "versions");
	bool ok = versions != NULL;
	for (size_t i = 0; ok && i < EXPERIMENT(run)->arm_count; i++)
		ok = yyjson_mut_obj_add_int(doc, versions, name_of(run, i), run->versions[i]);
	return ok;
}

/* What was measured, by arm: {"MODEL@ALIAS": {"requests": 120, "errors": 0.0, ...}} */
static bool put_measures(const struct running *run, yyjson_mut_doc *doc, yyjson_mut_val *object)
{
	yyjson_mut_val *arms = yyjson_mut_obj_add_obj(doc, object, "measured");
	bool ok = arms != NULL;
	for (size_t i = 0; ok && i < EXPERIMENT(run)->arm_count; i++) {
		const struct sl_arm *arm = &run->arms[i];
		yyjson_mut_val *out = yyjson_mut_obj_add_obj(doc, arms, name_of(run, i));
		ok = out && yyjson_mut_obj_add_int(doc, out, "requests", arm->requests) &&
		     yyjson_mut_obj_add_int(doc, out, "labelled", arm->labelled);
		for (size_t m = 0; ok && m < SL_MEASURES; m++) {
			double value = sl_arm_measure(arm, (enum sl_measure)m);
			if (isfinite(value))
				ok = yyjson_mut_obj_add_real(doc, out, sl_measure_name((enum sl_measure)m), value);
		}
	}
	return ok;
}

static bool put_state(const struct running *run, const char *reason, yyjson_mut_doc *doc, yyjson_mut_val *out)
{
	const struct sl_experiment *spec = EXPERIMENT(run);
	bool ok = yyjson_mut_obj_add_str(doc, out, "kind", sl_experiment_kind_name(spec->kind)) &&
		  yyjson_mut_obj_add_strcpy(doc, out, "reason", reason) && put_versions(run, doc, out) && put_measures(run, doc, out);
	if (ok && spec->kind == SL_EXPERIMENT_CANARY)
		ok = yyjson_mut_obj_add_int(doc, out, "step", (int64_t)run->step) &&
		     yyjson_mut_obj_add_real(doc, out, "share", run->phase == PHASE_ROLLED_BACK ? 0 : spec->steps[run->step]);
	if (ok && spec->kind == SL_EXPERIMENT_TEST)
		ok = put_real(doc, out, "p", run->p);
	return ok;
}

/* What only a restart needs. */
static bool put_place(const struct running *run, yyjson_mut_doc *doc, yyjson_mut_val *out)
{
	yyjson_mut_val *base = yyjson_mut_obj_add_arr(doc, out, "base");
	bool ok = base && yyjson_mut_obj_add_int(doc, out, "since_ms", run->since_ms) &&
		  yyjson_mut_obj_add_int(doc, out, "from_prediction", run->from_prediction) &&
		  yyjson_mut_obj_add_int(doc, out, "from_label", run->from_label) &&
		  yyjson_mut_obj_add_uint(doc, out, "changes", run->changes);
	for (size_t m = 0; ok && m < SL_MEASURES; m++)
		ok = isfinite(run->base[m]) ? yyjson_mut_arr_add_real(doc, base, run->base[m]) : yyjson_mut_arr_add_null(doc, base);
	return ok;
}

/* {"MODEL@ALIAS": share, "versions": {...}}: for these versions only. */
static int write_weights(const struct running *run, const double *shares, struct sl_buf *out, struct sl_error *err)
{
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *weights = doc ? yyjson_mut_obj(doc) : NULL;
	bool ok = weights && put_versions(run, doc, weights);
	for (size_t i = 0; ok && i < EXPERIMENT(run)->arm_count; i++)
		ok = yyjson_mut_obj_add_real(doc, weights, name_of(run, i), shares[i]);
	return ok ? sl_json_mut_canonical(weights, out, err) : sl_fail_memory(err);
}

static int enter(const struct running *run, const char *action, const char *reason, struct sl_error *err)
{
	char subject[SL_NAME_MAX + 16];
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *detail = doc ? yyjson_mut_obj(doc) : NULL;
	snprintf(subject, sizeof subject, "endpoint:%s", run->endpoint->name);
	if (!detail || !put_state(run, reason, doc, detail) || !yyjson_mut_obj_add_str(doc, detail, "phase", PHASES[run->phase]))
		return sl_fail_memory(err);
	return sl_ledger_append(run->store->ledger, action, subject, detail, NULL, err);
}

static int write_row(const struct running *run, const struct sl_buf *weights, const char *reason, int64_t now_ms, struct sl_error *err)
{
	struct sl_buf state SL_AUTO_BUF = SL_BUF_INIT(64 * 1024);
	char hex[SL_HASH_HEX + 1];
	struct sl_hash hash;
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *out = doc ? yyjson_mut_obj(doc) : NULL;
	if (!out || !put_state(run, reason, doc, out) || !put_place(run, doc, out))
		return sl_fail_memory(err);
	int rc = sl_json_mut_canonical(out, &state, err);
	sl_sha256(run->text, strlen(run->text), &hash);
	int64_t rows = rc ? rc : sl_meta_exec(run->store->meta, err,
		"INSERT INTO route_state(endpoint, rules, phase, weights, state, changed_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6) "
		"ON CONFLICT(endpoint) DO UPDATE SET rules = excluded.rules, phase = excluded.phase, weights = excluded.weights, "
		"state = excluded.state, changed_ms = excluded.changed_ms",
		"sssssi", run->endpoint->name, sl_hash_hex(&hash, hex), PHASES[run->phase], weights->len ? weights->data : "",
		sl_buf_cstr(&state), now_ms);
	return rows < 0 ? (int)rows : 0;
}

int experiment_save(struct running *run, const double *shares, const char *action, const char *reason, int64_t now_ms, struct sl_error *err)
{
	struct sl_buf weights SL_AUTO_BUF = SL_BUF_INIT(16 * 1024);
	int rc = shares ? write_weights(run, shares, &weights, err) : 0;
	if (!rc)
		rc = sl_meta_begin(run->store->meta, err);
	if (rc)
		return rc;
	rc = write_row(run, &weights, reason, now_ms, err);
	if (!rc && action)
		rc = enter(run, action, reason, err);
	rc = sl_meta_end(run->store->meta, rc, err);
	if (!rc) {
		run->published_ms = now_ms;
		sl_notify_ring(run->store->dir);
	}
	return rc;
}

bool experiment_resume(struct running *run, const char *phase, const char *state)
{
	yyjson_doc *doc SL_AUTO_JSON = *state ? sl_json_parse(state, strlen(state), "route_state", NULL) : NULL;
	yyjson_val *root = doc ? yyjson_doc_get_root(doc) : NULL, *versions = yyjson_obj_get(root, "versions");
	int64_t step = sl_json_int(root, "step", 0);
	if (!root || step < 0 || (step && step >= (int64_t)EXPERIMENT(run)->step_count))
		return false;
	for (size_t i = 0; i < EXPERIMENT(run)->arm_count; i++)
		if (sl_json_int(versions, name_of(run, i), 0) != run->versions[i])
			return false;
	experiment_forget(run);
	run->phase = PHASE_NONE;
	for (size_t i = 1; i < SL_ARRAY_LEN(PHASES); i++)
		if (sl_str_eq(phase, PHASES[i]))
			run->phase = (enum experiment_phase)i;
	run->step = (size_t)step;
	run->since_ms = sl_json_int(root, "since_ms", 0);
	run->changes = (uint64_t)sl_json_int(root, "changes", 0);
	run->at_prediction = run->from_prediction = sl_json_int(root, "from_prediction", 0);
	run->at_label = run->from_label = sl_json_int(root, "from_label", 0);
	for (size_t m = 0; m < SL_MEASURES; m++) {
		yyjson_val *value = yyjson_arr_get(yyjson_obj_get(root, "base"), m);
		run->base[m] = yyjson_is_num(value) ? yyjson_get_num(value) : (double)NAN;
	}
	return run->phase != PHASE_NONE;
}
