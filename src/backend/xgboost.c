/* Port "train" over XGBoost's C API (3.x; the library is loaded on first use). */
#include "port/train.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xgboost/c_api.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "os/library.h"

/* Every function that is used, once: its slot and its name in the library. */
#define FUNCTIONS(X)                                                                                                             \
	X(XGBoostVersion)                                                                                                        \
	X(XGBGetLastError) X(XGBRegisterLogCallback) X(XGProxyDMatrixCreate) X(XGProxyDMatrixSetDataDense)                       \
		X(XGDMatrixSetInfoFromInterface) X(XGQuantileDMatrixCreateFromCallback) X(XGDMatrixFree) X(XGBoosterCreate)      \
			X(XGBoosterFree) X(XGBoosterSetParam) X(XGBoosterUpdateOneIter) X(XGBoosterEvalOneIter)                  \
				X(XGBoosterSlice) X(XGBoosterSaveModelToBuffer) X(XGBoosterFeatureScore)
#define SLOT(name) __typeof__(&name) name;
#define SYMBOL(name) {#name, &xgb.name},
static struct {
	FUNCTIONS(SLOT)
} xgb;

struct sl_trainer {
	DMatrixHandle train, validation; /* validation may be NULL */
	BoosterHandle booster;
};

static void log_line(const char *line) { sl_debug("xgboost: %s", line); }

static int load(struct sl_error *err)
{
	static atomic_bool loaded;
	static const struct sl_library_symbol symbols[] = {FUNCTIONS(SYMBOL)};
	if (atomic_load(&loaded))
		return 0;
	/* Threads that wait for work must sleep, not spin: several steps share the machine. Read by libgomp when it is loaded. */
	setenv("OMP_WAIT_POLICY", "passive", 0);
	int rc = sl_library_load("xgboost/lib/libxgboost.so", symbols, SL_ARRAY_LEN(symbols), err);
	if (rc)
		return rc;
	xgb.XGBRegisterLogCallback(log_line);
	atomic_store(&loaded, true);
	return 0;
}

const char *sl_trainer_version(struct sl_error *err)
{
	static _Thread_local char text[32];
	int major, minor, patch;
	if (load(err))
		return NULL;
	xgb.XGBoostVersion(&major, &minor, &patch);
	snprintf(text, sizeof text, "xgboost %d.%d.%d", major, minor, patch);
	return text;
}

/* The library's words without the time and source line before them and the stack trace behind. */
static int fail(struct sl_error *err, const char *doing)
{
	char text[512];
	const char *said = xgb.XGBGetLastError(), *colon;
	if (*said == '[' && (colon = strstr(said, "] ")))
		said = colon + 2;
	if (*said == '/' && (colon = strstr(said, ": ")))
		said = colon + 2;
	snprintf(text, sizeof text, "%s", said);
	char *trace = strstr(text, "\nStack trace");
	if (trace)
		*trace = 0;
	for (char *c = text; *c; c++)
		if (*c == '\n')
			*c = ' ';
	return sl_fail(err, SL_E_INVALID, "%s: %s", doing, text);
}

/* ---- rows ---- */

struct feed {
	const struct sl_train_data *data;
	DMatrixHandle proxy;
	size_t next, row; /* piece, and the number of its first row */
	bool failed;
};

enum { INTERFACE_MAX = 160 };

/* numpy's array interface: where the library finds the numbers. */
static void interface(char out[INTERFACE_MAX], const float *data, size_t rows, size_t columns)
{
	char shape[48];
	if (columns)
		snprintf(shape, sizeof shape, "%zu,%zu", rows, columns);
	else
		snprintf(shape, sizeof shape, "%zu", rows);
	snprintf(out, INTERFACE_MAX, "{\"data\":[%zu,true],\"shape\":[%s],\"typestr\":\"<f4\",\"version\":3}",
		 (size_t)(uintptr_t)data, shape);
}

static void feed_reset(DataIterHandle handle)
{
	struct feed *feed = handle;
	feed->next = feed->row = 0;
}

static int feed_next(DataIterHandle handle)
{
	struct feed *feed = handle;
	const struct sl_train_data *data = feed->data;
	char text[INTERFACE_MAX];
	if (feed->failed || feed->next == data->piece_count)
		return 0;
	const struct sl_train_piece *piece = &data->pieces[feed->next++];
	interface(text, piece->rows, piece->row_count, data->features);
	feed->failed = xgb.XGProxyDMatrixSetDataDense(feed->proxy, text) != 0;
	interface(text, data->labels + feed->row, piece->row_count, 0);
	feed->failed = feed->failed || xgb.XGDMatrixSetInfoFromInterface(feed->proxy, "label", text) != 0;
	if (data->weights) {
		interface(text, data->weights + feed->row, piece->row_count, 0);
		feed->failed = feed->failed || xgb.XGDMatrixSetInfoFromInterface(feed->proxy, "weight", text) != 0;
	}
	feed->row += piece->row_count;
	return !feed->failed;
}

static const char *option_value(const struct sl_train_option *options, size_t count, const char *name, const char *fallback)
{
	for (size_t i = 0; i < count; i++)
		if (sl_str_eq(options[i].name, name))
			return options[i].value;
	return fallback;
}

/* A matrix that keeps bins instead of values: 1 byte per value at 256 bins, where the plain one takes 8 and bins besides. It
 * holds exactly what the hist method looks at; the model's bytes are the same (checked on the flights). */
static int make_matrix(const struct sl_train_data *data, DMatrixHandle like, const struct sl_train_option *options, size_t count,
		       DMatrixHandle *ret, struct sl_error *err)
{
	struct feed feed = {.data = data};
	char config[128];
	snprintf(config, sizeof config, "{\"missing\":NaN,\"max_bin\":%s,\"nthread\":%s}",
		 option_value(options, count, "max_bin", "256"), option_value(options, count, "nthread", "0"));
	if (xgb.XGProxyDMatrixCreate(&feed.proxy))
		return fail(err, "taking in the rows");
	int failed = xgb.XGQuantileDMatrixCreateFromCallback(&feed, feed.proxy, like, feed_reset, feed_next, config, ret);
	int rc = failed || feed.failed ? fail(err, "taking in the rows") : 0;
	xgb.XGDMatrixFree(feed.proxy);
	return rc;
}

/* ---- trainer ---- */

int sl_trainer_new(const struct sl_train_data *train, const struct sl_train_data *validation,
		   const struct sl_train_option *options, size_t option_count, struct sl_trainer **ret, struct sl_error *err)
{
	int rc = load(err);
	if (rc)
		return rc;
	SL_CLEANUP(sl_trainer_freep) struct sl_trainer *trainer = sl_alloc(sizeof *trainer, err);
	if (!trainer)
		return SL_E_NO_MEMORY;
	if ((rc = make_matrix(train, NULL, options, option_count, &trainer->train, err)))
		return rc;
	if (validation && (rc = make_matrix(validation, trainer->train, options, option_count, &trainer->validation, err)))
		return rc;
	DMatrixHandle known[2] = {trainer->train, trainer->validation};
	if (xgb.XGBoosterCreate(known, validation ? 2 : 1, &trainer->booster))
		return fail(err, "starting the training");
	for (size_t i = 0; i < option_count; i++)
		if (xgb.XGBoosterSetParam(trainer->booster, options[i].name, options[i].value))
			return fail(err, options[i].name);
	*ret = SL_TAKE(trainer);
	return 0;
}

void sl_trainer_free(struct sl_trainer *trainer)
{
	if (!trainer)
		return;
	if (trainer->booster)
		xgb.XGBoosterFree(trainer->booster);
	if (trainer->validation)
		xgb.XGDMatrixFree(trainer->validation);
	if (trainer->train)
		xgb.XGDMatrixFree(trainer->train);
	sl_free(trainer);
}

void sl_trainer_freep(struct sl_trainer **trainer) { sl_trainer_free(*trainer); }

int sl_trainer_round(struct sl_trainer *trainer, int round, struct sl_error *err)
{
	return xgb.XGBoosterUpdateOneIter(trainer->booster, round, trainer->train) ? fail(err, "training") : 0;
}

/* The library answers in text: "[7]\tx-logloss:0.41\tx-auc:0.78". */
static size_t parse_scores(const char *text, struct sl_train_score *ret, size_t max)
{
	size_t n = 0;
	for (const char *at = text; n < max && (at = strstr(at, "\tx-")); n++) {
		at += 3;
		const char *colon = strchr(at, ':');
		if (!colon)
			break;
		snprintf(ret[n].name, sizeof ret[n].name, "%.*s", (int)(colon - at), at);
		ret[n].value = strtod(colon + 1, NULL);
	}
	return n;
}

int sl_trainer_scores(struct sl_trainer *trainer, enum sl_train_set set, int round, struct sl_train_score *ret, size_t max,
		      size_t *ret_count, struct sl_error *err)
{
	DMatrixHandle rows = set == SL_TRAIN_SET ? trainer->train : trainer->validation;
	const char *name = "x", *text;
	*ret_count = 0;
	if (!rows)
		return sl_fail(err, SL_E_BUG, "scores of a validation set that was not given");
	if (xgb.XGBoosterEvalOneIter(trainer->booster, round, &rows, &name, 1, &text))
		return fail(err, "scoring");
	*ret_count = parse_scores(text, ret, max);
	return 0;
}

int sl_trainer_save(struct sl_trainer *trainer, int rounds, const char *format, struct sl_buf *out, struct sl_error *err)
{
	BoosterHandle booster = trainer->booster, slice = NULL;
	char config[32];
	const char *data;
	bst_ulong len;
	if (rounds && xgb.XGBoosterSlice(booster, 0, rounds, 1, &slice))
		return fail(err, "cutting the model to its best round");
	snprintf(config, sizeof config, "{\"format\":\"%s\"}", format);
	int failed = xgb.XGBoosterSaveModelToBuffer(slice ? slice : booster, config, &len, &data);
	if (!failed)
		sl_buf_add(out, data, len);
	int rc = failed ? fail(err, "writing the model") : sl_buf_check(out, "the model", err);
	if (slice)
		xgb.XGBoosterFree(slice);
	return rc;
}

int sl_trainer_importance(struct sl_trainer *trainer, size_t features, double *ret, struct sl_error *err)
{
	bst_ulong count, dimensions;
	const char **names;
	const bst_ulong *shape;
	const float *scores;
	memset(ret, 0, features * sizeof *ret);
	if (xgb.XGBoosterFeatureScore(trainer->booster, "{\"importance_type\":\"total_gain\"}", &count, &names, &dimensions,
				      &shape, &scores))
		return fail(err, "asking for the features' importance");
	for (bst_ulong i = 0; i < count; i++) {
		int64_t feature;
		if (names[i][0] == 'f' && sl_str_int(names[i] + 1, &feature) && feature >= 0 && (size_t)feature < features)
			ret[feature] = (double)scores[i];
	}
	return 0;
}
