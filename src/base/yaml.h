/* YAML as a small tree with marks, read from libyaml's events.
 *
 * One document per file. What carries no meaning for us or can be used against us is refused with its line and column:
 * duplicate keys, tags, keys that are not scalars, anchors beyond a limit, depth and size. An alias shares the anchored node,
 * and counts as all that it stands for.
 */
#ifndef SL_BASE_YAML_H
#define SL_BASE_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/mem.h"

enum {
	SL_YAML_BYTES_MAX = 32 << 20,
	SL_YAML_DEPTH_MAX = 32,
	SL_YAML_NODES_MAX = 2000000, /* aliases counted as what they stand for */
	SL_YAML_ANCHORS_MAX = 64,
};

struct sl_mark { int line, column; }; /* from 1; columns count characters */

enum sl_yaml_kind { SL_YAML_SCALAR, SL_YAML_LIST, SL_YAML_MAP };

struct sl_yaml_entry;
struct sl_yaml {
	enum sl_yaml_kind kind;
	struct sl_mark mark;
	bool plain;                    /* SCALAR: without quotes, so it may be a number, a time, true, null */
	const char *text;              /* SCALAR: never NULL, UTF-8, no NUL inside; LIST, MAP: "" */
	struct sl_yaml_entry *entries; /* LIST, MAP: in the file's order */
	size_t count;
	size_t weight;                 /* nodes below and this one, aliases expanded */
};
struct sl_yaml_entry {
	const struct sl_yaml *key; /* MAP: a scalar; LIST: NULL */
	const struct sl_yaml *value;
};

/* Parses `text`; `where` (a file name) starts the place in errors. Everything lives in `arena`. An empty document is an empty
 * map. */
int sl_yaml_parse(const char *text, size_t len, const char *where, struct sl_arena *arena, const struct sl_yaml **ret,
		struct sl_error *err);

/* The value under `key`, or NULL. */
const struct sl_yaml *sl_yaml_get(const struct sl_yaml *map, const char *key);

/* YAML 1.2's core schema, for plain scalars, with `_` allowed between digits. */
bool sl_yaml_is_null(const struct sl_yaml *node);
bool sl_yaml_bool(const struct sl_yaml *node, bool *ret);
bool sl_yaml_int(const struct sl_yaml *node, long long *ret);
bool sl_yaml_double(const struct sl_yaml *node, double *ret); /* takes integers too */

#endif
