/* The tree engine on a model file and raw rows: what it answers and how long it takes.
 *
 *     bench_trees MODEL.ubj|MODEL.json ROWS OUT [repeat]
 *
 * ROWS holds float32 values, row after row. OUT gets, all as float32, the predictions, the margins, and the margins by the plain
 * walk. Prints one line of JSON; with `repeat` > 0 also the best time of that many passes, per row: one row at a time, and 1000
 * at a time.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/infer_trees.h"
#include "base/mem.h"
#include "base/str.h"
#include "os/clock.h"
#include "os/file.h"

typedef void predict_function(const struct sl_infer *infer, const float *rows, size_t row_count, float *ret);

struct work {
	struct sl_infer *infer;
	struct sl_infer_info info;
	const float *rows;
	size_t row_count;
	float *out;
};

/* Trees always answer. */
static void predict(const struct sl_infer *infer, const float *rows, size_t row_count, float *ret)
{
	(void)sl_infer_predict(infer, rows, row_count, ret, NULL);
}

/* Best nanoseconds per row over `repeat` passes, `batch` rows a call. */
static double time_rows(const struct work *work, predict_function *ask, size_t batch, int repeat)
{
	double best = 1e18;
	for (int r = 0; r < repeat; r++) {
		int64_t start = sl_monotonic_ns();
		for (size_t i = 0; i + batch <= work->row_count; i += batch)
			ask(work->infer, work->rows + i * work->info.features, batch, work->out);
		double ns = (double)(sl_monotonic_ns() - start) / (double)(work->row_count / batch * batch);
		best = ns < best ? ns : best;
	}
	return best;
}

static int write_answers(const struct work *work, const char *path, struct sl_error *err)
{
	const struct {
		predict_function *ask;
		size_t width;
	} ways[] = {{predict, work->info.outputs},
		    {sl_infer_margin, work->info.margins},
		    {sl_infer_margin_by_walking, work->info.margins}};
	int fd SL_CLEANUP(sl_file_close) = -1;
	int rc = sl_file_open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644, &fd, err);
	for (size_t i = 0; i < SL_ARRAY_LEN(ways) && !rc; i++) {
		ways[i].ask(work->infer, work->rows, work->row_count, work->out);
		rc = sl_file_write_all(fd, work->out, work->row_count * ways[i].width * sizeof(float), path, err);
	}
	return rc;
}

static int run(char **argv, int repeat, struct sl_error *err)
{
	struct sl_buf model SL_CLEANUP(sl_buf_done) = SL_BUF_INIT((size_t)1 << 30),
			    rows SL_CLEANUP(sl_buf_done) = SL_BUF_INIT((size_t)1 << 31);
	struct work work = {0};
	const char *format;
	int rc = sl_file_read(argv[1], &model, err);
	if (rc || (rc = sl_file_read(argv[2], &rows, err)) ||
	    (rc = sl_infer_format(argv[1], model.data, model.len, &format, err)) || (rc = sl_infer_load(format, model.data, model.len,
				&work.infer, err)))
		return rc;
	sl_infer_info(work.infer, &work.info);
	work.rows = (const float *)(const void *)rows.data;
	work.row_count = rows.len / sizeof(float) / work.info.features;
	work.out = sl_alloc_array(work.row_count + 1, work.info.margins * sizeof *work.out, err);
	rc = work.out ? write_answers(&work, argv[3], err) : SL_E_NO_MEMORY;
	if (!rc) {
		printf("{\"features\":%zu,\"outputs\":%zu,\"margins\":%zu,\"trees\":%zu,\"nodes\":%zu", work.info.features,
		       work.info.outputs, work.info.margins, work.info.trees, work.info.nodes);
		if (repeat > 0)
			printf(",\"one_ns\":%.0f,\"batch_ns\":%.0f,\"walk_one_ns\":%.0f,\"walk_batch_ns\":%.0f",
			       time_rows(&work, predict, 1, repeat), time_rows(&work, predict, 1000, repeat),
			       time_rows(&work, sl_infer_margin_by_walking, 1, repeat),
			       time_rows(&work, sl_infer_margin_by_walking, 1000, repeat));
		printf("}\n");
	}
	sl_free(work.out);
	sl_infer_free(work.infer);
	return rc;
}

int main(int argc, char **argv)
{
	struct sl_error err = {0};
	if (argc < 4) {
		fprintf(stderr, "usage: bench_trees MODEL ROWS OUT [repeat]\n");
		return 2;
	}
	int rc = run(argv, argc > 4 ? atoi(argv[4]) : 0, &err);
	if (rc)
		fprintf(stderr, "error: %s%s%s\n", err.where, *err.where ? ": " : "", err.message);
	return rc ? sl_code_exit_status(rc) : 0;
}
