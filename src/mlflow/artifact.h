/* What the routes of artifacts share: whose they are, and where. */
#ifndef SL_MLFLOW_ARTIFACT_H
#define SL_MLFLOW_ARTIFACT_H

#include "mlflow/call.h"
#include "record/artifact.h"

/* `path` below the artifact location `uri`, in the arena; checked. SL_E_INVALID when the location is not behind this server's proxy:
 * its clients go there by themselves, and the server never does. */
int sl_ml_artifact_below(struct sl_ml_call *call, const char *uri, const char *path, const char **ret, struct sl_error *err);
/* The arguments run_id (or run_uuid) and path. */
int sl_ml_artifact_of_run(struct sl_ml_call *call, const char **ret, struct sl_error *err);
/* "files":[{"path","is_dir","file_size"}...] of what is directly in `folder`; a path is `prefix` ("" or with its "/") and the name. */
int sl_ml_put_artifacts(struct sl_ml_call *call, const char *folder, const char *prefix, struct sl_error *err);

#endif
