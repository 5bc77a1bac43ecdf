/* Readers of model files, one per library. Each fills a forest that sl_forest_read has zeroed; what it leaves behind when it fails,
 * sl_forest_read frees. The bytes are hostile until checked. */
#ifndef SL_BACKEND_INFER_TREES_READERS_H
#define SL_BACKEND_INFER_TREES_READERS_H

#include <stdbool.h>

#include "backend/infer_trees_file.h"
#include "backend/infer_trees_model.h"

int sl_forest_read_xgboost(bool ubj, const void *data, size_t len, struct sl_forest *ret, struct sl_error *err);
/* LightGBM's text format (v2 to v4). What differs from the library: docs/serving.md, "LightGBM". */
int sl_forest_read_lightgbm(const void *data, size_t len, struct sl_forest *ret, struct sl_error *err);

/* "sluice.forest/1" (docs/formats/forest.md). */
int sl_forest_read_json(const void *data, size_t len, struct sl_forest *ret, struct sl_error *err);
/* CatBoost's JSON export, of models that read numbers only. */
int sl_forest_read_catboost(const void *data, size_t len, struct sl_forest *ret, struct sl_error *err);
/* A list of forest->features texts as the features' names. */
int sl_forest_read_names(const struct sl_file_value *names, struct sl_forest *forest, struct sl_error *err);

#endif
