/* AES-256-GCM, by OpenSSL: small secrets that must lie somewhere and come back. */
#ifndef SL_BASE_SEAL_H
#define SL_BASE_SEAL_H

#include <stddef.h>

#include "base/error.h"

enum { SL_SEAL_KEY = 32, SL_SEAL_NONCE = 12, SL_SEAL_TAG = 16, SL_SEAL_MORE = SL_SEAL_NONCE + SL_SEAL_TAG };

/* `nonce`: random, never twice with one key. `bound` is not kept in it, and must be the same when it is opened: what the secret belongs to.
 * ret has room for len + SL_SEAL_MORE bytes: nonce, ciphertext, tag. */
int sl_seal(const unsigned char key[SL_SEAL_KEY], const unsigned char nonce[SL_SEAL_NONCE], const char *bound, const void *data, size_t len,
	unsigned char *ret, struct sl_error *err);
/* ret has room for len - SL_SEAL_MORE bytes. SL_E_CORRUPT: another key, another `bound`, or not what was sealed. */
int sl_unseal(const unsigned char key[SL_SEAL_KEY], const char *bound, const unsigned char *sealed, size_t len, void *ret, struct sl_error *err);

#endif
