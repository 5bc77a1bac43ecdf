/* One request: its values, put into slots by a face in whatever form they came; then encoded, answered and logged in one go.
 *
 *   rows_begin --> cells filled column by column or row by row, `given` set --> predict --> outputs, id --> rows_end
 *
 * The memory is kept from request to request: warm, nothing is allocated. Texts are borrowed from the request and must live
 * until rows_end.
 */
#ifndef SL_SERVE_PREDICT_H
#define SL_SERVE_PREDICT_H

#include "base/id.h"
#include "learn/encode.h"
#include "serve/plan.h"

enum {
	SL_INPUTS_MAX = 100000,             /* of one request */
	SL_INPUTS_CELLS_MAX = 4 << 20,      /* rows x slots */
	SL_INPUTS_KEEP_CELLS = 64 * 1024,   /* memory beyond this is given back after the request */
	SL_INPUTS_MEMORY_MAX = 256 << 20,   /* of texts, and of a graph's tensors in and out */
};

enum { SL_FEED_WANTED = 1, SL_FEED_BINARY = 2 };
/* Of a graph instead (port/graph.h): filled by serve/feed.h, in the arena. */
struct sl_feed {
	struct sl_graph_value *inputs, *outputs; /* per port; `data` NULL: not given, not wanted. NULL before sl_feed_begin */
	unsigned char *wanted;                   /* per output: 0, or SL_FEED_WANTED and what the face makes of it */
	struct sl_graph_brake *brake;            /* borrowed; NULL: nothing stops the run */
};

enum { SL_GIVEN = 1, SL_LOOKED_UP = 2 };
struct sl_inputs {
	struct sl_served *served;
	size_t count;
	struct sl_cell *cells;   /* of slot s and row r: cells[s * count + r]; null at first */
	unsigned char *given;    /* per slot: SL_GIVEN when the request has this column, SL_LOOKED_UP when a lookup filled it for some row */
	float *features;         /* count x features, row-major */
	float *outputs;          /* count x outputs, row-major */
	struct sl_feed feed;
	int64_t *times_ms;
	unsigned char *variants, *reasons, *meant; /* per row, of a front: who answers it, why (enum sl_route_reason), and who should have */
	bool mixed;              /* the rows have different variants */
	struct sl_lookup_table *tables[SL_LOOKUPS_MAX]; /* by place: references to what the request is answered with; NULL */
	struct sl_arena *arena;  /* hashed texts, log columns */
	const float *explained;  /* SHAP values to be logged with the answers: count x margins x (features + 1), in the arena; NULL: none */
	size_t margins;          /* of `explained` */
	int64_t waited_ns;       /* of the time before sl_predict_compute, what it waited for a thread */
	int64_t parsed_ns, computed_ns; /* when sl_predict_compute began and ended */
	uint64_t unseen;
	size_t cells_cap, slots_cap, features_cap, outputs_cap, times_cap, choices_cap;
};

/* Takes a reference to `served`. SL_E_TOO_LARGE beyond the limits; SL_E_INVALID for no row. */
int sl_inputs_begin(struct sl_inputs *rows, struct sl_served *served, size_t count, struct sl_error *err);
/* Gives the reference back; harmless when there is none. */
void sl_inputs_end(struct sl_inputs *rows);
void sl_inputs_done(struct sl_inputs *rows); /* frees the memory */

/* Of a graph's request: what is missing in it is told, and its tensors are there (serve/batch.h looks at them). Done by sl_predict_compute too. */
int sl_predict_prepare(struct sl_inputs *rows, struct sl_error *err);
/* Chooses who answers, encodes and answers: rows->outputs, or the feed's, are filled. May run on any thread. SL_E_INVALID names the column and
 * the row. */
int sl_predict_compute(struct sl_inputs *rows, struct sl_error *err);
/* The same by one variant of a front, whatever its rules say; rows->reasons become `reason`. */
int sl_predict_by(struct sl_inputs *rows, size_t variant, enum sl_route_reason reason, struct sl_error *err);
/* Logs and counts what was computed, on the thread of the endpoints. On success *ret_id is the prediction's id, which the log has when this
 * returns (unless the endpoint logs nothing). `started_ns`: when the request was there, for the latency. SL_E_INVALID for a row's
 * time; SL_E_NO_SPACE when it could not be logged: then it must not be answered. */
int sl_predict_commit(struct sl_inputs *rows, int64_t started_ns, struct sl_id *ret_id, struct sl_error *err);
/* Logs what sl_predict_by computed as what a shadow said; nothing else is counted. */
int sl_predict_log_shadow(struct sl_inputs *rows, const struct sl_id *of, struct sl_error *err);

/* ---- who answered; texts live until rows_end ---- */

/* The version that answered row 0. */
const struct sl_served *sl_inputs_answered(const struct sl_inputs *rows);
/* "3"; "3,4" when rows were answered by several. */
const char *sl_inputs_version(struct sl_inputs *rows);
/* "delay@champion", "delay@champion,delay@challenger"; NULL when the endpoint has no rules. */
const char *sl_inputs_variant(struct sl_inputs *rows);
/* "0,1,0": of every row the place of its variant in sl_inputs_variant; NULL when all have the same. */
const char *sl_inputs_row_variants(struct sl_inputs *rows);
/* The reason of row 0; NULL when the endpoint has no rules. */
const char *sl_inputs_reason(const struct sl_inputs *rows);

#endif
