#include "net/handover.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "net/listen.h"
#include "os/sys.h"

enum { SEND_BUFFER_BYTES = 512 * 1024 };
static const char MAGIC[4] = {'S', 'L', 'H', '1'};

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static int connect_channel(struct sl_handover *channel, struct sl_error *err)
{
	int rc = sl_net_connect_unix(channel->path, SOCK_SEQPACKET, &channel->fd, err);
	int bytes = SEND_BUFFER_BYTES;
	if (!rc)
		setsockopt(channel->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
	return rc;
}

void sl_handover_close(struct sl_handover *channel)
{
	if (channel->fd >= 0)
		sl_sys->close(channel->fd);
	channel->fd = -1;
}

/* 0 or errno. */
static int send_connection(int channel, int fd, const char *data, size_t len)
{
	unsigned char head[SL_HANDOVER_HEAD_BYTES];
	memcpy(head, MAGIC, sizeof MAGIC);
	for (int i = 0; i < 4; i++)
		head[4 + i] = (unsigned char)(len >> (8 * i));
	struct iovec iov[2] = {{head, sizeof head}, {(void *)(uintptr_t)data, len}};
	union control control = {0};
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2, .msg_control = control.bytes,
		.msg_controllen = sizeof control.bytes};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	ssize_t n;
	do
		n = sendmsg(channel, &message, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? errno : 0;
}

int sl_handover_send(struct sl_handover *channel, int fd, const char *data, size_t len, struct sl_error *err)
{
	/* A head's limit and one read, so this cannot happen with the limits that servers use. */
	if (len > SL_HANDOVER_BYTES_MAX)
		return sl_fail_at(err, SL_E_BUSY, channel->path, "more than %d bytes were read already", SL_HANDOVER_BYTES_MAX);
	/* A channel that broke since its last use is made anew, once. */
	for (int attempt = 0; attempt < 2; attempt++) {
		int rc = channel->fd < 0 ? connect_channel(channel, err) : 0;
		if (rc)
			return rc;
		int error = send_connection(channel->fd, fd, data, len);
		if (!error)
			return 0;
		if (error == EAGAIN || error == EWOULDBLOCK)
			return sl_fail_at(err, SL_E_BUSY, channel->path, "takes no more connections now");
		sl_handover_close(channel);
	}
	return sl_fail_at(err, SL_E_BUSY, channel->path, "nobody takes connections there now");
}

/* The descriptor in a message, or -1. */
static int received_fd(struct msghdr *message)
{
	int fd = -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof fd))
			memcpy(&fd, CMSG_DATA(c), sizeof fd);
	return fd;
}

static bool is_whole(const char *data, size_t len, int flags)
{
	if ((flags & (MSG_TRUNC | MSG_CTRUNC)) || len < SL_HANDOVER_HEAD_BYTES || memcmp(data, MAGIC, sizeof MAGIC) != 0)
		return false;
	size_t announced = 0;
	for (int i = 0; i < 4; i++)
		announced |= (size_t)(unsigned char)data[4 + i] << (8 * i);
	return announced == len - SL_HANDOVER_HEAD_BYTES;
}

ssize_t sl_handover_receive(int channel_fd, char *data, int *ret_fd)
{
	union control control = {0};
	struct iovec iov = {data, SL_HANDOVER_HEAD_BYTES + SL_HANDOVER_BYTES_MAX};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
		.msg_controllen = sizeof control.bytes};
	ssize_t n = recvmsg(channel_fd, &message, MSG_CMSG_CLOEXEC);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return SL_HANDOVER_NONE;
	int fd = n > 0 ? received_fd(&message) : -1;
	if (fd >= 0 && is_whole(data, (size_t)n, message.msg_flags)) {
		*ret_fd = fd;
		return n - SL_HANDOVER_HEAD_BYTES;
	}
	if (fd >= 0)
		sl_sys->close(fd);
	return SL_HANDOVER_BROKEN;
}
