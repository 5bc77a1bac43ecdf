/* op/openapi.c: the OpenAPI 3.1 document, built as JSON and embedded as text. */
#include "opgen.h"

#include <stdlib.h>
#include <string.h>

struct make {
	yyjson_mut_doc *doc;
	yyjson_mut_val *paths;
};

static yyjson_mut_val *arg_schema(struct make *m, yyjson_val *arg)
{
	static const struct { const char *type, *json, *format; } MAP[] = {
		{"int", "integer", NULL}, {"double", "number", NULL}, {"flag", "boolean", NULL}, {"time", "string", "date-time"},
	};
	yyjson_mut_val *schema = yyjson_mut_obj(m->doc);
	if (strcmp(spec_str(arg, "type"), "json") == 0)
		return yyjson_obj_get(arg, "schema") ? yyjson_val_mut_copy(m->doc, yyjson_obj_get(arg, "schema")) : schema;
	const char *type = "string", *format = NULL;
	for (size_t i = 0; i < sizeof MAP / sizeof *MAP; i++)
		if (strcmp(MAP[i].type, spec_str(arg, "type")) == 0) {
			type = MAP[i].json;
			format = MAP[i].format;
		}
	yyjson_mut_obj_add_str(m->doc, schema, "type", type);
	if (format)
		yyjson_mut_obj_add_str(m->doc, schema, "format", format);
	if (yyjson_obj_get(arg, "choices"))
		yyjson_mut_obj_add_val(m->doc, schema, "enum", yyjson_val_mut_copy(m->doc, yyjson_obj_get(arg, "choices")));
	static const struct { const char *from, *to; } BOUNDS[] = {{"min", "minimum"}, {"max", "maximum"}};
	for (size_t i = 0; i < 2; i++)
		if (yyjson_obj_get(arg, BOUNDS[i].from))
			yyjson_mut_obj_add_int(
				m->doc, schema, BOUNDS[i].to, yyjson_get_sint(yyjson_obj_get(arg, BOUNDS[i].from)));
	if (!spec_bool(arg, "rest"))
		return schema;
	yyjson_mut_val *list = yyjson_mut_obj(m->doc);
	yyjson_mut_obj_add_str(m->doc, list, "type", "array");
	yyjson_mut_obj_add_val(m->doc, list, "items", schema);
	return list;
}

static int in_path(const char *path, const char *name)
{
	char part[128];
	snprintf(part, sizeof part, "{%s}", name);
	return strstr(path, part) != NULL;
}

static void add_parameter(struct make *m, yyjson_mut_val *list, yyjson_val *arg, int path)
{
	yyjson_mut_val *p = yyjson_mut_obj(m->doc);
	yyjson_mut_obj_add_str(m->doc, p, "name", spec_str(arg, "name"));
	yyjson_mut_obj_add_str(m->doc, p, "in", path ? "path" : "query");
	yyjson_mut_obj_add_bool(m->doc, p, "required", path || spec_bool(arg, "required"));
	yyjson_mut_obj_add_str(m->doc, p, "description", spec_str(arg, "doc"));
	yyjson_mut_obj_add_val(m->doc, p, "schema", arg_schema(m, arg));
	yyjson_mut_arr_append(list, p);
}

static void add_body(struct make *m, yyjson_mut_val *operation, yyjson_val *args, const char *path)
{
	yyjson_mut_val *schema = yyjson_mut_obj(m->doc), *properties = yyjson_mut_obj(m->doc), *required = yyjson_mut_arr(m->doc);
	size_t i, max;
	yyjson_val *arg;
	yyjson_arr_foreach(args, i, max, arg) {
		if (in_path(path, spec_str(arg, "name")))
			continue;
		yyjson_mut_val *property = arg_schema(m, arg);
		yyjson_mut_obj_add_str(m->doc, property, "description", spec_str(arg, "doc"));
		yyjson_mut_obj_add_val(m->doc, properties, spec_str(arg, "name"), property);
		if (spec_bool(arg, "required"))
			yyjson_mut_arr_append(required, yyjson_mut_str(m->doc, spec_str(arg, "name")));
	}
	yyjson_mut_obj_add_str(m->doc, schema, "type", "object");
	yyjson_mut_obj_add_val(m->doc, schema, "properties", properties);
	yyjson_mut_obj_add_bool(m->doc, schema, "additionalProperties", false);
	if (yyjson_mut_arr_size(required))
		yyjson_mut_obj_add_val(m->doc, schema, "required", required);
	yyjson_mut_val *body = yyjson_mut_obj_add_obj(m->doc, operation, "requestBody");
	yyjson_mut_val *content = yyjson_mut_obj_add_obj(m->doc, body, "content");
	yyjson_mut_val *json = yyjson_mut_obj_add_obj(m->doc, content, "application/json");
	yyjson_mut_obj_add_val(m->doc, json, "schema", schema);
}

static void add_response(
	struct make *m, yyjson_mut_val *responses, const char *status, const char *description, yyjson_mut_val *schema)
{
	yyjson_mut_val *response = yyjson_mut_obj_add_obj(m->doc, responses, status);
	yyjson_mut_obj_add_str(m->doc, response, "description", description);
	yyjson_mut_val *content = yyjson_mut_obj_add_obj(m->doc, response, "content");
	yyjson_mut_val *json = yyjson_mut_obj_add_obj(m->doc, content, "application/json");
	yyjson_mut_obj_add_val(m->doc, json, "schema", schema);
}

static yyjson_mut_val *error_ref(struct make *m)
{
	yyjson_mut_val *ref = yyjson_mut_obj(m->doc);
	yyjson_mut_obj_add_str(m->doc, ref, "$ref", "#/components/schemas/Error");
	return ref;
}

static void add_operation(struct make *m, const struct spec *spec)
{
	yyjson_val *route = yyjson_obj_get(spec->root, "route"), *args = yyjson_obj_get(spec->root, "args"), *arg;
	const char *path = spec_str(route, "path");
	int get = strcmp(spec_str(route, "method"), "GET") == 0;
	yyjson_mut_val *item = yyjson_mut_obj_get(m->paths, path);
	if (!item)
		item = yyjson_mut_obj_add_obj(m->doc, m->paths, path);
	yyjson_mut_val *operation = yyjson_mut_obj_add_obj(m->doc, item, get ? "get" : "post");
	yyjson_mut_obj_add_str(m->doc, operation, "operationId", spec->name);
	yyjson_mut_obj_add_str(m->doc, operation, "summary", spec_str(spec->root, "summary"));
	yyjson_mut_obj_add_str(m->doc, operation, "description", spec_str(spec->root, "doc"));
	yyjson_mut_obj_add_str(m->doc, operation, "x-permission", spec_str(spec->root, "permission"));
	yyjson_mut_val *parameters = yyjson_mut_obj_add_arr(m->doc, operation, "parameters");
	size_t i, max;
	yyjson_arr_foreach(args, i, max, arg) {
		int of_path = in_path(path, spec_str(arg, "name"));
		if (of_path || get)
			add_parameter(m, parameters, arg, of_path);
	}
	if (!get) {
		add_body(m, operation, args, path);
		yyjson_mut_val *security = yyjson_mut_obj_add_arr(m->doc, operation, "security");
		yyjson_mut_obj_add_arr(m->doc, yyjson_mut_arr_add_obj(m->doc, security), "token");
	}
	yyjson_mut_val *responses = yyjson_mut_obj_add_obj(m->doc, operation, "responses");
	add_response(m, responses, "200", "the result", yyjson_val_mut_copy(m->doc, yyjson_obj_get(spec->root, "result")));
	add_response(m, responses, "default", "an error", error_ref(m));
}

static const char ERROR_SCHEMA[] =
	"{\"type\":\"object\",\"required\":[\"error\"],\"properties\":{\"error\":{\"type\":\"object\",\"required\":[\"code\","
		"\"message\",\"retriable\"],"
	"\"properties\":{\"code\":{\"type\":\"string\"},\"message\":{\"type\":\"string\"},\"where\":{\"type\":\"string\"},"
		"\"hint\":{\"type\":\"string\"},"
	"\"retriable\":{\"type\":\"boolean\"}}}}}";

static void add_components(struct make *m, yyjson_mut_val *root)
{
	yyjson_mut_val *components = yyjson_mut_obj_add_obj(m->doc, root, "components");
	yyjson_mut_val *schemas = yyjson_mut_obj_add_obj(m->doc, components, "schemas");
	yyjson_doc *error = yyjson_read(ERROR_SCHEMA, sizeof ERROR_SCHEMA - 1, 0);
	yyjson_mut_obj_add_val(m->doc, schemas, "Error", yyjson_val_mut_copy(m->doc, yyjson_doc_get_root(error)));
	yyjson_mut_val *schemes = yyjson_mut_obj_add_obj(m->doc, components, "securitySchemes");
	yyjson_mut_val *token = yyjson_mut_obj_add_obj(m->doc, schemes, "token");
	yyjson_mut_obj_add_str(m->doc, token, "type", "http");
	yyjson_mut_obj_add_str(m->doc, token, "scheme", "bearer");
	yyjson_mut_obj_add_str(m->doc, token, "description", "the text of .sluice/key/token, made by `sluice init`");
	yyjson_doc_free(error);
}

void write_openapi(const struct specs *specs, const char *dir, const char *version)
{
	struct make m = {.doc = yyjson_mut_doc_new(NULL)};
	yyjson_mut_val *root = yyjson_mut_obj(m.doc);
	yyjson_mut_doc_set_root(m.doc, root);
	yyjson_mut_obj_add_str(m.doc, root, "openapi", "3.1.0");
	yyjson_mut_val *info = yyjson_mut_obj_add_obj(m.doc, root, "info");
	yyjson_mut_obj_add_str(m.doc, info, "title", "Sluice");
	yyjson_mut_obj_add_str(m.doc, info, "version", version);
	yyjson_mut_obj_add_str(m.doc, info, "description", "The same operations as the command line, one for one.");
	m.paths = yyjson_mut_obj_add_obj(m.doc, root, "paths");
	for (size_t i = 0; i < specs->count; i++)
		if (yyjson_obj_get(specs->items[i].root, "route"))
			add_operation(&m, &specs->items[i]);
	add_components(&m, root);
	char *text = yyjson_mut_write(m.doc, YYJSON_WRITE_PRETTY_TWO_SPACES | YYJSON_WRITE_NEWLINE_AT_END, NULL);
	if (!text) {
		fputs("opgen: no memory\n", stderr);
		exit(1);
	}
	FILE *json = create_file(dir, "share/openapi.json");
	fputs(text, json);
	finish_file(json, "share/openapi.json");
	FILE *out = create_file(dir, "op/openapi.c");
	fputs("/* made by tools/opgen from spec/op */\n#include \"op/op.h\"\n\nconst char sl_op_openapi[] =\n\t\t", out);
	write_c_string(out, text);
	fputs(";\n", out);
	finish_file(out, "op/openapi.c");
	free(text);
	yyjson_mut_doc_free(m.doc);
}
