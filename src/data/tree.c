#include "data/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"
#include "os/walk.h"

#define LEAF_LINE SL_TREE_MAGIC "leaf\n"
#define ROOT_LINE SL_TREE_MAGIC "root "
enum {
	LEAF_BITS = 10, /* a leaf ends behind one path of 2^10 */
	LEAF_BYTES_MAX = SL_TREE_LEAF_FILES_MAX * (2 * SL_PATH_MAX + 100),
	ROOT_BYTES_MAX = 1 << 30,
};

bool sl_tree_is_leaf(const char *text, size_t len)
{
	return len >= sizeof LEAF_LINE - 1 && memcmp(text, LEAF_LINE, sizeof LEAF_LINE - 1) == 0;
}

/* ---- paths ---------------------------------------------------------------------------------------------------------- */

/* A line feed as \n and a backslash as \\, so that a path ends at the line's end. */
static void add_path(struct sl_buf *out, const char *path, size_t len)
{
	const char *end = path + len;
	while (path < end) {
		size_t plain = 0;
		while (path + plain < end && path[plain] != '\n' && path[plain] != '\\')
			plain++;
		sl_buf_add(out, path, plain);
		path += plain;
		if (path < end)
			sl_buf_str(out, *path++ == '\n' ? "\\n" : "\\\\");
	}
}

/* Undoes it in place; returns the length, or SIZE_MAX for what nobody wrote. */
static size_t read_path(char *text)
{
	char *to = text;
	for (const char *p = text; *p; p++) {
		if (*p != '\\')
			*to++ = *p;
		else if (*++p == 'n' || *p == '\\')
			*to++ = *p == 'n' ? '\n' : '\\';
		else
			return SIZE_MAX;
	}
	*to = 0;
	return (size_t)(to - text);
}

static bool path_ok(const char *path, size_t len)
{
	if (!len || len >= SL_PATH_MAX || path[0] == '/' || path[len - 1] == '/')
		return false;
	for (const char *part = path; part; part = strchr(part, '/')) {
		part += *part == '/';
		size_t n = strcspn(part, "/");
		if (!n || (n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.'))
			return false;
	}
	return true;
}

/* `next` may come behind `last`. A file that is also a folder is seen here when nothing stands between the two, else when the tree is
 * placed. */
static bool in_order(const char *last, size_t last_len, const char *next, size_t next_len)
{
	size_t n = last_len < next_len ? last_len : next_len;
	int order = memcmp(last, next, n);
	return order < 0 || (order == 0 && last_len < next_len && next[last_len] != '/');
}

static bool ends_leaf(const char *path, size_t len, uint64_t files)
{
	uint32_t sum = sl_crc32c(0, path, len);
	return (sum & ((1u << LEAF_BITS) - 1)) == 0 || files == SL_TREE_LEAF_FILES_MAX;
}

/* ---- writing -------------------------------------------------------------------------------------------------------- */

struct sl_tree_writer {
	struct sl_batch *batch;
	struct sl_buf leaf, root;
	struct sl_tree_sum in_leaf, sum;
	struct sl_buf last; /* path */
};

int sl_tree_writer_new(struct sl_batch *batch, struct sl_tree_writer **ret, struct sl_error *err)
{
	struct sl_tree_writer *w = sl_alloc(sizeof *w, err);
	if (!w)
		return SL_E_NO_MEMORY;
	w->batch = batch;
	sl_buf_init(&w->leaf, LEAF_BYTES_MAX);
	sl_buf_init(&w->root, ROOT_BYTES_MAX);
	sl_buf_init(&w->last, SL_PATH_MAX);
	*ret = w;
	return 0;
}

void sl_tree_writer_free(struct sl_tree_writer *w)
{
	if (!w)
		return;
	sl_buf_done(&w->leaf);
	sl_buf_done(&w->root);
	sl_buf_done(&w->last);
	sl_free(w);
}

void sl_tree_writer_freep(struct sl_tree_writer **writer)
{
	sl_tree_writer_free(*writer);
	*writer = NULL;
}

static int keep(struct sl_tree_writer *w, const struct sl_buf *text, struct sl_hash *ret, struct sl_error *err)
{
	int rc = sl_buf_check(text, "the list of a tree's files", err);
	if (rc || w->batch)
		return rc ? rc : sl_batch_put(w->batch, text->data, text->len, ret, err);
	sl_sha256(text->data, text->len, ret);
	return 0;
}

static int end_leaf(struct sl_tree_writer *w, struct sl_error *err)
{
	struct sl_hash hash;
	char hex[SL_HASH_HEX + 1];
	int rc = keep(w, &w->leaf, &hash, err);
	if (rc)
		return rc;
	sl_buf_printf(&w->root, "%s %llu %llu\n", sl_hash_hex(&hash, hex), (unsigned long long)w->in_leaf.files,
		      (unsigned long long)w->in_leaf.size_bytes);
	w->sum.files += w->in_leaf.files;
	w->sum.size_bytes += w->in_leaf.size_bytes;
	w->in_leaf = (struct sl_tree_sum){0};
	sl_buf_clear(&w->leaf);
	return sl_buf_check(&w->root, "a tree's root", err);
}

static void add_line(struct sl_buf *out, const struct sl_tree_file *file)
{
	char hex[SL_HASH_HEX + 1], number[32];
	sl_buf_add(out, sl_hash_hex(&file->hash, hex), SL_HASH_HEX);
	int n = snprintf(number, sizeof number, " %llu %c ", (unsigned long long)file->size_bytes, file->executable ? 'x' : '-');
	sl_buf_add(out, number, (size_t)n);
	add_path(out, file->path, file->len);
	sl_buf_char(out, '\n');
}

int sl_tree_writer_add(struct sl_tree_writer *w, const struct sl_tree_file *file, struct sl_error *err)
{
	char shown[512];
	sl_path_show(file->path, shown, sizeof shown);
	if (!path_ok(file->path, file->len))
		return sl_fail_at(err, SL_E_INVALID, shown, "is not a path within a tree");
	if (w->last.len && !in_order(w->last.data, w->last.len, file->path, file->len))
		return sl_fail_at(err, SL_E_INVALID, shown, "comes twice, out of order, or as a file and as a folder");
	if (w->sum.files + w->in_leaf.files == SL_TREE_FILES_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "a tree has at most %d files", SL_TREE_FILES_MAX);
	if (!w->in_leaf.files)
		sl_buf_str(&w->leaf, LEAF_LINE);
	add_line(&w->leaf, file);
	w->in_leaf.files++;
	w->in_leaf.size_bytes += file->size_bytes;
	sl_buf_clear(&w->last);
	sl_buf_add(&w->last, file->path, file->len);
	int rc = sl_buf_check(&w->last, "a path", err);
	return rc || !ends_leaf(file->path, file->len, w->in_leaf.files) ? rc : end_leaf(w, err);
}

int sl_tree_writer_end(struct sl_tree_writer *w, struct sl_hash *ret, struct sl_tree_sum *ret_sum, struct sl_error *err)
{
	struct sl_buf whole SL_AUTO_BUF = SL_BUF_INIT(ROOT_BYTES_MAX + 100);
	int rc = w->in_leaf.files ? end_leaf(w, err) : 0;
	if (rc)
		return rc;
	sl_buf_printf(&whole, ROOT_LINE "%llu %llu\n", (unsigned long long)w->sum.files, (unsigned long long)w->sum.size_bytes);
	sl_buf_add(&whole, sl_buf_cstr(&w->root), w->root.len);
	if (ret_sum)
		*ret_sum = w->sum;
	return keep(w, &whole, ret, err);
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

struct leaf { struct sl_hash hash; struct sl_tree_sum sum; };

struct sl_tree_reader {
	struct sl_objects *objects;
	struct sl_tree_sum sum;
	struct leaf *leaves;
	size_t leaf_count, next_leaf;
	struct sl_buf text; /* of the leaf that is read */
	char *at;           /* its next line; NULL: at the beginning of next_leaf */
	struct sl_tree_sum seen; /* of the leaf */
	struct sl_buf last;
};

static int bad(const char *what, struct sl_error *err) { return sl_fail(err, SL_E_CORRUPT, "not a tree of files: %s", what); }

/* A number and the character behind it; NULL otherwise. */
static char *read_number(char *text, char behind, uint64_t *ret)
{
	char *end = text;
	uint64_t v = 0;
	while (*end >= '0' && *end <= '9' && end - text < 19)
		v = v * 10 + (uint64_t)(*end++ - '0');
	*ret = v;
	return end > text && *end == behind ? end + 1 : NULL;
}

static char *read_hash(char *text, struct sl_hash *ret)
{
	char hex[SL_HASH_HEX + 1];
	if (strnlen(text, SL_HASH_HEX + 1) <= SL_HASH_HEX || text[SL_HASH_HEX] != ' ')
		return NULL;
	memcpy(hex, text, SL_HASH_HEX);
	hex[SL_HASH_HEX] = 0;
	return sl_hash_parse(hex, ret) ? text + SL_HASH_HEX + 1 : NULL;
}

static int parse_leaves(struct sl_tree_reader *r, char *at, size_t lines, struct sl_error *err)
{
	struct sl_tree_sum sum = {0};
	r->leaves = sl_alloc_array(lines + 1, sizeof *r->leaves, err);
	if (!r->leaves)
		return SL_E_NO_MEMORY;
	while (at && *at && r->leaf_count < lines) {
		struct leaf *leaf = &r->leaves[r->leaf_count++];
		at = read_hash(at, &leaf->hash);
		at = at ? read_number(at, ' ', &leaf->sum.files) : NULL;
		at = at ? read_number(at, '\n', &leaf->sum.size_bytes) : NULL;
		sum.files += leaf->sum.files;
		sum.size_bytes += leaf->sum.size_bytes;
		if (!leaf->sum.files || leaf->sum.files > SL_TREE_LEAF_FILES_MAX)
			return bad("a leaf has no file, or too many", err);
	}
	if (!at || *at || sum.files != r->sum.files || sum.size_bytes != r->sum.size_bytes || sum.files > SL_TREE_FILES_MAX)
		return bad("its root does not add up", err);
	return 0;
}

static int read_root(struct sl_tree_reader *r, const struct sl_hash *root, struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(ROOT_BYTES_MAX);
	size_t lines = 0;
	int rc = sl_objects_get(r->objects, root, &text, err);
	if (rc)
		return rc;
	if (!sl_str_starts(sl_buf_cstr(&text), ROOT_LINE))
		return sl_fail(err, SL_E_INVALID, "the object is not a tree of files");
	if (strlen(text.data) != text.len)
		return bad("its root has a zero byte", err);
	char *at = read_number(text.data + sizeof ROOT_LINE - 1, ' ', &r->sum.files);
	at = at ? read_number(at, '\n', &r->sum.size_bytes) : NULL;
	for (const char *p = at; p && (p = strchr(p, '\n')); p++)
		lines++;
	return at ? parse_leaves(r, at, lines, err) : bad("its first line is not one", err);
}

int sl_tree_reader_new(struct sl_objects *objects, const struct sl_hash *root, struct sl_tree_reader **ret, struct sl_error *err)
{
	struct sl_tree_reader *r = sl_alloc(sizeof *r, err);
	if (!r)
		return SL_E_NO_MEMORY;
	r->objects = objects;
	sl_buf_init(&r->text, LEAF_BYTES_MAX);
	sl_buf_init(&r->last, SL_PATH_MAX);
	int rc = read_root(r, root, err);
	if (rc)
		sl_tree_reader_free(r);
	else
		*ret = r;
	return rc;
}

void sl_tree_reader_free(struct sl_tree_reader *r)
{
	if (!r)
		return;
	sl_buf_done(&r->text);
	sl_buf_done(&r->last);
	sl_free(r->leaves);
	sl_free(r);
}

void sl_tree_reader_freep(struct sl_tree_reader **reader)
{
	sl_tree_reader_free(*reader);
	*reader = NULL;
}

const struct sl_tree_sum *sl_tree_reader_sum(const struct sl_tree_reader *r) { return &r->sum; }

const struct sl_hash *sl_tree_reader_leaf(const struct sl_tree_reader *r)
{
	return !r->at && r->next_leaf < r->leaf_count ? &r->leaves[r->next_leaf].hash : NULL;
}

void sl_tree_reader_skip_leaf(struct sl_tree_reader *r)
{
	r->next_leaf++;
	sl_buf_clear(&r->last); /* the order from one leaf to the next was seen to when the other tree was read */
}

static int open_leaf(struct sl_tree_reader *r, struct sl_error *err)
{
	sl_buf_clear(&r->text);
	int rc = sl_objects_get(r->objects, &r->leaves[r->next_leaf].hash, &r->text, err);
	if (rc)
		return rc;
	if (!sl_tree_is_leaf(r->text.data, r->text.len) || strlen(r->text.data) != r->text.len)
		return bad("a leaf is not one", err);
	r->at = r->text.data + sizeof LEAF_LINE - 1;
	r->seen = (struct sl_tree_sum){0};
	return 0;
}

/* Behind the last line of a leaf. */
static int close_leaf(struct sl_tree_reader *r, struct sl_error *err)
{
	const struct leaf *leaf = &r->leaves[r->next_leaf++];
	r->at = NULL;
	return r->seen.files == leaf->sum.files && r->seen.size_bytes == leaf->sum.size_bytes ? 0 : bad("a leaf does not add up", err);
}

static int read_line(struct sl_tree_reader *r, struct sl_tree_file *ret, struct sl_error *err)
{
	char *at = read_hash(r->at, &ret->hash), *end = at ? strchr(at, '\n') : NULL;
	at = at ? read_number(at, ' ', &ret->size_bytes) : NULL;
	if (!at || !end || (*at != 'x' && *at != '-') || at[1] != ' ')
		return bad("a line is not one", err);
	ret->executable = *at == 'x';
	*end = 0;
	r->at = end + 1;
	ret->path = at + 2;
	ret->len = read_path(at + 2);
	if (ret->len == SIZE_MAX || !path_ok(ret->path, ret->len))
		return bad("a path leaves the tree", err);
	if (r->last.len && !in_order(r->last.data, r->last.len, ret->path, ret->len))
		return bad("a path is out of order", err);
	sl_buf_clear(&r->last);
	sl_buf_add(&r->last, ret->path, ret->len);
	r->seen.files++;
	r->seen.size_bytes += ret->size_bytes;
	return sl_buf_check(&r->last, "a path", err);
}

int sl_tree_reader_next(struct sl_tree_reader *r, struct sl_tree_file *ret, struct sl_error *err)
{
	int rc = 0;
	if (!r->at && r->next_leaf == r->leaf_count)
		return 0;
	rc = r->at ? 0 : open_leaf(r, err);
	rc = rc ? rc : read_line(r, ret, err);
	if (!rc && !*r->at)
		rc = close_leaf(r, err);
	return rc ? rc : 1;
}

enum { STOP = 1 };
static int compare_head(void *context, const void *data, size_t len, struct sl_error *err)
{
	(void)err;
	*(bool *)context = len >= sizeof ROOT_LINE - 1 && memcmp(data, ROOT_LINE, sizeof ROOT_LINE - 1) == 0;
	return STOP;
}

int sl_tree_is(struct sl_objects *objects, const struct sl_hash *hash, bool *ret, struct sl_error *err)
{
	*ret = false;
	int rc = sl_objects_read(objects, hash, compare_head, ret, err);
	return rc == STOP ? 0 : rc;
}

/* ---- differences ---------------------------------------------------------------------------------------------------- */

/* A tree that is compared: its next file, read when it is needed. */
struct side { struct sl_tree_reader *reader; struct sl_tree_file file; bool has, end; };

static int advance(struct side *s, struct sl_error *err)
{
	if (s->has || s->end)
		return 0;
	int rc = sl_tree_reader_next(s->reader, &s->file, err);
	s->has = rc == 1;
	s->end = rc == 0;
	return rc < 0 ? rc : 0;
}

static void skip_shared(struct side *a, struct side *b)
{
	const struct sl_hash *x, *y;
	while (!a->has && !b->has && (x = sl_tree_reader_leaf(a->reader)) && (y = sl_tree_reader_leaf(b->reader)) && sl_hash_eq(x, y)) {
		sl_tree_reader_skip_leaf(a->reader);
		sl_tree_reader_skip_leaf(b->reader);
	}
}

static int compare_sides(struct side *a, struct side *b, sl_tree_difference *each, void *context, struct sl_error *err)
{
	for (;;) {
		skip_shared(a, b);
		int rc = advance(a, err);
		rc = rc ? rc : advance(b, err);
		if (rc || (!a->has && !b->has))
			return rc;
		int order = !a->has ? 1 : !b->has ? -1 : strcmp(a->file.path, b->file.path);
		bool same = order == 0 && sl_hash_eq(&a->file.hash, &b->file.hash) && a->file.executable == b->file.executable;
		if (!same)
			rc = each(context, order <= 0 ? &a->file : NULL, order >= 0 ? &b->file : NULL, err);
		if (rc)
			return rc;
		a->has &= order > 0;
		b->has &= order < 0;
	}
}

int sl_tree_compare(struct sl_objects *objects, const struct sl_hash *a, const struct sl_hash *b, sl_tree_difference *each,
		    void *context, struct sl_error *err)
{
	struct sl_tree_reader *x SL_CLEANUP(sl_tree_reader_freep) = NULL, *y SL_CLEANUP(sl_tree_reader_freep) = NULL;
	int rc = sl_tree_reader_new(objects, a, &x, err);
	rc = rc ? rc : sl_tree_reader_new(objects, b, &y, err);
	struct side left = {.reader = x}, right = {.reader = y};
	return rc ? rc : compare_sides(&left, &right, each, context, err);
}
