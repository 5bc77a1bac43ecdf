#include "watch/label.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "os/clock.h"

/* The record: key = 'k' or 'p' and the label's key; value = version 1, kind 'd' and 8 bytes little-endian double, or kind 's' and text. */
enum { VERSION = 1, VALUE_HEADER = 2 };

struct sl_labels {
	struct sl_stream *stream;
};

int sl_labels_open(struct sl_store *store, const char *set, struct sl_labels **ret, struct sl_error *err)
{
	if (!sl_name_valid(set))
		return sl_fail(err, SL_E_INVALID, "'%.64s' is not a name of a label set", set);
	char name[SL_NAME_MAX + 16];
	snprintf(name, sizeof name, "labels-%s", set);
	struct sl_labels *labels = sl_alloc(sizeof *labels, err);
	if (!labels)
		return SL_E_NO_MEMORY;
	struct sl_stream_options options = {0};
	int rc = sl_stream_open_writer(store->streams_dir, name, &options, &labels->stream, err);
	if (rc) {
		sl_free(labels);
		return rc;
	}
	*ret = labels;
	return 0;
}

void sl_labels_close(struct sl_labels *labels)
{
	if (!labels)
		return;
	sl_stream_close(labels->stream);
	sl_free(labels);
}

static void encode(const struct sl_label *label, struct sl_buf *keys, struct sl_buf *values)
{
	sl_buf_char(keys, label->by_prediction ? 'p' : 'k');
	sl_buf_add(keys, label->key, label->key_len);
	sl_buf_char(values, VERSION);
	sl_buf_char(values, label->is_text ? 's' : 'd');
	if (label->is_text) {
		sl_buf_add(values, label->text, label->text_len);
	} else {
		uint64_t bits;
		memcpy(&bits, &label->number, sizeof bits);
		sl_buf_u64le(values, bits);
	}
}

/* Records of one batch over the two buffers, which do not move any more. */
static void point_records(const struct sl_label *items, size_t count, const struct sl_buf *keys, const struct sl_buf *values, struct sl_record *records)
{
	size_t key_at = 0, value_at = 0;
	for (size_t i = 0; i < count; i++) {
		size_t value_len = VALUE_HEADER + (items[i].is_text ? items[i].text_len : sizeof(double));
		records[i] = (struct sl_record){
			.time_ms = items[i].time_ms, .key = keys->data + key_at, .key_len = items[i].key_len + 1,
			.value = values->data + value_at, .value_len = value_len,
		};
		key_at += items[i].key_len + 1;
		value_at += value_len;
	}
}

int sl_labels_add(struct sl_labels *labels, const struct sl_label *items, size_t count, struct sl_error *err)
{
	if (count == 0)
		return 0;
	if (count > SL_LABELS_PER_CALL_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "%zu labels in one call, at most %d", count, SL_LABELS_PER_CALL_MAX);
	struct sl_buf keys SL_AUTO_BUF = SL_BUF_INIT((size_t)64 << 20), values SL_AUTO_BUF = SL_BUF_INIT((size_t)64 << 20);
	for (size_t i = 0; i < count; i++)
		encode(&items[i], &keys, &values);
	int rc = sl_buf_check(&keys, "labels", err);
	if (!rc)
		rc = sl_buf_check(&values, "labels", err);
	struct sl_record *records SL_AUTO_FREE = rc ? NULL : sl_alloc_array(count, sizeof *records, err);
	if (!records)
		return rc ? rc : SL_E_NO_MEMORY;
	point_records(items, count, &keys, &values, records);
	int64_t first;
	rc = sl_stream_append(labels->stream, records, count, &first, err);
	return rc ? rc : sl_stream_sync(labels->stream, err);
}

static int parse_value(yyjson_val *value, struct sl_label *label, struct sl_error *err)
{
	if (yyjson_is_num(value) || yyjson_is_bool(value)) {
		label->number = yyjson_is_bool(value) ? yyjson_get_bool(value) : yyjson_get_num(value);
		return 0;
	}
	label->is_text = true;
	label->text = yyjson_get_str(value);
	label->text_len = yyjson_get_len(value);
	if (!label->text || label->text_len > SL_LABEL_TEXT_MAX)
		return sl_fail(err, SL_E_INVALID, "'value' must be a number, true, false or at most %d bytes of text", SL_LABEL_TEXT_MAX);
	return 0;
}

static int parse_key(yyjson_val *item, struct sl_arena *arena, struct sl_label *label, struct sl_error *err)
{
	yyjson_val *key = yyjson_obj_get(item, "key"), *prediction = yyjson_obj_get(item, "prediction");
	if (!key == !prediction)
		return sl_fail(err, SL_E_INVALID, "needs either 'key' or 'prediction'");
	label->by_prediction = prediction != NULL;
	yyjson_val *v = key ? key : prediction;
	if (key && yyjson_is_int(key)) {
		label->key = yyjson_is_sint(v) ? sl_arena_printf(arena, "%lld", (long long)yyjson_get_sint(v)) :
						 sl_arena_printf(arena, "%llu", (unsigned long long)yyjson_get_uint(v));
		if (!label->key)
			return sl_fail_memory(err);
		label->key_len = strlen(label->key);
		return 0;
	}
	label->key = yyjson_get_str(v);
	label->key_len = yyjson_get_len(v);
	if (!label->key || !label->key_len || label->key_len > SL_LABEL_KEY_MAX)
		return sl_fail(err, SL_E_INVALID, "'%s' must be 1 to %d bytes of text%s", key ? "key" : "prediction", SL_LABEL_KEY_MAX, key ? ", or an integer" : "");
	if (prediction && !memchr(label->key, '#', label->key_len)) {
		label->key = sl_arena_printf(arena, "%s#0", label->key); /* a request of one row */
		label->key_len += 2;
		return label->key ? 0 : sl_fail_memory(err);
	}
	return 0;
}

static int parse_label(yyjson_val *item, struct sl_arena *arena, struct sl_label *label, struct sl_error *err)
{
	static const char *const MEMBERS[] = {"key", "prediction", "value", "time"};
	if (!yyjson_is_obj(item))
		return sl_fail(err, SL_E_INVALID, "is not an object");
	size_t i, max;
	yyjson_val *name, *value;
	yyjson_obj_foreach(item, i, max, name, value) {
		const char *text = yyjson_get_str(name);
		bool known = false;
		for (size_t m = 0; m < SL_ARRAY_LEN(MEMBERS); m++)
			known = known || sl_str_eq(text, MEMBERS[m]);
		if (!known)
			return sl_fail(err, SL_E_INVALID, "has an unknown member '%.64s'", text);
	}
	int rc = parse_key(item, arena, label, err);
	if (!rc)
		rc = parse_value(yyjson_obj_get(item, "value"), label, err);
	yyjson_val *time = yyjson_obj_get(item, "time");
	label->time_ms = sl_now_ms();
	if (!rc && time && (!yyjson_is_str(time) || !sl_time_parse(yyjson_get_str(time), &label->time_ms)))
		rc = sl_fail(err, SL_E_INVALID, "'time' must be text like 2001-03-02T10:00:00Z");
	return rc;
}

int sl_labels_parse(yyjson_val *body, struct sl_arena *arena, const struct sl_label **ret, size_t *ret_count, struct sl_error *err)
{
	yyjson_val *list = yyjson_obj_get(body, "labels");
	if (!yyjson_is_arr(list))
		return sl_fail_at(err, SL_E_INVALID, "request body", "expected {\"labels\":[...]}");
	size_t count = yyjson_arr_size(list);
	if (count > SL_LABELS_PER_CALL_MAX)
		return sl_fail_at(err, SL_E_TOO_LARGE, "request body", "%zu labels in one call, at most %d", count, SL_LABELS_PER_CALL_MAX);
	struct sl_label *labels = sl_arena_array(arena, count ? count : 1, sizeof *labels);
	if (!labels)
		return sl_fail_memory(err);
	size_t i, max;
	yyjson_val *item;
	yyjson_arr_foreach(list, i, max, item) {
		int rc = parse_label(item, arena, &labels[i], err);
		if (rc) {
			sl_error_where(err, "labels[%zu]", i);
			return rc;
		}
	}
	*ret = labels;
	*ret_count = count;
	return 0;
}

int sl_label_decode(const struct sl_record *record, struct sl_label *ret, struct sl_error *err)
{
	const unsigned char *key = record->key, *value = record->value;
	if (!key || record->key_len < 2 || (key[0] != 'k' && key[0] != 'p') || record->value_len < VALUE_HEADER || value[0] != VERSION ||
	    (value[1] != 's' && !(value[1] == 'd' && record->value_len == VALUE_HEADER + sizeof(double))))
		return sl_fail(err, SL_E_CORRUPT, "record %lld is not a label", (long long)record->offset);
	*ret = (struct sl_label){
		.by_prediction = key[0] == 'p', .key = (const char *)key + 1, .key_len = record->key_len - 1, .time_ms = record->time_ms,
		.is_text = value[1] == 's',
	};
	if (ret->is_text) {
		ret->text = (const char *)value + VALUE_HEADER;
		ret->text_len = record->value_len - VALUE_HEADER;
		return 0;
	}
	uint64_t bits = 0;
	for (int i = 7; i >= 0; i--)
		bits = bits << 8 | value[VALUE_HEADER + i];
	memcpy(&ret->number, &bits, sizeof bits);
	return 0;
}
