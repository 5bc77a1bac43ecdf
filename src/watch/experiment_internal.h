/* Inside watch/: one endpoint's experiment. */
#ifndef SL_WATCH_EXPERIMENT_INTERNAL_H
#define SL_WATCH_EXPERIMENT_INTERNAL_H

#include "port/stream.h"
#include "project/traffic.h"
#include "serve/rules.h"
#include "watch/arm.h"
#include "watch/experiment.h"
#include "watch/join.h"

enum experiment_phase { PHASE_NONE, PHASE_RUNNING, PHASE_DONE, PHASE_ROLLED_BACK };

struct running {
	struct sl_store *store;
	const struct sl_endpoint *endpoint;
	/* of the rules */
	struct sl_arena *arena;            /* NULL: there are none, or without an experiment */
	const char *text;
	const struct sl_traffic *traffic;
	/* of the versions behind the arms */
	struct sl_arena *package_arena;
	struct sl_package package;         /* of the first arm */
	int64_t versions[SL_ARMS_MAX];
	/* where it stands */
	enum experiment_phase phase;
	size_t step;
	int64_t since_ms, published_ms;
	int64_t from_prediction, from_label; /* where the step begins */
	int64_t at_prediction, at_label;
	double base[SL_MEASURES];          /* of the endpoint's model in the step before; NAN */
	struct sl_arm arms[SL_ARMS_MAX];
	double p;                          /* of a test */
	double shares[SL_ARMS_MAX];        /* of a bandit, as published */
	uint64_t changes;
	struct sl_join *join;
	struct sl_stream *predictions, *labels; /* NULL: not there yet */
	char last_error[256];
};

#define EXPERIMENT(run) (&(run)->traffic->experiment)

/* experiment_read.c: what is new in the logs, into the arms. 1: there is more. */
int experiment_read(struct running *run, struct sl_error *err);
/* Ends of the logs as they are now: where a step that begins now begins. */
int experiment_ends(struct running *run, int64_t *ret_prediction, int64_t *ret_label, struct sl_error *err);
void experiment_forget(struct running *run); /* arms, join */

/* experiment_state.c: the row of route_state. `shares`: of each arm; NULL: the rules' own weights. `action` NULL: no ledger entry, only for what
 * `status` shows. */
int experiment_save(struct running *run, const double *shares, const char *action, const char *reason, int64_t now_ms, struct sl_error *err);
/* True when `state` is of the same versions, and was taken over. */
bool experiment_resume(struct running *run, const char *phase, const char *state);

/* experiment_decide.c */
int experiment_begin(struct running *run, int64_t now_ms, struct sl_error *err);
int experiment_decide(struct running *run, int64_t now_ms, struct sl_error *err);

#endif
