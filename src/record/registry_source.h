/* Inside the registry: where a version's files are, and that it may say so. */
#ifndef SL_RECORD_REGISTRY_SOURCE_H
#define SL_RECORD_REGISTRY_SOURCE_H

#include "record/record.h"

struct sl_reg_source {
	const char *source;                /* in: as it was given; out: the same, or "models:/NAME/N" for an alias or stage */
	const char *storage;               /* out: the location itself */
	const char *run, *logged_model;    /* in: as they were given, NULL: not at all; out: also what the source implies */
};
/* A source is "models:/m-..." (then it must be the logged model's), "models:/NAME/VERSION", "runs:/ID/...", a location behind this server's proxy
 * or on a local disk (then inside the artifacts of the run or logged model), or an address elsewhere, of which nothing is fetched here. ".." in
 * any spelling is refused. SL_E_INVALID, SL_E_NOT_FOUND. */
int sl_reg_source_resolve(struct sl_record *record, struct sl_reg_source *source, struct sl_arena *arena, struct sl_error *err);
/* A prompt has no files: only MLflow's placeholders are taken. */
int sl_reg_source_of_prompt(const char *source, struct sl_error *err);

#endif
