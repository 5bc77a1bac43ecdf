/* init, schema: the project itself. */
#include <ctype.h>
#include <fcntl.h>
#include <string.h>

#include "base/str.h"
#include "op/context.h"
#include "op/handlers.h"
#include "op/token.h"

static const char STARTER[] =
	"# Sluice project. `sluice schema > sluice.schema.json` gives editors completion and checks.\n"
	"project: %s\n"
	"\n"
	"# sources:\n"
	"#   raw: data/raw.csv                       # a file or a glob: Parquet, CSV, JSON lines\n"
	"#\n"
	"# datasets:\n"
	"#   raw:\n"
	"#     checks:\n"
	"#       - not_null: [id]\n"
	"#\n"
	"# steps:\n"
	"#   clean: {sql: sql/clean.sql}             # reads `raw` because the SQL says FROM raw\n"
	"#   fit:\n"
	"#     train: {algorithm: xgboost, data: clean, target: y, features: [a, b]}\n"
	"#\n"
	"# models:\n"
	"#   y_model: {from: fit, gate: [\"auc >= 0.6\"], promote: auto}\n"
	"#\n"
	"# endpoints:\n"
	"#   y: {model: y_model@champion}\n";

/* A name of ours from the folder's: what a name cannot hold becomes '_'. */
static void project_name(const char *dir, char out[SL_NAME_MAX + 1])
{
	const char *base = strrchr(dir, '/');
	size_t len = 0;
	for (base = base ? base + 1 : dir; *base && len < SL_NAME_MAX; base++)
		out[len++] = isalnum((unsigned char)*base) || *base == '_' || *base == '-' ? *base : '_';
	out[len] = 0;
	if (len && isdigit((unsigned char)out[0]))
		out[0] = '_';
	if (!sl_name_valid(out))
		strcpy(out, "project");
}

/* Makes the file unless something of that name is there. 1: made. */
static int create_file(const char *dir, const char *name, const char *text, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int rc = sl_path_join(path, dir, name, err);
	if (rc || sl_file_exists(path))
		return rc;
	rc = sl_file_replace(path, text, strlen(text), 0644, err);
	return rc ? rc : 1;
}

static int make_files(
	const char *dir, const char *name, yyjson_mut_val *made, yyjson_mut_val *kept, struct sl_call *call, struct sl_error *err)
{
	char starter[sizeof STARTER + SL_NAME_MAX];
	const char *files[][2] = {{"sluice.yaml", starter}, {".gitignore", "/.sluice/\n"}};
	snprintf(starter, sizeof starter, STARTER, name);
	for (size_t i = 0; i < SL_ARRAY_LEN(files); i++) {
		int rc = create_file(dir, files[i][0], files[i][1], err);
		if (rc < 0)
			return rc;
		yyjson_mut_arr_add_str(call->doc, rc ? made : kept, files[i][0]);
	}
	return 0;
}

int sl_op_init(struct sl_call *call, struct sl_error *err)
{
	char dir[SL_PATH_MAX], store_dir[SL_PATH_MAX], name[SL_NAME_MAX + 1];
	const char *where = sl_call_text(call, "dir");
	int rc = where ? sl_call_path(call, where, dir, err) : (snprintf(dir, sizeof dir, "%s", call->dir), 0);
	if (!rc)
		rc = sl_dir_make(dir, err);
	if (!rc)
		rc = sl_path_join(store_dir, dir, ".sluice", err);
	if (rc)
		return rc;
	project_name(dir, name);
	yyjson_mut_val *result = sl_call_object(call);
	sl_put_text(call, result, "project", dir);
	yyjson_mut_val *made = sl_put_array(call, result, "made"), *kept = sl_put_array(call, result, "kept");
	bool had_store = sl_dir_exists(store_dir);
	rc = make_files(dir, name, made, kept, call, err);
	if (!rc)
		rc = sl_store_create(dir, err);
	if (!rc)
		rc = sl_token_create(store_dir, err);
	if (rc)
		return rc;
	yyjson_mut_arr_add_str(call->doc, had_store ? kept : made, ".sluice/");
	sl_put_text(call, result, "next", "edit sluice.yaml, then: sluice run -n");
	return 0;
}

int sl_op_schema(struct sl_call *call, struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(4 << 20);
	int rc = sl_project_schema(&text, err);
	if (rc)
		return rc;
	if (text.len && text.data[text.len - 1] != '\n')
		sl_buf_char(&text, '\n');
	call->raw = sl_arena_strdup(call->arena, sl_buf_cstr(&text));
	return call->raw ? 0 : sl_fail_memory(err);
}
