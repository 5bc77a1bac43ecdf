/* What making, showing and verifying share: the members, and their contents once parsed. Nobody outside the room includes it. */
#ifndef SL_EVIDENCE_BUNDLE_H
#define SL_EVIDENCE_BUNDLE_H

#include "evidence/evidence.h"
#include "ledger/proof.h"
#include "ledger/rows.h"

/* In the order of the archive, which is that of their names. */
enum sl_member {
	SL_MEMBER_INDEX, SL_MEMBER_CARD, SL_MEMBER_CHECKPOINT, SL_MEMBER_KEY, SL_MEMBER_LINEAGE, SL_MEMBER_PACKAGE, SL_MEMBER_PROOFS,
	SL_MEMBER_ROWS, SL_MEMBER_RUNS, SL_MEMBER_COUNT
};
extern const char *const sl_member_names[SL_MEMBER_COUNT];

/* The first line of the index: it has blanks, so no checkpoint can be taken for an index, nor the other way round. */
#define SL_EVIDENCE_HEAD "sluice evidence 1"

/* The parsed members. Everything lives until done. */
struct sl_bundle {
	yyjson_doc *lineage, *package, *rows;
	yyjson_doc **runs;
	size_t run_count;
	struct sl_proof *proofs;
	size_t proof_count;
};
/* `text`: the members' bytes, of which lineage, package, rows, runs and proofs are read; the proofs are proved on the way. */
int sl_bundle_read(const struct sl_buf text[SL_MEMBER_COUNT], const struct sl_ledger_key *key, struct sl_bundle *ret,
		   struct sl_error *err);
void sl_bundle_done(struct sl_bundle *bundle);
/* The rows of a table of rows.json, NULL when there are none: arrays in the order of sl_ledger_tables' columns. */
yyjson_val *sl_bundle_table(const struct sl_bundle *bundle, const char *table);
/* The index's text without signature: head, subject, and a line of SHA-256, size and name for every other member. */
void sl_bundle_index(const struct sl_buf text[SL_MEMBER_COUNT], const char *subject, struct sl_buf *out);

/* The card: one HTML page without scripts and outside resources, a function of the bundle alone (card.c). */
void sl_bundle_card(const struct sl_bundle *bundle, const char *subject, struct sl_buf *out);

#endif
