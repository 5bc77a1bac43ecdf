#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* One row per code: the only place that says what a code is called and how the faces show it. */
static const struct {
	int code;
	const char *name;
	int exit_status;
	int http_status;
} CODES[] = {
	{SL_OK, "ok", 0, 200},
	{SL_E_FAILED, "failed", 1, 422},
	{SL_E_INVALID, "invalid", 2, 400},
	{SL_E_NOT_FOUND, "not_found", 2, 404},
	{SL_E_CONFLICT, "conflict", 2, 409},
	{SL_E_DENIED, "denied", 2, 403},
	{SL_E_TOO_LARGE, "too_large", 2, 413},
	{SL_E_BUSY, "busy", 4, 503},
	{SL_E_IO, "io", 3, 500},
	{SL_E_NO_SPACE, "no_space", 3, 507},
	{SL_E_NO_MEMORY, "no_memory", 3, 503},
	{SL_E_NO_LIBRARY, "no_library", 3, 501},
	{SL_E_CORRUPT, "corrupt", 3, 500},
	{SL_E_TIMEOUT, "timeout", 1, 504},
	{SL_E_CANCELLED, "cancelled", 1, 499},
	{SL_E_BUG, "bug", 70, 500},
};

static size_t code_row(int code)
{
	for (size_t i = 0; i < sizeof CODES / sizeof *CODES; i++)
		if (CODES[i].code == code)
			return i;
	return sizeof CODES / sizeof *CODES - 1;
}

const char *sl_code_name(int code) { return CODES[code_row(code)].name; }
int sl_code_exit_status(int code) { return CODES[code_row(code)].exit_status; }
int sl_code_http_status(int code) { return CODES[code_row(code)].http_status; }

/* The code of the newest failure of this thread: what a hint answers with when its caller wanted no text. */
static _Thread_local int last_code;

static int fill(struct sl_error *err, int code, const char *where, const char *format, va_list args) SL_PRINTF(4, 0);
static int fill(struct sl_error *err, int code, const char *where, const char *format, va_list args)
{
	last_code = code;
	if (!err)
		return code;
	/* The arguments may point into `err` itself (a message wrapped in a longer one), so print aside first. */
	char message[sizeof err->message];
	vsnprintf(message, sizeof message, format, args);
	char place[sizeof err->where];
	snprintf(place, sizeof place, "%s", where ? where : "");
	err->code = code;
	err->retriable = code == SL_E_BUSY || code == SL_E_NO_SPACE || code == SL_E_NO_MEMORY || code == SL_E_TIMEOUT;
	memcpy(err->message, message, sizeof message);
	memcpy(err->where, place, sizeof place);
	err->hint[0] = 0;
	return code;
}

int sl_fail(struct sl_error *err, int code, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fill(err, code, NULL, format, args);
	va_end(args);
	return code;
}

int sl_fail_at(struct sl_error *err, int code, const char *where, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fill(err, code, where, format, args);
	va_end(args);
	return code;
}

int sl_fail_errno(struct sl_error *err, int error_number, const char *where, const char *doing)
{
	int code = SL_E_IO;
	switch (error_number) {
	case ENOSPC:
	case EDQUOT: code = SL_E_NO_SPACE; break;
	case ENOMEM: code = SL_E_NO_MEMORY; break;
	case ENOENT: code = SL_E_NOT_FOUND; break;
	case EEXIST: code = SL_E_CONFLICT; break;
	default: break;
	}
	char text[128];
	const char *reason = strerror_r(error_number, text, sizeof text);
	return sl_fail_at(err, code, where, "%s: %s", doing, reason);
}

int sl_fail_memory(struct sl_error *err) { return sl_fail(err, SL_E_NO_MEMORY, "out of memory"); }

int sl_error_hint(struct sl_error *err, const char *format, ...)
{
	if (!err)
		return last_code;
	char hint[sizeof err->hint];
	va_list args;
	va_start(args, format);
	vsnprintf(hint, sizeof hint, format, args);
	va_end(args);
	memcpy(err->hint, hint, sizeof hint);
	return err->code;
}

int sl_error_where(struct sl_error *err, const char *format, ...)
{
	if (!err)
		return last_code;
	if (err->where[0])
		return err->code;
	va_list args;
	va_start(args, format);
	vsnprintf(err->where, sizeof err->where, format, args);
	va_end(args);
	return err->code;
}

int sl_error_context(struct sl_error *err, const char *format, ...)
{
	if (!err)
		return last_code;
	char context[256], message[sizeof err->message];
	va_list args;
	va_start(args, format);
	vsnprintf(context, sizeof context, format, args);
	va_end(args);
	snprintf(message, sizeof message, "%s: %.700s", context, err->message);
	memcpy(err->message, message, sizeof message);
	return err->code;
}
