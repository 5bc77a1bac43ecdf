#include "net/wire.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include "os/sys.h"

enum { TLS_FILE_PIECE_BYTES = 16 * 1024 }; /* one TLS record */

static ssize_t from_errno(void) { return errno == EAGAIN || errno == EWOULDBLOCK ? SL_WIRE_AGAIN : SL_WIRE_BROKEN; }

/* The result of an SSL_ call that moved nothing. `wants_other` is set when the other direction must move first. */
static ssize_t from_ssl(struct sl_wire *wire, int rc, bool reading)
{
	int error = SSL_get_error(wire->ssl, rc);
	ERR_clear_error();
	if (error == SSL_ERROR_ZERO_RETURN)
		return reading ? 0 : SL_WIRE_BROKEN;
	if (error == SSL_ERROR_WANT_READ) {
		wire->write_wants_read = !reading;
		return SL_WIRE_AGAIN;
	}
	if (error == SSL_ERROR_WANT_WRITE) {
		wire->read_wants_write = reading;
		return SL_WIRE_AGAIN;
	}
	return SL_WIRE_BROKEN;
}

ssize_t sl_wire_read(struct sl_wire *wire, void *data, size_t len)
{
	if (wire->fd < 0)
		return SL_WIRE_AGAIN;
	if (wire->ssl) {
		wire->read_wants_write = false;
		int n = SSL_read(wire->ssl, data, len > INT_MAX ? INT_MAX : (int)len);
		return n > 0 ? n : from_ssl(wire, n, true);
	}
	ssize_t n;
	do
		n = recv(wire->fd, data, len, 0);
	while (n < 0 && errno == EINTR);
	return n >= 0 ? n : from_errno();
}

static ssize_t tls_write(struct sl_wire *wire, const void *data, size_t len)
{
	wire->write_wants_read = false;
	int n = SSL_write(wire->ssl, data, len > INT_MAX ? INT_MAX : (int)len);
	return n > 0 ? n : from_ssl(wire, n, false);
}

/* Piece by piece: TLS makes records anyway. What was taken before a refusal counts. */
static ssize_t tls_writev(struct sl_wire *wire, const struct iovec *iov, int count)
{
	ssize_t total = 0;
	for (int i = 0; i < count; i++) {
		for (size_t done = 0; done < iov[i].iov_len;) {
			ssize_t n = tls_write(wire, (const char *)iov[i].iov_base + done, iov[i].iov_len - done);
			if (n < 0)
				return total ? total : n;
			done += (size_t)n;
			total += n;
		}
	}
	return total;
}

ssize_t sl_wire_writev(struct sl_wire *wire, const struct iovec *iov, int count)
{
	if (wire->fd < 0) {
		size_t before = wire->capture->len;
		for (int i = 0; i < count; i++)
			sl_buf_add(wire->capture, iov[i].iov_base, iov[i].iov_len);
		return wire->capture->failed ? SL_WIRE_BROKEN : (ssize_t)(wire->capture->len - before);
	}
	if (wire->ssl)
		return tls_writev(wire, iov, count);
	ssize_t n;
	do
		n = count == 1 ? send(wire->fd, iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL) : writev(wire->fd, iov, count);
	while (n < 0 && errno == EINTR);
	return n >= 0 ? n : from_errno();
}

ssize_t sl_wire_sendfile(struct sl_wire *wire, int file_fd, off_t offset, size_t len)
{
	ssize_t n;
	if (wire->fd >= 0 && !wire->ssl) {
		do
			n = sendfile(wire->fd, file_fd, &offset, len);
		while (n < 0 && errno == EINTR);
		return n >= 0 ? n : from_errno();
	}
	char piece[TLS_FILE_PIECE_BYTES];
	do
		n = sl_sys->pread(file_fd, piece, len < sizeof piece ? len : sizeof piece, offset);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? SL_WIRE_BROKEN : 0;
	struct iovec iov = {piece, (size_t)n};
	return sl_wire_writev(wire, &iov, 1);
}

void sl_wire_shutdown(struct sl_wire *wire)
{
	if (wire->ssl) {
		SSL_shutdown(wire->ssl);
		ERR_clear_error();
	}
	if (wire->fd >= 0)
		shutdown(wire->fd, SHUT_WR);
}

void sl_wire_close(struct sl_wire *wire)
{
	SSL_free(wire->ssl);
	if (wire->fd >= 0)
		sl_sys->close(wire->fd);
	wire->ssl = NULL;
	wire->fd = -1;
}
