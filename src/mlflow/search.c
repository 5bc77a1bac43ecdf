/* runs/search and experiments/search. */
#include <inttypes.h>
#include <string.h>

#include "base/str.h"
#include "mlflow/entity.h"
#include "mlflow/route.h"
#include "record/search.h"

enum { RUNS_PAGE = 1000 };

/* By name, or by the number that protobuf has for it. */
static int view_of(struct sl_ml_call *call, const char *name, enum sl_rec_view *ret, struct sl_error *err)
{
	static const char *const NAMES[] = {"ACTIVE_ONLY", "DELETED_ONLY", "ALL"};
	const char *text = NULL;
	int64_t number;
	*ret = SL_REC_ACTIVE;
	if (!sl_ml_has(call, name))
		return 0;
	if (sl_ml_int(call, name, 0, &number, NULL) == 1 && number >= 1 && number <= 3) {
		*ret = (enum sl_rec_view)(number - 1);
		return 0;
	}
	int rc = sl_ml_text(call, name, &text, err);
	for (size_t i = 0; text && i < SL_ARRAY_LEN(NAMES); i++)
		if (strcmp(text, NAMES[i]) == 0) {
			*ret = (enum sl_rec_view)i;
			return 0;
		}
	return rc || !text ? rc : sl_fail(err, SL_E_INVALID, "Invalid value \"%.60s\" for parameter '%s' supplied:  Hint: Value was of "
		"type 'str'. See the API docs for more information about request parameters.", text, name);
}

static int check_max(int64_t max, struct sl_error *err)
{
	if (max >= 1 && max <= SL_SEARCH_RUNS_MAX)
		return 0;
	if (max < 1)
		return sl_fail(err, SL_E_INVALID, "Invalid value %" PRId64 " for parameter 'max_results' supplied. It must be a positive "
			"integer", max);
	return sl_fail(err, SL_E_INVALID, "Invalid value %" PRId64 " for parameter 'max_results' supplied. It must be at most %d", max,
		SL_SEARCH_RUNS_MAX);
}

static int read_search(struct sl_ml_call *call, const char *view, struct sl_search *ret, struct sl_error *err)
{
	const char **order;
	*ret = (struct sl_search){0};
	int rc = sl_ml_text(call, "filter", &ret->filter, err);
	if (!rc)
		rc = sl_ml_text(call, "page_token", &ret->page_token, err);
	if (!rc)
		rc = sl_ml_texts(call, "order_by", &order, &ret->order_count, err);
	if (!rc)
		rc = view_of(call, view, &ret->view, err);
	if (!rc)
		rc = sl_ml_int(call, "max_results", RUNS_PAGE, &ret->max, err);
	if (rc < 0)
		return rc;
	ret->order = order;
	return check_max(ret->max, err);
}

static int compare_ids(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return x < y ? -1 : x > y;
}

/* The experiments' numbers, each once. */
static int read_experiments(struct sl_ml_call *call, int64_t **ret, size_t *ret_count, struct sl_error *err)
{
	const char **texts;
	size_t count, kept = 0;
	int rc = sl_ml_texts(call, "experiment_ids", &texts, &count, err);
	int64_t *ids = rc ? NULL : sl_arena_array(call->arena, count + 1, sizeof *ids);
	if (!ids)
		return rc ? rc : sl_fail_memory(err);
	for (size_t i = 0; i < count; i++)
		if (!sl_str_int(texts[i], &ids[i]))
			return sl_fail(err, SL_E_INVALID, "Invalid experiment ID: '%.64s'", texts[i]);
	if (count > 1)
		qsort(ids, count, sizeof *ids, compare_ids);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || ids[kept - 1] != ids[i])
			ids[kept++] = ids[i];
	*ret = ids;
	*ret_count = kept;
	return 0;
}

static void close_page(struct sl_ml_call *call, const struct sl_search_page *page)
{
	sl_buf_char(&call->out, ']');
	if (page->token)
		sl_ml_put_text(&call->out, "next_page_token", page->token);
	sl_buf_char(&call->out, '}');
}

static int search_runs(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_search search;
	struct sl_search_page page;
	struct sl_rec_run run;
	int64_t *experiments = NULL;
	size_t experiment_count = 0;
	int rc = read_search(call, "run_view_type", &search, err);
	if (!rc)
		rc = read_experiments(call, &experiments, &experiment_count, err);
	if (!rc)
		rc = sl_rec_search_runs(&call->record, &search, experiments, experiment_count, call->arena, &page, err);
	if (rc || !page.count)
		return rc;
	sl_buf_str(&call->out, "{\"runs\":[");
	for (size_t i = 0; !rc && i < page.count; i++) {
		int found = sl_rec_run_at(&call->record, page.nums[i], call->arena, &run, err);
		if (found != 1)
			return found;
		sl_ml_comma(&call->out);
		rc = sl_ml_write_run(&call->record, &run, &call->out, err);
	}
	close_page(call, &page);
	return rc;
}

static int search_experiments(struct sl_ml_call *call, struct sl_error *err)
{
	struct sl_search search;
	struct sl_search_page page;
	struct sl_experiment experiment;
	char id[24];
	int rc = read_search(call, "view_type", &search, err);
	if (!rc)
		rc = sl_rec_search_experiments(&call->record, &search, call->arena, &page, err);
	if (rc || !page.count)
		return rc;
	sl_buf_str(&call->out, "{\"experiments\":[");
	for (size_t i = 0; !rc && i < page.count; i++) {
		snprintf(id, sizeof id, "%" PRId64, page.nums[i]);
		rc = sl_experiment_get(&call->record, id, SL_REC_ALL, call->arena, &experiment, err);
		sl_ml_comma(&call->out);
		if (!rc)
			rc = sl_ml_write_experiment(&call->record, &experiment, call->arena, &call->out, err);
	}
	close_page(call, &page);
	return rc;
}

const struct sl_ml_route sl_ml_routes_search[] = {
	{SL_ML_V2, SL_HTTP_POST, "/mlflow/runs/search", SL_PERMIT_VIEW, SL_ML_SLOW, search_runs, NULL, NULL},
	{SL_ML_V2, SL_HTTP_POST, "/mlflow/experiments/search", SL_PERMIT_VIEW, SL_ML_SLOW, search_experiments, NULL, NULL},
	{SL_ML_V2, SL_HTTP_GET, "/mlflow/experiments/search", SL_PERMIT_VIEW, SL_ML_SLOW, search_experiments, NULL, NULL},
	{0},
};
