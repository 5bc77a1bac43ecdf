/* Small helpers over port/sql.h for this room: a session with a sl_work's limits, single values, and lists inside SQL text. */
#ifndef SL_DATA_ENGINE_H
#define SL_DATA_ENGINE_H

#include "data/dataset.h"

enum { SL_ENGINE_TEXT_MAX = 64 << 20 }; /* of one statement; the paths of a million files fit */

struct sl_engine {
	struct sl_sql *sql;
	const struct sl_work *work;
	const char *what; /* what progress is told of */
	const struct sl_sql_param *params; /* bound wherever a statement below uses them; NULL, 0: none */
	size_t param_count;
};

/* Opens the session; the engine must stay where it is while the session is open (progress points to it). Close with
 * sl_sql_close(engine->sql). */
int sl_engine_open(struct sl_engine *engine, struct sl_sql_options *options, const struct sl_work *work, const char *what,
		   struct sl_error *err);
void sl_engine_done(struct sl_engine *engine); /* for SL_CLEANUP */

/* Rows of a result, one call per row; `each` returns 0 to go on. Texts live until it returns. */
typedef int sl_engine_row(void *context, const struct sl_sql_column *columns, size_t row, struct sl_error *err);
int sl_engine_each(struct sl_engine *engine, const char *text, sl_engine_row *each, void *context, struct sl_error *err);
/* The integers of the first row; nulls are 0. SL_E_BUG when there are fewer columns or no row. */
int sl_engine_ints(struct sl_engine *engine, const char *text, int64_t *ret, size_t count, struct sl_error *err);
int sl_engine_query(struct sl_engine *engine, const char *text, struct sl_sql_result **ret, struct sl_error *err);
int sl_engine_run(struct sl_engine *engine, const char *text, struct sl_error *err);
int sl_engine_write(struct sl_engine *engine, const char *select, const char *path, int64_t *ret_rows, struct sl_error *err);

/* Appends ['a','b'] of texts. */
void sl_engine_list(struct sl_buf *out, const char *const *texts, size_t count);
char *sl_engine_text(struct sl_arena *arena, const struct sl_sql_column *column, size_t row); /* "" for null; NULL: no memory */

/* "3,000,000". Returns `out`. */
char *sl_grouped(uint64_t number, char out[32]);

#endif
