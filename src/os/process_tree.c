#include "os/process_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/process.h"

enum { CHILDREN_MAX = 4096, DEPTH_MAX = 64 };
#define KILL_DEADLINE_NS INT64_C(5000000000)

void sl_tree_adopt(void) { prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); }

/* Reads a small file of /proc; the number of bytes, 0 on any failure. */
static size_t read_proc(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	size_t len = 0;
	ssize_t n;
	while (len < size - 1 && (n = read(fd, out + len, size - 1 - len)) > 0)
		len += (size_t)n;
	close(fd);
	out[len] = 0;
	return len;
}

/* Children of all threads of `pid`. */
static size_t list_children(pid_t pid, pid_t *out, size_t max)
{
	char path[96], text[32 << 10];
	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	DIR *dir = opendir(path);
	size_t count = 0;
	for (struct dirent *e; dir && (e = readdir(dir));) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "/proc/%d/task/%.20s/children", (int)pid, e->d_name);
		read_proc(path, text, sizeof text);
		char *at = text, *end;
		for (long child; count < max && (child = strtol(at, &end, 10)) > 0; at = end)
			out[count++] = (pid_t)child;
		text[0] = 0;
	}
	if (dir)
		closedir(dir);
	return count;
}

/* ---- memory ---------------------------------------------------------------------------------------------------------- */

static uint64_t resident(pid_t pid)
{
	char path[64], text[256];
	unsigned long long pages = 0;
	snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
	return read_proc(path, text, sizeof text) && sscanf(text, "%*s %llu", &pages) == 1 ? pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

/* With a share of each page that others have too: after a fork most are. */
static uint64_t proportional(pid_t pid)
{
	char path[64], text[4096];
	unsigned long long kb = 0;
	snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
	const char *line = read_proc(path, text, sizeof text) ? strstr(text, "\nPss:") : NULL;
	return line && sscanf(line, "\nPss: %llu", &kb) == 1 ? kb << 10 : resident(pid);
}

static uint64_t sum_below(pid_t root, uint64_t (*of)(pid_t pid), int depth)
{
	pid_t children[256];
	size_t count = depth < DEPTH_MAX ? list_children(root, children, sizeof children / sizeof *children) : 0;
	uint64_t sum = of(root);
	for (size_t i = 0; i < count; i++)
		sum += sum_below(children[i], of, depth + 1);
	return sum;
}

uint64_t sl_tree_memory(pid_t root, uint64_t limit_bytes)
{
	uint64_t most = sum_below(root, resident, 0);
	return most <= limit_bytes ? most : sum_below(root, proportional, 0);
}

bool sl_tree_tag(pid_t pid, char *out, size_t size)
{
	static const char NAME[] = SL_PROCESS_TAG "=";
	enum { ENVIRONMENT_MAX = 256 << 10 };
	char path[64], *text = malloc(ENVIRONMENT_MAX);
	bool found = false;
	snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
	size_t len = text ? read_proc(path, text, ENVIRONMENT_MAX) : 0;
	for (const char *p = text; !found && len && p < text + len; p += strlen(p) + 1)
		if (strncmp(p, NAME, sizeof NAME - 1) == 0) {
			snprintf(out, size, "%s", p + sizeof NAME - 1);
			found = true;
		}
	free(text);
	return found;
}

static void kill_below(pid_t root, int depth)
{
	pid_t children[256];
	size_t count = depth < DEPTH_MAX ? list_children(root, children, sizeof children / sizeof *children) : 0;
	for (size_t i = 0; i < count; i++)
		kill_below(children[i], depth + 1);
	kill(root, SIGKILL);
}

void sl_tree_kill(pid_t root)
{
	kill(root, SIGSTOP); /* so that it makes no more while its children are listed */
	kill_below(root, 0);
}

static bool belongs(pid_t pid, const struct sl_tree_child *running, size_t count)
{
	char tag[128];
	bool tagged = count && sl_tree_tag(pid, tag, sizeof tag);
	pid_t session = count ? getsid(pid) : -1;
	for (size_t i = 0; i < count; i++)
		if (running[i].pid == pid || running[i].pid == session || (tagged && strcmp(tag, running[i].tag) == 0))
			return true;
	return false;
}

/* One look at our children: kills what belongs to nobody and takes what has died. Returns how many were there, dead ones too: a process that dies by itself
 * may have left another one behind, which became our child only then. */
static unsigned kill_round(const struct sl_tree_child *running, size_t count, unsigned *ret_killed)
{
	pid_t children[CHILDREN_MAX];
	size_t n = list_children(getpid(), children, CHILDREN_MAX);
	unsigned left = 0;
	for (size_t i = 0; i < n; i++) {
		if (belongs(children[i], running, count))
			continue;
		siginfo_t info = {0};
		left++;
		if (waitid(P_PID, (id_t)children[i], &info, WEXITED | WNOHANG) == 0 && info.si_pid == children[i])
			continue; /* had died by itself, or of an earlier round */
		++*ret_killed;
		sl_tree_kill(children[i]);
		waitid(P_PID, (id_t)children[i], &info, WEXITED);
	}
	return left;
}

/* The kernel's own word; a list of /proc may miss one while others die. */
static bool has_children(void)
{
	siginfo_t info;
	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

unsigned sl_tree_kill_orphans(const struct sl_tree_child *running, size_t count)
{
	unsigned killed = 0;
	if (count == 0 && !has_children())
		return 0; /* the common end: no child at all */
	int64_t deadline = sl_monotonic_ns() + KILL_DEADLINE_NS;
	while ((kill_round(running, count, &killed) || (count == 0 && has_children())) && sl_monotonic_ns() < deadline)
		;
	return killed;
}

unsigned sl_process_kill_tagged(const char *prefix)
{
	unsigned killed = 0;
	for (int round = 0, found = 1; found && round < 100; round++) {
		DIR *dir = opendir("/proc");
		found = 0;
		for (struct dirent *e; dir && (e = readdir(dir));) {
			char tag[128];
			pid_t pid = (pid_t)atoi(e->d_name);
			if (pid <= 0 || pid == getpid() || !sl_tree_tag(pid, tag, sizeof tag) || strncmp(tag, prefix, strlen(prefix)) != 0)
				continue;
			if (kill(pid, SIGKILL) == 0) {
				found++;
				killed++;
			}
		}
		if (dir)
			closedir(dir);
	}
	return killed;
}
