/* Sections `models`, `endpoints`, `monitors`, `triggers`. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "project/shape.h"
#include "project/traffic.h"

extern const struct sl_shape sl_shape_model_evaluate;

/* ---- models ---------------------------------------------------------------------------------------------------------- */

struct model_read { struct sl_model model; const char *promote; };

static int read_model_evaluate(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	return sl_read_evaluate(loader, node, &((struct model_read *)target)->model.evaluate, true);
}

static const char *const PROMOTE[] = {"auto", "approve", NULL};
static const struct sl_row MODEL_ROWS[] = {
	{"from", SL_ROW_REF, offsetof(struct model_read, model.from), .about = "the train step that makes its versions; without it MLflow's clients register them"},
	{"gate", SL_ROW_NAMES, offsetof(struct model_read, model.gate), .about = "rules as 'auc >= 0.62' or 'auc >= champion.auc - 0.002'; all must hold"},
	{"promote", SL_ROW_CHOICE, offsetof(struct model_read, promote), .choices = PROMOTE, .about = "approve: a person says yes after the gate"},
	{"evaluate", SL_ROW_OTHER, .read = read_model_evaluate, .shape = &sl_shape_model_evaluate,
	 .about = "rows on which the candidate and the champion are scored for the gate"},
};
const struct sl_shape sl_shape_model = SL_SHAPE("a model", MODEL_ROWS);

static int read_model(struct sl_loader *loader, const char *name, const struct sl_yaml *node, void *element)
{
	struct model_read read = {.promote = PROMOTE[0],
				  .model = {.name = name, .from = "", .mark = node->mark,
					    .evaluate = {.model = "", .data = "", .where = "", .target = "", .weight = ""}}};
	int rc = sl_shape_read(loader, &sl_shape_model, node, &read);
	rc = rc ? rc : sl_load_definition(loader, node, &read.model.definition);
	read.model.promote_auto = read.promote == PROMOTE[0];
	read.model.params = sl_name_list_names(loader->uses);
	*(struct sl_model *)element = read.model;
	return rc;
}

int sl_read_models(struct sl_loader *loader, const struct sl_yaml *node, void *project)
{
	struct sl_project *p = project;
	return sl_section_each(loader, node, "'models'", sizeof *p->models, read_model, &p->models, &p->model_count);
}

/* ---- endpoints ------------------------------------------------------------------------------------------------------- */

struct endpoint_read { struct sl_endpoint endpoint; const char *model, *log, *extra; struct sl_mark traffic_mark; };

struct retain_read { int64_t time_ms; uint64_t size_bytes; };
static const struct sl_row RETAIN_ROWS[] = {
	{"time", SL_ROW_DURATION, offsetof(struct retain_read, time_ms), .about = "how long predictions are kept"},
	{"size", SL_ROW_BYTES, offsetof(struct retain_read, size_bytes), .about = "how much of them is kept"},
};
static const struct sl_shape RETAIN_SHAPE = SL_SHAPE("'retain'", RETAIN_ROWS);

static int read_retain(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct sl_endpoint *endpoint = &((struct endpoint_read *)target)->endpoint;
	struct retain_read retain = {.time_ms = endpoint->retain_ms, .size_bytes = endpoint->retain_bytes};
	int rc = node->kind == SL_YAML_MAP ? sl_shape_read(loader, &RETAIN_SHAPE, node, &retain) : sl_row_read(loader, &RETAIN_ROWS[0], node, &retain);
	endpoint->retain_ms = retain.time_ms;
	endpoint->retain_bytes = retain.size_bytes;
	return rc;
}

/* Kept as text, the form in which rules are also set while the server runs. */
static int read_traffic(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct endpoint_read *read = target;
	read->traffic_mark = node->mark;
	return sl_load_definition(loader, node, &read->endpoint.traffic);
}

/* After the whole endpoint: variants are aliases of its model. */
static int check_traffic(struct sl_loader *loader, struct endpoint_read *read)
{
	struct sl_endpoint *endpoint = &read->endpoint;
	char where[160];
	struct sl_error why = {0};
	snprintf(where, sizeof where, "endpoint '%.100s'", endpoint->name);
	int rc = sl_traffic_parse(endpoint->traffic, where, endpoint->model, endpoint->alias, loader->arena,
				  &endpoint->rules, &why);
	if (!rc)
		return 0;
	sl_load_fail(loader, read->traffic_mark, rc, "%s", why.message);
	return why.hint[0] ? sl_error_hint(loader->err, "%s", why.hint) : rc;
}

static int read_features(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	return sl_read_endpoint_features(loader, node, &((struct endpoint_read *)target)->endpoint);
}

#define ENDPOINT(member) offsetof(struct endpoint_read, endpoint.member)
static const char *const LOG[] = {"all", "none", NULL}, *const EXTRA[] = {"refuse", "ignore", NULL};
static const struct sl_row ENDPOINT_ROWS[] = {
	{"model", SL_ROW_TEXT, offsetof(struct endpoint_read, model), .required = true, .about = "NAME@ALIAS or NAME@VERSION; without '@': the champion"},
	{"traffic", SL_ROW_OTHER, .read = read_traffic, .schema = SL_TRAFFIC_SCHEMA,
	 .about = "which models answer which requests: weights, sticky, segments, shadow, fallback"},
	{"max_wait", SL_ROW_DURATION, ENDPOINT(max_wait_ms), .about = "under lasting load a request that waits longer for its turn is refused (503); 50ms when not given, 0s: never"},
	{"timeout", SL_ROW_DURATION, ENDPOINT(timeout_ms), .about = "after so long a request that threads work on is given up, unless it says itself how long it waits; 60s, 0s: never"},
	{"log", SL_ROW_CHOICE, offsetof(struct endpoint_read, log), .choices = LOG, .about = "which predictions are kept"},
	{"key", SL_ROW_TEXT, ENDPOINT(key), .about = "request column that labels will come back by"},
	{"time", SL_ROW_TEXT, ENDPOINT(time), .about = "request column with the event's time; the time of the request when not given"},
	{"extra", SL_ROW_CHOICE, offsetof(struct endpoint_read, extra), .choices = EXTRA, .about = "columns the model does not know: refuse or ignore"},
	{"explain", SL_ROW_BOOL, ENDPOINT(explain), .about = "callers may have SHAP values beside predictions; false: they are refused"},
	{"log_explanations", SL_ROW_BOOL, ENDPOINT(log_explanations), .about = "SHAP values that callers got are logged with their predictions"},
	{"features", SL_ROW_OTHER, .read = read_features, .shape = &sl_shape_features, .schema = "{\"type\":\"array\"}",
	 .about = "columns that the server looks up by others: {from: DATASET, key: COLUMN}, or a list of such"},
	{"log_hash", SL_ROW_NAMES, ENDPOINT(log_hash), .about = "columns logged as a hash"},
	{"log_drop", SL_ROW_NAMES, ENDPOINT(log_drop), .about = "columns not logged"},
	{"retain", SL_ROW_OTHER, .read = read_retain, .shape = &RETAIN_SHAPE, .schema = "{\"type\":\"string\"}", .about = "90d, or {time: 90d, size: 64GB}"},
};
const struct sl_shape sl_shape_endpoint = SL_SHAPE("an endpoint", ENDPOINT_ROWS);

static int read_endpoint(struct sl_loader *loader, const char *name, const struct sl_yaml *node, void *element)
{
	struct endpoint_read read = {
		.log = LOG[0], .extra = EXTRA[0], .model = "",
		.endpoint = {.name = name, .key = "", .time = "", .traffic = "", .max_wait_ms = SL_MAX_WAIT_MS, .timeout_ms = SL_TIMEOUT_MS, .alias = "champion",
			.retain_bytes = (uint64_t)64 << 30, .mark = node->mark},
	};
	int rc = sl_shape_read(loader, &sl_shape_endpoint, node, &read);
	if (rc)
		return rc;
	const char *at = strchr(read.model, '@');
	read.endpoint.model = at ? sl_arena_strndup(loader->arena, read.model, (size_t)(at - read.model)) : read.model;
	if (!read.endpoint.model)
		return sl_load_memory(loader);
	if (at)
		read.endpoint.alias = at + 1;
	read.endpoint.log_all = read.log == LOG[0];
	read.endpoint.ignore_extra = read.extra == EXTRA[1];
	rc = check_traffic(loader, &read);
	*(struct sl_endpoint *)element = read.endpoint;
	return rc;
}

int sl_read_endpoints(struct sl_loader *loader, const struct sl_yaml *node, void *project)
{
	struct sl_project *p = project;
	return sl_section_each(loader, node, "'endpoints'", sizeof *p->endpoints, read_endpoint, &p->endpoints, &p->endpoint_count);
}

/* ---- monitors --------------------------------------------------------------------------------------------------------- */

static const struct sl_row BAR_ROWS[] = {
	{"warn", SL_ROW_NUMBER, offsetof(struct sl_bar, warn), .about = "warns above this"},
	{"alarm", SL_ROW_NUMBER, offsetof(struct sl_bar, alarm), .about = "alarms above this"},
	{"min", SL_ROW_NUMBER, offsetof(struct sl_bar, min), .about = "alarms below this"},
};
static const struct sl_shape BAR_SHAPE = SL_SHAPE("a bar", BAR_ROWS);

#define MONITOR(member) offsetof(struct sl_monitor, member)
#define STATISTIC(name_, about_) {name_, SL_ROW_OTHER, .shape = &BAR_SHAPE, .schema = "{\"type\":[\"number\",\"string\"]}", .about = about_}
static const struct sl_row MONITOR_ROWS[] = {
	{"endpoint", SL_ROW_REF, MONITOR(endpoint), .required = true, .about = "whose traffic it watches"},
	{"labels", SL_ROW_TEXT, MONITOR(labels), .about = "label set; with it the monitor watches quality, without it the inputs"},
	{"window", SL_ROW_DURATION, MONITOR(window_ms), .required = true, .about = "length of a window of event time"},
	{"every", SL_ROW_DURATION, MONITOR(every_ms), .about = "distance between windows; the window's length when not given"},
	{"for", SL_ROW_DURATION, MONITOR(for_ms), .about = "how long a level must hold before it counts"},
	{"lateness", SL_ROW_DURATION, MONITOR(lateness_ms), .about = "how long after its end a window waits for late records"},
	{"columns", SL_ROW_NAMES, MONITOR(columns), .about = "inputs: which; all features and the prediction when not given"},
	{"reference", SL_ROW_TEXT, MONITOR(reference), .about = "inputs: DATASET[@VERSION] to compare with instead of the training rows"},
	{"segment", SL_ROW_TEXT, MONITOR(segment), .about = "inputs: also within each value of this input"},
	/* Statistics from here on (see is_statistic). */
	STATISTIC("psi", "population stability index against training"), STATISTIC("js", "Jensen-Shannon distance against training"),
	STATISTIC("missing", "share of missing values above training's"), STATISTIC("out_of_range", "share outside of training's range"),
	STATISTIC("unseen", "share of categories that training did not have"), STATISTIC("hellinger", "Hellinger distance against training"),
	STATISTIC("total_variation", "total variation distance against training"), STATISTIC("ks", "Kolmogorov-Smirnov's D against training, at the bins' edges"),
	STATISTIC("wasserstein", "Wasserstein distance against training, in standard deviations"),
	STATISTIC("estimated_error_rate", "share of wrong answers, estimated from the probabilities before labels come"),
	STATISTIC("estimated_auc", "area under the ROC curve, so estimated"), STATISTIC("estimated_log_loss", "logarithmic loss, so estimated"),
	STATISTIC("estimated_brier", "Brier score, so estimated"), STATISTIC("ks_p", "p of Kolmogorov-Smirnov, corrected for the number of columns; wants 'min'"),
	STATISTIC("chi_square_p", "p of the chi-square test over bins, corrected for the number of columns; wants 'min'"), STATISTIC("calibration_gap", "|mean predicted - mean observed|"),
	STATISTIC("auc", "area under the ROC curve"), STATISTIC("log_loss", "logarithmic loss"), STATISTIC("error_rate", "share of wrong answers"),
	STATISTIC("brier", "Brier score"),
};
const struct sl_shape sl_shape_monitor = SL_SHAPE("a monitor", MONITOR_ROWS);

static bool is_statistic(const struct sl_row *row) { return row && row->shape == &BAR_SHAPE; }

static bool wants_labels(const char *statistic)
{
	static const char *const NAMES[] = {"calibration_gap", "auc", "log_loss", "error_rate", "brier"};
	for (size_t i = 0; i < SL_ARRAY_LEN(NAMES); i++)
		if (strcmp(NAMES[i], statistic) == 0)
			return true;
	return false;
}

static int read_bar(struct sl_loader *loader, const char *statistic, const struct sl_yaml *node, struct sl_bar *ret)
{
	*ret = (struct sl_bar){.statistic = statistic};
	int rc = sl_load_resolve(loader, node, &node);
	if (!rc && node->kind != SL_YAML_MAP) {
		ret->has_alarm = true;
		const struct sl_row row = {.name = statistic, .type = SL_ROW_NUMBER, .offset = offsetof(struct sl_bar, alarm)};
		return sl_row_read(loader, &row, node, ret);
	}
	rc = rc ? rc : sl_shape_read(loader, &BAR_SHAPE, node, ret);
	ret->has_warn = sl_yaml_get(node, "warn") != NULL;
	ret->has_alarm = sl_yaml_get(node, "alarm") != NULL;
	ret->has_min = sl_yaml_get(node, "min") != NULL;
	if (!rc && !ret->has_warn && !ret->has_alarm && !ret->has_min)
		rc = sl_load_fail(loader, node->mark, SL_E_INVALID, "'%s' needs 'warn', 'alarm' or 'min'", statistic);
	if (!rc && ret->has_warn && ret->has_alarm && ret->warn > ret->alarm)
		rc = sl_load_fail(loader, node->mark, SL_E_INVALID, "'warn' of '%s' lies above 'alarm', so it could never warn", statistic);
	return rc;
}

static int read_bars(struct sl_loader *loader, const struct sl_yaml *node, struct sl_monitor *monitor)
{
	monitor->bars = sl_arena_array(loader->arena, node->count + 1, sizeof *monitor->bars);
	if (!monitor->bars)
		return sl_load_memory(loader);
	for (size_t i = 0; i < node->count; i++) {
		const struct sl_yaml *key = node->entries[i].key;
		if (!is_statistic(sl_shape_row(&sl_shape_monitor, key->text)))
			continue;
		if (!wants_labels(key->text) && *monitor->labels)
			return sl_load_fail(loader, key->mark, SL_E_INVALID, "'%s' is of inputs, and with 'labels' a monitor watches quality: make it another monitor", key->text);
		if (wants_labels(key->text) && !*monitor->labels)
			return sl_load_fail(loader, key->mark, SL_E_INVALID, "'%s' needs 'labels'", key->text);
		int rc = read_bar(loader, key->text, node->entries[i].value, &monitor->bars[monitor->bar_count++]);
		if (rc)
			return rc;
	}
	return monitor->bar_count ? 0 : sl_load_fail(loader, monitor->mark, SL_E_INVALID, "monitor '%s' watches no statistic", monitor->name);
}

static int read_monitor(struct sl_loader *loader, const char *name, const struct sl_yaml *node, void *element)
{
	struct sl_monitor *monitor = element;
	*monitor = (struct sl_monitor){.name = name, .endpoint = "", .labels = "", .reference = "", .segment = "", .mark = node->mark};
	int rc = sl_load_want_map(loader, node, "a monitor");
	for (size_t i = 0; !rc && i < node->count; i++) {
		const struct sl_row *row = sl_shape_row(&sl_shape_monitor, node->entries[i].key->text);
		if (!row)
			rc = sl_shape_unknown(loader, &sl_shape_monitor, node->entries[i].key);
		else if (!is_statistic(row))
			rc = sl_row_read(loader, row, node->entries[i].value, monitor);
	}
	if (!rc && (!*monitor->endpoint || monitor->window_ms == 0))
		rc = sl_load_fail(loader, node->mark, SL_E_INVALID, "monitor '%s' needs 'endpoint' and a 'window' longer than nothing", name);
	if (!monitor->every_ms)
		monitor->every_ms = monitor->window_ms;
	if (!rc && monitor->every_ms > monitor->window_ms)
		rc = sl_load_fail(loader, node->mark, SL_E_INVALID, "'every' is longer than 'window', so records between windows would be missed");
	if (!rc && *monitor->labels && (*monitor->reference || *monitor->segment))
		rc = sl_load_fail(loader, node->mark, SL_E_INVALID, "'reference' and 'segment' are of inputs, and with 'labels' a monitor watches quality");
	return rc ? rc : read_bars(loader, node, monitor);
}

int sl_read_monitors(struct sl_loader *loader, const struct sl_yaml *node, void *project)
{
	struct sl_project *p = project;
	return sl_section_each(loader, node, "'monitors'", sizeof *p->monitors, read_monitor, &p->monitors, &p->monitor_count);
}

/* ---- triggers ------------------------------------------------------------------------------------------------------------ */

struct cron_read { const char *cron; };
static const struct sl_row CRON_ROWS[] = {{"cron", SL_ROW_TEXT, offsetof(struct cron_read, cron), .required = true, .about = "minute hour day month weekday"}};
static const struct sl_shape CRON_SHAPE = SL_SHAPE("'on'", CRON_ROWS);

/* "MONITOR.alarm", "MONITOR.warn", "data:DATASET", "call", {cron: "…"}. */
static int read_on(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct sl_trigger *trigger = target;
	if (node->kind == SL_YAML_MAP) {
		trigger->kind = SL_TRIGGER_CRON;
		struct cron_read read = {.cron = ""};
		int rc = sl_shape_read(loader, &CRON_SHAPE, node, &read);
		trigger->subject = read.cron;
		return rc;
	}
	const char *text;
	int rc = sl_load_text(loader, node, "on", &text);
	if (rc)
		return rc;
	const char *dot = strrchr(text, '.');
	if (strcmp(text, "call") == 0) {
		trigger->kind = SL_TRIGGER_CALL;
	} else if (sl_str_starts(text, "data:")) {
		trigger->kind = SL_TRIGGER_DATA;
		trigger->subject = text + 5;
	} else if (dot && (strcmp(dot, ".alarm") == 0 || strcmp(dot, ".warn") == 0)) {
		trigger->kind = SL_TRIGGER_ALARM;
		trigger->level = dot + 1;
		trigger->subject = sl_arena_strndup(loader->arena, text, (size_t)(dot - text));
		return trigger->subject ? 0 : sl_load_memory(loader);
	} else {
		rc = sl_load_fail(loader, node->mark, SL_E_INVALID, "a trigger cannot be on '%.100s'", text);
		sl_error_hint(loader->err, "one of MONITOR.alarm, MONITOR.warn, data:DATASET, {cron: \"0 6 * * *\"}, call");
	}
	return rc;
}

static int read_set(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct sl_trigger *trigger = target;
	int rc = sl_load_want_map(loader, node, "'set'");
	if (rc)
		return rc;
	trigger->sets = sl_arena_array(loader->arena, node->count + 1, sizeof *trigger->sets);
	if (!trigger->sets)
		return sl_load_memory(loader);
	for (size_t i = 0; !rc && i < node->count; i++) {
		struct sl_trigger_set *set = &trigger->sets[trigger->set_count++];
		const struct sl_yaml *key = node->entries[i].key;
		set->param = key->text;
		rc = sl_load_text(loader, node->entries[i].value, key->text, &set->value);
		if (!rc && !sl_project_param(loader->project, set->param))
			rc = sl_load_fail(loader, key->mark, SL_E_INVALID, "'%s' is not a parameter", set->param);
		bool known = !rc && (set->value[0] != '$' || strcmp(set->value, "$event.from") == 0 || strcmp(set->value, "$event.to") == 0 ||
				     strcmp(set->value, "$event.subject") == 0);
		if (!rc && !known)
			rc = sl_load_fail(loader, node->entries[i].value->mark, SL_E_INVALID, "an event has no '%.100s', only $event.from, $event.to, $event.subject",
					  set->value);
	}
	return rc;
}

#define TRIGGER(member) offsetof(struct sl_trigger, member)
static const struct sl_row TRIGGER_ROWS[] = {
	{"on", SL_ROW_OTHER, .read = read_on, .required = true, .shape = &CRON_SHAPE, .schema = "{\"type\":\"string\"}",
	 .about = "MONITOR.alarm, MONITOR.warn, data:DATASET, {cron: \"0 6 * * *\"} or call"},
	{"run", SL_ROW_NAMES, TRIGGER(run), .required = true, .about = "what to bring up to date"},
	{"set", SL_ROW_OTHER, .read = read_set, .schema = "{\"type\":\"object\"}", .about = "parameters for that run; $event.from, $event.to"},
	{"cooldown", SL_ROW_DURATION, TRIGGER(cooldown_ms), .about = "least time between two firings"},
};
const struct sl_shape sl_shape_trigger = SL_SHAPE("a trigger", TRIGGER_ROWS);

static int read_trigger(struct sl_loader *loader, const char *name, const struct sl_yaml *node, void *element)
{
	struct sl_trigger *trigger = element;
	*trigger = (struct sl_trigger){.name = name, .subject = "", .level = "", .mark = node->mark};
	return sl_shape_read(loader, &sl_shape_trigger, node, trigger);
}

int sl_read_triggers(struct sl_loader *loader, const struct sl_yaml *node, void *project)
{
	struct sl_project *p = project;
	return sl_section_each(loader, node, "'triggers'", sizeof *p->triggers, read_trigger, &p->triggers, &p->trigger_count);
}
