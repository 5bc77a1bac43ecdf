/* opgen OUT_DIR VERSION SPEC...
 *
 * Reads and checks the operations' specs (docs/api.md tells the members) and writes OUT_DIR/op/{handlers.h,table.c,openapi.c}
 * and under OUT_DIR/share the manual pages, completion and openapi.json. Output depends on nothing but its inputs.
 */
#include "opgen.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *const MEMBERS[] = {
	"noun", "order", "summary", "doc", "args", "result", "route", "permission", "examples", "safe", "hidden", NULL,
};
static const char *const ARG_MEMBERS[] = {
	"name",
	"type",
	"position",
	"rest",
	"required",
	"letter",
	"default",
	"min",
	"max",
	"choices",
	"metavar",
	"doc",
	"schema",
	NULL,
};
static const char *const TYPES[] = {
	"text", "int", "double", "flag", "choice", "time", "duration", "path", "ref", "name", "json", NULL};
static const char *const PERMISSIONS[] = {"none", "view", "run", "edit", "approve", "admin", NULL};

void spec_die(const struct spec *spec, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fprintf(stderr, "%s: ", spec->path);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

const char *spec_str(yyjson_val *object, const char *name)
{
	const char *text = yyjson_get_str(yyjson_obj_get(object, name));
	return text ? text : "";
}

int spec_bool(yyjson_val *object, const char *name) { return yyjson_get_bool(yyjson_obj_get(object, name)); }

static void make_parents(char *path)
{
	for (char *slash = path; (slash = strchr(slash + 1, '/'));) {
		*slash = 0;
		if (*path)
			mkdir(path, 0777);
		*slash = '/';
	}
}

FILE *create_file(const char *dir, const char *name)
{
	char path[4096];
	if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, name) >= sizeof path) {
		fprintf(stderr, "opgen: path too long: %s\n", name);
		exit(1);
	}
	make_parents(path);
	FILE *f = fopen(path, "w");
	if (!f) {
		fprintf(stderr, "opgen: cannot write %s: %s\n", path, strerror(errno));
		exit(1);
	}
	return f;
}

void finish_file(FILE *f, const char *name)
{
	if (ferror(f) || fclose(f) != 0) {
		fprintf(stderr, "opgen: cannot write %s\n", name);
		exit(1);
	}
}

void write_c_string(FILE *out, const char *text)
{
	if (!text) {
		fputs("NULL", out);
		return;
	}
	fputc('"', out);
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c == '"' || *c == '\\')
			fprintf(out, "\\%c", *c);
		else if (*c == '\n')
			fputs("\\n\"\n\t\t\"", out);
		else if (*c < 0x20 || *c == '?' || *c >= 0x7f)
			fprintf(out, "\\%03o", *c);
		else
			fputc(*c, out);
	}
	fputc('"', out);
}

static int listed(const char *const *list, const char *text)
{
	for (; *list; list++)
		if (strcmp(*list, text) == 0)
			return 1;
	return 0;
}

static void check_members(const struct spec *spec, yyjson_val *object, const char *const *known, const char *of)
{
	yyjson_obj_iter it = yyjson_obj_iter_with(object);
	for (yyjson_val *key; (key = yyjson_obj_iter_next(&it));)
		if (!listed(known, yyjson_get_str(key)))
			spec_die(spec, "%s has the unknown member '%s'", of, yyjson_get_str(key));
}

static void check_arg(const struct spec *spec, yyjson_val *arg)
{
	const char *name = spec_str(arg, "name");
	check_members(spec, arg, ARG_MEMBERS, name);
	if (!*name || !*spec_str(arg, "doc"))
		spec_die(spec, "an argument needs a name and a doc");
	if (!listed(TYPES, spec_str(arg, "type")))
		spec_die(spec, "argument '%s': unknown type '%s'", name, spec_str(arg, "type"));
	if ((strcmp(spec_str(arg, "type"), "choice") == 0) != yyjson_is_arr(yyjson_obj_get(arg, "choices")))
		spec_die(spec, "argument '%s': choices belong to type choice, and to it alone", name);
}

/* Deny is the default: a route without a permission cannot be built, a mutation cannot hide behind GET's permission. */
static void check_route(const struct spec *spec)
{
	yyjson_val *route = yyjson_obj_get(spec->root, "route");
	const char *permission = spec_str(spec->root, "permission"), *method = spec_str(route, "method"),
		   *path = spec_str(route, "path");
	if (!listed(PERMISSIONS, permission))
		spec_die(spec, "needs a permission: none, view, run, edit, approve or admin");
	if (!route) {
		if (strcmp(permission, "none") != 0)
			spec_die(spec, "a permission without a route");
		return;
	}
	if (strcmp(permission, "none") == 0)
		spec_die(spec, "a route without a permission");
	if (strcmp(method, "GET") != 0 && strcmp(method, "POST") != 0)
		spec_die(spec, "route method must be GET or POST");
	if ((strcmp(method, "GET") == 0) != (strcmp(permission, "view") == 0))
		spec_die(spec, "GET goes with permission view, everything else with POST");
	if (strncmp(path, "/api/v1/", 8) != 0)
		spec_die(spec, "route path must start with /api/v1/");
}

static void check_spec(const struct spec *spec)
{
	static const char *const needed[] = {"noun", "summary"};
	check_members(spec, spec->root, MEMBERS, "the spec");
	for (size_t i = 0; i < 2; i++)
		if (!*spec_str(spec->root, needed[i]))
			spec_die(spec, "'%s' is missing", needed[i]);
	if (!yyjson_is_obj(yyjson_obj_get(spec->root, "result")))
		spec_die(spec, "'result' (a JSON Schema) is missing");
	if (!spec_bool(spec->root, "hidden") && !yyjson_arr_size(yyjson_obj_get(spec->root, "examples")))
		spec_die(spec, "needs an example");
	size_t i, max;
	yyjson_val *arg;
	yyjson_arr_foreach(yyjson_obj_get(spec->root, "args"), i, max, arg)
		check_arg(spec, arg);
	check_route(spec);
}

static void load(struct spec *spec, const char *path)
{
	yyjson_read_err why;
	yyjson_doc *doc = yyjson_read_file(path, 0, NULL, &why);
	spec->path = path;
	if (!doc)
		spec_die(spec, "byte %zu: %s", why.pos, why.msg);
	const char *base = strrchr(path, '/');
	char *name = strdup(base ? base + 1 : path);
	if (!name)
		spec_die(spec, "no memory");
	name[strlen(name) - strlen(".json")] = 0;
	spec->name = name;
	spec->root = yyjson_doc_get_root(doc);
	spec->order = yyjson_get_sint(yyjson_obj_get(spec->root, "order"));
	check_spec(spec);
}

static int compare(const void *a, const void *b)
{
	const struct spec *x = a, *y = b;
	return x->order != y->order ? (x->order > y->order) - (x->order < y->order) : strcmp(x->name, y->name);
}

int main(int argc, char **argv)
{
	static struct specs specs;
	if (argc < 4 || argc - 3 > OPGEN_SPECS_MAX) {
		fputs("usage: opgen OUT_DIR VERSION SPEC...\n", stderr);
		return 2;
	}
	for (int i = 3; i < argc; i++)
		load(&specs.items[specs.count++], argv[i]);
	qsort(specs.items, specs.count, sizeof *specs.items, compare);
	write_table(&specs, argv[1]);
	write_openapi(&specs, argv[1], argv[2]);
	write_man_pages(&specs, argv[1], argv[2]);
	write_completion(&specs, argv[1]);
	return 0;
}
