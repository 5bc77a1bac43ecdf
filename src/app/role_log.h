/* The log of one role: what it writes to standard error, kept in .sluice/log/ROLE.log. At SL_ROLE_LOG_BYTES the file becomes
 * ROLE.log.1 (the older one goes), so that a role that talks without end cannot fill the disk. The last lines stay in memory for
 * the report of its death. */
#ifndef SL_APP_ROLE_LOG_H
#define SL_APP_ROLE_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "os/file.h"

enum { SL_ROLE_LOG_BYTES = 8 << 20, SL_ROLE_LOG_TAIL = 400 };

struct sl_role_log {
	char path[SL_PATH_MAX];
	int fd;
	uint64_t size_bytes;
	char tail[SL_ROLE_LOG_TAIL + 1]; /* the newest bytes */
	size_t tail_len;
};

int sl_role_log_open(struct sl_role_log *log, const char *dir, const char *role, struct sl_error *err);
void sl_role_log_close(struct sl_role_log *log);
/* Errors are dropped: a full disk must not stop the role. */
void sl_role_log_write(struct sl_role_log *log, const char *data, size_t len);
/* The last whole lines as one line of text, " | " between them; "" when it said nothing. Forgets them. */
void sl_role_log_take_tail(struct sl_role_log *log, char *out, size_t size);

#endif
