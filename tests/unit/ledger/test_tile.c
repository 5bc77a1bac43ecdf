/* The Merkle tree against a direct reading of RFC 6962, and the names of tiles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "ledger/tile.h"

/* MTH of section 2.1, word for word. */
static void reference_root(const struct sl_hash *leaves, uint64_t n, struct sl_hash *ret)
{
	if (n == 0) {
		sl_sha256("", 0, ret);
		return;
	}
	if (n == 1) {
		*ret = leaves[0];
		return;
	}
	uint64_t k = 1;
	while (k * 2 < n)
		k *= 2;
	unsigned char pair[65] = {1};
	struct sl_hash left, right;
	reference_root(leaves, k, &left);
	reference_root(leaves + k, n - k, &right);
	memcpy(pair + 1, &left, 32);
	memcpy(pair + 33, &right, 32);
	sl_sha256(pair, sizeof pair, ret);
}

static void make_leaf(uint64_t i, struct sl_hash *ret)
{
	char text[32];
	size_t n = (size_t)snprintf(text, sizeof text, "entry %llu", (unsigned long long)i);
	sl_tree_leaf(text, n, ret);
}

struct seen {
	unsigned full[SL_TILE_LEVELS];
};

static int note_full(void *context, unsigned level, uint64_t index, const struct sl_hash hashes[SL_TILE_WIDTH],
		     struct sl_error *err)
{
	(void)hashes, (void)err;
	struct seen *seen = context;
	assert_int_equal(seen->full[level], index);
	seen->full[level]++;
	return 0;
}

static void test_root_is_the_rfcs(void **state)
{
	(void)state;
	enum { MAX = 66200 };
	struct sl_tree *tree SL_AUTO_FREE = sl_alloc(sizeof *tree, NULL);
	struct sl_hash *leaves SL_AUTO_FREE = sl_alloc_array(MAX, sizeof *leaves, NULL), expected, root;
	struct seen seen = {0};

	for (uint64_t n = 0; n < MAX; n++) {
		if (n < 1100 || n % 8191 == 0 || (n > 65500 && n % 16 < 3)) {
			reference_root(leaves, n, &expected);
			sl_tree_root(tree, &root);
			assert_memory_equal(&expected, &root, sizeof root);
		}
		make_leaf(n, &leaves[n]);
		assert_int_equal(0, sl_tree_add(tree, &leaves[n], note_full, &seen, NULL));
	}
	assert_int_equal(MAX / 256, seen.full[0]);
	assert_int_equal(1, seen.full[1]);
	assert_int_equal(seen.full[0], sl_tile_full_count(MAX, 0));
	assert_int_equal(seen.full[0], sl_tile_full_count(MAX, SL_TILE_ENTRIES));
	assert_int_equal(MAX % 256, sl_tile_partial_width(MAX, 0));
	assert_int_equal(MAX / 256 - 256, sl_tile_partial_width(MAX, 1));
	assert_int_equal(1, sl_tile_partial_width(MAX, 2));
	assert_int_equal(0, sl_tile_partial_width(MAX, 3));
}

/* Values that other implementations of the RFC publish (certificate-transparency's reference test data). */
static void test_known_roots(void **state)
{
	(void)state;
	struct sl_hash hash;
	struct sl_tree *tree SL_AUTO_FREE = sl_alloc(sizeof *tree, NULL);
	char hex[SL_HASH_HEX + 1];

	sl_tree_root(tree, &hash);
	assert_string_equal("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", sl_hash_hex(&hash, hex));
	sl_tree_leaf("", 0, &hash);
	assert_string_equal("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d", sl_hash_hex(&hash, hex));
	assert_int_equal(0, sl_tree_add(tree, &hash, NULL, NULL, NULL));
	sl_tree_leaf("\0", 1, &hash);
	assert_int_equal(0, sl_tree_add(tree, &hash, NULL, NULL, NULL));
	sl_tree_root(tree, &hash);
	assert_string_equal("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125", sl_hash_hex(&hash, hex));
}

static void test_paths(void **state)
{
	(void)state;
	char path[SL_TILE_PATH];
	assert_string_equal("tile/0/000", sl_tile_path(path, 0, 0, 256));
	assert_string_equal("tile/2/067", sl_tile_path(path, 2, 67, 256));
	assert_string_equal("tile/1/x001/x234/067.p/5", sl_tile_path(path, 1, 1234067, 5));
	assert_string_equal("tile/entries/x001/000", sl_tile_path(path, SL_TILE_ENTRIES, 1000, 256));
	assert_string_equal("tile/0/x999/999.p/255", sl_tile_path(path, 0, 999999, 255));
	assert_string_equal("tile/0/x072/x057/x594/x037/x927/935", sl_tile_path(path, 0, UINT64_MAX >> 8, 256));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_root_is_the_rfcs), cmocka_unit_test(test_known_roots), cmocka_unit_test(test_paths),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
