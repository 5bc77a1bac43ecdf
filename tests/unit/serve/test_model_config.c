/* config.pbtxt: what is read of it, and what is refused with its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/file.h"
#include "serve/model_config.h"

static char path[SL_PATH_MAX];
static struct sl_arena *arena;

static int read_text(const char *text, size_t len, struct sl_model_config *ret, struct sl_error *err)
{
	FILE *f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	fclose(f);
	sl_arena_reset(arena);
	return sl_model_config_read(path, arena, ret, err);
}

static void fields_are_read(void **state)
{
	static const char text[] =
		"# a model\nname: \"churn\"\nbackend: 'fil' max_batch_size: 64\n"
		"input [ { name: \"in\\\"put\" data_type: TYPE_FP32 dims: [ -1, 20 ] } ]\n"
		"output { name: \"out\" dims: 1; }\n"
		"instance_group [{ kind: KIND_CPU count: 2 }], parameters { key: \"name\" value { string_value: \"x\" } }\n";
	struct sl_model_config config;
	struct sl_error err = {0};
	(void)state;
	assert_int_equal(read_text(text, strlen(text), &config, &err), 0);
	assert_string_equal(config.name, "churn");
	assert_int_equal(config.max_batch_size, 64);
	assert_int_equal(config.input_count, 1);
	assert_string_equal(config.input.name, "in\"put");
	assert_int_equal(config.input.dims, 2);
	assert_int_equal(config.input.dim, 20);
	assert_string_equal(config.output.name, "out");
	assert_false(config.batches);
	static const char batching[] = "dynamic_batching { preferred_batch_size: [ 4, 16, 8 ] max_queue_delay_microseconds: 100\n"
				       "priority_levels: 3 default_priority_level: 2 priority_queue_policy { key: 1 value { max_queue_size: 9 } }\n"
				       "default_queue_policy { max_queue_size: 50 timeout_action: REJECT default_timeout_microseconds: 2000 } }";
	assert_int_equal(read_text(batching, strlen(batching), &config, &err), 0);
	assert_true(config.batches);
	assert_int_equal(config.preferred, 16);
	assert_int_equal(config.delay_us, 100);
	assert_int_equal(config.priority, 2);
	assert_int_equal(config.queue_max, 50);
	assert_int_equal(config.timeout_us, 2000);
	assert_int_equal(read_text("dynamic_batching { }", 20, &config, &err), 0);
	assert_true(config.batches && !config.delay_us && !config.queue_max);
	assert_int_equal(read_text("", 0, &config, &err), 0);
	assert_string_equal(config.name, "");
}

static void faults_have_their_line(void **state)
{
	static const struct {
		const char *text, *where, *message;
	} cases[] = {
		{"name: \"x\n", ":1", "does not end"},
		{"\n\ninput {", ":3", "'}' is missing"},
		{"}", ":1", "too many"},
		{"name: churn", ":1", "in quotes"},
		{"max_batch_size: \"8\"", ":1", "whole number"},
		{"dynamic_batching {\n max_queue_delay_microseconds: -1 }", ":2", "from 0"},
		{"name:", ":1", "ends too early"},
		{"input [ { dims: [ x ] } ]", ":1", "whole number"},
		{"name: \"\xff\"", ":1", "UTF-8"},
		{"\n=", ":2", "expected here"},
	};
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
		struct sl_model_config config;
		struct sl_error err = {0};
		assert_int_equal(read_text(cases[i].text, strlen(cases[i].text), &config, &err), SL_E_INVALID);
		assert_non_null(strstr(err.where, cases[i].where));
		assert_non_null(strstr(err.message, cases[i].message));
	}
}

static void nesting_and_nul_are_refused(void **state)
{
	struct sl_model_config config;
	struct sl_error err = {0};
	char deep[200];
	(void)state;
	memset(deep, 0, sizeof deep);
	for (size_t i = 0; i < 60; i += 2)
		memcpy(deep + i, "a{", 2);
	assert_int_equal(read_text(deep, strlen(deep), &config, &err), SL_E_INVALID);
	assert_non_null(strstr(err.message, "too deep"));
	assert_int_equal(read_text("name:\0 \"x\"", 10, &config, &err), SL_E_INVALID);
}

static int begin(void **state)
{
	(void)state;
	snprintf(path, sizeof path, "/tmp/sluice-test-config-%d", (int)getpid());
	arena = sl_arena_new(0, NULL);
	return arena ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	sl_arena_free(arena);
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(fields_are_read), cmocka_unit_test(faults_have_their_line),
					   cmocka_unit_test(nesting_and_nul_are_refused)};
	return cmocka_run_group_tests(tests, begin, end);
}
