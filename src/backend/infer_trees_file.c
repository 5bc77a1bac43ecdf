#include "backend/infer_trees_file.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

/* Children of the container being read, until their number is known. */
struct stack {
	struct sl_file_member *items;
	size_t count, cap;
};

static struct sl_file_member *push(struct stack *stack)
{
	if (stack->count == stack->cap) {
		size_t cap = stack->cap ? stack->cap * 2 : 256;
		struct sl_file_member *items = sl_realloc(stack->items, cap * sizeof *items, NULL);
		if (!items)
			return NULL;
		stack->items = items;
		stack->cap = cap;
	}
	struct sl_file_member *member = &stack->items[stack->count++];
	*member = (struct sl_file_member){0};
	return member;
}

/* Moves the children above `base` into the arena as the items or members of `ret`. */
static int pop_children(struct stack *stack, size_t base, bool object, struct sl_arena *arena, struct sl_file_value *ret,
			struct sl_error *err)
{
	size_t count = stack->count - base;
	ret->kind = object ? SL_FILE_OBJECT : SL_FILE_ARRAY;
	ret->len = count;
	stack->count = base;
	if (object) {
		struct sl_file_member *members = sl_arena_array(arena, count + 1, sizeof *members);
		if (!members)
			return sl_fail_memory(err);
		if (count > 0)
			memcpy(members, stack->items + base, count * sizeof *members);
		ret->members = members;
		return 0;
	}
	struct sl_file_value *items = sl_arena_array(arena, count + 1, sizeof *items);
	if (!items)
		return sl_fail_memory(err);
	for (size_t i = 0; i < count; i++)
		items[i] = stack->items[base + i].value;
	ret->items = items;
	return 0;
}

/* ---- UBJSON, the dialect that XGBoost writes: lengths are 'L' int64, arrays may be typed ---- */

struct ubj {
	const unsigned char *data;
	size_t len, at;
	struct sl_arena *arena;
	struct stack stack;
	struct sl_error *err;
};

static uint64_t big_endian(const unsigned char *p, unsigned bytes)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < bytes; i++)
		v = v << 8 | p[i];
	return v;
}

/* Bytes of one number with that type mark, 0 when it is none. */
static unsigned number_bytes(int mark)
{
	switch (mark) {
	case 'i':
	case 'U': return 1;
	case 'I': return 2;
	case 'l':
	case 'd': return 4;
	case 'L':
	case 'D': return 8;
	default: return 0;
	}
}

static int64_t packed_int(int mark, const unsigned char *p)
{
	uint64_t v = big_endian(p, number_bytes(mark));
	switch (mark) {
	case 'i': return (int8_t)v;
	case 'I': return (int16_t)v;
	case 'l': return (int32_t)v;
	default: return (int64_t)v;
	}
}

static double packed_real(int mark, const unsigned char *p)
{
	uint64_t wide = big_endian(p, number_bytes(mark));
	uint32_t narrow = (uint32_t)wide;
	float f;
	double d;
	memcpy(&f, &narrow, sizeof f);
	memcpy(&d, &wide, sizeof d);
	return mark == 'd' ? (double)f : d;
}

static int ubj_fail(struct ubj *in, const char *what)
{
	return sl_fail(in->err, SL_E_INVALID, "not UBJSON: %s at byte %zu", what, in->at);
}

/* The next `len` bytes, or NULL with the error filled. */
static const unsigned char *ubj_take(struct ubj *in, size_t len)
{
	if (len > in->len - in->at) {
		ubj_fail(in, "the file ends too early");
		return NULL;
	}
	in->at += len;
	return in->data + in->at - len;
}

/* The next byte, or SL_E_INVALID. */
static int ubj_mark(struct ubj *in)
{
	const unsigned char *p = ubj_take(in, 1);
	return p ? *p : SL_E_INVALID;
}

/* A count of things that take at least `each` bytes: refused beyond what is left of the file, before anything is allocated. */
static int ubj_count(struct ubj *in, size_t each, size_t *ret)
{
	int mark = ubj_mark(in);
	if (mark < 0)
		return mark;
	unsigned bytes = number_bytes(mark);
	if (!bytes || mark == 'd' || mark == 'D')
		return ubj_fail(in, "a length that is no integer");
	const unsigned char *p = ubj_take(in, bytes);
	if (!p)
		return SL_E_INVALID;
	int64_t count = packed_int(mark, p);
	if (count < 0 || (uint64_t)count > (in->len - in->at) / each)
		return ubj_fail(in, "a length beyond the end of the file");
	*ret = (size_t)count;
	return 0;
}

static int ubj_text(struct ubj *in, const char **ret, size_t *ret_len)
{
	int rc = ubj_count(in, 1, ret_len);
	if (!rc)
		*ret = (const char *)ubj_take(in, *ret_len);
	return rc;
}

static int ubj_value(struct ubj *in, int mark, int depth, struct sl_file_value *ret);

static int ubj_typed_array(struct ubj *in, struct sl_file_value *ret)
{
	int mark = ubj_mark(in), hash = mark < 0 ? mark : ubj_mark(in);
	if (hash != '#' || !number_bytes(mark))
		return hash < 0 ? hash : ubj_fail(in, "an array of an unknown type");
	*ret = (struct sl_file_value){.kind = SL_FILE_ARRAY, .packed = (char)mark};
	int rc = ubj_count(in, number_bytes(mark), &ret->len);
	if (!rc)
		ret->bytes = ubj_take(in, ret->len * number_bytes(mark));
	return rc;
}

static int ubj_array(struct ubj *in, int depth, struct sl_file_value *ret)
{
	size_t base = in->stack.count, count = SIZE_MAX;
	int rc, mark = ubj_mark(in);
	if (mark == '$')
		return ubj_typed_array(in, ret);
	if (mark == '#') {
		if ((rc = ubj_count(in, 1, &count)))
			return rc;
		mark = count ? ubj_mark(in) : 0;
	}
	for (size_t n = 0; n < count && (count != SIZE_MAX || mark != ']');) {
		struct sl_file_value item;
		if ((rc = mark < 0 ? mark : ubj_value(in, mark, depth, &item)))
			return rc;
		struct sl_file_member *slot = push(&in->stack);
		if (!slot)
			return sl_fail_memory(in->err);
		slot->value = item;
		if (++n < count)
			mark = ubj_mark(in);
	}
	return pop_children(&in->stack, base, false, in->arena, ret, in->err);
}

static int ubj_object(struct ubj *in, int depth, struct sl_file_value *ret)
{
	size_t base = in->stack.count;
	for (;;) {
		struct sl_file_member member = {0};
		if (in->at < in->len && in->data[in->at] == '}') {
			in->at++;
			return pop_children(&in->stack, base, true, in->arena, ret, in->err);
		}
		int rc = ubj_text(in, &member.name, &member.name_len);
		int mark = rc ? rc : ubj_mark(in);
		if (mark < 0 || (rc = ubj_value(in, mark, depth, &member.value)))
			return rc ? rc : mark;
		struct sl_file_member *slot = push(&in->stack);
		if (!slot)
			return sl_fail_memory(in->err);
		*slot = member;
	}
}

static int ubj_value(struct ubj *in, int mark, int depth, struct sl_file_value *ret)
{
	unsigned bytes = number_bytes(mark);
	*ret = (struct sl_file_value){0};
	if (bytes) {
		const unsigned char *p = ubj_take(in, bytes);
		if (!p)
			return SL_E_INVALID;
		bool real = mark == 'd' || mark == 'D';
		ret->kind = real ? SL_FILE_REAL : SL_FILE_INT;
		if (real)
			ret->d = packed_real(mark, p);
		else
			ret->i = packed_int(mark, p);
		return 0;
	}
	switch (mark) {
	case 'Z': return 0;
	case 'T':
	case 'F':
		ret->kind = SL_FILE_BOOL;
		ret->i = mark == 'T';
		return 0;
	case 'S': ret->kind = SL_FILE_TEXT; return ubj_text(in, &ret->text, &ret->len);
	case '[':
	case '{':
		if (depth == SL_VALUE_DEPTH_MAX)
			return ubj_fail(in, "values are nested too deep");
		return mark == '[' ? ubj_array(in, depth + 1, ret) : ubj_object(in, depth + 1, ret);
	default: return ubj_fail(in, "an unknown type mark");
	}
}

static struct sl_arena *arena_for(size_t len, struct sl_error *err) { return sl_arena_new(((size_t)64 << 20) + len * 8, err); }

int sl_file_read_ubj(const void *data, size_t len, struct sl_arena **ret_arena, struct sl_file_value *ret, struct sl_error *err)
{
	SL_CLEANUP(sl_arena_freep) struct sl_arena *arena = arena_for(len, err);
	if (!arena)
		return SL_E_NO_MEMORY;
	struct ubj in = {.data = data, .len = len, .arena = arena, .err = err};
	int mark = ubj_mark(&in), rc = mark < 0 ? mark : ubj_value(&in, mark, 0, ret);
	if (!rc && in.at != len)
		rc = ubj_fail(&in, "bytes behind the end");
	sl_free(in.stack.items);
	if (!rc)
		*ret_arena = SL_TAKE(arena);
	return rc;
}

/* ---- JSON ---- */

struct json {
	struct sl_arena *arena;
	struct stack stack;
	struct sl_error *err;
};

static bool raw_is_int(yyjson_val *raw)
{
	const char *text = yyjson_get_raw(raw);
	size_t len = yyjson_get_len(raw);
	if (!len || len > 18)
		return false;
	for (size_t i = text[0] == '-'; i < len; i++)
		if (text[i] < '0' || text[i] > '9')
			return false;
	return true;
}

/* Numbers stay text in yyjson's tree, because text -> double -> float32 can round twice; strtof rounds once, as XGBoost does. */
static int json_packed(struct json *in, yyjson_val *array, struct sl_file_value *ret)
{
	size_t count = yyjson_arr_size(array);
	bool ints = true;
	yyjson_val *item;
	yyjson_arr_iter it = yyjson_arr_iter_with(array);
	while (ints && (item = yyjson_arr_iter_next(&it)))
		ints = yyjson_is_bool(item) || raw_is_int(item);
	*ret = (struct sl_file_value){.kind = SL_FILE_ARRAY, .packed = ints ? 'q' : 'f', .len = count};
	unsigned char *bytes = sl_arena_array(in->arena, count + 1, ints ? sizeof(int64_t) : sizeof(float));
	if (!bytes)
		return sl_fail_memory(in->err);
	ret->bytes = bytes;
	size_t i = 0;
	it = yyjson_arr_iter_with(array);
	for (; (item = yyjson_arr_iter_next(&it)); i++) {
		if (ints) {
			int64_t v = yyjson_is_bool(item) ? yyjson_get_bool(item) : strtoll(yyjson_get_raw(item), NULL, 10);
			memcpy(bytes + i * sizeof v, &v, sizeof v);
		} else {
			float v = yyjson_is_bool(item) ? (float)yyjson_get_bool(item) : strtof(yyjson_get_raw(item), NULL);
			memcpy(bytes + i * sizeof v, &v, sizeof v);
		}
	}
	return 0;
}

static bool all_numbers(yyjson_val *array)
{
	yyjson_arr_iter it = yyjson_arr_iter_with(array);
	for (yyjson_val *item; (item = yyjson_arr_iter_next(&it));)
		if (!yyjson_is_raw(item) && !yyjson_is_bool(item))
			return false;
	return true;
}

static int json_value(struct json *in, yyjson_val *value, int depth, struct sl_file_value *ret);

static int json_children(struct json *in, yyjson_val *value, int depth, struct sl_file_value *ret)
{
	bool object = yyjson_is_obj(value);
	size_t base = in->stack.count;
	yyjson_obj_iter members = yyjson_obj_iter_with(value);
	yyjson_arr_iter items = yyjson_arr_iter_with(value);
	for (yyjson_val *child; (child = object ? yyjson_obj_iter_next(&members) : yyjson_arr_iter_next(&items));) {
		struct sl_file_member member = {0};
		if (object) {
			member.name_len = yyjson_get_len(child);
			member.name = sl_arena_strndup(in->arena, yyjson_get_str(child), member.name_len);
			child = yyjson_obj_iter_get_val(child);
		}
		int rc = json_value(in, child, depth, &member.value);
		if (rc)
			return rc;
		struct sl_file_member *slot = push(&in->stack);
		if (!slot || (object && !member.name))
			return sl_fail_memory(in->err);
		*slot = member;
	}
	return pop_children(&in->stack, base, object, in->arena, ret, in->err);
}

static int json_value(struct json *in, yyjson_val *value, int depth, struct sl_file_value *ret)
{
	*ret = (struct sl_file_value){0};
	if (yyjson_is_ctn(value)) {
		if (depth == SL_VALUE_DEPTH_MAX)
			return sl_fail(in->err, SL_E_INVALID, "JSON is nested deeper than %d", SL_VALUE_DEPTH_MAX);
		return yyjson_is_arr(value) && all_numbers(value) ? json_packed(in, value, ret)
								  : json_children(in, value, depth + 1, ret);
	}
	if (yyjson_is_str(value)) {
		ret->kind = SL_FILE_TEXT;
		ret->len = yyjson_get_len(value);
		ret->text = sl_arena_strndup(in->arena, yyjson_get_str(value), ret->len);
		return ret->text ? 0 : sl_fail_memory(in->err);
	}
	if (yyjson_is_bool(value)) {
		ret->kind = SL_FILE_BOOL;
		ret->i = yyjson_get_bool(value);
	} else if (yyjson_is_raw(value) && raw_is_int(value)) {
		ret->kind = SL_FILE_INT;
		ret->i = strtoll(yyjson_get_raw(value), NULL, 10);
	} else if (yyjson_is_raw(value)) {
		ret->kind = SL_FILE_REAL;
		ret->d = strtod(yyjson_get_raw(value), NULL);
	}
	return 0;
}

static int json_fail(const char *text, const yyjson_read_err *why, struct sl_error *err)
{
	size_t line = 1;
	for (size_t i = 0; i < why->pos; i++)
		line += text[i] == '\n';
	if (why->code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
		return sl_fail_memory(err);
	return sl_fail(err, SL_E_INVALID, "not JSON: %s in line %zu, byte %zu", why->msg, line, why->pos);
}

int sl_file_read_json(const void *data, size_t len, struct sl_arena **ret_arena, struct sl_file_value *ret, struct sl_error *err)
{
	SL_CLEANUP(sl_arena_freep) struct sl_arena *arena = arena_for(len, err);
	if (!arena)
		return SL_E_NO_MEMORY;
	/* yyjson takes char * for its in-place mode, which is not asked for here. XGBoost writes NaN and Infinity bare. */
	yyjson_read_flag flags = YYJSON_READ_NUMBER_AS_RAW | YYJSON_READ_ALLOW_INF_AND_NAN;
	yyjson_read_err why;
	SL_AUTO_JSON yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)data, len, flags, NULL, &why);
	if (!doc)
		return json_fail(data, &why, err);
	struct json in = {.arena = arena, .err = err};
	int rc = json_value(&in, yyjson_doc_get_root(doc), 0, ret);
	sl_free(in.stack.items);
	if (!rc)
		*ret_arena = SL_TAKE(arena);
	return rc;
}

/* ---- access ---- */

const struct sl_file_value *sl_file_get(const struct sl_file_value *object, const char *name)
{
	if (!object || object->kind != SL_FILE_OBJECT)
		return NULL;
	size_t len = strlen(name);
	for (size_t i = 0; i < object->len; i++)
		if (object->members[i].name_len == len && memcmp(object->members[i].name, name, len) == 0)
			return &object->members[i].value;
	return NULL;
}

bool sl_file_is_text(const struct sl_file_value *value, const char *text)
{
	return value && value->kind == SL_FILE_TEXT && value->len == strlen(text) && memcmp(value->text, text, value->len) == 0;
}

bool sl_file_is_numbers(const struct sl_file_value *array)
{
	if (!array || array->kind != SL_FILE_ARRAY)
		return false;
	for (size_t i = 0; !array->packed && i < array->len; i++)
		if (array->items[i].kind != SL_FILE_INT && array->items[i].kind != SL_FILE_REAL &&
		    array->items[i].kind != SL_FILE_BOOL)
			return false;
	return true;
}

static int64_t int_of_real(double d) { return d >= -9e18 && d <= 9e18 ? (int64_t)d : INT64_MIN; }

int64_t sl_file_int(const struct sl_file_value *array, size_t i)
{
	int64_t v;
	float f;
	switch (array->packed) {
	case 0: return array->items[i].kind == SL_FILE_REAL ? int_of_real(array->items[i].d) : array->items[i].i;
	case 'q': memcpy(&v, array->bytes + i * sizeof v, sizeof v); return v;
	case 'f': memcpy(&f, array->bytes + i * sizeof f, sizeof f); return int_of_real(f);
	case 'd':
	case 'D': return int_of_real(packed_real(array->packed, array->bytes + i * number_bytes(array->packed)));
	default: return packed_int(array->packed, array->bytes + i * number_bytes(array->packed));
	}
}

float sl_file_float(const struct sl_file_value *array, size_t i)
{
	float f;
	switch (array->packed) {
	case 0: return array->items[i].kind == SL_FILE_REAL ? (float)array->items[i].d : (float)array->items[i].i;
	case 'f': memcpy(&f, array->bytes + i * sizeof f, sizeof f); return f;
	case 'd':
	case 'D': return (float)packed_real(array->packed, array->bytes + i * number_bytes(array->packed));
	default: return (float)sl_file_int(array, i);
	}
}
