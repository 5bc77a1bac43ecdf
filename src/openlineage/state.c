#include "openlineage/state.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/str.h"
#include "os/file.h"
#include "os/sys.h"

enum { STATE_BYTES_MAX = 8 << 10, PIECE = 1000 };

static int state_path(const struct sl_store *store, char out[SL_PATH_MAX], struct sl_error *err)
{
	return sl_path_join(out, store->dir, "openlineage.json", err);
}

int sl_openlineage_lock(struct sl_store *store, int *ret_fd, struct sl_error *err)
{
	char path[SL_PATH_MAX], holder[64];
	snprintf(holder, sizeof holder, "sluice openlineage, pid %d", (int)getpid());
	int rc = sl_path_join(path, store->dir, "openlineage.lock", err);
	return rc ? rc : sl_file_lock(path, holder, false, ret_fd, err);
}

int sl_openlineage_read(struct sl_store *store, struct sl_openlineage_state *ret, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(STATE_BYTES_MAX);
	struct sl_error why;
	int rc = state_path(store, path, err);
	rc = rc ? rc : sl_file_read(path, &text, &why);
	if (rc == SL_E_NOT_FOUND)
		return 0;
	if (rc && err)
		*err = why;
	SL_AUTO_JSON yyjson_doc *doc = rc ? NULL : sl_json_parse(sl_buf_cstr(&text), text.len, path, err);
	yyjson_val *root = yyjson_doc_get_root(doc);
	if (!doc)
		return rc ? rc : SL_E_CORRUPT;
	*ret = (struct sl_openlineage_state){
		.next = sl_json_int(root, "next", 0),
		.delivered = sl_json_int(root, "delivered", 0),
		.refused = sl_json_int(root, "refused", 0),
		.given_up = sl_json_int(root, "given_up", 0),
		.failing_since_ms = sl_json_int(root, "failing_since", 0),
	};
	snprintf(ret->message, sizeof ret->message, "%s", sl_json_str(root, "message", ""));
	return 1;
}

int sl_openlineage_write(struct sl_store *store, const struct sl_openlineage_state *state, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(STATE_BYTES_MAX);
	sl_buf_printf(&text, "{\"next\":%lld,\"delivered\":%lld,\"refused\":%lld,\"given_up\":%lld,\"failing_since\":%lld,\"message\":", (long long)state->next,
		      (long long)state->delivered, (long long)state->refused, (long long)state->given_up, (long long)state->failing_since_ms);
	sl_json_string(&text, state->message, strlen(state->message));
	sl_buf_str(&text, "}\n");
	int rc = sl_buf_check(&text, "the state of OpenLineage's events", err);
	rc = rc ? rc : state_path(store, path, err);
	return rc ? rc : sl_file_replace(path, sl_buf_cstr(&text), text.len, 0644, err);
}

int sl_openlineage_begin(struct sl_store *store, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	struct sl_openlineage_state state = {0};
	int rc = state_path(store, path, err);
	if (rc || sl_file_exists(path))
		return rc;
	rc = sl_meta_int(store->meta, 0, &state.next, err, "SELECT max(seq) + 1 FROM ledger_entry", "");
	return rc ? rc : sl_openlineage_write(store, &state, err);
}

int sl_openlineage_end(struct sl_store *store, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int rc = state_path(store, path, err);
	if (!rc && sl_file_exists(path) && sl_sys->unlink(path) != 0)
		rc = sl_fail_at(err, SL_E_IO, path, "cannot be removed");
	return rc;
}

static bool of_run(const char *bytes, size_t len)
{
	return memmem(bytes, len, "\"action\":\"run.begin\"", 20) || memmem(bytes, len, "\"action\":\"run.end\"", 18);
}

int sl_openlineage_entries(struct sl_store *store, int64_t next, size_t max, struct sl_arena *arena, struct sl_openlineage_entry *ret, size_t *ret_count,
			   int64_t *ret_end, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(store->meta, &stmt, err, "SELECT seq, entry FROM ledger_entry WHERE seq >= ?1 ORDER BY seq LIMIT ?2", "ii", next, (int64_t)max);
	*ret_count = 0;
	*ret_end = next;
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		size_t len;
		const char *bytes = sl_stmt_blob(stmt, 1, &len);
		*ret_end = sl_stmt_int(stmt, 0) + 1;
		rc = 0;
		if (!of_run(bytes, len))
			continue;
		const char *copy = arena ? sl_arena_strndup(arena, bytes, len) : "";
		if (ret)
			ret[*ret_count] = (struct sl_openlineage_entry){sl_stmt_int(stmt, 0), copy, len};
		++*ret_count;
		rc = copy ? 0 : sl_fail_memory(err);
	}
	return rc;
}

int sl_openlineage_waiting(struct sl_store *store, int64_t next, int64_t *ret, struct sl_error *err)
{
	int64_t end = next;
	size_t count;
	*ret = 0;
	do {
		next = end;
		int rc = sl_openlineage_entries(store, next, PIECE, NULL, NULL, &count, &end, err);
		if (rc)
			return rc;
		*ret += (int64_t)count;
	} while (end > next && *ret < SL_OPENLINEAGE_WAITING_MAX);
	return 0;
}
