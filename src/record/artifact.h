/* Artifacts by name: a tree of files and folders whose bytes are objects of the store, so that the same file is kept once however
 * often it is logged. Paths are those behind "mlflow-artifacts:/": "1/<run>/artifacts/plots/roc.png".
 */
#ifndef SL_RECORD_ARTIFACT_H
#define SL_RECORD_ARTIFACT_H

#include "base/hash.h"
#include "record/record.h"

enum { SL_ARTIFACT_PATH_MAX = 1024, SL_ARTIFACT_DEPTH_MAX = 64 };

/* SL_E_INVALID "Invalid path" unless `path` is relative and stays inside, also for a reader who decodes %-escapes once more, takes "\"
 * for "/", or takes it for a URI: no "..", no "#", no leading "/", no drive, no control byte. "" is the top. */
int sl_artifact_check_path(const char *path, struct sl_error *err);
/* The path of an artifact location "mlflow-artifacts:/1/x" or "mlflow-artifacts://host/1/x"; NULL for one that is kept elsewhere. */
const char *sl_artifact_path_of(const char *uri);

struct sl_artifact {
	const char *name; /* the last part of its path */
	bool is_folder;
	uint64_t size_bytes;
	struct sl_hash hash; /* of a file */
};
/* SL_E_NOT_FOUND "No such artifact: '<path>'". `ret->name` points into `path`. */
int sl_artifact_find(struct sl_record *record, const char *path, struct sl_artifact *ret, struct sl_error *err);
/* The direct content of a folder in order of its names, behind `after` ("": from the first), at most `limit`. Nothing for a file or what
 * is not there. */
typedef int sl_artifact_fn(void *context, const struct sl_artifact *artifact);
int sl_artifact_each(struct sl_record *record, const char *folder, const char *after, int64_t limit, sl_artifact_fn *each,
	void *context, struct sl_error *err);

/* Names the object (which must be in the store), in place of a file that was there; makes the folders above it. SL_E_INVALID when a
 * folder has that name or a file stands where a folder is needed. Ledger "artifact.put". */
int sl_artifact_put(struct sl_record *record, const char *path, const struct sl_hash *hash, uint64_t size_bytes, struct sl_error *err);
/* The same without an entry, for what the caller's own entry covers. */
int sl_artifact_name(struct sl_record *record, const char *path, const struct sl_hash *hash, uint64_t size_bytes, struct sl_error *err);
/* A file, or a folder with all in it. What is not there is fine. Ledger "artifact.delete". The bytes stay until `sluice gc`. */
int sl_artifact_delete(struct sl_record *record, const char *path, struct sl_error *err);

#endif
