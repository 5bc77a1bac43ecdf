/* Ed25519 (RFC 8032) signatures, by OpenSSL. Keys and signatures are the raw bytes of the RFC. */
#ifndef SL_BASE_SIGN_H
#define SL_BASE_SIGN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum { SL_SIGN_KEY = 32, SL_SIGN_BYTES = 64 };

/* `secret`: 32 random bytes, the RFC's private key. */
int sl_sign_public(const unsigned char secret[SL_SIGN_KEY], unsigned char ret_public[SL_SIGN_KEY], struct sl_error *err);
int sl_sign(const unsigned char secret[SL_SIGN_KEY], const void *data, size_t len, unsigned char ret[SL_SIGN_BYTES],
	    struct sl_error *err);
bool sl_sign_verify(const unsigned char public_key[SL_SIGN_KEY], const void *data, size_t len,
		    const unsigned char signature[SL_SIGN_BYTES]);

#endif
