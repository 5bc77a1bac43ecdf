/* Records of the logs into the arms of an experiment. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "serve/plan.h"
#include "watch/experiment_internal.h"
#include "watch/label.h"
#include "watch/monitor.h"

enum { READ_BYTES = 8 << 20 };

struct visit {
	struct running *run;
	struct sl_arena *arena; /* of one record */
};

/* SIZE_MAX: none of the arms. */
static size_t arm_of(const struct running *run, const char *variant, size_t len)
{
	const struct sl_experiment *spec = EXPERIMENT(run);
	for (size_t i = 0; i < spec->arm_count; i++) {
		const char *name = run->traffic->variants[spec->arms[i]].name;
		if (strlen(name) == len && memcmp(name, variant, len) == 0)
			return i;
	}
	return SIZE_MAX;
}

static void count_pair(struct running *run, const struct sl_join_match *match)
{
	const struct sl_experiment *spec = EXPERIMENT(run);
	size_t outputs = run->package.output_count, arm = (size_t)match->outputs[outputs];
	sl_arm_label(&run->arms[arm], run->package.task, match->outputs, outputs, match->label);
	bool enough = run->arms[0].labelled >= spec->minimum && run->arms[1].labelled >= spec->minimum;
	if (spec->kind == SL_EXPERIMENT_TEST && enough)
		run->p = sl_arm_test(&run->arms[0], &run->arms[1], spec->metric, spec->mixing, run->p);
}

/* Waits under its key, with its arm behind its outputs. */
static int wait_for_label(struct running *run, const struct sl_prediction *p, size_t row, size_t arm, struct sl_error *err)
{
	float values[SL_JOIN_OUTPUTS_MAX];
	struct sl_join_key key;
	struct sl_join_match match;
	size_t outputs = run->package.output_count;
	memcpy(values, p->outputs + row * outputs, outputs * sizeof *values);
	values[outputs] = (float)arm;
	sl_monitor_key(p, row, &key);
	int rc = sl_join_prediction(run->join, &key, p->times_ms ? p->times_ms[row] : p->received_ms, values, &match, err);
	if (rc == 1)
		count_pair(run, &match);
	return rc < 0 ? rc : 0;
}

static int visit_prediction(void *context, const struct sl_record *record, struct sl_error *err)
{
	struct visit *visit = context;
	struct running *run = visit->run;
	struct sl_prediction p;
	sl_arena_reset(visit->arena);
	int rc = sl_predlog_decode(record, visit->arena, &p, err);
	if (rc || !p.variant || p.reason == SL_ROUTE_SHADOW)
		return rc;
	size_t meant = p.meant ? arm_of(run, p.meant, p.meant_len) : SIZE_MAX, arm = arm_of(run, p.variant, p.variant_len);
	if (meant != SIZE_MAX && meant != arm)
		run->arms[meant].errors++;
	if (arm == SIZE_MAX || p.version != run->versions[arm])
		return 0;
	sl_arm_request(&run->arms[arm], p.row_count, p.latency_us);
	for (size_t row = 0; !rc && run->join && p.output_count == run->package.output_count && row < p.row_count; row++)
		rc = wait_for_label(run, &p, row, arm, err);
	return rc;
}

/* A class by name becomes its number; NAN: the model has no such class. */
static double label_value(const struct sl_package *package, const struct sl_label *label)
{
	for (size_t i = 0; label->is_text && i < package->class_count; i++)
		if (strlen(package->classes[i]) == label->text_len && memcmp(package->classes[i], label->text, label->text_len) == 0)
			return (double)i;
	return label->is_text ? (double)NAN : label->number;
}

static int visit_label(void *context, const struct sl_record *record, struct sl_error *err)
{
	struct running *run = ((struct visit *)context)->run;
	struct sl_label label;
	struct sl_join_key key;
	struct sl_join_match match;
	int rc = sl_label_decode(record, &label, err);
	double value = rc ? (double)NAN : label_value(&run->package, &label);
	if (isnan(value))
		return rc;
	sl_join_key(label.by_prediction, label.key, label.key_len, &key);
	rc = sl_join_label(run->join, &key, label.time_ms, value, &match, err);
	if (rc == 1)
		count_pair(run, &match);
	return rc < 0 ? rc : 0;
}

static int open_stream(struct running *run, const char *name, struct sl_stream **stream, struct sl_error *err)
{
	if (*stream)
		return 0;
	int rc = sl_stream_open_reader(run->store->streams_dir, name, stream, err);
	return rc == SL_E_NOT_FOUND ? 0 : rc;
}

static int open_streams(struct running *run, struct sl_error *err)
{
	char name[200];
	sl_predlog_name(run->endpoint->name, name);
	int rc = open_stream(run, name, &run->predictions, err);
	snprintf(name, sizeof name, "labels-%.150s", EXPERIMENT(run)->labels);
	return rc || !*EXPERIMENT(run)->labels ? rc : open_stream(run, name, &run->labels, err);
}

int experiment_ends(struct running *run, int64_t *ret_prediction, int64_t *ret_label, struct sl_error *err)
{
	int rc = open_streams(run, err);
	*ret_prediction = run->predictions ? sl_stream_end_offset(run->predictions) : 0;
	*ret_label = run->labels ? sl_stream_end_offset(run->labels) : 0;
	return rc;
}

void experiment_forget(struct running *run)
{
	memset(run->arms, 0, sizeof run->arms);
	sl_join_free(run->join);
	run->join = NULL;
	run->p = 1;
}

static int follow(struct sl_stream *stream, int64_t *at, sl_stream_visit *each, struct visit *visit, struct sl_error *err)
{
	int64_t begin = stream ? sl_stream_begin_offset(stream) : 0, end = stream ? sl_stream_end_offset(stream) : 0;
	if (*at < begin)
		*at = begin;
	if (*at >= end)
		return 0;
	int rc = sl_stream_read(stream, *at, READ_BYTES, each, visit, at, err);
	return rc < 0 ? rc : *at < end;
}

int experiment_read(struct running *run, struct sl_error *err)
{
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	struct visit visit = {run, arena};
	int rc = arena ? open_streams(run, err) : SL_E_NO_MEMORY;
	if (!rc && *EXPERIMENT(run)->labels && !run->join && run->package.output_count < SL_JOIN_OUTPUTS_MAX)
		rc = (run->join = sl_join_new(run->package.output_count + 1, err)) ? 0 : SL_E_NO_MEMORY;
	int more = rc ? rc : follow(run->predictions, &run->at_prediction, visit_prediction, &visit, err);
	if (more || !run->join)
		return more; /* labels wait until every prediction that is there was read */
	return follow(run->labels, &run->at_label, visit_label, &visit, err);
}
