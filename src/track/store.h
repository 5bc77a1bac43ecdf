/* The opened store of one project: `.sluice/` and the ports over it. Opened once by a command or role and lent to every room. */
#ifndef SL_TRACK_STORE_H
#define SL_TRACK_STORE_H

#include "ledger/ledger.h"
#include "os/file.h"
#include "port/meta.h"
#include "port/object.h"
#include "track/run.h"

struct sl_store {
	char project_dir[SL_PATH_MAX]; /* absolute */
	char dir[SL_PATH_MAX];         /* absolute: <project>/.sluice */
	char runs_dir[SL_PATH_MAX], tmp_dir[SL_PATH_MAX], streams_dir[SL_PATH_MAX];
	struct sl_meta *meta;
	struct sl_objects *objects;
	struct sl_ledger *ledger;
	struct sl_track track;         /* {meta, ledger} */
};

/* Makes `.sluice/` with its folders, database, key and first ledger entry. A store that exists is left as it is; one that a crash
 * left half-made is finished. */
int sl_store_create(const char *project_dir, struct sl_error *err);
/* SL_E_NOT_FOUND with a hint at `sluice init` when there is none; SL_E_CORRUPT when the database is older than the published
 * ledger: going on would write another history. */
int sl_store_open(const char *project_dir, struct sl_store **ret, struct sl_error *err);
void sl_store_close(struct sl_store *store); /* publishes the ledger; NULL is fine */
void sl_store_closep(struct sl_store **store);
/* What dead processes left: their runs become "killed", their staging files go. Once per command that writes, and at the start of
 * a server. */
int sl_store_tidy(struct sl_store *store, struct sl_error *err);

#endif
