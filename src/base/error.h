/* Errors: what happened, where, and what to do.
 *
 * A function returns 0, a documented positive special, or a negative code from enum sl_code; the detail goes into the
 * caller's struct sl_error, which is untouched on success and never allocates. A face prints it as
 *
 *     error: <where>: <message>
 *       hint: <hint>
 *
 * Library code never exits and never prints.
 */
#ifndef SL_BASE_ERROR_H
#define SL_BASE_ERROR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

enum sl_code {
	SL_OK = 0,
	SL_E_FAILED = -1,      /* something of the user's failed: a step, a check, a gate. Exit 1 */
	SL_E_INVALID = -2,     /* the command, project file or request is wrong. Exit 2, HTTP 400 */
	SL_E_NOT_FOUND = -3,   /* a name, reference or route that does not exist. Exit 2, HTTP 404 */
	SL_E_CONFLICT = -4,    /* exists already, or not in the state that this needs. Exit 2, HTTP 409 */
	SL_E_DENIED = -5,      /* not allowed. Exit 2, HTTP 403 */
	SL_E_TOO_LARGE = -6,   /* beyond a stated limit. Exit 2, HTTP 413 */
	SL_E_BUSY = -7,        /* someone else holds it. Exit 4, HTTP 503 */
	SL_E_IO = -8,          /* the machine refused: I/O error, permission. Exit 3, HTTP 500 */
	SL_E_NO_SPACE = -9,    /* disk full. Exit 3, HTTP 507 */
	SL_E_NO_MEMORY = -10,  /* Exit 3, HTTP 503 */
	SL_E_NO_LIBRARY = -11, /* a shared library is missing. Exit 3, HTTP 501 */
	SL_E_CORRUPT = -12,    /* stored bytes are not what was written. Exit 3, HTTP 500 */
	SL_E_TIMEOUT = -13,    /* Exit 1, HTTP 504 */
	SL_E_CANCELLED = -14,  /* asked to stop. Exit 1, HTTP 499 */
	SL_E_BUG = -15,        /* a broken promise of ours. Exit 70, HTTP 500 */
};

struct sl_error {
	int code;           /* enum sl_code */
	bool retriable;     /* the same call may succeed later, unchanged */
	char where[256];    /* "file:line:column", a path, a name; may be empty */
	char message[1024]; /* one sentence, lower case, no full stop */
	char hint[512];     /* what to do; may be empty */
};

#define SL_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* Each fills `err` (NULL is allowed and only drops the text) and returns `code`, so that `return sl_fail(...)` reads well. */
int sl_fail(struct sl_error *err, int code, const char *format, ...) SL_PRINTF(3, 4);
int sl_fail_at(struct sl_error *err, int code, const char *where, const char *format, ...) SL_PRINTF(4, 5);
/* From errno: SL_E_NO_SPACE, SL_E_NO_MEMORY, SL_E_NOT_FOUND, SL_E_CONFLICT (it exists), else SL_E_IO, also for permissions. The
 * message is "<doing>: <the system's words>", so `doing` is "cannot write". */
int sl_fail_errno(struct sl_error *err, int error_number, const char *where, const char *doing);
int sl_fail_memory(struct sl_error *err);

/* Adds the hint to the error that was filled just before; returns its code, also when `err` is NULL. */
int sl_error_hint(struct sl_error *err, const char *format, ...) SL_PRINTF(2, 3);
/* Sets `where` unless an inner call has said it already; returns err->code. */
int sl_error_where(struct sl_error *err, const char *format, ...) SL_PRINTF(2, 3);
/* Puts "context: " before the message; returns err->code. */
int sl_error_context(struct sl_error *err, const char *format, ...) SL_PRINTF(2, 3);

/* "invalid", "not_found", ...: the code's name as JSON and logs show it; never NULL. */
const char *sl_code_name(int code);
/* As the table above says. */
int sl_code_exit_status(int code);
int sl_code_http_status(int code);

#endif
