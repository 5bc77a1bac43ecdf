/* The registry of MLflow's clients: registered models with numbered versions, stages and aliases. A version names a source (a logged model, a
 * run's artifacts, another version, an address elsewhere); its files are never opened here.
 *
 * Prompts are registered models with the tag mlflow.prompt.is_prompt; a search shows them only when it asks for them. */
#ifndef SL_RECORD_REGISTRY_H
#define SL_RECORD_REGISTRY_H

#include "record/logged_model.h"
#include "record/pair.h"
#include "record/search.h"

enum { SL_REG_NAME_MAX = 256, SL_REG_ALIAS_MAX = 255, SL_REG_SOURCE_MAX = 2048, SL_REG_VERSIONS_PAGE_MAX = 200000, SL_REG_MODELS_PAGE_MAX = 1000 };

/* Texts in the arena that was given. */
struct sl_reg_model { int64_t num, created_ms, updated_ms; const char *name, *description; };
struct sl_reg_version {
	int64_t num, model_num, version, created_ms, updated_ms;
	const char *model, *stage, *description, *source, *storage, *run, *run_link, *logged_model; /* "" when there is none */
};

/* ---- registered models ---- */

/* SL_E_CONFLICT "Registered Model (name=...) already exists." */
int sl_reg_model_create(struct sl_record *record, const char *name, const char *description, const struct sl_pair *tags, size_t tag_count,
	const struct sl_change *change, struct sl_arena *arena, struct sl_reg_model *ret, struct sl_error *err);
/* SL_E_NOT_FOUND "Registered Model with name=... not found" */
int sl_reg_model_get(struct sl_record *record, const char *name, struct sl_arena *arena, struct sl_reg_model *ret, struct sl_error *err);
int sl_reg_model_at(struct sl_record *record, int64_t num, struct sl_arena *arena, struct sl_reg_model *ret, struct sl_error *err);
int sl_reg_model_rename(struct sl_record *record, struct sl_reg_model *model, const char *name, const struct sl_change *change,
	struct sl_error *err);
int sl_reg_model_describe(struct sl_record *record, struct sl_reg_model *model, const char *description, const struct sl_change *change,
	struct sl_error *err);
/* With all versions, tags and aliases. */
int sl_reg_model_delete(struct sl_record *record, const struct sl_reg_model *model, const struct sl_change *change, struct sl_error *err);
/* value NULL: removes it; one that is not there is fine. */
int sl_reg_model_set_tag(struct sl_record *record, const struct sl_reg_model *model, const char *name, const char *value,
	const struct sl_change *change, struct sl_error *err);
/* version NULL: removes the alias. "latest" and "v1" are reserved. */
int sl_reg_alias_set(struct sl_record *record, const struct sl_reg_model *model, const char *alias, const struct sl_reg_version *version,
	const struct sl_change *change, struct sl_error *err);
/* The version behind an alias; "latest" is the newest. SL_E_INVALID "Registered model alias ... not found." */
int sl_reg_alias_get(struct sl_record *record, const struct sl_reg_model *model, const char *alias, struct sl_arena *arena,
	struct sl_reg_version *ret, struct sl_error *err);
typedef int sl_reg_alias_fn(void *context, const char *alias, int64_t version);
int sl_reg_aliases(struct sl_record *record, int64_t model, sl_reg_alias_fn *each, void *context, struct sl_error *err);

/* ---- versions ---- */

struct sl_reg_version_new {
	const char *source, *description, *run, *run_link, *logged_model; /* NULL: none */
	const struct sl_pair *tags;
	size_t tag_count;
};
/* The next number, also over deleted ones. SL_E_INVALID for a source that could lead out of what its run or logged model owns. The logged model
 * gets to know its versions (tag mlflow.modelVersions). */
int sl_reg_version_create(struct sl_record *record, const struct sl_reg_model *model, const struct sl_reg_version_new *new,
	const struct sl_change *change, struct sl_arena *arena, struct sl_reg_version *ret, struct sl_error *err);
/* SL_E_NOT_FOUND "Model Version (name=..., version=...) not found" */
int sl_reg_version_get(struct sl_record *record, const char *name, const char *version, struct sl_arena *arena, struct sl_reg_version *ret,
	struct sl_error *err);
int sl_reg_version_at(struct sl_record *record, int64_t num, struct sl_arena *arena, struct sl_reg_version *ret, struct sl_error *err);
int sl_reg_version_describe(struct sl_record *record, struct sl_reg_version *version, const char *description,
	const struct sl_change *change, struct sl_error *err);
/* To None, Staging, Production or Archived (any case); with `archive` the others of that stage go to Archived. */
int sl_reg_version_transition(struct sl_record *record, struct sl_reg_version *version, const char *stage, bool archive,
	const struct sl_change *change, struct sl_error *err);
int sl_reg_version_delete(struct sl_record *record, const struct sl_reg_version *version, const struct sl_change *change,
	struct sl_error *err);
int sl_reg_version_set_tag(struct sl_record *record, const struct sl_reg_version *version, const char *name, const char *value,
	const struct sl_change *change, struct sl_error *err);
/* Numbers (sl_reg_version_at) of the newest version of each stage, in the arena. */
enum { SL_REG_STAGES = 4 };
int sl_reg_latest(struct sl_record *record, const struct sl_reg_model *model, int64_t ret[SL_REG_STAGES], size_t *ret_count,
	struct sl_error *err);
/* "staging" to "Staging"; NULL with SL_E_INVALID in err. */
const char *sl_reg_stage(const char *stage, struct sl_error *err);

/* ---- search ---- */

/* Numbers of registered models, by name by default. */
int sl_reg_models_search(struct sl_record *record, const struct sl_search *search, struct sl_arena *arena, struct sl_search_page *ret,
	struct sl_error *err);
/* Numbers of versions, by default the last changed first. */
int sl_reg_versions_search(struct sl_record *record, const struct sl_search *search, struct sl_arena *arena, struct sl_search_page *ret,
	struct sl_error *err);

#endif
