#include "openlineage/target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct sl_arena *arena;
static struct sl_project project;
static struct sl_openlineage_target target;
static struct sl_error err;
static char config[64];

static int begin(void **state)
{
	(void)state;
	static const char *const NAMES[] = {"URL", "ENDPOINT", "API_KEY", "CONFIG", "NAMESPACE", "DISABLED"};
	for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
		char name[64];
		snprintf(name, sizeof name, "OPENLINEAGE_%s", NAMES[i]);
		unsetenv(name);
	}
	arena = sl_arena_new(0, NULL);
	project = (struct sl_project){.name = "shop", .dir = "/projects/shop", .openlineage = SL_OPENLINEAGE_NONE};
	snprintf(config, sizeof config, "/tmp/openlineage-%d.yml", (int)getpid());
	return arena ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	unlink(config);
	sl_arena_free(arena);
	return 0;
}

static int find(void) { return sl_openlineage_target(&project, arena, &target, &err); }

static void write_config(const char *text)
{
	FILE *file = fopen(config, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	setenv("OPENLINEAGE_CONFIG", config, 1);
}

static void nobody_wants_events_unless_somebody_is_named(void **state)
{
	(void)state;
	assert_int_equal(find(), 0);
}

static void the_project_names_a_file_or_an_address(void **state)
{
	(void)state;
	project.openlineage.file = "out/events.jsonl";
	assert_int_equal(find(), 1);
	assert_string_equal(target.file, "/projects/shop/out/events.jsonl");
	assert_string_equal(target.url, "");
	assert_string_equal(target.project, "shop");
	assert_memory_equal(target.namespace, "sluice://", 9);
	project.openlineage = SL_OPENLINEAGE_NONE;
	project.openlineage.url = "https://lineage.example.com//";
	project.openlineage.endpoint = "/api/v2/x";
	project.openlineage.namespace = "prod";
	assert_int_equal(find(), 1);
	assert_string_equal(target.url, "https://lineage.example.com/api/v2/x");
	assert_string_equal(target.namespace, "prod");
	assert_false(target.allow_private);
}

static void the_environment_wins(void **state)
{
	(void)state;
	project.openlineage.file = "events.jsonl";
	setenv("OPENLINEAGE_URL", "http://localhost:5000", 1);
	setenv("OPENLINEAGE_API_KEY", "key", 1);
	setenv("OPENLINEAGE_NAMESPACE", "env", 1);
	assert_int_equal(find(), 1);
	assert_string_equal(target.url, "http://localhost:5000/api/v1/lineage");
	assert_string_equal(target.file, "");
	assert_string_equal(target.api_key, "key");
	assert_string_equal(target.namespace, "env");
	assert_true(target.allow_private);
	setenv("OPENLINEAGE_DISABLED", "True", 1);
	assert_int_equal(find(), 0);
	unsetenv("OPENLINEAGE_DISABLED");
	setenv("OPENLINEAGE_URL", "localhost:5000", 1);
	assert_int_equal(find(), SL_E_INVALID);
}

static void a_file_of_settings_is_read_as_other_clients_read_it(void **state)
{
	(void)state;
	project.openlineage.file = "events.jsonl";
	write_config("transport:\n  type: http\n  url: https://backend:5000\n  endpoint: api/v1/lineage\n  timeout: 2.5\n  verify: true\n"
		     "  auth: {type: api_key, apiKey: f048521b}\n  compression: gzip\n");
	assert_int_equal(find(), 1);
	assert_string_equal(target.url, "https://backend:5000/api/v1/lineage");
	assert_string_equal(target.api_key, "f048521b");
	assert_int_equal(target.timeout_ms, 2500);
	write_config("transport: {type: file, log_file_path: /var/log/events.jsonl, append: true}\n");
	assert_int_equal(find(), 1);
	assert_string_equal(target.file, "/var/log/events.jsonl");
	write_config("transport: {type: noop}\n");
	assert_int_equal(find(), 0);
}

static void settings_that_cannot_be_taken_are_errors(void **state)
{
	static const char *const BAD[] = {"transport: {type: kafka}\n", "transport: [http]\n", "[]\n", "transport: {type: http}\n", "transport: {type: file}\n",
					  "transport: {type: http, url: 'ftp://x'}\n", "transport: {type: http, url: [a]}\n", "a: [\n"};
	(void)state;
	for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
		write_config(BAD[i]);
		assert_true(find() < 0);
		assert_true(*err.message);
	}
	setenv("OPENLINEAGE_CONFIG", "/nowhere/openlineage.yml", 1);
	assert_int_equal(find(), SL_E_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nobody_wants_events_unless_somebody_is_named, begin, end),
		cmocka_unit_test_setup_teardown(the_project_names_a_file_or_an_address, begin, end),
		cmocka_unit_test_setup_teardown(the_environment_wins, begin, end),
		cmocka_unit_test_setup_teardown(a_file_of_settings_is_read_as_other_clients_read_it, begin, end),
		cmocka_unit_test_setup_teardown(settings_that_cannot_be_taken_are_errors, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
