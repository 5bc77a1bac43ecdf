/* What the files of this room share: the opened ledger. Nobody else includes it. */
#ifndef SL_LEDGER_INTERNAL_H
#define SL_LEDGER_INTERNAL_H

#include "ledger/checkpoint.h"
#include "ledger/ledger.h"
#include "ledger/tile.h"
#include "os/file.h"

enum {
	SL_LEDGER_ENTRY_MAX = 65535,                           /* a bundle's lengths have two bytes */
	SL_LEDGER_BUNDLE_MAX = SL_TILE_WIDTH * (2 + SL_LEDGER_ENTRY_MAX),
	SL_LEDGER_TILE_BYTES = SL_TILE_WIDTH * SL_HASH_BYTES,
	SL_LEDGER_CHECKPOINT_MAX = 4096,
};

struct sl_ledger {
	char dir[SL_PATH_MAX], key_dir[SL_PATH_MAX];
	struct sl_meta *meta;
	struct sl_ledger_key key;
	char actor[160];
	/* The right edge as of the checkpoint text in `published`; valid while the file still says the same. */
	struct sl_tree tree;
	struct sl_buf bundle;    /* entries of the partial bundle */
	struct sl_buf published; /* empty: nothing was loaded */
	struct sl_checkpoint at; /* its meaning; its signature was proved or made by us */
};

/* Holds <dir>/lock: one publisher, and no publisher while tiles are verified. Close the descriptor to let go. */
int sl_ledger_lock(struct sl_ledger *ledger, int *ret_fd, struct sl_error *err);
/* For proving: the same lock, and lost partial tiles are made again (sl_ledger_mend); in a store that cannot be written, as a reader
 * beside others, and what is lost stays lost. *ret gets what the checkpoint file says, `text` its bytes. */
int sl_ledger_lock_to_prove(struct sl_ledger *ledger, int *ret_fd, struct sl_buf *text, struct sl_checkpoint *ret,
			    struct sl_error *err);
/* The checkpoint file's text and meaning. No file: an empty text and the empty tree. */
int sl_ledger_read_checkpoint(struct sl_ledger *ledger, struct sl_buf *text, struct sl_checkpoint *ret, struct sl_error *err);
/* Replaces *out by the bytes of a tile or bundle; SL_E_CORRUPT when it is missing or too large. */
int sl_ledger_read_tile(struct sl_ledger *ledger, int level, uint64_t index, unsigned width, struct sl_buf *out,
			struct sl_error *err);
/* Makes partial tiles that a power loss took again from the rows, if those give the signed root; else leaves all as it is. */
int sl_ledger_mend(struct sl_ledger *ledger, const struct sl_checkpoint *checkpoint, struct sl_error *err);

#endif
