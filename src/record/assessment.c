#include "record/assessment.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "os/clock.h"
#include "record/limits.h"

#define COLUMNS "a.id, a.name, a.valid, a.overrides, a.created_ms, a.updated_ms, a.body"
static const char *const VALUES[] = {"feedback", "expectation", "issue"};

static int from_rows(int64_t rows) { return rows < 0 ? (int)rows : 0; }

/* ---- reading -------------------------------------------------------------------------------------------------------- */

static int fill(struct sl_stmt *row, struct sl_arena *arena, struct sl_assessment *ret, struct sl_error *err)
{
	*ret = (struct sl_assessment){.id = sl_arena_strdup(arena, sl_stmt_text(row, 0)), .name = sl_arena_strdup(arena, sl_stmt_text(row, 1)),
		.valid = sl_stmt_int(row, 2), .overrides = sl_arena_strdup(arena, sl_stmt_text(row, 3)), .created_ms = sl_stmt_int(row, 4),
		.updated_ms = sl_stmt_int(row, 5), .body = sl_arena_strdup(arena, sl_stmt_text(row, 6))};
	return ret->id && ret->name && ret->overrides && ret->body ? 0 : sl_fail_memory(err);
}

int sl_assessment_get(struct sl_record *record, const char *trace_id, const char *id, struct sl_arena *arena, struct sl_assessment *ret,
	struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	int64_t known;
	int rc = sl_meta_query(record->meta, &row, err,
		"SELECT " COLUMNS " FROM trace_assessment a JOIN trace t ON t.num = a.trace WHERE a.id = ?1 AND t.id = ?2", "ss", id, trace_id);
	rc = rc ? rc : sl_stmt_step(row, err);
	if (rc)
		return rc < 0 ? rc : fill(row, arena, ret, err);
	rc = sl_meta_int(record->meta, 0, &known, err, "SELECT 1 FROM trace WHERE id = ?1", "s", trace_id);
	if (rc)
		return rc;
	return known ? sl_fail(err, SL_E_NOT_FOUND, "Assessment with ID '%.100s' not found for trace '%.200s'", id, trace_id)
		     : sl_fail(err, SL_E_NOT_FOUND, "Trace with request_id '%.200s' not found", trace_id);
}

int sl_assessments_each(struct sl_record *record, const struct sl_trace *trace, struct sl_arena *arena, sl_assessment_fn *each,
	void *context, struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	struct sl_assessment one;
	int rc = sl_meta_query(record->meta, &row, err, "SELECT " COLUMNS " FROM trace_assessment a WHERE a.trace = ?1 ORDER BY a.num", "i",
		trace->num);
	while (!rc && (rc = sl_stmt_step(row, err)) == 1) {
		rc = fill(row, arena, &one, err);
		rc = rc ? rc : each(context, &one, err);
	}
	return rc;
}

/* ---- what a client says --------------------------------------------------------------------------------------------- */

/* A row under construction. `doc` holds the body. */
struct draft {
	yyjson_mut_doc *doc;
	yyjson_mut_val *body;
	const char *type, *name, *overrides;
	const char *value;               /* as JSON */
	double number;
	bool is_number, by_session;
	struct sl_arena *arena;
};

static const char *type_of(yyjson_val *said)
{
	for (size_t i = 0; i < SL_ARRAY_LEN(VALUES); i++)
		if (yyjson_is_obj(yyjson_obj_get(said, VALUES[i])))
			return VALUES[i];
	return NULL;
}

static int check_source(yyjson_val *source, struct sl_error *err)
{
	static const char *const TYPES[] = {"SOURCE_TYPE_UNSPECIFIED", "LLM_JUDGE", "HUMAN", "CODE", "AI_JUDGE"};
	const char *type = sl_json_str(source, "source_type", TYPES[0]);
	for (size_t i = 0; i < SL_ARRAY_LEN(TYPES); i++)
		if (strcmp(type, TYPES[i]) == 0)
			return 0;
	return sl_fail(err, SL_E_INVALID, "Invalid assessment source type: %.60s. Valid source types: ['SOURCE_TYPE_UNSPECIFIED', "
		"'LLM_JUDGE', 'HUMAN', 'CODE']", type);
}

/* The value itself as JSON: of an expectation it may come as a text that holds JSON. */
static int take_value(struct draft *draft, yyjson_val *holder, struct sl_error *err)
{
	yyjson_val *value = yyjson_obj_get(holder, "value"), *packed = yyjson_obj_get(holder, "serialized_value");
	if (strcmp(draft->type, "issue") == 0)
		value = holder;
	if (packed) {
		const char *text = sl_json_str(packed, "value", "");
		yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(text, strlen(text), "serialized_value", err);
		draft->value = text;
		return doc ? 0 : err ? err->code : SL_E_INVALID;
	}
	char *text = yyjson_val_write(value, 0, NULL);
	draft->value = text ? sl_arena_strdup(draft->arena, text) : "null";
	free(text);
	draft->is_number = yyjson_is_num(value) && isfinite(yyjson_get_num(value));
	draft->number = draft->is_number ? yyjson_get_num(value) : 0;
	return draft->value ? 0 : sl_fail_memory(err);
}

static int copy_member(struct draft *draft, yyjson_val *said, const char *name, struct sl_error *err)
{
	yyjson_val *value = yyjson_obj_get(said, name);
	if (!value || yyjson_is_null(value))
		return 0;
	yyjson_mut_val *copy = yyjson_val_mut_copy(draft->doc, value);
	yyjson_mut_obj_remove_key(draft->body, name);
	return copy && yyjson_mut_obj_add_val(draft->doc, draft->body, name, copy) ? 0 : sl_fail_memory(err);
}

static int take_name(struct draft *draft, yyjson_val *said, struct sl_error *err)
{
	draft->name = sl_json_str(said, "assessment_name", "");
	if (!*draft->name)
		return sl_fail(err, SL_E_INVALID, "Missing value for required parameter 'assessment.assessment_name'.");
	return sl_rec_check_length(draft->name, SL_ASSESSMENT_NAME_MAX, "assessment_name", err);
}

static int take_metadata(struct draft *draft, yyjson_val *said, struct sl_error *err)
{
	yyjson_val *metadata = yyjson_obj_get(said, "metadata");
	if (metadata && !yyjson_is_obj(metadata))
		return sl_fail(err, SL_E_INVALID, "assessment.metadata must be an object of texts");
	draft->by_session |= yyjson_obj_get(metadata, SL_TRACE_SESSION) != NULL;
	return 0;
}

static int draft_of(struct draft *draft, yyjson_val *said, struct sl_error *err)
{
	static const char *const MEMBERS[] = {"source", "span_id", "rationale", "metadata"};
	draft->type = type_of(said);
	if (!draft->type)
		return sl_fail(err, SL_E_INVALID, "Unknown assessment type: None");
	int rc = take_name(draft, said, err);
	rc = rc ? rc : check_source(yyjson_obj_get(said, "source"), err);
	rc = rc ? rc : take_metadata(draft, said, err);
	rc = rc ? rc : take_value(draft, yyjson_obj_get(said, draft->type), err);
	draft->overrides = sl_json_str(said, "overrides", "");
	for (size_t i = 0; !rc && i < SL_ARRAY_LEN(MEMBERS); i++)
		rc = copy_member(draft, said, MEMBERS[i], err);
	return rc ? rc : copy_member(draft, said, draft->type, err);
}

static int write_body(struct draft *draft, const char **ret, struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(SL_ASSESSMENT_BYTES_MAX);
	int rc = sl_json_write(draft->body, false, &text, err);
	rc = rc ? rc : sl_buf_check(&text, "an assessment", err);
	if (rc)
		return rc;
	*ret = sl_arena_strdup(draft->arena, sl_buf_cstr(&text));
	return *ret ? 0 : sl_fail_memory(err);
}

/* ---- changing ------------------------------------------------------------------------------------------------------- */

static int new_id(struct sl_arena *arena, const char **ret, struct sl_error *err)
{
	struct sl_id id;
	char hex[SL_ID_HEX + 1];
	int rc = sl_id_new(&id, err);
	if (rc)
		return rc;
	sl_id_hex(&id, hex);
	*ret = sl_arena_printf(arena, "a-%s", hex);
	return *ret ? 0 : sl_fail_memory(err);
}

static int override(struct sl_record *record, const struct sl_trace *trace, const char *id, struct sl_error *err)
{
	if (!*id)
		return 0;
	int64_t rows = sl_meta_exec(record->meta, err, "UPDATE trace_assessment SET valid = 0 WHERE trace = ?1 AND id = ?2", "is", trace->num, id);
	if (rows == 0)
		return sl_fail(err, SL_E_NOT_FOUND, "Assessment with ID '%.100s' not found for trace '%s'", id, trace->id);
	return from_rows(rows);
}

/* A time that the client gives, else now. */
static int64_t time_of(yyjson_val *said, const char *name)
{
	int64_t ms;
	return sl_time_parse(sl_json_str(said, name, ""), &ms) ? ms : sl_now_ms();
}

static int insert(struct sl_record *record, const struct sl_trace *trace, const struct draft *draft, const struct sl_assessment *one,
	struct sl_error *err)
{
	static const char SQL[] = "INSERT INTO trace_assessment(id, trace, type, name, value, number, by_session, overrides, created_ms, "
		"updated_ms, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
	if (!draft->is_number)
		return from_rows(sl_meta_exec(record->meta, err, SQL, "sisssnisiis", one->id, trace->num, draft->type, one->name,
			draft->value, (int64_t)draft->by_session, one->overrides, one->created_ms, one->updated_ms, one->body));
	return from_rows(sl_meta_exec(record->meta, err, SQL, "sisssdisiis", one->id, trace->num, draft->type, one->name,
		draft->value, draft->number, (int64_t)draft->by_session, one->overrides, one->created_ms, one->updated_ms, one->body));
}

static int create(struct sl_record *record, const struct sl_trace *trace, yyjson_val *said, struct draft *draft, struct sl_assessment *one,
	struct sl_error *err)
{
	const char *id = sl_json_str(said, "assessment_id", "");
	int rc = draft_of(draft, said, err);
	rc = rc ? rc : *id ? sl_rec_check_length(id, SL_ASSESSMENT_NAME_MAX, "assessment_id", err) : new_id(draft->arena, &id, err);
	*one = (struct sl_assessment){.id = id, .name = draft->name, .overrides = draft->overrides, .valid = true,
		.created_ms = time_of(said, "create_time"), .updated_ms = time_of(said, "last_update_time")};
	rc = rc ? rc : write_body(draft, &one->body, err);
	rc = rc ? rc : override(record, trace, one->overrides, err);
	return rc ? rc : insert(record, trace, draft, one, err);
}

int sl_assessment_create(struct sl_record *record, const struct sl_trace *trace, yyjson_val *said, const struct sl_change *change,
	struct sl_arena *arena, struct sl_assessment *ret, struct sl_error *err)
{
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	struct draft draft = {.doc = doc, .body = doc ? yyjson_mut_obj(doc) : NULL, .arena = arena};
	assert(sl_meta_in_transaction(record->meta));
	if (!draft.body)
		return sl_fail_memory(err);
	int rc = create(record, trace, said, &draft, ret, err);
	if (rc == SL_E_CONFLICT)
		return sl_fail(err, SL_E_INVALID, "Failed to create assessment for trace '%s': its id is taken", trace->id);
	return rc || !change ? rc : sl_record_entry(record, change, "trace", trace->id, err);
}

/* ---- updating ------------------------------------------------------------------------------------------------------- */

static bool is_masked(const char *const *mask, size_t count, const char *snake, const char *camel)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(mask[i], snake) == 0 || strcmp(mask[i], camel) == 0)
			return true;
	return false;
}

static int merge_metadata(struct draft *draft, yyjson_val *said, struct sl_error *err)
{
	yyjson_mut_val *there = yyjson_mut_obj_get(draft->body, "metadata");
	yyjson_obj_iter it = yyjson_obj_iter_with(yyjson_obj_get(said, "metadata"));
	yyjson_val *key;
	if (!there)
		return copy_member(draft, said, "metadata", err);
	while ((key = yyjson_obj_iter_next(&it))) {
		yyjson_mut_val *name = yyjson_val_mut_copy(draft->doc, key);
		yyjson_mut_val *value = yyjson_val_mut_copy(draft->doc, yyjson_obj_iter_get_val(key));
		if (!name || !value || !yyjson_mut_obj_put(there, name, value))
			return sl_fail_memory(err);
	}
	return 0;
}

/* The new value, if it is one of the same kind. */
static int replace_value(struct draft *draft, yyjson_val *said, const char *type, struct sl_error *err)
{
	if (!yyjson_mut_obj_get(draft->body, type))
		return sl_fail(err, SL_E_INVALID, strcmp(type, "feedback") == 0 ? "Cannot update feedback value on an Expectation assessment."
			: "Cannot update expectation value on a Feedback assessment.");
	draft->type = type;
	int rc = take_value(draft, yyjson_obj_get(said, type), err);
	return rc ? rc : copy_member(draft, said, type, err);
}

static int apply(struct draft *draft, yyjson_val *said, const char *const *mask, size_t count, struct sl_error *err)
{
	bool feedback = is_masked(mask, count, "feedback", "feedback"), expectation = is_masked(mask, count, "expectation", "expectation");
	if (feedback && expectation)
		return sl_fail(err, SL_E_INVALID, "Cannot specify both `expectation` and `feedback` parameters.");
	int rc = is_masked(mask, count, "assessment_name", "assessmentName") ? take_name(draft, said, err) : 0;
	if (!rc && (feedback || expectation))
		rc = replace_value(draft, said, feedback ? "feedback" : "expectation", err);
	if (!rc && is_masked(mask, count, "rationale", "rationale"))
		rc = copy_member(draft, said, "rationale", err);
	if (!rc && is_masked(mask, count, "metadata", "metadata")) {
		rc = take_metadata(draft, said, err);
		rc = rc ? rc : merge_metadata(draft, said, err);
	}
	return rc;
}

static int write_update(struct sl_record *record, const struct draft *draft, const struct sl_assessment *one, struct sl_error *err)
{
	int rc = from_rows(sl_meta_exec(record->meta, err,
		"UPDATE trace_assessment SET name = ?2, updated_ms = ?3, body = ?4, by_session = max(by_session, ?5) WHERE id = ?1", "ssisi", one->id,
		one->name, one->updated_ms, one->body, (int64_t)draft->by_session));
	if (rc || !draft->value)
		return rc;
	if (!draft->is_number)
		return from_rows(sl_meta_exec(record->meta, err, "UPDATE trace_assessment SET value = ?2, number = NULL WHERE id = ?1", "ss",
			one->id, draft->value));
	return from_rows(sl_meta_exec(record->meta, err, "UPDATE trace_assessment SET value = ?2, number = ?3 WHERE id = ?1", "ssd", one->id,
		draft->value, draft->number));
}

int sl_assessment_update(struct sl_record *record, const char *trace_id, const char *id, yyjson_val *said, const char *const *mask,
	size_t mask_count, const struct sl_change *change, struct sl_arena *arena, struct sl_assessment *ret, struct sl_error *err)
{
	assert(sl_meta_in_transaction(record->meta));
	int rc = sl_assessment_get(record, trace_id, id, arena, ret, err);
	yyjson_doc *old SL_AUTO_JSON = rc ? NULL : sl_json_parse(ret->body, strlen(ret->body), "assessment", err);
	if (!old)
		return rc ? rc : SL_E_CORRUPT;
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_doc_mut_copy(old, NULL);
	struct draft draft = {.doc = doc, .body = doc ? yyjson_mut_doc_get_root(doc) : NULL, .name = ret->name, .arena = arena};
	if (!draft.body)
		return sl_fail_memory(err);
	rc = apply(&draft, said, mask, mask_count, err);
	ret->name = draft.name;
	ret->updated_ms = sl_now_ms();
	rc = rc ? rc : write_body(&draft, &ret->body, err);
	rc = rc ? rc : write_update(record, &draft, ret, err);
	return rc ? rc : sl_record_entry(record, change, "trace", trace_id, err);
}

int sl_assessment_delete(struct sl_record *record, const char *trace_id, const char *id, const struct sl_change *change,
	struct sl_error *err)
{
	assert(sl_meta_in_transaction(record->meta));
	int rc = from_rows(sl_meta_exec(record->meta, err, "UPDATE trace_assessment SET valid = 1 WHERE id = (SELECT a.overrides FROM "
		"trace_assessment a JOIN trace t ON t.num = a.trace WHERE a.id = ?1 AND t.id = ?2)", "ss", id, trace_id));
	if (rc)
		return rc;
	int64_t rows = sl_meta_exec(record->meta, err, "DELETE FROM trace_assessment WHERE id = ?1 AND trace = (SELECT num FROM trace WHERE "
		"id = ?2)", "ss", id, trace_id);
	return rows <= 0 ? (int)rows : sl_record_entry(record, change, "trace", trace_id, err);
}
