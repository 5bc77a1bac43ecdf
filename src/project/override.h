/* Overrides on the command line, in the grammar of Hydra 1.3 (facebookresearch/hydra, hydra/grammar): the whole grammar is
 * parsed, functions are applied, and nothing is looked up. What a caller cannot use (groups, `+`, `~`, sweeps) it refuses
 * itself: see sl_override_plain.
 *
 *   override = key "=" [value] | "~" key ["=" [value]] | "+" ["+"] key "=" [value]
 *   key      = (path | group "/" group ...) ["@" path]
 *   value    = element | element "," element ...              the second form is a sweep
 *   element  = primitive | "[" ... "]" | "{" ... "}" | name "(" ... ")"
 */
#ifndef SL_PROJECT_OVERRIDE_H
#define SL_PROJECT_OVERRIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"

enum { SL_OVERRIDE_BYTES_MAX = 64 << 10, SL_OVERRIDE_DEPTH_MAX = 32 };

enum sl_override_kind {
	SL_OVERRIDE_SET,    /* key=value */
	SL_OVERRIDE_ADD,    /* +key=value */
	SL_OVERRIDE_FORCE,  /* ++key=value */
	SL_OVERRIDE_DELETE, /* ~key, ~key=value */
	SL_OVERRIDE_EXTEND, /* key=extend_list(...) */
};
enum sl_override_type {
	SL_OVERRIDE_NULL, SL_OVERRIDE_BOOL, SL_OVERRIDE_INT, SL_OVERRIDE_DOUBLE, SL_OVERRIDE_TEXT, SL_OVERRIDE_LIST, SL_OVERRIDE_DICT,
	/* sweeps */
	SL_OVERRIDE_CHOICE,   /* items */
	SL_OVERRIDE_RANGE,    /* items: start, stop, step */
	SL_OVERRIDE_INTERVAL, /* items: start, end */
	SL_OVERRIDE_GLOB,     /* items: a list of included, a list of excluded patterns */
};
struct sl_override_value {
	enum sl_override_type type;
	bool quoted;                     /* TEXT: was in quotes */
	bool simple;                     /* CHOICE: written a,b,c */
	bool shuffled;                   /* CHOICE, RANGE, LIST: through shuffle(); the items stand in the order written */
	int64_t i;                       /* BOOL, INT */
	double d;                        /* DOUBLE */
	const char *text;                /* TEXT */
	struct sl_override_value *items; /* LIST, DICT (values), sweeps */
	struct sl_override_value *keys;  /* DICT */
	size_t count;
	const char **tags;               /* sweeps: tag(a, b, sweep) */
	size_t tag_count;
};
struct sl_override {
	enum sl_override_kind kind;
	const char *key;      /* "db.port"; "hydra/launcher" */
	const char *package;  /* behind '@'; NULL: none */
	bool is_group;        /* the key has a '/' */
	bool has_value;       /* false for `~key` */
	struct sl_override_value value;
	const char *text;     /* as given, behind the first '='; "" */
};

/* Errors are SL_E_INVALID with the override as their place and the column in the message. Everything lives in `arena`. */
int sl_override_parse(const char *text, struct sl_arena *arena, struct sl_override *ret, struct sl_error *err);

/* Refuses what `sluice run` does not take, with what to do instead: anything but key=value of a plain value that does not
 * depend on chance. */
int sl_override_plain(const struct sl_override *override, struct sl_error *err);

bool sl_override_is_sweep(const struct sl_override_value *value);

/* Inside: a function's call. `names` beside `args`: NULL for positional ones. */
struct sl_override_call { const char *function; struct sl_override_value *args; const char **names; size_t count; };
int sl_override_apply(const struct sl_override_call *call, struct sl_arena *arena, struct sl_override_value *ret,
		struct sl_error *err);

#endif
