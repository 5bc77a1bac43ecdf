#include "project/experiment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

static const char *const MEASURES[SL_MEASURES] = {"errors", "mean_ms", "p50_ms", "p99_ms", "log_loss", "brier", "error_rate", "squared_error",
	"absolute_error", "label"};

const char *sl_measure_name(enum sl_measure measure) { return MEASURES[measure]; }

const char *sl_experiment_kind_name(enum sl_experiment_kind kind)
{
	static const char *const NAMES[] = {"none", "canary", "test", "bandit"};
	return NAMES[kind];
}

static void skip_blanks(const char **at) { *at += strspn(*at, " \t"); }

static int read_measure(const char *text, const char **at, enum sl_measure *ret, struct sl_error *err)
{
	char name[40] = "";
	size_t len = strspn(*at, "abcdefghijklmnopqrstuvwxyz_0123456789");
	memcpy(name, *at, len < sizeof name ? len : 0);
	for (size_t i = 0; i < SL_MEASURES; i++)
		if (strcmp(MEASURES[i], name) == 0) {
			*at += len;
			skip_blanks(at);
			*ret = (enum sl_measure)i;
			return 0;
		}
	sl_fail(err, SL_E_INVALID, "gate '%.100s' cannot be read at '%.30s': a measure is wanted", text, *at);
	const char *nearest = sl_str_nearest(name, MEASURES, SL_MEASURES);
	return nearest ? sl_error_hint(err, "did you mean '%s'?", nearest) : SL_E_INVALID;
}

static int read_number(const char *text, const char **at, double *ret, struct sl_error *err)
{
	char *end;
	*ret = strtod(*at, &end);
	if (end == *at || !isfinite(*ret))
		return sl_fail(err, SL_E_INVALID, "gate '%.100s' cannot be read at '%.30s': a number is wanted", text, *at);
	*at = end;
	skip_blanks(at);
	return 0;
}

static int read_base(const char *text, const char **at, struct sl_canary_gate *ret, struct sl_error *err)
{
	*at += strlen("base.");
	ret->base = true;
	int rc = read_measure(text, at, &ret->base_measure, err);
	if (rc || !**at)
		return rc;
	if (!strchr("+-*", **at))
		return sl_fail(err, SL_E_INVALID, "gate '%.100s' cannot be read at '%.30s': one of + - * is wanted", text, *at);
	ret->operation = *(*at)++;
	return read_number(text, at, &ret->number, err);
}

int sl_canary_gate_parse(const char *text, struct sl_canary_gate *ret, struct sl_error *err)
{
	const char *at = text;
	*ret = (struct sl_canary_gate){.text = text};
	skip_blanks(&at);
	int rc = read_measure(text, &at, &ret->measure, err);
	if (rc)
		return rc;
	if (*at != '<' && *at != '>')
		return sl_fail(err, SL_E_INVALID, "gate '%.100s' cannot be read at '%.30s': one of < <= > >= is wanted", text, at);
	ret->less = *at++ == '<';
	ret->or_equal = *at == '=';
	at += ret->or_equal;
	skip_blanks(&at);
	rc = sl_str_starts(at, "base.") ? read_base(text, &at, ret, err) : read_number(text, &at, &ret->number, err);
	if (!rc && *at)
		rc = sl_fail(err, SL_E_INVALID, "gate '%.100s' cannot be read at '%.30s': nothing may follow here", text, at);
	return rc;
}

bool sl_canary_gate_holds(const struct sl_canary_gate *gate, double value, double base)
{
	double bar = !gate->base ? gate->number : gate->operation == '+' ? base + gate->number : gate->operation == '-' ? base - gate->number
		: gate->operation == '*' ? base * gate->number : base;
	return gate->less ? value < bar || (gate->or_equal && value == bar) : value > bar || (gate->or_equal && value == bar);
}
