/* .sluice/fetched/<hash of the address>/ holds the file under the address's own last name, `state.json` (what the server said of it), and,
 * while a transfer is under way, `part` and `part.json`. */
#include "data/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/str.h"
#include "os/sys.h"
#include "port/fetch.h"

enum { TRIES = 3, STATE_BYTES_MAX = 16 << 10 };
#define BYTES_MAX (UINT64_C(100) << 30)

struct place { char dir[SL_PATH_MAX], file[SL_PATH_MAX], state[SL_PATH_MAX], part[SL_PATH_MAX], part_state[SL_PATH_MAX], more[SL_PATH_MAX]; };

bool sl_source_remote(const struct sl_source *source)
{
	return sl_str_starts(source->path, "http://") || sl_str_starts(source->path, "https://");
}

/* The last part of the path, made plain; "data" when there is none. */
static void local_name(const char *url, char out[SL_NAME_MAX + 1])
{
	const char *path = strstr(url, "://") + 3;
	size_t len = strcspn(path, "?#"), at = len;
	while (at && path[at - 1] != '/')
		at--;
	size_t n = 0;
	for (size_t i = at && at < len ? at : len; i < len && n < SL_NAME_MAX; i++)
		out[n++] = strchr("%\\\"' \t", path[i]) ? '_' : path[i];
	out[n] = 0;
	if (!n || out[0] == '.')
		snprintf(out, SL_NAME_MAX + 1, "data");
}

static int find_place(struct sl_store *store, const struct sl_source *source, struct place *p, struct sl_error *err)
{
	char hex[SL_HASH_HEX + 1], name[SL_NAME_MAX + 1], folder[64];
	struct sl_hash hash;
	sl_sha256(source->path, strlen(source->path), &hash);
	snprintf(folder, sizeof folder, "fetched/%.32s", sl_hash_hex(&hash, hex));
	local_name(source->path, name);
	int rc = sl_path_join(p->dir, store->dir, folder, err);
	rc = rc ? rc : sl_path_join(p->file, p->dir, name, err);
	rc = rc ? rc : sl_path_join(p->state, p->dir, "state.json", err);
	rc = rc ? rc : sl_path_join(p->part, p->dir, "part", err);
	rc = rc ? rc : sl_path_join(p->part_state, p->dir, "part.json", err);
	rc = rc ? rc : sl_path_join(p->more, p->dir, "part.more", err);
	return rc ? rc : sl_dir_make(p->dir, err);
}

/* ---- what the server said ------------------------------------------------------------------------------------------- */

static bool says_the_same(const char *state_path, const struct sl_fetched *now)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(STATE_BYTES_MAX);
	if (sl_file_read(state_path, &text, NULL))
		return false;
	SL_AUTO_JSON yyjson_doc *doc = sl_json_parse(sl_buf_cstr(&text), text.len, state_path, NULL);
	yyjson_val *root = yyjson_doc_get_root(doc);
	bool tag = strcmp(sl_json_str(root, "etag", ""), now->etag) == 0, date = strcmp(sl_json_str(root, "last_modified", ""), now->last_modified) == 0;
	bool length = now->length >= 0 && sl_json_int(root, "length", -1) == now->length;
	return *now->etag ? tag : *now->last_modified && date && length;
}

static int write_state(const char *path, const struct sl_fetched *now, struct sl_error *err)
{
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(STATE_BYTES_MAX);
	yyjson_mut_val *root = doc ? yyjson_mut_obj(doc) : NULL;
	if (!root || !yyjson_mut_obj_add_strcpy(doc, root, "etag", now->etag) ||
	    !yyjson_mut_obj_add_strcpy(doc, root, "last_modified", now->last_modified) ||
	    !yyjson_mut_obj_add_int(doc, root, "length", now->length))
		return sl_fail_memory(err);
	int rc = sl_json_mut_canonical(root, &text, err);
	return rc ? rc : sl_file_replace(path, text.data, text.len, 0600, err);
}

static struct sl_fetch fetch_of(const struct sl_source *source)
{
	return (struct sl_fetch){.url = source->path, .fd = -1, .allow_private = source->allow_private,
				 .bytes_max = source->max_bytes ? source->max_bytes : BYTES_MAX, .timeout_ms = source->timeout_ms};
}

static int fail_status(const struct sl_source *source, int status, struct sl_error *err)
{
	sl_fail_at(err, SL_E_FAILED, source->path, "the server answers %d", status);
	if (err)
		err->retriable = status >= 500 || status == 429 || status == 408;
	return SL_E_FAILED;
}

/* ---- the transfer --------------------------------------------------------------------------------------------------- */

static int append_file(const char *from, int to, const char *to_path, struct sl_error *err)
{
	char *piece SL_AUTO_FREE = sl_alloc(1 << 20, err);
	int fd SL_AUTO_CLOSE = -1;
	struct stat st;
	int rc = piece ? sl_file_open(from, O_RDONLY, 0, &fd, err) : SL_E_NO_MEMORY;
	if (!rc && sl_sys->fstat(to, &st))
		rc = sl_fail_errno(err, errno, to_path, "cannot look at it");
	for (uint64_t at = (uint64_t)(rc ? 0 : st.st_size); !rc;) {
		ssize_t n = sl_sys->read(fd, piece, 1 << 20);
		if (n == 0)
			break;
		rc = n < 0 ? sl_fail_errno(err, errno, from, "cannot read") : sl_file_write_at(to, piece, (size_t)n, at, to_path, err);
		at += n > 0 ? (uint64_t)n : 0;
	}
	return rc;
}

/* The rest of what `part` begins. It comes into a file of its own, since only the end tells whether it is the rest or the whole. */
static int transfer_rest(const struct sl_source *source, const struct place *p, int part, uint64_t from, const struct sl_fetched *said,
			 struct sl_fetched *got, struct sl_error *err)
{
	struct sl_fetch fetch = fetch_of(source);
	int more SL_AUTO_CLOSE = -1;
	int rc = sl_file_open(p->more, O_RDWR | O_CREAT | O_TRUNC, 0600, &more, err);
	if (rc)
		return rc;
	fetch.fd = more;
	fetch.from = from;
	fetch.if_match = said->etag;
	rc = sl_fetch(&fetch, got, err);
	if (!rc && got->status == 200)
		rc = sl_file_rename(p->more, p->part, err);
	else if (!rc && got->status == 206)
		rc = append_file(p->more, part, p->part, err);
	else if (!rc)
		rc = fail_status(source, got->status, err);
	sl_sys->unlink(p->more);
	return rc;
}

static int transfer(const struct sl_source *source, const struct place *p, const struct sl_fetched *said, struct sl_fetched *got,
		    struct sl_error *err)
{
	struct sl_fetch fetch = fetch_of(source);
	struct stat st;
	int part SL_AUTO_CLOSE = -1;
	int rc = sl_file_open(p->part, O_RDWR | O_CREAT, 0600, &part, err);
	if (rc)
		return rc;
	if (sl_sys->fstat(part, &st))
		return sl_fail_errno(err, errno, p->part, "cannot look at it");
	bool strong = *said->etag && !sl_str_starts(said->etag, "W/");
	if (st.st_size > 0 && strong && said->ranges && st.st_size < said->length && says_the_same(p->part_state, said))
		return transfer_rest(source, p, part, (uint64_t)st.st_size, said, got, err);
	if (sl_sys->ftruncate(part, 0))
		return sl_fail_errno(err, errno, p->part, "cannot cut it");
	rc = write_state(p->part_state, said, err);
	fetch.fd = part;
	rc = rc ? rc : sl_fetch(&fetch, got, err);
	return rc ? rc : got->status == 200 ? 0 : fail_status(source, got->status, err);
}

/* The part becomes the file when it is as long as the server says. */
static int finish(const struct sl_source *source, const struct place *p, const struct sl_fetched *said, const struct sl_fetched *got,
		  struct sl_error *err)
{
	struct sl_file_info info;
	int64_t length = said->length >= 0 ? said->length : got->status == 200 ? got->length : -1;
	int rc = sl_file_info(p->part, &info, err);
	if (!rc && length >= 0 && info.size_bytes != (uint64_t)length) {
		sl_sys->unlink(p->part);
		rc = sl_fail_at(err, SL_E_FAILED, source->path, "%llu bytes came, and %lld were announced",
				(unsigned long long)info.size_bytes, (long long)length);
	}
	/* First without its state, so that a crash between leaves a file that is asked for again. */
	sl_sys->unlink(p->state);
	rc = rc ? rc : sl_file_rename(p->part, p->file, err);
	sl_sys->unlink(p->part_state);
	return rc ? rc : write_state(p->state, *said->etag || *said->last_modified ? said : got, err);
}

static int fetch_once(const struct sl_source *source, const struct place *p, struct sl_error *err)
{
	struct sl_fetch head = fetch_of(source);
	struct sl_fetched said, got;
	struct sl_file_info info;
	head.head = true;
	int rc = sl_fetch(&head, &said, err);
	if (rc)
		return rc;
	if (said.status == 404 || said.status == 410 || said.status >= 500)
		return fail_status(source, said.status, err);
	if (said.status != 200) /* a server that minds the question is asked for the thing itself */
		said = (struct sl_fetched){.length = -1};
	if (said.length > 0 && (uint64_t)said.length > head.bytes_max)
		return sl_fail_at(err, SL_E_TOO_LARGE, source->path, "has %lld bytes, more than `max_size` permits", (long long)said.length);
	bool whole = sl_file_info(p->file, &info, NULL) == 0 && (said.length < 0 || info.size_bytes == (uint64_t)said.length);
	if (whole && says_the_same(p->state, &said))
		return 0;
	rc = transfer(source, p, &said, &got, err);
	return rc ? rc : finish(source, p, &said, &got, err);
}

int sl_source_fetch(struct sl_store *store, const struct sl_source *source, char out[SL_PATH_MAX], struct sl_error *err)
{
	struct place place;
	struct sl_error why = {0};
	int rc = find_place(store, source, &place, err);
	if (rc)
		return rc;
	for (int i = 0; i < TRIES; i++) {
		why = (struct sl_error){0};
		rc = fetch_once(source, &place, &why);
		if (!rc || !(why.retriable || rc == SL_E_IO))
			break;
	}
	if (rc && err)
		*err = why;
	memcpy(out, place.file, sizeof place.file);
	return rc;
}
