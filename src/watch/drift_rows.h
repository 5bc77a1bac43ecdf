/* Inside watch/: how a side of a comparison is filled. */
#ifndef SL_WATCH_DRIFT_ROWS_H
#define SL_WATCH_DRIFT_ROWS_H

#include "watch/drift.h"

/* Adds a field at the end, and its distribution to every group; -1 with `err` filled when memory or SL_DRIFT_COLUMNS_MAX is out. */
int sl_drift_add_field(struct sl_drift_rows *rows, const char *name, size_t name_len, enum sl_drift_role role, struct sl_error *err);
/* The kind of a field whose first value is about to come. */
void sl_drift_know(struct sl_drift_rows *rows, size_t field, enum sl_drift_kind kind);
enum sl_drift_role sl_drift_role_of(const struct sl_drift_columns *columns, const char *name, size_t name_len);
bool sl_drift_wanted(const struct sl_drift_columns *columns, const char *name, size_t name_len);
/* The group of a value of the segment column (NULL: missing), made when it is new and there is room; NULL: no memory. */
struct sl_drift_group *sl_drift_group(struct sl_drift_rows *rows, const char *value, size_t len);

#endif
