/* Inside `import mlflow URL`: logged models and the registry, and what its files share. */
#ifndef SL_OP_IMPORT_REMOTE_MODELS_H
#define SL_OP_IMPORT_REMOTE_MODELS_H

#include "op/import_remote.h"
#include "os/file.h"

struct sl_remote_reader {
	struct sl_import *import;
	struct sl_remote *remote;
	struct sl_experiment experiment; /* the one under way; its texts live as long as that */
	char dir[SL_PATH_MAX];
};

/* A tree of artifacts over there: addresses to which a path is appended, and where it goes here. */
struct sl_remote_tree { const char *list, *file, *uri; };
int sl_remote_tree_fetch(struct sl_remote_reader *r, const struct sl_remote_tree *tree, const char *folder, int depth, struct sl_error *err);

/* Of the experiment `id` over there. A server of before MLflow 3 has none. */
int sl_import_remote_models(struct sl_remote_reader *r, const char *id, struct sl_error *err);
int sl_import_remote_registry(struct sl_remote_reader *r, struct sl_error *err);

#endif
