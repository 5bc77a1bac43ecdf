/* Inside serve/pool.c and serve/lane.c only: one lane, its order, what it admits and what goes into a batch. Under the pool's lock. */
#ifndef SL_SERVE_LANE_H
#define SL_SERVE_LANE_H

#include "serve/pool.h"

void lane_push(struct sl_job_list *list, struct sl_job *job); /* at its end */
void lane_add(struct sl_lane *lane, struct sl_job *job);
void lane_remove(struct sl_lane *lane, struct sl_job *job);
/* The next in turn, of a lane that has one. */
struct sl_job *lane_first(const struct sl_lane *lane);
/* A waiting job whose deadline has come; NULL: none. */
struct sl_job *lane_expired(const struct sl_lane *lane, int64_t now_ns);
/* SL_E_BUSY by the rules in pool.h. */
int lane_admit(const struct sl_lane *lane, const struct sl_job *job, unsigned threads, int64_t now_ns, struct sl_error *err);
/* When a run may begin: now, or later for a batch that is to be filled. */
int64_t lane_ripe_at(const struct sl_lane *lane, int64_t now_ns);
/* Takes a run's jobs out of the lane, which has some: the first in turn, and those that go with it. */
void lane_gather(struct sl_lane *lane, const struct sl_pool_config *config, int64_t now_ns, struct sl_pool_run *run);
/* After a run. */
void lane_measure(struct sl_lane *lane, const struct sl_pool_run *run, int64_t took_ns);

#endif
