#include "os/detach.h"

#include <fcntl.h>
#include <spawn.h>

extern char **environ;

static int prepare(int in, posix_spawn_file_actions_t *files, posix_spawnattr_t *how)
{
	int error = posix_spawnattr_setflags(how, POSIX_SPAWN_SETSID);
	error = error ? error : posix_spawn_file_actions_adddup2(files, in, 0);
	error = error ? error : posix_spawn_file_actions_addopen(files, 1, "/dev/null", O_WRONLY, 0);
	error = error ? error : posix_spawn_file_actions_adddup2(files, 1, 2);
	error = error ? error : posix_spawn_file_actions_addclosefrom_np(files, 3);
	return error ? error : posix_spawn_file_actions_addchdir_np(files, "/");
}

int sl_detach(const char *const *argv, int in, pid_t *ret, struct sl_error *err)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t how;
	union { const char *const *in; char *const *out; } words = {.in = argv}; /* the prototype lacks a const */
	int error = posix_spawn_file_actions_init(&files);
	if (error)
		return sl_fail_errno(err, error, argv[0], "cannot start a process");
	error = posix_spawnattr_init(&how);
	error = error ? error : prepare(in, &files, &how);
	error = error ? error : posix_spawn(ret, argv[0], &files, &how, words.out, environ);
	posix_spawnattr_destroy(&how);
	posix_spawn_file_actions_destroy(&files);
	return error ? sl_fail_errno(err, error, argv[0], "cannot start a process") : 0;
}
