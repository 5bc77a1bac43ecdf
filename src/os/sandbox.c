#include "os/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/file.h"
#include "os/sandbox_watch.h"

/* ---- files ------------------------------------------------------------------------------------------------------------ */

/* Rights that this system's header may be too old to name, and the version of Landlock that brought each. */
enum { FS_REFER_BIT = 13, FS_TRUNCATE_BIT = 14, FS_IOCTL_DEV_BIT = 15, WITH_REFER = 2, WITH_TRUNCATE = 3, WITH_IOCTL_DEV = 5, WITH_SCOPES = 6 };
static const uint64_t READ = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
static const uint64_t FOR_FILES = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
				  UINT64_C(1) << FS_TRUNCATE_BIT | UINT64_C(1) << FS_IOCTL_DEV_BIT;
#define SCOPE_SIGNAL (UINT64_C(1) << 1)

/* struct landlock_ruleset_attr as of version 6. */
struct ruleset { uint64_t files, network, scoped; };

static uint64_t handled(long version)
{
	uint64_t all = (UINT64_C(1) << FS_REFER_BIT) - 1;
	all |= version >= WITH_REFER ? UINT64_C(1) << FS_REFER_BIT : 0;
	all |= version >= WITH_TRUNCATE ? UINT64_C(1) << FS_TRUNCATE_BIT : 0;
	all |= version >= WITH_IOCTL_DEV ? UINT64_C(1) << FS_IOCTL_DEV_BIT : 0;
	return all;
}

static long landlock_version(void) { return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION); }

/* A path that was opened to be allowed. */
struct opened {
	int fd;             /* -1: there is no such file */
	uint64_t rights;
	const char *path;   /* as given */
	const char *real;   /* without links, in the arena; NULL when it is the same */
};

static int open_path(const char *path, uint64_t rights, struct sl_arena *arena, struct opened *ret, struct sl_error *err)
{
	char link[64], real[SL_PATH_MAX];
	struct stat st;
	*ret = (struct opened){.fd = open(path, O_PATH | O_CLOEXEC), .path = path};
	if (ret->fd < 0 || fstat(ret->fd, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : sl_fail_errno(err, errno, path, "cannot open it for the sandbox");
	ret->rights = S_ISDIR(st.st_mode) ? rights : rights & FOR_FILES;
	snprintf(link, sizeof link, "/proc/self/fd/%d", ret->fd);
	ssize_t n = readlink(link, real, sizeof real - 1);
	real[n > 0 ? n : 0] = 0;
	if (!*real || strcmp(real, path) == 0)
		return 0;
	ret->real = sl_arena_strdup(arena, real);
	return ret->real ? 0 : sl_fail_memory(err);
}

static int add_rule(int ruleset, uint64_t handled, const struct opened *o, struct sl_error *err)
{
	const struct landlock_path_beneath_attr beneath = {.allowed_access = o->rights & handled, .parent_fd = o->fd};
	if (beneath.allowed_access && syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) < 0)
		return sl_fail_errno(err, errno, o->path, "cannot allow it in the sandbox");
	return 0;
}

static size_t count_paths(const char *const *paths)
{
	size_t n = 0;
	while (paths && paths[n])
		n++;
	return n;
}

/* ---- what sandboxes share --------------------------------------------------------------------------------------------- */

struct shared { struct opened opened; char kind; bool within; /* another one allows it already */ };
struct sl_sandbox_base { struct sl_arena *arena; size_t count; struct shared items[]; };

static bool is_within(const struct sl_sandbox_base *base, const struct opened *o)
{
	const char *path = o->real ? o->real : o->path;
	for (size_t i = 0; i < base->count; i++) {
		const struct opened *other = &base->items[i].opened;
		const char *above = other->real ? other->real : other->path;
		size_t len = strlen(above);
		if ((o->rights & ~other->rights) == 0 && strncmp(path, above, len) == 0 && (path[len] == 0 || path[len] == '/'))
			return true;
	}
	return false;
}

static int share_all(struct sl_sandbox_base *base, const char *const *paths, uint64_t rights, char kind, struct sl_error *err)
{
	int rc = 0;
	for (size_t i = 0; !rc && paths && paths[i]; i++) {
		struct shared *s = &base->items[base->count];
		*s = (struct shared){.kind = kind};
		const char *path = sl_arena_strdup(base->arena, paths[i]);
		rc = path ? open_path(path, rights, base->arena, &s->opened, err) : sl_fail_memory(err);
		s->within = !rc && s->opened.fd >= 0 && is_within(base, &s->opened);
		if (rc || s->opened.fd < 0 || s->within)
			sl_file_close(&s->opened.fd);
		base->count += s->opened.fd >= 0 || s->within;
	}
	return rc;
}

int sl_sandbox_base_new(const char *const *read, const char *const *write, struct sl_sandbox_base **ret, struct sl_error *err)
{
	struct sl_arena *arena = sl_arena_new(0, err);
	struct sl_sandbox_base *base = arena ? sl_arena_alloc(arena, sizeof *base + (count_paths(read) + count_paths(write)) * sizeof base->items[0]) : NULL;
	if (!base) {
		sl_arena_free(arena);
		return sl_fail_memory(err);
	}
	*base = (struct sl_sandbox_base){.arena = arena};
	int rc = share_all(base, read, READ, 'r', err);
	rc = rc ? rc : share_all(base, write, handled(landlock_version()), 'w', err);
	if (rc) {
		sl_sandbox_base_free(base);
		return rc;
	}
	*ret = base;
	return 0;
}

void sl_sandbox_base_free(struct sl_sandbox_base *base)
{
	if (!base)
		return;
	for (size_t i = 0; i < base->count; i++)
		sl_file_close(&base->items[i].opened.fd);
	sl_arena_free(base->arena);
}

/* ---- the rules of one ------------------------------------------------------------------------------------------------- */

struct maker { struct sl_arena *arena; int ruleset; uint64_t handled; const char **known; size_t count; struct sl_error *err; };

static int know(struct maker *m, char kind, const char *path)
{
	const char *text = path ? sl_arena_printf(m->arena, "%c%s", kind, path) : "";
	m->known[m->count] = text;
	m->count += text && *text;
	return text ? 0 : sl_fail_memory(m->err);
}

/* Both as given and as it is without links: programs ask for either. */
static int know_opened(struct maker *m, char kind, const struct opened *o)
{
	int rc = know(m, kind, o->path);
	return rc ? rc : know(m, kind, o->real);
}

/* `kind` 0: nobody is told of it. */
static int allow_all(struct maker *m, const char *const *paths, uint64_t rights, char kind)
{
	int rc = 0;
	for (size_t i = 0; !rc && paths && paths[i]; i++) {
		struct opened o;
		rc = open_path(paths[i], rights, m->arena, &o, m->err);
		if (!rc && o.fd >= 0) {
			rc = add_rule(m->ruleset, m->handled, &o, m->err);
			rc = rc || !kind ? rc : know_opened(m, kind, &o);
		}
		sl_file_close(&o.fd);
	}
	return rc;
}

static int allow_base(struct maker *m, const struct sl_sandbox_base *base)
{
	int rc = 0;
	for (size_t i = 0; !rc && base && i < base->count; i++) {
		const struct shared *s = &base->items[i];
		rc = s->within ? 0 : add_rule(m->ruleset, m->handled, &s->opened, m->err);
		rc = rc ? rc : know_opened(m, s->kind, &s->opened);
	}
	return rc;
}

static int make_ruleset(const struct sl_sandbox_options *o, long version, struct sl_arena *arena, struct sl_sandbox *ret, struct sl_error *err)
{
	const struct ruleset attr = {.files = handled(version), .scoped = SCOPE_SIGNAL};
	size_t room = 2 * ((o->base ? o->base->count : 0) + count_paths(o->read) + count_paths(o->write) + count_paths(o->list)) + 2;
	struct maker m = {.arena = arena, .handled = attr.files, .err = err, .known = sl_arena_array(arena, room, sizeof *m.known)};
	if (!m.known)
		return sl_fail_memory(err);
	ret->ruleset_fd = m.ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, version >= WITH_SCOPES ? sizeof attr : sizeof attr.files, 0);
	if (m.ruleset < 0)
		return sl_fail_errno(err, errno, "Landlock", "cannot make a sandbox");
	int rc = allow_base(&m, o->base);
	rc = rc ? rc : allow_all(&m, o->read, READ, 'r');
	rc = rc ? rc : allow_all(&m, o->write, attr.files, 'w');
	rc = rc ? rc : allow_all(&m, o->list, LANDLOCK_ACCESS_FS_READ_DIR, 'l');
	rc = rc ? rc : allow_all(&m, o->files, READ, 0);
	rc = rc || !o->store || !*o->store ? rc : know(&m, 'r', o->store);
	m.known[m.count] = NULL;
	ret->known = m.known;
	return rc;
}

/* ---- calls ------------------------------------------------------------------------------------------------------------ */

#if defined __x86_64__
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#define ARCHITECTURE 0
#endif

enum { FILTER_MAX = 160, X32_BIT = 0x40000000 };

/* A filter under construction; it lies on the stack of a child that shares its parent's memory, so nothing is allocated. */
struct program { struct sock_filter at[FILTER_MAX]; unsigned short count; };

static void put(struct program *p, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
	if (p->count < FILTER_MAX)
		p->at[p->count++] = (struct sock_filter){code, yes, no, k};
}

static void load(struct program *p, size_t offset) { put(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0); }
static void answer(struct program *p, uint32_t action) { put(p, BPF_RET | BPF_K, action, 0, 0); }
#define LOAD(p, member) load(p, offsetof(struct seccomp_data, member))
#define REFUSED (SECCOMP_RET_ERRNO | (EACCES & SECCOMP_RET_DATA))

/* What is in the accumulator is `value`: `action`. */
static void answer_when(struct program *p, uint32_t value, uint32_t action)
{
	put(p, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
	answer(p, action);
}

/* What reaches around Landlock and the network's lock: other processes' memory, mounts, namespaces, a ring whose calls no filter sees; and what is the
 * machine's: its clock, modules, swap. */
static const uint32_t NEVER[] = {
	SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_mount, SYS_umount2, SYS_pivot_root, SYS_move_mount, SYS_open_tree, SYS_fsopen, SYS_fsmount,
	SYS_mount_setattr, SYS_setns, SYS_bpf, SYS_io_uring_setup, SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_reboot, SYS_swapon,
	SYS_swapoff, SYS_settimeofday, SYS_clock_settime, SYS_adjtimex, SYS_clock_adjtime, SYS_acct, SYS_userfaultfd, SYS_perf_event_open, SYS_add_key,
	SYS_request_key, SYS_keyctl,
};

/* Calls that name a file to be opened or run. */
static const uint32_t NAMING[] = {
#ifdef SYS_open
	SYS_open, SYS_creat,
#endif
	SYS_openat, SYS_openat2, SYS_execve, SYS_execveat,
};

/* A local one; else `action`. */
static void put_socket(struct program *p, uint32_t action)
{
	put(p, BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 4);
	LOAD(p, args[0]);
	answer_when(p, AF_UNIX, SECCOMP_RET_ALLOW);
	answer(p, action);
}

/* Data sent with the opening of a connection goes around connect(2). */
static void put_send(struct program *p, uint32_t call, size_t flags)
{
	put(p, BPF_JMP | BPF_JEQ | BPF_K, call, 0, 4);
	load(p, flags);
	put(p, BPF_JMP | BPF_JSET | BPF_K, MSG_FASTOPEN, 0, 1);
	answer(p, REFUSED);
	answer(p, SECCOMP_RET_ALLOW);
}

/* Of sockets only local ones, and with a watch streams over IP: it makes their connections itself, to the one port, and lets none of them listen. */
static void put_network(struct program *p, bool watch)
{
	put_socket(p, watch ? SECCOMP_RET_USER_NOTIF : REFUSED);
	if (!watch)
		return;
	answer_when(p, SYS_connect, SECCOMP_RET_USER_NOTIF);
	answer_when(p, SYS_listen, SECCOMP_RET_USER_NOTIF);
	put_send(p, SYS_sendto, offsetof(struct seccomp_data, args[3]));
	put_send(p, SYS_sendmsg, offsetof(struct seccomp_data, args[2]));
	put_send(p, SYS_sendmmsg, offsetof(struct seccomp_data, args[3]));
}

/* Calls in another architecture's numbering (and x32's) are refused. */
static void build(const struct sl_sandbox *sandbox, bool watch, struct program *p)
{
	p->count = 0;
	LOAD(p, arch);
	put(p, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
	answer(p, REFUSED);
	LOAD(p, nr);
	put(p, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
	answer(p, REFUSED);
	for (size_t i = 0; i < SL_ARRAY_LEN(NEVER); i++)
		answer_when(p, NEVER[i], REFUSED);
	if (!sandbox->truncates)
		answer_when(p, SYS_truncate, REFUSED);
	for (size_t i = 0; watch && i < SL_ARRAY_LEN(NAMING); i++)
		answer_when(p, NAMING[i], SECCOMP_RET_USER_NOTIF);
	if (!sandbox->network)
		put_network(p, watch);
	answer(p, SECCOMP_RET_ALLOW);
}

/* The listener, or 0 without one; -1 with errno. */
static int install(const struct sl_sandbox *sandbox, bool watch)
{
	struct program program;
	build(sandbox, watch, &program);
	const struct sock_fprog filter = {.len = program.count, .filter = program.at};
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, watch ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0, &filter);
}

static bool send_listener(int through, int fd)
{
	union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control = {.room = {0}};
	struct iovec part = {(char[1]){'L'}, 1};
	struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	*c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	return sendmsg(through, &m, MSG_NOSIGNAL) == 1;
}

static bool enter_filter(const struct sl_sandbox *sandbox, int tell_fd)
{
	int listener = sandbox->watch ? install(sandbox, true) : -1;
	if (listener < 0)
		return install(sandbox, false) >= 0;
	return send_listener(tell_fd, listener);
}

/* ---- rights of root --------------------------------------------------------------------------------------------------- */

/* What is not about files, root of a sandbox does without; for others this changes nothing. A program that root executes gets no right back:
 * no_new_privs holds what execve gives to what its caller had (capabilities(7), cap_bprm_creds_from_file). */
static bool drop_rights(void)
{
	const uint32_t keep = 1U << CAP_CHOWN | 1U << CAP_DAC_OVERRIDE | 1U << CAP_DAC_READ_SEARCH | 1U << CAP_FOWNER | 1U << CAP_FSETID | 1U << CAP_KILL |
			      1U << CAP_SETGID | 1U << CAP_SETUID | 1U << CAP_SETPCAP;
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct have[_LINUX_CAPABILITY_U32S_3];
	if (geteuid() != 0)
		return true;
	if (syscall(SYS_capget, &header, have) < 0)
		return false;
	for (size_t i = 0; i < SL_ARRAY_LEN(have); i++) {
		uint32_t left = i == 0 ? keep : 0;
		have[i].effective &= left;
		have[i].permitted &= left;
		have[i].inheritable &= left;
	}
	return syscall(SYS_capset, &header, have) == 0;
}

/* ---- the whole -------------------------------------------------------------------------------------------------------- */

bool sl_sandbox_holds_writes(void) { return landlock_version() > 0 && ARCHITECTURE != 0 && prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0; }

int sl_sandbox_prepare(const struct sl_sandbox_options *options, struct sl_arena *arena, struct sl_sandbox *ret, struct sl_error *err)
{
	long version = landlock_version();
	char files[80] = "the kernel has no Landlock: every file can be read";
	*ret = (struct sl_sandbox){.ruleset_fd = -1, .network = options->network, .port = options->port, .truncates = version <= 0 || version >= WITH_TRUNCATE};
	ret->filter = ARCHITECTURE != 0 && prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0;
	ret->watch = ret->filter && version > 0 && sl_sandbox_watch_known();
	int rc = version > 0 ? make_ruleset(options, version, arena, ret, err) : 0;
	if (rc) {
		sl_sandbox_done(ret);
		return rc;
	}
	if (version > 0)
		snprintf(files, sizeof files, "files by Landlock %ld", version);
	snprintf(ret->words, sizeof ret->words, "%s, %s", files, !ret->filter ? "the kernel has no seccomp: the network is open" :
		 options->network ? "the network as asked" : "no network by seccomp");
	return 0;
}

bool sl_sandbox_enter(const struct sl_sandbox *sandbox, int tell_fd)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || !drop_rights())
		return false;
	if (sandbox->ruleset_fd >= 0 && syscall(SYS_landlock_restrict_self, sandbox->ruleset_fd, 0) < 0)
		return false;
	return !sandbox->filter || enter_filter(sandbox, tell_fd);
}

void sl_sandbox_done(struct sl_sandbox *sandbox) { sl_file_close(&sandbox->ruleset_fd); }
