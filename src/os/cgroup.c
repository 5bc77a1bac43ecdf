#include "os/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "os/sys.h"

enum { FIRST_FREE_FD = 8, SMALL = 64 << 10 };
#define OURS "sluice-"

/* ---- its files ---------------------------------------------------------------------------------------------------------- */

static bool read_file(const char *dir, const char *name, struct sl_buf *out)
{
	char path[SL_PATH_MAX];
	return sl_path_join(path, dir, name, NULL) == 0 && sl_file_read(path, out, NULL) == 0;
}

static bool write_file(const char *dir, const char *name, const char *text)
{
	char path[SL_PATH_MAX];
	SL_AUTO_CLOSE int fd = sl_path_join(path, dir, name, NULL) ? -1 : sl_sys->open(path, O_WRONLY, 0);
	return fd >= 0 && sl_sys->write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);
	for (const char *at = text; (at = strstr(at, word)); at += len)
		if ((at == text || at[-1] == ' ') && (at[len] == 0 || at[len] == ' ' || at[len] == '\n'))
			return true;
	return false;
}

/* The number behind "KEY " at the beginning of a line; 0 when there is none. */
static uint64_t number_of(const char *text, const char *key)
{
	size_t len = strlen(key);
	for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (strncmp(line, key, len) == 0 && line[len] == ' ')
			return strtoull(line + len + 1, NULL, 10);
	return 0;
}

/* ---- where groups may be made ------------------------------------------------------------------------------------------- */

/* The line "0::PATH" of /proc/self/cgroup. */
static bool own_path(const char *text, char out[SL_PATH_MAX])
{
	const char *line = sl_str_starts(text, "0::") ? text : strstr(text, "\n0::");
	line = !line ? NULL : line + (*line == '\n') + 3;
	int len = line ? (int)strcspn(line, "\n") : 0;
	return len && snprintf(out, SL_PATH_MAX, "%.*s", len, line) < SL_PATH_MAX;
}

/* "ID PARENT MAJOR:MINOR ROOT MOUNTPOINT ... - cgroup2 ..." of /proc/self/mountinfo. */
static bool find_mount(char *text, char root[SL_PATH_MAX], char at[SL_PATH_MAX])
{
	for (char *line = text, *next; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		if (strstr(line, " - cgroup2 ") && sscanf(line, "%*s %*s %*s %4095s %4095s", root, at) == 2)
			return true;
	}
	return false;
}

static bool may_make_in(const char *dir)
{
	char procs[SL_PATH_MAX];
	SL_AUTO_BUF struct sl_buf handed = SL_BUF_INIT(SMALL);
	return access(dir, W_OK) == 0 && sl_path_join(procs, dir, "cgroup.procs", NULL) == 0 && access(procs, W_OK) == 0 &&
	       read_file(dir, "cgroup.subtree_control", &handed) && has_word(sl_buf_cstr(&handed), "memory");
}

/* The group of a process that is gone, and nobody in it. */
static int sweep_one(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int pid = 0;
	(void)err;
	if (info->is_dir && sscanf(name, OURS "%d-", &pid) == 1 && pid > 0 && kill(pid, 0) < 0 && errno == ESRCH && sl_path_join(path, context, name, NULL) == 0)
		sl_sys->rmdir(path);
	return 0;
}

bool sl_cgroup_find(const char *proc, char out[SL_PATH_MAX])
{
	char own[SL_PATH_MAX], root[SL_PATH_MAX], mount[SL_PATH_MAX];
	SL_AUTO_BUF struct sl_buf groups = SL_BUF_INIT(SMALL), mounts = SL_BUF_INIT(16 << 20);
	if (!read_file(proc, "cgroup", &groups) || !read_file(proc, "mountinfo", &mounts) || !own_path(sl_buf_cstr(&groups), own) ||
	    !sl_buf_cstr(&mounts) || !find_mount(mounts.data, root, mount))
		return false;
	size_t skip = strcmp(root, "/") == 0 ? 0 : strlen(root);
	if (strncmp(own, root, skip) != 0 || snprintf(out, SL_PATH_MAX, "%s%s", mount, own + skip) >= SL_PATH_MAX)
		return false;
	for (size_t len = strlen(out); len > 1 && out[len - 1] == '/';)
		out[--len] = 0;
	while (!may_make_in(out)) {
		char *slash = strrchr(out, '/');
		if (strlen(out) <= strlen(mount) || !slash)
			return false;
		*slash = 0;
	}
	sl_dir_each(out, sweep_one, out, NULL);
	return true;
}

/* ---- a group ------------------------------------------------------------------------------------------------------------ */

static int open_procs(const char *dir)
{
	char path[SL_PATH_MAX];
	int low = sl_path_join(path, dir, "cgroup.procs", NULL) ? -1 : sl_sys->open(path, O_WRONLY, 0);
	int high = low < 0 ? -1 : fcntl(low, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
	sl_file_close(&low);
	return high;
}

bool sl_cgroup_make(const char *parent, const char *name, uint64_t memory_bytes, struct sl_cgroup *ret)
{
	char own[256], limit[32];
	*ret = (struct sl_cgroup){.procs_fd = -1};
	snprintf(own, sizeof own, OURS "%ld-%.200s", (long)getpid(), name);
	snprintf(limit, sizeof limit, "%llu", (unsigned long long)memory_bytes);
	if (sl_path_join(ret->dir, parent, own, NULL) || sl_sys->mkdir(ret->dir, 0755)) {
		*ret->dir = 0;
		return false;
	}
	ret->procs_fd = write_file(ret->dir, "memory.max", limit) ? open_procs(ret->dir) : -1;
	if (ret->procs_fd < 0) {
		sl_cgroup_remove(ret);
		return false;
	}
	write_file(ret->dir, "memory.swap.max", "0"); /* else it would go on, slowly, behind its limit */
	write_file(ret->dir, "memory.oom.group", "1"); /* all of it ends, not its largest process alone */
	return true;
}

bool sl_cgroup_enter(const struct sl_cgroup *group) { return write(group->procs_fd, "0", 1) == 1; }

int64_t sl_cgroup_oom_kills(const struct sl_cgroup *group)
{
	SL_AUTO_BUF struct sl_buf events = SL_BUF_INIT(SMALL);
	return read_file(group->dir, "memory.events", &events) ? (int64_t)number_of(sl_buf_cstr(&events), "oom_kill") : 0;
}

uint64_t sl_cgroup_peak(const struct sl_cgroup *group)
{
	SL_AUTO_BUF struct sl_buf peak = SL_BUF_INIT(SMALL);
	return read_file(group->dir, "memory.peak", &peak) ? strtoull(sl_buf_cstr(&peak), NULL, 10) : 0;
}

void sl_cgroup_remove(struct sl_cgroup *group)
{
	if (*group->dir) {
		write_file(group->dir, "cgroup.kill", "1");
		sl_sys->rmdir(group->dir); /* one that is still in use goes with the next sweep */
	}
	sl_file_close(&group->procs_fd);
	*group->dir = 0;
}
