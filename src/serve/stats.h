/* Counters of predictions, in a file that is mapped by who counts (the role infer) and by who shows them (/metrics of the role api).
 *
 *   .sluice/serving.stats: head, then one struct sl_stats_series per endpoint and model version
 *
 * One writer, whose counters only grow; it goes on from what it finds, so that its restart lets none go backwards. Readers need no
 * lock: each counter is one aligned word, read and written whole. A counter costs an addition in memory; no system call is made
 * for a prediction. A file of another layout, or a damaged one, is replaced by a new one. The layout is
 * the program's own and changes with SL_STATS_MAGIC. */
#ifndef SL_SERVE_STATS_H
#define SL_SERVE_STATS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

#define SL_STATS_FILE "serving.stats"
#define SL_STATS_MAGIC "SLSTAT02"

enum {
	SL_STATS_SERIES_MAX = 256,  /* beyond, a version is counted as "other" of its endpoint, then of all */
	SL_STATS_STATUS_MAX = 16,
	SL_STATS_BUCKETS = 16,      /* bounds in sl_stats_bounds_us; the last has none */
	SL_STATS_SERVER_MAX = 8,
};

/* LOG is the stage "write". */
enum sl_stats_phase { SL_STATS_PARSE, SL_STATS_QUEUE, SL_STATS_COMPUTE, SL_STATS_LOG, SL_STATS_REQUEST, SL_STATS_PHASES };
extern const char *const sl_stats_phase_names[SL_STATS_PHASES];
extern const uint32_t sl_stats_bounds_us[SL_STATS_BUCKETS - 1];
/* The statuses that are counted apart; the last, 0, is any other. */
extern const uint16_t sl_stats_statuses[SL_STATS_STATUS_MAX];

/* Counts of one bucket each, not cumulated. */
struct sl_stats_histogram {
	uint64_t buckets[SL_STATS_BUCKETS], sum_ns;
};

struct sl_stats_series {
	char endpoint[SL_NAME_MAX + 8], version[24]; /* version "" when none answered */
	uint64_t status[SL_STATS_STATUS_MAX];
	uint64_t rows, unseen, log_failures, fallbacks; /* fallbacks: rows */
	uint64_t shadows, shadows_failed, shadows_dropped; /* of the endpoint: its series without a version has them */
	struct sl_stats_histogram phases[SL_STATS_PHASES];
};

struct sl_stats_file {
	char magic[8];
	uint64_t file_bytes;
	uint64_t count;                        /* of series in use; written after the series is whole */
	uint64_t server[SL_STATS_SERVER_MAX];  /* of the HTTP server, as the caller orders them */
	struct sl_stats_series series[SL_STATS_SERIES_MAX];
};

/* ---- who counts ---- */

struct sl_stats;
/* `store_dir` = .sluice. */
int sl_stats_open(const char *store_dir, struct sl_stats **ret, struct sl_error *err);
void sl_stats_close(struct sl_stats *stats); /* NULL is fine */
/* The series of an endpoint and version; never NULL, valid until sl_stats_close. A walk over all: keep it. */
struct sl_stats_series *sl_stats_series(struct sl_stats *stats, const char *endpoint, const char *version);
/* `series` NULL: nothing. */
void sl_stats_status(struct sl_stats_series *series, int status);
void sl_stats_time(struct sl_stats_series *series, enum sl_stats_phase phase, int64_t duration_ns);
void sl_stats_add(uint64_t *counter, uint64_t count);
/* The process's own counters since it began, added to what the file held when it was opened. */
void sl_stats_server(struct sl_stats *stats, const uint64_t *values, size_t count);

/* ---- who shows ---- */

/* A copy of the file's counters, for sl_free. SL_E_NOT_FOUND when nothing was ever counted here. */
int sl_stats_read(const char *store_dir, struct sl_stats_file **ret, struct sl_error *err);

#endif
