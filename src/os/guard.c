#include "os/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/process.h"

extern char **environ;

static int spawn(const char *const *argv, int in, pid_t *ret)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t how;
	union { const char *const *in; char *const *out; } words = {.in = argv}; /* the prototype lacks a const */
	int error = posix_spawn_file_actions_init(&files);
	if (error)
		return error;
	error = posix_spawnattr_init(&how);
	error = error ? error : posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSID);
	error = error ? error : posix_spawn_file_actions_adddup2(&files, in, 0);
	error = error ? error : posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
	error = error ? error : posix_spawn_file_actions_adddup2(&files, 1, 2);
	error = error ? error : posix_spawn_file_actions_addclosefrom_np(&files, 3);
	error = error ? error : posix_spawn_file_actions_addchdir_np(&files, "/");
	error = error ? error : posix_spawn(ret, argv[0], &files, &how, words.out, environ);
	posix_spawnattr_destroy(&how);
	posix_spawn_file_actions_destroy(&files);
	return error;
}

int sl_guard_start(const char *const *argv, struct sl_guard *ret, struct sl_error *err)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) < 0)
		return sl_fail_errno(err, errno, "pipe", "cannot make a pipe");
	int error = spawn(argv, fds[0], &ret->pid);
	close(fds[0]);
	if (error) {
		close(fds[1]);
		ret->pid = 0;
		return sl_fail_errno(err, error, argv[0], "cannot start a process");
	}
	ret->fd = fds[1];
	return 0;
}

void sl_guard_end(struct sl_guard *guard)
{
	if (!guard->pid)
		return;
	kill(guard->pid, SIGKILL); /* before the pipe's end, which it would act on */
	close(guard->fd);
	while (waitpid(guard->pid, NULL, 0) < 0 && errno == EINTR)
		;
	guard->pid = 0;
}

void sl_guard_stand(const char *prefix)
{
	char byte;
	ssize_t n;
	do
		n = read(0, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		sl_process_kill_tagged(prefix);
}
