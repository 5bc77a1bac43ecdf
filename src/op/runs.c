/* move, erase: runs of MLflow's clients, beyond what their protocol has. */
#include <string.h>

#include "op/context.h"
#include "op/handlers.h"
#include "os/clock.h"
#include "record/erase.h"

enum { PIECE = 100 }; /* runs of the bin in one transaction */

static int open_record(struct sl_call *call, struct sl_record *ret, struct sl_error *err)
{
	struct sl_store *store;
	int rc = sl_call_store(call, &store, err);
	if (rc)
		return rc;
	*ret = (struct sl_record){.meta = store->meta, .ledger = store->ledger, .artifact_root = "mlflow-artifacts:/"};
	return sl_experiments_prepare(ret, err);
}

/* ---- move ----------------------------------------------------------------------------------------------------------- */

static int find_experiment(struct sl_call *call, struct sl_record *record, struct sl_experiment *ret, struct sl_error *err)
{
	const char *name = sl_call_text(call, "to");
	const struct sl_change change = {"experiment.create", name, strlen(name)};
	int64_t id;
	int rc = sl_experiment_by_name(record, name, call->arena, ret, err);
	if (rc != SL_E_NOT_FOUND)
		return rc;
	if (!sl_call_flag(call, "create"))
		return sl_error_hint(err, "--create makes it");
	rc = sl_experiment_create(record, name, NULL, NULL, 0, &change, &id, err);
	return rc ? rc : sl_experiment_by_name(record, name, call->arena, ret, err);
}

static int move_all(struct sl_call *call, struct sl_record *record, struct sl_experiment *to, struct sl_error *err)
{
	size_t count;
	const char *const *ids = sl_call_list(call, "run", &count);
	int rc = find_experiment(call, record, to, err);
	for (size_t i = 0; !rc && i < count; i++) {
		const struct sl_change change = {"logged.move", to->name, strlen(to->name)};
		struct sl_rec_run run;
		rc = sl_rec_run_get(record, ids[i], call->arena, &run, err);
		rc = rc ? rc : sl_rec_run_move(record, &run, to, &change, err);
	}
	return rc;
}

int sl_op_move(struct sl_call *call, struct sl_error *err)
{
	struct sl_record record;
	struct sl_experiment to;
	size_t count;
	sl_call_list(call, "run", &count);
	int rc = open_record(call, &record, err);
	rc = rc ? rc : sl_meta_begin(record.meta, err);
	if (rc)
		return rc;
	rc = sl_meta_end(record.meta, move_all(call, &record, &to, err), err);
	if (rc)
		return rc;
	yyjson_mut_val *result = sl_call_object(call);
	sl_put_int(call, result, "moved", (int64_t)count);
	sl_put_text(call, result, "experiment", to.name);
	sl_put_text(call, result, "experiment_id", sl_arena_printf(call->arena, "%lld", (long long)to.id));
	return 0;
}

/* ---- erase ---------------------------------------------------------------------------------------------------------- */

struct erasing { struct sl_call *call; struct sl_record *record; int64_t runs, points, kept, last; bool bin; };

/* One run; of the bin, one that may not go is counted and left. */
static int erase_run(struct erasing *e, const struct sl_rec_run *run, struct sl_error *err)
{
	static const struct sl_change change = {"logged.erase", "", 0};
	struct sl_error why = {0};
	int64_t points;
	int rc = sl_rec_run_erase(e->record, run, &change, &points, &why);
	if (rc == SL_E_CONFLICT && e->bin) {
		e->kept++;
		return 0;
	}
	if (rc) {
		*err = why;
		return rc;
	}
	e->runs++;
	e->points += points;
	return 0;
}

static int erase_named(struct erasing *e, struct sl_error *err)
{
	size_t count;
	const char *const *ids = sl_call_list(e->call, "run", &count);
	int rc = 0;
	for (size_t i = 0; !rc && i < count; i++) {
		struct sl_rec_run run;
		rc = sl_rec_run_get(e->record, ids[i], e->call->arena, &run, err);
		rc = rc ? rc : erase_run(e, &run, err);
	}
	return rc;
}

/* The next runs of the bin; 0: none is left. */
static int erase_piece(struct erasing *e, struct sl_error *err)
{
	int64_t before_ms = sl_now_ms() - sl_call_int(e->call, "after"), num = e->last;
	int rc = 0;
	for (int i = 0; !rc && i < PIECE; i++) {
		struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
		struct sl_rec_run run;
		rc = arena ? sl_meta_int(e->record->meta, 0, &num, err, "SELECT min(num) FROM rec_run WHERE num > ?1 AND deleted = 1 AND "
			"coalesce(deleted_ms, 0) <= ?2", "ii", num, before_ms) : SL_E_NO_MEMORY;
		if (rc || !num)
			return rc;
		rc = sl_rec_run_at(e->record, num, arena, &run, err);
		rc = rc < 0 ? rc : erase_run(e, &run, err);
		e->last = num;
	}
	return rc ? rc : 1;
}

/* What would go is found by doing it and taking it back. */
static int erase_bin(struct erasing *e, bool yes, struct sl_error *err)
{
	int rc = 1;
	while (rc == 1 && !sl_call_cancelled(e->call)) {
		rc = sl_meta_begin(e->record->meta, err);
		if (rc)
			return rc;
		rc = erase_piece(e, err);
		if (!yes || rc < 0)
			sl_meta_rollback(e->record->meta);
		else if (sl_meta_commit(e->record->meta, err))
			return err->code;
	}
	return rc;
}

int sl_op_erase(struct sl_call *call, struct sl_error *err)
{
	struct sl_record record;
	struct erasing e = {.call = call, .record = &record, .bin = sl_call_flag(call, "bin")};
	bool yes = sl_call_flag(call, "yes");
	if (e.bin == sl_call_given(call, "run"))
		return sl_fail(err, SL_E_INVALID, "erase takes either runs or --bin");
	int rc = open_record(call, &record, err);
	if (!rc && e.bin) {
		rc = erase_bin(&e, yes, err);
	} else if (!rc && !(rc = sl_meta_begin(record.meta, err))) {
		rc = erase_named(&e, err);
		if (rc || !yes)
			sl_meta_rollback(record.meta);
		else
			rc = sl_meta_commit(record.meta, err);
	}
	if (rc)
		return rc;
	yyjson_mut_val *result = sl_call_object(call);
	sl_put_bool(call, result, "erased", yes);
	sl_put_int(call, result, "runs", e.runs);
	sl_put_int(call, result, "points", e.points);
	sl_put_int(call, result, "kept", e.kept);
	if (e.runs)
		sl_put_text(call, result, "next", yes ? "sluice gc shows what space comes back" : "--yes erases them");
	return 0;
}
