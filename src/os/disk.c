#include "os/disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/str.h"
#include "os/sys.h"

enum { FULL_BELOW_BYTES = 64 << 10 };

/* "/a/b" becomes "/a", "/a" becomes "/"; false at the top. */
static bool go_up(char path[SL_PATH_MAX])
{
	char *slash = strrchr(path, '/');
	if (!slash || !path[1])
		return false;
	slash[slash == path ? 1 : 0] = 0;
	return true;
}

/* The absolute path of the nearest folder above that exists, without links. */
static int find_existing(const char *path, char out[SL_PATH_MAX], struct sl_error *err)
{
	char at[SL_PATH_MAX];
	snprintf(at, sizeof at, "%s", *path ? path : ".");
	for (;;) {
		char *real = realpath(at, NULL);
		if (real && strlen(real) < SL_PATH_MAX) {
			memcpy(out, real, strlen(real) + 1);
			free(real);
			return 0;
		}
		free(real);
		if (strchr(at, '/') ? !go_up(at) : strcmp(at, ".") == 0)
			return sl_fail_errno(err, errno, path, "cannot look at it");
		if (!strchr(at, '/'))
			snprintf(at, sizeof at, ".");
	}
}

/* Up to the last folder on the same device. */
static void find_mount(char path[SL_PATH_MAX])
{
	struct stat here, above;
	char up[SL_PATH_MAX];
	memcpy(up, path, SL_PATH_MAX);
	if (sl_sys->stat(path, &here))
		return;
	while (go_up(up) && sl_sys->stat(up, &above) == 0 && above.st_dev == here.st_dev)
		memcpy(path, up, SL_PATH_MAX);
}

int sl_disk_look(const char *path, struct sl_disk *ret, struct sl_error *err)
{
	struct statvfs fs;
	int rc = find_existing(path, ret->mount, err);
	if (rc)
		return rc;
	if (statvfs(ret->mount, &fs))
		return sl_fail_errno(err, errno, ret->mount, "cannot look at the file system");
	find_mount(ret->mount);
	ret->size_bytes = (uint64_t)fs.f_blocks * fs.f_frsize;
	ret->free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	ret->no_files = fs.f_files && !fs.f_favail;
	return 0;
}

bool sl_disk_full(const char *path)
{
	struct sl_disk disk;
	return sl_disk_look(path, &disk, NULL) == 0 && (disk.no_files || disk.free_bytes < FULL_BELOW_BYTES);
}

int sl_disk_hint(struct sl_error *err, const char *path, uint64_t needed_bytes)
{
	struct sl_disk disk;
	char left[32], size[32], needs[48] = "", needed[32];
	if (!err || err->code != SL_E_NO_SPACE || *err->hint || sl_disk_look(path, &disk, NULL))
		return err ? err->code : SL_E_NO_SPACE;
	if (needed_bytes)
		snprintf(needs, sizeof needs, ", and this needs %s", sl_bytes_format(needed_bytes, needed));
	sl_bytes_format(disk.free_bytes, left);
	return sl_error_hint(err, "the file system %.200s has %s%s of %s left%s: make room there ('sluice gc' removes what nothing refers to), "
		"then do it again; nothing is half-written", disk.mount, disk.no_files ? "no more files and " : "", left,
		sl_bytes_format(disk.size_bytes, size), needs);
}
