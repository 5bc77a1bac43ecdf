/* Proves a store: that every byte is what was written, and that every row of consequence is what the ledger says.
 *
 *   ledger     rows = tiles = root = signature (ledger/ledger.h)
 *   database   checksum of every page, structure
 *   facts      every row of the tables of ledger/rows.h is what its newest entry says, each row has its entry and each entry its
 *              row; a finished run's record, computed anew, is the one in the row and in the entry; seals of streams likewise
 *   manifests  of every dataset and model version: readable, and all they refer to is there
 *   objects    every object's bytes hash to its name
 *   streams    every record's CRC, every sealed segment's digest
 *
 * What is wrong is told in words, with the first bad byte, page or row, and checking goes on. Memory: about 250 bytes per run and
 * covered row.
 */
#ifndef SL_TRACK_VERIFY_H
#define SL_TRACK_VERIFY_H

#include "track/store.h"

struct sl_verify_report {
	int64_t ledger_entries, ledger_tiles, runs, rows, dataset_versions, model_versions, aliases, manifests;
	int64_t objects, object_bytes, streams;
	int64_t problems;
};

/* Who is told; members may be NULL. */
struct sl_verify_listener {
	/* What is wrong, one sentence. */
	void (*problem)(void *context, const char *what);
	/* What is being checked ("objects"), and how far: 0..1, -1 unknown. */
	void (*progress)(void *context, const char *part, double fraction);
	void *context;
};

/* 0: all is well. SL_E_CORRUPT: report->problems > 0, `err` has the first. Others: it could not be checked to the end. */
int sl_store_verify(struct sl_store *store, const struct sl_verify_listener *listener, struct sl_verify_report *ret,
		    struct sl_error *err);

#endif
