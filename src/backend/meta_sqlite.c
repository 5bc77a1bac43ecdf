/* Meta on SQLite: WAL, synchronous FULL, pages proved by backend/meta_vfs. docs/formats/meta.md says what is on disk. */
#include "port/meta.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sqlite3.h>
#include <time.h>

#include "backend/meta_vfs.h"
#include "backend/meta_wal.h"
#include "base/embedded.h"
#include "base/map.h"
#include "base/mem.h"
#include "embedded/migrations.h"
#include "os/disk.h"
#include "os/file.h"
#include "os/sys.h"

enum {
	CACHED_MAX = 512, /* SQL texts; the program has about 200, the rest is built (IN lists) and used once */
	BUSY_WAIT_MS = 30 * 1000,
	BUSY_PAUSE_MAX_US = 5000,
	/* Frames in the write-ahead log before they are copied into the database, which is two flushes: while it is open, and when it is
	 * closed. The first process that opens the file reads the whole log (256 frames: 1 MiB; the open takes 0.45 ms then), and a
	 * command that only reads must stay under 15 ms. */
	WAL_FRAMES = 1000,
	WAL_LEFT_FRAMES = 256,
	TEXT_MAX = 64 << 20, /* bytes of one text or blob */
};

/* One prepared statement. Those of one SQL text hang together: a second is made while the first is in use. */
struct sl_stmt {
	sqlite3_stmt *handle;
	struct sl_meta *meta;
	struct sl_stmt *next;
	bool busy, cached;
};

struct sl_meta {
	sqlite3 *db;
	char path[SL_PATH_MAX];
	struct sl_map *statements; /* SQL text -> first struct sl_stmt */
	bool entered;              /* sl_wal_enter */
	int depth, read_depth;     /* of begin, of begin_read */
	bool doomed;               /* an inner level rolled back: nothing more may happen until the outermost ends */
	int wal_frames;            /* after this handle's last commit */
	int wal_frames_max;        /* beyond, a commit copies the log into the database */
	int64_t busy_since_ns;
};

/* ---- errors --------------------------------------------------------------------------------------------------------- */

static int code_of(sqlite3 *db, int rc)
{
	if (rc == SQLITE_IOERR_DATA)
		return SL_E_CORRUPT;
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED: return SL_E_BUSY;
	case SQLITE_FULL: return SL_E_NO_SPACE;
	case SQLITE_IOERR:
		return sqlite3_system_errno(db) == ENOSPC || sqlite3_system_errno(db) == EDQUOT ? SL_E_NO_SPACE : SL_E_IO;
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
	case SQLITE_READONLY: return SL_E_IO;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB: return SL_E_CORRUPT;
	case SQLITE_NOMEM: return SL_E_NO_MEMORY;
	case SQLITE_CONSTRAINT: return SL_E_CONFLICT;
	case SQLITE_TOOBIG: return SL_E_TOO_LARGE;
	case SQLITE_INTERRUPT: return SL_E_CANCELLED;
	default: return SL_E_BUG;
	}
}

/* From the handle's last failure. */
static int fail(struct sl_meta *meta, int rc, const char *doing, struct sl_error *err)
{
	rc = sqlite3_extended_errcode(meta->db) ? sqlite3_extended_errcode(meta->db) : rc;
	int code = code_of(meta->db, rc);
	if (rc == SQLITE_IOERR_DATA)
		sl_fail_at(err, code, meta->path, "%s: %s is not what was written: its checksum differs", doing, sl_vfs_fault());
	else
		sl_fail_at(err, code, meta->path, "%s: %s", doing, sqlite3_errmsg(meta->db));
	if (err)
		err->retriable = code == SL_E_BUSY || code == SL_E_NO_SPACE;
	if (code == SL_E_CORRUPT)
		return sl_error_hint(err, "put back the store from a backup; 'sluice verify' lists all that is damaged");
	if (code == SL_E_BUSY)
		return sl_error_hint(err, "another process has been writing for %d s", BUSY_WAIT_MS / 1000);
	if ((rc & 0xff) == SQLITE_READONLY)
		return sl_error_hint(err, "this folder can only be read: ls, show, log, why, diff, sql, status, verify and run -n work, what changes something does not");
	return code == SL_E_NO_SPACE ? sl_disk_hint(err, meta->path, 0) : code;
}

/* SQLite's own handler sleeps 1, 2, 5, 10 ... 100 ms; commits here take about 0.3 ms, so start far below that. */
static int wait_busy(void *context, int count)
{
	struct sl_meta *meta = context;
	int64_t now = sl_sys->monotonic_ns();
	if (count == 0)
		meta->busy_since_ns = now;
	if (now - meta->busy_since_ns > BUSY_WAIT_MS * INT64_C(1000000))
		return 0;
	long pause_us = count < 5 ? 100L << count : BUSY_PAUSE_MAX_US;
	struct timespec pause = {.tv_nsec = pause_us * 1000};
	nanosleep(&pause, NULL);
	return 1;
}

static int exec(struct sl_meta *meta, const char *sql, const char *doing, struct sl_error *err)
{
	int rc = sqlite3_exec(meta->db, sql, NULL, NULL, NULL);
	return rc == SQLITE_OK ? 0 : fail(meta, rc, doing, err);
}

static int prepare(struct sl_meta *meta, const char *sql, struct sl_stmt **ret, struct sl_error *err);

/* As exec, for what is said with every request: parsing it takes longer than doing it. */
static int exec_kept(struct sl_meta *meta, const char *sql, const char *doing, struct sl_error *err)
{
	struct sl_stmt *stmt;
	int rc = prepare(meta, sql, &stmt, err);
	if (rc)
		return rc;
	stmt->busy = true;
	int step = sqlite3_step(stmt->handle);
	rc = step == SQLITE_DONE ? 0 : fail(meta, step, doing, err);
	sl_stmt_done(stmt);
	return rc;
}

/* ---- opening and migrating ------------------------------------------------------------------------------------------ */

/* Commits whose log has grown copy it into the database. It may be only in part, when a reader still looks at the log; that is
 * fine, and the commit is durable whatever comes of it, so its errors wait for the next one. */
static int after_commit(void *context, sqlite3 *db, const char *name, int frames)
{
	struct sl_meta *meta = context;
	meta->wal_frames = frames;
	if (frames >= meta->wal_frames_max)
		sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	return SQLITE_OK;
}

static int open_database(struct sl_meta *meta, bool create, struct sl_error *err)
{
	const char *vfs = sl_vfs_name();
	if (!vfs)
		return sl_fail(err, SL_E_NO_MEMORY, "SQLite could not start");
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (create ? SQLITE_OPEN_CREATE : 0);
	int rc = sqlite3_open_v2(meta->path, &meta->db, flags, vfs);
	if (!meta->db)
		return sl_fail_memory(err);
	if (rc != SQLITE_OK && sqlite3_system_errno(meta->db))
		return sl_fail_errno(err, sqlite3_system_errno(meta->db), meta->path, "cannot open the database");
	if (rc != SQLITE_OK)
		return fail(meta, rc, "cannot open the database", err);
	sqlite3_extended_result_codes(meta->db, 1);
	sqlite3_busy_handler(meta->db, wait_busy, meta);
	sqlite3_limit(meta->db, SQLITE_LIMIT_LENGTH, TEXT_MAX);
	/* Closing neither copies nor deletes the log: a short command would pay four flushes for that instead of one. */
	sqlite3_db_config(meta->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_db_config(meta->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(meta->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	/* Else a kept statement is parsed and planned anew whenever its values change: 2/3 of creating a run. */
	sqlite3_db_config(meta->db, SQLITE_DBCONFIG_ENABLE_QPSG, 1, NULL);
	sqlite3_wal_hook(meta->db, after_commit, meta);
	/* A transaction's pages stay in memory until it commits: a frame that is written twice has no valid
	 * checksum in between. */
	return exec(meta, "PRAGMA cache_spill=0", "cannot set up", err);
}

/* The page layout can only be chosen while the file is empty. */
static int lay_out(struct sl_meta *meta, struct sl_error *err)
{
	int reserved = SL_VFS_RESERVED_BYTES;
	sqlite3_file_control(meta->db, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserved);
	int rc = exec(meta, "PRAGMA page_size=4096", "cannot set up", err);
	return rc ? rc : exec(meta, "PRAGMA journal_mode=WAL", "cannot set up", err);
}

static int read_version(struct sl_meta *meta, int64_t *ret, struct sl_error *err)
{
	return sl_meta_int(meta, 0, ret, err, "PRAGMA user_version", NULL);
}

/* One migration, unless another process was faster. */
static int migrate_one(struct sl_meta *meta, size_t index, struct sl_error *err)
{
	char set[64];
	int64_t version;
	int rc = sl_meta_begin(meta, err);
	if (rc)
		return rc;
	rc = read_version(meta, &version, err);
	if (!rc && version == (int64_t)index) {
		rc = exec(meta, (const char *)sl_embedded_migrations[index].data, sl_embedded_migrations[index].name, err);
		snprintf(set, sizeof set, "PRAGMA user_version=%zu", index + 1);
		if (!rc)
			rc = exec(meta, set, "cannot set the version", err);
	}
	return sl_meta_end(meta, rc, err);
}

static int migrate(struct sl_meta *meta, struct sl_error *err)
{
	int64_t version;
	int rc = read_version(meta, &version, err);
	if (rc)
		return rc;
	if (version > (int64_t)sl_embedded_migrations_count) {
		sl_fail_at(err, SL_E_CONFLICT, meta->path,
			   "was made by a newer sluice: its format is %lld, this program knows %zu", (long long)version,
			   sl_embedded_migrations_count);
		return sl_error_hint(err, "use the program that made it, or a newer one");
	}
	for (size_t i = (size_t)version; i < sl_embedded_migrations_count && !rc; i++)
		rc = migrate_one(meta, i, err);
	return rc;
}

/* The path of a URL that means SQLite; other schemes are refused by name. */
static int path_of_url(const char *url, char out[SL_PATH_MAX], struct sl_error *err)
{
	static const char *const KNOWN[] = {"postgres:", "postgresql:"};
	const char *path = strncmp(url, "sqlite:", 7) == 0 ? url + 7 : url;
	for (size_t i = 0; i < SL_ARRAY_LEN(KNOWN); i++)
		if (strncmp(url, KNOWN[i], strlen(KNOWN[i])) == 0)
			return sl_fail_at(err, SL_E_NO_LIBRARY, url,
					  "PostgreSQL is not built into this program; use sqlite:PATH");
	if (!*path || path[0] == ':')
		return sl_fail_at(err, SL_E_INVALID, url, "expected sqlite:PATH");
	if (snprintf(out, SL_PATH_MAX - 16, "%s", path) >= SL_PATH_MAX - 16)
		return sl_fail_at(err, SL_E_TOO_LARGE, path, "path is too long");
	return 0;
}

static int open_at_path(struct sl_meta *meta, bool create, struct sl_error *err)
{
	struct sl_file_info info;
	int rc = sl_file_info(meta->path, &info, err);
	if (rc && (rc != SL_E_NOT_FOUND || !create))
		return rc;
	bool empty = rc == SL_E_NOT_FOUND || info.size_bytes == 0;
	rc = sl_wal_enter(meta->path, err);
	meta->entered = rc == 0;
	if (!rc)
		rc = open_database(meta, create, err);
	if (!rc && empty)
		rc = lay_out(meta, err);
	return rc ? rc : migrate(meta, err);
}

int sl_meta_open(const char *url, bool create, struct sl_meta **ret, struct sl_error *err)
{
	struct sl_meta *meta = sl_alloc(sizeof *meta, err);
	if (!meta)
		return SL_E_NO_MEMORY;
	meta->wal_frames_max = WAL_FRAMES;
	int rc = path_of_url(url, meta->path, err);
	if (!rc && !(meta->statements = sl_map_new(err)))
		rc = SL_E_NO_MEMORY;
	if (!rc)
		rc = open_at_path(meta, create, err);
	if (rc) {
		sl_meta_close(meta);
		return rc;
	}
	*ret = meta;
	return 0;
}

static int open_foreign(struct sl_meta *meta, struct sl_error *err)
{
	struct sl_file_info info;
	int rc = sl_file_info(meta->path, &info, err);
	if (rc)
		return rc;
	rc = sqlite3_open_v2(meta->path, &meta->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, "unix");
	if (!meta->db)
		return sl_fail_memory(err);
	if (rc != SQLITE_OK)
		return fail(meta, rc, "cannot open the database", err);
	sqlite3_extended_result_codes(meta->db, 1);
	sqlite3_busy_handler(meta->db, wait_busy, meta);
	sqlite3_limit(meta->db, SQLITE_LIMIT_LENGTH, TEXT_MAX);
	sqlite3_db_config(meta->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(meta->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	return exec(meta, "PRAGMA schema_version", "cannot read the database", err);
}

int sl_meta_open_foreign(const char *path, struct sl_meta **ret, struct sl_error *err)
{
	struct sl_meta *meta = sl_alloc(sizeof *meta, err);
	if (!meta)
		return SL_E_NO_MEMORY;
	int rc = path_of_url(path, meta->path, err);
	if (!rc && !(meta->statements = sl_map_new(err)))
		rc = SL_E_NO_MEMORY;
	if (!rc)
		rc = open_foreign(meta, err);
	if (rc) {
		sl_meta_close(meta);
		return rc;
	}
	*ret = meta;
	return 0;
}

static void free_statements(struct sl_stmt *stmt)
{
	while (stmt) {
		struct sl_stmt *next = stmt->next;
		sqlite3_finalize(stmt->handle);
		sl_free(stmt);
		stmt = next;
	}
}

void sl_meta_close(struct sl_meta *meta)
{
	if (!meta)
		return;
	for (size_t i = 0; meta->statements && i < sl_map_count(meta->statements); i++)
		free_statements(sl_map_value(meta->statements, i));
	sl_map_free(meta->statements);
	if (meta->db && !sqlite3_get_autocommit(meta->db))
		sqlite3_exec(meta->db, "ROLLBACK", NULL, NULL, NULL);
	/* A large log costs the next process that opens the file: cut it, unless somebody is using it. */
	if (meta->db && meta->wal_frames >= WAL_LEFT_FRAMES) {
		sqlite3_busy_handler(meta->db, NULL, NULL);
		sqlite3_wal_checkpoint_v2(meta->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	}
	int rc = sqlite3_close(meta->db);
	assert(rc == SQLITE_OK); /* else somebody kept a statement */
	if (meta->entered)
		sl_wal_leave();
	sl_free(meta);
}

/* ---- transactions --------------------------------------------------------------------------------------------------- */

bool sl_meta_in_transaction(const struct sl_meta *meta) { return meta->depth > 0; }

static void undo(struct sl_meta *meta)
{
	/* Some failures (disk full, I/O) have rolled back by themselves. */
	if (!sqlite3_get_autocommit(meta->db))
		sqlite3_exec(meta->db, "ROLLBACK", NULL, NULL, NULL);
}

/* After a write inside a read transaction. Should it fail, the reads that follow are single ones, as without it. */
static void read_on(struct sl_meta *meta)
{
	if (meta->depth == 0 && meta->read_depth > 0)
		sqlite3_exec(meta->db, "BEGIN", NULL, NULL, NULL);
}

int sl_meta_begin(struct sl_meta *meta, struct sl_error *err)
{
	if (meta->depth == 0) {
		undo(meta); /* of a reader, whose state may be old: writing on top of it would fail half-way */
		int rc = exec_kept(meta, "BEGIN IMMEDIATE", "cannot begin to write", err);
		if (rc) {
			read_on(meta);
			return rc;
		}
		meta->doomed = false;
	}
	meta->depth++;
	return 0;
}

/* Whether the transaction still stands; when not, a statement would run outside of any. */
static int check_standing(struct sl_meta *meta, struct sl_error *err)
{
	if (meta->depth > 0 && (meta->doomed || sqlite3_get_autocommit(meta->db)))
		return sl_fail_at(err, SL_E_CONFLICT, meta->path, "the transaction was rolled back by an earlier failure");
	return 0;
}

int sl_meta_commit(struct sl_meta *meta, struct sl_error *err)
{
	assert(meta->depth > 0);
	int rc = check_standing(meta, err);
	if (!rc && meta->depth == 1)
		rc = exec_kept(meta, "COMMIT", "cannot commit", err);
	if (rc) {
		undo(meta);
		meta->doomed = meta->depth > 1;
	}
	meta->depth--;
	read_on(meta);
	return rc;
}

void sl_meta_rollback(struct sl_meta *meta)
{
	if (meta->depth == 0)
		return;
	undo(meta);
	meta->doomed = --meta->depth > 0;
	read_on(meta);
}

int sl_meta_end(struct sl_meta *meta, int rc, struct sl_error *err)
{
	if (!rc)
		return sl_meta_commit(meta, err);
	sl_meta_rollback(meta);
	return rc;
}

int sl_meta_save(struct sl_meta *meta, struct sl_error *err)
{
	assert(meta->depth == 1);
	return (int)sl_meta_exec(meta, err, "SAVEPOINT part", NULL);
}

int sl_meta_keep(struct sl_meta *meta, struct sl_error *err) { return (int)sl_meta_exec(meta, err, "RELEASE part", NULL); }

int sl_meta_undo(struct sl_meta *meta, struct sl_error *err)
{
	int rc = (int)sl_meta_exec(meta, err, "ROLLBACK TO part", NULL);
	return rc ? rc : sl_meta_keep(meta, err);
}

int sl_meta_tune(struct sl_meta *meta, int cache_kib, int log_frames, struct sl_error *err)
{
	char sql[64];
	snprintf(sql, sizeof sql, "PRAGMA cache_size=-%d", cache_kib);
	meta->wal_frames_max = log_frames;
	return exec(meta, sql, "cannot set up", err);
}

int sl_meta_begin_read(struct sl_meta *meta, struct sl_error *err)
{
	if (meta->depth == 0 && meta->read_depth == 0) {
		int rc = exec_kept(meta, "BEGIN", "cannot begin to read", err);
		if (rc)
			return rc;
	}
	meta->read_depth += meta->depth == 0;
	return 0;
}

void sl_meta_end_read(struct sl_meta *meta)
{
	if (meta->depth == 0 && meta->read_depth > 0 && --meta->read_depth == 0)
		undo(meta);
}

/* ---- statements ----------------------------------------------------------------------------------------------------- */

static int prepare_new(struct sl_meta *meta, const char *sql, struct sl_stmt **ret, struct sl_error *err)
{
	struct sl_stmt *stmt = sl_alloc(sizeof *stmt, err);
	if (!stmt)
		return SL_E_NO_MEMORY;
	*stmt = (struct sl_stmt){.meta = meta};
	const char *rest = NULL;
	int rc = sqlite3_prepare_v3(meta->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt->handle, &rest);
	if (rc != SQLITE_OK) {
		rc = fail(meta, rc, "cannot prepare", err);
		sl_free(stmt);
		return rc;
	}
	assert(stmt->handle && !*rest); /* one statement, not none, not two */
	*ret = stmt;
	return 0;
}

static int prepare(struct sl_meta *meta, const char *sql, struct sl_stmt **ret, struct sl_error *err)
{
	struct sl_stmt *first = sl_map_get(meta->statements, sql), *stmt;
	for (stmt = first; stmt; stmt = stmt->next)
		if (!stmt->busy) {
			*ret = stmt;
			return 0;
		}
	int rc = prepare_new(meta, sql, &stmt, err);
	if (rc)
		return rc;
	stmt->next = first;
	if (first || sl_map_count(meta->statements) < CACHED_MAX)
		stmt->cached = sl_map_set(meta->statements, sql, stmt, NULL, NULL) == 0;
	if (!stmt->cached)
		stmt->next = NULL;
	*ret = stmt;
	return 0;
}

static int bind_one(sqlite3_stmt *handle, int at, char type, va_list *args)
{
	switch (type) {
	case 's': {
		const char *text = va_arg(*args, const char *);
		return text ? sqlite3_bind_text(handle, at, text, -1, SQLITE_STATIC) : sqlite3_bind_null(handle, at);
	}
	case 'i': return sqlite3_bind_int64(handle, at, va_arg(*args, int64_t));
	case 'd': return sqlite3_bind_double(handle, at, va_arg(*args, double));
	case 'b': {
		const void *data = va_arg(*args, const void *);
		size_t len = va_arg(*args, size_t);
		return sqlite3_bind_blob64(handle, at, len ? data : "", len, SQLITE_STATIC);
	}
	case 'n': return sqlite3_bind_null(handle, at);
	default: assert(!"type is s, i, d, b or n"); return SQLITE_MISUSE;
	}
}

int sl_meta_query_list(struct sl_meta *meta, struct sl_stmt **ret, struct sl_error *err, const char *sql, const char *types,
		       va_list *args)
{
	struct sl_stmt *stmt = NULL;
	int rc = check_standing(meta, err);
	if (!rc)
		rc = prepare(meta, sql, &stmt, err);
	if (rc)
		return rc;
	stmt->busy = true;
	types = types ? types : "";
	assert(sqlite3_bind_parameter_count(stmt->handle) == (int)strlen(types));
	for (int i = 0; types[i] && rc == SQLITE_OK; i++)
		rc = bind_one(stmt->handle, i + 1, types[i], args);
	if (rc != SQLITE_OK) {
		rc = fail(meta, rc, "cannot bind", err);
		sl_stmt_done(stmt);
		return rc;
	}
	*ret = stmt;
	return 0;
}

int sl_meta_query(struct sl_meta *meta, struct sl_stmt **ret, struct sl_error *err, const char *sql, const char *types, ...)
{
	va_list args;
	va_start(args, types);
	int rc = sl_meta_query_list(meta, ret, err, sql, types, &args);
	va_end(args);
	return rc;
}

static int bind_value(sqlite3_stmt *handle, int at, const struct sl_meta_value *value)
{
	switch (value->type) {
	case 's': return value->s ? sqlite3_bind_text(handle, at, value->s, -1, SQLITE_STATIC) : sqlite3_bind_null(handle, at);
	case 'i': return sqlite3_bind_int64(handle, at, value->i);
	case 'd': return sqlite3_bind_double(handle, at, value->d);
	default: return sqlite3_bind_null(handle, at);
	}
}

int sl_meta_query_values(struct sl_meta *meta, struct sl_stmt **ret, struct sl_error *err, const char *sql,
	const struct sl_meta_value *values, size_t count)
{
	struct sl_stmt *stmt = NULL;
	int rc = check_standing(meta, err);
	if (!rc)
		rc = prepare_new(meta, sql, &stmt, err);
	if (rc)
		return rc;
	stmt->busy = true;
	assert(sqlite3_bind_parameter_count(stmt->handle) == (int)count);
	for (size_t i = 0; i < count && rc == SQLITE_OK; i++)
		rc = bind_value(stmt->handle, (int)i + 1, &values[i]);
	if (rc != SQLITE_OK) {
		rc = fail(meta, rc, "cannot bind", err);
		sl_stmt_done(stmt);
		return rc;
	}
	*ret = stmt;
	return 0;
}

int sl_stmt_step(struct sl_stmt *stmt, struct sl_error *err)
{
	int rc = sqlite3_step(stmt->handle);
	if (rc == SQLITE_ROW)
		return 1;
	return rc == SQLITE_DONE ? 0 : fail(stmt->meta, rc, "the database refused", err);
}

void sl_stmt_done(struct sl_stmt *stmt)
{
	if (!stmt)
		return;
	assert(stmt->busy);
	if (!stmt->cached) {
		sqlite3_finalize(stmt->handle);
		sl_free(stmt);
		return;
	}
	sqlite3_reset(stmt->handle); /* its result repeats step's */
	sqlite3_clear_bindings(stmt->handle);
	stmt->busy = false;
}

void sl_stmt_donep(struct sl_stmt **stmt)
{
	sl_stmt_done(*stmt);
	*stmt = NULL;
}

int sl_stmt_columns(const struct sl_stmt *stmt) { return sqlite3_column_count(stmt->handle); }
const char *sl_stmt_column_name(const struct sl_stmt *stmt, int column) { return sqlite3_column_name(stmt->handle, column); }
bool sl_stmt_null(const struct sl_stmt *stmt, int column) { return sqlite3_column_type(stmt->handle, column) == SQLITE_NULL; }

char sl_stmt_type(const struct sl_stmt *stmt, int column)
{
	switch (sqlite3_column_type(stmt->handle, column)) {
	case SQLITE_INTEGER: return 'i';
	case SQLITE_FLOAT: return 'd';
	case SQLITE_TEXT: return 's';
	case SQLITE_BLOB: return 'b';
	default: return 'n';
	}
}

int64_t sl_stmt_int(const struct sl_stmt *stmt, int column) { return sqlite3_column_int64(stmt->handle, column); }
double sl_stmt_double(const struct sl_stmt *stmt, int column) { return sqlite3_column_double(stmt->handle, column); }

const char *sl_stmt_text(const struct sl_stmt *stmt, int column)
{
	const unsigned char *text = sqlite3_column_text(stmt->handle, column);
	return text ? (const char *)text : "";
}

const void *sl_stmt_blob(const struct sl_stmt *stmt, int column, size_t *ret_len)
{
	const void *data = sqlite3_column_blob(stmt->handle, column);
	*ret_len = (size_t)sqlite3_column_bytes(stmt->handle, column);
	return data ? data : "";
}

int64_t sl_meta_exec(struct sl_meta *meta, struct sl_error *err, const char *sql, const char *types, ...)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	va_list args;
	va_start(args, types);
	int rc = sl_meta_query_list(meta, &stmt, err, sql, types, &args);
	va_end(args);
	if (rc)
		return rc;
	bool writes = !sqlite3_stmt_readonly(stmt->handle), own = writes && meta->depth == 0 && meta->read_depth > 0;
	rc = own ? sl_meta_begin(meta, err) : 0;
	if (rc)
		return rc;
	while ((rc = sl_stmt_step(stmt, err)) == 1)
		;
	int64_t changed = sqlite3_changes64(meta->db);
	rc = own ? sl_meta_end(meta, rc, err) : rc;
	return rc ? rc : writes ? changed : 0;
}

int sl_meta_int(struct sl_meta *meta, int64_t fallback, int64_t *ret, struct sl_error *err, const char *sql, const char *types,
		...)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	va_list args;
	va_start(args, types);
	int rc = sl_meta_query_list(meta, &stmt, err, sql, types, &args);
	va_end(args);
	if (!rc)
		rc = sl_stmt_step(stmt, err);
	if (rc < 0)
		return rc;
	*ret = rc == 1 && !sl_stmt_null(stmt, 0) ? sl_stmt_int(stmt, 0) : fallback;
	return 0;
}

/* ---- checking ------------------------------------------------------------------------------------------------------- */

static int check_structure(struct sl_meta *meta, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(meta, &stmt, err, "PRAGMA integrity_check(1)", NULL);
	if (!rc)
		rc = sl_stmt_step(stmt, err);
	if (rc < 0)
		return rc;
	const char *text = sl_stmt_text(stmt, 0), *line = strrchr(text, '\n');
	if (strcmp(text, "ok") == 0)
		return 0;
	if (strstr(text, "error code=8202")) /* SQLITE_IOERR_DATA: the page's checksum */
		return sl_fail_at(err, SL_E_CORRUPT, meta->path, "%s is not what was written: its checksum differs",
				  sl_vfs_fault());
	return sl_fail_at(err, SL_E_CORRUPT, meta->path, "%s", line ? line + 1 : text);
}

int sl_meta_check(struct sl_meta *meta, struct sl_error *err)
{
	sqlite3_file *file = NULL;
	int rc = sl_meta_begin_read(meta, err);
	if (rc)
		return rc;
	rc = sqlite3_file_control(meta->db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
	rc = rc == SQLITE_OK ? sl_vfs_check(file, meta->path, err) : fail(meta, rc, "cannot check", err);
	if (!rc)
		rc = check_structure(meta, err);
	sl_meta_end_read(meta);
	return rc;
}

const char *sl_meta_version(void) { return "sqlite " SQLITE_VERSION; }
