/* What a run read and made, as clients say it: datasets with a context ("train"), logged models in and out. A dataset is known by
 * name and digest within its experiment, and kept once. */
#ifndef SL_RECORD_INPUT_H
#define SL_RECORD_INPUT_H

#include "record/run.h"

struct sl_rec_dataset {
	const char *name, *digest, *source_type, *source, *schema, *profile; /* the last two may be NULL */
	const char *context;             /* the tag mlflow.data.context, or "" */
	const struct sl_pair *tags;      /* all of them */
	size_t tag_count;
	const char *tags_json;           /* when read: [{"key","value"}...] */
};
struct sl_rec_model { const char *id; int64_t step; };

/* A dataset that the run has already is left as it is. */
int sl_rec_log_inputs(struct sl_record *record, const struct sl_rec_run *run, const struct sl_rec_dataset *datasets, size_t count,
	const struct sl_rec_model *models, size_t model_count, const struct sl_change *change, struct sl_error *err);
int sl_rec_log_outputs(struct sl_record *record, const struct sl_rec_run *run, const struct sl_rec_model *models, size_t count,
	const struct sl_change *change, struct sl_error *err);

/* Calls `each` for every one; its texts live during the call. A negative answer of `each` ends it and is returned. */
typedef int sl_rec_dataset_fn(void *context, const struct sl_rec_dataset *dataset, struct sl_error *err);
int sl_rec_inputs(struct sl_record *record, int64_t run, sl_rec_dataset_fn *each, void *context, struct sl_error *err);
/* The datasets that runs of the experiment read, each with each context in which they did; name, digest and context only. At most `max`. */
int sl_rec_dataset_summaries(struct sl_record *record, int64_t experiment, int64_t max, sl_rec_dataset_fn *each, void *context,
	struct sl_error *err);
typedef int sl_rec_model_fn(void *context, const struct sl_rec_model *model, struct sl_error *err);
int sl_rec_models(struct sl_record *record, int64_t run, bool outputs, sl_rec_model_fn *each, void *context, struct sl_error *err);

#endif
