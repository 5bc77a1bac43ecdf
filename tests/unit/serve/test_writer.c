#include "../oip/forms.h"
#include "os/sys.h"
#include "os/clock.h"
#include "serve/writer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct sl_store store; /* only its folders are looked at */
static const char *hashed[] = {"origin", "flight"}, *dropped[] = {"speed"};
static struct sl_endpoint spec = {.name = "delay", .model = "delay", .alias = "champion", .key = "flight", .time = "date"};
static struct sl_served *served;
static struct sl_inputs rows;
static struct sl_predlog *log_;
static struct sl_error err;

static int begin(void **state)
{
	(void)state;
	spec.log_hash = (struct sl_names){hashed, 2};
	spec.log_drop = (struct sl_names){dropped, 1};
	snprintf(store.dir, sizeof store.dir, "/tmp/sluice-writer-XXXXXX");
	if (!mkdtemp(store.dir) || sl_path_join(store.streams_dir, store.dir, "streams", NULL))
		return -1;
	served = forms_served(&spec, false);
	return sl_predlog_open(&store, &spec, &log_, &err);
}

static int end(void **state)
{
	(void)state;
	sl_sys = &sl_sys_real;
	sl_inputs_done(&rows);
	sl_predlog_close(log_);
	sl_served_unref(served);
	return sl_dir_remove(store.dir, NULL);
}

/* `count` rows with a text of `text_len` bytes each. */
static void make_rows(size_t count, const char *text, size_t text_len)
{
	assert_int_equal(sl_inputs_begin(&rows, served, count, &err), 0);
	memset(rows.given, 1, served->slot_count);
	for (size_t row = 0; row < count; row++) {
		rows.cells[DISTANCE * count + row] = (struct sl_cell){.kind = SL_CELL_INT, .i = (int64_t)row};
		rows.cells[SPEED * count + row] = (struct sl_cell){.kind = SL_CELL_DOUBLE, .d = 987654.25};
		rows.cells[ORIGIN * count + row] = (struct sl_cell){.kind = SL_CELL_TEXT, .text = text, .len = (uint32_t)text_len};
		rows.cells[FLIGHT * count + row] = (struct sl_cell){.kind = SL_CELL_INT, .i = 77};
		rows.outputs[row] = (float)row;
		rows.times_ms[row] = 1000 + (int64_t)row;
	}
}

static int append(struct sl_id *id, const int64_t *times_ms)
{
	assert_int_equal(sl_id_new(id, &err), 0);
	return sl_predlog_append(log_, &rows, id, times_ms, 5, &err);
}

struct collected {
	struct sl_arena *arena;
	struct sl_prediction last;
	size_t records, rows;
	int64_t time_ms;
};

static int collect(void *context, const struct sl_record *record, struct sl_error *error)
{
	struct collected *c = context;
	struct sl_record copy = *record;
	void *value = sl_arena_alloc(c->arena, record->value_len);
	assert_non_null(value);
	copy.value = memcpy(value, record->value, record->value_len);
	int rc = sl_predlog_decode(&copy, c->arena, &c->last, error);
	if (!c->last.first_row)
		c->rows = 0; /* another request */
	assert_int_equal(c->last.first_row, c->rows); /* of one request: each goes on where the one before ended */
	c->rows += c->last.row_count;
	c->records++;
	c->time_ms = record->time_ms;
	return rc;
}

static void read_log(struct collected *ret)
{
	char name[160];
	struct sl_stream *stream;
	int64_t next = 0;
	*ret = (struct collected){.arena = sl_arena_new(0, NULL)};
	sl_predlog_name("delay", name);
	assert_int_equal(sl_stream_open_reader(store.streams_dir, name, &stream, &err), 0);
	while (next < sl_stream_end_offset(stream))
		assert_int_equal(sl_stream_read(stream, next, 1 << 20, collect, ret, &next, &err), 0);
	sl_stream_close(stream);
}

static bool holds(const struct sl_prediction *p, const char *column)
{
	for (size_t i = 0; i < p->column_count; i++)
		if (p->columns[i].name_len == strlen(column) && memcmp(p->columns[i].name, column, strlen(column)) == 0)
			return true;
	return false;
}

static void columns_are_hashed_and_dropped(void **state)
{
	(void)state;
	struct sl_id id;
	struct collected c;
	make_rows(2, "JFK", 3);
	assert_int_equal(append(&id, rows.times_ms), 0);
	read_log(&c);
	assert_string_equal(c.last.id.text, id.text);
	assert_int_equal(c.time_ms, 1001);
	assert_int_equal(c.last.column_count, 3);
	assert_true(holds(&c.last, "distance") && holds(&c.last, "cargo") && holds(&c.last, "origin") && !holds(&c.last, "speed"));
	const struct sl_logged_column *origin = &c.last.columns[2];
	assert_true(origin->hashed);
	assert_int_equal(origin->cells[0].len, 32);
	assert_memory_not_equal(origin->cells[0].text, "JFK", 3);
	assert_memory_equal(origin->cells[0].text, origin->cells[1].text, 32); /* equal values stay equal */
	assert_int_equal(c.last.keys[0].kind, SL_CELL_TEXT);
	assert_int_equal(c.last.keys[0].len, 32);
	sl_arena_free(c.arena);
}

static void the_key_of_hashes_lasts(void **state)
{
	(void)state;
	struct sl_id id;
	struct collected first, second;
	make_rows(1, "JFK", 3);
	assert_int_equal(append(&id, NULL), 0);
	read_log(&first);
	sl_predlog_close(log_);
	assert_int_equal(sl_predlog_open(&store, &spec, &log_, &err), 0);
	assert_int_equal(append(&id, NULL), 0);
	read_log(&second);
	assert_memory_equal(first.last.columns[2].cells[0].text, second.last.columns[2].cells[0].text, 32);
	sl_arena_free(first.arena);
	sl_arena_free(second.arena);
}

static void what_is_too_large_for_a_record_becomes_several(void **state)
{
	(void)state;
	enum { ROWS = 1000, TEXT = 40000 };
	struct sl_id id;
	struct collected c;
	char *text = malloc(TEXT);
	memset(text, 'x', TEXT);
	spec.log_hash.count = 0;
	make_rows(ROWS, text, TEXT);
	assert_int_equal(append(&id, NULL), 0);
	read_log(&c);
	assert_true(c.records >= 3);
	assert_int_equal(c.rows, ROWS);
	assert_true(c.last.outputs[c.last.row_count - 1] == (float)(ROWS - 1));
	assert_int_equal(c.last.columns[0].cells[0].i, (int64_t)c.last.first_row);
	sl_arena_free(c.arena);
	free(text);
}

static int no_room(int fd, int mode, off_t offset, off_t len)
{
	(void)fd; (void)mode; (void)offset; (void)len;
	errno = ENOSPC;
	return -1;
}

static void a_full_disk_refuses_and_passes(void **state)
{
	(void)state;
	struct sl_sys full = sl_sys_real;
	struct sl_id id;
	struct collected c;
	full.fallocate = no_room;
	sl_sys = &full;
	make_rows(1, "JFK", 3);
	assert_int_equal(append(&id, NULL), SL_E_NO_SPACE);
	assert_int_equal(sl_code_http_status(err.code), 507);
	sl_sys = &sl_sys_real;
	assert_int_equal(append(&id, NULL), 0);
	read_log(&c);
	assert_int_equal(c.records, 1);
	assert_string_equal(c.last.id.text, id.text);
	sl_arena_free(c.arena);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(columns_are_hashed_and_dropped), TEST(the_key_of_hashes_lasts), TEST(what_is_too_large_for_a_record_becomes_several),
		TEST(a_full_disk_refuses_and_passes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
