#include "ledger/checkpoint.h"

#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/str.h"

#define PRIVATE "PRIVATE+KEY+"
#define DASH "\xe2\x80\x94 "

enum { ALGORITHM = 1 }; /* Ed25519 */

/* ---- keys ----------------------------------------------------------------------------------------------------------- */

static void key_hash(const struct sl_ledger_key *key, unsigned char out[4])
{
	char text[SL_ORIGIN_MAX + 2 + SL_SIGN_KEY];
	struct sl_hash hash;
	size_t n = (size_t)snprintf(text, sizeof text, "%s\n%c", key->origin, ALGORITHM);
	memcpy(text + n, key->public_key, SL_SIGN_KEY);
	sl_sha256(text, n + SL_SIGN_KEY, &hash);
	memcpy(out, hash.bytes, 4);
}

int sl_ledger_key_make(const char *origin, const unsigned char secret[SL_SIGN_KEY], struct sl_ledger_key *ret,
		       struct sl_error *err)
{
	struct sl_ledger_key key = {.has_secret = true};
	for (const char *p = origin; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == '+' || *p == 127)
			return sl_fail_at(err, SL_E_INVALID, origin, "an origin has no blank, '+' or control character");
	if (!*origin || strlen(origin) >= sizeof key.origin)
		return sl_fail_at(err, SL_E_INVALID, origin, "an origin has 1 to %d bytes", SL_ORIGIN_MAX - 1);
	snprintf(key.origin, sizeof key.origin, "%s", origin);
	memcpy(key.secret, secret, sizeof key.secret);
	int rc = sl_sign_public(secret, key.public_key, err);
	if (!rc)
		*ret = key;
	return rc;
}

void sl_ledger_key_write(const struct sl_ledger_key *key, bool secret, struct sl_buf *out)
{
	unsigned char hash[4], bytes[1 + SL_SIGN_KEY] = {ALGORITHM};
	key_hash(key, hash);
	memcpy(bytes + 1, secret ? key->secret : key->public_key, SL_SIGN_KEY);
	sl_buf_printf(out, "%s%s+%02x%02x%02x%02x+", secret ? PRIVATE : "", key->origin, hash[0], hash[1], hash[2], hash[3]);
	sl_base64_add(out, bytes, sizeof bytes);
	sl_buf_char(out, '\n');
}

static int read_key(const char *text, bool secret, const char *where, struct sl_ledger_key *ret, struct sl_error *err)
{
	unsigned char bytes[1 + SL_SIGN_KEY], hash[4];
	char expected[9];
	const char *plus = strchr(text, '+'), *last = plus ? strchr(plus + 1, '+') : NULL;
	struct sl_ledger_key key = {.has_secret = secret};
	if (!last || last - plus != 9 || (size_t)(plus - text) >= sizeof key.origin ||
	    sl_base64_decode(last + 1, strlen(last + 1), bytes, sizeof bytes) != (long)sizeof bytes || bytes[0] != ALGORITHM)
		return sl_fail_at(err, SL_E_CORRUPT, where, "is not a key of a ledger");
	snprintf(key.origin, sizeof key.origin, "%.*s", (int)(plus - text), text);
	memcpy(secret ? key.secret : key.public_key, bytes + 1, SL_SIGN_KEY);
	int rc = secret ? sl_sign_public(key.secret, key.public_key, err) : 0;
	if (rc)
		return rc;
	key_hash(&key, hash);
	snprintf(expected, sizeof expected, "%02x%02x%02x%02x", hash[0], hash[1], hash[2], hash[3]);
	if (memcmp(expected, plus + 1, 8))
		return sl_fail_at(err, SL_E_CORRUPT, where, "the key and its hash do not belong together");
	*ret = key;
	return 0;
}

int sl_ledger_key_read(const char *text, size_t len, const char *where, struct sl_ledger_key *ret, struct sl_error *err)
{
	char line[sizeof PRIVATE + SL_ORIGIN_MAX + 9 + 48];
	len -= len && text[len - 1] == '\n';
	if (len >= sizeof line || memchr(text, '\n', len) || memchr(text, 0, len))
		return sl_fail_at(err, SL_E_CORRUPT, where, "is not a key of a ledger");
	snprintf(line, sizeof line, "%.*s", (int)len, text);
	bool secret = sl_str_starts(line, PRIVATE);
	return read_key(line + (secret ? strlen(PRIVATE) : 0), secret, where, ret, err);
}

/* ---- checkpoints ---------------------------------------------------------------------------------------------------- */

int sl_checkpoint_write(const struct sl_checkpoint *checkpoint, const struct sl_ledger_key *key, struct sl_buf *out,
			struct sl_error *err)
{
	size_t from = out->len;
	sl_buf_printf(out, "%s\n%llu\n", key->origin, (unsigned long long)checkpoint->size);
	sl_base64_add(out, checkpoint->root.bytes, SL_HASH_BYTES);
	sl_buf_char(out, '\n');
	return sl_note_sign(key, out, from, err);
}

int sl_note_sign(const struct sl_ledger_key *key, struct sl_buf *text, size_t from, struct sl_error *err)
{
	unsigned char signature[4 + SL_SIGN_BYTES];
	int rc = sl_buf_check(text, "a signed note", err);
	if (rc)
		return rc;
	key_hash(key, signature);
	rc = sl_sign(key->secret, text->data + from, text->len - from, signature + 4, err);
	if (rc)
		return rc;
	sl_buf_printf(text, "\n" DASH "%s ", key->origin);
	sl_base64_add(text, signature, sizeof signature);
	sl_buf_char(text, '\n');
	return sl_buf_check(text, "a signed note", err);
}

/* The text up to the next line end into `out`; false when there is none or it does not fit. */
static bool take_line(const char **at, const char *end, char *out, size_t out_size)
{
	const char *stop = memchr(*at, '\n', (size_t)(end - *at));
	if (!stop || (size_t)(stop - *at) >= out_size || memchr(*at, 0, (size_t)(stop - *at)))
		return false;
	snprintf(out, out_size, "%.*s", (int)(stop - *at), *at);
	*at = stop + 1;
	return true;
}

/* One signature line: is it by `key`, over `body`? */
static bool signed_by(const char *line, const struct sl_ledger_key *key, const char *body, size_t body_len)
{
	unsigned char signature[4 + SL_SIGN_BYTES], hash[4];
	size_t name_len = strlen(key->origin);
	if (strncmp(line, DASH, strlen(DASH)))
		return false;
	line += strlen(DASH);
	if (strncmp(line, key->origin, name_len) || line[name_len] != ' ')
		return false;
	line += name_len + 1;
	key_hash(key, hash);
	return sl_base64_decode(line, strlen(line), signature, sizeof signature) == (long)sizeof signature &&
	       memcmp(signature, hash, 4) == 0 && sl_sign_verify(key->public_key, body, body_len, signature + 4);
}

/* "0", or digits without a leading zero. */
static bool read_size(const char *text, uint64_t *ret)
{
	int64_t size;
	if (text[0] < '0' || text[0] > '9' || (text[0] == '0' && text[1]) || !sl_str_int(text, &size))
		return false;
	*ret = (uint64_t)size;
	return true;
}

/* Behind the body there is an empty line and then signatures, one of them by `key`. */
static int check_signed(const char *text, size_t len, size_t body_len, const struct sl_ledger_key *key, const char *where,
			struct sl_error *err)
{
	const char *at = text + body_len + 1, *end = text + len;
	char line[512];
	while (at < end) {
		if (!take_line(&at, end, line, sizeof line))
			return sl_fail_at(err, SL_E_CORRUPT, where, "ends inside a line");
		if (signed_by(line, key, text, body_len))
			return 0;
	}
	return sl_fail_at(err, SL_E_CORRUPT, where, "is not signed by the key of the ledger");
}

int sl_note_read(const char *text, size_t len, const struct sl_ledger_key *key, const char *where, size_t *ret_len,
		 struct sl_error *err)
{
	const char *gap = len ? memmem(text, len, "\n\n", 2) : NULL;
	if (!gap)
		return sl_fail_at(err, SL_E_CORRUPT, where, "has no signature");
	size_t body_len = (size_t)(gap + 1 - text);
	int rc = check_signed(text, len, body_len, key, where, err);
	if (!rc)
		*ret_len = body_len;
	return rc;
}

int sl_checkpoint_read(const char *text, size_t len, const struct sl_ledger_key *key, const char *where,
		       struct sl_checkpoint *ret, struct sl_error *err)
{
	const char *at = text, *end = text + len;
	char line[512];
	struct sl_checkpoint checkpoint;
	if (!take_line(&at, end, line, sizeof line) || strcmp(line, key->origin))
		return sl_fail_at(err, SL_E_CORRUPT, where, "line 1 is not the ledger's origin '%s'", key->origin);
	if (!take_line(&at, end, line, sizeof line) || !read_size(line, &checkpoint.size))
		return sl_fail_at(err, SL_E_CORRUPT, where, "line 2 is not a size");
	if (!take_line(&at, end, line, sizeof line) ||
	    sl_base64_decode(line, strlen(line), checkpoint.root.bytes, SL_HASH_BYTES) != SL_HASH_BYTES)
		return sl_fail_at(err, SL_E_CORRUPT, where, "line 3 is not a root in base 64");
	size_t body_len = (size_t)(at - text);
	if (!take_line(&at, end, line, sizeof line) || line[0])
		return sl_fail_at(err, SL_E_CORRUPT, where, "line 4 is not empty");
	int rc = check_signed(text, len, body_len, key, where, err);
	if (!rc)
		*ret = checkpoint;
	return rc;
}
