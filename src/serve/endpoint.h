/* Endpoints as they are served: a model version that is loaded, and the swap to another one.
 *
 *   alias in the registry --sl_serving_refresh--> package, tree engine (loaded aside) --one pointer--> sl_endpoint_take()
 *   model file on disk    --first request, or a change of the file--^
 *
 * A loaded version (struct sl_served) is immutable and counted: a request takes it once and is answered by it alone, whatever
 * is promoted meanwhile; the old one is freed when its last request has ended. A version that cannot be loaded never takes the
 * place of one that can. Of an endpoint with traffic rules, what a request takes is a front: rules and every version that they name.
 * Everything happens on one thread.
 */
#ifndef SL_SERVE_ENDPOINT_H
#define SL_SERVE_ENDPOINT_H

#include "learn/package.h"
#include "port/graph.h"
#include "project/project.h"
#include "serve/lookup.h"
#include "serve/pool.h"
#include "serve/stats.h"
#include "track/store.h"

enum { SL_FAT_QUEUE_MAX = 32 }; /* large requests of a version that wait */

/* A lookup that a version answers with: the features that it brings. */
struct sl_served_lookup {
	const struct sl_lookup *spec; /* the package's */
	size_t place;                 /* in served->lookups */
	size_t *features;             /* per column of the lookup: the model's feature, or SIZE_MAX */
};

/* The columns that a request may give are slots: the model's features in their order but for those that are looked up, then the keys of lookups
 * where they are no features; behind these `column_count` what is looked up, and the endpoint's key and time columns. */
struct sl_plan;
struct sl_served {
	struct sl_endpoint_state *endpoint;
	const struct sl_endpoint *spec;
	struct sl_package package;
	struct sl_infer *infer;  /* NULL: a graph answers */
	bool heavy;              /* a library computes, which may take long: not the tree engine */
	struct sl_graph *graph;  /* of tensors. When each of them is a column, or the one is [rows, columns], `package` has these columns as
				    features; else it has none */
	int64_t version;
	char version_text[24];
	const char **slots;      /* names, slot_count */
	size_t *slot_lens;
	size_t slot_count;
	size_t column_count;     /* what every request gives: the first slots */
	size_t *feature_slots;   /* of a model with lookups: per feature; NULL: slot f is feature f. Not of a front */
	const struct sl_feature **slot_features; /* of a model with lookups: see sl_served_feature; NULL */
	struct sl_lookups *lookups; /* of the serving; NULL: nothing is looked up */
	struct sl_served_lookup *looked_up;
	size_t lookup_count;
	size_t key_slot, time_slot; /* SIZE_MAX: none */
	const char *matrix;      /* the metadata shows one tensor of this name, [rows, columns]; NULL: a tensor per column */
	size_t max_rows;         /* of one request; 0: SL_INPUTS_MAX */
	struct sl_map *by_name;
	const struct sl_plan *plan; /* a front: the endpoint's rules say which version answers (serve/plan.h); NULL: this one does */
	struct sl_stats_series *series; /* counts its answers for /metrics; NULL: nobody asks */
	struct sl_lane lane, fat_lane; /* its requests that are not answered at once: as they are, and large ones */
	struct sl_arena *arena;
	unsigned references;
};
void sl_served_ref(struct sl_served *served);
void sl_served_unref(struct sl_served *served); /* NULL is fine */

/* Fills the lanes, slots, slot_lens, slot_count, key_slot, time_slot and by_name from package, spec and further names (borrowed); in the arena. */
int sl_served_make_slots(struct sl_served *served, const char *const *more, size_t more_count, struct sl_error *err);

enum { SL_SLOT_NONE = -1 };
/* The slot of a column, or SL_SLOT_NONE. `guess` is tried first: requests name their columns in the same order again and
 * again. */
ptrdiff_t sl_served_slot(const struct sl_served *served, const char *name, size_t len, size_t guess);
/* Whether the version gets this feature from a lookup, and not from the request. */
bool sl_served_looks_up(const struct sl_served *served, size_t feature);
/* The known column nearest to `name`, for errors; NULL when none is near. */
const char *sl_served_nearest(const struct sl_served *served, const char *name);

struct sl_endpoint_stats {
	uint64_t requests, rows, refused, failed; /* answered; their rows; 4xx; 5xx */
	uint64_t latency_us;                      /* sum over the answered */
	uint64_t queue_us, joined;                /* of those that threads worked on: they waited so long; went along in another one's run */
	uint64_t pending;                         /* that wait or are worked on now */
	uint64_t unseen;                          /* category values that training did not have */
	int64_t last_ms;                          /* when the last one was answered; 0: never */
};

struct sl_shadow;
struct sl_endpoint_state; /* one endpoint */
struct sl_serving;        /* all of them */

/* The endpoints of a project. Opens the prediction logs (SL_E_BUSY when another process serves this project) and loads what the
 * aliases say. An endpoint whose model has no such version yet is there, but not ready. */
int sl_serving_open(struct sl_store *store, const struct sl_project *project, struct sl_serving **ret, struct sl_error *err);

/* Model files without a project: each is an endpoint, of which nothing is logged (serve/model_find.h says which files).
 *
 * Versions are loaded at once until SL_SERVING_WARM_BYTES of files were read, later ones by their first request (a few milliseconds
 * for a file of 1 MB). Beyond `memory_bytes` the least recently asked are let go again. A file of the list that cannot be served
 * fails the call; of a folder it is that model's problem. */
enum { SL_SERVING_WARM_BYTES = 64 << 20 };
struct sl_serving_files {
	const char *const *files;
	size_t file_count;
	const char *dir;         /* a folder of models; NULL: none */
	uint64_t memory_bytes;   /* of all loaded models, about; the one that is asked may always be loaded */
	bool follow;             /* sl_serving_refresh looks at the disk again */
};
int sl_serving_open_files(const struct sl_serving_files *files, struct sl_serving **ret, struct sl_error *err);

void sl_serving_close(struct sl_serving *serving); /* every sl_served must have been given back */
/* Looks at the aliases (about 20 us each), or at the disk, and swaps what moved. Returns how many were swapped; never fails: what
 * went wrong is sl_endpoint_problem. Endpoints of files that are gone are gone, so none may be held over it, but a served version that a request has
 * keeps its own. */
int sl_serving_refresh(struct sl_serving *serving);
/* Copies of answered requests that wait for shadows (serve/shadow.h); NULL when files are served. */
struct sl_shadow *sl_serving_shadow(const struct sl_serving *serving);
/* The counters of a project's endpoints; NULL when files are served. */
struct sl_stats *sl_serving_stats(const struct sl_serving *serving);

size_t sl_serving_count(const struct sl_serving *serving);
struct sl_endpoint_state *sl_serving_at(const struct sl_serving *serving, size_t i);
/* NULL when there is none of that name. */
struct sl_endpoint_state *sl_serving_find(const struct sl_serving *serving, const char *name, size_t len);

const struct sl_endpoint *sl_endpoint_spec(const struct sl_endpoint_state *endpoint);
/* Whether it could answer: loaded, or on disk with no problem known. */
bool sl_endpoint_ready(const struct sl_endpoint_state *endpoint);
/* What answers for `version` (NULL: the endpoint's own choice, by its rules, which of files is the greatest number), loaded if it must be. Borrowed
 * until the next take or refresh; sl_served_ref keeps it. SL_E_NOT_FOUND: no such version; SL_E_BUSY: not ready. */
int sl_endpoint_take(struct sl_endpoint_state *endpoint, const char *version, size_t len, struct sl_served **ret,
		     struct sl_error *err);
/* The versions that can be asked for, rising; their texts live as long as the endpoint, until the next refresh. */
size_t sl_endpoint_version_count(const struct sl_endpoint_state *endpoint);
const char *sl_endpoint_version(const struct sl_endpoint_state *endpoint, size_t i);
/* Why it is not ready, or why a newer version is not served; code 0 when all is well. */
const struct sl_error *sl_endpoint_problem(const struct sl_endpoint_state *endpoint);
/* Of files only (SL_E_DENIED otherwise): looks at the disk for this model and loads what is there now; lets go of the model until it
 * is loaded again. Unloading gives the memory back. */
int sl_serving_load(struct sl_serving *serving, const char *name, size_t len, struct sl_error *err);
int sl_serving_unload(struct sl_serving *serving, const char *name, size_t len, struct sl_error *err);

/* Counts a request that was refused with this status. */
void sl_endpoint_refused(struct sl_endpoint_state *endpoint, int status);
struct sl_endpoint_stats *sl_endpoint_stats(struct sl_endpoint_state *endpoint);
/* The log that it writes; NULL with `log: none`. */
struct sl_predlog *sl_endpoint_log(const struct sl_endpoint_state *endpoint);

#endif
