/* Operations: what a person or a program can ask for, once for the command line and once for HTTP.
 *
 *   spec/op/NAME.json --opgen--> sl_ops[], help, OpenAPI, permissions, completion, man pages
 *   argv or request --typed by the table--> struct sl_call --> int sl_op_NAME(call, err) --> call->result --> text or JSON
 *
 * A handler fills call->result (made in call->doc) and may set call->failed for work that was done and whose outcome is the
 * user's failure (a failed check): the result is shown, and the exit status is 1. It prints nothing and never exits.
 */
#ifndef SL_OP_OP_H
#define SL_OP_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/mem.h"
#include "os/file.h"

enum sl_arg_type {
	SL_ARG_TEXT,
	SL_ARG_INT,
	SL_ARG_DOUBLE,
	SL_ARG_FLAG,
	SL_ARG_CHOICE,
	SL_ARG_TIME,
	SL_ARG_DURATION,
	SL_ARG_PATH,
	SL_ARG_REF,
	SL_ARG_NAME,
	SL_ARG_JSON, /* any JSON value, kept as its text */
};

/* Who may ask over HTTP. NONE is not a permission but its absence: such an operation has no route. */
enum sl_permission {
	SL_PERMIT_NONE, SL_PERMIT_VIEW, SL_PERMIT_RUN, SL_PERMIT_EDIT, SL_PERMIT_APPROVE, SL_PERMIT_ADMIN,
	SL_PERMIT_PREDICT, /* of no operation: asking an endpoint */
	SL_PERMIT_COUNT
};

enum { SL_ARGS_MAX = 24, SL_ARG_ITEMS_MAX = 10000, SL_ARG_TEXT_MAX = 1 << 20, SL_ARG_JSON_MAX = 16 << 20 };

struct sl_op_arg {
	const char *name;             /* "limit": option --limit, query or body member "limit" */
	enum sl_arg_type type;
	int position;                 /* 1, 2 ... on the command line; 0: an option */
	bool rest;                    /* takes any number of values; as a position, all that are left */
	bool required;
	char letter;                  /* short option, 0 = none */
	const char *fallback;         /* default as text; NULL: none */
	bool has_min, has_max;
	int64_t min, max;             /* INT */
	const char *const *choices;   /* CHOICE, ended by NULL; else NULL */
	const char *metavar, *doc;
};

struct sl_op_example { const char *command, *does; };

struct sl_call;
typedef int sl_op_handler(struct sl_call *call, struct sl_error *err);

struct sl_op {
	const char *name, *noun, *summary, *doc;
	const struct sl_op_arg *args;
	size_t arg_count;
	const char *method, *path;    /* "" when it has no route; path "/api/v1/ls/{kind}" */
	enum sl_permission permission;
	const struct sl_op_example *examples;
	size_t example_count;
	bool safe;                    /* works without a running server */
	bool hidden;                  /* not in help */
	sl_op_handler *handler;
};

/* The generated table, in the order of help. */
extern const struct sl_op sl_ops[];
extern const size_t sl_op_count;
/* The OpenAPI 3.1 document of every routed operation. */
extern const char sl_op_openapi[];

const struct sl_op *sl_op_find(const char *name); /* NULL when there is none */
const char *sl_permission_name(enum sl_permission permission);

/* The values of one argument. */
struct sl_arg_value {
	bool given;
	const char **texts; /* `count` of them, in the call's arena; for FLAG "true" or "false" */
	size_t count, room;
	int64_t i;          /* INT, FLAG 0/1, TIME and DURATION in ms: of the last one given */
	double d;
};

/* Progress of long work; members may be NULL. */
struct sl_op_progress {
	/* How far the named piece of work is: 0..1, -1 when unknown, -2 as before; 1 ends it. `what`: "reading", "1.2 M rows/s"
	 * ... */
	void (*advance)(void *context, const char *name, double fraction, const char *what);
	/* One finished line of news. */
	void (*line)(void *context, const char *text);
	/* Part of a result that comes bit by bit. Not 0: nobody reads it any more. NULL: the face has no place for such. */
	int (*output)(void *context, const char *text);
	void *context;
};

struct sl_project;
struct sl_store;
struct sl_call {
	const struct sl_op *op;
	struct sl_arena *arena;
	struct sl_arg_value args[SL_ARGS_MAX]; /* beside op->args */
	const char *dir; /* where we are: the project is looked for here and above; paths are relative to it */
	const char *actor;                     /* for the ledger; NULL: the login name */
	bool remote;                           /* asked over HTTP: no local paths are taken or shown */
	yyjson_mut_doc *doc;
	yyjson_mut_val *result;
	bool failed;
	int exit_status;                       /* of the process, when not 0 */
	const char *location;                  /* over HTTP: 202, and where to look for what becomes of it; NULL: done */
	const char *raw;                       /* the result as finished text instead (a schema); in the arena; NULL: none */
	const volatile int *cancel;
	struct sl_op_progress progress;
	struct sl_project *project;            /* opened on first use, see op/context.h */
	struct sl_store *store;
	bool store_borrowed;                   /* a role lends its own: not closed with the call */
};

int sl_call_begin(struct sl_call *call, const struct sl_op *op, const char *dir, struct sl_error *err);
/* Closes what the call opened. */
void sl_call_done(struct sl_call *call);

/* Sets (or, for rest arguments, adds) a value, typed: SL_E_INVALID says what the argument takes. */
int sl_call_set(struct sl_call *call, const struct sl_op_arg *arg, const char *text, struct sl_error *err);
/* Fills defaults and refuses missing required arguments. After the last set. */
int sl_call_check(struct sl_call *call, struct sl_error *err);
/* From a JSON object (a request's body): members are arguments; unknown ones are refused with the nearest. */
int sl_call_set_json(struct sl_call *call, yyjson_val *object, struct sl_error *err);
const struct sl_op_arg *sl_op_arg_find(const struct sl_op *op, const char *name);

/* What was given, else the default, else NULL / 0 / false / empty. Naming an argument that the spec lacks is a bug (asserted). */
const char *sl_call_text(const struct sl_call *call, const char *name);
int64_t sl_call_int(const struct sl_call *call, const char *name);
double sl_call_double(const struct sl_call *call, const char *name);
bool sl_call_flag(const struct sl_call *call, const char *name);
bool sl_call_given(const struct sl_call *call, const char *name);
const char *const *sl_call_list(const struct sl_call *call, const char *name, size_t *ret_count);

/* Runs the handler: the one way in for every face. */
int sl_call_run(struct sl_call *call, struct sl_error *err);

/* {"error":{"code","message","where","hint","retriable"}} as every face shows it. */
yyjson_mut_val *sl_error_json(yyjson_mut_doc *doc, const struct sl_error *err);

#endif
