/* Traces: what a call of a program did, as a tree of spans, with tags, metadata and people's and judges' assessments of it
 * (record/assessment.h).
 *
 *      client: spans as they end --> sl_trace_log_spans --> trace (made by its first span) with spans
 *      client: the whole at its end --> sl_trace_start --> the same trace, finalized: what spans said of times is no longer counted
 *
 * Either may come first. The id is "tr-" and the 128 bits of OpenTelemetry's trace id in hex. Texts of errors are MLflow's
 * (mlflow/store/tracking/sqlalchemy_store.py).
 */
#ifndef SL_RECORD_TRACE_H
#define SL_RECORD_TRACE_H

#include "record/experiment.h"
#include "record/search.h"

enum {
	SL_TRACE_ID_MAX = 128,           /* letters, digits, "-", "_" */
	SL_TRACE_METADATA_MAX = 250,     /* characters of a name and a value; longer values are cut, as MLflow does */
	SL_TRACE_TAG_MAX = 8000,         /* likewise */
	SL_TRACE_NAME_MAX = 4096,        /* mlflow.traceName */
	SL_TRACE_PREVIEW_MAX = 1000,
	SL_TRACES_PAGE_MAX = 500,
	SL_TRACES_DELETE_MAX = 100000,   /* in one call: it is one transaction */
	SL_TRACE_LINKS_MAX = 100,        /* in one call */
};
/* Names that mean something here. */
#define SL_TRACE_TAG_NAME "mlflow.traceName"
#define SL_TRACE_TAG_SPANS "mlflow.trace.spansLocation"
#define SL_TRACE_TAG_ARTIFACTS "mlflow.artifactLocation"
#define SL_TRACE_SESSION "mlflow.trace.session"
#define SL_TRACE_RUN "mlflow.sourceRun"
#define SL_TRACE_IN_STORE "TRACKING_STORE"

enum sl_trace_pair { SL_TRACE_TAG = 1, SL_TRACE_METADATA = 2 }; /* the numbers are those of the database */

struct sl_trace {
	int64_t num, experiment, started_ms, duration_ms;
	bool ended;                      /* whether duration_ms means something */
	/* In the arena that was given; NULL: not known. state: STATE_UNSPECIFIED, OK, ERROR, IN_PROGRESS */
	const char *id, *state, *client_request, *request_preview, *response_preview;
};

/* SL_E_NOT_FOUND "Trace with ID '...' not found." */
int sl_trace_get(struct sl_record *record, const char *id, struct sl_arena *arena, struct sl_trace *ret, struct sl_error *err);
/* The same: 1 and filled, or 0 when there is none; and by its number. */
int sl_trace_find(struct sl_record *record, const char *id, struct sl_arena *arena, struct sl_trace *ret, struct sl_error *err);
int sl_trace_at(struct sl_record *record, int64_t num, struct sl_arena *arena, struct sl_trace *ret, struct sl_error *err);
/* Ordered by name, in the arena. */
int sl_trace_pairs(struct sl_record *record, int64_t num, enum sl_trace_pair kind, struct sl_arena *arena, struct sl_pair **ret,
	size_t *ret_count, struct sl_error *err);
/* One value in the arena, or NULL. */
int sl_trace_pair_get(struct sl_record *record, int64_t num, enum sl_trace_pair kind, const char *name, struct sl_arena *arena,
	const char **ret, struct sl_error *err);
/* Whether `state` is one of those above. */
bool sl_trace_state_valid(const char *state);

struct sl_trace_start {
	struct sl_trace trace;           /* id (NULL: a new one), times, state, texts; its num and experiment are not read */
	bool final;                      /* this is the whole of it, its spans have nothing more to say of its times */
	const struct sl_pair *tags, *metadata;
	size_t tag_count, metadata_count;
};
/* Makes the trace, or says the rest of one that its spans have made. */
int sl_trace_start(struct sl_record *record, const struct sl_experiment *experiment, const struct sl_trace_start *start,
	const struct sl_change *change, struct sl_arena *arena, struct sl_trace *ret, struct sl_error *err);
/* Of MLflow's version 2, which starts a trace and ends it in two calls; `trace` shows the new state afterwards. */
int sl_trace_end(struct sl_record *record, struct sl_trace *trace, int64_t ended_ms, const char *state, const struct sl_trace_start *more,
	const struct sl_change *change, struct sl_arena *arena, struct sl_error *err);

int sl_trace_set_tag(struct sl_record *record, const struct sl_trace *trace, const char *name, const char *value,
	const struct sl_change *change, struct sl_arena *arena, struct sl_error *err);
/* SL_E_NOT_FOUND when it has no such tag. */
int sl_trace_delete_tag(struct sl_record *record, const struct sl_trace *trace, const char *name, const struct sl_change *change,
	struct sl_error *err);

/* Which traces of the experiment go: those named, or those that began at `until_ms` or earlier, the oldest first, at most `max`
 * (and SL_TRACES_DELETE_MAX). With spans, assessments and links. */
struct sl_trace_selection { const char *const *ids; size_t count; int64_t until_ms, max; };
int sl_traces_delete(struct sl_record *record, int64_t experiment, const struct sl_trace_selection *selection,
	const struct sl_change *change, int64_t *ret_count, struct sl_error *err);

enum sl_trace_link { SL_TRACE_TO_RUN, SL_TRACE_TO_PROMPT };
/* Again does nothing. `target`: a run's id in hex; NAME/VERSION of a prompt. */
int sl_trace_add_link(struct sl_record *record, int64_t num, enum sl_trace_link kind, const char *target, struct sl_error *err);

/* ---- spans ---- */

struct sl_trace_span {
	const char *trace;               /* its id */
	const char *id, *parent;         /* 16 hex digits; parent "": it is the root */
	const char *name, *type, *status; /* type may be ""; status: OK, ERROR, UNSET */
	int64_t started_ns, ended_ns;    /* ended 0: not yet */
	const char *content;             /* the span as JSON, as it is answered */
	/* What its trace learns from it; NULL: nothing. inputs and outputs are JSON. */
	const char *session, *user, *inputs, *outputs;
	const struct sl_pair *tags;
	size_t tag_count;
};
/* All of a request, in any order and of any number of traces; sorts `spans`. A span that is sent again takes the place of the older. Traces
 * that are not there are made in `experiment`. */
int sl_trace_log_spans(struct sl_record *record, const struct sl_experiment *experiment, struct sl_trace_span *spans, size_t count,
	const struct sl_change *change, struct sl_arena *arena, struct sl_error *err);
/* The contents, the root first, then by their start; valid during the call. */
typedef int sl_trace_span_fn(void *context, const char *content, struct sl_error *err);
int sl_trace_spans(struct sl_record *record, int64_t num, sl_trace_span_fn *each, void *context, struct sl_error *err);
int sl_trace_span_count(struct sl_record *record, int64_t num, int64_t *ret, struct sl_error *err);

/* ---- searching ---- */

/* Numbers of traces in these experiments, the newest first by default, in MLflow's language for traces (attributes, tags, metadata,
 * spans, feedback, expectations, linked runs and prompts) with OR and parentheses; RLIKE is refused. */
int sl_traces_search(struct sl_record *record, const struct sl_search *search, const int64_t *experiments, size_t experiment_count,
	struct sl_arena *arena, struct sl_search_page *ret, struct sl_error *err);

#endif
