#include "oip/proto_file.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/proto.h"

/* Field numbers of descriptor.proto. */
enum { FILE_NAME = 1, FILE_PACKAGE, FILE_MESSAGE = 4, FILE_ENUM, FILE_SERVICE, FILE_SYNTAX = 12 };
enum { MESSAGE_NAME = 1, MESSAGE_FIELD, MESSAGE_NESTED, MESSAGE_ENUM, MESSAGE_OPTIONS = 7, MESSAGE_ONEOF, OPTIONS_MAP_ENTRY = 7 };
enum { FIELD_NAME = 1, FIELD_NUMBER = 3, FIELD_LABEL, FIELD_TYPE, FIELD_TYPE_NAME, FIELD_ONEOF = 9 };
enum { ENUM_NAME = 1, ENUM_VALUE, VALUE_NAME = 1, VALUE_NUMBER };
enum { SERVICE_NAME = 1, SERVICE_METHOD, METHOD_NAME = 1, METHOD_INPUT, METHOD_OUTPUT, METHOD_CLIENT_STREAMS = 5, METHOD_SERVER_STREAMS };
enum { LABEL_OPTIONAL = 1, LABEL_REPEATED = 3, TYPE_MESSAGE = 11, TYPE_ENUM = 14 };

enum { WORD_MAX = 160, NO_ONEOF = -1 };

struct reader {
	const char *p, *file;
	int line;
	struct sl_buf *out, *names, *services;
	struct sl_buf enums; /* as `names` */
	struct sl_error *err;
};

static int fail(struct reader *r, const char *expected)
{
	sl_fail(r->err, SL_E_BUG, "%s is expected", expected);
	return sl_error_where(r->err, "%s:%d", r->file, r->line);
}

static void skip(struct reader *r)
{
	for (;; r->p++) {
		if (r->p[0] == '/' && r->p[1] == '/')
			r->p += strcspn(r->p, "\n");
		r->line += *r->p == '\n';
		if (!isspace((unsigned char)*r->p))
			return;
	}
}

static bool take(struct reader *r, const char *what)
{
	size_t len = strlen(what);
	skip(r);
	bool word = isalpha((unsigned char)what[0]);
	if (strncmp(r->p, what, len) != 0 || (word && (isalnum((unsigned char)r->p[len]) || r->p[len] == '_')))
		return false;
	r->p += len;
	return true;
}

/* A name, with dots in it; or a number. */
static int read_word(struct reader *r, char ret[WORD_MAX])
{
	skip(r);
	size_t len = strspn(r->p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.");
	if (!len || len >= WORD_MAX)
		return fail(r, "a name");
	memcpy(ret, r->p, len);
	ret[len] = 0;
	r->p += len;
	return 0;
}

static int expect(struct reader *r, const char *what) { return take(r, what) ? 0 : fail(r, what); }

/* "= 7;" */
static int read_number(struct reader *r, int *ret)
{
	char word[WORD_MAX];
	int rc = expect(r, "=");
	if (!rc)
		rc = read_word(r, word);
	*ret = rc ? 0 : atoi(word);
	return rc ? rc : expect(r, ";");
}

/* Notes a thing's full name: the scope's, without the dot at its front, and its own. */
static void note(struct sl_buf *names, const char *scope, const char *name) { sl_buf_printf(names, "%s.%s\n", scope + 1, name); }

static bool is_enum(const struct reader *r, const char *type)
{
	char line[WORD_MAX + 2];
	int len = snprintf(line, sizeof line, "%s\n", type + 1);
	const char *found = strstr(sl_buf_cstr(&r->enums), line);
	return len > 1 && found && (found == r->enums.data || found[-1] == '\n');
}

/* ---- fields ---- */

static int scalar_of(const char *type)
{
	static const char *const names[] = {"",	   "double", "float", "int64",	"uint64", "int32", "fixed64", "fixed32",
					    "bool", "string", "",     "",	"bytes",  "uint32"};
	for (int i = 1; i < (int)SL_ARRAY_LEN(names); i++)
		if (names[i][0] && strcmp(names[i], type) == 0)
			return i;
	return 0;
}

struct field {
	const char *name, *type;
	int number, label, oneof;
};

static int put_field(struct reader *r, uint32_t as, const struct field *f)
{
	int scalar = scalar_of(f->type);
	if (!scalar && f->type[0] != '.')
		return fail(r, "a scalar type, or one named in full,");
	size_t field = sl_proto_open(r->out, as);
	sl_proto_put_text(r->out, FIELD_NAME, f->name);
	sl_proto_put_int(r->out, FIELD_NUMBER, (uint64_t)f->number);
	sl_proto_put_int(r->out, FIELD_LABEL, (uint64_t)f->label);
	sl_proto_put_int(r->out, FIELD_TYPE, (uint64_t)(scalar ? scalar : is_enum(r, f->type) ? TYPE_ENUM : TYPE_MESSAGE));
	if (!scalar)
		sl_proto_put_text(r->out, FIELD_TYPE_NAME, f->type);
	if (f->oneof != NO_ONEOF)
		sl_proto_put_int(r->out, FIELD_ONEOF, (uint64_t)f->oneof);
	sl_proto_close(r->out, field);
	return 0;
}

/* Behind "map": <K, V> name = 1; It is a repeated message of its own, "NameEntry". */
static int read_map(struct reader *r, const char *scope)
{
	char key[WORD_MAX], value[WORD_MAX], name[WORD_MAX], entry[WORD_MAX + 8];
	struct sl_buf type SL_AUTO_BUF = SL_BUF_INIT(4 * WORD_MAX);
	int number = 0, rc = expect(r, "<");
	if (!rc)
		rc = read_word(r, key);
	if (!rc)
		rc = expect(r, ",");
	if (!rc)
		rc = read_word(r, value);
	if (!rc)
		rc = expect(r, ">");
	if (!rc)
		rc = read_word(r, name);
	if (!rc)
		rc = read_number(r, &number);
	if (rc)
		return rc;
	size_t len = 0;
	bool upper = true;
	for (const char *c = name; *c; upper = *c++ == '_')
		if (*c != '_')
			entry[len++] = (char)(upper ? toupper((unsigned char)*c) : *c);
	memcpy(entry + len, "Entry", 6);
	size_t nested = sl_proto_open(r->out, MESSAGE_NESTED);
	sl_proto_put_text(r->out, MESSAGE_NAME, entry);
	rc = put_field(r, MESSAGE_FIELD, &(struct field){"key", key, 1, LABEL_OPTIONAL, NO_ONEOF});
	if (!rc)
		rc = put_field(r, MESSAGE_FIELD, &(struct field){"value", value, 2, LABEL_OPTIONAL, NO_ONEOF});
	size_t options = sl_proto_open(r->out, MESSAGE_OPTIONS);
	sl_proto_put_int(r->out, OPTIONS_MAP_ENTRY, 1);
	sl_proto_close(r->out, options);
	sl_proto_close(r->out, nested);
	sl_buf_printf(&type, "%s.%s", scope, entry);
	return rc ? rc : put_field(r, MESSAGE_FIELD, &(struct field){name, sl_buf_cstr(&type), number, LABEL_REPEATED, NO_ONEOF});
}

static int read_field(struct reader *r, int oneof)
{
	char type[WORD_MAX], name[WORD_MAX];
	struct field field = {.name = name, .type = type, .label = take(r, "repeated") ? LABEL_REPEATED : LABEL_OPTIONAL, .oneof = oneof};
	int rc = read_word(r, type);
	if (!rc)
		rc = read_word(r, name);
	if (!rc)
		rc = read_number(r, &field.number);
	return rc ? rc : put_field(r, MESSAGE_FIELD, &field);
}

static int read_oneof(struct reader *r, int index)
{
	char name[WORD_MAX];
	int rc = read_word(r, name);
	if (!rc)
		rc = expect(r, "{");
	while (!rc && !take(r, "}"))
		rc = read_field(r, index);
	size_t oneof = sl_proto_open(r->out, MESSAGE_ONEOF);
	sl_proto_put_text(r->out, MESSAGE_NAME, name);
	sl_proto_close(r->out, oneof);
	return rc;
}

/* ---- enums, messages, services ---- */

static int read_enum(struct reader *r, uint32_t as, const char *scope)
{
	char name[WORD_MAX];
	int number = 0, rc = read_word(r, name);
	if (!rc)
		rc = expect(r, "{");
	if (rc)
		return rc;
	note(r->names, scope, name);
	note(&r->enums, scope, name);
	size_t all = sl_proto_open(r->out, as);
	sl_proto_put_text(r->out, ENUM_NAME, name);
	while (!rc && !take(r, "}")) {
		rc = read_word(r, name);
		if (!rc)
			rc = read_number(r, &number);
		size_t value = sl_proto_open(r->out, ENUM_VALUE);
		sl_proto_put_text(r->out, VALUE_NAME, name);
		sl_proto_put_int(r->out, VALUE_NUMBER, (uint64_t)number);
		sl_proto_close(r->out, value);
	}
	sl_proto_close(r->out, all);
	return rc;
}

static int read_message(struct reader *r, uint32_t as, const char *scope, int depth)
{
	char name[WORD_MAX], inner[3 * WORD_MAX];
	int oneofs = 0, rc = read_word(r, name);
	if (!rc)
		rc = depth == SL_PROTO_FILE_DEPTH_MAX ? fail(r, "a message that is nested less deep") : expect(r, "{");
	if (rc)
		return rc;
	note(r->names, scope, name);
	snprintf(inner, sizeof inner, "%s.%s", scope, name);
	size_t message = sl_proto_open(r->out, as);
	sl_proto_put_text(r->out, MESSAGE_NAME, name);
	while (!rc && !take(r, "}")) {
		if (take(r, "message"))
			rc = read_message(r, MESSAGE_NESTED, inner, depth + 1);
		else if (take(r, "enum"))
			rc = read_enum(r, MESSAGE_ENUM, inner);
		else if (take(r, "oneof"))
			rc = read_oneof(r, oneofs++);
		else if (take(r, "map"))
			rc = read_map(r, inner);
		else
			rc = read_field(r, NO_ONEOF);
	}
	sl_proto_close(r->out, message);
	return rc;
}

/* "(stream .a.B)" */
static int read_side(struct reader *r, char type[WORD_MAX], bool *ret_stream)
{
	int rc = expect(r, "(");
	*ret_stream = !rc && take(r, "stream");
	if (!rc)
		rc = read_word(r, type);
	return rc ? rc : expect(r, ")");
}

static int read_method(struct reader *r, const char *service)
{
	char name[WORD_MAX], input[WORD_MAX], output[WORD_MAX];
	bool in = false, out = false;
	int rc = expect(r, "rpc");
	if (!rc)
		rc = read_word(r, name);
	if (!rc)
		rc = read_side(r, input, &in);
	if (!rc)
		rc = expect(r, "returns");
	if (!rc)
		rc = read_side(r, output, &out);
	if (!rc)
		rc = take(r, "{") ? expect(r, "}") : fail(r, "{");
	if (rc)
		return rc;
	note(r->names, service, name);
	size_t method = sl_proto_open(r->out, SERVICE_METHOD);
	sl_proto_put_text(r->out, METHOD_NAME, name);
	sl_proto_put_text(r->out, METHOD_INPUT, input);
	sl_proto_put_text(r->out, METHOD_OUTPUT, output);
	if (in)
		sl_proto_put_int(r->out, METHOD_CLIENT_STREAMS, 1);
	if (out)
		sl_proto_put_int(r->out, METHOD_SERVER_STREAMS, 1);
	sl_proto_close(r->out, method);
	return 0;
}

static int read_service(struct reader *r, const char *package)
{
	char name[WORD_MAX], inner[3 * WORD_MAX];
	int rc = read_word(r, name);
	if (!rc)
		rc = expect(r, "{");
	if (rc)
		return rc;
	note(r->names, package, name);
	note(r->services, package, name);
	snprintf(inner, sizeof inner, "%s.%s", package, name);
	size_t service = sl_proto_open(r->out, FILE_SERVICE);
	sl_proto_put_text(r->out, SERVICE_NAME, name);
	while (!rc && !take(r, "}"))
		rc = read_method(r, inner);
	sl_proto_close(r->out, service);
	return rc;
}

static int read_file(struct reader *r)
{
	char package[WORD_MAX], scope[WORD_MAX + 1];
	int rc = expect(r, "syntax");
	if (!rc)
		rc = expect(r, "=");
	if (!rc)
		rc = expect(r, "\"proto3\"");
	if (!rc)
		rc = expect(r, ";");
	if (!rc)
		rc = expect(r, "package");
	if (!rc)
		rc = read_word(r, package);
	if (!rc)
		rc = expect(r, ";");
	if (rc)
		return rc;
	sl_proto_put_text(r->out, FILE_NAME, r->file);
	sl_proto_put_text(r->out, FILE_PACKAGE, package);
	sl_proto_put_text(r->out, FILE_SYNTAX, "proto3");
	snprintf(scope, sizeof scope, ".%s", package);
	for (skip(r); !rc && *r->p; skip(r))
		rc = take(r, "message")	  ? read_message(r, FILE_MESSAGE, scope, 0)
		     : take(r, "enum")	  ? read_enum(r, FILE_ENUM, scope)
		     : take(r, "service") ? read_service(r, scope)
					  : fail(r, "message, enum or service");
	return rc;
}

int sl_proto_file(const char *name, const char *text, struct sl_buf *out, struct sl_buf *names, struct sl_buf *services, struct sl_error *err)
{
	struct reader r = {.p = text, .file = name, .line = 1, .out = out, .names = names, .services = services, .err = err};
	sl_buf_init(&r.enums, names->max);
	int rc = read_file(&r);
	if (!rc)
		rc = sl_buf_check(&r.enums, "the list of enums", err);
	sl_buf_done(&r.enums);
	return rc;
}
