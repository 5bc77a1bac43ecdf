/* What the ledger says about runs, versions and aliases, against the rows. The inner part of track/verify.h. */
#ifndef SL_TRACK_VERIFY_FACTS_H
#define SL_TRACK_VERIFY_FACTS_H

#include "track/verify.h"

struct sl_verify {
	struct sl_store *store;
	const struct sl_verify_listener *listener;
	struct sl_verify_report *report;
	char first[1024]; /* the first problem */
};

/* Counts and tells a problem. Returns 0, so that checking goes on. */
int sl_verify_problem(struct sl_verify *verify, const char *format, ...) SL_PRINTF(2, 3);
void sl_verify_progress(struct sl_verify *verify, const char *part, double fraction);
/* A damaged part is a problem like any other (0); what is no damage stays an error. */
int sl_verify_absorb(struct sl_verify *verify, int rc, const struct sl_error *why);

int sl_verify_facts(struct sl_verify *verify, struct sl_error *err);

#endif
