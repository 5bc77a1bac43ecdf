/* The ledger: the tamper-evident record of every change and refusal. An RFC 6962 SHA-256 Merkle tree kept as C2SP static tiles
 * (docs/formats/ledger.md) with Ed25519-signed checkpoints.
 *
 *   change's transaction --> table ledger_entry (bytes) --> tiles + checkpoint under .sluice/ledger/
 *
 * The row is written in the change's own transaction, so neither can exist without the other; tiles and checkpoint follow from
 * the rows in order, by whoever comes first (a lock), at the latest when the command ends. A crash between leaves rows that the
 * next publisher adds.
 */
#ifndef SL_LEDGER_LEDGER_H
#define SL_LEDGER_LEDGER_H

#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "port/meta.h"

struct sl_ledger;

/* `dir` = .sluice/ledger; the key is <dir>/../key/ledger.key (made by sl_ledger_create, mode 0600), its public half
 * <dir>/key.pub. */
int sl_ledger_create(const char *dir, const char *key_dir, const char *origin, struct sl_error *err);
int sl_ledger_open(const char *dir, const char *key_dir, struct sl_meta *meta, struct sl_ledger **ret, struct sl_error *err);
void sl_ledger_close(struct sl_ledger *ledger);

/* Appends an entry inside the caller's open transaction (asserted). `action` is a word like "dataset.commit", "model.promote",
 * "request.refused"; `subject` a reference; `detail` a JSON object (may be NULL; at most 32 KiB canonical). The entry's bytes are
 * canonical JSON
 * {"action","actor","detail","seq","subject","time"}. *ret_seq may be NULL. */
int sl_ledger_append(struct sl_ledger *ledger, const char *action, const char *subject, yyjson_mut_val *detail, int64_t *ret_seq,
		     struct sl_error *err);
/* Who acts: "user:name", "trigger:retrain", "token:name"; copied. Default "user:<login name>". */
void sl_ledger_set_actor(struct sl_ledger *ledger, const char *actor);
const char *sl_ledger_actor(struct sl_ledger *ledger);
/* Appends the public key as key.pub holds it, without the line end. */
void sl_ledger_public_key(struct sl_ledger *ledger, struct sl_buf *out);

/* Signs `text` (ledger/checkpoint.h, signed notes) with the ledger's key. SL_E_DENIED on a machine without the private key. */
int sl_ledger_sign(struct sl_ledger *ledger, struct sl_buf *text, struct sl_error *err);

/* Reads the private key, when first needed: OpenSSL takes a millisecond to start, which commands that change nothing should not
 * pay. 1 when there is none: such a machine can verify and append, and somebody with the key publishes. SL_E_CORRUPT when it is not
 * the public key's other half. */
int sl_ledger_check_key(struct sl_ledger *ledger, struct sl_error *err);

/* Builds tiles from committed rows and signs a checkpoint when something is new; never inside a transaction (asserted). Cheap
 * when nothing is (a small file and one row are read: 30 us). Without the private key it does nothing. */
int sl_ledger_publish(struct sl_ledger *ledger, struct sl_error *err);

/* SL_E_CORRUPT when the database has fewer entries than were published: an older copy was put in its place, or its log was
 * damaged and cut. 30 us. */
int sl_ledger_check_behind(struct sl_ledger *ledger, struct sl_error *err);

struct sl_ledger_report {
	int64_t entries, tiles;
	struct sl_hash root;
	char bad[512]; /* the first bad byte in words: "ledger/tile/0/x001/067 byte 4711"; "" when all is well */
};
/* Proves rows = tiles = root = signature. Returns SL_E_CORRUPT with ret->bad filled when not. */
int sl_ledger_verify(struct sl_ledger *ledger, struct sl_ledger_report *ret, struct sl_error *err);

/* Proof of entry `seq` in the present checkpoint (RFC 6962 section 2.1.1), and, when `since` has the text of an older one, that the
 * tree of that is the beginning of this (section 2.1.2): one line of JSON, docs/formats/proof.md, checked before it is given out.
 * SL_E_CORRUPT when the ledger is no continuation of `since`. */
int sl_ledger_prove(struct sl_ledger *ledger, int64_t seq, const struct sl_buf *since, struct sl_buf *out, struct sl_error *err);

#endif
