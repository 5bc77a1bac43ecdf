#include "app/role_log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static int open_file(struct sl_role_log *log, struct sl_error *err)
{
	struct sl_file_info info;
	int rc = sl_file_open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600, &log->fd, err);
	if (!rc)
		rc = sl_file_info(log->path, &info, err);
	if (!rc)
		log->size_bytes = info.size_bytes;
	return rc;
}

int sl_role_log_open(struct sl_role_log *log, const char *dir, const char *role, struct sl_error *err)
{
	*log = (struct sl_role_log){.fd = -1};
	if (snprintf(log->path, sizeof log->path, "%s/%s.log", dir, role) >= (int)sizeof log->path)
		return sl_fail(err, SL_E_TOO_LARGE, "the path of the log is too long");
	return open_file(log, err);
}

void sl_role_log_close(struct sl_role_log *log) { sl_file_close(&log->fd); }

static void rotate(struct sl_role_log *log)
{
	char old[SL_PATH_MAX + 2];
	snprintf(old, sizeof old, "%s.1", log->path);
	sl_file_close(&log->fd);
	log->fd = -1;
	sl_file_rename(log->path, old, NULL);
	open_file(log, NULL);
}

static void remember(struct sl_role_log *log, const char *data, size_t len)
{
	if (len >= SL_ROLE_LOG_TAIL) {
		memcpy(log->tail, data + len - SL_ROLE_LOG_TAIL, SL_ROLE_LOG_TAIL);
		log->tail_len = SL_ROLE_LOG_TAIL;
		return;
	}
	size_t keep = log->tail_len + len > SL_ROLE_LOG_TAIL ? SL_ROLE_LOG_TAIL - len : log->tail_len;
	memmove(log->tail, log->tail + log->tail_len - keep, keep);
	memcpy(log->tail + keep, data, len);
	log->tail_len = keep + len;
}

void sl_role_log_write(struct sl_role_log *log, const char *data, size_t len)
{
	remember(log, data, len);
	if (log->size_bytes + len > SL_ROLE_LOG_BYTES)
		rotate(log);
	if (log->fd >= 0 && sl_file_write_all(log->fd, data, len, log->path, NULL) == 0)
		log->size_bytes += len;
}

void sl_role_log_take_tail(struct sl_role_log *log, char *out, size_t size)
{
	size_t at = 0;
	const char *from = log->tail;
	log->tail[log->tail_len] = 0;
	if (log->tail_len == SL_ROLE_LOG_TAIL && strchr(from, '\n')) /* begins within a line */
		from = strchr(from, '\n') + 1;
	for (; *from && at + 4 < size; from++) {
		if (*from != '\n')
			out[at++] = (unsigned char)*from < 0x20 ? ' ' : *from;
		else if (from[1])
			at += (size_t)snprintf(out + at, size - at, " | ");
	}
	out[at] = 0;
	log->tail_len = 0;
}
