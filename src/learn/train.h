/* Training: from a table to a model package in a folder. Runs in a worker process, needs no database and no object store. */
#ifndef SL_LEARN_TRAIN_H
#define SL_LEARN_TRAIN_H

#include "base/error.h"
#include "learn/metrics.h"
#include "port/sql.h"
#include "project/lookup.h"
#include "project/project.h"

struct sl_train_request {
	const struct sl_train *spec;	   /* resolved: no `$name` left but in `where` and `validation` */
	const struct sl_sql_table *table;  /* the data; named spec->data */
	const struct sl_sql_param *params; /* for `where` and `validation`; ones they do not use are fine */
	size_t param_count;
	const struct sl_lookup *lookups; /* joined on the way to the data: the package keeps them for serving */
	size_t lookup_count;
	const char *out_dir;	    /* exists and is empty */
	int threads;		    /* 0: the machine's processors */
	uint64_t memory_bytes;	    /* of the SQL engine; 0: its default */
	const volatile int *cancel; /* non-zero: stop with SL_E_CANCELLED; may be NULL */
	/* "train_logloss", "validation_auc", ...: as they become known. May be NULL. */
	void (*metric)(void *context, const char *name, int64_t round, double value);
	/* 0..1 and what is going on ("reading", "training"); may be NULL. */
	void (*progress)(void *context, double fraction, const char *what);
	void *context;
};

struct sl_train_result {
	uint64_t rows, validation_rows;
	int64_t rounds;		 /* in the model; fewer than asked for when it stopped early */
	bool validated;		 /* were there validation rows? */
	struct sl_scores scores; /* of the finished model on them; else on a sample of at most 65,536 training rows */
};

/* Leaves in out_dir: model.ubj, reference.json, package.json (a draft of sluice.model/1), training.json (metrics per round,
 * importance). Errors name the column, the option or the row's value that is wrong. Equal rows, spec and threads give equal
 * bytes. */
int sl_learn_train(const struct sl_train_request *request, struct sl_train_result *ret, struct sl_error *err);

/* What can be known of a spec before any data is read: algorithm, option names (with the nearest) and values, rounds, task. For
 * planning. */
int sl_learn_check(const struct sl_train *spec, struct sl_error *err);

#endif
