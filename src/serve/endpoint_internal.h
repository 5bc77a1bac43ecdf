/* Inside serve/ only: an endpoint's state, shared by those that follow the registry (endpoint.c) and those of files (shelf.c). */
#ifndef SL_SERVE_ENDPOINT_INTERNAL_H
#define SL_SERVE_ENDPOINT_INTERNAL_H

#include "serve/endpoint.h"
#include "project/traffic.h"
#include "serve/model_find.h"
#include "serve/shadow.h"

/* One version of a model file. */
struct shelf_version {
	struct sl_model_file file;
	struct sl_served *served;    /* NULL: cold */
	struct sl_error *problem;    /* of the last try to load it; NULL: none */
	struct shelf_version *older, *newer; /* the loaded ones, by when they were last asked */
};

struct shelf_model {
	struct shelf *shelf;
	struct sl_endpoint spec;
	const char *config;
	int64_t config_mtime_ns;
	struct shelf_version *versions; /* rising */
	size_t version_count;
	bool unloaded;               /* by request */
	struct sl_arena *arena;      /* everything above */
};

/* A variant of the rules, as it follows its alias. */
struct variant_state {
	struct sl_served *now;       /* NULL: none is loaded */
	struct sl_error problem;
	struct sl_hash refused;      /* the package that could not be loaded: it is not tried again */
};

/* Rules as they are in use, and where each of their variants is. */
struct rules_state {
	struct sl_arena *arena;
	char *text;                  /* they were read from; in the arena, as all else but what the variants load */
	char *weights;               /* of an experiment, as JSON; "" = the rules' own */
	const struct sl_traffic *traffic;
	struct variant_state variants[SL_VARIANTS_MAX];
};

struct sl_endpoint_state {
	const struct sl_endpoint *spec;
	struct sl_served *now;       /* of the registry: a version, or a front */
	struct rules_state *rules;   /* of the registry */
	struct sl_predlog *log;
	struct sl_error problem;
	struct sl_endpoint_stats stats;
	struct sl_shadow_stats shadow;
	struct sl_stats_series *unanswered; /* counts what came while no version was there */
	struct shelf_model *files;   /* NULL: follows the registry */
	unsigned references;         /* of files: the shelf's, and each loaded version's, which may outlive it while a request has it */
};

struct sl_serving {
	struct sl_stats *stats; /* of a project's; else NULL */
	struct sl_store *store;
	struct sl_shadow *shadow;
	struct sl_lookups *lookups;  /* of a project's */
	bool opening;                /* lookups are waited for: nothing is answered yet */
	struct sl_endpoint_state **endpoints; /* of files: by name */
	size_t count;
	struct shelf *shelf;         /* NULL: the registry's */
};

/* ---- follow.c: endpoints of the registry ---- */
/* 1 when the endpoint answers otherwise now: another version, other rules. */
int follow_endpoint(struct sl_serving *serving, struct sl_endpoint_state *endpoint);
void follow_done(struct sl_endpoint_state *endpoint);

/* ---- shelf.c: endpoints of files ---- */
int shelf_open(struct sl_serving *serving, const struct sl_serving_files *files, struct sl_error *err);
void shelf_close(struct sl_serving *serving);
int shelf_refresh(struct sl_serving *serving);
int shelf_take(struct sl_endpoint_state *endpoint, const char *version, size_t len, struct sl_served **ret, struct sl_error *err);
bool shelf_ready(const struct sl_endpoint_state *endpoint);
int shelf_load(struct sl_serving *serving, const char *name, size_t len, struct sl_error *err);
void shelf_unload(struct sl_endpoint_state *endpoint);
void shelf_endpoint_unref(struct sl_endpoint_state *endpoint);

#endif
