#include "op/up_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "os/sys.h"

int64_t sl_process_start_ticks(int pid)
{
	char path[64];
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(8192);
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	if (sl_file_read(path, &text, NULL))
		return 0;
	/* Field 22; the command's name may hold blanks and brackets, so counting starts behind the last ')'. */
	const char *at = strrchr(sl_buf_cstr(&text), ')');
	if (!at || at[1] != ' ' || at[2] == 'Z') /* dead, and nobody has asked for its status yet */
		return 0;
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoll(at, NULL, 10) : 0;
}

static int state_path(const char *store_dir, char out[SL_PATH_MAX], struct sl_error *err)
{
	return sl_path_join(out, store_dir, "up.json", err);
}

static void add_role(yyjson_mut_doc *doc, yyjson_mut_val *roles, const struct sl_up_role *role)
{
	yyjson_mut_val *item = yyjson_mut_arr_add_obj(doc, roles);
	yyjson_mut_obj_add_str(doc, item, "name", role->name);
	yyjson_mut_obj_add_str(doc, item, "state", role->state);
	yyjson_mut_obj_add_int(doc, item, "pid", role->pid);
	yyjson_mut_obj_add_int(doc, item, "since_ms", role->since_ms);
	yyjson_mut_obj_add_int(doc, item, "restarts", role->restarts);
	yyjson_mut_obj_add_str(doc, item, "reason", role->reason);
}

int sl_up_state_write(const char *store_dir, const struct sl_up_state *state, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(1 << 16);
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	if (!doc)
		return sl_fail_memory(err);
	yyjson_mut_val *root = yyjson_mut_obj(doc);
	yyjson_mut_obj_add_int(doc, root, "pid", state->pid);
	yyjson_mut_obj_add_int(doc, root, "start_ticks", state->start_ticks);
	yyjson_mut_obj_add_int(doc, root, "started_ms", state->started_ms);
	yyjson_mut_obj_add_str(doc, root, "url", state->url);
	yyjson_mut_obj_add_str(doc, root, "local_url", state->local_url);
	yyjson_mut_obj_add_int(doc, root, "port", state->port);
	yyjson_mut_val *roles = yyjson_mut_obj_add_arr(doc, root, "roles");
	for (size_t i = 0; i < state->role_count; i++)
		add_role(doc, roles, &state->roles[i]);
	int rc = sl_json_write(root, true, &text, err);
	if (!rc)
		rc = state_path(store_dir, path, err);
	return rc ? rc : sl_file_replace(path, text.data, text.len, 0644, err);
}

void sl_up_state_remove(const char *store_dir)
{
	char path[SL_PATH_MAX];
	if (!state_path(store_dir, path, NULL))
		sl_sys->unlink(path);
}

static void read_roles(yyjson_val *roles, struct sl_up_state *ret)
{
	size_t i, max;
	yyjson_val *item;
	yyjson_arr_foreach(roles, i, max, item) {
		struct sl_up_role *role = &ret->roles[ret->role_count];
		if (ret->role_count == SL_UP_ROLES_MAX)
			return;
		snprintf(role->name, sizeof role->name, "%s", sl_json_str(item, "name", ""));
		snprintf(role->state, sizeof role->state, "%s", sl_json_str(item, "state", ""));
		snprintf(role->reason, sizeof role->reason, "%s", sl_json_str(item, "reason", ""));
		role->pid = (int)sl_json_int(item, "pid", 0);
		role->since_ms = sl_json_int(item, "since_ms", 0);
		role->restarts = sl_json_int(item, "restarts", 0);
		ret->role_count++;
	}
}

int sl_up_state_read(const char *store_dir, struct sl_up_state *ret, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(1 << 16);
	int rc = state_path(store_dir, path, err);
	if (rc || !sl_file_exists(path))
		return rc;
	rc = sl_file_read(path, &text, err);
	if (rc)
		return rc;
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(sl_buf_cstr(&text), text.len, path, err);
	if (!doc)
		return err ? err->code : SL_E_INVALID;
	yyjson_val *root = yyjson_doc_get_root(doc);
	*ret = (struct sl_up_state){
		.pid = (int)sl_json_int(root, "pid", 0), .start_ticks = sl_json_int(root, "start_ticks", 0),
		.started_ms = sl_json_int(root, "started_ms", 0), .port = (int)sl_json_int(root, "port", 0),
	};
	snprintf(ret->url, sizeof ret->url, "%s", sl_json_str(root, "url", ""));
	snprintf(ret->local_url, sizeof ret->local_url, "%s", sl_json_str(root, "local_url", ""));
	read_roles(yyjson_obj_get(root, "roles"), ret);
	return ret->pid > 0 && ret->start_ticks && sl_process_start_ticks(ret->pid) == ret->start_ticks;
}
