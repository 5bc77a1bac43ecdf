#include "project/project.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "os/file.h"
#include "project/params.h"
#include "project/shape.h"

#define FILE_NAME "sluice.yaml"

int sl_project_find(const char *dir, char out_dir[4096], struct sl_error *err)
{
	char here[SL_PATH_MAX];
	_Static_assert(SL_PATH_MAX == 4096 && PATH_MAX <= SL_PATH_MAX, "realpath needs this much");
	if (!realpath(dir, here))
		return sl_fail_at(err, SL_E_NOT_FOUND, dir, "there is no such folder");
	for (;;) {
		char path[SL_PATH_MAX];
		int rc = sl_path_join(path, here, FILE_NAME, err);
		if (rc)
			return rc;
		if (sl_file_exists(path)) {
			memcpy(out_dir, here, sizeof here);
			return 0;
		}
		char *slash = strrchr(here, '/');
		if (!slash || !here[1])
			break;
		slash[slash == here] = 0;
	}
	sl_fail_at(err, SL_E_NOT_FOUND, dir, "no " FILE_NAME " here or in a folder above");
	return sl_error_hint(err, "start a project with 'sluice init'");
}

/* ---- the whole file ----------------------------------------------------------------------------------------------------- */

#define SECTION_SCHEMA(of) "{\"type\":\"object\",\"additionalProperties\":{\"$ref\":\"#/$defs/" of "\"}}"
static int read_nothing(struct sl_loader *loader, const struct sl_yaml *node, void *project)
{
	(void)loader, (void)node, (void)project;
	return 0; /* parameters were read before everything else */
}

static const struct sl_row PROJECT_ROWS[] = {
	{"project", SL_ROW_REF, offsetof(struct sl_project, name), .required = true, .about = "the project's name"},
	{"params", SL_ROW_OTHER, .read = read_nothing, .schema = "{\"type\":\"object\"}", .about = "name: value; used as $name, overridden as name=value"},
	{"resources", SL_ROW_OTHER, .read = sl_read_resources, .schema = SL_AMOUNTS_SCHEMA, .about = "what there is of what steps need: gpu, db ..."},
	{"sandbox", SL_ROW_OTHER, .read = sl_read_project_sandbox, .schema = SL_SWITCH_SCHEMA, .about = "of commands that do not say it themselves: on (when not given) or off"},
	{"server", SL_ROW_OTHER, .read = sl_read_server, .shape = &sl_shape_server, .about = "how `sluice up` listens; its command line wins"},
	{"openlineage", SL_ROW_OTHER, .read = sl_read_openlineage, .shape = &sl_shape_openlineage, .about = "where OpenLineage events of runs go"},
	{"sources", SL_ROW_OTHER, .read = sl_read_sources, .schema = SECTION_SCHEMA("source"), .about = "where data comes from"},
	{"datasets", SL_ROW_OTHER, .read = sl_read_datasets, .schema = SECTION_SCHEMA("dataset"), .about = "checks of sources and of what steps make"},
	{"steps", SL_ROW_OTHER, .read = sl_read_steps, .schema = SECTION_SCHEMA("step"), .about = "what makes datasets, models and files"},
	{"models", SL_ROW_OTHER, .read = sl_read_models, .schema = SECTION_SCHEMA("model"), .about = "registered models and their gates"},
	{"endpoints", SL_ROW_OTHER, .read = sl_read_endpoints, .schema = SECTION_SCHEMA("endpoint"), .about = "what is served"},
	{"monitors", SL_ROW_OTHER, .read = sl_read_monitors, .schema = SECTION_SCHEMA("monitor"), .about = "checks of live traffic"},
	{"triggers", SL_ROW_OTHER, .read = sl_read_triggers, .schema = SECTION_SCHEMA("trigger"), .about = "what starts a run by itself"},
};
const struct sl_shape sl_shape_project = SL_SHAPE("the project", PROJECT_ROWS);

static int read_file(struct sl_loader *loader, const char *const *overrides, size_t override_count)
{
	struct sl_project *p = loader->project;
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_YAML_BYTES_MAX);
	const struct sl_yaml *root;
	int rc = sl_file_read(p->file, &text, loader->err);
	if (rc == SL_E_NOT_FOUND) {
		sl_fail_at(loader->err, SL_E_NOT_FOUND, p->dir, "no " FILE_NAME " here");
		return sl_error_hint(loader->err, "start a project with 'sluice init'");
	}
	rc = rc ? rc : sl_yaml_parse(sl_buf_cstr(&text), text.len, loader->where, loader->arena, &root, loader->err);
	if (rc)
		return rc;
	const struct sl_yaml *params = sl_yaml_get(root, "params");
	if (params)
		rc = sl_read_params(loader, params, p);
	for (size_t i = 0; !rc && i < override_count; i++)
		rc = sl_param_override(loader, overrides[i]);
	rc = rc ? rc : sl_shape_read(loader, &sl_shape_project, root, p);
	rc = rc ? rc : sl_project_check_names(loader);
	rc = rc ? rc : sl_project_check_policy(loader);
	return rc ? rc : sl_params_check_used(loader);
}

int sl_project_load(const char *dir, const char *const *overrides, size_t override_count, struct sl_project **ret, struct sl_error *err)
{
	struct sl_arena *arena = sl_arena_new(0, err);
	struct sl_project *p = arena ? sl_arena_alloc(arena, sizeof *p) : NULL;
	char absolute[SL_PATH_MAX];
	if (!p) {
		sl_arena_free(arena);
		return sl_fail_memory(err);
	}
	p->arena = arena;
	p->sandbox = true;
	p->server = (struct sl_server_spec){.host = "127.0.0.1", .port = 4600, .tls_cert = "", .tls_key = "", .traces = "", .traces_ratio = 1};
	p->openlineage = SL_OPENLINEAGE_NONE;
	int rc = realpath(dir, absolute) ? 0 : sl_fail_at(err, SL_E_NOT_FOUND, dir, "there is no such folder");
	if (!rc) {
		p->dir = sl_arena_strdup(arena, absolute);
		p->file = sl_arena_printf(arena, "%s/" FILE_NAME, absolute);
		rc = p->dir && p->file ? 0 : sl_fail_memory(err);
	}
	struct sl_error dropped; /* the loader puts hints into an error even when the caller wants none */
	struct sl_loader loader = {.project = p, .arena = arena, .where = FILE_NAME, .err = err ? err : &dropped};
	if (!rc)
		rc = read_file(&loader, overrides, override_count);
	if (rc) {
		sl_arena_free(arena);
		return rc;
	}
	*ret = p;
	return 0;
}

void sl_project_free(struct sl_project *project)
{
	if (project)
		sl_arena_free(project->arena);
}

void sl_project_freep(struct sl_project **project) { sl_project_free(*project); }

/* ---- look-ups -------------------------------------------------------------------------------------------------------------- */

#define LOOKUP(noun, type)                                                                            \
	const struct type *sl_project_##noun(const struct sl_project *project, const char *name)       \
	{                                                                                              \
		for (size_t i = 0; i < project->noun##_count; i++)                                     \
			if (strcmp(project->noun##s[i].name, name) == 0)                               \
				return &project->noun##s[i];                                           \
		return NULL;                                                                           \
	}
LOOKUP(step, sl_step)
LOOKUP(source, sl_source)
LOOKUP(dataset, sl_dataset)
LOOKUP(model, sl_model)
LOOKUP(endpoint, sl_endpoint)
LOOKUP(monitor, sl_monitor)
LOOKUP(resource, sl_amount)
LOOKUP(param, sl_param)

const struct sl_param *sl_step_param(const struct sl_project *project, const struct sl_step *step, const char *name)
{
	return step && step->each && strcmp(step->each->name, name) == 0 ? step->each : sl_project_param(project, name);
}

/* ---- schema ------------------------------------------------------------------------------------------------------------------ */

static void shape_schema(struct sl_buf *out, const struct sl_shape *shape);

static void range_schema(struct sl_buf *out, const struct sl_row *row, const char *type)
{
	sl_buf_printf(out, "{\"anyOf\":[{\"type\":\"%s\"", type);
	if (row->min < row->max)
		sl_buf_printf(out, ",\"minimum\":%.15g,\"maximum\":%.15g", row->min, row->max);
	sl_buf_str(out, "},{\"$ref\":\"#/$defs/parameter\"}]");
}

static void other_schema(struct sl_buf *out, const struct sl_row *row)
{
	bool both = row->shape && row->schema;
	sl_buf_str(out, both ? "{\"anyOf\":[" : "{\"allOf\":[");
	if (row->shape)
		shape_schema(out, row->shape);
	if (both)
		sl_buf_char(out, ',');
	if (row->schema)
		sl_buf_str(out, row->schema);
	sl_buf_char(out, ']');
}

static void row_schema(struct sl_buf *out, const struct sl_row *row)
{
	switch (row->type) {
	case SL_ROW_NAMES: sl_buf_str(out, "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"array\",\"items\":{\"type\":\"string\"}}]"); break;
	case SL_ROW_INT: range_schema(out, row, "integer"); break;
	case SL_ROW_NUMBER: range_schema(out, row, "number"); break;
	case SL_ROW_BOOL: range_schema(out, row, "boolean"); break;
	case SL_ROW_CHOICE:
		sl_buf_str(out, "{\"enum\":[");
		for (size_t i = 0; row->choices[i]; i++)
			sl_buf_printf(out, "%s\"%s\"", i ? "," : "", row->choices[i]);
		sl_buf_char(out, ']');
		break;
	case SL_ROW_OTHER: other_schema(out, row); break;
	default: sl_buf_str(out, "{\"type\":[\"string\",\"number\",\"boolean\"]"); break;
	}
	sl_buf_str(out, ",\"description\":");
	sl_json_string(out, row->about, strlen(row->about));
	sl_buf_char(out, '}');
}

static void shape_schema(struct sl_buf *out, const struct sl_shape *shape)
{
	sl_buf_str(out, "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[");
	const char *comma = "";
	for (size_t i = 0; i < shape->count; i++) {
		if (!shape->rows[i].required)
			continue;
		sl_buf_printf(out, "%s\"%s\"", comma, shape->rows[i].name);
		comma = ",";
	}
	sl_buf_str(out, "],\"properties\":{");
	for (size_t i = 0; i < shape->count; i++) {
		sl_buf_printf(out, "%s\"%s\":", i ? "," : "", shape->rows[i].name);
		row_schema(out, &shape->rows[i]);
	}
	sl_buf_str(out, "}}");
}

int sl_project_schema(struct sl_buf *out, struct sl_error *err)
{
	static const struct { const char *name; const struct sl_shape *shape; const char *also; } DEFS[] = {
		{"source", &sl_shape_source, "{\"type\":\"string\"}"}, {"dataset", &sl_shape_dataset, NULL}, {"step", &sl_shape_step, NULL},
		{"model", &sl_shape_model, NULL}, {"endpoint", &sl_shape_endpoint, NULL}, {"monitor", &sl_shape_monitor, NULL}, {"trigger", &sl_shape_trigger, NULL},
	};
	sl_buf_str(out, "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"title\":\"sluice.yaml\",\"allOf\":[");
	shape_schema(out, &sl_shape_project);
	sl_buf_str(out, "],\"$defs\":{\"parameter\":{\"type\":\"string\",\"pattern\":\"^\\\\$[A-Za-z_][A-Za-z0-9_]*$\"},\"check\":");
	sl_check_schema(out, shape_schema);
	for (size_t i = 0; i < SL_ARRAY_LEN(DEFS); i++) {
		sl_buf_printf(out, ",\"%s\":", DEFS[i].name);
		if (DEFS[i].also)
			sl_buf_printf(out, "{\"anyOf\":[%s,", DEFS[i].also);
		shape_schema(out, DEFS[i].shape);
		if (DEFS[i].also)
			sl_buf_str(out, "]}");
	}
	sl_buf_str(out, "}}");
	return sl_buf_check(out, "the schema", err);
}
