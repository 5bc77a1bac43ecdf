/* A small store with one of everything, for the tests of lineage and of verify: a raw file is ingested as dataset "raw", step
 * "clean" makes dataset "clean" of it, step "fit" a model package, which is version 1 of model "delay" and champion. */
#ifndef SL_TEST_STORY_H
#define SL_TEST_STORY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ledger/rows.h"
#include "os/clock.h"
#include "track/model.h"
#include "track/store.h"

struct story {
	char dir[SL_PATH_MAX];
	struct sl_store *store;
	struct sl_error err;
	struct sl_hash file, raw, clean, package, model_file, reference;
	struct sl_id whole, ingest, step, fit;
};

#define MUST(call) \
	do { \
		int must_rc_ = (call); \
		if (must_rc_ < 0) \
			fail_msg("%s: %d %s: %s", #call, must_rc_, s->err.where, s->err.message); \
	} while (0)

static inline void story_put(struct story *s, const char *text, struct sl_hash *ret)
{
	MUST(sl_objects_put(s->store->objects, text, strlen(text), ret, &s->err));
}

static inline struct sl_id story_begin(struct story *s, const char *kind, const char *name, const struct sl_id *parent)
{
	struct sl_id id;
	struct sl_run_start start = {.kind = kind,
				     .name = name,
				     .reason = "never ran",
				     .parent = parent ? parent->text : NULL,
				     .environment = "{\"host\":\"h\"}"};
	MUST(sl_run_begin(&s->store->track, &start, &id, &s->err));
	return id;
}

/* Table manifest over one object. */
static inline void story_manifest(struct story *s, const char *content, struct sl_hash *ret)
{
	char text[512], hex[SL_HASH_HEX + 1];
	struct sl_hash object;
	story_put(s, content, &object);
	snprintf(text, sizeof text,
		 "{\"columns\":[],\"files\":[{\"object\":\"%s\",\"rows\":1,\"size\":%zu}],\"format\":\"sluice.table/"
		 "1\",\"rows\":1}",
		 sl_hash_hex(&object, hex), strlen(content));
	story_put(s, text, ret);
}

/* What the data room's commit does, with its entry. */
static inline void story_commit(struct story *s, const char *dataset, const struct sl_hash *hash, const struct sl_id *run)
{
	char subject[64], hex[SL_HASH_HEX + 1];
	int64_t seq;
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *detail = yyjson_mut_obj(doc);
	yyjson_mut_obj_add_strcpy(doc, detail, "version", sl_hash_hex(hash, hex));
	yyjson_mut_obj_add_str(doc, detail, "run", run->text);
	snprintf(subject, sizeof subject, "dataset:%s", dataset);
	MUST(sl_meta_begin(s->store->meta, &s->err));
	MUST(sl_meta_int(s->store->meta, 0, &seq, &s->err, "SELECT count(*) FROM dataset_version", NULL));
	MUST((int)sl_meta_exec(s->store->meta, &s->err,
			       "INSERT INTO dataset_version(seq, dataset, hash, rows, size_bytes, files, run, created_ms) VALUES "
			       "(?1, ?2, ?3, 1, 10, 1, ?4, ?5)",
			       "isssi", seq + 1, dataset, hex, run->text, sl_now_ms()));
	MUST(sl_ledger_cover(s->store->ledger, doc, detail, "dataset_version", &s->err, "i", seq + 1));
	MUST(sl_ledger_append(s->store->ledger, "dataset.commit", subject, detail, NULL, &s->err));
	MUST(sl_meta_commit(s->store->meta, &s->err));
	yyjson_mut_doc_free(doc);
}

static inline void story_package(struct story *s)
{
	char text[512], model[SL_HASH_HEX + 1], reference[SL_HASH_HEX + 1];
	story_put(s, "model bytes", &s->model_file);
	story_put(s, "{\"format\":\"sluice.reference/1\"}", &s->reference);
	snprintf(text, sizeof text, "{\"format\":\"sluice.model/1\",\"model\":{\"hash\":\"%s\"},\"reference\":\"%s\"}",
		 sl_hash_hex(&s->model_file, model), sl_hash_hex(&s->reference, reference));
	story_put(s, text, &s->package);
}

static inline void story_tell(struct story *s)
{
	struct sl_track *t = &s->store->track;
	int64_t version;
	struct sl_hash code;
	sl_sha256("a,b\n1,2\n", 8, &s->file);
	sl_sha256("select 1", 8, &code);
	s->whole = story_begin(s, "run", "delay", NULL);

	s->ingest = story_begin(s, "ingest", "raw", &s->whole);
	story_manifest(s, "raw rows", &s->raw);
	MUST(sl_run_input(t, &s->ingest, "file", "data/raw.csv", &s->file, &s->err));
	MUST(sl_run_output(t, &s->ingest, "dataset", "raw", &s->raw, &s->err));
	story_commit(s, "raw", &s->raw, &s->ingest);
	MUST(sl_run_end(t, &s->ingest, "ok", "", &s->err));

	s->step = story_begin(s, "step", "clean", &s->whole);
	story_manifest(s, "clean rows", &s->clean);
	MUST(sl_run_param(t, &s->step, "late_minutes", "15", &s->err));
	MUST(sl_run_input(t, &s->step, "dataset", "raw", &s->raw, &s->err));
	MUST(sl_run_input(t, &s->step, "code", "sql/clean.sql", &code, &s->err));
	MUST(sl_run_output(t, &s->step, "dataset", "clean", &s->clean, &s->err));
	story_commit(s, "clean", &s->clean, &s->step);
	MUST(sl_run_end(t, &s->step, "ok", "", &s->err));

	s->fit = story_begin(s, "train", "fit", &s->whole);
	story_package(s);
	struct sl_metric metric = {"auc", 1, 1, 0.7};
	MUST(sl_run_metrics(t, &s->fit, &metric, 1, &s->err));
	MUST(sl_run_input(t, &s->fit, "dataset", "clean", &s->clean, &s->err));
	MUST(sl_run_output(t, &s->fit, "model", "fit", &s->package, &s->err));
	MUST(sl_run_artifact(t, &s->fit, "notes.txt", &s->reference, 10, &s->err));
	MUST(sl_run_end(t, &s->fit, "ok", "", &s->err));
	MUST(sl_model_create(t, "delay", &s->package, &s->fit, "{}", &version, &s->err));
	MUST(sl_model_gate(t, "delay", version, "ready", "[]", "{\"auc\":0.7}", &s->err));
	MUST(sl_model_alias(t, "delay", "champion", version, "gate", false, &s->err));
	MUST(sl_run_end(t, &s->whole, "ok", "", &s->err));
	MUST(sl_ledger_publish(s->store->ledger, &s->err));
}

static inline int story_setup(void **state)
{
	struct story *s = calloc(1, sizeof *s);
	*state = s;
	if (!s || sl_dir_make_temporary("/tmp", "sl-story-", s->dir, &s->err) || sl_store_create(s->dir, &s->err) ||
	    sl_store_open(s->dir, &s->store, &s->err))
		return -1;
	story_tell(s);
	return 0;
}

static inline int story_teardown(void **state)
{
	struct story *s = *state;
	sl_store_close(s->store);
	sl_dir_remove(s->dir, NULL);
	free(s);
	return 0;
}

#endif
