/* Logged models, as MLflow 3 logs them: a model of its own beside the run that made it, with a place for files, tags, parameters and
 * metrics. Born pending, then ready or failed. */
#ifndef SL_RECORD_LOGGED_MODEL_H
#define SL_RECORD_LOGGED_MODEL_H

#include "record/experiment.h"
#include "record/pair.h"
#include "record/search.h"

struct sl_logged_model {
	int64_t num, experiment, created_ms, updated_ms;
	bool deleted;
	const char *id;           /* "m-" and 32 hex digits */
	const char *name, *artifact_uri, *status, *model_type, *run; /* texts in the arena that was given; run "": none */
};

struct sl_logged_model_start {
	const char *id;           /* "m-" and 32 hex digits, which nothing here has yet; NULL: a new one */
	const char *name;         /* NULL: one is made */
	const char *model_type, *run; /* NULL: none */
	const struct sl_pair *tags, *params;
	size_t tag_count, param_count;
};
int sl_logged_model_create(struct sl_record *record, const struct sl_experiment *experiment, const struct sl_logged_model_start *start,
	const struct sl_change *change, struct sl_arena *arena, struct sl_logged_model *ret, struct sl_error *err);
/* SL_E_NOT_FOUND "Logged model with ID '...' not found.", also for one that was deleted. */
int sl_logged_model_get(struct sl_record *record, const char *id, struct sl_arena *arena, struct sl_logged_model *ret,
	struct sl_error *err);
/* By its number, also deleted. 1, or 0 when there is none. */
int sl_logged_model_at(struct sl_record *record, int64_t num, struct sl_arena *arena, struct sl_logged_model *ret, struct sl_error *err);
/* `status`: LOGGED_MODEL_READY, LOGGED_MODEL_UPLOAD_FAILED or LOGGED_MODEL_PENDING. */
int sl_logged_model_finalize(struct sl_record *record, struct sl_logged_model *model, const char *status, const struct sl_change *change,
	struct sl_error *err);
int sl_logged_model_delete(struct sl_record *record, const struct sl_logged_model *model, const struct sl_change *change,
	struct sl_error *err);
int sl_logged_model_tag(struct sl_record *record, const struct sl_logged_model *model, const struct sl_pair *tags, size_t count,
	const struct sl_change *change, struct sl_error *err);
/* SL_E_NOT_FOUND when it has no such tag. */
int sl_logged_model_untag(struct sl_record *record, const struct sl_logged_model *model, const char *name, const struct sl_change *change,
	struct sl_error *err);
int sl_logged_model_params(struct sl_record *record, const struct sl_logged_model *model, const struct sl_pair *params, size_t count,
	const struct sl_change *change, struct sl_error *err);

struct sl_logged_metric { const char *name, *dataset_name, *dataset_digest, *run; double value; int64_t time_ms, step; };
/* The latest point of each metric, run and dataset. */
typedef int sl_logged_metric_fn(void *context, const struct sl_logged_metric *metric, struct sl_error *err);
int sl_logged_model_metrics(struct sl_record *record, const struct sl_logged_model *model, sl_logged_metric_fn *each, void *context,
	struct sl_error *err);

/* Numbers of those not deleted in these experiments, the newest first by default. Filters as for runs: attributes, tags, params,
 * metrics; an order by a metric is by its latest value. With datasets only metrics that were measured on one of them count, and models
 * without any are not found. */
enum { SL_LOGGED_DATASETS_MAX = 100 };
struct sl_logged_dataset { const char *name, *digest; }; /* digest NULL: every; in an order name NULL: of every dataset */
struct sl_logged_search {
	struct sl_search common;
	const struct sl_logged_dataset *datasets;
	size_t dataset_count;
	const struct sl_logged_dataset *order; /* for each of common.order */
};
int sl_logged_models_search(struct sl_record *record, const struct sl_logged_search *search, const int64_t *experiments,
	size_t experiment_count, struct sl_arena *arena, struct sl_search_page *ret, struct sl_error *err);

#endif
