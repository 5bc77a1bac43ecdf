#include "oip/grpc_reflect.h"

#include <string.h>

#include "base/embedded.h"
#include "base/proto.h"
#include "base/str.h"
#include "embedded/proto.h"
#include "oip/internal.h"
#include "oip/proto_file.h"

enum { FILES_MAX = 8, FILE_BYTES_MAX = 256 * 1024, SYMBOL_MAX = 512 };
enum { REQUEST_FILE = 3, REQUEST_SYMBOL, REQUEST_EXTENSION, REQUEST_EXTENSIONS, REQUEST_SERVICES };
enum { ANSWER_HOST = 1, ANSWER_REQUEST, ANSWER_FILES = 4, ANSWER_NUMBERS, ANSWER_SERVICES, ANSWER_PROBLEM };

struct file {
	const char *name;
	struct sl_buf descriptor, names, services;
};
struct oip_reflection {
	struct file files[FILES_MAX];
	size_t count;
};

void oip_reflection_free(struct oip_reflection *reflection)
{
	for (size_t i = 0; reflection && i < reflection->count; i++) {
		sl_buf_done(&reflection->files[i].descriptor);
		sl_buf_done(&reflection->files[i].names);
		sl_buf_done(&reflection->files[i].services);
	}
	sl_free(reflection);
}

static int read_file(const struct sl_embedded *from, struct file *file, struct sl_error *err)
{
	file->name = from->name;
	sl_buf_init(&file->descriptor, FILE_BYTES_MAX);
	sl_buf_init(&file->names, FILE_BYTES_MAX);
	sl_buf_init(&file->services, FILE_BYTES_MAX);
	int rc = sl_proto_file(from->name, (const char *)from->data, &file->descriptor, &file->names, &file->services, err);
	if (!rc)
		rc = sl_buf_check(&file->descriptor, from->name, err);
	if (!rc)
		rc = sl_buf_check(&file->names, from->name, err);
	return rc ? rc : sl_buf_check(&file->services, from->name, err);
}

static int read_files(struct oip_reflection **ret, struct sl_error *err)
{
	struct oip_reflection *made = sl_alloc(sizeof *made, err);
	int rc = made ? 0 : SL_E_NO_MEMORY;
	for (size_t i = 0; !rc && i < sl_embedded_proto_count && i < FILES_MAX; i++)
		rc = read_file(&sl_embedded_proto[i], &made->files[made->count++], err);
	if (rc)
		oip_reflection_free(made);
	else
		*ret = made;
	return rc;
}

/* ---- answers ---- */

static void put_problem(struct sl_buf *out, enum sl_grpc_status status, const char *message)
{
	size_t problem = sl_proto_open(out, ANSWER_PROBLEM);
	sl_proto_put_int(out, 1, (uint64_t)status);
	sl_proto_put_text(out, 2, message);
	sl_proto_close(out, problem);
}

static void put_services(struct sl_buf *out, const struct oip_reflection *reflection)
{
	size_t list = sl_proto_open(out, ANSWER_SERVICES);
	for (size_t i = 0; i < reflection->count; i++)
		for (const char *p = sl_buf_cstr(&reflection->files[i].services), *end; (end = strchr(p, '\n')); p = end + 1) {
			size_t service = sl_proto_open(out, 1);
			sl_proto_put_bytes(out, 1, p, (size_t)(end - p));
			sl_proto_close(out, service);
		}
	sl_proto_close(out, list);
}

static bool has_line(const char *lines, const char *text, size_t len)
{
	for (const char *end; (end = strchr(lines, '\n')); lines = end + 1)
		if ((size_t)(end - lines) == len && memcmp(lines, text, len) == 0)
			return true;
	return false;
}

static void put_file(struct sl_buf *out, const struct oip_reflection *reflection, const struct sl_proto_field *wanted)
{
	const char *text = (const char *)wanted->data;
	for (size_t i = 0; i < reflection->count; i++) {
		const struct file *file = &reflection->files[i];
		bool named = wanted->number == REQUEST_FILE && strlen(file->name) == wanted->len && memcmp(file->name, text, wanted->len) == 0;
		if (!named && !(wanted->number == REQUEST_SYMBOL && has_line(sl_buf_cstr(&file->names), text, wanted->len)))
			continue;
		size_t files = sl_proto_open(out, ANSWER_FILES);
		sl_proto_put_bytes(out, 1, file->descriptor.data, file->descriptor.len);
		sl_proto_close(out, files);
		return;
	}
	put_problem(out, SL_GRPC_NOT_FOUND, "no file or symbol of that name is known");
}

static int answer(struct sl_buf *out, const struct oip_reflection *reflection, const void *data, size_t len, struct sl_error *err)
{
	struct sl_proto in = sl_proto_of(data, len);
	struct sl_proto_field field, wanted = {0};
	while (sl_proto_next(&in, &field))
		if (field.number >= REQUEST_FILE && field.number <= REQUEST_SERVICES && field.wire == SL_PROTO_BYTES)
			wanted = field;
	if (in.bad || wanted.len > SYMBOL_MAX)
		return sl_fail(err, SL_E_INVALID, "the message is no ServerReflectionRequest");
	sl_proto_put_bytes(out, ANSWER_REQUEST, data, len);
	if (wanted.number == REQUEST_SERVICES)
		put_services(out, reflection);
	else if (wanted.number == REQUEST_FILE || wanted.number == REQUEST_SYMBOL)
		put_file(out, reflection, &wanted);
	else
		put_problem(out, SL_GRPC_NOT_FOUND, "nothing here has extensions");
	return 0;
}

void oip_reflect(void *context, struct sl_grpc_call *call, const void *data, size_t len)
{
	struct sl_oip *oip = context;
	struct sl_error err = {0};
	struct sl_buf out SL_AUTO_BUF = SL_BUF_INIT(FILE_BYTES_MAX + SYMBOL_MAX);
	int rc = oip->reflection ? 0 : read_files(&oip->reflection, &err);
	if (!rc)
		rc = answer(&out, oip->reflection, data, len, &err);
	if (!rc)
		rc = sl_buf_check(&out, "the answer", &err);
	if (rc)
		sl_grpc_fail(call, &err);
	else if (!sl_grpc_send(call, out.data, out.len))
		sl_grpc_finish(call, SL_GRPC_RESOURCE_EXHAUSTED, NULL);
}
