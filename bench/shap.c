/* SHAP values of a model file for raw rows, and how long they take.
 *
 *     bench_shap MODEL.ubj|MODEL.json ROWS BACKGROUND|- OUT [repeat]
 *
 * ROWS and BACKGROUND hold float32 values, row after row; "-" is path-dependent. OUT gets sl_infer_explain's answer as float32. Prints
 * one line of JSON; with `repeat` > 0 also the best rows a second of that many passes over all rows in one call, and the
 * microseconds of one row in a call of its own.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "os/clock.h"
#include "os/file.h"
#include "port/infer.h"

struct work {
	struct sl_infer *infer;
	struct sl_infer_info info;
	const float *rows, *background;
	size_t row_count, background_count;
	float *out;
};

static int explain(const struct work *work, size_t count, struct sl_error *err)
{
	return sl_infer_explain(work->infer, work->rows, count, work->background, work->background_count, work->out, err);
}

/* Best seconds of `repeat` calls with `count` rows. */
static double best_s(const struct work *work, size_t count, int repeat)
{
	double best = 1e18;
	struct sl_error err = {0};
	for (int r = 0; r < repeat; r++) {
		int64_t start = sl_monotonic_ns();
		if (explain(work, count, &err))
			return 0;
		double s = (double)(sl_monotonic_ns() - start) / 1e9;
		best = s < best ? s : best;
	}
	return best;
}

static int read_floats(const char *path, struct sl_buf *buf, size_t width, const float **ret, size_t *ret_count, struct sl_error *err)
{
	int rc = sl_file_read(path, buf, err);
	*ret = (const float *)(const void *)buf->data;
	*ret_count = buf->len / sizeof(float) / width;
	return rc;
}

static int run(char **argv, int repeat, struct work *work, struct sl_error *err)
{
	struct sl_buf model SL_CLEANUP(sl_buf_done) = SL_BUF_INIT((size_t)1 << 30),
			    rows SL_CLEANUP(sl_buf_done) = SL_BUF_INIT((size_t)1 << 31),
			    background SL_CLEANUP(sl_buf_done) = SL_BUF_INIT((size_t)1 << 31);
	int fd SL_CLEANUP(sl_file_close) = -1;
	const char *format;
	int rc = sl_file_read(argv[1], &model, err);
	if (rc || (rc = sl_infer_format(argv[1], model.data, model.len, &format, err)) || (rc = sl_infer_load(format, model.data, model.len,
				      &work->infer, err)))
		return rc;
	sl_infer_info(work->infer, &work->info);
	if ((rc = read_floats(argv[2], &rows, work->info.features, &work->rows, &work->row_count, err)) ||
	    (!sl_str_eq(argv[3], "-") &&
	     (rc = read_floats(argv[3], &background, work->info.features, &work->background, &work->background_count, err))))
		return rc;
	size_t width = work->info.margins * (work->info.features + 1);
	work->out = sl_alloc_array(work->row_count + 1, width * sizeof *work->out, err);
	if (!work->out)
		return SL_E_NO_MEMORY;
	if ((rc = explain(work, work->row_count, err)) || (rc = sl_file_open(argv[4], O_CREAT | O_TRUNC | O_WRONLY, 0644, &fd, err)) ||
	    (rc = sl_file_write_all(fd, work->out, work->row_count * width * sizeof *work->out, argv[4], err)))
		return rc;
	printf("{\"margins\":%zu,\"features\":%zu", work->info.margins, work->info.features);
	if (repeat > 0)
		printf(",\"rows_per_s\":%.0f,\"one_us\":%.1f", (double)work->row_count / best_s(work, work->row_count, repeat),
		       best_s(work, 1, repeat * 20) * 1e6);
	printf("}\n");
	return 0;
}

int main(int argc, char **argv)
{
	struct sl_error err = {0};
	struct work work = {0};
	if (argc < 5) {
		fprintf(stderr, "usage: bench_shap MODEL ROWS BACKGROUND|- OUT [repeat]\n");
		return 2;
	}
	int rc = run(argv, argc > 5 ? atoi(argv[5]) : 0, &work, &err);
	if (rc)
		fprintf(stderr, "error: %s%s%s\n", err.where, *err.where ? ": " : "", err.message);
	sl_free(work.out);
	sl_infer_free(work.infer);
	return rc ? sl_code_exit_status(rc) : 0;
}
