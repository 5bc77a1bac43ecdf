/* Archives: every member that comes through is a plain file within the archive, begun and ended in turn. */
#include <assert.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "os/file.h"
#include "port/archive.h"

struct seen { bool within; uint64_t bytes; };

static int begin(void *context, const struct sl_archive_member *member, struct sl_error *err)
{
	struct seen *seen = context;
	(void)err;
	assert(!seen->within && member->len && member->len == strlen(member->path) && member->len < SL_PATH_MAX && member->path[0] != '/');
	assert(strcmp(member->path, "..") != 0 && strncmp(member->path, "../", 3) != 0 && !strstr(member->path, "/../"));
	seen->within = true;
	return 0;
}

static int piece(void *context, const void *data, size_t len, struct sl_error *err)
{
	struct seen *seen = context;
	(void)data;
	assert(seen->within && len);
	seen->bytes += len;
	return seen->bytes > 64 << 20 ? sl_fail(err, SL_E_TOO_LARGE, "enough") : 0;
}

static int end(void *context, struct sl_error *err)
{
	struct seen *seen = context;
	(void)err;
	assert(seen->within);
	seen->within = false;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char path[64];
	struct seen seen = {0};
	const struct sl_archive_taker taker = {begin, piece, end, &seen};
	snprintf(path, sizeof path, "/tmp/sl-fuzz-archive-%ld", (long)getpid());
	int fd SL_AUTO_CLOSE = -1;
	assert(sl_file_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, NULL) == 0 && sl_file_write_all(fd, data, len, path, NULL) == 0);
	sl_archive_unpack(path, "fuzzed", &taker, NULL);
	unlink(path);
	return 0;
}
