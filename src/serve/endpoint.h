/* Endpoints as they are served: a model version that is loaded, and the swap to another one.
 *
 *   alias in the registry --sl_serving_refresh--> package, tree engine (loaded aside) --one pointer--> sl_endpoint_now()
 *
 * A loaded version (struct sl_served) is immutable and counted: a request takes it once and is answered by it alone, whatever
 * is promoted meanwhile; the old one is freed when its last request has ended. A version that cannot be loaded never takes the
 * place of one that can.
 * Everything happens on one thread.
 */
#ifndef SL_SERVE_ENDPOINT_H
#define SL_SERVE_ENDPOINT_H

#include "learn/package.h"
#include "project/project.h"
#include "track/store.h"

/* The columns that a request may give are slots: the model's features in their order, then the endpoint's key and time columns
 * where they are no features. */
struct sl_served {
	struct sl_endpoint_state *endpoint;
	const struct sl_endpoint *spec;
	struct sl_package package;
	struct sl_infer *infer;
	int64_t version;
	char version_text[24];
	const char **slots;      /* names, slot_count */
	size_t *slot_lens;
	size_t slot_count;
	size_t key_slot, time_slot; /* SIZE_MAX: none */
	struct sl_map *by_name;
	struct sl_arena *arena;
	unsigned references;
};
void sl_served_ref(struct sl_served *served);
void sl_served_unref(struct sl_served *served); /* NULL is fine */

/* Fills slots, slot_lens, slot_count, key_slot, time_slot and by_name from package and spec; in the arena. */
int sl_served_make_slots(struct sl_served *served, struct sl_error *err);

enum { SL_SLOT_NONE = -1 };
/* The slot of a column, or SL_SLOT_NONE. `guess` is tried first: requests name their columns in the same order again and
 * again. */
ptrdiff_t sl_served_slot(const struct sl_served *served, const char *name, size_t len, size_t guess);
/* The known column nearest to `name`, for errors; NULL when none is near. */
const char *sl_served_nearest(const struct sl_served *served, const char *name);

struct sl_endpoint_stats {
	uint64_t requests, rows, refused, failed; /* answered; their rows; 4xx; 5xx */
	uint64_t latency_us;                      /* sum over the answered */
	uint64_t unseen;                          /* category values that training did not have */
};

struct sl_endpoint_state; /* one endpoint of the project */
struct sl_serving;        /* all of them */

/* Opens the prediction logs (SL_E_BUSY when another process serves this project) and loads what the aliases say. An endpoint
 * whose model has no such version yet is there, but not ready. */
int sl_serving_open(struct sl_store *store, const struct sl_project *project, struct sl_serving **ret, struct sl_error *err);
void sl_serving_close(struct sl_serving *serving); /* every sl_served must have been given back */
/* Looks at the aliases (about 20 us each) and swaps what moved. Returns how many were swapped; never fails: what went wrong is
 * sl_endpoint_problem. */
int sl_serving_refresh(struct sl_serving *serving);

size_t sl_serving_count(const struct sl_serving *serving);
struct sl_endpoint_state *sl_serving_at(const struct sl_serving *serving, size_t i);
/* NULL when there is none of that name. */
struct sl_endpoint_state *sl_serving_find(const struct sl_serving *serving, const char *name, size_t len);

const struct sl_endpoint *sl_endpoint_spec(const struct sl_endpoint_state *endpoint);
/* What answers now; NULL: not ready. Borrowed until the next refresh; sl_served_ref keeps it. */
struct sl_served *sl_endpoint_now(const struct sl_endpoint_state *endpoint);
/* Why it is not ready, or why a newer version is not served; code 0 when all is well. */
const struct sl_error *sl_endpoint_problem(const struct sl_endpoint_state *endpoint);
struct sl_endpoint_stats *sl_endpoint_stats(struct sl_endpoint_state *endpoint);
/* The log that it writes; NULL with `log: none`. */
struct sl_predlog *sl_endpoint_log(const struct sl_endpoint_state *endpoint);

#endif
