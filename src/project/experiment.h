/* Experiments over the variants of an endpoint: which share each gets is decided while it runs (docs/traffic.md). At most one of the members
 * `canary`, `test` and `bandit` of traffic rules:
 *
 *   {"canary": {"to": "challenger", "steps": [5, 25, 50], "hold": "10m", "requests": 500, "gates": ["errors <= 0.01"]}}
 *   {"test":   {"between": ["champion", "challenger"], "metric": "log_loss", "labels": "arrivals", "alpha": 0.05}}
 *   {"bandit": {"between": [...], "policy": "thompson", "metric": "label", "labels": "arrivals"}}
 */
#ifndef SL_PROJECT_EXPERIMENT_H
#define SL_PROJECT_EXPERIMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum { SL_CANARY_STEPS_MAX = 32, SL_CANARY_GATES_MAX = 16, SL_ARMS_MAX = 16 };

/* What is measured of a variant. From SL_MEASURE_LABELLED on it needs labels; all of these but LABEL are better when they are less. */
enum sl_measure {
	SL_MEASURE_ERRORS,         /* share of the requests that it could not answer */
	SL_MEASURE_MEAN_MS, SL_MEASURE_P50_MS, SL_MEASURE_P99_MS, /* latency of its answers */
	SL_MEASURE_LABELLED,
	SL_MEASURE_LOG_LOSS = SL_MEASURE_LABELLED, SL_MEASURE_BRIER, SL_MEASURE_ERROR_RATE, SL_MEASURE_SQUARED_ERROR,
	SL_MEASURE_ABSOLUTE_ERROR,
	SL_MEASURE_LABEL,          /* the label itself: what the answer brought in */
	SL_MEASURES
};
const char *sl_measure_name(enum sl_measure measure); /* "errors", "mean_ms" ... */

/* MEASURE ("<" | "<=" | ">" | ">=") (NUMBER | "base." MEASURE [("+" | "-" | "*") NUMBER]): base is the endpoint's `model`. */
struct sl_canary_gate {
	const char *text;
	enum sl_measure measure, base_measure;
	bool less, or_equal, base;
	char operation;            /* 0: none */
	double number;
};
/* SL_E_INVALID with the nearest measure. `text` is kept. */
int sl_canary_gate_parse(const char *text, struct sl_canary_gate *ret, struct sl_error *err);
bool sl_canary_gate_holds(const struct sl_canary_gate *gate, double value, double base);

enum sl_experiment_kind { SL_EXPERIMENT_NONE, SL_EXPERIMENT_CANARY, SL_EXPERIMENT_TEST, SL_EXPERIMENT_BANDIT };
const char *sl_experiment_kind_name(enum sl_experiment_kind kind);

struct sl_experiment {
	enum sl_experiment_kind kind;
	size_t arms[SL_ARMS_MAX];  /* variants; of a canary the base and where it goes to */
	size_t arm_count;
	const char *labels;        /* label set; "" = none */
	int64_t minimum;           /* labelled rows of every arm before anything is decided by them */
	enum sl_measure metric;    /* TEST, BANDIT */
	/* canary */
	double steps[SL_CANARY_STEPS_MAX]; /* shares, rising, in (0, 1] */
	size_t step_count;
	struct sl_canary_gate gates[SL_CANARY_GATES_MAX];
	size_t gate_count;
	int64_t hold_ms, requests; /* a step lasts at least so long and has so many requests of the canary */
	bool promote;              /* at the end the endpoint's alias moves to the canary's version */
	/* test */
	double alpha;              /* how often it may find a difference where there is none */
	double mixing;             /* standard deviation of the mixing distribution, in units of the metric */
	/* bandit */
	bool thompson;             /* else epsilon-greedy */
	double epsilon, floor;     /* share that explores; least share of an arm */
	int64_t every_ms;          /* between changes of weights */
	uint64_t seed;
};

#endif
