#include "serve/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "serve/plan.h"

enum { FORMAT = 1, HAS_KEYS = 1, HAS_TIMES = 2, HAS_ROUTE = 4, HAS_LOOKUPS = 8, HAS_EXPLAINED = 16, COLUMN_HASHED = 1, VARINT_MOST = 10 };
/* A cell begins with one of these. */
enum { TAG_NULL, TAG_FALSE, TAG_TRUE, TAG_INT, TAG_DOUBLE, TAG_TEXT };
enum { HEAD_FIXED = 2 + 4 + SL_HASH_BYTES + 8 };

void sl_predlog_name(const char *endpoint, char out[160]) { snprintf(out, 160, "predictions-%.*s", SL_NAME_MAX, endpoint); }

/* ---- writing: one bound, one reservation, then bare stores ---- */

static unsigned char *put_le(unsigned char *p, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		*p++ = (unsigned char)(v >> (8 * i));
	return p;
}

static unsigned char *put_varint(unsigned char *p, uint64_t v)
{
	for (; v >= 128; v >>= 7)
		*p++ = (unsigned char)(v | 128);
	*p++ = (unsigned char)v;
	return p;
}

static unsigned char *put_bytes(unsigned char *p, const void *data, size_t len)
{
	p = put_varint(p, len);
	if (len)
		memcpy(p, data, len);
	return p + len;
}

static unsigned char *put_cell(unsigned char *p, const struct sl_cell *cell)
{
	uint64_t bits;
	switch (cell->kind) {
	case SL_CELL_NULL:
		*p++ = TAG_NULL;
		return p;
	case SL_CELL_BOOL:
		*p++ = cell->b ? TAG_TRUE : TAG_FALSE;
		return p;
	case SL_CELL_INT:
		*p++ = TAG_INT;
		return put_varint(p, (uint64_t)cell->i << 1 ^ (uint64_t)(cell->i >> 63));
	case SL_CELL_DOUBLE:
		*p++ = TAG_DOUBLE;
		memcpy(&bits, &cell->d, sizeof bits);
		return put_le(p, bits, sizeof bits);
	case SL_CELL_TEXT:
		*p++ = TAG_TEXT;
		return put_bytes(p, cell->text, cell->len);
	}
	assert(!"a cell of no kind");
	return p;
}

static size_t cells_bound(const struct sl_cell *cells, size_t count)
{
	size_t bound = count * (1 + VARINT_MOST);
	for (size_t i = 0; i < count; i++)
		if (cells[i].kind == SL_CELL_TEXT)
			bound += cells[i].len;
	return bound;
}

static size_t explained_count(const struct sl_prediction *p) { return p->explained ? p->row_count * p->margins * (p->column_count + 1) : 0; }

static size_t bound_of(const struct sl_prediction *p)
{
	size_t bound = HEAD_FIXED + 9 * VARINT_MOST + 1 + SL_ID_LEN + p->variant_len + p->meant_len + p->row_count * p->output_count * sizeof(float);
	for (size_t i = 0; i < p->lookup_count; i++)
		bound += VARINT_MOST + p->lookups[i].dataset_len + SL_HASH_BYTES;
	for (size_t i = 0; i < p->column_count; i++)
		bound += 1 + VARINT_MOST + p->columns[i].name_len + cells_bound(p->columns[i].cells, p->row_count);
	bound += sizeof(float) * explained_count(p);
	if (p->times_ms)
		bound += p->row_count * 8;
	if (p->keys)
		bound += cells_bound(p->keys, p->row_count);
	return bound;
}

static unsigned char *put_head(unsigned char *out, const struct sl_prediction *p)
{
	*out++ = FORMAT;
	*out++ = (unsigned char)((p->keys ? HAS_KEYS : 0) | (p->times_ms ? HAS_TIMES : 0) | (p->variant ? HAS_ROUTE : 0) | (p->lookup_count ? HAS_LOOKUPS : 0) |
				 (p->explained ? HAS_EXPLAINED : 0));
	out = put_le(out, p->latency_us, 4);
	memcpy(out, p->package.bytes, SL_HASH_BYTES);
	out = put_le(out + SL_HASH_BYTES, (uint64_t)p->received_ms, 8);
	out = put_varint(out, (uint64_t)p->version);
	out = put_varint(out, p->first_row);
	out = put_varint(out, p->row_count);
	out = put_varint(out, p->column_count);
	out = put_varint(out, p->output_count);
	if (!p->variant)
		return out;
	*out++ = (unsigned char)p->reason;
	out = put_bytes(out, p->variant, p->variant_len);
	if (p->reason == SL_ROUTE_FALLBACK)
		return put_bytes(out, p->meant, p->meant_len);
	if (p->reason != SL_ROUTE_SHADOW)
		return out;
	memcpy(out, p->shadow_of.text, SL_ID_LEN);
	return out + SL_ID_LEN;
}

static unsigned char *put_lookups(unsigned char *out, const struct sl_prediction *p)
{
	if (p->lookup_count)
		out = put_varint(out, p->lookup_count);
	for (size_t i = 0; i < p->lookup_count; i++) {
		out = put_bytes(out, p->lookups[i].dataset, p->lookups[i].dataset_len);
		memcpy(out, p->lookups[i].version.bytes, SL_HASH_BYTES);
		out += SL_HASH_BYTES;
	}
	return out;
}

static unsigned char *put_floats(unsigned char *out, const float *values, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t bits;
		memcpy(&bits, &values[i], sizeof bits);
		out = put_le(out, bits, sizeof bits);
	}
	return out;
}

static unsigned char *put_body(unsigned char *out, const struct sl_prediction *p)
{
	for (size_t c = 0; c < p->column_count; c++) {
		*out++ = p->columns[c].hashed ? COLUMN_HASHED : 0;
		out = put_bytes(out, p->columns[c].name, p->columns[c].name_len);
		for (size_t row = 0; row < p->row_count; row++)
			out = put_cell(out, &p->columns[c].cells[row]);
	}
	for (size_t row = 0; p->times_ms && row < p->row_count; row++)
		out = put_le(out, (uint64_t)p->times_ms[row], 8);
	for (size_t row = 0; p->keys && row < p->row_count; row++)
		out = put_cell(out, &p->keys[row]);
	if (p->explained)
		out = put_floats(put_varint(out, p->margins), p->explained, explained_count(p));
	return put_floats(out, p->outputs, p->row_count * p->output_count);
}

int sl_predlog_encode(const struct sl_prediction *prediction, struct sl_buf *out, struct sl_error *err)
{
	assert(prediction->row_count <= SL_PREDLOG_ROWS_MAX && prediction->column_count <= SL_PREDLOG_COLUMNS_MAX &&
	       prediction->output_count <= SL_PREDLOG_OUTPUTS_MAX && prediction->lookup_count <= SL_PREDLOG_LOOKUPS_MAX);
	size_t bound = bound_of(prediction);
	unsigned char *start = (unsigned char *)sl_buf_reserve(out, bound);
	if (!start)
		return sl_buf_check(out, "a prediction's record", err);
	size_t len = (size_t)(put_body(put_lookups(put_head(start, prediction), prediction), prediction) - start);
	assert(len <= bound);
	out->len += len;
	out->data[out->len] = 0;
	return 0;
}

/* ---- reading: hostile until checked ---- */

struct input {
	const unsigned char *p, *end;
	bool bad;
};

static uint64_t get_le(struct input *in, unsigned bytes)
{
	uint64_t v = 0;
	if (in->bad || in->end - in->p < (ptrdiff_t)bytes) {
		in->bad = true;
		return 0;
	}
	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t)*in->p++ << (8 * i);
	return v;
}

static uint64_t get_varint(struct input *in)
{
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint64_t c = get_le(in, 1);
		v |= (c & 127) << shift;
		if (c < 128)
			return v;
	}
	in->bad = true;
	return 0;
}

/* A count that is at most `most`, each of whose items takes at least one byte of what is left. */
static size_t get_count(struct input *in, size_t most)
{
	uint64_t v = get_varint(in);
	if (v > most || v > (uint64_t)(in->end - in->p))
		in->bad = true;
	return in->bad ? 0 : (size_t)v;
}

static const char *get_bytes(struct input *in, size_t *ret_len)
{
	*ret_len = get_count(in, UINT32_MAX);
	const char *start = (const char *)in->p;
	in->p += *ret_len;
	return start;
}

static void get_cell(struct input *in, struct sl_cell *ret)
{
	uint64_t v;
	size_t len;
	switch (get_le(in, 1)) {
	case TAG_NULL:
		*ret = (struct sl_cell){.kind = SL_CELL_NULL};
		break;
	case TAG_FALSE:
		*ret = (struct sl_cell){.kind = SL_CELL_BOOL, .b = false};
		break;
	case TAG_TRUE:
		*ret = (struct sl_cell){.kind = SL_CELL_BOOL, .b = true};
		break;
	case TAG_INT:
		v = get_varint(in);
		*ret = (struct sl_cell){.kind = SL_CELL_INT, .i = (int64_t)(v >> 1) ^ -(int64_t)(v & 1)};
		break;
	case TAG_DOUBLE:
		v = get_le(in, 8);
		*ret = (struct sl_cell){.kind = SL_CELL_DOUBLE};
		memcpy(&ret->d, &v, sizeof v);
		break;
	case TAG_TEXT:
		*ret = (struct sl_cell){.kind = SL_CELL_TEXT};
		ret->text = get_bytes(in, &len);
		ret->len = (uint32_t)len;
		break;
	default:
		in->bad = true;
	}
}

static struct sl_cell *get_cells(struct input *in, size_t count, struct sl_arena *arena)
{
	struct sl_cell *cells = sl_arena_array(arena, count ? count : 1, sizeof *cells);
	for (size_t i = 0; cells && i < count && !in->bad; i++)
		get_cell(in, &cells[i]);
	return cells;
}

static int get_columns(struct input *in, struct sl_prediction *p, struct sl_arena *arena, struct sl_error *err)
{
	struct sl_logged_column *columns = sl_arena_array(arena, p->column_count + 1, sizeof *columns);
	if (!columns)
		return sl_fail_memory(err);
	for (size_t c = 0; c < p->column_count && !in->bad; c++) {
		columns[c].hashed = get_le(in, 1) & COLUMN_HASHED;
		columns[c].name = get_bytes(in, &columns[c].name_len);
		/* Checked before it is allocated: each cell takes at least one byte. */
		if (in->bad || p->row_count > (size_t)(in->end - in->p)) {
			in->bad = true;
			break;
		}
		columns[c].cells = get_cells(in, p->row_count, arena);
		if (!columns[c].cells)
			return sl_fail_memory(err);
	}
	p->columns = columns;
	return 0;
}

static int get_times(struct input *in, struct sl_prediction *p, struct sl_arena *arena, struct sl_error *err)
{
	if ((size_t)(in->end - in->p) / 8 < p->row_count) {
		in->bad = true;
		return 0;
	}
	int64_t *times_ms = sl_arena_array(arena, p->row_count + 1, sizeof *times_ms);
	if (!times_ms)
		return sl_fail_memory(err);
	for (size_t row = 0; row < p->row_count; row++)
		times_ms[row] = (int64_t)get_le(in, 8);
	p->times_ms = times_ms;
	return 0;
}

static int get_floats(struct input *in, size_t count, struct sl_arena *arena, const float **ret, struct sl_error *err)
{
	if (in->bad || count > (size_t)(in->end - in->p) / sizeof(float)) {
		in->bad = true;
		return 0;
	}
	float *values = sl_arena_array(arena, count + 1, sizeof *values);
	if (!values)
		return sl_fail_memory(err);
	for (size_t i = 0; i < count; i++) {
		uint32_t bits = (uint32_t)get_le(in, 4);
		memcpy(&values[i], &bits, sizeof bits);
	}
	*ret = values;
	return 0;
}

/* Rows, columns and margins are each within bounds, so that their product is no overflow. */
static int get_explained(struct input *in, struct sl_prediction *p, struct sl_arena *arena, struct sl_error *err)
{
	p->margins = get_count(in, SL_PREDLOG_OUTPUTS_MAX);
	return get_floats(in, p->row_count * p->margins * (p->column_count + 1), arena, &p->explained, err);
}

/* The last of a record. */
static int get_outputs(struct input *in, struct sl_prediction *p, struct sl_arena *arena, struct sl_error *err)
{
	int rc = get_floats(in, p->row_count * p->output_count, arena, &p->outputs, err);
	in->bad |= in->p != in->end;
	return rc;
}

static unsigned get_head(struct input *in, struct sl_prediction *p)
{
	if (get_le(in, 1) != FORMAT)
		in->bad = true;
	unsigned flags = (unsigned)get_le(in, 1);
	p->latency_us = (uint32_t)get_le(in, 4);
	if (in->bad || in->end - in->p < SL_HASH_BYTES) {
		in->bad = true;
		return 0;
	}
	memcpy(p->package.bytes, in->p, SL_HASH_BYTES);
	in->p += SL_HASH_BYTES;
	p->received_ms = (int64_t)get_le(in, 8);
	p->version = (int64_t)get_varint(in);
	p->first_row = (size_t)get_varint(in);
	p->row_count = get_count(in, SL_PREDLOG_ROWS_MAX);
	p->column_count = get_count(in, SL_PREDLOG_COLUMNS_MAX);
	p->output_count = get_count(in, SL_PREDLOG_OUTPUTS_MAX);
	return flags;
}

static bool parse_id(const void *data, struct sl_id *ret)
{
	char text[SL_ID_LEN + 1] = {0};
	memcpy(text, data, SL_ID_LEN);
	return sl_id_parse(text, ret);
}

static bool get_id(const struct sl_record *record, struct sl_id *ret)
{
	return record->key && record->key_len == SL_ID_LEN && parse_id(record->key, ret);
}

static void get_route(struct input *in, struct sl_prediction *p)
{
	p->reason = (unsigned)get_le(in, 1);
	p->variant = get_bytes(in, &p->variant_len);
	in->bad |= p->reason >= SL_ROUTE_REASONS || p->variant_len > SL_PREDLOG_VARIANT_MAX;
	if (!in->bad && p->reason == SL_ROUTE_FALLBACK)
		p->meant = get_bytes(in, &p->meant_len);
	if (in->bad || p->reason != SL_ROUTE_SHADOW)
		return;
	in->bad = in->end - in->p < SL_ID_LEN || !parse_id(in->p, &p->shadow_of);
	in->p += in->bad ? 0 : SL_ID_LEN;
}

static int get_lookups(struct input *in, struct sl_prediction *p, struct sl_arena *arena, struct sl_error *err)
{
	size_t count = get_count(in, SL_PREDLOG_LOOKUPS_MAX);
	struct sl_logged_lookup *lookups = sl_arena_array(arena, count + 1, sizeof *lookups);
	if (!lookups)
		return sl_fail_memory(err);
	for (size_t i = 0; i < count && !in->bad; i++) {
		lookups[i].dataset = get_bytes(in, &lookups[i].dataset_len);
		if (in->bad || in->end - in->p < SL_HASH_BYTES) {
			in->bad = true;
			break;
		}
		memcpy(lookups[i].version.bytes, in->p, SL_HASH_BYTES);
		in->p += SL_HASH_BYTES;
	}
	p->lookups = lookups;
	p->lookup_count = count;
	return 0;
}

int sl_predlog_decode(const struct sl_record *record, struct sl_arena *arena, struct sl_prediction *ret, struct sl_error *err)
{
	struct sl_prediction p = {0};
	if (!record->value || !get_id(record, &p.id))
		return sl_fail(err, SL_E_CORRUPT, "record %lld is no prediction", (long long)record->offset);
	struct input in = {.p = record->value, .end = (const unsigned char *)record->value + record->value_len};
	unsigned flags = get_head(&in, &p);
	if (!in.bad && flags & HAS_ROUTE)
		get_route(&in, &p);
	int rc = in.bad || !(flags & HAS_LOOKUPS) ? 0 : get_lookups(&in, &p, arena, err);
	if (!rc && !in.bad)
		rc = get_columns(&in, &p, arena, err);
	if (!rc && !in.bad && flags & HAS_TIMES)
		rc = get_times(&in, &p, arena, err);
	if (!rc && !in.bad && flags & HAS_KEYS) {
		in.bad = p.row_count > (size_t)(in.end - in.p);
		p.keys = in.bad ? NULL : get_cells(&in, p.row_count, arena);
		if (!in.bad && !p.keys)
			rc = sl_fail_memory(err);
	}
	if (!rc && !in.bad && flags & HAS_EXPLAINED)
		rc = get_explained(&in, &p, arena, err);
	if (!rc && !in.bad)
		rc = get_outputs(&in, &p, arena, err);
	if (rc)
		return rc;
	if (in.bad)
		return sl_fail(err, SL_E_CORRUPT, "record %lld is no prediction", (long long)record->offset);
	*ret = p;
	return 0;
}

/* ---- finding ---- */

struct search {
	char prefix[SL_ID_LEN + 1];
	size_t prefix_len;
	int64_t row;              /* -1: any */
	struct sl_arena *arena;
	/* what was found */
	struct sl_prediction *found;
	char *endpoint;
	int64_t *offset;
	size_t matches;           /* different ids */
	struct sl_id last;
	bool have;                /* *found is filled */
};

static int parse_search(const char *id, struct search *ret, struct sl_error *err)
{
	const char *hash = strchr(id, '#');
	ret->prefix_len = hash ? (size_t)(hash - id) : strlen(id);
	ret->row = -1;
	if (ret->prefix_len < 10 || ret->prefix_len > SL_ID_LEN)
		return sl_fail_at(err, SL_E_INVALID, id, "a prediction's id has 26 characters, of which at least 10 are needed");
	/* Through the id's own parser, filled up with zeros: upper case, and no strange characters. */
	char text[SL_ID_LEN + 1];
	struct sl_id whole;
	memset(text, '0', SL_ID_LEN);
	memcpy(text, id, ret->prefix_len);
	text[SL_ID_LEN] = 0;
	if (!sl_id_parse(text, &whole) || (hash && (!sl_str_int(hash + 1, &ret->row) || ret->row < 0)))
		return sl_fail_at(err, SL_E_INVALID, id, "is not a prediction's id");
	memcpy(ret->prefix, whole.text, ret->prefix_len);
	return 0;
}

/* <0, 0, >0: the record's id stands before, in, behind the ids that the prefix means. */
static int compare_key(const struct search *search, const struct sl_record *record)
{
	return record->key_len == SL_ID_LEN ? memcmp(record->key, search->prefix, search->prefix_len) : -1;
}

static int take_match(struct search *search, const struct sl_record *record, const char *endpoint, struct sl_error *err)
{
	struct sl_prediction p;
	int rc = sl_predlog_decode(record, search->arena, &p, err);
	if (rc)
		return rc;
	if (!search->matches || strcmp(search->last.text, p.id.text) != 0)
		search->matches++;
	search->last = p.id;
	if (search->row >= 0 && ((size_t)search->row < p.first_row || (size_t)search->row >= p.first_row + p.row_count))
		return 0;
	if (!search->have) {
		*search->found = p;
		*search->offset = record->offset;
		snprintf(search->endpoint, 160, "%s", endpoint);
		search->have = true;
	}
	return 0;
}

struct look {
	struct search *search;
	const char *endpoint;
	int order;    /* of the last record looked at */
	bool take;    /* collecting matches, not only comparing */
	bool whole;   /* ids do not rise: look at every record */
	bool ended;
};

static int look_at(void *context, const struct sl_record *record, struct sl_error *err)
{
	struct look *look = context;
	look->order = compare_key(look->search, record);
	if (!look->take)
		return 1;
	look->ended = look->order > 0 && !look->whole;
	if (look->order)
		return look->ended;
	int rc = take_match(look->search, record, look->endpoint, err);
	return rc < 0 ? rc : look->search->matches > 1;
}

/* The record's pieces must outlive the read: a match is copied into the arena before it is decoded. */
static int copy_and_look(void *context, const struct sl_record *record, struct sl_error *err)
{
	struct look *look = context;
	if (!look->take || compare_key(look->search, record))
		return look_at(context, record, err);
	struct sl_record copy = *record;
	char *value = sl_arena_alloc(look->search->arena, record->value_len + 1);
	if (!value)
		return sl_fail_memory(err);
	if (record->value_len)
		memcpy(value, record->value, record->value_len);
	copy.value = value;
	return look_at(context, &copy, err);
}

/* Ids rise along the log (a clock set back between two starts of the server breaks that, and then `whole` looks at all of it). */
static int find_in(struct sl_stream *stream, struct search *search, const char *endpoint, bool whole, struct sl_error *err)
{
	enum { STEP_BYTES = 4 << 20 };
	struct look look = {.search = search, .endpoint = endpoint, .whole = whole};
	int64_t low = sl_stream_begin_offset(stream), end = sl_stream_end_offset(stream), high = end, next;
	while (!whole && low < high) {
		int64_t middle = low + (high - low) / 2;
		int rc = sl_stream_read(stream, middle, 1, copy_and_look, &look, &next, err);
		if (rc)
			return rc;
		if (look.order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	look.take = true;
	for (int64_t at = low; at < end && !look.ended && search->matches < 2; at = next) {
		int rc = sl_stream_read(stream, at, STEP_BYTES, copy_and_look, &look, &next, err);
		if (rc)
			return rc;
	}
	return 0;
}

struct walk {
	struct sl_store *store;
	struct search *search;
	bool whole;
};

static int find_in_folder(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	static const char prefix[] = "predictions-";
	struct walk *walk = context;
	struct sl_stream *stream;
	if (!info->is_dir || !sl_str_starts(name, prefix))
		return 0;
	int rc = sl_stream_open_reader(walk->store->streams_dir, name, &stream, err);
	if (rc == SL_E_NOT_FOUND)
		return 0;
	if (rc)
		return rc;
	rc = find_in(stream, walk->search, name + strlen(prefix), walk->whole, err);
	sl_stream_close(stream);
	return rc;
}

int sl_predlog_find(struct sl_store *store, const char *id, struct sl_arena *arena, struct sl_prediction *ret,
		    char ret_endpoint[160],
		    int64_t *ret_offset, struct sl_error *err)
{
	struct search search = {.arena = arena, .found = ret, .endpoint = ret_endpoint, .offset = ret_offset};
	int rc = parse_search(id, &search, err);
	for (int whole = 0; !rc && whole < 2 && !search.matches && sl_dir_exists(store->streams_dir); whole++) {
		struct walk walk = {.store = store, .search = &search, .whole = whole};
		rc = sl_dir_each(store->streams_dir, find_in_folder, &walk, err);
	}
	if (rc)
		return rc;
	if (search.matches > 1)
		return sl_fail_at(err, SL_E_INVALID, id, "more than one prediction begins so");
	if (search.matches && !search.have)
		return sl_fail_at(err, SL_E_NOT_FOUND, id, "that prediction has no such row");
	return search.have ? 0 : sl_fail_at(err, SL_E_NOT_FOUND, id, "no such prediction is logged");
}
