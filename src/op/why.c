/* why, log: where a thing came from; what a run said. */
#include <string.h>

#include "base/str.h"
#include "data/dataset.h"
#include "op/handlers.h"
#include "op/prediction.h"
#include "op/resolve.h"
#include "track/lineage.h"
#include "track/prov.h"

enum { PROV_MAX = 64 << 20 };

/* Lineage knows datasets by hash: other spellings are looked up here. */
static int pin_dataset(struct sl_store *store, struct sl_ref *ref, struct sl_error *err)
{
	struct sl_dataset_head head;
	char hex[SL_HASH_HEX + 1];
	int rc = sl_dataset_find(&store->track, ref->name, ref->version, &head, err);
	if (!rc)
		snprintf(ref->version, sizeof ref->version, "%s", sl_hash_hex(&head.hash, hex));
	return rc;
}

static int find_lineage(struct sl_call *call, struct sl_error *err)
{
	struct sl_store *store;
	struct sl_ref ref;
	bool down = sl_call_flag(call, "down");
	int rc = sl_call_store(call, &store, err);
	if (!rc)
		rc = sl_resolve(call, store, sl_call_text(call, "ref"), &ref, err);
	if (!rc && ref.kind == SL_REF_DATASET)
		rc = pin_dataset(store, &ref, err);
	if (rc)
		return rc;
	if (ref.kind != SL_REF_PREDICTION)
		return sl_lineage_why(store, &ref, down, call->doc, &call->result, err);
	struct sl_id id;
	struct sl_hash package;
	if (down)
		return sl_fail(err, SL_E_INVALID, "nothing is made from a prediction");
	rc = sl_prediction_model(call, store, &ref, &id, &package, err);
	return rc ? rc : sl_lineage_why_prediction(store, id.text, &package, call->doc, &call->result, err);
}

static int as_prov(struct sl_call *call, struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(PROV_MAX);
	yyjson_mut_val *prov;
	int rc = sl_prov_write(call->result, call->doc, &prov, err);
	if (!rc)
		rc = sl_json_write(prov, true, &text, err);
	if (rc)
		return rc;
	sl_buf_char(&text, '\n');
	call->raw = sl_arena_strdup(call->arena, sl_buf_cstr(&text));
	return call->raw ? sl_buf_check(&text, "PROV document", err) : sl_fail_memory(err);
}

int sl_op_why(struct sl_call *call, struct sl_error *err)
{
	int rc = find_lineage(call, err);
	return rc || !sl_str_eq(sl_call_text(call, "format"), "prov") ? rc : as_prov(call, err);
}

/* The newest run of a step that left a log. */
static int newest_run(struct sl_store *store, const char *name, struct sl_id *ret, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(store->meta, &stmt, err, "SELECT id FROM run WHERE name = ?1 ORDER BY id DESC LIMIT 1", "s", name);
	if (!rc)
		rc = sl_stmt_step(stmt, err);
	if (rc == 0)
		return sl_fail(err, SL_E_NOT_FOUND, "'%s' has never run", name);
	return rc < 0 ? rc : sl_id_parse(sl_stmt_text(stmt, 0), ret) ? 0 : sl_fail(err, SL_E_CORRUPT, "a run's id is broken");
}

static bool is_role(const char *name)
{
	static const char *const roles[] = {"api", "infer", "tls", "worker"};
	for (size_t i = 0; i < SL_ARRAY_LEN(roles); i++)
		if (sl_str_eq(roles[i], name))
			return true;
	return false;
}

static int log_path(struct sl_call *call, struct sl_store *store, const char *text, char path[SL_PATH_MAX], struct sl_error *err)
{
	struct sl_ref ref;
	struct sl_id id = {{0}};
	char rest[300];
	if (is_role(text)) {
		snprintf(rest, sizeof rest, "log/%.100s.log", text);
		return sl_path_join(path, store->dir, rest, err);
	}
	int rc = sl_resolve(call, store, text, &ref, err);
	if (rc)
		return rc;
	rc = ref.kind == SL_REF_RUN ? sl_run_find(&store->track, ref.name, &id, err) : newest_run(store, ref.name, &id, err);
	snprintf(rest, sizeof rest, "%s/log", id.text);
	return rc ? rc : sl_path_join(path, store->runs_dir, rest, err);
}

/* The last `limit` bytes from a line's begin. */
static int read_end(struct sl_call *call, const char *path, uint64_t limit, struct sl_error *err)
{
	struct sl_file_info info;
	int fd SL_AUTO_CLOSE = -1;
	int rc = sl_file_info(path, &info, err);
	if (!rc)
		rc = sl_file_open(path, 0, 0, &fd, err);
	if (rc)
		return rc;
	uint64_t len = info.size_bytes < limit ? info.size_bytes : limit;
	char *text = sl_arena_alloc(call->arena, len + 1);
	if (!text)
		return sl_fail_memory(err);
	rc = sl_file_read_at(fd, text, len, info.size_bytes - len, path, err);
	if (rc)
		return rc;
	char *line = len < info.size_bytes ? strchr(text, '\n') : NULL;
	sl_put_text(call, sl_call_object(call), "text", line ? line + 1 : text);
	sl_put_bool(call, sl_call_object(call), "whole", len == info.size_bytes);
	return 0;
}

int sl_op_log(struct sl_call *call, struct sl_error *err)
{
	struct sl_store *store;
	char path[SL_PATH_MAX];
	int rc = sl_call_store(call, &store, err);
	if (!rc)
		rc = log_path(call, store, sl_call_text(call, "ref"), path, err);
	if (rc)
		return rc;
	if (!sl_file_exists(path)) {
		sl_put_text(call, sl_call_object(call), "text", "");
		sl_put_text(call, sl_call_object(call), "note", "it said nothing");
		return 0;
	}
	if (!call->remote)
		sl_put_text(call, sl_call_object(call), "file", path);
	return read_end(call, path, (uint64_t)sl_call_int(call, "bytes"), err);
}
