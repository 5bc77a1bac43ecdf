#include "track/pin.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "ledger/rows.h"

/* A pin is the setting "pin.<param>" with the JSON {"file":...,"override":"..."}. */
static const char PREFIX[] = "pin.";

static int parse_pin(const char *name, const char *text, struct sl_arena *arena, struct sl_pin *ret, struct sl_error *err)
{
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(text, strlen(text), name, err);
	yyjson_val *o = doc ? yyjson_doc_get_root(doc) : NULL;
	const char *override = sl_json_str(o, "override", NULL), *file_value = sl_json_str(o, "file", NULL);
	if (!override || !file_value)
		return doc ? sl_fail_at(err, SL_E_CORRUPT, name, "is not a pin") : SL_E_CORRUPT;
	ret->param = sl_arena_strdup(arena, name + sizeof PREFIX - 1);
	ret->override = sl_arena_strdup(arena, override);
	ret->file_value = sl_arena_strdup(arena, file_value);
	return ret->param && ret->override && ret->file_value ? 0 : sl_fail_memory(err);
}

int sl_pins_read(struct sl_track *track, struct sl_arena *arena, struct sl_pin **ret, size_t *ret_count, struct sl_error *err)
{
	int64_t count;
	*ret = NULL;
	*ret_count = 0;
	int rc = sl_meta_int(track->meta, 0, &count, err, "SELECT COUNT(*) FROM setting WHERE name >= 'pin.' AND name < 'pin/'",
			     "");
	if (rc || count == 0)
		return rc;
	struct sl_pin *pins = sl_arena_array(arena, (size_t)count, sizeof *pins);
	if (!pins)
		return sl_fail_memory(err);
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	rc = sl_meta_query(track->meta, &stmt, err,
			   "SELECT name, value FROM setting WHERE name >= 'pin.' AND name < 'pin/' ORDER BY name LIMIT ?1", "i",
			   count);
	size_t n = 0;
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		rc = parse_pin(sl_stmt_text(stmt, 0), sl_stmt_text(stmt, 1), arena, &pins[n], err);
		n += !rc;
	}
	if (rc)
		return rc;
	*ret = pins;
	*ret_count = n;
	return 0;
}

static int ledger_entry(struct sl_track *track, const char *action, const char *param, const char *name, const char *value,
			struct sl_error *err)
{
	char subject[SL_NAME_MAX + 16];
	snprintf(subject, sizeof subject, "param:%s", param);
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *detail = doc ? yyjson_mut_obj(doc) : NULL;
	if (!detail || !yyjson_mut_obj_add_str(doc, detail, name, value))
		return sl_fail_memory(err);
	char row[SL_NAME_MAX + 8];
	snprintf(row, sizeof row, "%s%s", PREFIX, param);
	int rc = sl_ledger_cover(track->ledger, doc, detail, "setting", err, "s", row);
	return rc ? rc : sl_ledger_append(track->ledger, action, subject, detail, NULL, err);
}

static int store_pin(struct sl_track *track, const struct sl_pin *pin, struct sl_error *err)
{
	char name[SL_NAME_MAX + 8];
	snprintf(name, sizeof name, "%s%s", PREFIX, pin->param);
	struct sl_buf value SL_AUTO_BUF = SL_BUF_INIT(64 << 10);
	sl_buf_str(&value, "{\"file\":");
	sl_json_string(&value, pin->file_value, strlen(pin->file_value));
	sl_buf_str(&value, ",\"override\":");
	sl_json_string(&value, pin->override, strlen(pin->override));
	sl_buf_char(&value, '}');
	int rc = sl_buf_check(&value, "a pinned value", err);
	int64_t n = rc ? rc
		       : sl_meta_exec(track->meta, err,
				      "INSERT INTO setting(name, value) VALUES (?1, ?2) ON CONFLICT(name) DO UPDATE SET value = "
				      "excluded.value",
				      "ss", name, sl_buf_cstr(&value));
	return n < 0 ? (int)n : ledger_entry(track, "param.pin", pin->param, "override", pin->override, err);
}

static int drop_pin(struct sl_track *track, const char *param, const char *reason, struct sl_error *err)
{
	char name[SL_NAME_MAX + 8];
	snprintf(name, sizeof name, "%s%s", PREFIX, param);
	int64_t n = sl_meta_exec(track->meta, err, "DELETE FROM setting WHERE name = ?1", "s", name);
	return n <= 0 ? (int)n : ledger_entry(track, "param.unpin", param, "reason", reason, err);
}

int sl_pin_set(struct sl_track *track, const struct sl_pin *pin, struct sl_error *err)
{
	if (!sl_name_valid(pin->param))
		return sl_fail(err, SL_E_INVALID, "'%.64s' is not a parameter's name", pin->param);
	int rc = sl_meta_begin(track->meta, err);
	return rc ? rc : sl_meta_end(track->meta, store_pin(track, pin, err), err);
}

int sl_pin_remove(struct sl_track *track, const char *param, const char *reason, struct sl_error *err)
{
	if (!sl_name_valid(param))
		return sl_fail(err, SL_E_INVALID, "'%.64s' is not a parameter's name", param);
	int rc = sl_meta_begin(track->meta, err);
	return rc ? rc : sl_meta_end(track->meta, drop_pin(track, param, reason, err), err);
}
