/* Labelled rows out of a table, as float rows in pieces: what training and its validation see. One pass over the data; text
 * columns are numbered as they come and renumbered by their sorted dictionary at the end. */
#ifndef SL_LEARN_ROWS_H
#define SL_LEARN_ROWS_H

#include "learn/encode.h"
#include "port/sql.h"
#include "port/train.h"
#include "project/project.h"

/* Pieces hold about this much, so that a table of any length is collected without moving what is there. */
enum { SL_ROWS_PIECE_BYTES = 8 << 20 };

struct sl_rows {
	struct sl_train_piece *pieces;		   /* each of its own allocation */
	size_t piece_count, piece_cap, piece_rows; /* piece_rows: room in the last one */
	float *labels, *weights;		   /* weights NULL: none */
	size_t count, cap;			   /* rows */
	size_t features;
};
void sl_rows_done(struct sl_rows *rows);

struct sl_rows_request {
	const struct sl_sql_table *table;
	const struct sl_sql_param *params;
	size_t param_count;
	const struct sl_names *features;
	const char *target, *weight;	/* weight "" = none */
	const char *where, *validation; /* "" = all; "" = none */
	int threads;
	uint64_t memory_bytes;
	const volatile int *cancel;
	void (*progress)(void *context, double fraction);
	void *progress_context;
};

struct sl_rows_result {
	struct sl_rows train, validation;
	struct sl_feature *features; /* with their dictionaries */
	uint64_t **category_counts;  /* per feature: training rows of each category; NULL for numbers */
	enum sl_sql_kind target_kind;
	const struct sl_dictionary *target_values; /* TEXT targets: labels are indexes into it; else NULL */
};

/* Memory: 4 bytes per value, label and weight. Pieces of the arena live as long as it does; the rows until sl_rows_done.
 * SL_E_INVALID names the column: missing from the table, of a type that is no feature, a null target, a negative weight.
 * SL_E_FAILED when no row is left. */
int sl_rows_read(const struct sl_rows_request *request, struct sl_arena *arena, struct sl_rows_result *ret, struct sl_error *err);

#endif
