/* Checkpoints: what a ledger commits to, as a C2SP signed note (tlog-checkpoint):
 *
 *     <origin>
 *     <size>
 *     <root, base 64>
 *
 *     — <origin> <base 64 of key hash (4 bytes) and Ed25519 signature>
 *
 * Keys are written as Go's signed notes write them: "<origin>+<key hash, 8 hex>+<base 64 of 0x01 and the public key>", the
 * private one with "PRIVATE+KEY+" before it and the RFC 8032 seed in place of the public key.
 */
#ifndef SL_LEDGER_CHECKPOINT_H
#define SL_LEDGER_CHECKPOINT_H

#include <stdint.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/sign.h"

enum { SL_ORIGIN_MAX = 128 };

struct sl_ledger_key {
	char origin[SL_ORIGIN_MAX];
	unsigned char public_key[SL_SIGN_KEY], secret[SL_SIGN_KEY];
	bool has_secret;
};

struct sl_checkpoint {
	uint64_t size;
	struct sl_hash root;
};

/* Makes a key pair from `secret`. SL_E_INVALID for an origin with a blank, '+' or control character, or longer than 127 bytes. */
int sl_ledger_key_make(const char *origin, const unsigned char secret[SL_SIGN_KEY], struct sl_ledger_key *ret,
		       struct sl_error *err);
void sl_ledger_key_write(const struct sl_ledger_key *key, bool secret, struct sl_buf *out);
/* Reads either form (a line end behind it is fine); the public key of a private one is computed. `where` starts the error. */
int sl_ledger_key_read(const char *text, size_t len, const char *where, struct sl_ledger_key *ret, struct sl_error *err);

/* Signed notes (C2SP signed-note). Signs text from byte `from` on, which ends with a line end and has no empty line: appends an empty
 * line and the signature's. A note that is no checkpoint begins with a line that has a blank, which no origin has. */
int sl_note_sign(const struct sl_ledger_key *key, struct sl_buf *text, size_t from, struct sl_error *err);
/* Proves that `key` signed what stands before the first empty line; *ret_len gets its length, with its line end. */
int sl_note_read(const char *text, size_t len, const struct sl_ledger_key *key, const char *where, size_t *ret_len,
		 struct sl_error *err);

int sl_checkpoint_write(const struct sl_checkpoint *checkpoint, const struct sl_ledger_key *key, struct sl_buf *out,
			struct sl_error *err);
/* Reads and proves the signature; SL_E_CORRUPT says which line is wrong. Other keys' signature lines are ignored. */
int sl_checkpoint_read(const char *text, size_t len, const struct sl_ledger_key *key, const char *where,
		       struct sl_checkpoint *ret, struct sl_error *err);

#endif
