#include "openlineage/target.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/utsname.h>

#include "base/str.h"
#include "os/file.h"

enum { CONFIG_BYTES_MAX = 1 << 20 };

static const char *variable(const char *name)
{
	const char *value = getenv(name);
	return value ? value : "";
}

/* Joins address and endpoint with one '/' between them. */
static int set_url(struct sl_openlineage_target *ret, const char *url, const char *endpoint, struct sl_arena *arena, struct sl_error *err)
{
	size_t len = strlen(url);
	if (!sl_str_starts(url, "http://") && !sl_str_starts(url, "https://"))
		return sl_fail(err, SL_E_INVALID, "OpenLineage's address '%.200s' does not begin with http:// or https://", url);
	while (len && url[len - 1] == '/')
		len--;
	ret->url = sl_arena_printf(arena, "%.*s/%s", (int)len, url, endpoint + strspn(endpoint, "/"));
	return ret->url ? 0 : sl_fail_memory(err);
}

static int set_file(struct sl_openlineage_target *ret, const char *dir, const char *path, struct sl_arena *arena, struct sl_error *err)
{
	ret->file = *path == '/' ? sl_arena_strdup(arena, path) : sl_arena_printf(arena, "%s/%s", dir, path);
	return ret->file ? 0 : sl_fail_memory(err);
}

static const char *text_in(const struct sl_yaml *map, const char *key, const char *otherwise)
{
	const struct sl_yaml *value = map && map->kind == SL_YAML_MAP ? sl_yaml_get(map, key) : NULL;
	return value && value->kind == SL_YAML_SCALAR && *value->text ? value->text : otherwise;
}

/* The file of settings that OpenLineage's own clients read; what of it has no meaning here is left aside, as they do. */
static int read_config(const char *path, const char *dir, struct sl_arena *arena, struct sl_openlineage_target *ret, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(CONFIG_BYTES_MAX);
	const struct sl_yaml *root, *transport;
	double seconds;
	int rc = sl_file_read(path, &text, err);
	rc = rc ? rc : sl_yaml_parse(sl_buf_cstr(&text), text.len, path, arena, &root, err);
	if (rc)
		return rc;
	transport = root->kind == SL_YAML_MAP ? sl_yaml_get(root, "transport") : NULL;
	const char *type = text_in(transport, "type", "");
	if (sl_str_eq(type, "noop"))
		return 0;
	if (sl_str_eq(type, "file")) {
		const char *file = text_in(transport, "log_file_path", "");
		rc = *file ? set_file(ret, dir, file, arena, err) : sl_fail_at(err, SL_E_INVALID, path, "transport 'file' has no log_file_path");
		return rc ? rc : 1;
	}
	if (!sl_str_eq(type, "http")) {
		sl_fail_at(err, SL_E_INVALID, path, "OpenLineage's transport '%.60s' is not known here", type);
		return sl_error_hint(err, "http, file and noop are");
	}
	const struct sl_yaml *auth = sl_yaml_get(transport, "auth"), *timeout = sl_yaml_get(transport, "timeout");
	ret->api_key = text_in(auth, "apiKey", text_in(auth, "api_key", ""));
	if (timeout && sl_yaml_double(timeout, &seconds) && seconds >= 0.001 && seconds <= 600)
		ret->timeout_ms = (int64_t)(seconds * 1000);
	rc = set_url(ret, text_in(transport, "url", ""), text_in(transport, "endpoint", "api/v1/lineage"), arena, err);
	ret->allow_private = true;
	return rc ? rc : 1;
}

static int by_environment(const char *dir, struct sl_arena *arena, struct sl_openlineage_target *ret, struct sl_error *err)
{
	const char *url = variable("OPENLINEAGE_URL"), *config = variable("OPENLINEAGE_CONFIG"), *endpoint = variable("OPENLINEAGE_ENDPOINT");
	if (!*url)
		return *config ? read_config(config, dir, arena, ret, err) : 0;
	ret->api_key = sl_arena_strdup(arena, variable("OPENLINEAGE_API_KEY"));
	ret->allow_private = true;
	if (!ret->api_key)
		return sl_fail_memory(err);
	int rc = set_url(ret, url, *endpoint ? endpoint : "api/v1/lineage", arena, err);
	return rc ? rc : 1;
}

static int by_project(const struct sl_project *project, struct sl_arena *arena, struct sl_openlineage_target *ret, struct sl_error *err)
{
	const struct sl_openlineage_spec *spec = &project->openlineage;
	if (!*spec->url && !*spec->file)
		return 0;
	ret->api_key = spec->api_key;
	ret->allow_private = spec->allow_private;
	ret->timeout_ms = spec->timeout_ms;
	int rc = *spec->url ? set_url(ret, spec->url, spec->endpoint, arena, err) : set_file(ret, project->dir, spec->file, arena, err);
	return rc ? rc : 1;
}

static int name_it(const struct sl_project *project, struct sl_arena *arena, struct sl_openlineage_target *ret, struct sl_error *err)
{
	struct utsname host;
	const char *given = variable("OPENLINEAGE_NAMESPACE");
	ret->project = project->name;
	if (*given)
		ret->namespace = sl_arena_strdup(arena, given);
	else if (*project->openlineage.namespace)
		ret->namespace = project->openlineage.namespace;
	else
		ret->namespace = sl_arena_printf(arena, "sluice://%s", uname(&host) ? "localhost" : host.nodename);
	return ret->namespace ? 1 : sl_fail_memory(err);
}

int sl_openlineage_target(const struct sl_project *project, struct sl_arena *arena, struct sl_openlineage_target *ret, struct sl_error *err)
{
	*ret = (struct sl_openlineage_target){.url = "", .file = "", .api_key = "", .timeout_ms = SL_OPENLINEAGE_NONE.timeout_ms};
	if (strcasecmp(variable("OPENLINEAGE_DISABLED"), "true") == 0)
		return 0;
	int rc = by_environment(project->dir, arena, ret, err);
	if (rc == 0 && !*variable("OPENLINEAGE_CONFIG"))
		rc = by_project(project, arena, ret, err);
	return rc == 1 ? name_it(project, arena, ret, err) : rc;
}
