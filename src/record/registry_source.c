#include "record/registry_source.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "record/artifact.h"
#include "record/registry.h"
#include "record/run.h"

static int fail_owner(const char *source, const char *what, struct sl_error *err)
{
	return sl_fail(err, SL_E_INVALID, "Invalid model version source: '%.600s'. The %s request parameter must identify the resource that "
		"contains the source.", source, what);
}

static int fail_relative(const char *source, struct sl_error *err)
{
	return sl_fail(err, SL_E_INVALID, "Invalid model version source: '%.600s'. If supplying a source as an http, https, local file path, "
		"ftp, objectstore, or mlflow-artifacts uri, an absolute path must be provided without relative path references present. Please "
		"provide an absolute path.", source);
}

/* What stands behind "scheme:" and its slashes has no "..", "\", "#" or "?" in any spelling; only the host before it may have dots. */
static int check_relative(const char *source, struct sl_error *err)
{
	const char *path = strchr(source, ':');
	path = path ? path + 1 : source;
	path += strspn(path, "/");
	char plain[SL_ARTIFACT_PATH_MAX];
	size_t len = strlen(path);
	while (len && path[len - 1] == '/')
		len--;
	if (len >= sizeof plain)
		return fail_relative(source, err);
	snprintf(plain, sizeof plain, "%.*s", (int)len, path);
	return strchr(plain, '?') || sl_artifact_check_path(plain, NULL) ? fail_relative(source, err) : 0;
}

static bool is_below(const char *source, const char *root)
{
	size_t len = strlen(root);
	return strncmp(source, root, len) == 0 && (!source[len] || source[len] == '/');
}

/* A path of this machine, in any of the ways in which it can be written. */
static bool is_local(const char *source)
{
	size_t scheme = strcspn(source, ":/");
	return source[scheme] != ':' || scheme < 2 || strncasecmp(source, "file:", 5) == 0;
}

/* The location must be inside the artifacts of the logged model, or else of the run. */
static int check_owned(struct sl_record *record, const struct sl_reg_source *source, struct sl_arena *arena, struct sl_error *err)
{
	struct sl_logged_model model;
	struct sl_rec_run run;
	const char *root = NULL, *what = source->logged_model ? "model_id" : "run_id";
	if (source->logged_model && sl_logged_model_get(record, source->logged_model, arena, &model, NULL) == 0)
		root = model.artifact_uri;
	else if (!source->logged_model && source->run && sl_rec_run_get(record, source->run, arena, &run, NULL) == 0)
		root = run.artifact_uri;
	if (root && is_below(source->source, root))
		return 0;
	if (!is_local(source->source))
		return fail_owner(source->source, what, err);
	return sl_fail(err, SL_E_INVALID, "Invalid model version source: '%.600s'. To use a local path as a model version source, the %s request "
		"parameter has to be specified and the local path has to be contained within the artifact directory of the run specified by the "
		"%s.", source->source, what, what);
}

static int of_logged_model(struct sl_record *record, struct sl_reg_source *source, const char *id, struct sl_arena *arena,
	struct sl_error *err)
{
	struct sl_logged_model model;
	if (!source->logged_model && !source->run)
		source->logged_model = id;
	if (!source->logged_model || strcmp(source->logged_model, id) != 0)
		return fail_owner(source->source, "model_id", err);
	int rc = sl_logged_model_get(record, id, arena, &model, err);
	if (rc)
		return rc;
	source->storage = model.artifact_uri;
	if (!source->run)
		source->run = model.run;
	return 0;
}

/* "NAME/VERSION" or "NAME@ALIAS" */
static int of_version(struct sl_record *record, struct sl_reg_source *source, const char *text, struct sl_arena *arena,
	struct sl_error *err)
{
	struct sl_reg_model model;
	struct sl_reg_version version;
	size_t len = strcspn(text, "/@");
	const char *name = sl_arena_strndup(arena, text, len);
	if (!name)
		return sl_fail_memory(err);
	if (!text[len] || !text[len + 1])
		return sl_fail(err, SL_E_INVALID, "Invalid model version source: '%.600s'.", source->source);
	int rc = sl_reg_model_get(record, name, arena, &model, err);
	if (!rc && text[len] == '@')
		rc = sl_reg_alias_get(record, &model, text + len + 1, arena, &version, err);
	else if (!rc)
		rc = sl_reg_version_get(record, name, text + len + 1, arena, &version, err);
	if (rc)
		return rc;
	if ((source->run && strcmp(source->run, version.run) != 0) ||
		(source->logged_model && strcmp(source->logged_model, version.logged_model) != 0))
		return sl_fail(err, SL_E_INVALID, "Invalid model version source: '%.600s'. The run_id and model_id request parameters must match the "
			"referenced model version.", source->source);
	source->storage = version.storage;
	source->run = version.run;
	source->logged_model = *version.logged_model ? version.logged_model : NULL;
	source->source = sl_arena_printf(arena, "models:/%s/%lld", name, (long long)version.version);
	return source->source ? 0 : sl_fail_memory(err);
}

static bool is_model_id(const char *text)
{
	return strncmp(text, "m-", 2) == 0 && strlen(text) == 34 && strspn(text + 2, "0123456789abcdef") == 32;
}

int sl_reg_source_resolve(struct sl_record *record, struct sl_reg_source *source, struct sl_arena *arena, struct sl_error *err)
{
	const char *text = source->source;
	if (strlen(text) > SL_REG_SOURCE_MAX)
		return sl_fail(err, SL_E_INVALID, "'source' exceeds the maximum length of %d characters", SL_REG_SOURCE_MAX);
	int rc = check_relative(text, err);
	if (rc)
		return rc;
	if (strncmp(text, "models:/", 8) == 0 && text[8] != '/')
		return is_model_id(text + 8) ? of_logged_model(record, source, text + 8, arena, err)
					     : of_version(record, source, text + 8, arena, err);
	if (strncmp(text, "models:", 7) == 0)
		return fail_owner(text, "model_id", err);
	if (strncmp(text, "runs:", 5) == 0) {
		bool same = source->run && strncmp(text, "runs:/", 6) == 0 && is_below(text + 6, source->run);
		return same && !source->logged_model ? 0 : fail_owner(text, source->logged_model ? "model_id" : "run_id", err);
	}
	if (is_local(text) || sl_artifact_path_of(text))
		return check_owned(record, source, arena, err);
	return 0;
}

int sl_reg_source_of_prompt(const char *source, struct sl_error *err)
{
	if (strcmp(source, "dummy-source") == 0 || strcmp(source, "prompt-template") == 0)
		return 0;
	return sl_fail(err, SL_E_INVALID, "Invalid prompt source: '%.600s'. Prompt sources must use an MLflow placeholder.", source);
}
