/* An endpoint's traffic rules, joined with the versions that are loaded now: who answers a row.
 *
 *   rules (project/traffic.h) + a loaded version per variant --make--> front: a served version that requests are parsed for
 *   row --segments, then sticky key or draw--> variant --its features out of the front's slots--> outputs
 *
 * A front is a sl_served like any other, immutable and counted: a request holds the one that it was parsed for, with every version and
 * rule that it may need, so a promotion or new rules meanwhile cannot mix into its answer. Its columns are those of the first variant
 * that is loaded, then whatever key, time, rules and the other variants need more.
 */
#ifndef SL_SERVE_PLAN_H
#define SL_SERVE_PLAN_H

#include "project/traffic.h"
#include "serve/endpoint.h"

/* Why a variant answered; as the prediction log has it. */
enum sl_route_reason {
	SL_ROUTE_WEIGHT,    /* drawn by the weights */
	SL_ROUTE_STICKY,    /* by the weights and the hash of the sticky column */
	SL_ROUTE_SEGMENT,   /* a segment's condition holds */
	SL_ROUTE_FALLBACK,  /* who should have answered could not */
	SL_ROUTE_SHADOW,    /* nobody waited for it: a copy of an answered request */
	SL_ROUTE_REASONS
};
const char *sl_route_reason_name(enum sl_route_reason reason); /* "weight", "sticky" ... */

struct sl_plan_variant {
	const struct sl_variant *spec;
	struct sl_served *served;  /* NULL: no such version is loaded */
	const size_t *slots;       /* of its feature f: the front's slot */
	double weight;             /* as they are in use: of those that are loaded */
};

struct sl_plan {
	const struct sl_traffic *rules;
	struct sl_plan_variant variants[SL_VARIANTS_MAX];
	size_t count;
	size_t features;           /* of the variant that has most */
	const struct sl_feature **slot_features; /* per slot of the front */
	size_t sticky_slot;        /* SIZE_MAX: none */
	const size_t *segment_slots[SL_SEGMENTS_MAX]; /* beside rules->segments: of the condition's column i, the front's slot */
	bool shadows;              /* some loaded variant sees copies */
	uint64_t draws, seed;      /* draws is counted by any thread */
};

/* `rules` as text, which was read before: the front has its own copy. served[i]: of its variant i, NULL when not loaded; at least one is
 * there, and all give the same number of values; references are taken. weights[i]: instead of the rules'; NULL: the rules'. */
int sl_plan_make(struct sl_endpoint_state *endpoint, const struct sl_endpoint *spec, const char *rules, struct sl_served *const *served,
		 const double *weights, struct sl_served **ret_front, struct sl_error *err);
/* The feature of a slot, of the first variant that has it; NULL: no model reads it. Of a front or of any other served version. */
const struct sl_feature *sl_served_feature(const struct sl_served *served, size_t slot);
/* Inside sl_served_unref. */
void sl_plan_release(const struct sl_plan *plan);

struct sl_inputs;
/* Fills rows->variants and rows->reasons, beside the rows. Any thread. */
void sl_plan_choose(const struct sl_plan *plan, struct sl_inputs *rows);
/* A draw from [0, 1), of which each is independent of the others. */
double sl_plan_draw(const struct sl_plan *plan);
/* Where `key` stands for a variant, in (0, 1): FNV-1a 64 of the variant's name, a zero byte and the key's text, then MurmurHash3's
 * finalizer. Part of the contract: who answers a key does not change with a release. */
double sl_plan_place(const char *variant, const char *key, size_t len);

#endif
