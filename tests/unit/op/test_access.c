/* Deny is the default: every permission and every operation of the table, asked with every kind of header. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "op/access.h"
#include "op/token.h"
#include "os/clock.h"
#include "track/store.h"

struct world {
	char dir[64];
	struct sl_store *store;
	struct sl_access *open, *closed; /* without and with require_token */
	char project[SL_TOKEN_TEXT + 8];
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	struct sl_error err = {0};
	char secret[SL_TOKEN_TEXT];
	snprintf(w->dir, sizeof w->dir, "/tmp/sl-access-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_int_equal(0, sl_store_create(w->dir, &err));
	assert_int_equal(0, sl_store_open(w->dir, &w->store, &err));
	assert_int_equal(0, sl_token_create(w->store->dir, &err));
	assert_int_equal(0, sl_token_read(w->store->dir, secret, &err));
	snprintf(w->project, sizeof w->project, "Bearer %s", secret);
	assert_int_equal(0, sl_access_open(w->store->meta, w->store->dir, false, &w->open, &err));
	assert_int_equal(0, sl_access_open(w->store->meta, w->store->dir, true, &w->closed, &err));
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	sl_access_close(w->open);
	sl_access_close(w->closed);
	sl_store_close(w->store);
	sl_dir_remove(w->dir, NULL);
	free(w);
	return 0;
}

static void add_token(struct world *w, const char *name, const char *secret, unsigned permissions, int64_t expires_ms)
{
	struct sl_hash hash;
	char hex[SL_HASH_HEX + 1];
	struct sl_error err = {0};
	sl_sha256(secret, strlen(secret), &hash);
	assert_int_equal(1, sl_meta_exec(w->store->meta, &err,
		"INSERT INTO access_token(name, hash, permissions, created_ms, expires_ms) VALUES (?1, ?2, ?3, 1, ?4)", "ssii", name,
		sl_hash_hex(&hash, hex), (int64_t)permissions, expires_ms));
	assert_int_equal(0, sl_access_refresh(w->open, &err));
	assert_int_equal(0, sl_access_refresh(w->closed, &err));
}

static int ask(const struct sl_access *access, enum sl_permission permission, const char *header)
{
	struct sl_caller caller;
	struct sl_error err = {0};
	int status = sl_access_check(access, permission, header, &caller, &err);
	assert_true(status == 0 || err.code == SL_E_DENIED);
	return status;
}

static void test_without_a_token(void **state)
{
	struct world *w = *state;
	static const char *const headers[] = {NULL, "", "Bearer", "Bearer ", "Bearer wrong", "Basic ", "Basic !", "Basic YTp3cm9uZw==", "wrong"};
	for (size_t i = 0; i < SL_ARRAY_LEN(headers); i++) {
		for (enum sl_permission p = SL_PERMIT_VIEW; p < SL_PERMIT_COUNT; p++) {
			bool free = p == SL_PERMIT_VIEW || p == SL_PERMIT_PREDICT;
			assert_int_equal(free ? 0 : 401, ask(w->open, p, headers[i]));
			assert_int_equal(401, ask(w->closed, p, headers[i]));
		}
		assert_int_equal(403, ask(w->open, SL_PERMIT_NONE, headers[i]));
	}
}

static void test_the_project_s_token_may_everything_that_has_a_permission(void **state)
{
	struct world *w = *state;
	for (size_t i = 0; i < sl_op_count; i++) {
		int expected = sl_ops[i].permission == SL_PERMIT_NONE ? 403 : 0;
		assert_int_equal(expected, ask(w->open, sl_ops[i].permission, w->project));
		assert_int_equal(expected, ask(w->closed, sl_ops[i].permission, w->project));
		assert_true((sl_ops[i].permission == SL_PERMIT_NONE) == !*sl_ops[i].path);
	}
}

static void test_a_token_may_what_it_was_given(void **state)
{
	struct world *w = *state;
	for (enum sl_permission p = SL_PERMIT_VIEW; p < SL_PERMIT_COUNT; p++) {
		char secret[32], header[48];
		snprintf(secret, sizeof secret, "secret-%d", (int)p);
		snprintf(header, sizeof header, "bearer %s", secret);
		add_token(w, sl_permission_name(p), secret, 1U << p, 0);
		for (enum sl_permission q = SL_PERMIT_VIEW; q < SL_PERMIT_COUNT; q++)
			assert_int_equal(p == q ? 0 : 403, ask(w->closed, q, header));
	}
	/* "x:secret-1" */
	assert_int_equal(0, ask(w->closed, SL_PERMIT_VIEW, "Basic eDpzZWNyZXQtMQ=="));
	assert_int_equal(403, ask(w->closed, SL_PERMIT_RUN, "Basic eDpzZWNyZXQtMQ=="));
}

static void test_bits_that_mean_nothing_and_time(void **state)
{
	struct world *w = *state;
	add_token(w, "odd", "odd", 1U << SL_PERMIT_NONE | 1U << SL_PERMIT_COUNT | 1U << 31, 0);
	add_token(w, "old", "old", ~0U, sl_now_ms() - 1);
	add_token(w, "young", "young", 1U << SL_PERMIT_RUN, sl_now_ms() + 1000000);
	for (enum sl_permission p = SL_PERMIT_VIEW; p < SL_PERMIT_COUNT; p++) {
		assert_int_equal(403, ask(w->closed, p, "Bearer odd"));
		assert_int_equal(401, ask(w->closed, p, "Bearer old"));
	}
	assert_int_equal(403, ask(w->closed, SL_PERMIT_NONE, "Bearer odd"));
	assert_int_equal(0, ask(w->closed, SL_PERMIT_RUN, "Bearer young"));
	assert_true(sl_access_is_named(w->closed, "Bearer young"));
	assert_false(sl_access_is_named(w->closed, w->project));
	assert_false(sl_access_is_named(w->closed, NULL));
}

static void test_roles(void **state)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(1000);
	(void)state;
	sl_permissions_write(sl_permissions_of("operator"), &text);
	assert_string_equal("view,run,edit,predict", sl_buf_cstr(&text));
	assert_int_equal(0, sl_permissions_of("none"));
	assert_int_equal(0, sl_permissions_of("nobody"));
	assert_int_equal((1U << SL_PERMIT_COUNT) - 2, sl_permissions_of("owner"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_without_a_token), TEST(test_the_project_s_token_may_everything_that_has_a_permission),
		TEST(test_a_token_may_what_it_was_given), TEST(test_bits_that_mean_nothing_and_time), cmocka_unit_test(test_roles),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
