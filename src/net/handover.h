/* Inside net/ only: a connection given to another process of the same user, over a SOCK_SEQPACKET unix socket.
 *
 * One message is one connection: its descriptor (SCM_RIGHTS), and as bytes
 *
 *     0  4  "SLH1"
 *     4  4  number of bytes that follow, u32 little-endian, at most SL_HANDOVER_BYTES_MAX
 *     8     what was read from the connection, from the first byte of the request on
 *
 * A descriptor that is a unix socket is the plain side of a connection whose TLS another process terminates (net/tls_front.h).
 * Sending is one system call that works at once or not at all, so no answer is awaited. */
#ifndef SL_NET_HANDOVER_H
#define SL_NET_HANDOVER_H

#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

enum { SL_HANDOVER_HEAD_BYTES = 8, SL_HANDOVER_BYTES_MAX = 160 * 1024 };

/* The sending side; connects on first use and again when the other process was restarted. */
struct sl_handover {
	int fd;           /* -1: not connected now */
	const char *path; /* of the other's socket; borrowed */
};
/* The other process has its own copy of `fd`; the caller closes his. SL_E_BUSY: nobody is there, or his queue is full. */
int sl_handover_send(struct sl_handover *channel, int fd, const char *data, size_t len, struct sl_error *err);
void sl_handover_close(struct sl_handover *channel);

/* The receiving side: one message into data[SL_HANDOVER_HEAD_BYTES + SL_HANDOVER_BYTES_MAX], of which the bytes from
 * SL_HANDOVER_HEAD_BYTES on are the connection's. Their number and the descriptor, or: nothing is there now; the channel ended
 * or sent what is no message. */
enum { SL_HANDOVER_NONE = -1, SL_HANDOVER_BROKEN = -2 };
ssize_t sl_handover_receive(int channel_fd, char *data, int *ret_fd);

#endif
