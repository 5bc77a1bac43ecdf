/* A proof of one entry (docs/formats/proof.md), read without a store. */
#ifndef SL_LEDGER_PROOF_H
#define SL_LEDGER_PROOF_H

#include "base/json.h"
#include "ledger/checkpoint.h"

struct sl_proof {
	int64_t seq;
	yyjson_val *entry; /* the entry as JSON; lives in `doc` */
	yyjson_doc *doc;   /* free with sl_proof_done */
};
/* That the entry is in the tree that `key` signed: leaf, path, root and signature. The proof's checkpoint must be `checkpoint`,
 * letter for letter, and its key `key`. SL_E_CORRUPT says what is wrong; `where` starts the error. */
int sl_proof_read(const char *text, size_t len, const struct sl_ledger_key *key, const char *checkpoint, const char *where,
		  struct sl_proof *ret, struct sl_error *err);
void sl_proof_done(struct sl_proof *proof);

#endif
