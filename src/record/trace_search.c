/* Searching traces: MLflow's keys (mlflow/utils/search_utils.py, SearchTraceUtils) over the tables of traces. */
#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "record/search_rows.h"
#include "record/trace.h"

enum { REQUEST_ID, STARTED, DURATION, ENDED, STATE, CLIENT_REQUEST, NAME, RUN, PROMPT, TEXT, EXPERIMENT };

static const struct sl_filter_attribute ATTRIBUTES[] = {
	{"request_id", REQUEST_ID, false}, {"trace_id", REQUEST_ID, false}, {"timestamp", STARTED, true}, {"timestamp_ms", STARTED, true},
	{"execution_time", DURATION, true}, {"execution_time_ms", DURATION, true}, {"end_time", ENDED, true}, {"end_time_ms", ENDED, true},
	{"status", STATE, false}, {"state", STATE, false}, {"client_request_id", CLIENT_REQUEST, false}, {"name", NAME, false},
	{"run_id", RUN, false}, {"prompt", PROMPT, false}, {"text", TEXT, false}, {"experiment_id", EXPERIMENT, false}, {0}};
static const struct sl_filter_word WORDS[] = {
	{"attribute", SL_ENTITY_ATTRIBUTE}, {"attributes", SL_ENTITY_ATTRIBUTE}, {"trace", SL_ENTITY_ATTRIBUTE}, {"tag", SL_ENTITY_TAG},
	{"tags", SL_ENTITY_TAG}, {"metadata", SL_ENTITY_PARAM}, {"request_metadata", SL_ENTITY_PARAM}, {"span", SL_ENTITY_SPAN},
	{"feedback", SL_ENTITY_FEEDBACK}, {"expectation", SL_ENTITY_EXPECTATION}, {"issue", SL_ENTITY_ISSUE}, {0}};
static const struct sl_filter_grammar GRAMMAR = {ATTRIBUTES, 1u << SL_ENTITY_TAG | 1u << SL_ENTITY_PARAM | 1u << SL_ENTITY_SPAN |
	1u << SL_ENTITY_FEEDBACK | 1u << SL_ENTITY_EXPECTATION | 1u << SL_ENTITY_ISSUE, WORDS};

#define RUN_OF "(SELECT value FROM trace_pair WHERE trace = t.num AND kind = 2 AND name = '" SL_TRACE_RUN "')"
static const char *const COLUMNS[] = {
	[REQUEST_ID] = "t.id", [STARTED] = "t.started_ms", [DURATION] = "t.duration_ms", [ENDED] = "(t.started_ms + coalesce(t.duration_ms, 0))",
	[STATE] = "t.state", [CLIENT_REQUEST] = "t.client_request", [NAME] = "t.name", [RUN] = RUN_OF, [PROMPT] = NULL, [TEXT] = NULL,
	[EXPERIMENT] = "t.experiment"};
#define CLASS(column) "CASE WHEN " column " IS NULL THEN 2 ELSE 0 END"
static const char *const CLASSES[] = {
	[DURATION] = CLASS("t.duration_ms"), [CLIENT_REQUEST] = CLASS("t.client_request"), [NAME] = CLASS("t.name"), [RUN] = CLASS(RUN_OF),
	[EXPERIMENT] = NULL};

/* ---- comparisons of traces' own ------------------------------------------------------------------------------------- */

/* A link of that kind to the text. */
static void add_link(const char *kind, const char *target, struct sl_select *sql)
{
	sl_select_add(sql, "EXISTS (SELECT 1 FROM trace_link k WHERE k.trace = t.num AND k.kind = '");
	sl_select_add(sql, kind);
	sl_select_add(sql, "' AND k.target = ");
	sl_select_text(sql, target);
	sl_select_add(sql, ")");
}

/* Made in the run, or linked to it later. */
static void add_run(const struct sl_filter *f, const struct sl_filter_tables *tables, struct sl_select *sql)
{
	sl_select_add(sql, "(");
	sl_filter_condition_sql(f, tables, sql, RUN_OF);
	if (f->op == SL_OP_EQ) {
		sl_select_add(sql, " OR ");
		add_link("run", f->text, sql);
	}
	sl_select_add(sql, ")");
}

/* An attribute's value is a member of an OTLP value named after its type; only the scalar ones compare as what they are. */
#define ATTRIBUTE_VALUE "coalesce(json_extract(a.value, '$.value.string_value'), CASE json_extract(a.value, '$.value.bool_value') WHEN 1 " \
	"THEN 'true' WHEN 0 THEN 'false' END, CAST(json_extract(a.value, '$.value.int_value') AS TEXT), CAST(json_extract(a.value, " \
	"'$.value.double_value') AS TEXT), json_extract(a.value, '$.value'))"

static void add_span(const struct sl_filter *f, const struct sl_filter_tables *tables, struct sl_select *sql)
{
	static const char *const SPAN_COLUMNS[] = {"s.name", "s.type", "s.status", "s.content"};
	sl_select_add(sql, "EXISTS (SELECT 1 FROM trace_span s WHERE s.trace = t.num AND ");
	if (f->entity == SL_ENTITY_SPAN && f->attribute == SL_SPAN_ATTRIBUTE) {
		sl_select_add(sql, "EXISTS (SELECT 1 FROM json_each(s.content, '$.attributes') a WHERE json_extract(a.value, '$.key') = ");
		sl_select_text(sql, f->key);
		sl_select_add(sql, " AND ");
		sl_filter_condition_sql(f, tables, sql, ATTRIBUTE_VALUE);
		sl_select_add(sql, ")");
	} else {
		sl_filter_condition_sql(f, tables, sql, f->entity == SL_ENTITY_SPAN ? SPAN_COLUMNS[f->attribute] : "s.content");
	}
	sl_select_add(sql, ")");
}

/* "a.name = ... AND ...": an assessment as the filter wants it. */
static void add_assessment_where(const struct sl_filter *f, const struct sl_filter_tables *tables, struct sl_select *sql)
{
	sl_select_add(sql, f->entity == SL_ENTITY_FEEDBACK ? "a.type = 'feedback' AND a.valid = 1 AND a.name = "
							  : "a.type = 'expectation' AND a.valid = 1 AND a.name = ");
	sl_select_text(sql, f->key);
	if (f->op == SL_OP_NULL || f->op == SL_OP_NOT_NULL)
		return;
	sl_select_add(sql, " AND ");
	/* A text is stored with its quotes; it may be asked for with and without. */
	sl_filter_condition_sql(f, tables, sql, f->numeric ? "a.number" : f->op == SL_OP_LIKE || f->op == SL_OP_ILIKE ? "a.value"
		: "CASE WHEN json_type(a.value) = 'text' THEN json_extract(a.value, '$') ELSE a.value END");
}

/* One of the trace itself, or one that speaks of its whole session. */
static void add_assessment(const struct sl_filter *f, const struct sl_filter_tables *tables, struct sl_select *sql)
{
	sl_select_add(sql, f->op == SL_OP_NULL ? "NOT (" : "(");
	sl_select_add(sql, "EXISTS (SELECT 1 FROM trace_assessment a WHERE a.trace = t.num AND ");
	add_assessment_where(f, tables, sql);
	sl_select_add(sql, ") OR (t.session IS NOT NULL AND EXISTS (SELECT 1 FROM trace o JOIN trace_assessment a ON a.trace = o.num WHERE "
		"o.session = t.session AND o.experiment = t.experiment AND a.by_session = 1 AND ");
	add_assessment_where(f, tables, sql);
	sl_select_add(sql, ")))");
}

static void add_issue(const struct sl_filter *f, struct sl_select *sql)
{
	sl_select_add(sql, "EXISTS (SELECT 1 FROM trace_assessment a WHERE a.trace = t.num AND a.type = 'issue' AND a.name = ");
	sl_select_text(sql, f->text);
	sl_select_add(sql, ")");
}

static bool is_session(const struct sl_filter *f) { return f->entity == SL_ENTITY_PARAM && strcmp(f->key, SL_TRACE_SESSION) == 0; }
static bool is_run(const struct sl_filter *f)
{
	return f->entity == SL_ENTITY_PARAM && f->op == SL_OP_EQ && strcmp(f->key, SL_TRACE_RUN) == 0;
}

static bool own(const struct sl_filter *f, const struct sl_filter_tables *tables, struct sl_select *sql)
{
	bool attribute = f->entity == SL_ENTITY_ATTRIBUTE;
	if ((attribute && f->attribute == RUN) || is_run(f))
		add_run(f, tables, sql);
	else if (attribute && f->attribute == PROMPT)
		add_link("prompt", f->text, sql);
	else if (f->entity == SL_ENTITY_SPAN || (attribute && f->attribute == TEXT))
		add_span(f, tables, sql);
	else if (f->entity == SL_ENTITY_FEEDBACK || f->entity == SL_ENTITY_EXPECTATION)
		add_assessment(f, tables, sql);
	else if (f->entity == SL_ENTITY_ISSUE)
		add_issue(f, sql);
	else if (is_session(f) && f->op == SL_OP_EQ)
		sl_filter_condition_sql(f, tables, sql, "t.session");
	else
		return false;
	return true;
}

static const struct sl_filter_tables TABLES = {
	.attributes = COLUMNS,
	.tag = "SELECT 1 FROM trace_pair WHERE trace = t.num AND kind = 1 AND name = ",
	.param = "SELECT 1 FROM trace_pair WHERE trace = t.num AND kind = 2 AND name = ",
	.own = own};
static const struct sl_row_search ROWS = {
	.grammar = &GRAMMAR, .tables = &TABLES, .sort_columns = COLUMNS, .sort_classes = CLASSES, .from = "trace t",
	.param = {"SELECT trace AS owner, value FROM trace_pair WHERE kind = 2 AND name = ", "", "t.num"},
	.tag = {"SELECT trace AS owner, value FROM trace_pair WHERE kind = 1 AND name = ", "", "t.num"},
	.last_sql = "t.started_ms", .id_sql = "t.num", .last_descending = true};

/* ---- what the language allows, and traces do not --------------------------------------------------------------------- */

static int check_comparison(const struct sl_filter *f, struct sl_error *err)
{
	bool text = f->entity == SL_ENTITY_ATTRIBUTE && f->attribute == TEXT;
	bool content = text || (f->entity == SL_ENTITY_SPAN && f->attribute == SL_SPAN_CONTENT);
	bool prompt = f->entity == SL_ENTITY_ATTRIBUTE && f->attribute == PROMPT;
	if (content && f->op != SL_OP_LIKE && f->op != SL_OP_ILIKE)
		return sl_fail(err, SL_E_INVALID, "span.content is compared with LIKE and ILIKE only");
	if (f->entity == SL_ENTITY_ISSUE && f->op != SL_OP_EQ)
		return sl_fail(err, SL_E_INVALID, "issue.id is compared with '=' only");
	if (prompt && f->op != SL_OP_EQ)
		return sl_fail(err, SL_E_INVALID, "Invalid comparator for prompts filter. Only '=' is supported with format: prompt = "
			"\"name/version\"");
	if (prompt && (!strchr(f->text, '/') || strchr(f->text, '/') != strrchr(f->text, '/')))
		return sl_fail(err, SL_E_INVALID, "Invalid prompts filter value '%.300s'. Expected format: prompt = \"name/version\"", f->text);
	return 0;
}

/* Nests as deep as the language allows. */
static int check(const struct sl_filter *filter, struct sl_error *err)
{
	int rc = 0;
	if (!filter)
		return 0;
	if (filter->type == SL_FILTER_COMPARE)
		return check_comparison(filter, err);
	for (const struct sl_filter *f = filter->first; !rc && f; f = f->next)
		rc = check(f, err);
	return rc;
}

int sl_traces_search(struct sl_record *record, const struct sl_search *search, const int64_t *experiments, size_t experiment_count,
	struct sl_arena *arena, struct sl_search_page *ret, struct sl_error *err)
{
	struct sl_filter *filter = NULL;
	struct sl_buf where SL_AUTO_BUF = SL_BUF_INIT(SL_SELECT_BYTES_MAX / 2);
	assert(search->max >= 1);
	sl_buf_str(&where, "t.experiment IN (");
	for (size_t i = 0; i < experiment_count; i++)
		sl_buf_printf(&where, "%s%" PRId64, i ? ", " : "", experiments[i]);
	sl_buf_char(&where, ')');
	int rc = sl_buf_check(&where, "the list of experiments", err);
	if (!rc && search->filter)
		rc = sl_filter_parse(search->filter, &GRAMMAR, arena, &filter, err);
	rc = rc ? rc : check(filter, err);
	return rc ? rc : sl_search_rows(record, &ROWS, search, sl_buf_cstr(&where), filter, arena, ret, err);
}
