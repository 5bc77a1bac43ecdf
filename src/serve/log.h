/* The prediction log: one record per answered request in the stream "predictions-<endpoint>" (docs/formats/prediction-log.md).
 * The record's key is the prediction id (ULID, 26 bytes); its time is the greatest event time of its rows. A request whose
 * values do not fit one record is logged as several, with the same key and rising `first_row`.
 */
#ifndef SL_SERVE_LOG_H
#define SL_SERVE_LOG_H

#include <stdint.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/id.h"
#include "base/mem.h"
#include "learn/encode.h"
#include "port/stream.h"
#include "track/store.h"

enum {
	SL_PREDLOG_VALUE_MAX = 15 << 20, /* bytes of one record's value; a single row beyond it cannot be logged */
	SL_PREDLOG_ROWS_MAX = 100000,    /* of one record */
	SL_PREDLOG_COLUMNS_MAX = 10000,
	SL_PREDLOG_OUTPUTS_MAX = 1000,   /* per row */
	SL_PREDLOG_LOOKUPS_MAX = 64,     /* of one record */
	SL_PREDLOG_VARIANT_MAX = 300,    /* bytes of a variant's name */
};

/* A logged column: the value of every row as it was received (after the endpoint's hash and drop rules). */
struct sl_logged_column {
	const char *name;
	size_t name_len;
	const struct sl_cell *cells;    /* row_count */
	bool hashed;                    /* texts are 32 hex digits of a keyed SHA-256 of what came: no encoding may be tried */
};

/* A dataset of which the answer's columns were looked up. */
struct sl_logged_lookup { const char *dataset; size_t dataset_len; struct sl_hash version; };

struct sl_prediction {
	struct sl_id id;
	int64_t version;                /* of the model that answered */
	struct sl_hash package;
	int64_t received_ms;
	uint32_t latency_us;
	size_t first_row;               /* row i here is row first_row + i of the request */
	size_t row_count, column_count, output_count;
	const struct sl_logged_column *columns; /* inputs, in the order of the model's columns */
	const int64_t *times_ms;        /* event time per row; NULL: all received_ms */
	const struct sl_cell *keys;     /* per row, the endpoint's key column; NULL: none */
	const float *outputs;           /* row_count x output_count */
	const char *variant;            /* of the endpoint's rules, "delay@challenger"; NULL: it had none */
	size_t variant_len;
	unsigned reason;                /* enum sl_route_reason (serve/plan.h) */
	const char *meant;              /* SL_ROUTE_FALLBACK: the variant that should have answered */
	size_t meant_len;
	const struct sl_logged_lookup *lookups;
	size_t lookup_count;            /* at most SL_PREDLOG_LOOKUPS_MAX */
	const float *explained;         /* SHAP values: row_count x margins x (column_count + 1), the last is the base value; NULL: none */
	size_t margins;                 /* of `explained` */
	struct sl_id shadow_of;         /* SL_ROUTE_SHADOW: the prediction that was answered */
};

/* Stream's name of an endpoint's log into out. */
void sl_predlog_name(const char *endpoint, char out[160]);
/* Appends the record's value. SL_E_TOO_LARGE beyond out->max. */
int sl_predlog_encode(const struct sl_prediction *prediction, struct sl_buf *out, struct sl_error *err);
/* Reads a record back; pieces live in `arena` and in the record. SL_E_CORRUPT when it is none: every count is checked. */
int sl_predlog_decode(const struct sl_record *record, struct sl_arena *arena, struct sl_prediction *ret, struct sl_error *err);
/* Finds a prediction in any endpoint's log by "<id>" or "<id>#<row>", where <id> may be a unique prefix of at least 10
 * characters: ids rise with the log, so about twenty looks find it. With a row, the record that holds that row of the request,
 * else the first.
 * The decoded prediction lives in `arena`; *ret_endpoint gets the endpoint's name, *ret_offset its offset. SL_E_NOT_FOUND;
 * SL_E_INVALID when ambiguous. */
int sl_predlog_find(struct sl_store *store, const char *id, struct sl_arena *arena, struct sl_prediction *ret,
		    char ret_endpoint[160],
		    int64_t *ret_offset, struct sl_error *err);

#endif
