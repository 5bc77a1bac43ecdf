/* The run's side: starts keepers, asks them, hears of ends. */
#include "flow/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "flow/keeper_message.h"
#include "os/clock.h"
#include "os/sandbox.h"
#include "os/sys.h"

enum { PIECE = 64 << 10, READY_MS = 30000 };

struct flow_keeper {
	struct flow_keeper *next;
	int pid; /* 0: taken over */
	int fd;  /* -1: lost */
	bool told_lost;
	struct sl_buf in;
	size_t taken;  /* of `in`: read and done with */
	int held_fd;   /* came with its L; -1 */
	char *working; /* of its H; NULL: it did not come yet */
	char dir[SL_PATH_MAX];
};

const char *flow_keeper_dir(const struct flow_keeper *keeper) { return keeper->dir; }

static void free_keeper(struct flow_keeper *k)
{
	sl_file_close(&k->fd);
	sl_file_close(&k->held_fd);
	sl_buf_done(&k->in);
	sl_free(k->working);
	sl_free(k);
}

static struct flow_keeper *make(const char *dir, struct sl_error *err)
{
	struct flow_keeper *k = sl_alloc(sizeof *k, err);
	if (!k)
		return NULL;
	*k = (struct flow_keeper){.fd = -1, .held_fd = -1};
	sl_buf_init(&k->in, FLOW_MESSAGE_MAX + PIECE);
	snprintf(k->dir, sizeof k->dir, "%s", dir);
	return k;
}

static void add(struct flow_keepers *keepers, struct flow_keeper *k)
{
	k->next = keepers->first;
	keepers->first = k;
}

/* ---- messages ----------------------------------------------------------------------------------------------------------------------- */

/* What recv does, and the descriptor that may come along. */
static ssize_t receive(struct flow_keeper *k, char *piece)
{
	union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control;
	struct iovec part = {piece, PIECE};
	struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
	ssize_t n = recvmsg(k->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
		sl_file_close(&k->held_fd);
		memcpy(&k->held_fd, CMSG_DATA(c), sizeof k->held_fd);
	}
	return n;
}

/* Waits for something to read; false when the time is over or the keeper is gone. */
static bool fill(struct flow_keeper *k, int timeout_ms)
{
	struct pollfd fd = {.fd = k->fd, .events = POLLIN};
	if (k->fd < 0 || poll(&fd, 1, timeout_ms) <= 0)
		return false;
	if (k->taken) /* a buffer that holds nothing yet has no data */
		memmove(k->in.data, k->in.data + k->taken, k->in.len - k->taken);
	k->in.len -= k->taken;
	k->taken = 0;
	char *piece = sl_buf_reserve(&k->in, PIECE);
	ssize_t n = piece ? receive(k, piece) : 0;
	if (n > 0)
		k->in.len += (size_t)n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		sl_file_close(&k->fd);
	return n > 0;
}

/* The next whole message; false when there is none. */
static bool next_message(struct flow_keeper *k, char *ret_kind, const char **ret_text, size_t *ret_len)
{
	if (k->in.len == k->taken)
		return false;
	const struct sl_buf rest = {.data = k->in.data + k->taken, .len = k->in.len - k->taken};
	int size = flow_message_first(&rest, ret_kind, ret_text, ret_len, NULL);
	if (size < 0)
		sl_file_close(&k->fd);
	k->taken += size > 0 ? (size_t)size : 0;
	return size > 0;
}

/* With `beside`, a descriptor, unless it is -1. */
static int send_all(struct flow_keeper *k, const struct sl_buf *message, int beside, struct sl_error *err)
{
	union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control = {.room = {0}};
	struct iovec part = {message->data, message->len};
	struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
	if (beside >= 0) {
		m.msg_control = control.room;
		m.msg_controllen = sizeof control.room;
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		*c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof beside), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(c), &beside, sizeof beside);
	}
	while (part.iov_len && k->fd >= 0) {
		ssize_t n = sendmsg(k->fd, &m, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return sl_fail_errno(err, errno, "keeper", "cannot reach what keeps the steps");
		m.msg_control = NULL;
		m.msg_controllen = 0;
		part.iov_base = (char *)part.iov_base + n;
		part.iov_len -= (size_t)n;
	}
	return k->fd >= 0 ? 0 : sl_fail(err, SL_E_IO, "what keeps the steps is gone");
}

static int send_text(struct flow_keeper *k, char kind, const char *text, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf message = SL_BUF_INIT(4096);
	flow_message_add(&message, kind, text, strlen(text));
	return send_all(k, &message, -1, err);
}

/* ---- coming and going ------------------------------------------------------------------------------------------------------------------ */

int flow_keeper_new(struct flow_keepers *keepers, const char *program, const char *dir, struct flow_keeper **ret, struct sl_error *err)
{
	int fds[2];
	char *job = sl_alloc(sizeof FLOW_KEEPER + strlen(dir), err);
	struct flow_keeper *k = job ? make(dir, err) : NULL;
	if (!k) {
		sl_free(job);
		return SL_E_NO_MEMORY;
	}
	sprintf(job, FLOW_KEEPER "%s", dir);
	const char *const argv[] = {program, "worker", job, NULL};
	int rc = sl_dir_make(dir, err);
	if (!rc && sl_sys->chmod(dir, 0700)) /* whoever reaches the socket may stop steps */
		rc = sl_fail_errno(err, errno, dir, "cannot close it to others");
	if (!rc && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		rc = sl_fail_errno(err, errno, "socketpair", "cannot make a socket");
	else if (!rc) {
		k->fd = fds[0];
		rc = sl_process_detach(argv, fds[1], &k->pid, err);
		close(fds[1]);
	}
	sl_free(job);
	if (rc) {
		free_keeper(k);
		return rc;
	}
	add(keepers, k);
	*ret = k;
	return 0;
}

int flow_keeper_ready(struct flow_keeper *k, struct sl_error *err)
{
	int64_t until = sl_monotonic_ns() + READY_MS * INT64_C(1000000);
	const char *text;
	size_t len;
	char kind;
	while (!k->working) {
		if (next_message(k, &kind, &text, &len)) {
			if (kind == 'L')
				continue;
			k->working = kind == 'H' ? sl_alloc(len + 1, err) : NULL;
			if (!k->working)
				return kind == 'H' ? SL_E_NO_MEMORY : sl_fail(err, SL_E_CORRUPT, "what keeps the steps does not say what it should");
			memcpy(k->working, text, len);
			k->working[len] = 0;
		} else if (k->fd < 0 || sl_monotonic_ns() > until) {
			return sl_fail(err, SL_E_IO, "what keeps the steps did not start");
		} else {
			fill(k, 100);
		}
	}
	return 0;
}

int flow_keeper_hold(struct flow_keeper *k, int listen_fd, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf message = SL_BUF_INIT(FLOW_MESSAGE_HEAD);
	flow_message_add(&message, 'L', "", 0);
	return send_all(k, &message, listen_fd, err);
}

int flow_keeper_held(struct flow_keeper *k)
{
	int fd = k->held_fd;
	k->held_fd = -1;
	return fd;
}

/* Through the folder's descriptor: a socket's path has 107 characters at most. */
static int connect_in(const char *dir)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	SL_AUTO_CLOSE int folder = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	SL_AUTO_CLOSE int fd = folder < 0 ? -1 : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/socket", folder);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address))
		return -1;
	int connected = fd;
	fd = -1;
	return connected;
}

int flow_keeper_join(struct flow_keepers *keepers, const char *dir, struct flow_keeper **ret, const char **ret_working, struct sl_error *err)
{
	int fd = connect_in(dir);
	struct flow_keeper *k = fd < 0 ? NULL : make(dir, err);
	if (!k) {
		sl_file_close(&fd);
		return fd < 0 ? 0 : SL_E_NO_MEMORY;
	}
	k->fd = fd;
	if (flow_keeper_ready(k, NULL)) { /* it went this moment */
		free_keeper(k);
		return 0;
	}
	add(keepers, k);
	*ret = k;
	*ret_working = k->working;
	return 1;
}

/* Its files and its folder; whatever of it is still wanted was read. */
static void end_one(struct flow_keeper *k)
{
	if (k->pid) {
		send_text(k, 'Q', "", NULL);
		sl_file_close(&k->fd);
		sl_process_detached_join(k->pid);
		sl_dir_remove(k->dir, NULL);
	}
	free_keeper(k);
}

void flow_keepers_done(struct flow_keepers *keepers)
{
	while (keepers->first) {
		struct flow_keeper *k = keepers->first;
		keepers->first = k->next;
		end_one(k);
	}
}

/* ---- processes ---------------------------------------------------------------------------------------------------------------------------- */

int flow_keeper_start(struct flow_keeper *keeper, const struct flow_kept_start *start, struct sl_error *err)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(FLOW_MESSAGE_MAX - 1), message = SL_BUF_INIT(FLOW_MESSAGE_MAX + FLOW_MESSAGE_HEAD);
	int rc = flow_start_write(start, &text, err);
	if (rc)
		return rc;
	flow_message_add(&message, 'S', text.data, text.len);
	rc = sl_buf_check(&message, "the arguments and environment of a step", err);
	return rc ? rc : send_all(keeper, &message, start->process.sandbox ? start->process.sandbox->ruleset_fd : -1, err);
}

void flow_keeper_stop(struct flow_keeper *keeper, const char *id, bool kill) { send_text(keeper, kill ? 'X' : 'T', id, NULL); }

int flow_kept_end_read(const char *dir, const char *id, struct flow_kept_end *ret, struct sl_error *err)
{
	char path[SL_PATH_MAX], name[FLOW_KEPT_ID + 8];
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(1 << 20);
	struct sl_error why;
	snprintf(name, sizeof name, "%s.exit", id);
	int rc = sl_path_join(path, dir, name, err);
	if (rc)
		return rc;
	rc = sl_file_read(path, &text, &why);
	rc = rc ? rc : flow_end_read(text.data, text.len, ret, &why);
	return rc == 0;
}

void flow_kept_end_forget(const char *dir, const char *id)
{
	char path[SL_PATH_MAX], name[FLOW_KEPT_ID + 8];
	snprintf(name, sizeof name, "%s.exit", id);
	if (sl_path_join(path, dir, name, NULL) == 0)
		sl_sys->unlink(path);
}

static void take_refusal(const char *text, size_t len, struct sl_error *ret)
{
	SL_AUTO_JSON yyjson_doc *doc = sl_json_parse(text, len, "keeper", NULL);
	yyjson_val *root = yyjson_doc_get_root(doc);
	int code = (int)sl_json_int(root, "code", SL_E_FAILED);
	sl_fail_at(ret, code < 0 && code >= SL_E_BUG ? code : SL_E_FAILED, sl_json_str(root, "where", ""), "%s", sl_json_str(root, "message", "it could not be started"));
	sl_error_hint(ret, "%s", sl_json_str(root, "hint", ""));
}

/* True when the message is news. */
static bool take_news(struct flow_keeper *k, char kind, const char *text, size_t len, struct flow_kept_news *ret)
{
	const char *line = memchr(text, '\n', len);
	size_t n = line ? (size_t)(line - text) : len;
	if (n >= sizeof ret->id)
		return false;
	*ret = (struct flow_kept_news){.keeper = k};
	memcpy(ret->id, text, n);
	const char *rest = line ? line + 1 : text + len;
	size_t left = (size_t)(text + len - rest);
	switch (kind) {
	case 'N':
		ret->kind = FLOW_KEPT_TOLD;
		return true;
	case 'E':
		/* One that cannot be read, for memory was short, is told of all the same: nobody else would. */
		ret->kind = flow_end_read(rest, left, &ret->end, &ret->error) ? FLOW_KEPT_NOT_STARTED : FLOW_KEPT_ENDED;
		return true;
	case 'F':
		ret->kind = FLOW_KEPT_NOT_STARTED;
		take_refusal(rest, left, &ret->error);
		return true;
	default:
		return false;
	}
}

static bool find_news(struct flow_keepers *keepers, struct flow_kept_news *ret)
{
	const char *text;
	size_t len;
	char kind;
	for (struct flow_keeper *k = keepers->first; k; k = k->next) {
		while (next_message(k, &kind, &text, &len))
			if (take_news(k, kind, text, len, ret))
				return true;
		if (k->fd < 0 && !k->told_lost) {
			k->told_lost = true;
			*ret = (struct flow_kept_news){.kind = FLOW_KEEPER_LOST, .keeper = k};
			return true;
		}
	}
	return false;
}

enum { KEEPERS_MAX = 64 };

int flow_keepers_wait(struct flow_keepers *keepers, int timeout_ms, struct flow_kept_news *ret)
{
	struct pollfd fds[KEEPERS_MAX];
	nfds_t n = 0;
	if (find_news(keepers, ret))
		return 1;
	for (const struct flow_keeper *k = keepers->first; k && n < KEEPERS_MAX; k = k->next)
		if (k->fd >= 0)
			fds[n++] = (struct pollfd){.fd = k->fd, .events = POLLIN};
	if (poll(fds, n, timeout_ms) <= 0)
		return 0;
	for (struct flow_keeper *k = keepers->first; k; k = k->next)
		while (fill(k, 0))
			;
	return find_news(keepers, ret);
}
