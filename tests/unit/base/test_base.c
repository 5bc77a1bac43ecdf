#include "base/buf.h"
#include "base/hash.h"
#include "base/id.h"
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void error_carries_where_what_and_hint(void **state)
{
	(void)state;
	struct sl_error err = {0};
	assert_int_equal(sl_fail_at(&err, SL_E_INVALID, "a.yaml:1:2", "no '%s'", "x"), SL_E_INVALID);
	sl_error_hint(&err, "did you mean '%s'?", "y");
	sl_error_where(&err, "ignored");
	assert_string_equal(err.where, "a.yaml:1:2");
	assert_string_equal(err.message, "no 'x'");
	assert_string_equal(err.hint, "did you mean 'y'?");
	assert_int_equal(sl_code_exit_status(SL_E_BUSY), 4);
	assert_int_equal(sl_code_http_status(SL_E_NO_SPACE), 507);
	assert_int_equal(sl_fail(NULL, SL_E_IO, "dropped"), SL_E_IO);
	assert_int_equal(sl_error_hint(NULL, "dropped too"), SL_E_IO);
	sl_error_context(&err, "step");
	assert_string_equal(err.message, "step: no 'x'");
}

static void buffer_keeps_its_maximum(void **state)
{
	(void)state;
	struct sl_buf b = SL_BUF_INIT(8);
	sl_buf_str(&b, "12345678");
	assert_int_equal(b.failed, 0);
	sl_buf_char(&b, '9');
	assert_int_equal(b.failed, SL_E_TOO_LARGE);
	sl_buf_str(&b, "");
	assert_int_equal(b.len, 8);
	struct sl_error err;
	assert_int_equal(sl_buf_check(&b, "body", &err), SL_E_TOO_LARGE);
	sl_buf_clear(&b);
	sl_buf_u16be(&b, 0x0102);
	sl_buf_u32le(&b, 0x03040506);
	assert_memory_equal(b.data, "\1\2\6\5\4\3", 6);
	sl_buf_done(&b);
}

static void arena_gives_zeroed_aligned_memory_up_to_its_limit(void **state)
{
	(void)state;
	struct sl_arena *a = sl_arena_new(1 << 20, NULL);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 1; i < 200; i++) {
			char *p = sl_arena_alloc(a, i);
			assert_non_null(p);
			assert_int_equal((uintptr_t)p % 16, 0);
			for (size_t k = 0; k < i; k++)
				assert_int_equal(p[k], 0);
			memset(p, 0xff, i);
		}
		assert_null(sl_arena_alloc(a, 2 << 20));
		sl_arena_reset(a);
	}
	assert_string_equal(sl_arena_printf(a, "%d-%s", 7, "x"), "7-x");
	sl_arena_free(a);
}

static void names_numbers_and_nearness(void **state)
{
	(void)state;
	assert_true(sl_name_valid("flights_raw.quarantine"));
	assert_false(sl_name_valid("1a"));
	assert_false(sl_name_valid("a..b"));
	assert_false(sl_name_valid("a/b"));
	assert_true(sl_relative_path_valid("a/b.txt"));
	assert_false(sl_relative_path_valid("a/../b"));
	assert_false(sl_relative_path_valid("/a"));
	assert_false(sl_relative_path_valid("a//b"));
	int64_t i;
	double d;
	assert_true(sl_str_int("-42", &i) && i == -42);
	assert_false(sl_str_int("42x", &i));
	assert_false(sl_str_int("9223372036854775808", &i));
	assert_true(sl_str_double("1e3", &d) && d == 1000);
	assert_false(sl_str_double("0x10", &d));
	assert_false(sl_str_double("1e999", &d));
	const char *const names[] = {"flights", "features"};
	assert_string_equal(sl_str_nearest("fligths", names, 2), "flights");
	assert_null(sl_str_nearest("zebra", names, 2));
	uint64_t bytes;
	assert_true(sl_str_bytes("1.5GiB", &bytes) && bytes == 1610612736);
	assert_false(sl_str_bytes("5 parsecs", &bytes));
	assert_true(sl_utf8_valid("h\xc3\xa9", 3));
	assert_false(sl_utf8_valid("\xc0\x80", 2));
	assert_false(sl_utf8_valid("\xed\xa0\x80", 3));
}

static void map_keeps_order_and_replaces(void **state)
{
	(void)state;
	struct sl_map *m = sl_map_new(NULL);
	int values[1000];
	char key[16];
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof key, "k%d", i);
		assert_int_equal(sl_map_set(m, key, &values[i], NULL, NULL), 0);
	}
	void *old;
	sl_map_set(m, "k7", &values[8], &old, NULL);
	assert_ptr_equal(old, &values[7]);
	assert_ptr_equal(sl_map_get(m, "k7"), &values[8]);
	assert_int_equal(sl_map_count(m), 1000);
	assert_string_equal(sl_map_key(m, 999), "k999");
	assert_false(sl_map_has(m, "x"));
	sl_map_free(m);
}

static void hashes_match_published_vectors(void **state)
{
	(void)state;
	struct sl_hash h, back;
	char hex[65];
	sl_sha256("abc", 3, &h); /* FIPS 180-2, B.1 */
	assert_string_equal(sl_hash_hex(&h, hex), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_true(sl_hash_parse(hex, &back) && sl_hash_eq(&h, &back));
	struct sl_sha256 *s = sl_sha256_new(NULL);
	for (int i = 0; i < 2; i++) { /* the state is ready again after end */
		sl_sha256_add(s, "a", 1);
		sl_sha256_add(s, "bc", 2);
		sl_sha256_end(s, &back);
		assert_true(sl_hash_eq(&h, &back));
	}
	sl_sha256_free(s);
	assert_int_equal(sl_crc32c(0, "123456789", 9), 0xe3069283); /* RFC 3720, B.4 */
	const char *secret = "It's a Secret to Everybody"; /* GitHub's example of a webhook signature */
	sl_hmac_sha256(secret, strlen(secret), "Hello, World!", 13, &h);
	assert_string_equal(sl_hash_hex(&h, hex), "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
}

static void json_is_canonical_and_refuses(void **state)
{
	(void)state;
	const char *text = "{ \"b\": [1, -2, 0.5, 1e30, true, null], \"a\": \"\\u00e9\\n\\u0001\" }";
	struct sl_error err = {0};
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(text, strlen(text), "t", &err);
	assert_non_null(doc);
	struct sl_buf out SL_AUTO_BUF = SL_BUF_INIT(1000);
	assert_int_equal(sl_json_canonical(yyjson_doc_get_root(doc), &out, &err), 0);
	assert_string_equal(out.data, "{\"a\":\"\xc3\xa9\\n\\u0001\",\"b\":[1,-2,0.5,1e30,true,null]}");
	assert_null(sl_json_parse("{\"a\":1,\n \"a\":2}", 15, "t", &err));
	assert_non_null(strstr(err.message, "twice"));
	assert_null(sl_json_parse("{\n x}", 5, "t", &err));
	assert_string_equal(err.where, "t:2:2");
	char deep[400];
	memset(deep, '[', 200);
	memset(deep + 200, ']', 200);
	assert_null(sl_json_parse(deep, 400, "t", &err));
	assert_non_null(strstr(err.message, "deeper"));
	sl_buf_clear(&out);
	sl_json_string(&out, "a\xff\"", 3);
	assert_string_equal(out.data, "\"a\xef\xbf\xbd\\\"\"");
}

static void times_and_durations(void **state)
{
	(void)state;
	int64_t ms;
	char text[SL_TIME_TEXT];
	assert_true(sl_time_parse("2001-03-01", &ms));
	assert_int_equal(ms, INT64_C(983404800000));
	assert_string_equal(sl_time_format(ms, text), "2001-03-01T00:00:00Z");
	assert_true(sl_time_parse("2001-03-01T01:30:00.5+01:30", &ms));
	assert_string_equal(sl_time_format(ms, text), "2001-03-01T00:00:00.500Z");
	assert_false(sl_time_parse("2001-02-29", &ms));
	assert_false(sl_time_parse("2001-03-01T25:00", &ms));
	assert_true(sl_duration_parse("1h30m", &ms) && ms == 5400000);
	assert_false(sl_duration_parse("7", &ms));
	struct sl_civil c;
	sl_civil_from_ms(-1, &c);
	assert_int_equal(c.year, 1969);
	assert_int_equal(c.weekday, 3);
	assert_int_equal(sl_civil_to_ms(&c), -1);
}

static void ids_sort_by_time(void **state)
{
	(void)state;
	struct sl_id a, b;
	unsigned char random[10] = {0xff, 1, 2, 3, 4, 5, 6, 7, 8, 9};
	sl_id_make(1469918176385, random, &a);
	assert_memory_equal(a.text, "01ARYZ6S41", 10); /* the ULID specification's own example of a time */
	sl_id_make(1469918176386, random, &b);
	assert_true(strcmp(a.text, b.text) < 0);
	assert_true(sl_id_parse(a.text, &b));
	assert_int_equal(sl_id_time_ms(&b), 1469918176385);
	assert_false(sl_id_parse("8ZZZZZZZZZZZZZZZZZZZZZZZZZ", &b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(error_carries_where_what_and_hint), cmocka_unit_test(buffer_keeps_its_maximum),
		cmocka_unit_test(arena_gives_zeroed_aligned_memory_up_to_its_limit), cmocka_unit_test(names_numbers_and_nearness),
		cmocka_unit_test(map_keeps_order_and_replaces), cmocka_unit_test(hashes_match_published_vectors),
		cmocka_unit_test(json_is_canonical_and_refuses), cmocka_unit_test(times_and_durations), cmocka_unit_test(ids_sort_by_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
