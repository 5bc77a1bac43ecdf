/* Model files on disk: which models a list of files and a folder of models hold, and in which versions. Nothing is opened but MLmodel
 * files; what the model files are is found when they are loaded.
 *
 *   FILE                       "churn.ubj" is the model "churn", version 1
 *   FOLDER/MLmodel             a model as MLflow saves it; version 1
 *   FOLDER/3/model.ubj         Triton's repository layout; every numbered folder is a version. config.pbtxt may stand beside them
 *
 * A folder of models holds any of these. Names that begin with a dot are passed over, as are files with other endings than those of
 * models; of two with one name the first (by bytes) counts. Links are followed: what stands in the folder is the operator's choice, and no name in a request ever becomes a path.
 */
#ifndef SL_SERVE_MODEL_FIND_H
#define SL_SERVE_MODEL_FIND_H

#include "base/mem.h"
#include "os/file.h"

enum { SL_MODELS_MAX = 10000, SL_MODEL_VERSIONS_MAX = 1000, SL_MODEL_NAME_MAX = 128 };

struct sl_model_file {
	const char *version; /* "3": digits */
	int64_t number;
	const char *path;
	const char *mlmodel; /* the MLmodel file that named it; NULL: none */
	uint64_t size_bytes, inode;
	int64_t mtime_ns;
};

struct sl_model_found {
	const char *name;    /* letters, digits, '_', '-', '.'; at most SL_MODEL_NAME_MAX */
	const char *config;  /* config.pbtxt; NULL: none */
	int64_t config_mtime_ns;
	bool listed;         /* one of `files` */
	struct sl_model_file *versions; /* rising; NULL when `problem` is set */
	size_t version_count;
	const char *problem; /* why it cannot be served; NULL: no reason yet */
};

struct sl_models_found {
	struct sl_model_found *models; /* sorted by name */
	size_t count;
};

/* `dir` NULL: no folder of models. Everything lives in `arena`. A file of the list that does not exist, has a name that no model may
 * have, or comes twice fails the call; in the folder it is that model's `problem`. */
int sl_models_find(const char *const *files, size_t file_count, const char *dir, struct sl_arena *arena,
		   struct sl_models_found *ret, struct sl_error *err);

#endif
