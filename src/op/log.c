/* log: what a run or a role said. However long it is, one piece of it is in memory.
 *
 *   its end (default) | bytes from..from+bytes | lines that contain a text ──> the result
 *   all of these, and what comes, as it comes (--follow)                   ──> the face's output
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "op/context.h"
#include "op/handlers.h"
#include "op/resolve.h"
#include "os/clock.h"
#include "os/sys.h"
#include "track/run.h"

enum { PIECE_BYTES = 1 << 20, GREP_BYTES_MAX = 4096, LOOK_EVERY_MS = 100 };

struct reading {
	struct sl_call *call;
	struct sl_store *store;
	char path[SL_PATH_MAX];
	struct sl_id run;         /* text "": a role's */
	const char *grep;         /* NULL: every line */
	int fd;                   /* -1: nothing was said yet */
	uint64_t at;              /* read up to here */
	struct sl_buf piece, out; /* piece: from `at` on, not yet looked at */
	uint64_t limit;           /* of out */
	bool full, left;          /* left: nobody reads what is passed on any more */
};

/* ---- which one ------------------------------------------------------------------------------------------------------------------ */

static int newest_run(struct sl_store *store, const char *name, struct sl_id *ret, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(store->meta, &stmt, err, "SELECT id FROM run WHERE name = ?1 ORDER BY id DESC LIMIT 1", "s", name);
	if (!rc)
		rc = sl_stmt_step(stmt, err);
	if (rc == 0)
		return sl_fail(err, SL_E_NOT_FOUND, "'%s' has never run", name);
	return rc < 0 ? rc : sl_id_parse(sl_stmt_text(stmt, 0), ret) ? 0 : sl_fail(err, SL_E_CORRUPT, "a run's id is broken");
}

static bool is_role(const char *name)
{
	static const char *const roles[] = {"api", "infer", "mlflow", "tls", "worker"};
	for (size_t i = 0; i < SL_ARRAY_LEN(roles); i++)
		if (sl_str_eq(roles[i], name))
			return true;
	return false;
}

static int find_log(struct reading *r, const char *text, struct sl_error *err)
{
	struct sl_ref ref;
	char rest[300];
	if (is_role(text)) {
		snprintf(rest, sizeof rest, "log/%.100s.log", text);
		return sl_path_join(r->path, r->store->dir, rest, err);
	}
	int rc = sl_resolve(r->call, r->store, text, &ref, err);
	if (rc)
		return rc;
	rc = ref.kind == SL_REF_RUN ? sl_run_find(&r->store->track, ref.name, &r->run, err) : newest_run(r->store, ref.name, &r->run, err);
	snprintf(rest, sizeof rest, "%s/log", r->run.text);
	return rc ? rc : sl_path_join(r->path, r->store->runs_dir, rest, err);
}

/* ---- lines ---------------------------------------------------------------------------------------------------------------------- */

/* Up to the last line's end; a line as long as a piece counts as one. */
static size_t whole_lines(const struct sl_buf *piece, bool last)
{
	const char *end = piece->len ? memrchr(piece->data, '\n', piece->len) : NULL;
	return last || (!end && piece->len >= PIECE_BYTES) ? piece->len : end ? (size_t)(end + 1 - piece->data) : 0;
}

/* Of whole lines, those that are asked for, until the result is full. How many bytes were looked at. */
static size_t pick(struct reading *r, const char *text, size_t len)
{
	const char *at = text, *end = text + len;
	size_t wanted = strlen(r->grep);
	while (at < end && !r->full) {
		const char *hit = memmem(at, (size_t)(end - at), r->grep, wanted);
		if (!hit)
			return len;
		const char *begin = memrchr(at, '\n', (size_t)(hit - at)), *stop = memchr(hit, '\n', (size_t)(end - hit));
		begin = begin ? begin + 1 : at;
		stop = stop ? stop + 1 : end;
		r->full = r->out.len + (size_t)(stop - begin) > r->limit;
		if (r->full && r->out.len)
			return (size_t)(begin - text);
		if (r->full) { /* a line that is too long alone is cut */
			sl_buf_add(&r->out, begin, (size_t)r->limit);
			return (size_t)(stop - text);
		}
		sl_buf_add(&r->out, begin, (size_t)(stop - begin));
		at = stop;
	}
	return (size_t)(at - text);
}

/* What was read and can be looked at goes to `out`. */
static void look(struct reading *r, bool last)
{
	size_t len = r->grep ? whole_lines(&r->piece, last) : r->piece.len, room = r->limit - r->out.len;
	if (r->grep) {
		len = pick(r, r->piece.data, len);
	} else {
		r->full = len >= room;
		len = len < room ? len : room;
		sl_buf_add(&r->out, r->piece.data, len);
	}
	r->at += len;
	memmove(r->piece.data, r->piece.data + len, r->piece.len - len);
	r->piece.len -= len;
}

/* 1; 0 at the end of what is there. */
static int read_piece(struct reading *r, struct sl_error *err)
{
	char *room = sl_buf_reserve(&r->piece, PIECE_BYTES);
	ssize_t n = room ? sl_sys->pread(r->fd, room, PIECE_BYTES, (off_t)(r->at + r->piece.len)) : 0;
	if (n < 0)
		return sl_fail_errno(err, errno, r->path, "cannot read");
	r->piece.len += (size_t)n;
	return room ? n > 0 : sl_fail_memory(err);
}

/* ---- as a result ---------------------------------------------------------------------------------------------------------------- */

/* The end of it, from a line's begin. */
static int move_to_end(struct reading *r, uint64_t size, struct sl_error *err)
{
	char text[4096];
	if (size <= r->limit)
		return 0;
	r->at = size - r->limit;
	ssize_t n = sl_sys->pread(r->fd, text, sizeof text, (off_t)r->at);
	const char *line = n > 0 ? memchr(text, '\n', (size_t)n) : NULL;
	r->at += line ? (uint64_t)(line + 1 - text) : 0;
	return n < 0 ? sl_fail_errno(err, errno, r->path, "cannot read") : 0;
}

static int read_part(struct reading *r, struct sl_error *err)
{
	struct sl_file_info info;
	int rc = sl_file_info(r->path, &info, err);
	rc = rc ? rc : sl_file_open(r->path, O_RDONLY | O_CLOEXEC, 0, &r->fd, err);
	if (!rc && !sl_call_given(r->call, "from") && !r->grep)
		rc = move_to_end(r, info.size_bytes, err);
	uint64_t from = r->at;
	rc = rc ? rc : 1;
	while (rc == 1 && !r->full && !sl_call_cancelled(r->call) && (rc = read_piece(r, err)) == 1)
		look(r, false);
	if (rc < 0)
		return rc;
	if (!r->full)
		look(r, true);
	rc = sl_buf_check(&r->out, "what is shown of the log", err);
	char *text = rc ? NULL : sl_arena_strndup(r->call->arena, sl_buf_cstr(&r->out), r->out.len);
	if (!text)
		return rc ? rc : sl_fail_memory(err);
	yyjson_mut_val *result = sl_call_object(r->call);
	sl_put_text(r->call, result, "text", text);
	sl_put_bool(r->call, result, "whole", from == 0 && r->at >= info.size_bytes);
	sl_put_int(r->call, result, "from", (int64_t)from);
	sl_put_int(r->call, result, "to", (int64_t)r->at);
	sl_put_int(r->call, result, "size_bytes", (int64_t)info.size_bytes);
	if (r->grep && r->full)
		sl_put_text(r->call, result, "note", sl_arena_printf(r->call->arena, "there is more: --from %llu", (unsigned long long)r->at));
	return 0;
}

/* ---- as it comes ---------------------------------------------------------------------------------------------------------------- */

static int has_ended(const struct reading *r, bool *ret, struct sl_error *err)
{
	int64_t open = 1;
	int rc = *r->run.text ? sl_meta_int(r->store->meta, 0, &open, err, "SELECT count(*) FROM run WHERE id = ?1 AND ended_ms IS NULL", "s", r->run.text) : 0;
	*ret = !open;
	return rc;
}

static void pass_on(struct reading *r)
{
	r->left |= r->out.len && r->call->progress.output(r->call->progress.context, r->out.data) != 0;
	sl_buf_clear(&r->out);
	r->full = false;
}

/* Everything that is there by now. A file that became shorter was begun anew. */
static int catch_up(struct reading *r, bool last, struct sl_error *err)
{
	struct sl_file_info info;
	if (r->fd < 0 && sl_file_open(r->path, O_RDONLY | O_CLOEXEC, 0, &r->fd, NULL))
		return 0;
	if (sl_file_info(r->path, &info, NULL) == 0 && info.size_bytes < r->at) {
		r->at = 0;
		sl_buf_clear(&r->piece);
	}
	int rc = 0;
	while (!r->left && (rc = read_piece(r, err)) == 1)
		for (bool more = true; more && !r->left;) {
			look(r, false);
			more = r->full;
			pass_on(r);
		}
	if (rc == 0 && last) {
		look(r, true);
		pass_on(r);
	}
	return rc;
}

/* Until the run has ended, or somebody interrupts, which is how one stops to follow. */
static int follow(struct reading *r, struct sl_error *err)
{
	if (!r->call->progress.output)
		return sl_fail(err, SL_E_INVALID, "only the command line follows; over HTTP and as JSON ask again with \"from\"");
	struct sl_file_info info;
	int rc = 0;
	if (!sl_call_given(r->call, "from") && !r->grep && sl_file_open(r->path, O_RDONLY | O_CLOEXEC, 0, &r->fd, NULL) == 0 && sl_file_info(r->path, &info, NULL) == 0)
		rc = move_to_end(r, info.size_bytes, err);
	for (bool ended = false; !rc && !ended && !r->left && !sl_call_cancelled(r->call);) {
		rc = has_ended(r, &ended, err); /* first: what it said before its end is there then */
		rc = rc ? rc : catch_up(r, ended, err);
		if (!rc && !ended)
			sl_pause(LOOK_EVERY_MS);
	}
	sl_call_object(r->call);
	return rc;
}

int sl_op_log(struct sl_call *call, struct sl_error *err)
{
	struct reading r = {.call = call, .fd = -1, .grep = sl_call_text(call, "grep"), .at = (uint64_t)sl_call_int(call, "from"),
			    .limit = (uint64_t)sl_call_int(call, "bytes"), .piece = SL_BUF_INIT(2 * PIECE_BYTES + 1), .out = SL_BUF_INIT(32 << 20)};
	int rc = sl_call_store(call, &r.store, err);
	rc = rc ? rc : find_log(&r, sl_call_text(call, "ref"), err);
	if (!rc && r.grep && (!*r.grep || strlen(r.grep) > GREP_BYTES_MAX || strchr(r.grep, '\n')))
		rc = sl_fail(err, SL_E_INVALID, "--grep takes a text of 1 to %d bytes within one line", GREP_BYTES_MAX);
	if (!rc && !sl_call_flag(call, "follow") && !sl_file_exists(r.path)) {
		sl_put_text(call, sl_call_object(call), "text", "");
		sl_put_text(call, sl_call_object(call), "note", "it said nothing");
		return 0;
	}
	if (!rc && !call->remote)
		sl_put_text(call, sl_call_object(call), "file", r.path);
	rc = rc ? rc : sl_call_flag(call, "follow") ? follow(&r, err) : read_part(&r, err);
	sl_file_close(&r.fd);
	sl_buf_done(&r.piece);
	sl_buf_done(&r.out);
	return rc;
}
