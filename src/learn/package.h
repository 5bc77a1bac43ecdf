/* A model package: everything that serving and watching need of a model, as one canonical manifest (docs/formats/model.md,
 * "sluice.model/1") whose hash is the model's identity, over two more objects: the model file and its reference statistics. */
#ifndef SL_LEARN_PACKAGE_H
#define SL_LEARN_PACKAGE_H

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "learn/encode.h"
#include "learn/reference.h"
#include "port/infer.h"
#include "port/object.h"
#include "project/lookup.h"

enum { SL_FEATURES_MAX = 10000, SL_CLASSES_MAX = 1000, SL_PACKAGE_MAX_BYTES = 256 << 20 };

enum sl_task { SL_TASK_BINARY, SL_TASK_MULTICLASS, SL_TASK_REGRESSION };
const char *sl_task_name(enum sl_task task); /* "binary", "multiclass", "regression" */

struct sl_package {
	struct sl_hash hash;   /* of the manifest; zero for a draft */
	const char *algorithm; /* "xgboost" */
	const char *format;    /* of the model file, as port/infer.h names it: "xgboost-ubj" */
	struct sl_hash model;  /* object: the model file */
	uint64_t model_bytes;
	struct sl_hash reference; /* object: sluice.reference/1 */
	enum sl_task task;
	const char *target;
	struct sl_feature *features; /* in the order of the model's columns */
	size_t feature_count;
	const char *output;   /* "probability" (of classes[1]), "probabilities" (one per class), "prediction" */
	size_t output_count;  /* values per row: 1, or class_count when multiclass */
	const char **classes; /* the target's values: binary 2, multiclass class_count; regression none */
	size_t class_count;
	bool classes_are_text; /* else they are numbers or truth values and print without quotes */
	double threshold;      /* binary: probability from which an answer counts as classes[1] */
	struct sl_lookup *lookups; /* joined on the way to its training data; none have the same dataset and key */
	size_t lookup_count;
	const char *training;  /* canonical JSON: library, options, rounds, rows, seed, metrics */
};

/* Appends the manifest: canonical JSON, so that equal packages have equal hashes. `hash` is not looked at. */
int sl_package_write(const struct sl_package *package, struct sl_buf *out, struct sl_error *err);
/* Turns the folder that sl_learn_train left into objects; *ret is the package's hash. The folder's files may be moved away. */
int sl_package_keep(struct sl_objects *objects, const char *dir, struct sl_hash *ret, struct sl_error *err);
/* Reads and checks the manifest (hostile until checked); everything lives in `arena`. */
int sl_package_read(struct sl_objects *objects, const struct sl_hash *hash, struct sl_arena *arena, struct sl_package *ret,
		    struct sl_error *err);
/* The same from the manifest's bytes. */
int sl_package_parse(const char *text, size_t len, struct sl_arena *arena, struct sl_package *ret, struct sl_error *err);
/* The same from the draft in a training step's folder, before it is kept. */
int sl_package_read_draft(const char *dir, struct sl_arena *arena, struct sl_package *ret, struct sl_error *err);

/* Loads the package's model and checks that its columns and outputs are the manifest's. `dir` NULL: out of `objects`; else out of
 * a draft's folder. */
int sl_package_load(struct sl_objects *objects, const char *dir, const struct sl_package *package, struct sl_infer **ret,
		    struct sl_error *err);
/* Its reference statistics; SL_E_CORRUPT when their columns are not the package's. */
int sl_package_reference(struct sl_objects *objects, const struct sl_package *package, struct sl_arena *arena,
			 struct sl_reference *ret, struct sl_error *err);

#endif
