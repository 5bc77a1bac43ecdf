/* Searching runs. */
#include "record/search.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "record/search_page.h"

enum {
	FEW = 500,           /* candidates of a clause that are worth looking at one by one */
	WALKS_MAX = 8,       /* experiments whose indexes are walked one after the other and merged */
};
enum { RUN_ID, RUN_NAME, USER_ID, STATUS, ARTIFACT_URI, START_TIME, END_TIME };

static const struct sl_filter_attribute ATTRIBUTES[] = {
	{"run_id", RUN_ID, false}, {"run_name", RUN_NAME, false}, {"user_id", USER_ID, false}, {"status", STATUS, false},
	{"artifact_uri", ARTIFACT_URI, false}, {"start_time", START_TIME, true}, {"end_time", END_TIME, true},
	{"created", START_TIME, true}, {"Created", START_TIME, true}, {"run name", RUN_NAME, false}, {"Run name", RUN_NAME, false},
	{"Run Name", RUN_NAME, false}, {0}};
static const struct sl_filter_grammar GRAMMAR = {.attributes = ATTRIBUTES,
	.entities = 1u << SL_ENTITY_METRIC | 1u << SL_ENTITY_PARAM | 1u << SL_ENTITY_TAG | 1u << SL_ENTITY_DATASET};
static const char *const COLUMNS[] = {
	[RUN_ID] = "r.id", [RUN_NAME] = "r.name", [USER_ID] = "r.user_name", [STATUS] = "r.status",
	[ARTIFACT_URI] = "r.artifact_uri", [START_TIME] = "r.started_ms", [END_TIME] = "r.ended_ms"};
static const char *const DATASET_COLUMNS[] = {"d.name", "d.digest", "i.context"};

/* Clients write run ids in hex. */
static const char *stored(struct sl_arena *arena, int attribute, const char *text)
{
	struct sl_id id;
	return attribute == RUN_ID && sl_id_parse_hex(text, &id) ? sl_arena_strdup(arena, id.text) : text;
}

#define TABLES_OF(run) { \
	.attributes = COLUMNS, \
	.metric = "SELECT 1 FROM rec_series WHERE run = " run " AND name = ", \
	.param = "SELECT 1 FROM rec_param WHERE run = " run " AND name = ", \
	.tag = "SELECT 1 FROM rec_tag WHERE run = " run " AND name = ", \
	.dataset = "SELECT 1 FROM rec_input i JOIN rec_dataset d ON d.id = i.dataset WHERE i.run = " run, \
	.datasets = DATASET_COLUMNS, \
	.stored = stored, \
}
static const struct sl_filter_tables TABLES = TABLES_OF("r.num");
/* On a walk along a metric: what the filter drops does not cost the look-up of its run. */
static const struct sl_filter_tables TABLES_OF_SERIES = TABLES_OF("s.run");

struct finder {
	struct sl_record *record;
	const struct sl_search *search;
	const int64_t *experiments;
	size_t experiment_count;
	struct sl_arena *arena;
	struct sl_filter *filter;
	struct sl_order order[SL_ORDER_KEYS_MAX];
	struct sl_sort sort;
	struct sl_place place;
	struct sl_error *err;
};

/* ---- pieces of SQL -------------------------------------------------------------------------------------------------- */

static void add_experiments(const struct finder *f, struct sl_select *sql, const char *column)
{
	sl_select_add(sql, column);
	sl_select_add(sql, " IN (");
	for (size_t i = 0; i < f->experiment_count; i++) {
		char number[24];
		snprintf(number, sizeof number, "%s%" PRId64, i ? ", " : "", f->experiments[i]);
		sl_select_add(sql, number);
	}
	sl_select_add(sql, ")");
}

static void add_view(enum sl_rec_view view, struct sl_select *sql)
{
	if (view != SL_REC_ALL)
		sl_select_add(sql, view == SL_REC_ACTIVE ? " AND r.deleted = 0" : " AND r.deleted = 1");
}

static void add_filter(const struct finder *f, const struct sl_filter_tables *tables, struct sl_select *sql)
{
	if (!f->filter)
		return;
	sl_select_add(sql, " AND ");
	sl_filter_sql(f->filter, tables, sql);
}

static void add_limit(const struct finder *f, struct sl_select *sql)
{
	sl_select_add(sql, " LIMIT ");
	sl_select_int(sql, f->search->max + 1);
}

/* ---- candidates: clauses that an index finds -------------------------------------------------------------------------- */

/* "SELECT run FROM ... WHERE ..." of a clause that every result must fulfil; false when no index helps. */
static bool add_candidates(const struct finder *f, const struct sl_filter *clause, struct sl_select *sql)
{
	static const char *const SIGNS[] = {" = ", NULL, " < ", " <= ", " > ", " >= "};
	if (clause->entity == SL_ENTITY_ATTRIBUTE && clause->attribute == RUN_ID && (clause->op == SL_OP_EQ || clause->op == SL_OP_IN)) {
		sl_select_add(sql, "SELECT num AS run FROM rec_run r WHERE ");
		sl_filter_sql(clause, &TABLES, sql);
		return true;
	}
	if ((clause->entity == SL_ENTITY_PARAM || clause->entity == SL_ENTITY_TAG) && clause->op == SL_OP_EQ) {
		sl_select_add(sql, clause->entity == SL_ENTITY_PARAM ? "SELECT run FROM rec_param WHERE name = "
								  : "SELECT run FROM rec_tag WHERE name = ");
		sl_select_text(sql, clause->key);
		sl_select_add(sql, " AND substr(value, 1, 48) = substr(");
		sl_select_text(sql, clause->text);
		sl_select_add(sql, ", 1, 48)");
		return true;
	}
	if (clause->entity != SL_ENTITY_METRIC || !SIGNS[clause->op])
		return false;
	sl_select_add(sql, "SELECT run FROM rec_series WHERE ");
	add_experiments(f, sql, "experiment");
	sl_select_add(sql, " AND name = ");
	sl_select_text(sql, clause->key);
	sl_select_add(sql, " AND value");
	sl_select_add(sql, SIGNS[clause->op]);
	sl_select_double(sql, clause->number);
	return true;
}

/* Whether the clause has at most FEW runs: 1 or 0. */
static int is_selective(const struct finder *f, const struct sl_filter *clause)
{
	struct sl_select sql SL_CLEANUP(sl_select_done) = {0};
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	if (clause->type != SL_FILTER_COMPARE)
		return 0;
	int rc = sl_select_init(&sql, f->arena, f->err);
	if (rc)
		return rc;
	sl_select_add(&sql, "SELECT count(*) FROM (");
	if (!add_candidates(f, clause, &sql))
		return 0;
	sl_select_add(&sql, " LIMIT ");
	sl_select_int(&sql, FEW + 1);
	sl_select_add(&sql, ")");
	rc = sl_select_query(&sql, f->record->meta, &stmt, f->err);
	if (!rc)
		rc = sl_stmt_step(stmt, f->err);
	return rc < 0 ? rc : sl_stmt_int(stmt, 0) <= FEW;
}

/* The clause to begin with; *ret NULL when none has few candidates. */
static int choose_clause(const struct finder *f, const struct sl_filter **ret)
{
	const struct sl_filter *clause = f->filter;
	*ret = NULL;
	if (!clause || clause->type == SL_FILTER_OR)
		return 0;
	if (clause->type == SL_FILTER_AND)
		clause = clause->first;
	for (; clause; clause = clause->next) {
		int rc = is_selective(f, clause);
		if (rc < 0)
			return rc;
		if (rc) {
			*ret = clause;
			return 0;
		}
	}
	return 0;
}

/* ---- order ---------------------------------------------------------------------------------------------------------- */

static const char *join_of(const struct sl_order *order)
{
	switch (order->entity) {
	case SL_ENTITY_METRIC: return "rec_series";
	case SL_ENTITY_PARAM: return "rec_param";
	default: return "rec_tag";
	}
}

static int set_sort(struct finder *f)
{
	size_t count = f->search->order_count;
	f->sort.last_sql = "r.started_ms";
	f->sort.id_sql = "r.num";
	f->sort.last_descending = true;
	/* The start as the last key is the tail, whichever way it runs. */
	if (count && f->order[count - 1].entity == SL_ENTITY_ATTRIBUTE && f->order[count - 1].attribute == START_TIME)
		f->sort.last_descending = f->order[--count].descending;
	f->sort.count = count;
	for (size_t i = 0; i < count; i++) {
		const struct sl_order *order = &f->order[i];
		struct sl_sort_key *key = &f->sort.keys[i];
		key->descending = order->descending;
		if (order->entity == SL_ENTITY_DATASET)
			return sl_fail(f->err, SL_E_INVALID, "Invalid identifier type 'dataset'");
		if (order->entity == SL_ENTITY_ATTRIBUTE) {
			key->value_sql = COLUMNS[order->attribute];
			key->class_sql = sl_arena_printf(f->arena, "(%s IS NULL) * 2", key->value_sql);
		} else if (order->entity == SL_ENTITY_METRIC) {
			key->value_sql = sl_arena_printf(f->arena, "o%zu.value", i);
			key->class_sql =
				sl_arena_printf(f->arena, "CASE WHEN o%zu.id IS NULL THEN 2 WHEN o%zu.value IS NULL THEN 1 ELSE 0 END", i, i);
		} else {
			key->value_sql = sl_arena_printf(f->arena, "o%zu.value", i);
			key->class_sql = sl_arena_printf(f->arena, "(o%zu.value IS NULL) * 2", i);
		}
		if (!key->value_sql || !key->class_sql)
			return sl_fail_memory(f->err);
	}
	return 0;
}

static void add_joins(const struct finder *f, struct sl_select *sql)
{
	for (size_t i = 0; i < f->sort.count; i++) {
		char text[160];
		if (f->order[i].entity == SL_ENTITY_ATTRIBUTE)
			continue;
		snprintf(text, sizeof text, " LEFT JOIN %s o%zu ON o%zu.run = r.num AND o%zu.name = ", join_of(&f->order[i]), i, i, i);
		sl_select_add(sql, text);
		sl_select_text(sql, f->order[i].key);
	}
}

/* ---- looking at everything, or at few candidates ---------------------------------------------------------------------- */

static int add_num(struct finder *f, struct sl_search_page *page, int64_t num)
{
	if (page->count % 1024 == 0) {
		int64_t *more = sl_realloc(page->nums, (page->count + 1024) * sizeof *more, f->err);
		if (!more)
			return SL_E_NO_MEMORY;
		page->nums = more;
	}
	page->nums[page->count++] = num;
	return 0;
}

static void write_general(const struct finder *f, const struct sl_filter *begin, struct sl_select *sql)
{
	sl_select_add(sql, "SELECT r.num, r.started_ms");
	for (size_t i = 0; i < f->sort.count; i++) {
		sl_select_add(sql, ", ");
		sl_select_add(sql, f->sort.keys[i].class_sql);
		sl_select_add(sql, ", ");
		sl_select_add(sql, f->sort.keys[i].value_sql);
	}
	sl_select_add(sql, " FROM ");
	if (begin) {
		sl_select_add(sql, "(");
		add_candidates(f, begin, sql);
		sl_select_add(sql, ") c CROSS JOIN rec_run r ON r.num = c.run");
	} else {
		sl_select_add(sql, "rec_run r");
	}
	add_joins(f, sql);
	sl_select_add(sql, " WHERE ");
	add_experiments(f, sql, "r.experiment");
	add_view(f->search->view, sql);
	add_filter(f, &TABLES, sql);
	sl_place_sql(&f->place, &f->sort, sql);
	sl_sort_sql(&f->sort, sql);
	add_limit(f, sql);
}

static int find_general(struct finder *f, const struct sl_filter *begin, struct sl_search_page *page)
{
	struct sl_select sql SL_CLEANUP(sl_select_done) = {0};
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	struct sl_place last;
	int rc = sl_select_init(&sql, f->arena, f->err);
	if (rc)
		return rc;
	write_general(f, begin, &sql);
	rc = sl_select_query(&sql, f->record->meta, &stmt, f->err);
	while (!rc && (rc = sl_stmt_step(stmt, f->err)) == 1) {
		if ((int64_t)page->count == f->search->max)
			return sl_place_write(&last, &f->sort, f->arena, &page->token, f->err);
		rc = add_num(f, page, sl_stmt_int(stmt, 0));
		if ((int64_t)page->count == f->search->max)
			sl_place_fill(stmt, &f->sort, f->arena, &last);
	}
	return rc;
}

/* ---- walking an index ----------------------------------------------------------------------------------------------- */

struct row { int64_t num, last; double value; int class; };
struct rows { struct row *rows; size_t count, room; };

static int add_row(struct rows *rows, struct sl_stmt *stmt, int class, struct sl_error *err)
{
	if (rows->count == rows->room) {
		size_t room = rows->room ? rows->room * 2 : 256;
		struct row *more = sl_realloc(rows->rows, room * sizeof *more, err);
		if (!more)
			return SL_E_NO_MEMORY;
		rows->rows = more;
		rows->room = room;
	}
	rows->rows[rows->count++] = (struct row){sl_stmt_int(stmt, 0), sl_stmt_int(stmt, 1), sl_stmt_double(stmt, 2), class};
	return 0;
}

/* One walk: an experiment; `class` of the metric that orders, or -1 when time does. */
static void write_walk(const struct finder *f, int64_t experiment, int class, const struct sl_sort *sort,
	const struct sl_place *place, struct sl_select *sql)
{
	const char *key = f->order[0].key;
	if (class == 0 || class == 1) {
		sl_select_add(sql, "SELECT r.num, r.started_ms, s.value FROM rec_series s CROSS JOIN rec_run r ON r.num = s.run WHERE "
			"s.experiment = ");
		sl_select_int(sql, experiment);
		sl_select_add(sql, " AND s.name = ");
		sl_select_text(sql, key);
		sl_select_add(sql, class == 0 ? " AND s.value IS NOT NULL" : " AND s.value IS NULL");
		if (class == 0 && place->set) { /* where the index begins */
			sl_select_add(sql, f->order[0].descending ? " AND s.value <= " : " AND s.value >= ");
			sl_select_double(sql, place->values[0].d);
		}
	} else {
		sl_select_add(sql, "SELECT r.num, r.started_ms, NULL FROM rec_run r WHERE r.experiment = ");
		sl_select_int(sql, experiment);
		if (class == 2) {
			sl_select_add(sql, " AND NOT EXISTS (SELECT 1 FROM rec_series s WHERE s.run = r.num AND s.name = ");
			sl_select_text(sql, key);
			sl_select_add(sql, ")");
		}
	}
	add_filter(f, class == 0 || class == 1 ? &TABLES_OF_SERIES : &TABLES, sql);
	sl_place_sql(place, sort, sql);
}

static int walk(struct finder *f, int64_t experiment, enum sl_rec_view view, int class, struct rows *rows)
{
	struct sl_select sql SL_CLEANUP(sl_select_done) = {0};
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	struct sl_sort sort = f->sort;
	struct sl_place place = f->place;
	if (class == 0)
		sort.keys[0] = (struct sl_sort_key){NULL, "s.value", f->order[0].descending};
	else
		sort.count = 0;
	if (class >= 0 && place.set)
		place.set = place.values[0].class == class;
	int rc = sl_select_init(&sql, f->arena, f->err);
	if (rc)
		return rc;
	write_walk(f, experiment, class, &sort, &place, &sql);
	add_view(view, &sql);
	if (class == 0)
		sl_select_add(&sql, f->order[0].descending ? " ORDER BY s.value DESC, " : " ORDER BY s.value, ");
	else
		sl_select_add(&sql, " ORDER BY ");
	sl_select_add(&sql, sort.last_descending ? "r.started_ms DESC, r.num" : "r.started_ms, r.num DESC");
	add_limit(f, &sql);
	rc = sl_select_query(&sql, f->record->meta, &stmt, f->err);
	while (!rc && (rc = sl_stmt_step(stmt, f->err)) == 1)
		rc = add_row(rows, stmt, class < 0 ? 0 : class, f->err);
	return rc;
}

/* qsort has no context, so the order is made part of each comparison by one of four functions. */
static int compare(const struct row *a, const struct row *b, bool value_descending, bool last_descending)
{
	if (a->class != b->class)
		return a->class < b->class ? -1 : 1;
	if (a->value != b->value)
		return (a->value < b->value) != value_descending ? -1 : 1;
	if (a->last != b->last)
		return (a->last < b->last) != last_descending ? -1 : 1;
	return (a->num < b->num) == last_descending ? -1 : a->num != b->num;
}
static int compare_dd(const void *a, const void *b) { return compare(a, b, true, true); }
static int compare_da(const void *a, const void *b) { return compare(a, b, true, false); }
static int compare_ad(const void *a, const void *b) { return compare(a, b, false, true); }
static int compare_aa(const void *a, const void *b) { return compare(a, b, false, false); }

static int take_page(struct finder *f, struct rows *rows, struct sl_search_page *page)
{
	bool value_descending = f->sort.count && f->order[0].descending;
	int (*order)(const void *, const void *) = value_descending ? f->sort.last_descending ? compare_dd : compare_da
						 : f->sort.last_descending ? compare_ad : compare_aa;
	int rc = 0;
	if (rows->count > 1)
		qsort(rows->rows, rows->count, sizeof *rows->rows, order);
	for (size_t i = 0; !rc && i < rows->count && (int64_t)i < f->search->max; i++)
		rc = add_num(f, page, rows->rows[i].num);
	if (rc || (int64_t)rows->count <= f->search->max)
		return rc;
	const struct row *last = &rows->rows[f->search->max - 1];
	struct sl_place place = {.set = true, .last = last->last, .id = last->num};
	place.values[0] = (struct sl_sort_value){.class = last->class, .type = last->class == 0 ? 'd' : 'n', .d = last->value};
	return sl_place_write(&place, &f->sort, f->arena, &page->token, f->err);
}

/* Whether the filter lets only runs through whose value of that metric is a number; `or_nan`: NaN as well. */
static bool demands_metric(const struct sl_filter *filter, const char *key, bool *or_nan)
{
	if (!filter || filter->type == SL_FILTER_OR)
		return false;
	for (const struct sl_filter *c = filter->type == SL_FILTER_AND ? filter->first : filter; c; c = c->next)
		if (c->type == SL_FILTER_COMPARE && c->entity == SL_ENTITY_METRIC && strcmp(c->key, key) == 0) {
			*or_nan = c->op == SL_OP_NE;
			return true;
		}
	return false;
}

static int walk_time(struct finder *f, struct rows *rows)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < f->experiment_count; i++) {
		if (f->search->view != SL_REC_DELETED)
			rc = walk(f, f->experiments[i], SL_REC_ACTIVE, -1, rows);
		if (!rc && f->search->view != SL_REC_ACTIVE)
			rc = walk(f, f->experiments[i], SL_REC_DELETED, -1, rows);
	}
	return rc;
}

static int walk_metric(struct finder *f, struct rows *rows)
{
	bool or_nan = true, demanded = demands_metric(f->filter, f->order[0].key, &or_nan);
	int begin = f->place.set ? (int)f->place.values[0].class : 0, end = !demanded ? 2 : or_nan ? 1 : 0, rc = 0;
	for (int class = begin; !rc && class <= end && (int64_t)rows->count <= f->search->max; class++)
		for (size_t i = 0; !rc && i < f->experiment_count; i++)
			rc = walk(f, f->experiments[i], f->search->view, class, rows);
	return rc;
}

static int find_by_walk(struct finder *f, struct sl_search_page *page)
{
	struct rows rows = {0};
	int rc = f->sort.count ? walk_metric(f, &rows) : walk_time(f, &rows);
	if (!rc)
		rc = take_page(f, &rows, page);
	sl_free(rows.rows);
	return rc;
}

/* ---- the search ----------------------------------------------------------------------------------------------------- */

static int find(struct finder *f, struct sl_search_page *page)
{
	const struct sl_filter *begin;
	bool walkable = f->experiment_count <= WALKS_MAX &&
		(f->sort.count == 0 || (f->sort.count == 1 && f->order[0].entity == SL_ENTITY_METRIC));
	int rc = choose_clause(f, &begin);
	if (rc)
		return rc;
	return begin || !walkable ? find_general(f, begin, page) : find_by_walk(f, page);
}

int sl_rec_search_runs(struct sl_record *record, const struct sl_search *search, const int64_t *experiments,
	size_t experiment_count, struct sl_arena *arena, struct sl_search_page *ret, struct sl_error *err)
{
	struct finder f = {.record = record, .search = search, .experiments = experiments, .experiment_count = experiment_count,
		.arena = arena, .err = err};
	struct sl_search_page page = {0};
	if (experiment_count > SL_SEARCH_EXPERIMENTS_MAX)
		return sl_fail(err, SL_E_INVALID, "A search may name at most %d experiments", SL_SEARCH_EXPERIMENTS_MAX);
	*ret = page;
	int rc = search->filter ? sl_filter_parse(search->filter, &GRAMMAR, arena, &f.filter, err) : 0;
	if (!rc)
		rc = sl_order_parse(search->order, search->order_count, &GRAMMAR, arena, f.order, err);
	if (!rc)
		rc = set_sort(&f);
	if (!rc && search->page_token)
		rc = sl_place_read(search->page_token, &f.sort, arena, &f.place, err);
	if (!rc && experiment_count)
		rc = find(&f, &page);
	ret->nums = rc ? NULL : sl_arena_array(arena, page.count + 1, sizeof *ret->nums);
	if (!rc && !ret->nums)
		rc = sl_fail_memory(err);
	if (!rc && page.count)
		memcpy(ret->nums, page.nums, page.count * sizeof *ret->nums);
	ret->count = page.count;
	ret->token = page.token;
	sl_free(page.nums);
	return rc;
}
