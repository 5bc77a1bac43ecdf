/* What clients log: experiments, runs, parameters, metrics, tags, inputs and outputs, as rows of the tables rec_* and experiment
 * (docs/formats/record.md). The words, limits and texts are MLflow's, whose clients are the readers; the face mlflow/ puts JSON
 * around them.
 *
 * A writer here is one statement after another inside the transaction of its caller (asserted), who may put a mark before it and
 * take back to it what failed (port/meta.h): so that many requests are one durable commit. A change has one ledger entry, with
 * the SHA-256 of the request that asked for it, not one for each point of a series.
 *
 * A run is the same in both worlds: its id is a ULID here and the same 128 bits as 32 hex digits for MLflow's clients, and a run
 * that a client starts has a row in table run too (kind "logged").
 *
 * Error codes carry MLflow's meaning: SL_E_INVALID is INVALID_PARAMETER_VALUE, SL_E_NOT_FOUND RESOURCE_DOES_NOT_EXIST, SL_E_CONFLICT
 * RESOURCE_ALREADY_EXISTS.
 */
#ifndef SL_RECORD_RECORD_H
#define SL_RECORD_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/id.h"
#include "base/mem.h"
#include "ledger/ledger.h"
#include "port/meta.h"

/* Borrowed by every call here. */
struct sl_record {
	struct sl_meta *meta;
	struct sl_ledger *ledger;  /* may be NULL for a handle that only reads */
	const char *artifact_root; /* "mlflow-artifacts:/" or what the operator chose: experiments' artifacts live below */
};

struct sl_pair { const char *name, *value; };

/* The ledger entry of a change: `content` is what the request said, its hash goes into the entry. */
struct sl_change { const char *action; const void *content; size_t content_len; };
int sl_record_entry(struct sl_record *record, const struct sl_change *change, const char *kind, const char *id,
	struct sl_error *err);

#endif
