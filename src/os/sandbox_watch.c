#include "os/sandbox_watch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/str.h"
#include "os/file.h"

/* The child sleeps while we answer: the kernel may hand us its processor (Linux 6.6; older headers do not name it). */
#define SET_FLAGS _IOW('!', 4, __u64)
enum { ON_ITS_PROCESSOR = 1 };

enum { NOTES_MAX = 16, QUESTION_BYTES = 512, FIRST_FREE_FD = 8, PAGE = 4096 };

struct sl_sandbox_watch {
	const struct sl_sandbox *sandbox;
	pthread_t thread;
	int tell[2];      /* ours, the child's */
	int stop_fd, listener;
	char notes[NOTES_MAX][SL_REFUSED_MAX]; /* different ones, in order of their first */
	size_t note_count, last;
	bool more;        /* than NOTES_MAX */
};

/* ---- what is noted ----------------------------------------------------------------------------------------------------- */

static void note(struct sl_sandbox_watch *w, const char *what, const char *of)
{
	char text[SL_REFUSED_MAX];
	snprintf(text, sizeof text, "%s%.350s", what, of);
	for (size_t i = 0; i < w->note_count; i++)
		if (strcmp(w->notes[i], text) == 0) {
			w->last = i;
			return;
		}
	w->more |= w->note_count == NOTES_MAX;
	w->last = w->note_count < NOTES_MAX ? w->note_count++ : NOTES_MAX - 1;
	memcpy(w->notes[w->last], text, sizeof text);
}

/* ---- files -------------------------------------------------------------------------------------------------------------- */

/* A text of the child's memory; false when it cannot be read or is longer. Two pieces: the second page may not be there. */
static bool read_text(pid_t pid, uint64_t address, char *out, size_t size)
{
	size_t first = PAGE - address % PAGE;
	first = first < size ? first : size;
	struct iovec to = {out, size}, from[] = {{(void *)(uintptr_t)address, first}, {(void *)(uintptr_t)(address + first), size - first}};
	ssize_t n = process_vm_readv(pid, &to, 1, from, 2, 0);
	return n > 0 && memchr(out, 0, (size_t)n);
}

static bool is_below(const char *path, const char *of)
{
	size_t len = strlen(of);
	return strncmp(path, of, len) == 0 && (path[len] == 0 || path[len] == '/' || (len == 1 && *of == '/'));
}

static bool is_allowed(const struct sl_sandbox *sandbox, const char *path, bool write, bool folder)
{
	for (const char *const *known = sandbox->known; known && *known; known++)
		if (((*known)[0] == 'w' || ((*known)[0] == 'r' && !write) || ((*known)[0] == 'l' && folder && !write)) && is_below(path, *known + 1))
			return true;
	return false;
}

/* The path as seen from the root, links and all. False when it cannot be told. */
static bool make_absolute(pid_t pid, int folder, const char *path, char out[SL_PATH_MAX])
{
	char link[64], base[SL_PATH_MAX];
	if (*path == '/')
		return snprintf(out, SL_PATH_MAX, "%s", path) < SL_PATH_MAX;
	if (folder == AT_FDCWD)
		snprintf(link, sizeof link, "/proc/%d/cwd", (int)pid);
	else
		snprintf(link, sizeof link, "/proc/%d/fd/%d", (int)pid, folder);
	ssize_t n = readlink(link, base, sizeof base - 1);
	base[n > 0 ? n : 0] = 0;
	return n > 0 && snprintf(out, SL_PATH_MAX, "%s/%s", base, path) < SL_PATH_MAX;
}

/* Without links; of a file that is to be made, its folder's. */
static bool resolve(const char *path, bool make, char out[PATH_MAX])
{
	char parent[SL_PATH_MAX];
	if (realpath(path, out))
		return true;
	snprintf(parent, sizeof parent, "%s", path);
	char *slash = strrchr(parent, '/');
	if (!make || errno != ENOENT || !slash || slash == parent)
		return false;
	*slash = 0;
	size_t n = realpath(parent, out) ? strlen(out) : 0;
	return n && snprintf(out + n, PATH_MAX - n, "/%s", slash + 1) < (int)(PATH_MAX - n);
}

static void look_at_path(struct sl_sandbox_watch *w, pid_t pid, int folder, uint64_t address, uint64_t flags, const char *verb)
{
	char path[SL_PATH_MAX], absolute[SL_PATH_MAX], real[PATH_MAX];
	struct stat st;
	bool write = (flags & O_ACCMODE) != O_RDONLY || (flags & (O_TRUNC | O_CREAT));
	if ((flags & O_PATH) || !read_text(pid, address, path, sizeof path) || !make_absolute(pid, folder, path, absolute))
		return;
	if (sl_str_starts(absolute, "/proc/") || sl_str_starts(absolute, "/dev/std") || sl_str_starts(absolute, "/dev/fd/")) /* its own, which are others here */
		return;
	if (!strstr(absolute, "..") && is_allowed(w->sandbox, absolute, write, false)) /* the common case, without a look at the disk */
		return;
	if (!resolve(absolute, flags & O_CREAT, real))
		return;
	bool folder_itself = stat(real, &st) == 0 && S_ISDIR(st.st_mode);
	if (!is_allowed(w->sandbox, real, write, folder_itself))
		note(w, write ? "writing " : verb, real);
}

static uint64_t flags_of_openat2(pid_t pid, uint64_t address)
{
	struct open_how how = {.flags = O_PATH};
	struct iovec to = {&how, sizeof how.flags}, from = {(void *)(uintptr_t)address, sizeof how.flags};
	return process_vm_readv(pid, &to, 1, &from, 1, 0) == (ssize_t)sizeof how.flags ? how.flags : O_PATH;
}

static void look_at_call(struct sl_sandbox_watch *w, const struct seccomp_notif *q)
{
	const __u64 *a = q->data.args;
	pid_t pid = (pid_t)q->pid;
	switch (q->data.nr) {
#ifdef SYS_open
	case SYS_open: look_at_path(w, pid, AT_FDCWD, a[0], a[1], "reading "); break;
	case SYS_creat: look_at_path(w, pid, AT_FDCWD, a[0], O_WRONLY | O_CREAT, "writing "); break;
#endif
	case SYS_openat: look_at_path(w, pid, (int)a[0], a[1], a[2], "reading "); break;
	case SYS_openat2: look_at_path(w, pid, (int)a[0], a[1], flags_of_openat2(pid, a[2]), "reading "); break;
	case SYS_execve: look_at_path(w, pid, AT_FDCWD, a[0], O_RDONLY, "running "); break;
	case SYS_execveat: look_at_path(w, pid, (int)a[0], a[1], O_RDONLY, "running "); break;
	default: break;
	}
}

/* ---- the network -------------------------------------------------------------------------------------------------------- */

union address { struct sockaddr any; struct sockaddr_in ip; struct sockaddr_in6 ip6; struct sockaddr_un local; struct sockaddr_storage room; };

/* The child's own socket, here. Its process by the group's number: a thread's opens no pidfd. */
static int take_socket(const struct sl_sandbox_watch *w, const struct seccomp_notif *q, int fd)
{
	char path[64], line[256];
	int group = 0;
	snprintf(path, sizeof path, "/proc/%u/status", q->pid);
	FILE *status = fopen(path, "re");
	while (status && fgets(line, sizeof line, status) && sscanf(line, "Tgid: %d", &group) != 1)
		;
	if (status)
		fclose(status);
	SL_AUTO_CLOSE int pidfd = group ? (int)syscall(SYS_pidfd_open, group, 0) : -1;
	int copy = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	if (copy >= 0 && ioctl(w->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &q->id)) { /* its number is another process's by now */
		close(copy);
		copy = -1;
	}
	return copy;
}

static bool is_ours(const struct sl_sandbox *sandbox, const union address *to)
{
	return sandbox->port && to->any.sa_family == AF_INET && to->ip.sin_addr.s_addr == htonl(INADDR_LOOPBACK) && ntohs(to->ip.sin_port) == sandbox->port;
}

static void note_address(struct sl_sandbox_watch *w, const union address *to)
{
	char text[INET6_ADDRSTRLEN + 16] = "", host[INET6_ADDRSTRLEN] = "?";
	if (to->any.sa_family == AF_INET)
		snprintf(text, sizeof text, "%s:%u", inet_ntop(AF_INET, &to->ip.sin_addr, host, sizeof host), ntohs(to->ip.sin_port));
	else if (to->any.sa_family == AF_INET6)
		snprintf(text, sizeof text, "[%s]:%u", inet_ntop(AF_INET6, &to->ip6.sin6_addr, host, sizeof host), ntohs(to->ip6.sin6_port));
	note(w, *text ? "connecting to " : "using the network", text);
}

/* A local socket's path is taken from the child's folder, which is not ours. What does not fit then stays as it is, and is found by nobody. */
static void name_from_child(pid_t pid, union address *to, socklen_t *len)
{
	char path[sizeof to->local.sun_path + 1] = "", full[sizeof path + 32];
	size_t at = offsetof(struct sockaddr_un, sun_path);
	if (*len <= at || *to->local.sun_path == 0 || *to->local.sun_path == '/')
		return;
	memcpy(path, to->local.sun_path, *len - at < sizeof path ? *len - at : sizeof path - 1);
	int n = snprintf(full, sizeof full, "/proc/%d/cwd/%s", (int)pid, path);
	if (n < (int)sizeof to->local.sun_path) {
		memcpy(to->local.sun_path, full, (size_t)n + 1);
		*len = (socklen_t)(at + (size_t)n + 1);
	}
}

/* The errno of it. */
static int connect_for(struct sl_sandbox_watch *w, const struct seccomp_notif *q)
{
	union address to = {.room = {0}};
	socklen_t len = q->data.args[2] < sizeof to ? (socklen_t)q->data.args[2] : (socklen_t)sizeof to;
	struct iovec here = {&to, len}, there = {(void *)(uintptr_t)q->data.args[1], len};
	if (len < sizeof to.any.sa_family || process_vm_readv((pid_t)q->pid, &here, 1, &there, 1, 0) != (ssize_t)len)
		return EFAULT;
	if (to.any.sa_family != AF_UNIX && !is_ours(w->sandbox, &to)) {
		note_address(w, &to);
		return EACCES;
	}
	if (to.any.sa_family == AF_UNIX)
		name_from_child((pid_t)q->pid, &to, &len);
	SL_AUTO_CLOSE int fd = take_socket(w, q, (int)q->data.args[0]);
	return fd < 0 ? EACCES : connect(fd, &to.any, len) == 0 ? 0 : errno;
}

static int listen_for(struct sl_sandbox_watch *w, const struct seccomp_notif *q)
{
	int domain = 0;
	socklen_t len = sizeof domain;
	SL_AUTO_CLOSE int fd = take_socket(w, q, (int)q->data.args[0]);
	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len))
		return EACCES;
	if (domain == AF_UNIX)
		return listen(fd, (int)q->data.args[1]) == 0 ? 0 : errno;
	note(w, "listening on the network", "");
	return EACCES;
}

/* A stream over IP may be made, for its connection is asked about again. Its arguments are numbers: nobody changes them under way. */
static int socket_for(struct sl_sandbox_watch *w, const struct seccomp_notif *q)
{
	int domain = (int)q->data.args[0], type = (int)q->data.args[1] & 0xf, protocol = (int)q->data.args[2];
	if ((domain == AF_INET || domain == AF_INET6) && type == SOCK_STREAM && (protocol == 0 || protocol == IPPROTO_TCP))
		return 0;
	if (domain != AF_NETLINK) /* a resolver's look at the interfaces is nothing to tell of */
		note(w, "using the network", "");
	return EACCES;
}

/* ---- the thread --------------------------------------------------------------------------------------------------------- */

static void answer(struct sl_sandbox_watch *w, const struct seccomp_notif *q)
{
	struct seccomp_notif_resp a = {.id = q->id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
	switch (q->data.nr) {
	case SYS_connect:
		a.flags = 0;
		a.error = -connect_for(w, q);
		break;
	case SYS_listen:
		a.flags = 0;
		a.error = -listen_for(w, q);
		break;
	case SYS_socket:
		a.error = -socket_for(w, q);
		a.flags = a.error ? 0 : SECCOMP_USER_NOTIF_FLAG_CONTINUE;
		break;
	default:
		look_at_call(w, q);
	}
	ioctl(w->listener, SECCOMP_IOCTL_NOTIF_SEND, &a); /* it may have been killed meanwhile */
}

static int take_listener(int from)
{
	union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control;
	char byte;
	struct iovec part = {&byte, 1};
	struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
	int fd = -1;
	if (recvmsg(from, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) == 1 && CMSG_FIRSTHDR(&m) && CMSG_FIRSTHDR(&m)->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
	return fd;
}

/* Waits until `fd` has something to say; false when there will be nothing. */
static bool wait_for(const struct sl_sandbox_watch *w, int fd)
{
	struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = w->stop_fd, .events = POLLIN}};
	while (poll(fds, 2, -1) < 0)
		;
	return fds[0].revents & POLLIN;
}

static void *watch(void *context)
{
	struct sl_sandbox_watch *w = context;
	union { char room[QUESTION_BYTES]; struct seccomp_notif q; } question;
	w->listener = wait_for(w, w->tell[0]) ? take_listener(w->tell[0]) : -1;
	ioctl(w->listener, SET_FLAGS, ON_ITS_PROCESSOR);
	while (w->listener >= 0 && wait_for(w, w->listener)) {
		memset(&question, 0, sizeof question); /* the kernel insists */
		if (ioctl(w->listener, SECCOMP_IOCTL_NOTIF_RECV, &question) == 0)
			answer(w, &question.q);
	}
	sl_file_close(&w->listener);
	return NULL;
}

/* ---- the whole ---------------------------------------------------------------------------------------------------------- */

bool sl_sandbox_watch_known(void)
{
	struct seccomp_notif_sizes sizes;
	return syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) == 0 && sizes.seccomp_notif <= QUESTION_BYTES &&
	       sizes.seccomp_notif_resp <= sizeof(struct seccomp_notif_resp);
}

static int open_fds(struct sl_sandbox_watch *w, struct sl_error *err)
{
	w->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (w->stop_fd < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, w->tell))
		return sl_fail_errno(err, errno, "a sandbox", "cannot make its watch");
	int high = fcntl(w->tell[1], F_DUPFD_CLOEXEC, FIRST_FREE_FD);
	close(w->tell[1]);
	w->tell[1] = high;
	return high < 0 ? sl_fail_errno(err, errno, "a sandbox", "cannot make its watch") : 0;
}

static void release(struct sl_sandbox_watch *w)
{
	sl_file_close(&w->stop_fd);
	sl_file_close(&w->tell[0]);
	sl_file_close(&w->tell[1]);
	sl_free(w);
}

int sl_sandbox_watch_new(const struct sl_sandbox *sandbox, struct sl_sandbox_watch **ret, struct sl_error *err)
{
	sigset_t all, before;
	struct sl_sandbox_watch *w = sl_alloc(sizeof *w, err);
	if (!w)
		return SL_E_NO_MEMORY;
	w->sandbox = sandbox;
	w->tell[0] = w->tell[1] = w->stop_fd = w->listener = -1;
	int rc = open_fds(w, err);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	int error = rc ? 0 : pthread_create(&w->thread, NULL, watch, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error)
		rc = sl_fail_errno(err, error, "a thread", "cannot start");
	if (rc) {
		release(w);
		return rc;
	}
	*ret = w;
	return 0;
}

int sl_sandbox_watch_tell_fd(const struct sl_sandbox_watch *watch) { return watch->tell[1]; }
void sl_sandbox_watch_started(struct sl_sandbox_watch *watch) { sl_file_close(&watch->tell[1]); }

void sl_sandbox_watch_free(struct sl_sandbox_watch *watch, char refused[SL_REFUSED_MAX])
{
	*refused = 0;
	if (!watch)
		return;
	eventfd_write(watch->stop_fd, 1);
	pthread_join(watch->thread, NULL);
	if (watch->note_count > 1)
		snprintf(refused, SL_REFUSED_MAX, "%.360s and %zu%s more", watch->notes[watch->last], watch->note_count - 1, watch->more ? " or" : "");
	else if (watch->note_count)
		snprintf(refused, SL_REFUSED_MAX, "%s", watch->notes[0]);
	release(watch);
}
