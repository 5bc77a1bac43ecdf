#include "base/yaml.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "base/map.h"
#include "base/str.h"

struct anchor { const char *name; struct sl_yaml *node; };

struct reader {
	yaml_parser_t parser;
	const char *where;
	struct sl_arena *arena;
	struct anchor anchors[SL_YAML_ANCHORS_MAX];
	size_t anchor_count;
	size_t nodes, limit;
	struct sl_error *err;
};

static int fail_at(struct reader *r, yaml_mark_t mark, int code, const char *message)
{
	sl_fail(r->err, code, "%s", message);
	sl_error_where(r->err, "%s:%zu:%zu", r->where, mark.line + 1, mark.column + 1);
	return code;
}

static int fail_parser(struct reader *r)
{
	yaml_parser_t *p = &r->parser;
	if (p->error == YAML_MEMORY_ERROR)
		return sl_fail_memory(r->err);
	yaml_mark_t mark = p->error == YAML_READER_ERROR ? p->mark : p->problem_mark;
	char message[512];
	snprintf(message, sizeof message, "not YAML: %s%s%s", p->problem ? p->problem : "cannot be read", p->context ? ", " : "",
		 p->context ? p->context : "");
	return fail_at(r, mark, SL_E_INVALID, message);
}

static int next_event(struct reader *r, yaml_event_t *event)
{
	return yaml_parser_parse(&r->parser, event) ? 0 : fail_parser(r);
}

static int new_node(struct reader *r, const yaml_event_t *event, enum sl_yaml_kind kind, struct sl_yaml **ret)
{
	if (++r->nodes > r->limit)
		return fail_at(r, event->start_mark, SL_E_TOO_LARGE, "the file has too many values");
	struct sl_yaml *node = sl_arena_alloc(r->arena, sizeof *node);
	if (!node)
		return sl_fail_memory(r->err);
	*node = (struct sl_yaml){.kind = kind, .text = "", .weight = 1,
				 .mark = {(int)event->start_mark.line + 1, (int)event->start_mark.column + 1}};
	*ret = node;
	return 0;
}

static int add_anchor(struct reader *r, const yaml_event_t *event, const yaml_char_t *name, struct sl_yaml *node)
{
	if (!name)
		return 0;
	if (r->anchor_count == SL_YAML_ANCHORS_MAX)
		return fail_at(r, event->start_mark, SL_E_TOO_LARGE, "the file has more than 64 anchors");
	const char *copy = sl_arena_strdup(r->arena, (const char *)name);
	if (!copy)
		return sl_fail_memory(r->err);
	r->anchors[r->anchor_count++] = (struct anchor){copy, node};
	return 0;
}

static int read_scalar(struct reader *r, const yaml_event_t *event, struct sl_yaml **ret)
{
	if (event->data.scalar.tag)
		return fail_at(r, event->start_mark, SL_E_INVALID, "tags (!...) are not allowed here");
	if (memchr(event->data.scalar.value, 0, event->data.scalar.length))
		return fail_at(r, event->start_mark, SL_E_INVALID, "a text may not contain a NUL");
	int rc = new_node(r, event, SL_YAML_SCALAR, ret);
	if (rc)
		return rc;
	(*ret)->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	(*ret)->text = sl_arena_strndup(r->arena, (const char *)event->data.scalar.value, event->data.scalar.length);
	if (!(*ret)->text)
		return sl_fail_memory(r->err);
	return add_anchor(r, event, event->data.scalar.anchor, *ret);
}

/* An anchor is found only once its node is whole, so an alias inside its own anchor is unknown and no cycle can be built. */
static int read_alias(struct reader *r, const yaml_event_t *event, struct sl_yaml **ret)
{
	for (size_t i = r->anchor_count; i-- > 0;) {
		if (strcmp(r->anchors[i].name, (const char *)event->data.alias.anchor) != 0)
			continue;
		r->nodes += r->anchors[i].node->weight;
		if (r->nodes > r->limit)
			return fail_at(r, event->start_mark, SL_E_TOO_LARGE, "aliases make the file too large");
		*ret = r->anchors[i].node;
		return 0;
	}
	return fail_at(r, event->start_mark, SL_E_INVALID, "this alias has no anchor before it");
}

static int read_node(struct reader *r, const yaml_event_t *event, int depth, struct sl_yaml **ret);

static int add_entry(struct reader *r, struct sl_yaml *parent, size_t *capacity, struct sl_yaml_entry entry)
{
	if (parent->count == *capacity) {
		size_t grown = *capacity ? *capacity * 2 : 8;
		struct sl_yaml_entry *entries = sl_arena_array(r->arena, grown, sizeof *entries);
		if (!entries)
			return sl_fail_memory(r->err);
		if (parent->count)
			memcpy(entries, parent->entries, parent->count * sizeof *entries);
		parent->entries = entries;
		*capacity = grown;
	}
	parent->entries[parent->count++] = entry;
	parent->weight += entry.value->weight + (entry.key ? 1 : 0);
	return 0;
}

static int read_key(struct reader *r, const yaml_event_t *event, struct sl_map *seen, struct sl_yaml **ret)
{
	if (event->type != YAML_SCALAR_EVENT)
		return fail_at(r, event->start_mark, SL_E_INVALID, "a key must be a plain name");
	int rc = read_scalar(r, event, ret);
	if (rc)
		return rc;
	const struct sl_yaml *first = sl_map_get(seen, (*ret)->text);
	if (first) {
		char message[256];
		snprintf(message, sizeof message, "the key '%.100s' stands here a second time (first in line %d)", (*ret)->text, first->mark.line);
		return fail_at(r, event->start_mark, SL_E_INVALID, message);
	}
	return sl_map_set(seen, (*ret)->text, *ret, NULL, r->err);
}

static int read_entries(struct reader *r, struct sl_yaml *parent, int depth)
{
	SL_CLEANUP(sl_map_freep) struct sl_map *seen = parent->kind == SL_YAML_MAP ? sl_map_new(r->err) : NULL;
	if (parent->kind == SL_YAML_MAP && !seen)
		return SL_E_NO_MEMORY;
	size_t capacity = 0;
	struct sl_yaml *key = NULL;
	for (;;) {
		yaml_event_t event;
		int rc = next_event(r, &event);
		if (rc)
			return rc;
		if (event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&event);
			return 0;
		}
		struct sl_yaml *node = NULL;
		if (seen && !key)
			rc = read_key(r, &event, seen, &key);
		else
			rc = read_node(r, &event, depth, &node);
		yaml_event_delete(&event);
		if (!rc && node) {
			rc = add_entry(r, parent, &capacity, (struct sl_yaml_entry){key, node});
			key = NULL;
		}
		if (rc)
			return rc;
	}
}

static int read_collection(struct reader *r, const yaml_event_t *event, int depth, struct sl_yaml **ret)
{
	bool is_map = event->type == YAML_MAPPING_START_EVENT;
	const yaml_char_t *tag = is_map ? event->data.mapping_start.tag : event->data.sequence_start.tag;
	const yaml_char_t *anchor = is_map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor;
	if (tag)
		return fail_at(r, event->start_mark, SL_E_INVALID, "tags (!...) are not allowed here");
	if (depth == SL_YAML_DEPTH_MAX)
		return fail_at(r, event->start_mark, SL_E_TOO_LARGE, "nested deeper than 32 levels");
	int rc = new_node(r, event, is_map ? SL_YAML_MAP : SL_YAML_LIST, ret);
	if (!rc)
		rc = read_entries(r, *ret, depth + 1);
	return rc ? rc : add_anchor(r, event, anchor, *ret);
}

static int read_node(struct reader *r, const yaml_event_t *event, int depth, struct sl_yaml **ret)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT: return read_scalar(r, event, ret);
	case YAML_ALIAS_EVENT: return read_alias(r, event, ret);
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT: return read_collection(r, event, depth, ret);
	default: return fail_at(r, event->start_mark, SL_E_INVALID, "not YAML: a value is missing here");
	}
}

static int read_documents(struct reader *r, struct sl_yaml **ret)
{
	for (;;) {
		yaml_event_t event;
		int rc = next_event(r, &event);
		if (rc)
			return rc;
		yaml_event_type_t type = event.type;
		if (type == YAML_DOCUMENT_START_EVENT && *ret)
			rc = fail_at(r, event.start_mark, SL_E_INVALID, "a second document (---) is not allowed");
		else if (type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_START_EVENT && type != YAML_DOCUMENT_END_EVENT &&
			 type != YAML_STREAM_END_EVENT)
			rc = read_node(r, &event, 0, ret);
		yaml_event_delete(&event);
		if (rc || type == YAML_STREAM_END_EVENT)
			return rc;
	}
}

int sl_yaml_parse(const char *text, size_t len, const char *where, struct sl_arena *arena, const struct sl_yaml **ret, struct sl_error *err)
{
	if (len > SL_YAML_BYTES_MAX)
		return sl_fail_at(err, SL_E_TOO_LARGE, where, "larger than 32 MiB");
	struct reader r = {.where = where, .arena = arena, .limit = SL_YAML_NODES_MAX, .err = err};
	if (!yaml_parser_initialize(&r.parser))
		return sl_fail_memory(err);
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
	struct sl_yaml *root = NULL;
	int rc = read_documents(&r, &root);
	yaml_parser_delete(&r.parser);
	if (rc)
		return rc;
	if (!root || (root->kind == SL_YAML_SCALAR && sl_yaml_is_null(root))) {
		root = sl_arena_alloc(arena, sizeof *root);
		if (!root)
			return sl_fail_memory(err);
		*root = (struct sl_yaml){.kind = SL_YAML_MAP, .mark = {1, 1}, .text = "", .weight = 1};
	}
	*ret = root;
	return 0;
}

const struct sl_yaml *sl_yaml_get(const struct sl_yaml *map, const char *key)
{
	for (size_t i = 0; map->kind == SL_YAML_MAP && i < map->count; i++)
		if (strcmp(map->entries[i].key->text, key) == 0)
			return map->entries[i].value;
	return NULL;
}

static bool is_one_of(const struct sl_yaml *node, const char *const *words, size_t count)
{
	if (node->kind != SL_YAML_SCALAR || !node->plain)
		return false;
	for (size_t i = 0; i < count; i++)
		if (strcmp(node->text, words[i]) == 0)
			return true;
	return false;
}

bool sl_yaml_is_null(const struct sl_yaml *node)
{
	static const char *const WORDS[] = {"", "~", "null", "Null", "NULL"};
	return is_one_of(node, WORDS, SL_ARRAY_LEN(WORDS));
}

bool sl_yaml_bool(const struct sl_yaml *node, bool *ret)
{
	static const char *const YES[] = {"true", "True", "TRUE"}, *const NO[] = {"false", "False", "FALSE"};
	bool yes = is_one_of(node, YES, SL_ARRAY_LEN(YES));
	if (!yes && !is_one_of(node, NO, SL_ARRAY_LEN(NO)))
		return false;
	*ret = yes;
	return true;
}

/* The text without its `_`, each of which must stand between two digits. */
static bool strip_underscores(const struct sl_yaml *node, char out[64])
{
	if (node->kind != SL_YAML_SCALAR || !node->plain)
		return false;
	size_t n = 0;
	for (const char *p = node->text; *p; p++) {
		if (*p == '_') {
			bool between = p > node->text && p[-1] >= '0' && p[-1] <= '9' && p[1] >= '0' && p[1] <= '9';
			if (!between)
				return false;
			continue;
		}
		if (n == 63)
			return false;
		out[n++] = *p;
	}
	out[n] = 0;
	return n > 0;
}

bool sl_yaml_int(const struct sl_yaml *node, long long *ret)
{
	char text[64];
	int64_t v;
	if (!strip_underscores(node, text) || !sl_str_int(text, &v))
		return false;
	*ret = v;
	return true;
}

bool sl_yaml_double(const struct sl_yaml *node, double *ret)
{
	char text[64];
	if (!strip_underscores(node, text))
		return false;
	const char *digits = text + (*text == '-' || *text == '+');
	if (strcmp(digits, ".inf") == 0 || strcmp(text, ".nan") == 0)
		return false; /* no setting of ours may be infinite */
	return ((*digits >= '0' && *digits <= '9') || *digits == '.') && sl_str_double(text, ret);
}
