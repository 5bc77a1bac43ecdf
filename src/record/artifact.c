#include "record/artifact.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "os/clock.h"

/* ---- paths ---------------------------------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, tolower((unsigned char)c)) : NULL;
	return at ? (int)(at - digits) : -1;
}

/* Decodes %xx in place; true when there was one. */
static bool decode(char *path)
{
	char *to = path;
	bool any = false;
	for (const char *from = path; *from; from++) {
		int high = *from == '%' ? hex_digit(from[1]) : -1, low = high >= 0 ? hex_digit(from[2]) : -1;
		if (low >= 0) {
			*to = (char)(high << 4 | low);
			if (!*to) /* what stands behind a NUL would not be looked at */
				*to = '\\';
			to++;
			from += 2;
			any = true;
		} else {
			*to++ = *from;
		}
	}
	*to = 0;
	return any;
}

/* No empty, "." or ".." part, nothing that another system reads as a separator or a drive. */
static bool is_plain(const char *path)
{
	size_t depth = 0;
	if (!*path)
		return true;
	if (strpbrk(path, "\\#") || (isalpha((unsigned char)path[0]) && path[1] == ':'))
		return false;
	for (const char *part = path;; part++) {
		size_t len = strcspn(part, "/");
		if (len == 0 || (len == 1 && part[0] == '.') || (len == 2 && part[0] == '.' && part[1] == '.'))
			return false;
		if (++depth > SL_ARTIFACT_DEPTH_MAX)
			return false;
		part += len;
		if (!*part)
			return true;
	}
}

static bool has_control(const char *path)
{
	for (; *path; path++)
		if ((unsigned char)*path < 32 || *path == 127)
			return true;
	return false;
}

int sl_artifact_check_path(const char *path, struct sl_error *err)
{
	char seen[SL_ARTIFACT_PATH_MAX];
	if (strlen(path) >= sizeof seen)
		return sl_fail(err, SL_E_INVALID, "Invalid path: longer than %d bytes", SL_ARTIFACT_PATH_MAX - 1);
	strcpy(seen, path);
	if (has_control(path))
		return sl_fail(err, SL_E_INVALID, "Invalid path");
	do {
		if (!is_plain(seen) || strncasecmp(seen, "file:", 5) == 0)
			return sl_fail(err, SL_E_INVALID, "Invalid path");
	} while (decode(seen)); /* each round makes it shorter */
	return 0;
}

const char *sl_artifact_path_of(const char *uri)
{
	static const char SCHEME[] = "mlflow-artifacts:";
	if (strncmp(uri, SCHEME, sizeof SCHEME - 1) != 0)
		return NULL;
	uri += sizeof SCHEME - 1;
	if (strncmp(uri, "//", 2) == 0)
		uri += 2 + strcspn(uri + 2, "/");
	while (*uri == '/')
		uri++;
	return uri;
}

/* The folder of `path` into `folder`; returns the name. */
static const char *split(const char *path, char folder[SL_ARTIFACT_PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	snprintf(folder, SL_ARTIFACT_PATH_MAX, "%.*s", slash ? (int)(slash - path) : 0, path);
	return slash ? slash + 1 : path;
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

static int fill(struct sl_stmt *row, const char *name, struct sl_artifact *ret, struct sl_error *err)
{
	*ret = (struct sl_artifact){.name = name, .is_folder = sl_stmt_null(row, 1), .size_bytes = (uint64_t)sl_stmt_int(row, 2)};
	if (!ret->is_folder && !sl_hash_parse(sl_stmt_text(row, 1), &ret->hash))
		return sl_fail(err, SL_E_CORRUPT, "the artifact '%.200s' has no hash", name);
	return 0;
}

/* 1 with *ret, 0 when there is none. */
static int look_up(struct sl_record *record, const char *path, struct sl_artifact *ret, struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	char folder[SL_ARTIFACT_PATH_MAX];
	const char *name = split(path, folder);
	int rc = sl_meta_query(record->meta, &row, err, "SELECT name, hash, size_bytes FROM artifact WHERE folder = ?1 AND name = ?2", "ss",
		folder, name);
	rc = rc ? rc : sl_stmt_step(row, err);
	if (rc != 1)
		return rc;
	rc = fill(row, name, ret, err);
	return rc ? rc : 1;
}

int sl_artifact_find(struct sl_record *record, const char *path, struct sl_artifact *ret, struct sl_error *err)
{
	int rc = look_up(record, path, ret, err);
	return rc == 0 ? sl_fail(err, SL_E_NOT_FOUND, "No such artifact: '%.900s'", path) : rc < 0 ? rc : 0;
}

int sl_artifact_each(struct sl_record *record, const char *folder, const char *after, int64_t limit, sl_artifact_fn *each,
	void *context, struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(record->meta, &row, err,
		"SELECT name, hash, size_bytes FROM artifact WHERE folder = ?1 AND name > ?2 ORDER BY name LIMIT ?3", "ssi", folder, after,
		limit);
	while (!rc && (rc = sl_stmt_step(row, err)) == 1) {
		struct sl_artifact artifact;
		rc = fill(row, sl_stmt_text(row, 0), &artifact, err);
		if (!rc)
			rc = each(context, &artifact);
	}
	return rc;
}

/* ---- changing ------------------------------------------------------------------------------------------------------- */

static int entry(struct sl_record *record, const char *action, const char *path, const char *hash, uint64_t size_bytes,
	struct sl_error *err)
{
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *detail = doc ? yyjson_mut_obj(doc) : NULL;
	bool fine = detail && yyjson_mut_obj_add_str(doc, detail, "path", path);
	if (fine && hash)
		fine = yyjson_mut_obj_add_str(doc, detail, "content", hash) && yyjson_mut_obj_add_uint(doc, detail, "size_bytes", size_bytes);
	return fine ? sl_ledger_append(record->ledger, action, "artifact:", detail, NULL, err) : sl_fail_memory(err);
}

/* The folders above `path`, from the top. */
static int make_folders(struct sl_record *record, const char *path, struct sl_error *err)
{
	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		char whole[SL_ARTIFACT_PATH_MAX], folder[SL_ARTIFACT_PATH_MAX];
		struct sl_artifact there;
		snprintf(whole, sizeof whole, "%.*s", (int)(slash - path), path);
		int rc = look_up(record, whole, &there, err);
		if (rc < 0)
			return rc;
		if (rc && !there.is_folder)
			return sl_fail(err, SL_E_INVALID, "Invalid path: '%.900s' is a file", whole);
		if (rc)
			continue;
		const char *name = split(whole, folder);
		int64_t rows = sl_meta_exec(record->meta, err,
			"INSERT INTO artifact(folder, name, hash, size_bytes, changed_ms) VALUES (?1, ?2, NULL, 0, ?3)", "ssi", folder, name,
			sl_now_ms());
		if (rows < 0)
			return (int)rows;
	}
	return 0;
}

int sl_artifact_name(struct sl_record *record, const char *path, const struct sl_hash *hash, uint64_t size_bytes, struct sl_error *err)
{
	char hex[SL_HASH_HEX + 1], folder[SL_ARTIFACT_PATH_MAX];
	struct sl_artifact there;
	assert(sl_meta_in_transaction(record->meta));
	const char *name = split(path, folder);
	int rc = look_up(record, path, &there, err);
	if (rc < 0)
		return rc;
	if (rc && there.is_folder)
		return sl_fail(err, SL_E_INVALID, "Invalid path: '%.900s' is a folder", path);
	rc = rc ? 0 : make_folders(record, path, err);
	if (rc)
		return rc;
	int64_t rows = sl_meta_exec(record->meta, err,
		"INSERT INTO artifact(folder, name, hash, size_bytes, changed_ms) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (folder, name) DO "
		"UPDATE SET hash = excluded.hash, size_bytes = excluded.size_bytes, changed_ms = excluded.changed_ms", "sssii", folder, name,
		sl_hash_hex(hash, hex), (int64_t)size_bytes, sl_now_ms());
	return rows < 0 ? (int)rows : 0;
}

int sl_artifact_put(struct sl_record *record, const char *path, const struct sl_hash *hash, uint64_t size_bytes, struct sl_error *err)
{
	char hex[SL_HASH_HEX + 1];
	int rc = sl_artifact_name(record, path, hash, size_bytes, err);
	return rc ? rc : entry(record, "artifact.put", path, sl_hash_hex(hash, hex), size_bytes, err);
}

int sl_artifact_delete(struct sl_record *record, const char *path, struct sl_error *err)
{
	char folder[SL_ARTIFACT_PATH_MAX], below[SL_ARTIFACT_PATH_MAX + 1], behind[SL_ARTIFACT_PATH_MAX + 1];
	assert(sl_meta_in_transaction(record->meta));
	const char *name = split(path, folder);
	int64_t rows = sl_meta_exec(record->meta, err, "DELETE FROM artifact WHERE folder = ?1 AND name = ?2", "ss", folder, name);
	if (rows <= 0)
		return (int)rows;
	/* "0" follows "/": all texts that begin with "<path>/" lie between. */
	snprintf(below, sizeof below, "%s/", path);
	snprintf(behind, sizeof behind, "%s0", path);
	rows = sl_meta_exec(record->meta, err, "DELETE FROM artifact WHERE folder = ?1 OR (folder >= ?2 AND folder < ?3)", "sss", path,
		below, behind);
	return rows < 0 ? (int)rows : entry(record, "artifact.delete", path, NULL, 0, err);
}
