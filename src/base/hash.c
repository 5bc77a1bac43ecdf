/* The SHA256_* functions are the fast way to hash a short message: 158 ns, against 254 ns for a reused EVP context. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "base/hash.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <string.h>

#include "base/mem.h"

bool sl_hash_eq(const struct sl_hash *a, const struct sl_hash *b) { return memcmp(a, b, sizeof *a) == 0; }

char *sl_hash_hex(const struct sl_hash *hash, char out[SL_HASH_HEX + 1])
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < SL_HASH_BYTES; i++) {
		out[2 * i] = digits[hash->bytes[i] >> 4];
		out[2 * i + 1] = digits[hash->bytes[i] & 15];
	}
	out[SL_HASH_HEX] = 0;
	return out;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool sl_hash_parse(const char *hex, struct sl_hash *ret)
{
	if (strlen(hex) != SL_HASH_HEX)
		return false;
	struct sl_hash hash;
	for (size_t i = 0; i < SL_HASH_BYTES; i++) {
		int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		hash.bytes[i] = (unsigned char)(high << 4 | low);
	}
	*ret = hash;
	return true;
}

struct sl_sha256 {
	EVP_MD_CTX *context;
};

/* Fetching the algorithm anew costs 340 of 593 ns for a short message: fetch it once. */
static const EVP_MD *sha256_md(void)
{
	static EVP_MD *md;
	EVP_MD *have = __atomic_load_n(&md, __ATOMIC_ACQUIRE);
	if (have)
		return have;
	EVP_MD *fetched = EVP_MD_fetch(NULL, "SHA256", NULL), *none = NULL;
	assert(fetched);
	if (__atomic_compare_exchange_n(&md, &none, fetched, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return fetched;
	EVP_MD_free(fetched);
	return none;
}

void sl_sha256(const void *data, size_t len, struct sl_hash *ret)
{
	SHA256_CTX context;
	int ok = SHA256_Init(&context) && SHA256_Update(&context, data, len) && SHA256_Final(ret->bytes, &context);
	assert(ok);
}

void sl_sha256_tagged(unsigned char tag, const void *data, size_t len, struct sl_hash *ret)
{
	SHA256_CTX context;
	int ok = SHA256_Init(&context) && SHA256_Update(&context, &tag, 1) && SHA256_Update(&context, data, len) && SHA256_Final(ret->bytes, &context);
	assert(ok);
}

struct sl_sha256 *sl_sha256_new(struct sl_error *err)
{
	struct sl_sha256 *state = sl_alloc(sizeof *state, err);
	if (!state)
		return NULL;
	state->context = EVP_MD_CTX_new();
	if (!state->context || !EVP_DigestInit_ex2(state->context, sha256_md(), NULL)) {
		sl_sha256_free(state);
		sl_fail_memory(err);
		return NULL;
	}
	return state;
}

void sl_sha256_free(struct sl_sha256 *state)
{
	if (!state)
		return;
	EVP_MD_CTX_free(state->context);
	sl_free(state);
}

void sl_sha256_freep(struct sl_sha256 **state) { sl_sha256_free(*state); }

void sl_sha256_add(struct sl_sha256 *state, const void *data, size_t len)
{
	int ok = EVP_DigestUpdate(state->context, data, len);
	assert(ok);
}

void sl_sha256_end(struct sl_sha256 *state, struct sl_hash *ret)
{
	int ok = EVP_DigestFinal_ex(state->context, ret->bytes, NULL) && EVP_DigestInit_ex2(state->context, sha256_md(), NULL);
	assert(ok);
}

void sl_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len, struct sl_hash *ret)
{
	unsigned size = SL_HASH_BYTES;
	unsigned char *p = HMAC(sha256_md(), key, (int)key_len, data, len, ret->bytes, &size);
	assert(p && size == SL_HASH_BYTES);
}

bool sl_equal_constant_time(const void *a, const void *b, size_t len) { return CRYPTO_memcmp(a, b, len) == 0; }

static uint32_t crc_table[256];

__attribute__((constructor)) static void make_crc_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;
		for (int k = 0; k < 8; k++)
			c = c & 1 ? 0x82f63b78u ^ c >> 1 : c >> 1;
		crc_table[i] = c;
	}
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_hardware(uint32_t crc, const unsigned char *p, size_t len)
{
	uint64_t c = ~crc;
	for (; len >= 8; len -= 8, p += 8) {
		uint64_t word;
		memcpy(&word, p, 8);
		c = __builtin_ia32_crc32di(c, word);
	}
	uint32_t c32 = (uint32_t)c;
	while (len--)
		c32 = __builtin_ia32_crc32qi(c32, *p++);
	return ~c32;
}
#endif

uint32_t sl_crc32c(uint32_t crc, const void *data, size_t len)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return crc32c_hardware(crc, data, len);
#endif
	const unsigned char *p = data;
	crc = ~crc;
	while (len--)
		crc = crc_table[(crc ^ *p++) & 255] ^ crc >> 8;
	return ~crc;
}

void sl_crypto_start(void) { OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL); }

const char *sl_crypto_version(void) { return OpenSSL_version(OPENSSL_VERSION); }
