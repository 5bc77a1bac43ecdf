/* Sealed secrets come back, and only where they belong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/seal.h"

static const unsigned char KEY[SL_SEAL_KEY] = {1, 2, 3}, NONCE[SL_SEAL_NONCE] = {4, 5};

/* The NIST GCM specification's test case 14: 256 zero bits of key, 96 of nonce, 16 zero bytes. Ours binds "" there. */
static void test_the_cipher_is_aes_gcm(void **state)
{
	static const unsigned char ZERO[32] = {0}, EXPECTED[] = {0xce, 0xa7, 0x40, 0x3d, 0x4d, 0x60, 0x6b, 0x6e, 0x07, 0x4e, 0xc5, 0xd3, 0xba, 0xf3,
		0x9d, 0x18, 0xd0, 0xd1, 0xc8, 0xa7, 0x99, 0x99, 0x6b, 0xf0, 0x26, 0x5b, 0x98, 0xb5, 0xd4, 0x8a, 0xb9, 0x19};
	unsigned char sealed[16 + SL_SEAL_MORE];
	(void)state;
	assert_int_equal(sl_seal(ZERO, ZERO, "", ZERO, 16, sealed, NULL), 0);
	assert_memory_equal(sealed, ZERO, SL_SEAL_NONCE);
	assert_memory_equal(sealed + SL_SEAL_NONCE, EXPECTED, sizeof EXPECTED);
}

static void test_it_opens_only_with_its_key_and_owner(void **state)
{
	unsigned char sealed[6 + SL_SEAL_MORE], other[SL_SEAL_KEY] = {9};
	char opened[7] = "";
	(void)state;
	assert_int_equal(sl_seal(KEY, NONCE, "owner", "secret", 6, sealed, NULL), 0);
	assert_int_equal(sl_unseal(KEY, "owner", sealed, sizeof sealed, opened, NULL), 0);
	assert_string_equal(opened, "secret");
	assert_int_equal(sl_unseal(other, "owner", sealed, sizeof sealed, opened, NULL), SL_E_CORRUPT);
	assert_int_equal(sl_unseal(KEY, "owned", sealed, sizeof sealed, opened, NULL), SL_E_CORRUPT);
	assert_int_equal(sl_unseal(KEY, "owner", sealed, sizeof sealed - 1, opened, NULL), SL_E_CORRUPT);
	assert_int_equal(sl_unseal(KEY, "owner", sealed, SL_SEAL_MORE - 1, opened, NULL), SL_E_CORRUPT);
	for (size_t i = 0; i < sizeof sealed; i++) {
		sealed[i] ^= 1;
		assert_int_equal(sl_unseal(KEY, "owner", sealed, sizeof sealed, opened, NULL), SL_E_CORRUPT);
		sealed[i] ^= 1;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_cipher_is_aes_gcm),
		cmocka_unit_test(test_it_opens_only_with_its_key_and_owner),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
