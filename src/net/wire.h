/* Inside net/ only: bytes over a non-blocking stream socket, plain or TLS. What a connection speaks is decided above this. */
#ifndef SL_NET_WIRE_H
#define SL_NET_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/buf.h"

struct ssl_st;

struct sl_wire {
	int fd;               /* -1: no socket; writes go to `capture` (unit tests, fuzzers) */
	struct ssl_st *ssl;   /* NULL: plain */
	struct sl_buf *capture;
	bool read_wants_write; /* TLS only: the last read can go on once the socket takes bytes */
	bool write_wants_read;
};

enum { SL_WIRE_AGAIN = -1, SL_WIRE_BROKEN = -2 };
/* Bytes moved (reads: 0 is the end), SL_WIRE_AGAIN, or SL_WIRE_BROKEN. Writes take what fits, in order. */
ssize_t sl_wire_read(struct sl_wire *wire, void *data, size_t len);
ssize_t sl_wire_writev(struct sl_wire *wire, const struct iovec *iov, int count);
/* From a file without holding it; 0 when the file ends before `offset`. */
ssize_t sl_wire_sendfile(struct sl_wire *wire, int file_fd, off_t offset, size_t len);
/* Tells the peer that no more comes; it may still send. */
void sl_wire_shutdown(struct sl_wire *wire);
/* Frees the TLS state and closes the socket. */
void sl_wire_close(struct sl_wire *wire);

#endif
