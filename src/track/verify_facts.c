#include "track/verify_facts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

enum { RUN = 'r', DATASET = 'd', MODEL = 'm', ALIAS = 'a', MOVE = 'v' };
enum { KEY_MAX = 512 };

/* What the entries say of one thing. Keys: "r <id>", "d <dataset> <n>" (its n-th commit), "m <model> <version>", "a <model>
 * <alias>", "v <model> <alias> <n>" (the alias's n-th move), "c <dataset>" (how many commits), "s <stream> <base offset>" (a
 * sealed segment). */
struct fact {
	bool has_row, ended;
	char status[16], run[SL_ID_LEN + 1];
	char hash[SL_HASH_HEX + 1];                            /* record, version or package */
	char gate[SL_HASH_HEX + 1], metrics[SL_HASH_HEX + 1]; /* SHA-256 of a model version's texts */
	int64_t version, count;
};

struct facts {
	struct sl_verify *verify;
	struct sl_map *map;
	struct sl_arena *arena;
};

static struct fact *get(struct facts *facts, const char *key) { return sl_map_get(facts->map, key); }

/* Finds or makes; NULL when memory is out. */
static struct fact *fact_of(struct facts *facts, const char *key, struct sl_error *err)
{
	struct fact *fact = get(facts, key);
	if (fact)
		return fact;
	fact = sl_arena_alloc(facts->arena, sizeof *fact);
	if (!fact || sl_map_set(facts->map, key, fact, NULL, err)) {
		sl_fail_memory(err);
		return NULL;
	}
	return fact;
}

static void copy(char *out, size_t size, const char *text) { snprintf(out, size, "%s", text); }
#define COPY(field, text) copy(field, sizeof(field), text)

/* ---- from entries --------------------------------------------------------------------------------------------------- */

static int learn_run(struct facts *facts, const char *id, const char *action, yyjson_val *detail, struct sl_error *err)
{
	char key[KEY_MAX];
	snprintf(key, sizeof key, "%c %.64s", RUN, id);
	struct fact *fact = fact_of(facts, key, err);
	if (!fact)
		return SL_E_NO_MEMORY;
	if (sl_str_eq(action, "run.end")) {
		fact->ended = true;
		COPY(fact->status, sl_json_str(detail, "status", ""));
		COPY(fact->hash, sl_json_str(detail, "record", ""));
	}
	return 0;
}

static int learn_dataset(struct facts *facts, const char *name, yyjson_val *detail, struct sl_error *err)
{
	char key[KEY_MAX];
	snprintf(key, sizeof key, "c %.256s", name);
	struct fact *counter = fact_of(facts, key, err);
	if (!counter)
		return SL_E_NO_MEMORY;
	counter->has_row = true; /* it stands for no row */
	snprintf(key, sizeof key, "%c %.256s %" PRId64, DATASET, name, counter->count++);
	struct fact *fact = fact_of(facts, key, err);
	if (!fact)
		return SL_E_NO_MEMORY;
	COPY(fact->hash, sl_json_str(detail, "version", ""));
	COPY(fact->run, sl_json_str(detail, "run", ""));
	return 0;
}

static int learn_move(struct facts *facts, const char *model, int64_t version, yyjson_val *detail, struct sl_error *err)
{
	char key[KEY_MAX];
	const char *alias = sl_json_str(detail, "alias", "");
	snprintf(key, sizeof key, "%c %.200s %.200s", ALIAS, model, alias);
	struct fact *now = fact_of(facts, key, err);
	if (!now)
		return SL_E_NO_MEMORY;
	now->version = version;
	now->has_row = version == 0;
	snprintf(key, sizeof key, "%c %.200s %.200s %" PRId64, MOVE, model, alias, now->count++);
	struct fact *move = fact_of(facts, key, err);
	if (!move)
		return SL_E_NO_MEMORY;
	move->version = version;
	return 0;
}

static int learn_model(struct facts *facts, const char *subject, const char *action, yyjson_val *detail, struct sl_error *err)
{
	char key[KEY_MAX], model[256];
	int64_t version;
	const char *at = strrchr(subject, '@');
	if (!at || !sl_str_int(at + 1, &version))
		return 0;
	snprintf(model, sizeof model, "%.*s", (int)(at - subject), subject);
	if (sl_str_eq(action, "model.alias") || sl_str_eq(action, "model.rollback"))
		return learn_move(facts, model, version, detail, err);
	snprintf(key, sizeof key, "%c %.200s %" PRId64, MODEL, model, version);
	struct fact *fact = fact_of(facts, key, err);
	if (!fact)
		return SL_E_NO_MEMORY;
	COPY(fact->metrics, sl_json_str(detail, "metrics", ""));
	if (sl_str_eq(action, "model.create")) {
		COPY(fact->hash, sl_json_str(detail, "package", ""));
		COPY(fact->run, sl_json_str(detail, "run", ""));
		COPY(fact->status, "candidate");
	} else {
		COPY(fact->status, sl_json_str(detail, "status", ""));
		COPY(fact->gate, sl_json_str(detail, "gate", ""));
	}
	return 0;
}

static int learn_seal(struct facts *facts, const char *stream, yyjson_val *detail, struct sl_error *err)
{
	char key[KEY_MAX];
	snprintf(key, sizeof key, "s %.256s %" PRId64, stream, sl_json_int(detail, "base_offset", -1));
	struct fact *fact = fact_of(facts, key, err);
	if (!fact)
		return SL_E_NO_MEMORY;
	fact->has_row = true; /* retention may have removed it since */
	COPY(fact->hash, sl_json_str(detail, "sha256", ""));
	return 0;
}

static int learn_entry(struct facts *facts, int64_t seq, const char *text, size_t len, struct sl_error *err)
{
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(text, len, "entry", NULL);
	yyjson_val *entry = doc ? yyjson_doc_get_root(doc) : NULL, *detail = yyjson_obj_get(entry, "detail");
	const char *action = sl_json_str(entry, "action", ""), *subject = sl_json_str(entry, "subject", "");
	if (!entry || sl_json_int(entry, "seq", -1) != seq)
		return sl_verify_problem(facts->verify, "ledger_entry row %" PRId64 ": is not an entry of that number", seq);
	if (sl_str_starts(action, "run.") && sl_str_starts(subject, "run:"))
		return learn_run(facts, subject + 4, action, detail, err);
	if (sl_str_eq(action, "dataset.commit") && sl_str_starts(subject, "dataset:"))
		return learn_dataset(facts, subject + 8, detail, err);
	if (sl_str_starts(action, "model.") && sl_str_starts(subject, "model:"))
		return learn_model(facts, subject + 6, action, detail, err);
	if (sl_str_eq(action, "stream.seal") && sl_str_starts(subject, "stream:"))
		return learn_seal(facts, subject + 7, detail, err);
	return 0;
}

static int learn(struct facts *facts, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(facts->verify->store->meta, &stmt, err, "SELECT seq, entry FROM ledger_entry ORDER BY seq", NULL);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		size_t len;
		const char *text = sl_stmt_blob(stmt, 1, &len);
		rc = learn_entry(facts, sl_stmt_int(stmt, 0), text, len, err);
	}
	return rc;
}

/* ---- against rows --------------------------------------------------------------------------------------------------- */

static int check_record(struct facts *facts, const char *id, const char *record, const struct fact *fact, struct sl_error *err)
{
	struct sl_id run;
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(64 << 20);
	struct sl_error why = {0};
	struct sl_hash hash;
	char hex[SL_HASH_HEX + 1];
	if (!sl_str_eq(record, fact->hash))
		return sl_verify_problem(facts->verify, "run %s: its record is %.12s, the ledger says %.12s", id, record,
					 fact->hash);
	if (!sl_id_parse(id, &run))
		return sl_verify_problem(facts->verify, "run '%.40s': is not an id", id);
	int rc = sl_run_record(&facts->verify->store->track, &run, &text, &why);
	if (rc) {
		if (err)
			*err = why;
		return sl_verify_absorb(facts->verify, rc, &why);
	}
	sl_sha256(sl_buf_cstr(&text), text.len, &hash);
	if (!sl_str_eq(sl_hash_hex(&hash, hex), record))
		return sl_verify_problem(
			facts->verify, "run %s: its rows (parameters, metrics, inputs, outputs ...) are not those of its record",
			id);
	return 0;
}

static int check_run(struct facts *facts, struct sl_stmt *row, struct sl_error *err)
{
	char key[KEY_MAX], id[40];
	COPY(id, sl_stmt_text(row, 0));
	snprintf(key, sizeof key, "%c %.64s", RUN, id);
	struct fact *fact = get(facts, key);
	facts->verify->report->runs++;
	if (!fact)
		return sl_verify_problem(facts->verify, "run %s: no ledger entry covers it", id);
	fact->has_row = true;
	bool ended = !sl_stmt_null(row, 2);
	if (ended != fact->ended)
		return sl_verify_problem(facts->verify, "run %s: %s, but the ledger %s", id,
					 ended ? "has ended" : "has not ended",
					 ended ? "has no entry of that" : "says that it has");
	if (!ended)
		return 0;
	if (!sl_str_eq(sl_stmt_text(row, 1), fact->status))
		return sl_verify_problem(facts->verify, "run %s: its status is '%s', the ledger says '%s'", id,
					 sl_stmt_text(row, 1), fact->status);
	return check_record(facts, id, sl_stmt_text(row, 3), fact, err);
}

static int check_dataset(struct facts *facts, struct sl_stmt *row, struct sl_error *err)
{
	char key[KEY_MAX];
	const char *name = sl_stmt_text(row, 0);
	/* The rows come in order, so the place among the dataset's own is the commit's number. */
	snprintf(key, sizeof key, "n %.256s", name);
	struct fact *counter = fact_of(facts, key, err);
	if (!counter)
		return SL_E_NO_MEMORY;
	counter->has_row = true;
	snprintf(key, sizeof key, "%c %.256s %" PRId64, DATASET, name, counter->count++);
	struct fact *fact = get(facts, key);
	facts->verify->report->dataset_versions++;
	if (!fact)
		return sl_verify_problem(facts->verify, "dataset %s, version %.12s: no ledger entry covers it", name,
					 sl_stmt_text(row, 1));
	fact->has_row = true;
	if (!sl_str_eq(sl_stmt_text(row, 1), fact->hash) || !sl_str_eq(sl_stmt_text(row, 2), fact->run))
		return sl_verify_problem(facts->verify,
					 "dataset %s, commit %" PRId64
					 ": the row says version %.12s by run %s, the ledger %.12s by run %s",
					 name, counter->count, sl_stmt_text(row, 1), sl_stmt_text(row, 2), fact->hash, fact->run);
	return 0;
}

static bool hash_differs(const char *text, const char *hex)
{
	struct sl_hash hash;
	char own[SL_HASH_HEX + 1];
	sl_sha256(text, strlen(text), &hash);
	return hex[0] && !sl_str_eq(sl_hash_hex(&hash, own), hex);
}

static int check_model(struct facts *facts, struct sl_stmt *row, struct sl_error *err)
{
	(void)err;
	char key[KEY_MAX];
	const char *name = sl_stmt_text(row, 0), *wrong = NULL;
	int64_t version = sl_stmt_int(row, 1);
	snprintf(key, sizeof key, "%c %.200s %" PRId64, MODEL, name, version);
	struct fact *fact = get(facts, key);
	facts->verify->report->model_versions++;
	if (!fact)
		return sl_verify_problem(facts->verify, "model %s, version %" PRId64 ": no ledger entry covers it", name,
					 version);
	fact->has_row = true;
	if (!sl_str_eq(sl_stmt_text(row, 2), fact->hash))
		wrong = "package";
	else if (!sl_str_eq(sl_stmt_text(row, 3), fact->run))
		wrong = "run";
	else if (!sl_str_eq(sl_stmt_text(row, 4), fact->status))
		wrong = "status";
	else if (hash_differs(sl_stmt_text(row, 5), fact->gate))
		wrong = "gate's verdict";
	else if (hash_differs(sl_stmt_text(row, 6), fact->metrics))
		wrong = "metrics";
	return wrong ? sl_verify_problem(facts->verify, "model %s, version %" PRId64 ": its %s is not what the ledger says", name,
					 version, wrong)
		     : 0;
}

static int check_alias(struct facts *facts, struct sl_stmt *row, struct sl_error *err)
{
	(void)err;
	char key[KEY_MAX];
	const char *model = sl_stmt_text(row, 0), *alias = sl_stmt_text(row, 1);
	snprintf(key, sizeof key, "%c %.200s %.200s", ALIAS, model, alias);
	struct fact *fact = get(facts, key);
	facts->verify->report->aliases++;
	if (!fact || fact->version == 0)
		return sl_verify_problem(facts->verify, "alias %s@%s: no ledger entry covers it", model, alias);
	fact->has_row = true;
	if (fact->version != sl_stmt_int(row, 2))
		return sl_verify_problem(facts->verify, "alias %s@%s: points to version %" PRId64 ", the ledger says %" PRId64,
					 model, alias, sl_stmt_int(row, 2), fact->version);
	return 0;
}

static int check_move(struct facts *facts, struct sl_stmt *row, struct sl_error *err)
{
	char key[KEY_MAX];
	const char *model = sl_stmt_text(row, 0), *alias = sl_stmt_text(row, 1);
	snprintf(key, sizeof key, "w %.200s %.200s", model, alias);
	struct fact *counter = fact_of(facts, key, err);
	if (!counter)
		return SL_E_NO_MEMORY;
	counter->has_row = true;
	snprintf(key, sizeof key, "%c %.200s %.200s %" PRId64, MOVE, model, alias, counter->count++);
	struct fact *fact = get(facts, key);
	if (!fact || fact->version != sl_stmt_int(row, 2))
		return sl_verify_problem(facts->verify, "alias %s@%s, move %" PRId64 ": the row is not what the ledger says",
					 model, alias, counter->count);
	fact->has_row = true;
	return 0;
}

typedef int check_row(struct facts *facts, struct sl_stmt *row, struct sl_error *err);

static int check_rows(struct facts *facts, const char *sql, check_row *check, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(facts->verify->store->meta, &stmt, err, sql, NULL);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1)
		rc = check(facts, stmt, err);
	return rc;
}

/* ---- against the seals of streams ----------------------------------------------------------------------------------- */

struct stream_walk {
	struct facts *facts;
	char path[SL_PATH_MAX];
	const char *name;
};

/* That the segment is what its seal says is for sl_stream_check; here, that the seal is what the ledger says. */
static int check_seal(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct stream_walk *walk = context;
	char path[SL_PATH_MAX], key[KEY_MAX];
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(65536);
	if (!info->is_regular || !sl_str_ends(name, ".sealed"))
		return 0;
	int rc = sl_path_join(path, walk->path, name, err);
	if (!rc)
		rc = sl_file_read(path, &text, err);
	if (rc)
		return rc == SL_E_NOT_FOUND ? 0 : rc; /* retired since */
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(sl_buf_cstr(&text), text.len, path, NULL);
	yyjson_val *seal = doc ? yyjson_doc_get_root(doc) : NULL;
	snprintf(key, sizeof key, "s %.256s %" PRId64, walk->name, sl_json_int(seal, "base_offset", -1));
	const struct fact *fact = get(walk->facts, key);
	if (!fact)
		return sl_verify_problem(walk->facts->verify, "%s: no ledger entry covers it", path);
	if (!sl_str_eq(fact->hash, sl_json_str(seal, "sha256", "")))
		return sl_verify_problem(walk->facts->verify, "%s: its digest is not what the ledger says", path);
	return 0;
}

static int check_stream_seals(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct stream_walk walk = {.facts = context, .name = name};
	int rc = info->is_dir ? sl_path_join(walk.path, walk.facts->verify->store->streams_dir, name, err) : 1;
	return rc ? (rc > 0 ? 0 : rc) : sl_dir_each(walk.path, check_seal, &walk, err);
}

static int check_seals(struct facts *facts, struct sl_error *err)
{
	const char *dir = facts->verify->store->streams_dir;
	return sl_dir_exists(dir) ? sl_dir_each(dir, check_stream_seals, facts, err) : 0;
}

static int check_leftovers(struct facts *facts)
{
	static const struct {
		char letter;
		const char *what;
	} WHAT[] = {{RUN, "run"},
		    {DATASET, "commit of dataset"},
		    {MODEL, "version of model"},
		    {ALIAS, "alias"},
		    {MOVE, "move of alias"}};
	for (size_t i = 0; i < sl_map_count(facts->map); i++) {
		const struct fact *fact = sl_map_value(facts->map, i);
		const char *key = sl_map_key(facts->map, i), *what = "row";
		for (size_t k = 0; k < SL_ARRAY_LEN(WHAT); k++)
			if (WHAT[k].letter == key[0])
				what = WHAT[k].what;
		if (!fact->has_row)
			sl_verify_problem(facts->verify, "%s %s: the ledger has it, its row is missing", what, key + 2);
	}
	return 0;
}

/* One part after the other; damage in one does not keep the next from being looked at. */
static int check_all(struct facts *facts, struct sl_error *err)
{
	static const struct {
		const char *sql;
		check_row *check;
	} PARTS[] = {
		{"SELECT id, status, ended_ms, record FROM run ORDER BY id", check_run},
		{"SELECT dataset, hash, run FROM dataset_version ORDER BY seq", check_dataset},
		{"SELECT model, version, hash, run, status, gate, metrics FROM model_version ORDER BY model, version",
		 check_model},
		{"SELECT model, alias, version FROM model_alias ORDER BY model, alias", check_alias},
		{"SELECT model, alias, version FROM alias_move ORDER BY seq", check_move},
	};
	struct sl_error why = {0};
	bool whole = true;
	int rc = learn(facts, &why);
	for (size_t i = 0; i < SL_ARRAY_LEN(PARTS) && !rc; i++) {
		sl_verify_progress(facts->verify, "facts", (double)i / SL_ARRAY_LEN(PARTS));
		int part = check_rows(facts, PARTS[i].sql, PARTS[i].check, &why);
		whole = whole && !part;
		rc = sl_verify_absorb(facts->verify, part, &why);
	}
	if (!rc)
		rc = check_seals(facts, &why);
	if (rc) {
		rc = sl_verify_absorb(facts->verify, rc, &why);
		if (rc && err)
			*err = why;
		return rc;
	}
	return whole ? check_leftovers(facts) : 0;
}

int sl_verify_facts(struct sl_verify *verify, struct sl_error *err)
{
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new((size_t)8 << 30, err);
	struct sl_map *map SL_CLEANUP(sl_map_freep) = arena ? sl_map_new(err) : NULL;
	struct facts facts = {.verify = verify, .map = map, .arena = arena};
	if (!map)
		return SL_E_NO_MEMORY;
	int rc = sl_meta_begin_read(verify->store->meta, err);
	if (rc)
		return rc;
	rc = check_all(&facts, err);
	sl_meta_end_read(verify->store->meta);
	return rc;
}
