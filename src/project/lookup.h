/* A lookup: columns of a keyed dataset, joined to rows as of their time. One definition makes the training table (a step), travels with the model
 * that learnt from it (learn/package.h), and fills the table that answers requests (serve/lookup.h).
 *
 *   rows (origin, date, ...)  ASOF  airport_recent (origin, known_at, late_share)
 *   each row gets the late_share of the newest known_at <= date of its origin; where there is none, the default
 */
#ifndef SL_PROJECT_LOOKUP_H
#define SL_PROJECT_LOOKUP_H

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "project/project.h"

enum { SL_LOOKUP_KEYS_MAX = 8, SL_LOOKUP_COLUMNS_MAX = 1000, SL_LOOKUPS_MAX = 16 /* of one model */ };

struct sl_lookup {
	const char *from;         /* dataset */
	struct sl_names key;      /* columns that the rows and the dataset have */
	const char *at;           /* the rows' time; "" with `time` "" */
	const char *time;         /* when the dataset's values were known; "": there is one row per key, whatever the time */
	struct sl_names columns;  /* what is brought */
	const char **defaults;    /* beside columns: for a key that is not there, as JSON: "null", "0.2", "\"none\"", "true" */
};

/* Whether it is the lookup of these. */
bool sl_lookup_is(const struct sl_lookup *lookup, const char *from, const struct sl_names *key);

/* The query of a step: the rows of dataset `data` with all their columns, then the lookup's. Two rows of one key and time in `from` end it with an
 * error that says so. */
void sl_lookup_sql(const struct sl_lookup *lookup, const char *data, struct sl_buf *out);
/* The same join for every key of `from` at the newest time that it has, and for a null key: columns key, then the lookup's. What a row of that
 * key would get now is so computed as training's was. */
void sl_lookup_serving_sql(const struct sl_lookup *lookup, struct sl_buf *out);

/* As JSON, {"at","columns","default":{},"from","key","time"}, and back; hostile until checked (SL_E_CORRUPT). NULL: out of memory. */
yyjson_mut_val *sl_lookup_json(yyjson_mut_doc *doc, const struct sl_lookup *lookup);
int sl_lookup_parse(yyjson_val *value, struct sl_arena *arena, struct sl_lookup *ret, struct sl_error *err);

#endif
