#include "os/alive.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "os/file.h"
#include "os/sys.h"

/* The beginning of a small file of /proc; "" when it cannot be read. */
static void read_small(const char *path, char *out, size_t out_size)
{
	int fd SL_AUTO_CLOSE = sl_sys->open(path, O_RDONLY, 0);
	ssize_t n = fd >= 0 ? sl_sys->read(fd, out, out_size - 1) : 0;
	out[n > 0 ? n : 0] = 0;
	out[strcspn(out, "\n")] = 0;
}

/* Field 22 of /proc/PID/stat, in ticks since boot; 0 when there is no such process or it is a zombie. The name in field 2 may
 * hold anything, so fields are counted from its last ')'. */
static unsigned long long start_time(int pid)
{
	char path[64], text[1024], state = 0;
	unsigned long long start = 0;
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	read_small(path, text, sizeof text);
	const char *close = strrchr(text, ')');
	if (!close || sscanf(close + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
			     &state, &start) != 2)
		return 0;
	return state == 'Z' || state == 'X' ? 0 : start;
}

char *sl_process_mark(int pid, char out[SL_PROCESS_MARK])
{
	char boot[40], space[40] = "";
	pid = pid ? pid : (int)getpid();
	unsigned long long start = start_time(pid);
	read_small("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
	ssize_t n = readlink("/proc/self/ns/pid", space, sizeof space - 1); /* "pid:[4026531836]" */
	space[n > 0 ? n : 0] = 0;
	out[0] = 0;
	if (start)
		snprintf(out, SL_PROCESS_MARK, "%d:%llu:%llu:%s", pid, start,
			 strtoull(space + strcspn(space, "0123456789"), NULL, 10), boot);
	return out;
}

bool sl_process_mark_alive(const char *mark)
{
	char own[SL_PROCESS_MARK], boot[64], own_boot[64];
	unsigned long long start, space, own_start, own_space;
	int pid, own_pid;
	if (sscanf(mark, "%d:%llu:%llu:%63s", &pid, &start, &space, boot) != 4 ||
	    sscanf(sl_process_mark(0, own), "%d:%llu:%llu:%63s", &own_pid, &own_start, &own_space, own_boot) != 4)
		return true;
	if (strcmp(boot, own_boot))
		return false;
	return space != own_space || start_time(pid) == start;
}

bool sl_process_mark_this_boot(const char *mark)
{
	char boot[40];
	const char *last = strrchr(mark, ':');
	read_small("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
	return last && *boot && strcmp(last + 1, boot) == 0;
}
