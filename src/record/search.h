/* Searching runs and experiments.
 *
 * A page is found by keys and not by an offset: its token holds the sort keys of the last run before it. How a page of runs is found
 * depends on what is asked:
 *
 *     few candidates   a clause of the filter that an index finds (a parameter's value, a metric's range, run ids) has at most
 *                      some hundred runs: those are looked at and sorted
 *     by time          the index of the default order is walked until the page is full
 *     by one metric    the index of that metric's values is walked likewise; then the runs where it is NaN; then those without it
 *     otherwise        all runs of the experiments are looked at, and the best kept
 */
#ifndef SL_RECORD_SEARCH_H
#define SL_RECORD_SEARCH_H

#include "record/experiment.h"
#include "record/filter.h"

enum { SL_SEARCH_RUNS_MAX = 50000, SL_SEARCH_EXPERIMENTS_MAX = 10000 };

struct sl_search {
	const char *filter, *page_token;     /* NULL: none */
	const char *const *order;            /* MLflow's order_by texts */
	size_t order_count;
	enum sl_rec_view view;
	int64_t max;                         /* of a page; at least 1 */
};
/* Numbers of a page, and the token of the next one or NULL, in the arena. */
struct sl_search_page { int64_t *nums; size_t count; const char *token; };

/* Numbers of runs (sl_rec_run_at) in these experiments. SL_E_INVALID. */
int sl_rec_search_runs(struct sl_record *record, const struct sl_search *search, const int64_t *experiments,
	size_t experiment_count, struct sl_arena *arena, struct sl_search_page *ret, struct sl_error *err);
/* Numbers of experiments. */
int sl_rec_search_experiments(struct sl_record *record, const struct sl_search *search, struct sl_arena *arena,
	struct sl_search_page *ret, struct sl_error *err);

#endif
