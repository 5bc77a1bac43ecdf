#include "net/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "os/file.h"
#include "os/sys.h"

enum { BACKLOG = 1024 };

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un local;
};

static int parse_address(const char *text, uint16_t port, union address *ret, socklen_t *ret_len, struct sl_error *err)
{
	memset(ret, 0, sizeof *ret);
	if (inet_pton(AF_INET, text, &ret->v4.sin_addr) == 1) {
		ret->v4.sin_family = AF_INET;
		ret->v4.sin_port = htons(port);
		*ret_len = sizeof ret->v4;
		return 0;
	}
	if (inet_pton(AF_INET6, text, &ret->v6.sin6_addr) == 1) {
		ret->v6.sin6_family = AF_INET6;
		ret->v6.sin6_port = htons(port);
		*ret_len = sizeof ret->v6;
		return 0;
	}
	sl_fail_at(err, SL_E_INVALID, text, "not a numeric address");
	return sl_error_hint(err, "write 127.0.0.1 or ::1");
}

static int fail_listen(struct sl_error *err, const char *address, uint16_t port)
{
	int reason = errno;
	char where[80];
	snprintf(where, sizeof where, "%s:%u", address, port);
	if (reason != EADDRINUSE)
		return sl_fail_errno(err, reason, where, "cannot listen");
	sl_fail_at(err, SL_E_BUSY, where, "another program listens here already");
	return sl_error_hint(err, "stop it, or choose another port");
}

int sl_net_listen(const char *address, uint16_t port, int *ret_fd, uint16_t *ret_port, struct sl_error *err)
{
	union address a;
	socklen_t len = 0;
	int rc = parse_address(address, port, &a, &len, err);
	if (rc)
		return rc;
	int fd SL_AUTO_CLOSE = socket(a.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int one = 1;
	if (fd < 0)
		return fail_listen(err, address, port);
	/* A port in TIME_WAIT may be taken again at once; two servers on one port are still refused. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (a.any.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
	if (bind(fd, &a.any, len) || listen(fd, BACKLOG) || getsockname(fd, &a.any, &len))
		return fail_listen(err, address, port);
	if (ret_port)
		*ret_port = ntohs(a.any.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
	*ret_fd = fd;
	fd = -1;
	return 0;
}

static int unix_address(const char *path, union address *ret, struct sl_error *err)
{
	memset(ret, 0, sizeof *ret);
	ret->local.sun_family = AF_UNIX;
	if (strlen(path) >= sizeof ret->local.sun_path) {
		sl_fail_at(err, SL_E_TOO_LARGE, path, "the path of a unix socket is at most %zu bytes",
			sizeof ret->local.sun_path - 1);
		return sl_error_hint(err, "use a folder with a shorter path");
	}
	memcpy(ret->local.sun_path, path, strlen(path));
	return 0;
}

int sl_net_connect_unix(const char *path, int type, int *ret_fd, struct sl_error *err)
{
	union address a;
	int rc = unix_address(path, &a, err);
	if (rc)
		return rc;
	int fd SL_AUTO_CLOSE = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return sl_fail_errno(err, errno, path, "cannot make a socket");
	if (connect(fd, &a.any, sizeof a.local)) {
		bool absent = errno == ENOENT || errno == ECONNREFUSED || errno == EAGAIN;
		return absent ? sl_fail_at(err, SL_E_BUSY, path, "nobody takes connections there now")
			      : sl_fail_errno(err, errno, path, "cannot connect");
	}
	*ret_fd = fd;
	fd = -1;
	return 0;
}

/* Removes what a dead server left; a living one keeps its place. */
static int clear_place(const char *path, int type, struct sl_error *err)
{
	struct sl_file_info info;
	struct sl_error absent;
	if (sl_file_info(path, &info, &absent))
		return 0; /* nothing there; if it is something worse, bind will say so */
	int fd SL_AUTO_CLOSE = -1;
	int rc = sl_net_connect_unix(path, type, &fd, &absent);
	if (!rc)
		return sl_fail_at(err, SL_E_BUSY, path, "another process listens here already");
	if (info.is_regular || info.is_dir)
		return sl_fail_at(err, SL_E_CONFLICT, path, "exists and is not a socket");
	return sl_sys->unlink(path) ? sl_fail_errno(err, errno, path, "cannot remove the old socket") : 0;
}

int sl_net_listen_unix(const char *path, int type, int *ret_fd, struct sl_error *err)
{
	union address a;
	int rc = unix_address(path, &a, err);
	if (!rc)
		rc = clear_place(path, type, err);
	if (rc)
		return rc;
	int fd SL_AUTO_CLOSE = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return sl_fail_errno(err, errno, path, "cannot make a socket");
	/* The mode is set before anybody can connect: nobody can until listen. */
	if (bind(fd, &a.any, sizeof a.local) || sl_sys->chmod(path, 0600) || listen(fd, BACKLOG))
		return sl_fail_errno(err, errno, path, "cannot listen");
	*ret_fd = fd;
	fd = -1;
	return 0;
}
