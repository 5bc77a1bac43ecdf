/* Searching logged models. */
#include <inttypes.h>
#include <stdio.h>

#include "record/logged_model.h"
#include "record/search_rows.h"

enum { NAME, MODEL_ID, MODEL_TYPE, STATUS, SOURCE_RUN_ID, CREATED, UPDATED, EXPERIMENT };

static const struct sl_filter_attribute ATTRIBUTES[] = {
	{"name", NAME, false}, {"model_id", MODEL_ID, false}, {"model_type", MODEL_TYPE, false}, {"status", STATUS, false},
	{"source_run_id", SOURCE_RUN_ID, false}, {"creation_timestamp", CREATED, true}, {"creation_time", CREATED, true},
	{"last_updated_timestamp", UPDATED, true}, {"last_updated_time", UPDATED, true}, {"experiment_id", EXPERIMENT, false}, {0}};
static const struct sl_filter_grammar GRAMMAR = {
	.attributes = ATTRIBUTES, .entities = 1u << SL_ENTITY_METRIC | 1u << SL_ENTITY_PARAM | 1u << SL_ENTITY_TAG};
/* A status is stored as protobuf names it, and asked for by its short name. */
static const char *const COLUMNS[] = {"m.name", "m.id", "m.model_type", "substr(m.status, 14)", "m.run", "m.created_ms", "m.updated_ms",
	"CAST(m.experiment AS TEXT)"};
static const struct sl_filter_tables TABLES = {
	.attributes = COLUMNS,
	.metric = "SELECT 1 FROM rec_model_metric WHERE model = m.id AND name = ",
	.param = "SELECT 1 FROM reg_pair WHERE kind = 4 AND owner = m.num AND name = ",
	.tag = "SELECT 1 FROM reg_pair WHERE kind = 3 AND owner = m.num AND name = "};
static const struct sl_row_search ROWS = {
	.grammar = &GRAMMAR, .tables = &TABLES, .sort_columns = COLUMNS, .from = "logged_model m",
	.metric = {"SELECT model AS owner, max(value) AS value FROM rec_model_metric WHERE name = ", " GROUP BY model", "m.id"},
	.param = {"SELECT owner, value FROM reg_pair WHERE kind = 4 AND name = ", "", "m.num"},
	.tag = {"SELECT owner, value FROM reg_pair WHERE kind = 3 AND name = ", "", "m.num"},
	.last_sql = "m.created_ms", .id_sql = "m.num", .last_descending = true};

int sl_logged_models_search(struct sl_record *record, const struct sl_search *search, const int64_t *experiments,
	size_t experiment_count, struct sl_arena *arena, struct sl_search_page *ret, struct sl_error *err)
{
	struct sl_filter *filter = NULL;
	struct sl_buf where SL_AUTO_BUF = SL_BUF_INIT(SL_SELECT_BYTES_MAX / 2);
	sl_buf_str(&where, "m.deleted = 0 AND m.experiment IN (");
	for (size_t i = 0; i < experiment_count; i++)
		sl_buf_printf(&where, "%s%" PRId64, i ? ", " : "", experiments[i]);
	sl_buf_char(&where, ')');
	int rc = sl_buf_check(&where, "the list of experiments", err);
	if (!rc && search->filter)
		rc = sl_filter_parse(search->filter, &GRAMMAR, arena, &filter, err);
	return rc ? rc : sl_search_rows(record, &ROWS, search, sl_buf_cstr(&where), filter, arena, ret, err);
}
