#include "os/file.h"
#include "serve/log.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct sl_error err;
static struct sl_store store; /* only its streams_dir is looked at */

static int make_dir(void **state)
{
	(void)state;
	snprintf(store.streams_dir, sizeof store.streams_dir, "/tmp/sluice-predlog-XXXXXX");
	return mkdtemp(store.streams_dir) ? 0 : -1;
}

static int drop_dir(void **state)
{
	(void)state;
	return sl_dir_remove(store.streams_dir, NULL);
}

#define TEXT(t) {.kind = SL_CELL_TEXT, .len = sizeof(t) - 1, .text = t}
static const struct sl_cell DISTANCE[] = {{.kind = SL_CELL_INT, .i = -5}, {.kind = SL_CELL_DOUBLE, .d = 2.5},
	{.kind = SL_CELL_NULL}};
static const struct sl_cell ORIGIN[] = {TEXT("JFK"), TEXT(""), {.kind = SL_CELL_BOOL, .b = true}};
static const struct sl_cell KEYS[] = {TEXT("k1"), {.kind = SL_CELL_INT, .i = INT64_MIN}, {.kind = SL_CELL_INT, .i = INT64_MAX}};
static const struct sl_logged_column COLUMNS[] = {{"distance", 8, DISTANCE, false}, {"origin", 6, ORIGIN, true}};
static const int64_t TIMES[] = {1, -2, 3};
static const float OUTPUTS[] = {0.25f, 0.5f, NAN, INFINITY, -0.0f, 1e-40f};

static const struct sl_logged_lookup LOOKUPS[] = {{"airport_recent", 14, {{1, 2}}}, {"weather", 7, {{3}}}};

/* 3 rows, 2 margins, 2 columns and the base value. */
static const float EXPLAINED[18] = {0.5f, -1, 2, 3, 4, 5, NAN, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, -0.0f};

static void make_prediction(struct sl_prediction *ret, int64_t time_ms, unsigned char seed)
{
	unsigned char random[10];
	memset(random, seed, sizeof random);
	*ret = (struct sl_prediction){
		.version = 12, .received_ms = time_ms, .latency_us = 77, .first_row = 4, .row_count = 3, .column_count = 2,
			.output_count = 2,
		.columns = COLUMNS, .times_ms = TIMES, .keys = KEYS, .outputs = OUTPUTS, .lookups = LOOKUPS, .lookup_count = 2, .explained = EXPLAINED, .margins = 2,
	};
	memset(ret->package.bytes, 0xab, sizeof ret->package.bytes);
	sl_id_make(time_ms, random, &ret->id);
}

static void assert_cell(const struct sl_cell *a, const struct sl_cell *b)
{
	assert_int_equal(a->kind, b->kind);
	if (a->kind == SL_CELL_TEXT) {
		assert_int_equal(a->len, b->len);
		assert_memory_equal(a->text, b->text, a->len);
	} else if (a->kind == SL_CELL_BOOL) {
		assert_int_equal(a->b, b->b);
	} else if (a->kind != SL_CELL_NULL) {
		assert_int_equal(a->i, b->i); /* the bits of a double as well */
	}
}

static void assert_same(const struct sl_prediction *a, const struct sl_prediction *b)
{
	assert_string_equal(a->id.text, b->id.text);
	assert_int_equal(a->version, b->version);
	assert_true(sl_hash_eq(&a->package, &b->package));
	assert_int_equal(a->received_ms, b->received_ms);
	assert_int_equal(a->latency_us, b->latency_us);
	assert_int_equal(a->first_row, b->first_row);
	assert_int_equal(a->row_count, b->row_count);
	assert_int_equal(a->column_count, b->column_count);
	for (size_t c = 0; c < a->column_count; c++) {
		assert_int_equal(a->columns[c].name_len, b->columns[c].name_len);
		assert_memory_equal(a->columns[c].name, b->columns[c].name, a->columns[c].name_len);
		assert_int_equal(a->columns[c].hashed, b->columns[c].hashed);
		for (size_t row = 0; row < a->row_count; row++)
			assert_cell(&a->columns[c].cells[row], &b->columns[c].cells[row]);
	}
	for (size_t row = 0; row < a->row_count; row++) {
		assert_cell(&a->keys[row], &b->keys[row]);
		assert_int_equal(a->times_ms[row], b->times_ms[row]);
	}
	assert_int_equal(a->margins, b->margins);
	assert_memory_equal(a->explained, b->explained, sizeof EXPLAINED);
	assert_int_equal(a->lookup_count, b->lookup_count);
	for (size_t i = 0; i < a->lookup_count; i++) {
		assert_int_equal(a->lookups[i].dataset_len, b->lookups[i].dataset_len);
		assert_memory_equal(a->lookups[i].dataset, b->lookups[i].dataset, a->lookups[i].dataset_len);
		assert_true(sl_hash_eq(&a->lookups[i].version, &b->lookups[i].version));
	}
	assert_memory_equal(a->outputs, b->outputs, a->row_count * a->output_count * sizeof(float));
}

static void what_is_written_comes_back(void **state)
{
	(void)state;
	struct sl_prediction p, back;
	struct sl_buf value SL_AUTO_BUF = SL_BUF_INIT(SL_PREDLOG_VALUE_MAX);
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, &err);
	make_prediction(&p, 1700000000000, 1);
	assert_int_equal(sl_predlog_encode(&p, &value, &err), 0);
	struct sl_record record = {.key = p.id.text, .key_len = SL_ID_LEN, .value = value.data, .value_len = value.len};
	assert_int_equal(sl_predlog_decode(&record, arena, &back, &err), 0);
	assert_same(&p, &back);
	struct sl_buf tight SL_AUTO_BUF = SL_BUF_INIT(40);
	assert_int_equal(sl_predlog_encode(&p, &tight, &err), SL_E_TOO_LARGE);
}

static void damaged_records_are_refused(void **state)
{
	(void)state;
	struct sl_prediction p, back;
	struct sl_buf value SL_AUTO_BUF = SL_BUF_INIT(SL_PREDLOG_VALUE_MAX);
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, &err);
	make_prediction(&p, 1700000000000, 1);
	assert_int_equal(sl_predlog_encode(&p, &value, &err), 0);
	for (size_t len = 0; len < value.len; len++) {
		unsigned char *copy = malloc(len + 1); /* its exact size, so that the sanitizer sees one byte too many */
		memcpy(copy, value.data, len);
		struct sl_record record = {.key = p.id.text, .key_len = SL_ID_LEN, .value = copy, .value_len = len};
		assert_int_equal(sl_predlog_decode(&record, arena, &back, &err), SL_E_CORRUPT);
		free(copy);
	}
	struct sl_record record = {.key = "short", .key_len = 5, .value = value.data, .value_len = value.len};
	assert_int_equal(sl_predlog_decode(&record, arena, &back, &err), SL_E_CORRUPT);
	value.data[0] = 2;
	record.key = p.id.text;
	record.key_len = SL_ID_LEN;
	assert_int_equal(sl_predlog_decode(&record, arena, &back, &err), SL_E_CORRUPT);
}

/* Appends predictions [0, count), one millisecond apart from `start_ms`; `ids` gets theirs. */
static void fill(const char *endpoint, int64_t start_ms, int count, struct sl_id *ids)
{
	char name[160];
	struct sl_stream *stream;
	struct sl_stream_options options = {.segment_bytes = 32 * 1024};
	sl_predlog_name(endpoint, name);
	assert_int_equal(sl_stream_open_writer(store.streams_dir, name, &options, &stream, &err), 0);
	for (int i = 0; i < count; i++) {
		struct sl_prediction p;
		struct sl_buf value SL_AUTO_BUF = SL_BUF_INIT(SL_PREDLOG_VALUE_MAX);
		make_prediction(&p, start_ms + i, (unsigned char)i);
		ids[i] = p.id;
		assert_int_equal(sl_predlog_encode(&p, &value, &err), 0);
		struct sl_record record = {.time_ms = 5, .key = p.id.text, .key_len = SL_ID_LEN, .value = value.data,
			.value_len = value.len};
		int64_t offset;
		assert_int_equal(sl_stream_append(stream, &record, 1, &offset, &err), 0);
	}
	sl_stream_close(stream);
}

static int find(const char *id, struct sl_prediction *ret, char endpoint[160], int64_t *offset)
{
	static struct sl_arena *arena;
	sl_arena_freep(&arena);
	arena = sl_arena_new(0, NULL);
	return sl_predlog_find(&store, id, arena, ret, endpoint, offset, &err);
}

static void predictions_are_found_by_id(void **state)
{
	(void)state;
	enum { COUNT = 1500 };
	static struct sl_id a[COUNT], b[COUNT];
	struct sl_prediction p;
	char endpoint[160], text[40];
	int64_t offset;
	assert_int_equal(find("01HF7YATK6AAAAAAAAAAAAAAAA", &p, endpoint, &offset), SL_E_NOT_FOUND);
	fill("one", 1700000000000, COUNT, a);
	fill("two", 1700000500000, COUNT, b);
	for (int i = 0; i < COUNT; i += 131) {
		assert_int_equal(find(a[i].text, &p, endpoint, &offset), 0);
		assert_string_equal(p.id.text, a[i].text);
		assert_string_equal(endpoint, "one");
		assert_int_equal(offset, i);
		assert_int_equal(find(b[i].text, &p, endpoint, &offset), 0);
		assert_string_equal(endpoint, "two");
		assert_int_equal(offset, i);
	}
	snprintf(text, sizeof text, "%.10s", a[77].text); /* the millisecond alone tells them apart */
	assert_int_equal(find(text, &p, endpoint, &offset), 0);
	assert_int_equal(offset, 77);
	snprintf(text, sizeof text, "%s#5", a[77].text);
	assert_int_equal(find(text, &p, endpoint, &offset), 0);
	snprintf(text, sizeof text, "%s#3", a[77].text); /* rows 4, 5 and 6 are there */
	assert_int_equal(find(text, &p, endpoint, &offset), SL_E_NOT_FOUND);
	assert_int_equal(find("01HF7Y", &p, endpoint, &offset), SL_E_INVALID);
	assert_int_equal(find("01HF7YATK6U", &p, endpoint, &offset), SL_E_INVALID);
	fill("three", 1700000000077, 1, b);
	snprintf(text, sizeof text, "%.10s", a[77].text);
	assert_int_equal(find(text, &p, endpoint, &offset), SL_E_INVALID);
	assert_non_null(strstr(err.message, "more than one"));
}

static void a_clock_set_back_hides_nothing(void **state)
{
	(void)state;
	static struct sl_id late[400], early[400];
	struct sl_prediction p;
	char endpoint[160];
	int64_t offset;
	fill("one", 1700000900000, 400, late);
	fill("one", 1700000000000, 400, early);
	assert_int_equal(find(early[399].text, &p, endpoint, &offset), 0);
	assert_int_equal(offset, 799);
	assert_int_equal(find(late[3].text, &p, endpoint, &offset), 0);
	assert_int_equal(offset, 3);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, drop_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_written_comes_back), TEST(damaged_records_are_refused), TEST(predictions_are_found_by_id),
		TEST(a_clock_set_back_hides_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
