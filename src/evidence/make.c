/* Gathers a bundle: the lineage, then the rows and runs that it and the model's history consist of, then the entries that answer for
 * them, in one view of the database; then proofs, card and index. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/str.h"
#include "base/tar.h"
#include "evidence/bundle.h"
#include "track/lineage.h"
#include "track/model.h"

enum { TRIES = 5 /* another process may publish between two proofs */ };

struct make {
	struct sl_store *store;
	const struct sl_evidence_about *about;
	char subject[300];
	yyjson_mut_doc *doc;
	yyjson_mut_val *rows, *lineage;
	struct sl_arena *arena;
	struct sl_map *wanted; /* "table:key" and "run:ID" -> int64_t: the newest entry about it, -1 while there is none */
	int64_t *seqs;
	size_t seq_count, seq_room;
	struct sl_buf text[SL_MEMBER_COUNT];
};

/* ---- rows ----------------------------------------------------------------------------------------------------------- */

/* *ret_new: it was not wanted before. */
static int want(struct make *m, const char *name, bool *ret_new, struct sl_error *err)
{
	*ret_new = !sl_map_has(m->wanted, name);
	if (!*ret_new)
		return 0;
	int64_t *seq = sl_arena_alloc(m->arena, sizeof *seq);
	if (!seq)
		return sl_fail_memory(err);
	*seq = -1;
	return sl_map_set(m->wanted, name, seq, NULL, err);
}

static const struct sl_ledger_table *find_table(const char *name)
{
	for (size_t i = 0; i < sl_ledger_table_count; i++)
		if (sl_str_eq(sl_ledger_tables[i].name, name))
			return &sl_ledger_tables[i];
	assert(!"a table that the ledger covers");
	return NULL;
}

static bool add_row(struct make *m, yyjson_mut_val *list, struct sl_stmt *stmt)
{
	yyjson_mut_val *row = yyjson_mut_arr_add_arr(m->doc, list);
	bool ok = row != NULL;
	for (int i = 0; ok && i < sl_stmt_columns(stmt); i++) {
		const char *text = sl_stmt_text(stmt, i);
		switch (sl_stmt_type(stmt, i)) {
		case 'n': ok = yyjson_mut_arr_add_null(m->doc, row); break;
		case 'i': ok = yyjson_mut_arr_add_sint(m->doc, row, sl_stmt_int(stmt, i)); break;
		default: ok = yyjson_mut_arr_add_strcpy(m->doc, row, text);
		}
	}
	return ok;
}

/* The rows of `table` that `where` finds (with up to two parameters, as sl_meta_query takes them) join the bundle, each once. */
static int add_rows(struct make *m, const char *table_name, const char *where, struct sl_error *err, const char *types, ...)
{
	const struct sl_ledger_table *table = find_table(table_name);
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	struct sl_hash hash;
	char sql[1024], name[SL_ROW_KEY_MAX];
	bool is_new;
	va_list args;
	yyjson_mut_val *list = yyjson_mut_obj_get(m->rows, table->name);
	if (!list)
		list = yyjson_mut_obj_add_arr(m->doc, m->rows, table->name);
	snprintf(sql, sizeof sql, "SELECT %s FROM %s WHERE %s LIMIT %d", table->columns, table->name, where, SL_EVIDENCE_ROWS_MAX);
	va_start(args, types);
	int rc = sl_meta_query_list(m->store->meta, &stmt, err, sql, types, &args);
	va_end(args);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		rc = sl_ledger_row(table, stmt, name, &hash, err);
		if (!rc)
			rc = want(m, name, &is_new, err);
		if (!rc && is_new && !add_row(m, list, stmt))
			rc = sl_fail_memory(err);
	}
	return rc;
}

/* Windows in which this version answered, the events of these windows, and what the events fired. */
static int add_monitor(struct make *m, const char *monitor, struct sl_error *err)
{
	static const char OF_EVENTS[] = "event IN (SELECT e.seq FROM event e JOIN monitor_window w ON w.monitor = e.subject AND w.from_ms = e.from_ms AND "
					"w.to_ms = e.to_ms WHERE e.subject = ?1 AND w.evidence LIKE ?2) ORDER BY seq DESC";
	char versions[64];
	/* Evidence is canonical JSON; only its member "versions" has numbers as names. */
	snprintf(versions, sizeof versions, "%%\"%lld\":%%", (long long)m->about->version);
	int rc = add_rows(m, "monitor_window", "monitor = ?1 AND evidence LIKE ?2 ORDER BY to_ms DESC", err, "ss", monitor, versions);
	if (!rc)
		rc = add_rows(m, "event",
			      "subject = ?1 AND EXISTS (SELECT 1 FROM monitor_window w WHERE w.monitor = event.subject AND w.from_ms = event.from_ms AND "
			      "w.to_ms = event.to_ms AND w.evidence LIKE ?2) ORDER BY seq DESC",
			      err, "ss", monitor, versions);
	return rc ? rc : add_rows(m, "trigger_firing", OF_EVENTS, err, "ss", monitor, versions);
}

static int add_model(struct make *m, struct sl_error *err)
{
	const char *model = m->about->model;
	int64_t version = m->about->version;
	int rc = add_rows(m, "model_version", "model = ?1 AND version = ?2", err, "si", model, version);
	if (!rc)
		rc = add_rows(m, "alias_move", "model = ?1 AND (version = ?2 OR previous = ?2) ORDER BY seq", err, "si", model, version);
	if (!rc)
		rc = add_rows(m, "model_alias", "model = ?1 AND version = ?2 ORDER BY alias", err, "si", model, version);
	for (size_t i = 0; !rc && i < m->about->monitor_count; i++)
		rc = add_monitor(m, m->about->monitors[i], err);
	return rc;
}

/* ---- what the lineage reaches --------------------------------------------------------------------------------------- */

static int add_run(struct make *m, const char *id, struct sl_error *err)
{
	struct sl_buf *out = &m->text[SL_MEMBER_RUNS];
	char name[SL_ROW_KEY_MAX];
	struct sl_id run;
	int64_t ended;
	bool is_new;
	int rc = sl_id_parse(id, &run) ? 0 : sl_fail_at(err, SL_E_CORRUPT, id, "is no run");
	snprintf(name, sizeof name, "run:%s", id);
	if (!rc)
		rc = sl_meta_int(m->store->meta, 0, &ended, err, "SELECT count(*) FROM run WHERE id = ?1 AND record IS NOT NULL", "s", run.text);
	if (rc || !ended) /* one that still runs has no record yet */
		return rc;
	rc = want(m, name, &is_new, err);
	if (rc || !is_new)
		return rc;
	rc = sl_run_record(&m->store->track, &run, out, err);
	sl_buf_char(out, '\n');
	return rc ? rc : sl_buf_check(out, "runs", err);
}

/* A step's run, and the whole run that it was a step of: that one knows the environment. */
static int add_run_node(struct make *m, yyjson_mut_val *node, const char *id, struct sl_error *err)
{
	const char *parent = yyjson_mut_get_str(yyjson_mut_obj_get(node, "parent"));
	int rc = add_run(m, id + strlen("run:"), err);
	return rc || !parent || !*parent ? rc : add_run(m, parent, err);
}

static int add_node(struct make *m, yyjson_mut_val *node, struct sl_error *err)
{
	const char *kind = yyjson_mut_get_str(yyjson_mut_obj_get(node, "kind")), *id = yyjson_mut_get_str(yyjson_mut_obj_get(node, "id"));
	const char *name = yyjson_mut_get_str(yyjson_mut_obj_get(node, "name")), *hash = yyjson_mut_get_str(yyjson_mut_obj_get(node, "hash"));
	if (sl_str_eq(kind, "run"))
		return add_run_node(m, node, id, err);
	if (!sl_str_eq(kind, "dataset"))
		return 0;
	int rc = add_rows(m, "dataset_version", "dataset = ?1 AND hash = ?2 ORDER BY seq", err, "ss", name, hash);
	return rc ? rc : add_rows(m, "check_result", "dataset = ?1 AND hash = ?2 ORDER BY seq", err, "ss", name, hash);
}

static int add_lineage(struct make *m, struct sl_error *err)
{
	struct sl_ref ref = {.kind = SL_REF_MODEL, .row = -1};
	yyjson_mut_val *node;
	size_t i, max;
	snprintf(ref.name, sizeof ref.name, "%s", m->about->model);
	snprintf(ref.version, sizeof ref.version, "%lld", (long long)m->about->version);
	int rc = sl_lineage_why(m->store, &ref, false, m->doc, &m->lineage, err);
	if (rc)
		return rc;
	yyjson_mut_arr_foreach(yyjson_mut_obj_get(m->lineage, "nodes"), i, max, node)
		if (!rc)
			rc = add_node(m, node, err);
	return rc;
}

static int add_package(struct make *m, struct sl_error *err)
{
	char version[32];
	struct sl_model_version found;
	snprintf(version, sizeof version, "%lld", (long long)m->about->version);
	int rc = sl_model_find(&m->store->track, m->about->model, version, &found, err);
	return rc ? rc : sl_objects_get(m->store->objects, &found.hash, &m->text[SL_MEMBER_PACKAGE], err);
}

/* ---- entries -------------------------------------------------------------------------------------------------------- */

static int keep_seq(struct make *m, int64_t seq, struct sl_error *err)
{
	if (m->seq_count == m->seq_room) {
		size_t room = m->seq_room ? m->seq_room * 2 : 256;
		int64_t *seqs = sl_realloc(m->seqs, room * sizeof *seqs, err);
		if (!seqs)
			return SL_E_NO_MEMORY;
		m->seqs = seqs;
		m->seq_room = room;
	}
	m->seqs[m->seq_count++] = seq;
	return 0;
}

static void note(struct make *m, const char *name, int64_t seq)
{
	int64_t *newest = sl_map_get(m->wanted, name);
	if (newest)
		*newest = seq;
}

/* One entry, in rising order: whatever it answers for and is wanted is from now on its. */
static int note_entry(struct make *m, const char *text, size_t len, int64_t seq, struct sl_error *err)
{
	yyjson_doc *doc SL_AUTO_JSON = yyjson_read(text, len, 0);
	yyjson_val *entry = yyjson_doc_get_root(doc), *name, *value;
	size_t i, max;
	if (!doc)
		return sl_fail(err, SL_E_CORRUPT, "ledger entry %lld is not JSON", (long long)seq);
	yyjson_obj_foreach(yyjson_obj_get(yyjson_obj_get(entry, "detail"), "covers"), i, max, name, value)
		note(m, yyjson_get_str(name), seq);
	const char *subject = sl_json_str(entry, "subject", "");
	if (sl_str_eq(sl_json_str(entry, "action", ""), "run.end"))
		note(m, subject, seq);
	return sl_str_eq(subject, m->subject) || seq == 0 ? keep_seq(m, seq, err) : 0;
}

static int compare_seqs(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return x < y ? -1 : x > y;
}

/* Reads the whole ledger once: 2 s per million entries. Leaves the numbers in rising order, each once. */
static int find_entries(struct make *m, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	size_t len, kept = 0;
	int rc = sl_meta_query(m->store->meta, &stmt, err, "SELECT seq, entry FROM ledger_entry ORDER BY seq", NULL);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		const char *entry = sl_stmt_blob(stmt, 1, &len);
		rc = note_entry(m, entry, len, sl_stmt_int(stmt, 0), err);
	}
	for (size_t i = 0; i < sl_map_count(m->wanted) && !rc; i++) {
		const int64_t *seq = sl_map_value(m->wanted, i);
		rc = *seq < 0 ? sl_fail_at(err, SL_E_CORRUPT, sl_map_key(m->wanted, i), "no ledger entry answers for it")
			      : keep_seq(m, *seq, err);
	}
	if (rc)
		return rc;
	qsort(m->seqs, m->seq_count, sizeof *m->seqs, compare_seqs);
	for (size_t i = 0; i < m->seq_count; i++)
		if (!kept || m->seqs[kept - 1] != m->seqs[i])
			m->seqs[kept++] = m->seqs[i];
	m->seq_count = kept;
	return 0;
}

/* Appends one proof. *ret_same: its checkpoint is that of the proofs before it, which the first one sets. */
static int add_proof(struct make *m, int64_t seq, bool *ret_same, struct sl_error *err)
{
	struct sl_buf *out = &m->text[SL_MEMBER_PROOFS], *checkpoint = &m->text[SL_MEMBER_CHECKPOINT];
	size_t from = out->len;
	int rc = sl_ledger_prove(m->store->ledger, seq, NULL, out, err);
	if (rc)
		return rc;
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(out->data + from, out->len - from, "proof", err);
	if (!doc)
		return SL_E_BUG;
	const char *text = sl_json_str(yyjson_doc_get_root(doc), "checkpoint", "");
	if (!checkpoint->len)
		sl_buf_str(checkpoint, text);
	*ret_same = strcmp(sl_buf_cstr(checkpoint), text) == 0;
	return sl_buf_check(checkpoint, "checkpoint", err);
}

/* All proofs are made in one checkpoint: when somebody published meanwhile, once more. */
static int add_proofs(struct make *m, struct sl_error *err)
{
	for (int i = 0; i < TRIES; i++) {
		bool same = true;
		int rc = 0;
		sl_buf_clear(&m->text[SL_MEMBER_PROOFS]);
		sl_buf_clear(&m->text[SL_MEMBER_CHECKPOINT]);
		for (size_t k = 0; k < m->seq_count && same && !rc; k++)
			rc = add_proof(m, m->seqs[k], &same, err);
		if (rc || same)
			return rc;
	}
	sl_fail(err, SL_E_BUSY, "the ledger grew while its entries were proved");
	return sl_error_hint(err, "try again when less is going on");
}

/* ---- the whole ------------------------------------------------------------------------------------------------------ */

static int gather(struct make *m, struct sl_error *err)
{
	int rc = sl_meta_begin_read(m->store->meta, err);
	if (rc)
		return rc;
	rc = add_model(m, err);
	if (!rc)
		rc = add_lineage(m, err);
	if (!rc)
		rc = add_package(m, err);
	if (!rc)
		rc = find_entries(m, err);
	sl_meta_end_read(m->store->meta);
	return rc;
}

static int write_card(struct make *m, struct sl_error *err)
{
	const struct sl_buf *key = &m->text[SL_MEMBER_KEY];
	struct sl_ledger_key public_key;
	struct sl_bundle bundle;
	int rc = sl_ledger_key_read(sl_buf_cstr(key), key->len, "key.pub", &public_key, err);
	if (!rc)
		rc = sl_bundle_read(m->text, &public_key, &bundle, err);
	if (rc)
		return rc;
	sl_bundle_card(&bundle, m->subject, &m->text[SL_MEMBER_CARD]);
	sl_bundle_done(&bundle);
	return sl_buf_check(&m->text[SL_MEMBER_CARD], "card", err);
}

static int write_members(struct make *m, struct sl_error *err)
{
	int rc = sl_json_mut_canonical(m->rows, &m->text[SL_MEMBER_ROWS], err);
	if (!rc)
		rc = sl_json_mut_canonical(m->lineage, &m->text[SL_MEMBER_LINEAGE], err);
	if (!rc)
		rc = sl_ledger_publish(m->store->ledger, err); /* else the newest entries could not be proved yet */
	if (rc == SL_E_IO)
		rc = 0; /* a store that cannot be written: what is published can be proved */
	if (!rc)
		rc = add_proofs(m, err);
	if (rc)
		return rc;
	sl_ledger_public_key(m->store->ledger, &m->text[SL_MEMBER_KEY]);
	sl_buf_char(&m->text[SL_MEMBER_KEY], '\n');
	rc = write_card(m, err);
	if (rc)
		return rc;
	sl_bundle_index(m->text, m->subject, &m->text[SL_MEMBER_INDEX]);
	return sl_ledger_sign(m->store->ledger, &m->text[SL_MEMBER_INDEX], err);
}

static int make(struct make *m, struct sl_buf *out, struct sl_error *err)
{
	int rc = m->rows ? gather(m, err) : sl_fail_memory(err);
	if (!rc)
		rc = write_members(m, err);
	for (int i = 0; i < SL_MEMBER_COUNT && !rc; i++) {
		rc = sl_buf_check(&m->text[i], sl_member_names[i], err);
		if (!rc)
			sl_tar_add(out, sl_member_names[i], sl_buf_cstr(&m->text[i]), m->text[i].len);
	}
	sl_tar_end(out);
	return rc ? rc : sl_buf_check(out, "bundle", err);
}

int sl_evidence_make(struct sl_store *store, const struct sl_evidence_about *about, struct sl_buf *out, struct sl_error *err)
{
	struct make m = {.store = store, .about = about, .arena = sl_arena_new(0, err), .wanted = sl_map_new(err)};
	snprintf(m.subject, sizeof m.subject, "model:%s@%lld", about->model, (long long)about->version);
	for (int i = 0; i < SL_MEMBER_COUNT; i++)
		sl_buf_init(&m.text[i], SL_EVIDENCE_MAX_BYTES);
	m.doc = yyjson_mut_doc_new(NULL);
	m.rows = m.doc ? yyjson_mut_obj(m.doc) : NULL;
	int rc = m.arena && m.wanted ? make(&m, out, err) : SL_E_NO_MEMORY;
	for (int i = 0; i < SL_MEMBER_COUNT; i++)
		sl_buf_done(&m.text[i]);
	yyjson_mut_doc_free(m.doc);
	sl_map_free(m.wanted);
	sl_arena_free(m.arena);
	sl_free(m.seqs);
	return rc;
}
