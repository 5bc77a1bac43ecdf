#include "record/search_rows.h"

#include <stdio.h>

struct finding {
	const struct sl_row_search *rows;
	const struct sl_search *search;
	struct sl_arena *arena;
	struct sl_order order[SL_ORDER_KEYS_MAX];
	size_t order_count;
	struct sl_sort sort;
	struct sl_place place;
};

static const struct sl_row_values *values_of(const struct finding *f, size_t key)
{
	static const struct sl_row_values none = {0};
	switch (f->order[key].entity) {
	case SL_ENTITY_METRIC: return f->rows->metrics ? &f->rows->metrics[key] : &f->rows->metric;
	case SL_ENTITY_PARAM: return &f->rows->param;
	case SL_ENTITY_TAG: return &f->rows->tag;
	default: return &none;
	}
}

static int read_order(struct finding *f, struct sl_error *err)
{
	const struct sl_search *search = f->search;
	int rc = sl_order_parse(search->order, search->order_count, f->rows->grammar, f->arena, f->order, err);
	f->order_count = search->order_count;
	for (size_t i = 0; !search->order_count && i < f->rows->default_count; i++)
		f->order[f->order_count++] = f->rows->default_order[i];
	return rc;
}

static int set_sort(struct finding *f, struct sl_error *err)
{
	f->sort = (struct sl_sort){.count = f->order_count, .last_sql = f->rows->last_sql, .id_sql = f->rows->id_sql,
		.last_descending = f->rows->last_descending};
	for (size_t i = 0; i < f->order_count; i++) {
		struct sl_sort_key *key = &f->sort.keys[i];
		key->descending = f->order[i].descending;
		bool attribute = f->order[i].entity == SL_ENTITY_ATTRIBUTE;
		if (attribute) {
			key->value_sql = f->rows->sort_columns[f->order[i].attribute];
			key->class_sql = f->rows->sort_classes ? f->rows->sort_classes[f->order[i].attribute] : NULL;
		}
		if (attribute && key->value_sql)
			continue;
		if (attribute || !values_of(f, i)->select)
			return sl_fail(err, SL_E_INVALID, "Invalid order_by: '%.250s' is nothing that this can be ordered by", f->order[i].key);
		key->value_sql = sl_arena_printf(f->arena, "o%zu.value", i);
		key->class_sql = sl_arena_printf(f->arena, "CASE WHEN o%zu.owner IS NULL THEN 2 WHEN o%zu.value IS NULL THEN 1 ELSE 0 END", i, i);
		if (!key->value_sql || !key->class_sql)
			return sl_fail_memory(err);
	}
	return 0;
}

static void add_joins(const struct finding *f, struct sl_select *sql)
{
	char text[160];
	for (size_t i = 0; i < f->order_count; i++) {
		const struct sl_row_values *values = values_of(f, i);
		if (f->order[i].entity == SL_ENTITY_ATTRIBUTE)
			continue;
		sl_select_add(sql, " LEFT JOIN (");
		sl_select_add(sql, values->select);
		sl_select_text(sql, f->order[i].key);
		snprintf(text, sizeof text, "%s) o%zu ON o%zu.owner = %s", values->group, i, i, values->link);
		sl_select_add(sql, text);
	}
}

static void write_query(const struct finding *f, const char *where, const struct sl_filter *filter, struct sl_select *sql)
{
	sl_select_add(sql, "SELECT ");
	sl_select_add(sql, f->rows->id_sql);
	sl_select_add(sql, ", ");
	sl_select_add(sql, f->rows->last_sql);
	for (size_t i = 0; i < f->sort.count; i++) {
		sl_select_add(sql, ", ");
		sl_select_add(sql, f->sort.keys[i].class_sql ? f->sort.keys[i].class_sql : "0");
		sl_select_add(sql, ", ");
		sl_select_add(sql, f->sort.keys[i].value_sql);
	}
	sl_select_add(sql, " FROM ");
	sl_select_add(sql, f->rows->from);
	add_joins(f, sql);
	sl_select_add(sql, " WHERE ");
	sl_select_add(sql, where);
	if (filter) {
		sl_select_add(sql, " AND ");
		sl_filter_sql(filter, f->rows->tables, sql);
	}
	sl_place_sql(&f->place, &f->sort, sql);
	sl_sort_sql(&f->sort, sql);
	sl_select_add(sql, " LIMIT ");
	sl_select_int(sql, f->search->max + 1);
}

enum { ROOM_AT_FIRST = 64 };

static int add_num(struct finding *f, int64_t num, size_t *room, struct sl_search_page *ret, struct sl_error *err)
{
	if (ret->count == *room) {
		size_t more = *room ? *room * 2 : ROOM_AT_FIRST;
		int64_t *nums = sl_arena_array(f->arena, more, sizeof *nums);
		if (!nums)
			return sl_fail_memory(err);
		for (size_t i = 0; i < ret->count; i++)
			nums[i] = ret->nums[i];
		ret->nums = nums;
		*room = more;
	}
	ret->nums[ret->count++] = num;
	return 0;
}

static int collect(struct finding *f, struct sl_stmt *row, struct sl_search_page *ret, struct sl_error *err)
{
	struct sl_place last = {0};
	size_t room = 0;
	int rc;
	while ((rc = sl_stmt_step(row, err)) == 1) {
		if ((int64_t)ret->count == f->search->max)
			return sl_place_write(&last, &f->sort, f->arena, &ret->token, err);
		rc = add_num(f, sl_stmt_int(row, 0), &room, ret, err);
		if (rc)
			return rc;
		if ((int64_t)ret->count == f->search->max)
			sl_place_fill(row, &f->sort, f->arena, &last);
	}
	return rc;
}

int sl_search_rows(struct sl_record *record, const struct sl_row_search *rows, const struct sl_search *search, const char *where,
	const struct sl_filter *filter, struct sl_arena *arena, struct sl_search_page *ret, struct sl_error *err)
{
	struct sl_select sql SL_CLEANUP(sl_select_done) = {0};
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	struct finding f = {.rows = rows, .search = search, .arena = arena};
	*ret = (struct sl_search_page){0};
	int rc = read_order(&f, err);
	if (!rc)
		rc = set_sort(&f, err);
	if (!rc && search->page_token)
		rc = sl_place_read(search->page_token, &f.sort, arena, &f.place, err);
	if (!rc)
		rc = sl_select_init(&sql, arena, err);
	if (rc)
		return rc;
	write_query(&f, where, filter, &sql);
	rc = sl_select_query(&sql, record->meta, &row, err);
	return rc ? rc : collect(&f, row, ret, err);
}
