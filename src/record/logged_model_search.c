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
#define METRIC "SELECT 1 FROM rec_model_metric WHERE model = m.id AND "
static const struct sl_filter_tables TABLES = {
	.attributes = COLUMNS,
	.metric = METRIC "name = ",
	.param = "SELECT 1 FROM reg_pair WHERE kind = 4 AND owner = m.num AND name = ",
	.tag = "SELECT 1 FROM reg_pair WHERE kind = 3 AND owner = m.num AND name = "};
/* The latest value of each model, as MLflow takes it. */
#define LATEST "SELECT owner, value FROM (SELECT model AS owner, value, row_number() OVER (PARTITION BY model ORDER BY time_ms DESC, step DESC, " \
	"run) AS place FROM rec_model_metric WHERE "
#define LATEST_END ") WHERE place = 1"
static const struct sl_row_search ROWS = {
	.grammar = &GRAMMAR, .tables = &TABLES, .sort_columns = COLUMNS, .from = "logged_model m",
	.metric = {LATEST "name = ", LATEST_END, "m.id"},
	.param = {"SELECT owner, value FROM reg_pair WHERE kind = 4 AND name = ", "", "m.num"},
	.tag = {"SELECT owner, value FROM reg_pair WHERE kind = 3 AND name = ", "", "m.num"},
	.last_sql = "m.created_ms", .id_sql = "m.num", .last_descending = true};

/* ---- only what was measured on some datasets ------------------------------------------------------------------------- */

static void add_literal(struct sl_buf *sql, const char *text)
{
	sl_buf_char(sql, '\'');
	for (; *text; text++) {
		if (*text == '\'')
			sl_buf_char(sql, '\'');
		sl_buf_char(sql, *text);
	}
	sl_buf_char(sql, '\'');
}

/* "(dataset_name = 'a' AND dataset_digest = 'b' OR ...)" */
static void add_datasets(struct sl_buf *sql, const struct sl_logged_dataset *datasets, size_t count)
{
	sl_buf_char(sql, '(');
	for (size_t i = 0; i < count; i++) {
		sl_buf_str(sql, i ? " OR dataset_name = " : "dataset_name = ");
		add_literal(sql, datasets[i].name);
		if (!datasets[i].digest)
			continue;
		sl_buf_str(sql, " AND dataset_digest = ");
		add_literal(sql, datasets[i].digest);
	}
	sl_buf_char(sql, ')');
}

/* "<before>(...) AND name = " in the arena; NULL: no memory, or longer than a statement may be. */
static const char *restricted(const char *before, const struct sl_logged_dataset *datasets, size_t count, struct sl_arena *arena)
{
	struct sl_buf sql SL_AUTO_BUF = SL_BUF_INIT(SL_SELECT_BYTES_MAX / 8);
	sl_buf_str(&sql, before);
	add_datasets(&sql, datasets, count);
	sl_buf_str(&sql, " AND name = ");
	return sql.failed ? NULL : sl_arena_strdup(arena, sl_buf_cstr(&sql));
}

static int set_order(const struct sl_logged_search *search, struct sl_row_search *rows, struct sl_arena *arena, struct sl_error *err)
{
	if (!search->order)
		return 0;
	struct sl_row_values *metrics = sl_arena_array(arena, search->common.order_count + 1, sizeof *metrics);
	if (!metrics)
		return sl_fail_memory(err);
	for (size_t i = 0; i < search->common.order_count; i++) {
		metrics[i] = ROWS.metric;
		if (search->order[i].name && !(metrics[i].select = restricted(LATEST, &search->order[i], 1, arena)))
			return sl_fail_memory(err);
	}
	rows->metrics = metrics;
	return 0;
}

static bool speaks_of_metrics(const struct sl_filter *filter)
{
	if (!filter || filter->type == SL_FILTER_COMPARE)
		return filter && filter->entity == SL_ENTITY_METRIC;
	bool any = false;
	for (const struct sl_filter *f = filter->first; f; f = f->next)
		any |= speaks_of_metrics(f);
	return any;
}

/* The filter's metrics are those of the datasets; a filter without any then asks for some metric of theirs. */
static int restrict_metrics(const struct sl_logged_search *search, const struct sl_filter *filter, struct sl_filter_tables *tables,
	struct sl_buf *where, struct sl_arena *arena, struct sl_error *err)
{
	if (!search->dataset_count)
		return 0;
	tables->metric = restricted(METRIC, search->datasets, search->dataset_count, arena);
	if (!speaks_of_metrics(filter)) {
		sl_buf_str(where, " AND EXISTS (" METRIC);
		add_datasets(where, search->datasets, search->dataset_count);
		sl_buf_char(where, ')');
	}
	return tables->metric ? 0 : sl_fail(err, SL_E_INVALID, "the names of the datasets are too long");
}

int sl_logged_models_search(struct sl_record *record, const struct sl_logged_search *search, const int64_t *experiments,
	size_t experiment_count, struct sl_arena *arena, struct sl_search_page *ret, struct sl_error *err)
{
	struct sl_filter *filter = NULL;
	struct sl_filter_tables tables = TABLES;
	struct sl_row_search rows = ROWS;
	struct sl_buf where SL_AUTO_BUF = SL_BUF_INIT(SL_SELECT_BYTES_MAX / 2);
	sl_buf_str(&where, "m.deleted = 0 AND m.experiment IN (");
	for (size_t i = 0; i < experiment_count; i++)
		sl_buf_printf(&where, "%s%" PRId64, i ? ", " : "", experiments[i]);
	sl_buf_char(&where, ')');
	rows.tables = &tables;
	int rc = search->common.filter ? sl_filter_parse(search->common.filter, &GRAMMAR, arena, &filter, err) : 0;
	rc = rc ? rc : restrict_metrics(search, filter, &tables, &where, arena, err);
	rc = rc ? rc : set_order(search, &rows, arena, err);
	rc = rc ? rc : sl_buf_check(&where, "the list of experiments", err);
	return rc ? rc : sl_search_rows(record, &rows, &search->common, sl_buf_cstr(&where), filter, arena, ret, err);
}
