/* Port "infer": models of rows. Backends: ONNX Runtime through port/graph.h, and the own tree engine (XGBoost's models, equal to the library bit for bit; LightGBM's).
 *
 * A loaded model is immutable and may be used by any thread. Loading treats the bytes as hostile: every index is checked,
 * cycles and lying lengths are refused with the offending tree and node.
 */
#ifndef SL_PORT_INFER_H
#define SL_PORT_INFER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct sl_infer;

struct sl_infer_info {
	size_t features; /* columns of a row */
	size_t outputs;  /* values per row of predict: 1, or the number of classes or targets */
	size_t margins;  /* values per row of margin: as outputs, but one per class where predict names the class (multi:softmax) */
	size_t trees, nodes; /* 0: a graph */
	size_t memory_bytes; /* that the loaded model takes, about */
	char objective[64];
};

/* What kind of model a file holds, from its bytes; `name` (its base name) is for the error. *ret is a `format` as sl_infer_load takes it; "onnx" is
 * loaded by port/graph.h as well.
 * SL_E_DENIED, saying which, for formats that carry code (pickle, joblib, archives of them): they are never loaded. SL_E_INVALID
 * for everything else that is not known. Tells the kind only: whether the file is sound is sl_infer_load's to say. */
int sl_infer_format(const char *name, const void *data, size_t len, const char **ret, struct sl_error *err);

/* `format`: "xgboost-json", "xgboost-ubj", "lightgbm-text", "catboost-json", "forest-json" (docs/formats/forest.md), or
 * "onnx": graphs whose inputs are columns of reals and which are proven to work by rows (backend/infer_graph.h). At most 1 GiB, 100,000 trees, 50 million nodes. */
int sl_infer_load(const char *format, const void *data, size_t len, struct sl_infer **ret, struct sl_error *err);
void sl_infer_free(struct sl_infer *infer);
void sl_infer_info(const struct sl_infer *infer, struct sl_infer_info *ret);
/* The name of input column `i` as the file has it, UTF-8, at most SL_INFER_NAME_MAX bytes; NULL: the file names none. */
enum { SL_INFER_NAME_MAX = 1024 };
const char *sl_infer_feature_name(const struct sl_infer *infer, size_t i);

/* rows x features floats, row-major, NaN = missing -> rows x outputs floats, transformed (probabilities, classes' softmax,
 * value). Trees always answer; a graph may fail on values that it cannot compute with (port/graph.h says with what). */
int sl_infer_predict(const struct sl_infer *infer, const float *rows, size_t row_count, float *ret, struct sl_error *err);
/* The same before the objective's transformation: rows x margins floats. */
void sl_infer_margin(const struct sl_infer *infer, const float *rows, size_t row_count, float *ret);

enum { SL_INFER_BACKGROUND_MAX = 10000 };

/* SHAP values of the margins: rows x margins x (features + 1) floats, of which the last is the expected margin; a row's values and
 * the expected margin add up to its margin (within float32). With `background` (1 to SL_INFER_BACKGROUND_MAX rows) interventional
 * against these rows; with NULL and 0 path-dependent, by the cover of the training rows that the model file keeps.
 * SL_E_INVALID: the model is a graph, or has no cover, or a share of it that is none (the tree and the node are named); SL_E_TOO_LARGE: more than
 * 64 distinct features on the way to a leaf, 1,048,576 nodes in a tree or 65,536 values per row. */
int sl_infer_explain(const struct sl_infer *infer, const float *rows, size_t row_count, const float *background,
		     size_t background_count, float *ret, struct sl_error *err);

#endif
