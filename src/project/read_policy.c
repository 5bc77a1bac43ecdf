/* How a step is run, which is no part of what it makes: `retry` and `needs` of a step, section `resources`. */
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "project/condition.h"
#include "project/shape.h"

/* ---- retry ------------------------------------------------------------------------------------------------------------ */

struct retry_read { struct sl_retry retry; struct sl_names exits, signals; };

#define RETRY(member) offsetof(struct retry_read, retry.member)
static const struct sl_row RETRY_ROWS[] = {
	{"times", SL_ROW_INT, RETRY(times), .min = 0, .max = 1000, .about = "attempts after the first, for failures of the step's own"},
	{"wait", SL_ROW_DURATION, RETRY(wait_ms), .about = "before the second attempt; 1s when not given"},
	{"factor", SL_ROW_NUMBER, RETRY(factor), .min = 1, .max = 100, .about = "each further wait is so many times the one before; 2 when not given"},
	{"longest", SL_ROW_DURATION, RETRY(longest_wait_ms), .about = "no wait is longer; 10m when not given"},
	{"exit", SL_ROW_NAMES, offsetof(struct retry_read, exits), .about = "only after these exit statuses"},
	{"signal", SL_ROW_NAMES, offsetof(struct retry_read, signals), .about = "only after these signals: TERM, SEGV"},
	{"text", SL_ROW_NAMES, RETRY(texts), .about = "only after a line of output, or an error, that contains one of these"},
	{"timeout", SL_ROW_BOOL, RETRY(on_timeout), .about = "also after a timeout, when 'exit', 'signal' or 'text' is given"},
	{"machine", SL_ROW_INT, RETRY(machine), .min = 0, .max = 1000,
	 .about = "attempts after failures of the machine (memory out, no process to be had), which 'times' does not count; 0 when not given"},
};
const struct sl_shape sl_shape_retry = SL_SHAPE("'retry'", RETRY_ROWS);

static int read_exits(struct sl_loader *loader, const struct sl_yaml *node, struct retry_read *read)
{
	struct sl_retry *retry = &read->retry;
	retry->exits = sl_arena_array(loader->arena, read->exits.count + 1, sizeof *retry->exits);
	if (!retry->exits)
		return sl_load_memory(loader);
	for (size_t i = 0; i < read->exits.count; i++) {
		int64_t status;
		if (!sl_str_int(read->exits.items[i], &status) || status < 1 || status > 255)
			return sl_load_fail(loader, sl_yaml_get(node, "exit")->mark, SL_E_INVALID, "an exit status is a number from 1 to 255, not '%.100s'",
					    read->exits.items[i]);
		retry->exits[retry->exit_count++] = (int)status;
	}
	return 0;
}

static int signal_number(const char *name)
{
	name += strncmp(name, "SIG", 3) == 0 ? 3 : 0;
	for (int s = 1; s < NSIG; s++)
		if (sigabbrev_np(s) && strcmp(sigabbrev_np(s), name) == 0)
			return s;
	return 0;
}

static int read_signals(struct sl_loader *loader, const struct sl_yaml *node, struct retry_read *read)
{
	struct sl_retry *retry = &read->retry;
	retry->signals = sl_arena_array(loader->arena, read->signals.count + 1, sizeof *retry->signals);
	if (!retry->signals)
		return sl_load_memory(loader);
	for (size_t i = 0; i < read->signals.count; i++) {
		int number = signal_number(read->signals.items[i]);
		if (!number)
			return sl_load_fail(loader, sl_yaml_get(node, "signal")->mark, SL_E_INVALID, "'%.100s' is no signal, as TERM or SEGV",
					    read->signals.items[i]);
		retry->signals[retry->signal_count++] = number;
	}
	return 0;
}

int sl_read_retry(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct sl_step *step = target;
	struct retry_read read = {.retry = {.wait_ms = 1000, .longest_wait_ms = 600 * 1000, .factor = 2}};
	int rc = sl_load_resolve(loader, node, &node);
	if (!rc && node->kind == SL_YAML_SCALAR) /* retry: 3 */
		rc = sl_row_read(loader, &RETRY_ROWS[0], node, &read);
	else if (!rc)
		rc = sl_shape_read(loader, &sl_shape_retry, node, &read);
	rc = rc ? rc : read_exits(loader, node, &read);
	rc = rc ? rc : read_signals(loader, node, &read);
	step->retry = read.retry;
	return rc;
}

/* ---- sandbox and limits ------------------------------------------------------------------------------------------------ */

static const struct sl_row SANDBOX_ROWS[] = {
	{"read", SL_ROW_NAMES, offsetof(struct sl_step, sandbox_read), .about = "further files and folders that it may read"},
	{"write", SL_ROW_NAMES, offsetof(struct sl_step, sandbox_write), .about = "files and folders that it may change"},
	{"network", SL_ROW_BOOL, offsetof(struct sl_step, sandbox_network), .about = "may it use the network? false when not given"},
};
const struct sl_shape sl_shape_sandbox = SL_SHAPE("'sandbox'", SANDBOX_ROWS);

/* true, false, on, off */
static bool read_switch(const struct sl_yaml *node, bool *ret)
{
	bool on = node->kind == SL_YAML_SCALAR && strcmp(node->text, "on") == 0, off = node->kind == SL_YAML_SCALAR && strcmp(node->text, "off") == 0;
	*ret = on || off ? on : *ret;
	return on || off || sl_yaml_bool(node, ret);
}

int sl_read_sandbox(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct sl_step *step = target;
	int rc = sl_load_resolve(loader, node, &node);
	step->sandbox_said = true;
	if (rc || read_switch(node, &step->sandbox))
		return rc;
	step->sandbox = true;
	return sl_shape_read(loader, &sl_shape_sandbox, node, step);
}

int sl_read_project_sandbox(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct sl_project *project = target;
	int rc = sl_load_resolve(loader, node, &node);
	return rc || read_switch(node, &project->sandbox) ? rc : sl_load_fail(loader, node->mark, SL_E_INVALID, "'sandbox' of all commands is on or off");
}

static const struct sl_row LIMITS_ROWS[] = {
	{"cpu_time", SL_ROW_DURATION, offsetof(struct sl_step, limit_cpu_ms), .about = "processor time that a process may use"},
	{"file_size", SL_ROW_BYTES, offsetof(struct sl_step, limit_file_bytes), .about = "size of a file that it writes"},
	{"open_files", SL_ROW_INT, offsetof(struct sl_step, limit_open_files), .min = 16, .max = 1 << 20, .about = "files that a process may have open"},
};
const struct sl_shape sl_shape_limits = SL_SHAPE("'limits'", LIMITS_ROWS);

int sl_read_limits(struct sl_loader *loader, const struct sl_yaml *node, void *target) { return sl_shape_read(loader, &sl_shape_limits, node, target); }

/* ---- when and finally --------------------------------------------------------------------------------------------------- */

/* The parameters that it uses decide whether the step is there, not what it makes: they are none of the step's. */
int sl_read_when(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct sl_step *step = target;
	if (node->kind != SL_YAML_SCALAR || !*node->text)
		return sl_load_fail(loader, node->mark, SL_E_INVALID, "'when' wants a condition, as $full or \"$days > 7 and $mode = 'all'\"");
	struct sl_name_list *uses = SL_TAKE(loader->uses);
	bool holds;
	int rc = sl_condition_eval(loader, node->text, node->mark, &holds);
	loader->uses = uses;
	step->when = node->text;
	step->left_out = !rc && !holds;
	return rc;
}

int sl_read_finally(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	static const struct sl_row OF = {"finally", SL_ROW_NAMES, offsetof(struct sl_step, finally_of), .about = "steps"};
	struct sl_step *step = target;
	if (sl_yaml_bool(node, &step->finally))
		return 0;
	step->finally = true;
	return sl_row_read(loader, &OF, node, step);
}

static int check_finally(struct sl_loader *loader, const struct sl_step *step)
{
	const struct sl_project *p = loader->project;
	if (step->finally && (step->kind != SL_STEP_RUN || step->inputs.count || step->output_count))
		return sl_load_fail(loader, step->mark, SL_E_INVALID, "step '%s' is for the end ('finally'): it has 'run', and neither inputs nor outputs", step->name);
	for (size_t i = 0; i < step->finally_of.count; i++) {
		if (sl_project_step(p, step->finally_of.items[i]))
			continue;
		struct sl_name_list names = {0};
		for (size_t k = 0; k < p->step_count; k++)
			if (sl_name_list_add(loader, &names, p->steps[k].name))
				return SL_E_NO_MEMORY;
		sl_load_fail(loader, step->mark, SL_E_INVALID, "step '%s' waits for the end of '%.128s', which is no step", step->name, step->finally_of.items[i]);
		return sl_load_suggest(loader, step->finally_of.items[i], names.items, names.count);
	}
	return 0;
}

/* ---- resources -------------------------------------------------------------------------------------------------------- */

static int read_amounts(struct sl_loader *loader, const struct sl_yaml *node, const char *what, struct sl_amount **ret, size_t *ret_count)
{
	int rc = sl_load_want_map(loader, node, what);
	struct sl_amount *amounts = rc ? NULL : sl_arena_array(loader->arena, node->count + 1, sizeof *amounts);
	if (!rc && !amounts)
		return sl_load_memory(loader);
	for (size_t i = 0; !rc && i < node->count; i++) {
		const struct sl_yaml *key = node->entries[i].key, *value;
		long long number = 0;
		rc = sl_load_resolve(loader, node->entries[i].value, &value);
		if (!rc && (!sl_name_valid(key->text) || strcmp(key->text, "cpu") == 0 || strcmp(key->text, "memory") == 0))
			rc = sl_load_fail(loader, key->mark, SL_E_INVALID, "a resource cannot be called '%.100s'", key->text);
		if (!rc && (!sl_yaml_int(value, &number) || number < 0 || number > 1000000))
			rc = sl_load_fail(loader, value->mark, SL_E_INVALID, "'%.100s' wants a whole number from 0 to 1000000", key->text);
		amounts[i] = (struct sl_amount){key->text, number};
	}
	*ret = amounts;
	*ret_count = rc ? 0 : node->count;
	return rc;
}

int sl_read_needs(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct sl_step *step = target;
	return read_amounts(loader, node, "'needs'", &step->needs, &step->need_count);
}

int sl_read_resources(struct sl_loader *loader, const struct sl_yaml *node, void *project)
{
	struct sl_project *p = project;
	return read_amounts(loader, node, "'resources'", &p->resources, &p->resource_count);
}

static int check_needs(struct sl_loader *loader)
{
	const struct sl_project *p = loader->project;
	for (size_t i = 0; i < p->step_count; i++)
		for (size_t k = 0; k < p->steps[i].need_count; k++) {
			const struct sl_amount *need = &p->steps[i].needs[k], *has = sl_project_resource(p, need->name);
			if (has && need->amount <= has->amount)
				continue;
			struct sl_name_list names = {0};
			for (size_t r = 0; r < p->resource_count; r++)
				if (sl_name_list_add(loader, &names, p->resources[r].name))
					return SL_E_NO_MEMORY;
			sl_load_fail(loader, p->steps[i].mark, SL_E_INVALID, "step '%s' needs %lld of '%.100s', and there are %lld", p->steps[i].name,
				     (long long)need->amount, need->name, has ? (long long)has->amount : 0);
			if (has || !names.count)
				return sl_error_hint(loader->err, "the section 'resources' says how many there are: resources: {%.100s: %lld}", need->name,
						     (long long)need->amount);
			return sl_load_suggest(loader, need->name, names.items, names.count);
		}
	return 0;
}

int sl_project_check_policy(struct sl_loader *loader)
{
	const struct sl_project *p = loader->project;
	int rc = 0;
	for (size_t i = 0; !rc && i < p->step_count; i++)
		rc = check_finally(loader, &p->steps[i]);
	for (size_t i = 0; !rc && i < loader->project->step_count; i++)
		if (!loader->project->steps[i].sandbox_said)
			loader->project->steps[i].sandbox = loader->project->steps[i].kind == SL_STEP_RUN && loader->project->sandbox;
	return rc ? rc : check_needs(loader);
}
