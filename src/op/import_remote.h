/* Runs, models and artifacts of a running tracking server, over MLflow's REST protocol, into this store (record/import.h). */
#ifndef SL_OP_IMPORT_REMOTE_H
#define SL_OP_IMPORT_REMOTE_H

#include "op/remote.h"
#include "record/import.h"

/* All experiments with their runs (also those in the bin), histories, artifacts, dataset inputs, logged models and the registry. `tmp_dir` takes a
 * file at a time. */
int sl_import_remote(struct sl_import *import, struct sl_remote *remote, const char *tmp_dir, struct sl_error *err);

#endif
