#include "base/str.h"
#include "os/file.h"
#include "track/run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void shell(const char *dir, const char *command)
{
	char line[SL_PATH_MAX + 512];
	snprintf(line, sizeof line, "cd '%s' && { %s; } >/dev/null 2>&1", dir, command);
	assert_int_equal(system(line), 0);
}

static void git_commit_and_difference_are_recorded(void **state)
{
	(void)state;
	char dir[SL_PATH_MAX];
	struct sl_buf json = SL_BUF_INIT(1 << 16), diff = SL_BUF_INIT(1 << 16);
	assert_int_equal(sl_dir_make_temporary("/tmp", "sluice-environment-", dir, NULL), 0);
	assert_int_equal(sl_environment_json(dir, &json, &diff, NULL), 0);
	assert_null(strstr(json.data, "\"git\""));
	assert_non_null(strstr(json.data, "\"version\":\"" SLUICE_VERSION "\""));

	shell(dir, "git init -q . && echo a >f && git add f && git -c user.name=n -c user.email=e@x commit -qm m");
	sl_buf_clear(&json);
	assert_int_equal(sl_environment_json(dir, &json, &diff, NULL), 0);
	assert_non_null(strstr(json.data, "\"dirty\":false"));
	assert_int_equal(diff.len, 0);

	shell(dir, "echo b >>f");
	sl_buf_clear(&json);
	assert_int_equal(sl_environment_json(dir, &json, &diff, NULL), 0);
	assert_non_null(strstr(json.data, "\"dirty\":true"));
	assert_non_null(strstr(diff.data, "\n+b\n"));
	char hex[SL_HASH_HEX + 1];
	struct sl_hash hash;
	sl_sha256(diff.data, diff.len, &hash);
	assert_non_null(strstr(json.data, sl_hash_hex(&hash, hex)));
	sl_buf_done(&json);
	sl_buf_done(&diff);
	sl_dir_remove(dir, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(git_commit_and_difference_are_recorded)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
