#include "serve/rules.h"

#include <stdio.h>
#include <string.h>

#include "ledger/rows.h"
#include "base/str.h"
#include "os/clock.h"
#include "project/traffic.h"
#include "track/notify.h"

static int read_set(struct sl_store *store, const char *endpoint, struct sl_arena *arena, struct sl_rules *ret, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(store->meta, &stmt, err, "SELECT rules, reason, changed_ms FROM route WHERE endpoint = ?1", "s", endpoint);
	if (!rc)
		rc = sl_stmt_step(stmt, err);
	if (rc != 1)
		return rc;
	ret->set = true;
	ret->text = sl_arena_strdup(arena, sl_stmt_text(stmt, 0));
	ret->reason = sl_arena_strdup(arena, sl_stmt_text(stmt, 1));
	ret->changed_ms = sl_stmt_int(stmt, 2);
	return ret->text && ret->reason ? 0 : sl_fail_memory(err);
}

static int read_state(struct sl_store *store, const char *endpoint, struct sl_arena *arena, struct sl_rules *ret, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	struct sl_hash hash;
	char hex[SL_HASH_HEX + 1];
	sl_sha256(ret->text, strlen(ret->text), &hash);
	int rc = sl_meta_query(store->meta, &stmt, err,
			       "SELECT phase, weights, state FROM route_state WHERE endpoint = ?1 AND rules = ?2", "ss", endpoint,
			       sl_hash_hex(&hash, hex));
	if (!rc)
		rc = sl_stmt_step(stmt, err);
	if (rc != 1)
		return rc;
	ret->phase = sl_arena_strdup(arena, sl_stmt_text(stmt, 0));
	ret->weights = sl_arena_strdup(arena, sl_stmt_text(stmt, 1));
	ret->state = sl_arena_strdup(arena, sl_stmt_text(stmt, 2));
	return ret->phase && ret->weights && ret->state ? 0 : sl_fail_memory(err);
}

int sl_rules_read(struct sl_store *store, const struct sl_endpoint *endpoint, struct sl_arena *arena, struct sl_rules *ret,
		  struct sl_error *err)
{
	*ret = (struct sl_rules){.text = endpoint->traffic, .reason = "", .phase = "", .weights = "", .state = ""};
	int rc = read_set(store, endpoint->name, arena, ret, err);
	return rc ? rc : read_state(store, endpoint->name, arena, ret, err);
}

/* ---- setting ---- */

static int enter(struct sl_store *store, const char *endpoint, const char *text, const char *reason, struct sl_error *err)
{
	char subject[SL_NAME_MAX + 16];
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *detail = doc ? yyjson_mut_obj(doc) : NULL;
	snprintf(subject, sizeof subject, "endpoint:%s", endpoint);
	if (!detail || !yyjson_mut_obj_add_str(doc, detail, "reason", reason) ||
	    (text && !yyjson_mut_obj_add_str(doc, detail, "rules", text)))
		return sl_fail_memory(err);
	int rc = sl_ledger_cover(store->ledger, doc, detail, "route", err, "s", endpoint);
	return rc ? rc : sl_ledger_append(store->ledger, text ? "route.set" : "route.reset", subject, detail, NULL, err);
}

static int replace_row(struct sl_store *store, const char *endpoint, const char *text, const char *reason, struct sl_error *err)
{
	int64_t rows = text ? sl_meta_exec(store->meta, err,
					   "INSERT INTO route(endpoint, rules, reason, changed_ms) VALUES (?1, ?2, ?3, ?4) ON CONFLICT(endpoint) "
					   "DO UPDATE SET rules = excluded.rules, reason = excluded.reason, changed_ms = excluded.changed_ms",
					   "sssi", endpoint, text, reason, sl_now_ms())
			    : sl_meta_exec(store->meta, err, "DELETE FROM route WHERE endpoint = ?1", "s", endpoint);
	if (rows == 0)
		return sl_fail(err, SL_E_CONFLICT, "endpoint '%s' has the rules of the project file already", endpoint);
	return rows < 0 ? (int)rows : enter(store, endpoint, text, reason, err);
}

/* As canonical JSON, once it was found to be rules. */
static int check(const struct sl_endpoint *endpoint, const char *text, struct sl_buf *out, struct sl_error *err)
{
	const struct sl_traffic *traffic;
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	if (!arena)
		return SL_E_NO_MEMORY;
	int rc = sl_traffic_parse(text, "rules", endpoint->model, endpoint->alias, arena, &traffic, err);
	if (rc)
		return rc;
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(text, strlen(text), "rules", err);
	return doc ? sl_json_canonical(yyjson_doc_get_root(doc), out, err) : SL_E_INVALID;
}

int sl_rules_set(struct sl_store *store, const struct sl_endpoint *endpoint, const char *text, const char *reason, struct sl_error *err)
{
	struct sl_buf canonical SL_AUTO_BUF = SL_BUF_INIT(SL_TRAFFIC_BYTES_MAX + 1);
	int rc = text ? check(endpoint, text, &canonical, err) : 0;
	if (!rc)
		rc = sl_meta_begin(store->meta, err);
	if (rc)
		return rc;
	rc = replace_row(store, endpoint->name, text ? sl_buf_cstr(&canonical) : NULL, reason, err);
	rc = sl_meta_end(store->meta, rc, err);
	if (!rc)
		sl_notify_ring(store->dir);
	return rc;
}
