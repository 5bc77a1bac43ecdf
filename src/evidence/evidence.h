/* Evidence: all that is known of one model version, with its proofs, in one file that is checked without the store it came from
 * (docs/formats/evidence.md).
 *
 *   store --make--> INDEX (signed) card.html checkpoint key.pub lineage.json package.json proofs.jsonl rows.json runs.jsonl --verify
 *
 * Nothing in a bundle has to be believed: rows and runs hash to what ledger entries say, the entries are in the tree whose root is
 * signed, and the card is written anew from the other members and compared.
 */
#ifndef SL_EVIDENCE_EVIDENCE_H
#define SL_EVIDENCE_EVIDENCE_H

#include "base/buf.h"
#include "track/store.h"

enum {
	SL_EVIDENCE_MAX_BYTES = 1 << 30,
	SL_EVIDENCE_ROWS_MAX = 100000, /* rows of each table; of monitor windows the newest */
	SL_EVIDENCE_LINES_MAX = 200000, /* proofs, runs */
};

struct sl_evidence_about {
	const char *model;
	int64_t version;
	const char *const *monitors; /* those of the endpoints that the model answers */
	size_t monitor_count;
};
/* Appends the archive. The same store gives the same bytes. The ledger is published first. SL_E_DENIED without the private key. */
int sl_evidence_make(struct sl_store *store, const struct sl_evidence_about *about, struct sl_buf *out, struct sl_error *err);

struct sl_evidence_report {
	char subject[300];         /* "model:delay@3" */
	char key[256];             /* the verifier key, as in key.pub: compare it with one from elsewhere */
	int64_t members, entries, rows, runs, ledger_size;
};
/* Hostile input: nothing is believed before it is checked. `key` (may be NULL): the verifier key that it must be signed with. SL_E_CORRUPT
 * with the member as place. */
int sl_evidence_verify(const char *data, size_t len, const char *key, struct sl_evidence_report *ret, struct sl_error *err);

#endif
