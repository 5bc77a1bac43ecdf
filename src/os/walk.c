#include "os/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "os/sys.h"

enum { NAMES_MAX = 1 << 30, SHOWN = 512 };

/* One entry of the block on its way: its path in `paths`, and what fstatat said. */
struct slot {
	size_t offset, len;
	struct stat st;
	bool link, gone;
};

struct walk {
	int fd;
	const char *dir;
	const struct sl_walk_options *options;
	struct sl_crew *crew;
	sl_walk_block *block;
	void *context;
	char path[SL_PATH_MAX]; /* of the folder that is listed, with its '/' */
	struct sl_buf paths;
	struct slot *slots;
	struct sl_walk_entry *entries;
	size_t count;
	uint64_t files;
};

/* A listed folder: names behind each other in `text`, each as type byte, name, NUL. */
struct listing {
	struct sl_buf text;
	uint32_t *order;
	size_t count;
};

char *sl_path_show(const char *path, char *out, size_t size)
{
	size_t n = 0;
	bool utf8 = sl_utf8_valid(path, strlen(path));
	for (const unsigned char *p = (const unsigned char *)path; *p && n + 5 < size; p++) {
		if (*p == '\n')
			n += (size_t)snprintf(out + n, size - n, "\\n");
		else if (*p < 32 || *p == 127 || (*p >= 128 && !utf8))
			n += (size_t)snprintf(out + n, size - n, "\\x%02x", *p);
		else
			out[n++] = (char)*p;
	}
	out[n] = 0;
	return out;
}

static int refuse(const struct walk *w, const char *path, const char *what, struct sl_error *err)
{
	char shown[SHOWN];
	return sl_fail_at(err, SL_E_INVALID, w->dir, "'%s' is %s", sl_path_show(path, shown, sizeof shown), what);
}

static int fail_path(const char *dir, const char *path, int number, const char *doing, struct sl_error *err)
{
	char shown[SHOWN], where[SHOWN + 256];
	snprintf(where, sizeof where, "%.200s/%s", dir, sl_path_show(path, shown, sizeof shown));
	return sl_fail_errno(err, number, where, doing);
}

/* ---- a block -------------------------------------------------------------------------------------------------------- */

static const char *slot_path(const struct walk *w, size_t i) { return w->paths.data + w->slots[i].offset; }

static int look(void *context, size_t i, int worker, struct sl_error *err)
{
	struct walk *w = context;
	struct slot *slot = &w->slots[i];
	const char *path = slot_path(w, i);
	(void)worker;
	if (sl_sys->fstatat(w->fd, path, &slot->st, AT_SYMLINK_NOFOLLOW)) {
		slot->gone = errno == ENOENT;
		return slot->gone ? 0 : fail_path(w->dir, path, errno, "cannot look at it", err);
	}
	slot->link = S_ISLNK(slot->st.st_mode);
	if (slot->link && w->options->links == SL_LINKS_REFUSE)
		return refuse(w, path, "a link, and links are not taken", err);
	if (slot->link && sl_sys->fstatat(w->fd, path, &slot->st, 0))
		return refuse(w, path, "a link to nothing", err);
	if (slot->link && S_ISDIR(slot->st.st_mode))
		return refuse(w, path, "a link to a folder, which is not followed", err);
	if (!S_ISREG(slot->st.st_mode))
		return refuse(w, path, "neither a file nor a folder", err);
	return 0;
}

static struct sl_file_info info_of(const struct slot *slot)
{
	const struct stat *st = &slot->st;
	return (struct sl_file_info){
		.size_bytes = (uint64_t)st->st_size, .inode = st->st_ino, .device = st->st_dev, .mode = st->st_mode & 07777,
		.mtime_ns = st->st_mtim.tv_sec * INT64_C(1000000000) + st->st_mtim.tv_nsec,
		.ctime_ns = st->st_ctim.tv_sec * INT64_C(1000000000) + st->st_ctim.tv_nsec, .is_regular = true, .is_link = slot->link};
}

static int flush_block(struct walk *w, struct sl_error *err)
{
	size_t count = 0;
	int rc = sl_buf_check(&w->paths, "the paths of a folder", err);
	rc = rc ? rc : sl_crew_run(w->crew, w->count, look, w, err);
	for (size_t i = 0; !rc && i < w->count; i++)
		if (!w->slots[i].gone)
			w->entries[count++] = (struct sl_walk_entry){slot_path(w, i), w->slots[i].len, info_of(&w->slots[i])};
	if (!rc && count)
		rc = w->block(w->context, w->entries, count, err);
	sl_buf_clear(&w->paths);
	w->count = 0;
	return rc;
}

static int add_file(struct walk *w, const char *path, size_t len, struct sl_error *err)
{
	if (w->options->wanted && !w->options->wanted(w->options->context, path))
		return 0;
	if (++w->files > w->options->files_max)
		return sl_fail_at(err, SL_E_TOO_LARGE, w->dir, "more than %llu files", (unsigned long long)w->options->files_max);
	w->slots[w->count++] = (struct slot){.offset = w->paths.len, .len = len};
	sl_buf_add(&w->paths, path, len + 1);
	return w->count == SL_WALK_BLOCK ? flush_block(w, err) : 0;
}

/* ---- folders -------------------------------------------------------------------------------------------------------- */

static bool is_folder(const struct listing *l, uint32_t at) { return l->text.data[at] == DT_DIR; }

/* As bytes, a folder as if its name ended in '/'. */
static int compare_names(const void *a, const void *b, void *context)
{
	const struct listing *l = context;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	const unsigned char *p = (const unsigned char *)l->text.data + x + 1, *q = (const unsigned char *)l->text.data + y + 1;
	while (*p && *p == *q)
		p++, q++;
	int left = *p ? *p : is_folder(l, x) ? '/' : 0, right = *q ? *q : is_folder(l, y) ? '/' : 0;
	return left - right;
}

/* File systems that do not tell the type in the listing are asked. Anything but a folder counts as a file here. */
static unsigned char type_of(struct walk *w, const struct dirent *entry, size_t len)
{
	struct stat st;
	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_DIR ? DT_DIR : DT_REG;
	snprintf(w->path + len, sizeof w->path - len, "%s", entry->d_name);
	bool dir = sl_sys->fstatat(w->fd, w->path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
	w->path[len] = 0;
	return dir ? DT_DIR : DT_REG;
}

static int read_names(struct walk *w, DIR *stream, size_t len, struct listing *l, struct sl_error *err)
{
	const struct dirent *entry;
	errno = 0;
	while ((entry = readdir(stream))) {
		const char *name = entry->d_name;
		bool dots = name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
		if (dots || (name[0] == '.' && !w->options->hidden))
			continue;
		sl_buf_char(&l->text, (char)type_of(w, entry, len));
		sl_buf_add(&l->text, name, strlen(name) + 1);
		l->count++;
		errno = 0;
	}
	if (errno)
		return fail_path(w->dir, w->path, errno, "cannot list the folder", err);
	return sl_buf_check(&l->text, "the names of a folder", err);
}

static int list(struct walk *w, size_t len, struct listing *l, struct sl_error *err)
{
	int fd = sl_sys->open_beneath(w->fd, len ? w->path : ".", O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fail_path(w->dir, w->path, errno, "cannot list the folder", err);
	DIR *stream = fdopendir(fd);
	if (!stream) {
		int number = errno;
		sl_sys->close(fd);
		return fail_path(w->dir, w->path, number, "cannot list the folder", err);
	}
	int rc = read_names(w, stream, len, l, err);
	closedir(stream);
	if (rc)
		return rc;
	l->order = sl_alloc_array(l->count + 1, sizeof *l->order, err);
	if (!l->order)
		return SL_E_NO_MEMORY;
	size_t at = 0;
	for (size_t i = 0; i < l->count; i++) {
		l->order[i] = (uint32_t)at;
		at += strlen(l->text.data + at + 1) + 2;
	}
	qsort_r(l->order, l->count, sizeof *l->order, compare_names, l);
	return 0;
}

static int walk_folder(struct walk *w, size_t len, int depth, struct sl_error *err)
{
	struct listing l = {.text = SL_BUF_INIT(NAMES_MAX)};
	int rc = depth > SL_WALK_DEPTH_MAX ? refuse(w, w->path, "too deep a folder", err) : list(w, len, &l, err);
	for (size_t i = 0; !rc && i < l.count; i++) {
		const char *name = l.text.data + l.order[i] + 1;
		bool folder = is_folder(&l, l.order[i]);
		size_t n = len + strlen(name);
		if (n + 2 > sizeof w->path) {
			rc = sl_fail_at(err, SL_E_TOO_LARGE, w->dir, "a path below is longer than %d bytes", SL_PATH_MAX - 2);
			break;
		}
		memcpy(w->path + len, name, n - len + 1);
		if (folder) {
			memcpy(w->path + n, "/", 2);
			rc = walk_folder(w, n + 1, depth + 1, err);
		} else {
			rc = add_file(w, w->path, n, err);
		}
		w->path[len] = 0;
	}
	sl_free(l.order);
	sl_buf_done(&l.text);
	return rc;
}

int sl_walk(int dir_fd, const char *dir, const struct sl_walk_options *options, struct sl_crew *crew, sl_walk_block *block,
	    void *context, struct sl_error *err)
{
	struct walk w = {.fd = dir_fd, .dir = dir, .options = options, .crew = crew, .block = block, .context = context,
			 .paths = SL_BUF_INIT((size_t)SL_WALK_BLOCK * SL_PATH_MAX)};
	w.slots = sl_alloc_array(SL_WALK_BLOCK, sizeof *w.slots, err);
	w.entries = w.slots ? sl_alloc_array(SL_WALK_BLOCK, sizeof *w.entries, err) : NULL;
	int rc = w.entries ? walk_folder(&w, 0, 0, err) : SL_E_NO_MEMORY;
	rc = rc ? rc : flush_block(&w, err);
	sl_buf_done(&w.paths);
	sl_free(w.slots);
	sl_free(w.entries);
	return rc;
}

/* The folder of a link is held, so that only the link itself is followed. */
static int open_link(int dir_fd, const char *path)
{
	char parent[SL_PATH_MAX];
	const char *slash = strrchr(path, '/');
	snprintf(parent, sizeof parent, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
	int above SL_AUTO_CLOSE = sl_sys->open_beneath(dir_fd, parent, O_PATH | O_DIRECTORY, 0);
	return above < 0 ? -1 : sl_sys->openat(above, slash ? slash + 1 : path, O_RDONLY | O_NONBLOCK, 0);
}

int sl_walk_open(int dir_fd, const char *dir, const char *path, bool link, int *ret_fd, struct sl_error *err)
{
	int fd;
	do
		fd = link ? open_link(dir_fd, path) : sl_sys->open_beneath(dir_fd, path, O_RDONLY | O_NONBLOCK, 0);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return fail_path(dir, path, errno, "cannot read", err);
	*ret_fd = fd;
	return 0;
}
