#include "base/json.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

void sl_json_freep(yyjson_doc **doc) { yyjson_doc_free(*doc); }
void sl_json_mut_freep(yyjson_mut_doc **doc) { yyjson_mut_doc_free(*doc); }

/* yyjson parses without recursion but later walks of ours recurse: refuse depth before building anything. */
/* How many brackets open in the text, strings included, eight bytes at a time: '[' and '{' are the bytes that bit 5 makes '{'. */
static size_t count_openings(const char *text, size_t len)
{
	const uint64_t ones = 0x0101010101010101u, low7 = 0x7f * ones;
	size_t count = 0, i = 0;
	for (; i + 8 <= len; i += 8) {
		uint64_t word;
		memcpy(&word, text + i, 8);
		word = (word | 0x20 * ones) ^ '{' * ones;
		count += (size_t)__builtin_popcountll(~(((word & low7) + low7) | word | low7)); /* one bit per zero byte */
	}
	for (; i < len; i++)
		count += (text[i] | 0x20) == '{';
	return count;
}

bool sl_json_depth_ok(const char *text, size_t len)
{
	int depth = 0;
	bool in_string = false;
	if (count_openings(text, len) <= SL_JSON_DEPTH_MAX)
		return true;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > SL_JSON_DEPTH_MAX)
				return false;
		} else if (c == '}' || c == ']') {
			depth--;
		}
	}
	return true;
}

static int compare_members(const void *a, const void *b)
{
	yyjson_val *const *x = a, *const *y = b;
	size_t n = yyjson_get_len(*x), m = yyjson_get_len(*y);
	int order = memcmp(yyjson_get_str(*x), yyjson_get_str(*y), n < m ? n : m);
	return order ? order : (n > m) - (n < m);
}

enum { FEW = 16 }; /* keys that are sorted by insertion: no call and no memory of qsort's */

/* The object's keys in canonical order; NULL with `err` filled on memory or a duplicate. Free with sl_free. */
static yyjson_val **sorted_keys(yyjson_val *object, struct sl_error *err)
{
	size_t count = yyjson_obj_size(object), n = 0;
	yyjson_val **keys = sl_alloc_array(count ? count : 1, sizeof *keys, err);
	if (!keys)
		return NULL;
	yyjson_obj_iter it = yyjson_obj_iter_with(object);
	for (yyjson_val *key; (key = yyjson_obj_iter_next(&it));)
		keys[n++] = key;
	if (n > FEW)
		qsort(keys, n, sizeof *keys, compare_members);
	for (size_t i = 1; n <= FEW && i < n; i++)
		for (size_t k = i; k && compare_members(&keys[k - 1], &keys[k]) > 0; k--) {
			yyjson_val *later = keys[k - 1];
			keys[k - 1] = keys[k];
			keys[k] = later;
		}
	for (size_t i = 1; i < n; i++)
		if (compare_members(&keys[i - 1], &keys[i]) == 0) {
			sl_fail(err, SL_E_INVALID, "member '%s' stands twice in one object", yyjson_get_str(keys[i]));
			sl_free(keys);
			return NULL;
		}
	return keys;
}

/* Small objects, nearly all there are, are compared pairwise without a copy. */
static int check_duplicates(yyjson_val *value, struct sl_error *err)
{
	if (yyjson_is_arr(value)) {
		yyjson_arr_iter it = yyjson_arr_iter_with(value);
		for (yyjson_val *item; (item = yyjson_arr_iter_next(&it));) {
			int rc = yyjson_is_ctn(item) ? check_duplicates(item, err) : 0;
			if (rc)
				return rc;
		}
		return 0;
	}
	if (yyjson_obj_size(value) > 8) {
		yyjson_val **keys = sorted_keys(value, err);
		if (!keys)
			return SL_E_INVALID;
		sl_free(keys);
	}
	yyjson_val *seen[8];
	size_t n = 0, small = yyjson_obj_size(value) <= 8;
	yyjson_obj_iter it = yyjson_obj_iter_with(value);
	for (yyjson_val *key; (key = yyjson_obj_iter_next(&it));) {
		for (size_t i = 0; small && i < n; i++)
			if (compare_members(&seen[i], &key) == 0)
				return sl_fail(err, SL_E_INVALID, "member '%s' stands twice in one object", yyjson_get_str(key));
		if (small)
			seen[n++] = key;
		yyjson_val *item = yyjson_obj_iter_get_val(key);
		int rc = yyjson_is_ctn(item) ? check_duplicates(item, err) : 0;
		if (rc)
			return rc;
	}
	return 0;
}

static void fail_at_offset(struct sl_error *err, const char *where, const char *text, size_t at, const char *message)
{
	size_t line = 1, column = 1;
	for (size_t i = 0; i < at; i++) {
		column++;
		if (text[i] == '\n') {
			line++;
			column = 1;
		}
	}
	sl_fail(err, SL_E_INVALID, "not JSON: %s", message);
	sl_error_where(err, "%s:%zu:%zu", where, line, column);
}

yyjson_doc *sl_json_parse(const char *text, size_t len, const char *where, struct sl_error *err)
{
	if (!sl_json_depth_ok(text, len)) {
		sl_fail_at(err, SL_E_INVALID, where, "JSON is nested deeper than %d", SL_JSON_DEPTH_MAX);
		return NULL;
	}
	yyjson_read_err why;
	yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)text, len, 0, NULL, &why);
	if (!doc) {
		if (why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
			sl_fail_memory(err);
		else
			fail_at_offset(err, where, text, why.pos < len ? why.pos : len, why.msg);
		return NULL;
	}
	yyjson_val *root = yyjson_doc_get_root(doc);
	if (yyjson_is_ctn(root) && check_duplicates(root, err)) {
		sl_error_where(err, "%s", where);
		yyjson_doc_free(doc);
		return NULL;
	}
	return doc;
}

/* Bytes of `word` that are no plain ASCII of JSON (below 0x20, '"', '\\', from 0x80 on) have their highest bit set. A byte above such a one may have it too,
 * which costs a look at each. */
static uint64_t marked(uint64_t word)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), high = ones * 0x80;
	uint64_t quote = word ^ ones * '"', backslash = word ^ ones * '\\';
	return (word | (word - ones * 0x20) | ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash)) & high;
}

/* How much of the text stands in JSON as it is: most of a text, most of the time. */
static size_t plain_run(const char *text, size_t len)
{
	size_t n = 0;
	for (uint64_t word; n + sizeof word <= len; n += sizeof word) {
		memcpy(&word, text + n, sizeof word);
		if (marked(word))
			break;
	}
	while (n < len && (unsigned char)text[n] >= 0x20 && (unsigned char)text[n] < 0x80 && text[n] != '"' && text[n] != '\\')
		n++;
	return n;
}

void sl_json_string(struct sl_buf *out, const char *text, size_t len)
{
	sl_buf_char(out, '"');
	for (size_t i = 0; i < len;) {
		size_t run = plain_run(text + i, len - i);
		if (run) {
			sl_buf_add(out, text + i, run);
			i += run;
			continue;
		}
		unsigned char c = (unsigned char)text[i];
		size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
		if (c >= 0x80 && (n > len - i || !sl_utf8_valid(text + i, n))) {
			sl_buf_str(out, "\xef\xbf\xbd");
			i++;
			continue;
		}
		if (c == '"' || c == '\\') {
			sl_buf_char(out, '\\');
			sl_buf_char(out, (char)c);
		} else if (c < 0x20) {
			static const char *const SHORT[] = {[8] = "\\b", [9] = "\\t", [10] = "\\n", [12] = "\\f", [13] = "\\r"};
			if (c < SL_ARRAY_LEN(SHORT) && SHORT[c])
				sl_buf_str(out, SHORT[c]);
			else
				sl_buf_printf(out, "\\u%04x", c);
		} else {
			sl_buf_add(out, text + i, n);
		}
		i += n;
	}
	sl_buf_char(out, '"');
}

void sl_json_double(struct sl_buf *out, double value)
{
	if (!isfinite(value)) {
		sl_buf_str(out, isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
		return;
	}
	char space[256]; /* what yyjson asks for, from the stack */
	yyjson_alc alc;
	yyjson_val number = {0};
	size_t len;
	yyjson_alc_pool_init(&alc, space, sizeof space);
	yyjson_set_real(&number, value);
	char *text = yyjson_val_write_opts(&number, 0, &alc, &len, NULL);
	assert(text);
	sl_buf_add(out, text, len);
}

static int canonical_number(yyjson_val *value, struct sl_buf *out, struct sl_error *err)
{
	if (yyjson_is_real(value) && !isfinite(yyjson_get_real(value)))
		return sl_fail(err, SL_E_INVALID, "NaN and infinity have no canonical form");
	char text[64];
	if (yyjson_is_sint(value))
		snprintf(text, sizeof text, "%lld", (long long)yyjson_get_sint(value));
	else if (yyjson_is_uint(value))
		snprintf(text, sizeof text, "%llu", (unsigned long long)yyjson_get_uint(value));
	else {
		char *shortest = yyjson_val_write_opts(value, 0, NULL, NULL, NULL);
		if (!shortest)
			return sl_fail_memory(err);
		snprintf(text, sizeof text, "%s", shortest);
		free(shortest);
	}
	sl_buf_str(out, text);
	return 0;
}

static int canonical(yyjson_val *value, struct sl_buf *out, struct sl_error *err);

static int canonical_object(yyjson_val *object, struct sl_buf *out, struct sl_error *err)
{
	yyjson_val **keys = sorted_keys(object, err);
	if (!keys)
		return err ? err->code : SL_E_INVALID;
	int rc = 0;
	sl_buf_char(out, '{');
	for (size_t i = 0; i < yyjson_obj_size(object) && !rc; i++) {
		if (i)
			sl_buf_char(out, ',');
		sl_json_string(out, yyjson_get_str(keys[i]), yyjson_get_len(keys[i]));
		sl_buf_char(out, ':');
		rc = canonical(yyjson_obj_iter_get_val(keys[i]), out, err);
	}
	sl_buf_char(out, '}');
	sl_free(keys);
	return rc;
}

static int canonical(yyjson_val *value, struct sl_buf *out, struct sl_error *err)
{
	switch (yyjson_get_type(value)) {
	case YYJSON_TYPE_NULL: sl_buf_str(out, "null"); return 0;
	case YYJSON_TYPE_BOOL: sl_buf_str(out, yyjson_get_bool(value) ? "true" : "false"); return 0;
	case YYJSON_TYPE_NUM: return canonical_number(value, out, err);
	case YYJSON_TYPE_STR: sl_json_string(out, yyjson_get_str(value), yyjson_get_len(value)); return 0;
	case YYJSON_TYPE_OBJ: return canonical_object(value, out, err);
	case YYJSON_TYPE_ARR: break;
	case YYJSON_TYPE_RAW: sl_buf_add(out, yyjson_get_raw(value), yyjson_get_len(value)); return 0;
	default: return sl_fail(err, SL_E_BUG, "a JSON value without a type");
	}
	int rc = 0;
	size_t i = 0;
	sl_buf_char(out, '[');
	yyjson_arr_iter it = yyjson_arr_iter_with(value);
	for (yyjson_val *item; !rc && (item = yyjson_arr_iter_next(&it));) {
		if (i++)
			sl_buf_char(out, ',');
		rc = canonical(item, out, err);
	}
	sl_buf_char(out, ']');
	return rc;
}

int sl_json_canonical(yyjson_val *value, struct sl_buf *out, struct sl_error *err)
{
	int rc = canonical(value, out, err);
	return rc ? rc : sl_buf_check(out, "canonical JSON", err);
}

int sl_json_mut_canonical(yyjson_mut_val *value, struct sl_buf *out, struct sl_error *err)
{
	yyjson_doc *doc = yyjson_mut_val_imut_copy(value, NULL);
	if (!doc)
		return sl_fail_memory(err);
	int rc = sl_json_canonical(yyjson_doc_get_root(doc), out, err);
	yyjson_doc_free(doc);
	return rc;
}

int sl_json_write(yyjson_mut_val *value, bool pretty, struct sl_buf *out, struct sl_error *err)
{
	size_t len;
	yyjson_write_flag flags = pretty ? YYJSON_WRITE_PRETTY_TWO_SPACES : 0;
	char *text = yyjson_mut_val_write_opts(value, flags | YYJSON_WRITE_INF_AND_NAN_AS_NULL, NULL, &len, NULL);
	if (!text)
		return sl_fail_memory(err);
	sl_buf_add(out, text, len);
	free(text);
	return sl_buf_check(out, "JSON", err);
}

const char *sl_json_str(yyjson_val *object, const char *name, const char *fallback)
{
	const char *text = yyjson_get_str(yyjson_obj_get(object, name));
	return text ? text : fallback;
}

int64_t sl_json_int(yyjson_val *object, const char *name, int64_t fallback)
{
	yyjson_val *v = yyjson_obj_get(object, name);
	return yyjson_is_int(v) ? yyjson_get_sint(v) : fallback;
}

double sl_json_num(yyjson_val *object, const char *name, double fallback)
{
	yyjson_val *v = yyjson_obj_get(object, name);
	return yyjson_is_num(v) ? yyjson_get_num(v) : fallback;
}

bool sl_json_bool(yyjson_val *object, const char *name, bool fallback)
{
	yyjson_val *v = yyjson_obj_get(object, name);
	return yyjson_is_bool(v) ? yyjson_get_bool(v) : fallback;
}
