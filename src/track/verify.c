#include "track/verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "port/stream.h"
#include "track/verify_facts.h"

enum { MANIFEST_MAX = 256 << 20 };

int sl_verify_problem(struct sl_verify *verify, const char *format, ...)
{
	char text[sizeof verify->first];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (verify->report->problems++ == 0)
		memcpy(verify->first, text, sizeof text);
	if (verify->listener && verify->listener->problem)
		verify->listener->problem(verify->listener->context, text);
	return 0;
}

void sl_verify_progress(struct sl_verify *verify, const char *part, double fraction)
{
	if (verify->listener && verify->listener->progress)
		verify->listener->progress(verify->listener->context, part, fraction);
}

int sl_verify_absorb(struct sl_verify *verify, int rc, const struct sl_error *why)
{
	if (rc != SL_E_CORRUPT && rc != SL_E_NOT_FOUND)
		return rc;
	return sl_verify_problem(verify, "%s%s%s", why->where, why->where[0] ? ": " : "", why->message);
}

/* ---- ledger and database -------------------------------------------------------------------------------------------- */

static int check_ledger(struct sl_verify *verify, struct sl_error *err)
{
	struct sl_ledger_report report;
	int rc = sl_ledger_verify(verify->store->ledger, &report, err);
	verify->report->ledger_entries = report.entries;
	verify->report->ledger_tiles = report.tiles;
	if (rc == SL_E_CORRUPT && report.bad[0])
		return sl_verify_problem(verify, "%s", report.bad);
	return rc;
}

/* Entry 0 names the key; another key.pub means another ledger. */
static int check_key(struct sl_verify *verify, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	struct sl_buf key SL_AUTO_BUF = SL_BUF_INIT(512);
	int rc = sl_ledger_check_key(verify->store->ledger, err);
	if (rc < 0)
		return rc;
	rc = sl_meta_query(verify->store->meta, &stmt, err, "SELECT entry FROM ledger_entry WHERE seq = 0", NULL);
	if (!rc)
		rc = sl_stmt_step(stmt, err);
	if (rc != 1)
		return rc ? rc : sl_verify_problem(verify, "ledger_entry row 0: is missing");
	size_t len;
	const char *text = sl_stmt_blob(stmt, 0, &len);
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(text, len, "entry", NULL);
	yyjson_val *detail = doc ? yyjson_obj_get(yyjson_doc_get_root(doc), "detail") : NULL;
	sl_ledger_public_key(verify->store->ledger, &key);
	if (!sl_str_eq(sl_json_str(detail, "key", ""), sl_buf_cstr(&key)))
		return sl_verify_problem(verify, "ledger/key.pub: is not the key that the ledger's first entry names");
	return 0;
}

static int check_database(struct sl_verify *verify, struct sl_error *err) { return sl_meta_check(verify->store->meta, err); }

/* ---- manifests ------------------------------------------------------------------------------------------------------ */

static int check_reference(struct sl_verify *verify, const char *owner, const char *hex, struct sl_error *err)
{
	struct sl_hash hash;
	(void)err;
	if (!sl_hash_parse(hex, &hash))
		return sl_verify_problem(verify, "%s: refers to '%.70s', which is no hash", owner, hex);
	return sl_objects_has(verify->store->objects, &hash) ? 0
							     : sl_verify_problem(verify, "%s: object %s is missing", owner, hex);
}

/* docs/formats/manifest.md: "files":[{"object":...}...]; docs/formats/model.md: "model":{"hash"}, "reference". */
static int check_references(struct sl_verify *verify, const char *owner, yyjson_val *root, struct sl_error *err)
{
	const char *format = sl_json_str(root, "format", "");
	if (sl_str_starts(format, "sluice.model/")) {
		int rc = check_reference(verify, owner, sl_json_str(yyjson_obj_get(root, "model"), "hash", ""), err);
		return rc ? rc : check_reference(verify, owner, sl_json_str(root, "reference", ""), err);
	}
	if (!sl_str_starts(format, "sluice.table/"))
		return sl_verify_problem(verify, "%s: its format '%.40s' is unknown", owner, format);
	yyjson_arr_iter it = yyjson_arr_iter_with(yyjson_obj_get(root, "files"));
	int rc = 0;
	for (yyjson_val *file; !rc && (file = yyjson_arr_iter_next(&it));)
		rc = check_reference(verify, owner, sl_json_str(file, "object", ""), err);
	return rc;
}

static int check_manifest(struct sl_verify *verify, const char *owner, const char *hex, struct sl_error *err);

/* docs/formats/tree.md: every line but the first begins with a hash: a leaf's in the root, a file's in a leaf. */
static int check_tree(struct sl_verify *verify, const char *owner, const struct sl_buf *text, struct sl_error *err)
{
	bool root = sl_str_starts(text->data, "sluice.tree/2 root ");
	char hex[SL_HASH_HEX + 1];
	int rc = 0;
	for (const char *line = strchr(text->data, '\n'); !rc && line && line[1]; line = strchr(line + 1, '\n')) {
		snprintf(hex, sizeof hex, "%.64s", line + 1);
		rc = root ? check_manifest(verify, owner, hex, err) : check_reference(verify, owner, hex, err);
	}
	return rc;
}

static int check_manifest(struct sl_verify *verify, const char *owner, const char *hex, struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(MANIFEST_MAX);
	struct sl_error why = {0};
	struct sl_hash hash;
	verify->report->manifests++;
	if (!sl_hash_parse(hex, &hash))
		return sl_verify_problem(verify, "%s: '%.70s' is no hash", owner, hex);
	int rc = sl_objects_get(verify->store->objects, &hash, &text, &why);
	if (rc == SL_E_CORRUPT || rc == SL_E_NOT_FOUND)
		return sl_verify_problem(verify, "%s: manifest %s %s", owner, hex,
					 rc == SL_E_CORRUPT ? "was changed" : "is missing");
	if (rc) {
		if (err)
			*err = why;
		return rc;
	}
	if (sl_str_starts(sl_buf_cstr(&text), "sluice.tree/2 "))
		return check_tree(verify, owner, &text, err);
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(sl_buf_cstr(&text), text.len, owner, &why);
	if (!doc)
		return sl_verify_problem(verify, "%s: manifest %s is unreadable: %s", owner, hex, why.message);
	return check_references(verify, owner, yyjson_doc_get_root(doc), err);
}

static int check_owned(struct sl_verify *verify, const char *sql, bool manifest, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	char owner[512];
	int rc = sl_meta_query(verify->store->meta, &stmt, err, sql, NULL);
	while (!rc && (rc = sl_stmt_step(stmt, err)) == 1) {
		snprintf(owner, sizeof owner, "%s", sl_stmt_text(stmt, 0));
		rc = manifest ? check_manifest(verify, owner, sl_stmt_text(stmt, 1), err)
			      : check_reference(verify, owner, sl_stmt_text(stmt, 1), err);
	}
	return rc;
}

static int check_manifests(struct sl_verify *verify, struct sl_error *err)
{
	int rc = check_owned(verify, "SELECT 'dataset ' || min(dataset), hash FROM dataset_version WHERE seq NOT IN (SELECT seq FROM dataset_expired) GROUP BY hash",
			     true, err);
	if (!rc)
		rc = check_owned(
			verify,
			"SELECT 'model ' || model || ', version ' || version, hash FROM model_version ORDER BY model, version",
			true, err);
	if (!rc)
		rc = check_owned(verify, "SELECT 'artifact ' || path || ' of run ' || run, hash FROM run_artifact ORDER BY run, path", false, err);
	return rc ? rc
		  : check_owned(verify,
				"SELECT 'artifact ' || folder || '/' || name, hash FROM artifact WHERE hash IS NOT NULL ORDER BY folder, name",
				false, err);
}

/* ---- objects and streams -------------------------------------------------------------------------------------------- */

static int check_object(void *context, const struct sl_hash *hash, uint64_t size_bytes, struct sl_error *err)
{
	struct sl_verify *verify = context;
	struct sl_error why = {0};
	int rc = sl_objects_check(verify->store->objects, hash, &why);
	verify->report->objects++;
	verify->report->object_bytes += (int64_t)size_bytes;
	/* The folders run from 00 to ff and hashes are spread evenly, so the first byte tells how far this is. */
	sl_verify_progress(verify, "objects", hash->bytes[0] / 256.0);
	if (rc == SL_E_NOT_FOUND) /* removed since it was listed */
		return 0;
	rc = sl_verify_absorb(verify, rc, &why);
	if (rc && err)
		*err = why;
	return rc;
}

static int check_objects(struct sl_verify *verify, struct sl_error *err)
{
	return sl_objects_each(verify->store->objects, check_object, verify, err);
}

static int check_stream(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct sl_verify *verify = context;
	struct sl_error why = {0};
	if (!info->is_dir)
		return 0;
	sl_verify_progress(verify, "streams", -1);
	verify->report->streams++;
	int rc = sl_verify_absorb(verify, sl_stream_check(verify->store->streams_dir, name, &why), &why);
	if (rc && err)
		*err = why;
	return rc;
}

static int check_streams(struct sl_verify *verify, struct sl_error *err)
{
	return sl_dir_exists(verify->store->streams_dir) ? sl_dir_each(verify->store->streams_dir, check_stream, verify, err) : 0;
}

/* ---- the whole ------------------------------------------------------------------------------------------------------ */

int sl_store_verify(struct sl_store *store, const struct sl_verify_listener *listener, struct sl_verify_report *ret,
		    struct sl_error *err)
{
	static const struct { const char *name; int (*check)(struct sl_verify *verify, struct sl_error *err); } PARTS[] = {
		{"ledger", check_ledger}, {"key", check_key}, {"database", check_database}, {"facts", sl_verify_facts},
		{"manifests", check_manifests}, {"objects", check_objects}, {"streams", check_streams},
	};
	struct sl_verify verify = {.store = store, .listener = listener, .report = ret};
	*ret = (struct sl_verify_report){0};
	/* Rows that a crash left unpublished are no damage: publish them first. */
	struct sl_error why = {0};
	int rc = sl_verify_absorb(&verify, sl_ledger_publish(store->ledger, &why), &why);
	for (size_t i = 0; i < SL_ARRAY_LEN(PARTS) && !rc; i++) {
		sl_verify_progress(&verify, PARTS[i].name, 0);
		rc = sl_verify_absorb(&verify, PARTS[i].check(&verify, &why), &why);
		sl_verify_progress(&verify, PARTS[i].name, 1);
	}
	if (rc) {
		if (err)
			*err = why;
		return rc;
	}
	if (ret->problems == 0)
		return 0;
	sl_fail(err, SL_E_CORRUPT, "%s", verify.first);
	return sl_error_hint(err, "%lld %s in all; put back what is damaged from a backup", (long long)ret->problems,
			     ret->problems == 1 ? "problem" : "problems");
}
