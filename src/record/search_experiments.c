/* Searching experiments: there are thousands at most, so all are looked at. */
#include <string.h>

#include "record/search.h"
#include "record/search_page.h"

enum { NAME, EXPERIMENT_ID, CREATION_TIME, LAST_UPDATE_TIME };

static const struct sl_filter_attribute ATTRIBUTES[] = {
	{"name", NAME, false}, {"experiment_id", EXPERIMENT_ID, false}, {"creation_time", CREATION_TIME, true},
	{"last_update_time", LAST_UPDATE_TIME, true}, {0}};
static const struct sl_filter_grammar GRAMMAR = {.attributes = ATTRIBUTES, .entities = 1u << SL_ENTITY_TAG};
static const char *const COLUMNS[] = {"e.name", "CAST(e.id AS TEXT)", "e.created_ms", "e.updated_ms"};
static const char *const SORT_COLUMNS[] = {"e.name", "e.id", "e.created_ms", "e.updated_ms"};
static const struct sl_filter_tables TABLES = {
	.attributes = COLUMNS, .tag = "SELECT 1 FROM experiment_tag WHERE experiment = e.id AND name = "};

/* The default: the newest first, then by id. */
static int set_sort(const struct sl_order *order, size_t count, struct sl_sort *ret, struct sl_error *err)
{
	*ret = (struct sl_sort){.last_sql = "e.created_ms", .id_sql = "e.id", .last_descending = true, .count = count};
	for (size_t i = 0; i < count; i++) {
		if (order[i].entity != SL_ENTITY_ATTRIBUTE)
			return sl_fail(err, SL_E_INVALID, "Invalid order_by entity: tag");
		ret->keys[i] = (struct sl_sort_key){NULL, SORT_COLUMNS[order[i].attribute], order[i].descending};
	}
	return 0;
}

static void write_query(const struct sl_search *search, const struct sl_filter *filter, const struct sl_sort *sort,
	const struct sl_place *place, struct sl_select *sql)
{
	sl_select_add(sql, "SELECT e.id, e.created_ms");
	for (size_t i = 0; i < sort->count; i++) {
		sl_select_add(sql, ", 0, ");
		sl_select_add(sql, sort->keys[i].value_sql);
	}
	sl_select_add(sql, search->view == SL_REC_ALL ? " FROM experiment e WHERE e.deleted >= 0"
		: search->view == SL_REC_ACTIVE ? " FROM experiment e WHERE e.deleted = 0" : " FROM experiment e WHERE e.deleted = 1");
	if (filter) {
		sl_select_add(sql, " AND ");
		sl_filter_sql(filter, &TABLES, sql);
	}
	sl_place_sql(place, sort, sql);
	sl_sort_sql(sort, sql);
	sl_select_add(sql, " LIMIT ");
	sl_select_int(sql, search->max + 1);
}

static int find(struct sl_record *record, struct sl_select *sql, const struct sl_sort *sort, int64_t max, struct sl_arena *arena,
	struct sl_search_page *ret, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	struct sl_place last;
	int rc = sl_select_query(sql, record->meta, &stmt, err);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		if ((int64_t)ret->count == max)
			return sl_place_write(&last, sort, arena, &ret->token, err);
		ret->nums[ret->count++] = sl_stmt_int(stmt, 0);
		if ((int64_t)ret->count == max)
			sl_place_fill(stmt, sort, arena, &last);
		rc = 0;
	}
	return rc;
}

int sl_rec_search_experiments(struct sl_record *record, const struct sl_search *search, struct sl_arena *arena,
	struct sl_search_page *ret, struct sl_error *err)
{
	struct sl_order order[SL_ORDER_KEYS_MAX];
	struct sl_select sql SL_CLEANUP(sl_select_done) = {0};
	struct sl_filter *filter = NULL;
	struct sl_sort sort;
	struct sl_place place = {0};
	int64_t all;
	*ret = (struct sl_search_page){0};
	int rc = search->filter ? sl_filter_parse(search->filter, &GRAMMAR, arena, &filter, err) : 0;
	if (!rc)
		rc = sl_order_parse(search->order, search->order_count, &GRAMMAR, arena, order, err);
	if (!rc)
		rc = set_sort(order, search->order_count, &sort, err);
	if (!rc && search->page_token)
		rc = sl_place_read(search->page_token, &sort, arena, &place, err);
	if (!rc)
		rc = sl_select_init(&sql, arena, err);
	if (!rc)
		rc = sl_meta_int(record->meta, 0, &all, err, "SELECT count(*) FROM experiment", NULL);
	if (rc)
		return rc;
	ret->nums = sl_arena_array(arena, (size_t)(all < search->max ? all : search->max) + 1, sizeof *ret->nums);
	if (!ret->nums)
		return sl_fail_memory(err);
	write_query(search, filter, &sort, &place, &sql);
	return find(record, &sql, &sort, search->max, arena, ret, err);
}
