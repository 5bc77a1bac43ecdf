#include "os/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "os/file.h"

/* ---- files ------------------------------------------------------------------------------------------------------------ */

/* Rights that this system's header may be too old to name, and the version of Landlock that brought each. */
enum { FS_REFER_BIT = 13, FS_TRUNCATE_BIT = 14, FS_IOCTL_DEV_BIT = 15 };
static const uint64_t READ = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
static const uint64_t FOR_FILES = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
				  UINT64_C(1) << FS_TRUNCATE_BIT | UINT64_C(1) << FS_IOCTL_DEV_BIT;

static uint64_t handled(long version)
{
	uint64_t all = (UINT64_C(1) << FS_REFER_BIT) - 1;
	all |= version >= 2 ? UINT64_C(1) << FS_REFER_BIT : 0;
	all |= version >= 3 ? UINT64_C(1) << FS_TRUNCATE_BIT : 0;
	all |= version >= 5 ? UINT64_C(1) << FS_IOCTL_DEV_BIT : 0;
	return all;
}

static int allow(int ruleset, const char *path, uint64_t rights, struct sl_error *err)
{
	SL_AUTO_CLOSE int fd = open(path, O_PATH | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : sl_fail_errno(err, errno, path, "cannot open it for the sandbox");
	struct landlock_path_beneath_attr beneath = {.allowed_access = S_ISDIR(st.st_mode) ? rights : rights & FOR_FILES, .parent_fd = fd};
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) < 0)
		return sl_fail_errno(err, errno, path, "cannot allow it in the sandbox");
	return 0;
}

static int make_ruleset(const struct sl_sandbox_options *o, long version, int *ret_fd, struct sl_error *err)
{
	struct landlock_ruleset_attr attr = {.handled_access_fs = handled(version)};
	*ret_fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr.handled_access_fs, 0);
	if (*ret_fd < 0)
		return sl_fail_errno(err, errno, "Landlock", "cannot make a sandbox");
	int rc = 0;
	for (size_t i = 0; !rc && o->read[i]; i++)
		rc = allow(*ret_fd, o->read[i], READ, err);
	for (size_t i = 0; !rc && o->write[i]; i++)
		rc = allow(*ret_fd, o->write[i], attr.handled_access_fs, err);
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

#define LOAD(member) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
#define REFUSE BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (EACCES & SECCOMP_RET_DATA))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define REFUSE_CALL(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), REFUSE

/* What reaches around Landlock and the network's lock: other processes' memory, mounts, and a ring whose calls no filter sees. Calls in
 * another architecture's numbering (and x32's, above 2^30) are refused. */
#define GUARD \
	LOAD(arch), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0), REFUSE, LOAD(nr), BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1), REFUSE, \
		REFUSE_CALL(SYS_ptrace), REFUSE_CALL(SYS_process_vm_readv), REFUSE_CALL(SYS_process_vm_writev), REFUSE_CALL(SYS_mount), \
		REFUSE_CALL(SYS_umount2), REFUSE_CALL(SYS_pivot_root), REFUSE_CALL(SYS_bpf), REFUSE_CALL(SYS_io_uring_setup)

static const struct sock_filter WITH_NETWORK[] = {GUARD, ALLOW};
/* Of sockets only AF_UNIX. */
static const struct sock_filter WITHOUT_NETWORK[] = {GUARD, BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 1, 0), ALLOW, LOAD(args[0]),
						     BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 0, 1), ALLOW, REFUSE};

/* ---- the whole -------------------------------------------------------------------------------------------------------- */

int sl_sandbox_prepare(const struct sl_sandbox_options *options, struct sl_sandbox *ret, struct sl_error *err)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	char files[80] = "the kernel has no Landlock: every file can be read";
	*ret = (struct sl_sandbox){.ruleset_fd = -1, .network = options->network};
	ret->filter = ARCHITECTURE && prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0;
	int rc = version > 0 ? make_ruleset(options, version, &ret->ruleset_fd, err) : 0;
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

bool sl_sandbox_enter(const struct sl_sandbox *sandbox)
{
	union { const struct sock_filter *in; struct sock_filter *out; } program = {.in = sandbox->network ? WITH_NETWORK : WITHOUT_NETWORK};
	const struct sock_fprog filter = {.len = sandbox->network ? SL_ARRAY_LEN(WITH_NETWORK) : SL_ARRAY_LEN(WITHOUT_NETWORK), .filter = program.out};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return false;
	if (sandbox->ruleset_fd >= 0 && syscall(SYS_landlock_restrict_self, sandbox->ruleset_fd, 0) < 0)
		return false;
	return !sandbox->filter || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0;
}

void sl_sandbox_done(struct sl_sandbox *sandbox) { sl_file_close(&sandbox->ruleset_fd); }
