/* Model files, XGBoost's, LightGBM's, CatBoost's and our own: refused with a reason, or a model that predicts within its bounds, by blocks as by walking, and is
 * explained, or not, with a reason. */
#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "backend/infer_trees.h"

enum { ROWS = 3, VALUES_MAX = 1 << 16, EXPLAINED_MAX = 1 << 10 };

static void explain(const struct sl_infer *infer, const struct sl_infer_info *info, const float *rows)
{
	struct sl_error err = {0};
	if (info->margins * (info->features + 1) > EXPLAINED_MAX)
		return;
	float *out = malloc(ROWS * info->margins * (info->features + 1) * sizeof *out);
	assert(out);
	for (size_t background = 0; background < 2; background++) {
		int rc = sl_infer_explain(infer, rows, ROWS, background ? rows : NULL, background, out, &err);
		assert(rc == 0 || (rc < 0 && *err.message));
	}
	free(out);
}

static void predict(const struct sl_infer *infer)
{
	struct sl_infer_info info;
	sl_infer_info(infer, &info);
	assert(info.outputs >= 1 && info.margins >= info.outputs);
	if (info.features > VALUES_MAX || info.margins > VALUES_MAX)
		return;
	float *rows = malloc(ROWS * info.features * sizeof *rows), *out = malloc(3 * ROWS * info.margins * sizeof *out);
	assert(rows && out);
	for (size_t i = 0; i < ROWS * info.features; i++)
		rows[i] = i % 5 == 0 ? NAN : (float)(i % 7) - 3;
	float *margins = out + ROWS * info.margins, *walked = margins + ROWS * info.margins;
	sl_infer_predict(infer, rows, ROWS, out, NULL);
	sl_infer_margin(infer, rows, ROWS, margins);
	sl_infer_margin_by_walking(infer, rows, ROWS, walked);
	assert(memcmp(margins, walked, ROWS * info.margins * sizeof *out) == 0);
	explain(infer, &info, rows);
	free(rows);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const formats[] = {"xgboost-json", "xgboost-ubj", "lightgbm-text", "catboost-json", "forest-json"};
	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
		struct sl_infer *infer;
		struct sl_error err = {0};
		int rc = sl_infer_load(formats[i], data, len, &infer, &err);
		assert(rc == 0 || (rc < 0 && *err.message));
		if (rc)
			continue;
		predict(infer);
		sl_infer_free(infer);
	}
	return 0;
}
