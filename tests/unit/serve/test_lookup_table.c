/* A lookup's table: the newest values by key, as training's join gives them. */
#include "os/file.h"
#include "serve/lookup_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <string.h>

#include <cmocka.h>

static char dir[SL_PATH_MAX], parquet[SL_PATH_MAX];
static const char *paths[] = {parquet};
static const struct sl_sql_table from = {.name = "recent", .paths = paths, .path_count = 1};
static const struct sl_hash VERSION = {{7}};
static struct sl_error err;

static const char MAKE[] = "SELECT * FROM (VALUES "
	"('JFK', 1::BIGINT, TIMESTAMP '2001-01-01', 0.25, 3::BIGINT, 'calm'), ('JFK', 1, TIMESTAMP '2001-01-02', 0.5, NULL, 'storm'), "
	"('JFK', 2, TIMESTAMP '2001-01-01', 0.75, 4, NULL), (NULL, 2, TIMESTAMP '2001-01-09', 9, 9, 'nobody'), "
	"('ORD', 1, NULL, 9, 9, 'never')) AS t(origin, terminal, known_at, share, flights, sky)";

static int make(const char *text)
{
	const struct sl_sql_options options = {.write_dir = dir, .threads = 1};
	struct sl_sql *sql;
	int64_t rows;
	if (sl_sql_open(&options, &sql, &err))
		return -1;
	unlink(parquet);
	int rc = sl_sql_write(sql, text, NULL, 0, "", parquet, &rows, &err);
	sl_sql_close(sql);
	return rc;
}

static int setup(void **state)
{
	(void)state;
	if (sl_dir_make_temporary("/tmp", "sluice-lookup-", dir, &err) || sl_path_join(parquet, dir, "recent.parquet", &err))
		return -1;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return sl_dir_remove(dir, NULL);
}

static const char *KEY[] = {"origin", "terminal"}, *COLUMNS[] = {"share", "flights", "sky"}, *DEFAULTS[] = {"0.125", "null", "\"none\""};
static const struct sl_lookup LOOKUP = {.from = "recent", .key = {KEY, 2}, .at = "date", .time = "known_at", .columns = {COLUMNS, 3}, .defaults = DEFAULTS};

#define TEXT(text_) ((struct sl_cell){.kind = SL_CELL_TEXT, .text = text_, .len = sizeof text_ - 1})
#define INT(i_) ((struct sl_cell){.kind = SL_CELL_INT, .i = i_})

static const struct sl_cell *find(const struct sl_lookup_table *table, struct sl_cell origin, struct sl_cell terminal)
{
	const struct sl_cell *key[] = {&origin, &terminal}, *found;
	assert_int_equal(sl_lookup_table_find(table, key, &found, &err), 0);
	return found;
}

static void assert_defaults(const struct sl_cell *found)
{
	assert_int_equal(found[0].kind, SL_CELL_DOUBLE);
	assert_true(found[0].d == 0.125);
	assert_int_equal(found[1].kind, SL_CELL_NULL);
	assert_int_equal(found[2].len, 4);
	assert_memory_equal(found[2].text, "none", 4);
}

static void the_newest_row_of_a_key_is_found(void **state)
{
	struct sl_lookup_table *table;
	(void)state;
	assert_int_equal(make(MAKE), 0);
	assert_int_equal(sl_lookup_table_read(&LOOKUP, &from, &VERSION, NULL, &table, &err), 0);
	const struct sl_cell *found = find(table, TEXT("JFK"), INT(1));
	assert_true(found[0].d == 0.5);
	assert_int_equal(found[1].kind, SL_CELL_NULL); /* is there, and null: no default */
	assert_memory_equal(found[2].text, "storm", 5);
	found = find(table, TEXT("JFK"), TEXT("2"));
	assert_int_equal(found[1].i, 4);
	assert_int_equal(found[2].kind, SL_CELL_NULL);
	assert_true(find(table, TEXT("JFK"), (struct sl_cell){.kind = SL_CELL_DOUBLE, .d = 2}) == found);
	sl_lookup_table_unref(table);
}

static void what_is_not_there_gets_the_defaults(void **state)
{
	struct sl_lookup_table *table;
	(void)state;
	assert_int_equal(make(MAKE), 0);
	assert_int_equal(sl_lookup_table_read(&LOOKUP, &from, &VERSION, NULL, &table, &err), 0);
	assert_defaults(find(table, TEXT("LAX"), INT(1)));
	assert_defaults(find(table, (struct sl_cell){.kind = SL_CELL_NULL}, INT(2)));
	assert_defaults(find(table, TEXT("JFK\0"), INT(1)));
	assert_defaults(find(table, TEXT("JFK1:1"), INT(1)));
	const struct sl_cell bad[] = {INT(5), TEXT("x")};
	const struct sl_cell *key[] = {&bad[0], &bad[0]}, *found;
	assert_int_equal(sl_lookup_table_find(table, key, &found, &err), SL_E_INVALID);
	assert_non_null(strstr(err.message, "'origin' wants text"));
	const struct sl_cell origin = TEXT("JFK");
	key[0] = &origin;
	key[1] = &bad[1];
	assert_int_equal(sl_lookup_table_find(table, key, &found, &err), SL_E_INVALID);
	assert_non_null(strstr(err.message, "'terminal' wants a whole number"));
	sl_lookup_table_unref(table);
}

/* With ORD at a null time: it was never known, so it gets the defaults too. */
static void a_row_without_a_time_is_none(void **state)
{
	struct sl_lookup_table *table;
	(void)state;
	assert_int_equal(make(MAKE), 0);
	assert_int_equal(sl_lookup_table_read(&LOOKUP, &from, &VERSION, NULL, &table, &err), 0);
	assert_defaults(find(table, TEXT("ORD"), INT(1)));
	sl_lookup_table_unref(table);
}

static void refused(const char *rows, const char *why)
{
	struct sl_lookup_table *table;
	assert_int_equal(make(rows), 0);
	assert_true(sl_lookup_table_read(&LOOKUP, &from, &VERSION, NULL, &table, &err) < 0);
	if (!strstr(err.message, why))
		fail_msg("'%s' is not in '%s'", why, err.message);
}

static void what_has_no_one_answer_is_refused(void **state)
{
	(void)state;
	refused("SELECT 'JFK' AS origin, 1 AS terminal, TIMESTAMP '2001-01-01' AS known_at, i AS share, i AS flights, 'a' AS sky FROM range(2) t(i)",
		"two rows of one key and time");
	refused("SELECT 'JFK' AS origin, 1.5::DOUBLE AS terminal, TIMESTAMP '2001-01-01' AS known_at, 1 AS share, 1 AS flights, 'a' AS sky", "a key is a whole number");
	refused("SELECT 'JFK' AS origin, 1 AS terminal, TIMESTAMP '2001-01-01' AS known_at, 1 AS share, 'a' AS sky", "flights");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_row_of_a_key_is_found),
		cmocka_unit_test(what_is_not_there_gets_the_defaults),
		cmocka_unit_test(a_row_without_a_time_is_none),
		cmocka_unit_test(what_has_no_one_answer_is_refused),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
