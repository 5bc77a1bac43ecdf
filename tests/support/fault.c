#include "fault.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/file.h"
#include "os/sys.h"

static struct fault_plan plan;
static _Atomic long own_count;
static _Atomic long *count = &own_count;
static _Thread_local long nth; /* which call the present one is */
static struct sl_sys table;

#define MUST(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, strerror(errno)); \
			abort(); \
		} \
	} while (0)

/* ---- what would survive a power loss -------------------------------------------------------------------------------- */

/* A name in a folder, as of the folder's last fsync; the durable bytes of inode N are in shadow/N. */
struct name {
	char dir[512], name[256];
	unsigned long inode;
	bool is_dir;
};
static struct name names[4096];
static size_t name_count;
static char shadow[512];

static void shadow_path(unsigned long inode, char out[SL_PATH_MAX]) { snprintf(out, SL_PATH_MAX, "%s/%lu", shadow, inode); }

/* Plain calls from here on: the simulation must not count itself. */
static void copy_bytes(int from, const char *to)
{
	char piece[65536];
	int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	MUST(fd >= 0);
	for (off_t at = 0;;) {
		ssize_t n = pread(from, piece, sizeof piece, at);
		MUST(n >= 0);
		if (n == 0)
			break;
		MUST(write(fd, piece, (size_t)n) == n);
		at += n;
	}
	close(fd);
}

static void keep_file(unsigned long inode, const char *path)
{
	char to[SL_PATH_MAX];
	int fd = open(path, O_RDONLY);
	MUST(fd >= 0);
	shadow_path(inode, to);
	copy_bytes(fd, to);
	close(fd);
}

static void forget_names(const char *dir)
{
	size_t kept = 0;
	for (size_t i = 0; i < name_count; i++)
		if (strcmp(names[i].dir, dir))
			names[kept++] = names[i];
	name_count = kept;
}

static int keep_name(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	(void)err;
	MUST(name_count < sizeof names / sizeof *names);
	struct name *n = &names[name_count++];
	snprintf(n->dir, sizeof n->dir, "%s", (const char *)context);
	snprintf(n->name, sizeof n->name, "%s", name);
	n->inode = info->inode;
	n->is_dir = info->is_dir;
	return 0;
}

static void with_real_calls(void (*work)(const char *), const char *dir)
{
	const struct sl_sys *before = sl_sys;
	sl_sys = &sl_sys_real;
	work(dir);
	sl_sys = before;
}

static void keep_names(const char *dir)
{
	forget_names(dir);
	MUST(sl_dir_each(dir, keep_name, (void *)(size_t)dir, NULL) == 0);
}

/* The beginning: all that is there is durable. */
static void keep_tree(const char *dir)
{
	size_t first = name_count;
	keep_names(dir);
	for (size_t i = first, end = name_count; i < end; i++) {
		char path[SL_PATH_MAX];
		struct name entry = names[i];
		snprintf(path, sizeof path, "%s/%s", dir, entry.name);
		if (entry.is_dir)
			keep_tree(path);
		else
			keep_file(entry.inode, path);
	}
}

static void path_of(int fd, char out[SL_PATH_MAX])
{
	char link[64];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, out, SL_PATH_MAX - 1);
	MUST(n > 0);
	out[n] = 0;
}

static void note_sync(int fd)
{
	char path[SL_PATH_MAX], link[64];
	struct stat st;
	if (!plan.power_dir)
		return;
	path_of(fd, path);
	MUST(fstat(fd, &st) == 0);
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	if (strncmp(path, plan.power_dir, strlen(plan.power_dir)))
		return;
	if (S_ISDIR(st.st_mode))
		with_real_calls(keep_names, path);
	else
		keep_file(st.st_ino, link);
}

/* A new file may get the number of one that is gone. */
static void note_new(int fd)
{
	char path[SL_PATH_MAX];
	struct stat st;
	if (!plan.power_dir || fstat(fd, &st))
		return;
	shadow_path(st.st_ino, path);
	unlink(path);
}

static void build_image(const char *dir, const char *to)
{
	MUST(mkdir(to, 0755) == 0);
	for (size_t i = 0; i < name_count; i++) {
		char from[SL_PATH_MAX], target[SL_PATH_MAX], inside[SL_PATH_MAX];
		if (strcmp(names[i].dir, dir))
			continue;
		snprintf(target, sizeof target, "%s/%s", to, names[i].name);
		snprintf(inside, sizeof inside, "%s/%s", dir, names[i].name);
		if (names[i].is_dir) {
			build_image(inside, target);
			continue;
		}
		shadow_path(names[i].inode, from);
		int fd = open(from, O_RDONLY);
		int empty = fd < 0 ? open("/dev/null", O_RDONLY) : fd;
		copy_bytes(empty, target);
		close(empty);
	}
}

/* ---- the table ------------------------------------------------------------------------------------------------------ */

_Noreturn static void die(void)
{
	if (plan.power_dir)
		build_image(plan.power_dir, plan.image_dir);
	if (plan.by_signal)
		kill(getpid(), SIGKILL);
	_exit(FAULT_EXIT);
}

/* Counts a call; true when it shall fail. */
static bool hit(unsigned kind)
{
	if (!(plan.kinds & kind))
		return false;
	nth = atomic_fetch_add(count, 1) + 1;
	if (plan.action == FAULT_NONE || nth < plan.at || (nth > plan.at && !plan.stays))
		return false;
	if (plan.action == FAULT_DIE || (plan.action == FAULT_TEAR && kind != FAULT_WRITE))
		die();
	errno = plan.error;
	return true;
}

static int fault_open(const char *path, int flags, mode_t mode)
{
	bool writes = flags & (O_WRONLY | O_RDWR | O_CREAT);
	struct stat st;
	if (hit(writes ? FAULT_OPEN : FAULT_READ))
		return -1;
	bool made = (flags & O_CREAT) && lstat(path, &st) != 0;
	int fd = sl_sys_real.open(path, flags, mode);
	if (fd >= 0 && made)
		note_new(fd);
	return fd;
}

static ssize_t partly(int fd, const void *data, size_t len, off_t offset, bool at_offset)
{
	ssize_t n = at_offset ? pwrite(fd, data, len / 2, offset) : write(fd, data, len / 2);
	if (plan.action == FAULT_TEAR)
		die();
	errno = plan.error;
	return plan.action == FAULT_SHORT && n > 0 ? n : -1;
}

static ssize_t fault_write(int fd, const void *data, size_t len)
{
	if (!hit(FAULT_WRITE))
		return write(fd, data, len);
	return plan.action == FAULT_FAIL || (plan.action == FAULT_SHORT && nth > plan.at) ? -1
											    : partly(fd, data, len, 0, false);
}

static ssize_t fault_pwrite(int fd, const void *data, size_t len, off_t offset)
{
	if (!hit(FAULT_WRITE))
		return pwrite(fd, data, len, offset);
	return plan.action == FAULT_FAIL || (plan.action == FAULT_SHORT && nth > plan.at) ? -1
											    : partly(fd, data, len, offset, true);
}

static int fault_fallocate(int fd, int mode, off_t offset, off_t len)
{
	return hit(FAULT_WRITE) ? -1 : fallocate(fd, mode, offset, len);
}

static int fault_sync(int fd)
{
	if (hit(FAULT_SYNC))
		return -1;
	note_sync(fd);
	return 0;
}

static int keep_contents(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	snprintf(path, sizeof path, "%s/%s", (const char *)context, name);
	if (info->is_dir)
		return sl_dir_each(path, keep_contents, path, err);
	keep_file(info->inode, path);
	return 0;
}

static void keep_all_contents(const char *dir) { MUST(sl_dir_each(dir, keep_contents, (void *)(size_t)dir, NULL) == 0); }

/* Every file's bytes become durable; of the folders nobody may rely on it. */
static int fault_syncfs(int fd)
{
	(void)fd;
	if (hit(FAULT_SYNC))
		return -1;
	if (plan.power_dir)
		with_real_calls(keep_all_contents, plan.power_dir);
	return 0;
}

static ssize_t fault_read(int fd, void *data, size_t len) { return hit(FAULT_READ) ? -1 : read(fd, data, len); }
static ssize_t fault_pread(int fd, void *data, size_t len, off_t at) { return hit(FAULT_READ) ? -1 : pread(fd, data, len, at); }
static int fault_stat(const char *path, struct stat *ret) { return hit(FAULT_READ) ? -1 : stat(path, ret); }
static int fault_rename(const char *from, const char *to) { return hit(FAULT_RENAME) ? -1 : rename(from, to); }
static int fault_ftruncate(int fd, off_t len) { return hit(FAULT_CHANGE) ? -1 : ftruncate(fd, len); }
static int fault_link(const char *from, const char *to) { return hit(FAULT_CHANGE) ? -1 : link(from, to); }
static int fault_unlink(const char *path) { return hit(FAULT_CHANGE) ? -1 : unlink(path); }
static int fault_mkdir(const char *path, mode_t mode) { return hit(FAULT_CHANGE) ? -1 : mkdir(path, mode); }
static int fault_rmdir(const char *path) { return hit(FAULT_CHANGE) ? -1 : rmdir(path); }
static int fault_chmod(const char *path, mode_t mode) { return hit(FAULT_CHANGE) ? -1 : chmod(path, mode); }

void fault_install(const struct fault_plan *new_plan)
{
	plan = *new_plan;
	count = &own_count;
	own_count = 0;
	name_count = 0;
	table = sl_sys_real;
	table.open = fault_open;
	table.read = fault_read;
	table.pread = fault_pread;
	table.write = fault_write;
	table.pwrite = fault_pwrite;
	table.fallocate = fault_fallocate;
	table.fsync = table.fdatasync = fault_sync;
	table.syncfs = fault_syncfs;
	table.ftruncate = fault_ftruncate;
	table.rename = fault_rename;
	table.link = fault_link;
	table.unlink = fault_unlink;
	table.mkdir = fault_mkdir;
	table.rmdir = fault_rmdir;
	table.stat = fault_stat;
	table.chmod = fault_chmod;
	if (plan.power_dir) {
		snprintf(shadow, sizeof shadow, "%s.shadow", plan.image_dir);
		MUST(mkdir(shadow, 0755) == 0);
		with_real_calls(keep_tree, plan.power_dir);
	}
	sl_sys = &table;
}

long fault_remove(void)
{
	sl_sys = &sl_sys_real;
	return *count;
}

void fault_count_in(_Atomic long *shared) { count = shared; }

struct copy_job {
	const char *from, *to;
};

static int copy_entry(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	(void)err;
	const struct copy_job *job = context;
	char from[SL_PATH_MAX], to[SL_PATH_MAX];
	snprintf(from, sizeof from, "%s/%s", job->from, name);
	snprintf(to, sizeof to, "%s/%s", job->to, name);
	if (info->is_dir) {
		copy_tree(from, to);
		return 0;
	}
	int fd = open(from, O_RDONLY);
	MUST(fd >= 0);
	copy_bytes(fd, to);
	close(fd);
	return 0;
}

void copy_tree(const char *from, const char *to)
{
	struct copy_job job = {from, to};
	MUST(mkdir(to, 0755) == 0);
	MUST(sl_dir_each(from, copy_entry, &job, NULL) == 0);
}
