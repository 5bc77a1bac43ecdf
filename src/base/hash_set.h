/* A set of SHA-256 hashes with a small number beside each: 33 bytes an entry at most two thirds full, for the millions of objects of a
 * store. Entries are never taken out. */
#ifndef SL_BASE_HASH_SET_H
#define SL_BASE_HASH_SET_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"

struct sl_hash_set {
	struct sl_hash *hashes;
	unsigned char *marks; /* 0: the place is free */
	size_t room, count;
};
#define SL_AUTO_HASH_SET SL_CLEANUP(sl_hash_set_done)

void sl_hash_set_done(struct sl_hash_set *set);
/* The mark of `hash`, or 0 when it is not in. */
unsigned char sl_hash_set_get(const struct sl_hash_set *set, const struct sl_hash *hash);
/* Puts it in, or changes its mark, which is not 0. */
int sl_hash_set_put(struct sl_hash_set *set, const struct sl_hash *hash, unsigned char mark, struct sl_error *err);

#endif
