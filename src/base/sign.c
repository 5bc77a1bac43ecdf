#include "base/sign.h"

#include <openssl/evp.h>

int sl_sign_public(const unsigned char secret[SL_SIGN_KEY], unsigned char ret_public[SL_SIGN_KEY], struct sl_error *err)
{
	size_t len = SL_SIGN_KEY;
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, SL_SIGN_KEY);
	int ok = key && EVP_PKEY_get_raw_public_key(key, ret_public, &len) == 1;
	EVP_PKEY_free(key);
	return ok ? 0 : sl_fail_memory(err);
}

int sl_sign(const unsigned char secret[SL_SIGN_KEY], const void *data, size_t len, unsigned char ret[SL_SIGN_BYTES],
	    struct sl_error *err)
{
	size_t signature_len = SL_SIGN_BYTES;
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, SL_SIGN_KEY);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	int ok = key && context && EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
		 EVP_DigestSign(context, ret, &signature_len, data, len) == 1;
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	return ok ? 0 : sl_fail_memory(err);
}

bool sl_sign_verify(const unsigned char public_key[SL_SIGN_KEY], const void *data, size_t len,
		    const unsigned char signature[SL_SIGN_BYTES])
{
	EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, SL_SIGN_KEY);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool ok = key && context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
		  EVP_DigestVerify(context, signature, SL_SIGN_BYTES, data, len) == 1;
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	return ok;
}
