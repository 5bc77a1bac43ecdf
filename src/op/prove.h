/* Proofs of ledger entries as files that stand for themselves (docs/formats/proof.md). */
#ifndef SL_OP_PROVE_H
#define SL_OP_PROVE_H

#include "op/context.h"

/* The entry that `what` names: a number, or a reference, and then the newest entry about it (of a dataset version its commit).
 * SL_E_NOT_FOUND when there is none. Reads the ledger backwards: 2 s per million entries in the worst case. */
int sl_prove_find(struct sl_call *call, struct sl_store *store, const char *what, int64_t *ret_seq, struct sl_error *err);
/* `verify --prove`. */
int sl_op_prove(struct sl_call *call, struct sl_store *store, struct sl_error *err);

#endif
