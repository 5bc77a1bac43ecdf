#include "track/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/mem.h"
#include "os/file.h"
#include "os/sys.h"

static int open_bell(const char *store_dir, char path[SL_PATH_MAX], int *ret_fd, struct sl_error *err)
{
	int rc = sl_path_join(path, store_dir, "bell", err);
	return rc ? rc : sl_file_open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644, ret_fd, err);
}

void sl_notify_ring(const char *store_dir)
{
	char path[SL_PATH_MAX];
	int fd SL_AUTO_CLOSE = -1;
	if (open_bell(store_dir, path, &fd, NULL) == 0)
		sl_file_write_at(fd, "!", 1, 0, path, NULL); /* always the same byte: the file does not grow */
}

int sl_notify_listen(const char *store_dir, int *ret_fd, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int bell SL_AUTO_CLOSE = -1;
	int rc = open_bell(store_dir, path, &bell, err);
	if (rc)
		return rc;
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (fd < 0)
		return sl_fail_errno(err, errno, path, "cannot watch");
	if (inotify_add_watch(fd, path, IN_MODIFY) < 0) {
		rc = sl_fail_errno(err, errno, path, "cannot watch");
		sl_sys->close(fd);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

void sl_notify_clear(int fd)
{
	char events[4096];
	while (sl_sys->read(fd, events, sizeof events) > 0)
		;
}
