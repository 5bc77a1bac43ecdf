/* Ed25519 against RFC 8032 section 7.1, base 64 against RFC 4648 section 10. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/sign.h"

/* TEST 2 of the RFC. */
static const unsigned char SECRET[] = {0x4c, 0xcd, 0x08, 0x9b, 0x28, 0xff, 0x96, 0xda, 0x9d, 0xb6, 0xc3,
				       0x46, 0xec, 0x11, 0x4e, 0x0f, 0x5b, 0x8a, 0x31, 0x9f, 0x35, 0xab,
				       0xa6, 0x24, 0xda, 0x8c, 0xf6, 0xed, 0x4f, 0xb8, 0xa6, 0xfb};
static const unsigned char PUBLIC[] = {0x3d, 0x40, 0x17, 0xc3, 0xe8, 0x43, 0x89, 0x5a, 0x92, 0xb7, 0x0a,
				       0xa7, 0x4d, 0x1b, 0x7e, 0xbc, 0x9c, 0x98, 0x2c, 0xcf, 0x2e, 0xc4,
				       0x96, 0x8c, 0xc0, 0xcd, 0x55, 0xf1, 0x2a, 0xf4, 0x66, 0x0c};

static void test_the_rfcs_vector(void **state)
{
	(void)state;
	unsigned char key[SL_SIGN_KEY], signature[SL_SIGN_BYTES];
	static const unsigned char begin[] = {0x92, 0xa0, 0x09, 0xa9, 0xf0, 0xd4, 0xca, 0xb8};

	assert_int_equal(0, sl_sign_public(SECRET, key, NULL));
	assert_memory_equal(PUBLIC, key, sizeof key);
	assert_int_equal(0, sl_sign(SECRET, "\x72", 1, signature, NULL));
	assert_memory_equal(begin, signature, sizeof begin);
	assert_true(sl_sign_verify(PUBLIC, "\x72", 1, signature));
	assert_false(sl_sign_verify(PUBLIC, "\x73", 1, signature));
	for (int i = 0; i < SL_SIGN_BYTES; i++) {
		signature[i] ^= 1;
		assert_false(sl_sign_verify(PUBLIC, "\x72", 1, signature));
		signature[i] ^= 1;
	}
}

static void test_base64(void **state)
{
	(void)state;
	static const char *const pairs[][2] = {{"", ""},
					       {"f", "Zg=="},
					       {"fo", "Zm8="},
					       {"foo", "Zm9v"},
					       {"foob", "Zm9vYg=="},
					       {"fooba", "Zm9vYmE="},
					       {"foobar", "Zm9vYmFy"}};
	static const char *const wrong[] = {"Zg=", "Zh==", "Zm9=", "=m9v", "Zg==Zg==", "Z g=", "Zm9vYg", "Zm-v", "===="};
	char out[16];

	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(100);
		sl_base64_add(&text, pairs[i][0], strlen(pairs[i][0]));
		assert_string_equal(pairs[i][1], sl_buf_cstr(&text));
		assert_int_equal(strlen(pairs[i][0]), sl_base64_decode(pairs[i][1], strlen(pairs[i][1]), out, sizeof out));
		assert_memory_equal(pairs[i][0], out, strlen(pairs[i][0]));
	}
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_int_equal(-1, sl_base64_decode(wrong[i], strlen(wrong[i]), out, sizeof out));
	assert_int_equal(-1, sl_base64_decode("Zm9vYmFy", 8, out, 5));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_rfcs_vector), cmocka_unit_test(test_base64)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
