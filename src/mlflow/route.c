#include "mlflow/route.h"

#include <string.h>

#include "base/str.h"

static const struct sl_ml_route *const TABLES[] = {
	sl_ml_routes_runs, sl_ml_routes_metrics, sl_ml_routes_search, sl_ml_routes_experiments, sl_ml_routes_about,
	sl_ml_routes_artifacts, sl_ml_routes_upload, sl_ml_routes_download, sl_ml_routes_archive,
	sl_ml_routes_logged, sl_ml_routes_registered, sl_ml_routes_versions,
	sl_ml_routes_otlp, sl_ml_routes_trace_get, sl_ml_routes_traces, sl_ml_routes_traces_v2, sl_ml_routes_assessments, sl_ml_routes_webhooks, sl_ml_routes_datasets,
};

/* Behind "/api/2.0" or "/ajax-api/2.0"; NULL when the path does not begin so. */
static const char *strip_prefix(const char *path, int *ret_version)
{
	static const char *const PREFIXES[] = {"/api/", "/ajax-api/"};
	for (size_t i = 0; i < SL_ARRAY_LEN(PREFIXES); i++) {
		size_t len = strlen(PREFIXES[i]);
		if (strncmp(path, PREFIXES[i], len) == 0 && (path[len] == '2' || path[len] == '3') &&
			strncmp(path + len + 1, ".0", 2) == 0) {
			*ret_version = path[len] - '0';
			return path + len + 3;
		}
	}
	return NULL;
}

/* Whether `path` is of `pattern`; without an arena nothing is kept. */
static bool matches(const char *pattern, const char *path, struct sl_arena *arena, const char *parts[SL_ML_PARTS_MAX])
{
	size_t count = 0;
	while (*pattern) {
		if (*pattern != '{') {
			if (*pattern++ != *path++)
				return false;
			continue;
		}
		bool rest = pattern[1] == '*';
		size_t len = rest ? strlen(path) : strcspn(path, "/");
		if (!len || count == SL_ML_PARTS_MAX)
			return false;
		parts[count] = sl_arena_strndup(arena, path, len);
		if (!parts[count++])
			return false;
		path += len;
		pattern += rest ? 3 : 2;
	}
	return !*path;
}

const struct sl_ml_route *sl_ml_route_find(enum sl_http_method method, const char *path, struct sl_arena *arena,
	const char *parts[SL_ML_PARTS_MAX])
{
	int version = 0;
	const char *behind = strip_prefix(path, &version);
	if (method == SL_HTTP_HEAD)
		method = SL_HTTP_GET;
	for (size_t t = 0; t < SL_ARRAY_LEN(TABLES); t++)
		for (const struct sl_ml_route *route = TABLES[t]; route->path; route++) {
			if (route->method != method || (route->version && route->version != version))
				continue;
			const char *rest = route->version ? behind : path;
			if (matches(route->path, rest, arena, parts))
				return route;
		}
	return NULL;
}

bool sl_ml_is_path(const char *path)
{
	int version;
	static const char *const OWN[] = {"/v1/traces", "/get-artifact", "/get-artifact-archive", "/model-versions/get-artifact", "/graphql"};
	if (strip_prefix(path, &version))
		return true;
	for (size_t i = 0; i < SL_ARRAY_LEN(OWN); i++)
		if (strcmp(path, OWN[i]) == 0)
			return true;
	return false;
}
