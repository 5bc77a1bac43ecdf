/* Searching the registry. A prompt is hidden unless the filter speaks of prompts. */
#include <string.h>
#include <strings.h>

#include "record/registry.h"
#include "record/search_rows.h"

static const char PROMPT_TAG[] = "mlflow.prompt.is_prompt";
#define IS_PROMPT(kind, owner) \
	"(SELECT count(*) FROM reg_pair WHERE kind = " kind " AND owner = " owner " AND name = 'mlflow.prompt.is_prompt' AND value = 'true')"

/* ---- registered models ---------------------------------------------------------------------------------------------- */

enum { MODEL_NAME, MODEL_CREATED, MODEL_UPDATED, MODEL_IS_PROMPT };
static const struct sl_filter_attribute MODEL_ATTRIBUTES[] = {
	{"name", MODEL_NAME, false}, {"creation_timestamp", MODEL_CREATED, true}, {"last_updated_timestamp", MODEL_UPDATED, true},
	{"timestamp", MODEL_UPDATED, true}, {0}};
static const struct sl_filter_grammar MODEL_GRAMMAR = {.attributes = MODEL_ATTRIBUTES, .entities = 1u << SL_ENTITY_TAG};
static const char *const MODEL_COLUMNS[] = {"m.name", "m.created_ms", "m.updated_ms", IS_PROMPT("1", "m.num")};
static const struct sl_filter_tables MODEL_TABLES = {
	.attributes = MODEL_COLUMNS, .tag = "SELECT 1 FROM reg_pair WHERE kind = 1 AND owner = m.num AND name = "};
static const struct sl_row_search MODEL_ROWS = {
	.grammar = &MODEL_GRAMMAR, .tables = &MODEL_TABLES, .sort_columns = MODEL_COLUMNS, .from = "reg_model m",
	.last_sql = "m.created_ms", .id_sql = "m.num", .default_order = {{.attribute = MODEL_NAME}}, .default_count = 1};

/* ---- versions ------------------------------------------------------------------------------------------------------- */

enum { NAME, VERSION, RUN_ID, SOURCE_PATH, CREATED, UPDATED, STAGE, VERSION_IS_PROMPT };
static const struct sl_filter_attribute ATTRIBUTES[] = {
	{"name", NAME, false}, {"version_number", VERSION, true}, {"run_id", RUN_ID, false}, {"source_path", SOURCE_PATH, false},
	{"creation_timestamp", CREATED, true}, {"last_updated_timestamp", UPDATED, true}, {"current_stage", STAGE, false}, {0}};
static const struct sl_filter_grammar GRAMMAR = {.attributes = ATTRIBUTES, .entities = 1u << SL_ENTITY_TAG};
static const char *const COLUMNS[] = {"m.name", "v.version", "v.run", "v.source", "v.created_ms", "v.updated_ms", "v.stage",
	IS_PROMPT("2", "v.num")};
static const struct sl_filter_tables TABLES = {
	.attributes = COLUMNS, .tag = "SELECT 1 FROM reg_pair WHERE kind = 2 AND owner = v.num AND name = "};
static const struct sl_row_search ROWS = {
	.grammar = &GRAMMAR, .tables = &TABLES, .sort_columns = COLUMNS,
	.from = "reg_version v JOIN reg_model m ON m.num = v.model",
	.last_sql = "v.created_ms", .id_sql = "v.num", .last_descending = true,
	.default_order = {{.attribute = UPDATED, .descending = true, .numeric = true}, {.attribute = NAME}}, .default_count = 2};

/* ---- prompts -------------------------------------------------------------------------------------------------------- */

/* "is_prompt != 'true'" and "= 'false'" also mean what has no such tag: they become "is_prompt = 0". Returns whether the filter speaks of
 * prompts at all. */
static bool see_prompts(struct sl_filter *filter, int is_prompt)
{
	bool seen = false;
	if (filter->type != SL_FILTER_COMPARE) {
		for (struct sl_filter *child = filter->first; child; child = child->next)
			seen |= see_prompts(child, is_prompt);
		return seen;
	}
	if (filter->entity != SL_ENTITY_TAG || strcmp(filter->key, PROMPT_TAG) != 0)
		return false;
	bool no = filter->text && ((filter->op == SL_OP_NE && strcasecmp(filter->text, "true") == 0) ||
		(filter->op == SL_OP_EQ && strcasecmp(filter->text, "false") == 0));
	if (no) {
		filter->entity = SL_ENTITY_ATTRIBUTE;
		filter->attribute = is_prompt;
		filter->op = SL_OP_EQ;
		filter->numeric = true;
		filter->number = 0;
	}
	return true;
}

int sl_reg_models_search(struct sl_record *record, const struct sl_search *search, struct sl_arena *arena, struct sl_search_page *ret,
	struct sl_error *err)
{
	struct sl_filter *filter = NULL;
	int rc = search->filter ? sl_filter_parse(search->filter, &MODEL_GRAMMAR, arena, &filter, err) : 0;
	bool asked = !rc && filter && see_prompts(filter, MODEL_IS_PROMPT);
	return rc ? rc : sl_search_rows(record, &MODEL_ROWS, search, asked ? "1" : IS_PROMPT("1", "m.num") " = 0", filter, arena, ret, err);
}

int sl_reg_versions_search(struct sl_record *record, const struct sl_search *search, struct sl_arena *arena, struct sl_search_page *ret,
	struct sl_error *err)
{
	struct sl_filter *filter = NULL;
	int rc = search->filter ? sl_filter_parse(search->filter, &GRAMMAR, arena, &filter, err) : 0;
	bool asked = !rc && filter && see_prompts(filter, VERSION_IS_PROMPT);
	return rc ? rc : sl_search_rows(record, &ROWS, search, asked ? "v.deleted = 0" : "v.deleted = 0 AND " IS_PROMPT("2", "v.num") " = 0",
		filter, arena, ret, err);
}
