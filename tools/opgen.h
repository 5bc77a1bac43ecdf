/* opgen: from spec/op/NAME.json to the operation table, OpenAPI, man pages and completion. Runs on the building machine. */
#ifndef OPGEN_H
#define OPGEN_H

#include <stdio.h>

#include <yyjson.h>

enum { OPGEN_SPECS_MAX = 200 };

struct spec {
	const char *path;  /* of the file, for messages */
	const char *name;
	yyjson_val *root;
	long long order;
};

struct specs {
	struct spec items[OPGEN_SPECS_MAX];
	size_t count;
};

_Noreturn void spec_die(const struct spec *spec, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *spec_str(yyjson_val *object, const char *name); /* "" when absent */
int spec_bool(yyjson_val *object, const char *name);
FILE *create_file(const char *dir, const char *name);
void finish_file(FILE *f, const char *name);
void write_c_string(FILE *out, const char *text); /* with its quotes; NULL: NULL */

void write_table(const struct specs *specs, const char *dir);
void write_openapi(const struct specs *specs, const char *dir, const char *version);
void write_man_pages(const struct specs *specs, const char *dir, const char *version);
void write_completion(const struct specs *specs, const char *dir);

#endif
