/* experiments/search-datasets: what the runs of some experiments read. MLflow itself serves it below /api without the slash behind "2.0". */
#include <inttypes.h>

#include "mlflow/route.h"
#include "record/input.h"

enum { EXPERIMENTS_MAX = 20, SUMMARIES_MAX = 1000 };

struct summaries { struct sl_buf *out; const char *experiment; int64_t left; };

static int put_summary(void *context, const struct sl_rec_dataset *dataset, struct sl_error *err)
{
	struct summaries *s = context;
	(void)err;
	sl_ml_comma(s->out);
	sl_buf_char(s->out, '{');
	sl_ml_put_text(s->out, "experiment_id", s->experiment);
	sl_ml_put_text(s->out, "name", dataset->name);
	sl_ml_put_text(s->out, "digest", dataset->digest);
	if (*dataset->context)
		sl_ml_put_text(s->out, "context", dataset->context);
	sl_buf_char(s->out, '}');
	s->left--;
	return 0;
}

static int search(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_experiment experiment;
	struct summaries summaries = {&call->out, NULL, SUMMARIES_MAX};
	const char **ids;
	size_t count;
	int rc = sl_ml_texts(call, "experiment_ids", &ids, &count, err);
	if (!rc && !count)
		rc = sl_fail(err, SL_E_INVALID, "SearchDatasets request must specify at least one experiment_id.");
	if (!rc && count > EXPERIMENTS_MAX)
		rc = sl_fail(err, SL_E_INVALID, "SearchDatasets request cannot specify more than %d experiment_ids. Received %zu experiment_ids.",
			EXPERIMENTS_MAX, count);
	if (rc)
		return rc;
	sl_buf_char(&call->out, '{');
	sl_ml_open(&call->out, "dataset_summaries", '[');
	for (size_t i = 0; !rc && i < count && summaries.left > 0; i++) {
		rc = sl_experiment_get(&call->record, ids[i], SL_REC_ALL, call->arena, &experiment, err);
		summaries.experiment = ids[i];
		rc = rc ? rc : sl_rec_dataset_summaries(&call->record, experiment.id, summaries.left, put_summary, &summaries, err);
	}
	sl_buf_str(&call->out, "]}");
	return rc;
}

const struct sl_ml_route sl_ml_routes_datasets[] = {
	{SL_ML_V2, SL_HTTP_POST, "mlflow/experiments/search-datasets", SL_PERMIT_VIEW, SL_ML_SLOW, search, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, "/mlflow/experiments/search-datasets", SL_PERMIT_VIEW, SL_ML_SLOW, search, NULL, NULL},
	{0},
};
