/* Inside `export mlflow URL`: what its parts share.
 *
 *   our run  --tag sluice.run_id-->  a run there     tag sluice.exported = status and end, set last: it is whole
 *
 * Everything is sent so that sending it again changes nothing: parameters and points that are there already are no error for MLflow. */
#ifndef SL_OP_EXPORT_REMOTE_H
#define SL_OP_EXPORT_REMOTE_H

#include "base/map.h"
#include "op/remote.h"
#include "port/object.h"
#include "record/logged_model.h"
#include "record/run.h"

struct sl_export_count { int64_t experiments, runs, params, metrics, points, artifacts, logged_models, models, versions; };

struct sl_exporter {
	struct sl_record *record;
	struct sl_objects *objects;
	struct sl_remote *remote;
	struct sl_export_count here, there; /* what this store has; what the server said it has, or took */
	int64_t runs_new, runs_passed, refused;
	int64_t runs_total;
	int (*progress)(void *context, const struct sl_exporter *exporter);
	void (*news)(void *context, const char *text);
	void *context;
	struct sl_arena *arena;             /* of the whole export: the maps' texts */
	struct sl_map *runs, *models;       /* our id -> struct sl_export_there */
};
/* A run or logged model as the server knows it. */
struct sl_export_there { const char *id, *uri, *exported; };

/* All experiments that are not in the bin, or only those of the list. */
int sl_export_runs(struct sl_exporter *exporter, const char *const *names, size_t name_count, struct sl_error *err);
/* Behind the runs: the registry. */
int sl_export_registry(struct sl_exporter *exporter, struct sl_error *err);

/* ---- shared ---- */

/* POST of `body` to "/api/2.0/mlflow/<what>". */
int sl_export_post(struct sl_exporter *exporter, const char *what, struct sl_buf *body, yyjson_doc **ret, struct sl_error *err);
/* "name":"value" behind what is there. */
void sl_export_text(struct sl_buf *out, const char *name, const char *value);
/* "name":[{"key","value"}...] */
void sl_export_pairs(struct sl_buf *out, const char *name, const struct sl_pair *pairs, size_t count);
/* Every file below the artifact location `from` of this store to the location `to` there; one that is not behind that server's proxy is told. */
int sl_export_tree(struct sl_exporter *exporter, const char *from, const char *to, struct sl_error *err);
/* Logged models of an experiment; `id` is its number there. After its runs. */
int sl_export_models(struct sl_exporter *exporter, int64_t experiment, const char *id, struct sl_error *err);
#endif
