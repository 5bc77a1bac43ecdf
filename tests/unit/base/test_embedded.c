/* The embedded migrations are, byte for byte, the files under src/backend/migrations, in order of their names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "embedded/migrations.h"

static void test_same_bytes_as_the_files(void **state)
{
	(void)state;
	for (size_t i = 0; i < sl_embedded_migrations_count; i++) {
		const struct sl_embedded *e = &sl_embedded_migrations[i];
		char path[1024];

		snprintf(path, sizeof(path), "%s/src/backend/migrations/%s", SLUICE_SOURCE_DIR, e->name);
		FILE *f = fopen(path, "rb");
		assert_non_null(f);
		for (size_t k = 0; k < e->len; k++)
			assert_int_equal(e->data[k], fgetc(f));
		assert_int_equal(EOF, fgetc(f));
		assert_int_equal(0, e->data[e->len]);
		fclose(f);
	}
}

static void test_in_order_and_ended(void **state)
{
	(void)state;
	assert_true(sl_embedded_migrations_count > 0);
	for (size_t i = 1; i < sl_embedded_migrations_count; i++)
		assert_true(strcmp(sl_embedded_migrations[i - 1].name, sl_embedded_migrations[i].name) < 0);
	assert_null(sl_embedded_migrations[sl_embedded_migrations_count].name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_bytes_as_the_files),
		cmocka_unit_test(test_in_order_and_ended),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
