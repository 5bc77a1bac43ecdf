/* A bell between the processes of one project: whoever committed a change that a running role should see at once rings, the
 * roles' loops wake. A file `.sluice/bell` that is written to; listeners watch it with inotify. It carries nothing: a listener
 * looks for itself, and looks every second or so anyway, so a bell that could not be rung costs a second and nothing else.
 */
#ifndef SL_TRACK_NOTIFY_H
#define SL_TRACK_NOTIFY_H

#include "base/error.h"

/* After the commit; never fails. `store_dir` = .sluice */
void sl_notify_ring(const char *store_dir);
/* A descriptor that becomes readable when somebody rings; the caller closes it. */
int sl_notify_listen(const char *store_dir, int *ret_fd, struct sl_error *err);
/* Takes what was rung so far, so that the descriptor is not readable any more. */
void sl_notify_clear(int fd);

#endif
