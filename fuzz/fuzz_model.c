/* Model files, JSON and UBJSON: refused, or a model that predicts within its bounds. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "port/infer.h"

enum { FEATURES_MAX = 4096, VALUES_MAX = 1 << 16 };

static void predict(const struct sl_infer *infer)
{
	struct sl_infer_info info;

	sl_infer_info(infer, &info);
	assert(info.outputs >= 1 && info.margins >= 1);
	if (info.features > FEATURES_MAX || info.outputs > VALUES_MAX || info.margins > VALUES_MAX)
		return;
	float *rows = malloc(2 * (info.features + 1) * sizeof(*rows));
	float *out = malloc(2 * (info.outputs > info.margins ? info.outputs : info.margins) * sizeof(*out));
	assert(rows && out);
	for (size_t i = 0; i < info.features; i++) {
		rows[i] = NAN;
		rows[info.features + i] = (float)i;
	}
	sl_infer_predict(infer, rows, 2, out);
	sl_infer_margin(infer, rows, 2, out);
	free(rows);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const formats[] = { "xgboost-json", "xgboost-ubj" };
	struct sl_error err;

	for (int i = 0; i < 2; i++) {
		struct sl_infer *infer;

		if (sl_infer_load(formats[i], data, len, &infer, &err) < 0)
			continue;
		predict(infer);
		sl_infer_free(infer);
	}
	return 0;
}
