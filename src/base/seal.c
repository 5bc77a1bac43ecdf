#include "base/seal.h"

#include <string.h>

#include <openssl/evp.h>

int sl_seal(const unsigned char key[SL_SEAL_KEY], const unsigned char nonce[SL_SEAL_NONCE], const char *bound, const void *data, size_t len,
	unsigned char *ret, struct sl_error *err)
{
	int n = 0;
	unsigned char *cipher = ret + SL_SEAL_NONCE;
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	memcpy(ret, nonce, SL_SEAL_NONCE);
	int ok = c && EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
		EVP_EncryptUpdate(c, NULL, &n, (const unsigned char *)bound, (int)strlen(bound)) == 1 &&
		EVP_EncryptUpdate(c, cipher, &n, data, (int)len) == 1 && EVP_EncryptFinal_ex(c, cipher + n, &n) == 1 &&
		EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, SL_SEAL_TAG, cipher + len) == 1;
	EVP_CIPHER_CTX_free(c);
	return ok ? 0 : sl_fail_memory(err);
}

int sl_unseal(const unsigned char key[SL_SEAL_KEY], const char *bound, const unsigned char *sealed, size_t len, void *ret, struct sl_error *err)
{
	int n = 0;
	unsigned char tag[SL_SEAL_TAG], end[EVP_MAX_BLOCK_LENGTH];
	if (len < SL_SEAL_MORE)
		return sl_fail(err, SL_E_CORRUPT, "a sealed secret is too short");
	size_t inner = len - SL_SEAL_MORE;
	memcpy(tag, sealed + SL_SEAL_NONCE + inner, sizeof tag);
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int ok = c && EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, sealed) == 1 &&
		EVP_DecryptUpdate(c, NULL, &n, (const unsigned char *)bound, (int)strlen(bound)) == 1 &&
		EVP_DecryptUpdate(c, ret, &n, sealed + SL_SEAL_NONCE, (int)inner) == 1 &&
		EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, SL_SEAL_TAG, tag) == 1 && EVP_DecryptFinal_ex(c, end, &n) == 1;
	EVP_CIPHER_CTX_free(c);
	return ok ? 0 : sl_fail(err, SL_E_CORRUPT, "a sealed secret does not open: it was changed, or the key is another");
}
