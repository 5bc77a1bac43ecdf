/* Names and values as MLflow takes them (mlflow/utils/validation.py), with its texts. Lengths count characters, not bytes. */
#ifndef SL_RECORD_LIMITS_H
#define SL_RECORD_LIMITS_H

#include <stddef.h>

#include "base/error.h"
#include "base/mem.h"

enum {
	SL_REC_BATCH_METRICS = 1000,
	SL_REC_BATCH_PAIRS = 100,      /* parameters; tags */
	SL_REC_BATCH_ALL = 1000,
	SL_REC_KEY_MAX = 250,
	SL_REC_PARAM_MAX = 6000,       /* longer values are cut, as MLflow does */
	SL_REC_TAG_MAX = 8000,         /* likewise */
	SL_REC_EXPERIMENT_NAME_MAX = 500,
	SL_REC_EXPERIMENT_TAG_MAX = 20000,
	SL_REC_LOCATION_MAX = 2048,
	SL_REC_DATASET_NAME_MAX = 500,
	SL_REC_DATASET_DIGEST_MAX = 36,
	SL_REC_DATASET_SOURCE_MAX = 65535,
	SL_REC_DATASET_SCHEMA_MAX = 1048575,
	SL_REC_DATASET_PROFILE_MAX = 16777215,
	SL_REC_INPUT_TAG_KEY_MAX = 255,
	SL_REC_INPUT_TAG_VALUE_MAX = 500,
};

/* A name of a metric, parameter or tag: letters, digits, "_", "-", ".", " ", ":" and "/", and it stays itself as a path.
 * `path` names it in the error: "metrics[3].name". */
int sl_rec_check_key(const char *name, const char *path, struct sl_error *err);
/* "'<what>' exceeds the maximum length of <max> characters" */
int sl_rec_check_length(const char *text, size_t max, const char *what, struct sl_error *err);
/* `text`, or its first `max` characters in the arena; NULL when memory is out. */
const char *sl_rec_cut(const char *text, size_t max, struct sl_arena *arena);
/* Characters of UTF-8. */
size_t sl_rec_length(const char *text);
/* SL_E_INVALID "Invalid value <as JSON> for parameter '<path>' supplied: <why>". `why` may be NULL. */
int sl_rec_invalid(struct sl_error *err, const char *path, const char *value, const char *why);

#endif
