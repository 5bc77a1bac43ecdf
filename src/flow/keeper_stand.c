/* The keeper itself: one thread, one set of processes, at most one run at the other end of the socket. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "flow/keeper_message.h"
#include "flow/retry.h"
#include "os/clock.h"
#include "os/sandbox.h"
#include "os/sys.h"

enum { PIECE = 64 << 10, BESIDE_MAX = 64, OUT_MAX = 64 << 20 };
enum { FIRST_FREE_FD = 8 }; /* a child's own begin below it (os/process.h) */
#define EVENTS_BYTES_MAX (UINT64_C(256) << 20) /* of one process; what comes behind is counted and dropped */

struct kept {
	struct kept *next;
	struct keeper *keeper;
	struct sl_arena *arena;
	struct flow_kept_start start;
	struct sl_process *process;
	struct flow_kept_end end;
	int events_fd; /* -1: it has told nothing */
	uint64_t events_left, events_dropped;
};

struct keeper {
	const char *name; /* of its folder, in which it works: the beginning of every tag */
	struct sl_processes *set;
	struct kept *first;
	int epoll_fd, listen_fd, run_fd; /* run_fd -1: nobody is there */
	struct sl_buf in, out;
	int beside[BESIDE_MAX]; /* descriptors that came and whose messages were not yet read */
	size_t beside_count;
	int held_fd;            /* the run's listening socket; -1 */
	bool over;
};

/* ---- to the run --------------------------------------------------------------------------------------------------------------------- */

static void lose_run(struct keeper *k)
{
	sl_file_close(&k->run_fd);
	sl_buf_clear(&k->in);
	sl_buf_clear(&k->out);
	while (k->beside_count)
		close(k->beside[--k->beside_count]);
}

/* What the socket does not take stays for the next time: the keeper must never wait for a run that was stopped. */
static void flush(struct keeper *k)
{
	size_t done = 0;
	ssize_t n = 0;
	while (k->run_fd >= 0 && done < k->out.len && (n = send(k->run_fd, k->out.data + done, k->out.len - done, MSG_NOSIGNAL | MSG_DONTWAIT)) > 0)
		done += (size_t)n;
	if (k->run_fd < 0)
		return;
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		lose_run(k);
		return;
	}
	if (done) {
		memmove(k->out.data, k->out.data + done, k->out.len - done);
		k->out.len -= done;
	}
	struct epoll_event event = {.events = EPOLLIN | (k->out.len ? EPOLLOUT : 0U), .data.fd = k->run_fd};
	epoll_ctl(k->epoll_fd, EPOLL_CTL_MOD, k->run_fd, &event);
}

static void say(struct keeper *k, char kind, const char *text, size_t len)
{
	if (k->run_fd < 0)
		return;
	flow_message_add(&k->out, kind, text, len);
	flush(k);
}

/* ---- what processes say --------------------------------------------------------------------------------------------------------------- */

static void on_line(void *context, char stream, const char *line, size_t len)
{
	struct kept *one = context;
	const struct sl_retry retry = {.texts = *one->start.texts};
	(void)stream;
	one->end.text |= retry.texts.count && flow_retry_text(&retry, line, len);
}

/* "MILLISECONDS JSON": a run that reads it late still knows when it was told. */
static void on_event(void *context, const char *line, size_t len)
{
	struct kept *one = context;
	char name[FLOW_KEPT_ID + 8], time[32];
	int n = snprintf(time, sizeof time, "%lld ", (long long)sl_now_ms());
	if (one->events_fd < 0) {
		snprintf(name, sizeof name, "%s.events", one->start.id);
		if (sl_file_open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600, &one->events_fd, NULL) == 0)
			say(one->keeper, 'N', one->start.id, strlen(one->start.id));
	}
	SL_AUTO_BUF struct sl_buf whole = SL_BUF_INIT(SL_PROCESS_EVENT_MAX + 64);
	sl_buf_add(&whole, time, (size_t)n);
	sl_buf_add(&whole, line, len);
	sl_buf_char(&whole, '\n');
	bool fits = one->events_fd >= 0 && !whole.failed && whole.len <= one->events_left;
	if (fits && sl_file_write_all(one->events_fd, whole.data, whole.len, name, NULL) == 0)
		one->events_left -= whole.len;
	else
		one->events_dropped++;
}

/* ---- beginning and end ------------------------------------------------------------------------------------------------------------------ */

static void forget(struct kept *one)
{
	struct kept **at = &one->keeper->first;
	while (*at != one)
		at = &(*at)->next;
	*at = one->next;
	sl_file_close(&one->events_fd);
	struct sl_arena *arena = one->arena; /* `one` lies in it */
	sl_arena_free(arena);
}

static void refuse(struct keeper *k, const char *id, const struct sl_error *error)
{
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(1 << 16);
	const struct { const char *name, *text; } members[] = {{"where", error->where}, {"message", error->message}, {"hint", error->hint}};
	sl_buf_printf(&text, "%s\n{\"code\":%d", id, error->code);
	for (size_t i = 0; i < SL_ARRAY_LEN(members); i++) {
		sl_buf_printf(&text, ",\"%s\":", members[i].name);
		sl_json_string(&text, members[i].text, strlen(members[i].text));
	}
	sl_buf_char(&text, '}');
	say(k, 'F', sl_buf_cstr(&text), text.len);
}

static int start_one(struct keeper *k, struct kept *one, struct sl_error *err)
{
	char tag[SL_PROCESS_CAUSE_MAX];
	snprintf(tag, sizeof tag, "%.50s.%s", k->name, one->start.id);
	one->start.process.tag = tag;
	one->start.process.on_line = one->start.texts->count ? on_line : NULL;
	one->start.process.on_event = on_event;
	one->start.process.context = one;
	return sl_process_start(k->set, &one->start.process, &one->process, err);
}

/* The descriptor that came with the message under way; -1: none. */
static int take_beside(struct keeper *k)
{
	int fd = k->beside_count ? k->beside[0] : -1;
	if (k->beside_count)
		memmove(k->beside, k->beside + 1, --k->beside_count * sizeof *k->beside);
	return fd;
}

static int on_start(struct keeper *k, const char *text, size_t len, struct sl_error *err)
{
	struct sl_arena *arena = sl_arena_new(0, err);
	struct kept *one = arena ? sl_arena_alloc(arena, sizeof *one) : NULL;
	bool ruleset = false;
	if (!one) {
		sl_arena_free(arena);
		return sl_fail_memory(err);
	}
	*one = (struct kept){.next = k->first, .keeper = k, .arena = arena, .events_fd = -1, .events_left = EVENTS_BYTES_MAX};
	k->first = one;
	int rc = flow_start_read(text, len, arena, &one->start, &ruleset, err);
	int fd = rc == 0 && ruleset ? take_beside(k) : -1;
	if (rc == 0 && ruleset && fd < 0)
		rc = sl_fail(err, SL_E_CORRUPT, "the sandbox of '%s' did not come", one->start.id);
	if (rc) {
		forget(one);
		return rc;
	}
	if (ruleset)
		((struct sl_sandbox *)(uintptr_t)one->start.process.sandbox)->ruleset_fd = fd;
	struct sl_error why;
	if (start_one(k, one, &why)) {
		refuse(k, one->start.id, &why);
		forget(one);
	}
	sl_file_close(&fd);
	return 0;
}

/* The file first: whoever is told finds it, and so does a run that comes later. It needs no fsync: when the machine stops, the step is run again. */
static void write_end(const struct kept *one, const struct sl_buf *text)
{
	char name[FLOW_KEPT_ID + 8], temporary[FLOW_KEPT_ID + 8];
	SL_AUTO_CLOSE int fd = -1;
	snprintf(name, sizeof name, "%s.exit", one->start.id);
	snprintf(temporary, sizeof temporary, "%s.new", one->start.id);
	if (sl_file_open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600, &fd, NULL) == 0 && sl_file_write_all(fd, text->data, text->len, temporary, NULL) == 0)
		sl_file_rename(temporary, name, NULL);
}

static void on_end(struct keeper *k, const struct sl_process *process, const struct sl_process_end *end)
{
	struct kept *one = k->first;
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(1 << 16), told = SL_BUF_INIT(1 << 17);
	while (one->process != process)
		one = one->next;
	one->end.end = *end;
	one->end.end.dropped_events += one->events_dropped;
	if (flow_end_write(&one->end, &text, NULL) == 0) {
		write_end(one, &text);
		sl_buf_printf(&told, "%s\n%s", one->start.id, sl_buf_cstr(&text));
		say(k, 'E', sl_buf_cstr(&told), told.len);
	}
	sl_process_free(one->process);
	forget(one);
}

/* ---- from the run ----------------------------------------------------------------------------------------------------------------------- */

static void on_stop(struct keeper *k, const char *id, size_t len, bool kill)
{
	for (struct kept *one = k->first; one; one = one->next)
		if (strlen(one->start.id) == len && memcmp(one->start.id, id, len) == 0)
			(kill ? sl_process_kill : sl_process_stop)(one->process);
}

static int on_message(struct keeper *k, char kind, const char *text, size_t len, struct sl_error *err)
{
	switch (kind) {
	case 'S': return on_start(k, text, len, err);
	case 'T':
	case 'X': on_stop(k, text, len, kind == 'X'); return 0;
	case 'L':
		sl_file_close(&k->held_fd);
		k->held_fd = take_beside(k);
		return 0;
	case 'Q': k->over = true; return 0;
	default: return sl_fail(err, SL_E_CORRUPT, "an unknown message to the keeper");
	}
}

static void keep_beside(struct keeper *k, struct msghdr *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		int fd;
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(&fd, CMSG_DATA(c), sizeof fd); /* one with a message, as the run sends them */
		int high = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
		close(fd);
		if (high >= 0 && k->beside_count < BESIDE_MAX)
			k->beside[k->beside_count++] = high;
		else
			sl_file_close(&high);
	}
}

/* One piece, and the messages that it makes whole. False when nothing more is there for now, or at all. */
static bool read_piece(struct keeper *k)
{
	union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control;
	char *piece = sl_buf_reserve(&k->in, PIECE);
	struct iovec part = {piece, PIECE};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
	ssize_t n = piece ? recvmsg(k->run_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) : 0;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		lose_run(k);
		return false;
	}
	keep_beside(k, &message);
	k->in.len += (size_t)n;
	char kind;
	const char *text;
	size_t len, done = 0;
	int size;
	struct sl_buf rest = k->in;
	while ((size = flow_message_first(&rest, &kind, &text, &len, NULL)) > 0 && on_message(k, kind, text, len, NULL) == 0 && k->run_fd >= 0) {
		done += (size_t)size;
		rest.data += size;
		rest.len -= (size_t)size;
	}
	if (k->run_fd >= 0 && (size < 0 || (size > 0 && !k->over))) /* not what a run of ours says */
		lose_run(k);
	if (k->run_fd < 0)
		return false;
	memmove(k->in.data, k->in.data + done, k->in.len - done);
	k->in.len -= done;
	return true;
}

/* At the beginning of a connection, so it is taken whole. */
static void pass_held(struct keeper *k)
{
	union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control = {.room = {0}};
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(FLOW_MESSAGE_HEAD);
	flow_message_add(&text, 'L', "", 0);
	struct iovec part = {text.data, text.len};
	struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	*c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof k->held_fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(c), &k->held_fd, sizeof k->held_fd);
	if (sendmsg(k->run_fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)text.len)
		lose_run(k);
}

static void greet(struct keeper *k)
{
	SL_AUTO_BUF struct sl_buf ids = SL_BUF_INIT(FLOW_MESSAGE_MAX);
	struct epoll_event event = {.events = EPOLLIN, .data.fd = k->run_fd};
	epoll_ctl(k->epoll_fd, EPOLL_CTL_ADD, k->run_fd, &event);
	if (k->held_fd >= 0)
		pass_held(k);
	for (const struct kept *one = k->first; one; one = one->next)
		sl_buf_printf(&ids, "%s\n", one->start.id);
	say(k, 'H', sl_buf_cstr(&ids), ids.len);
}

/* Another run. What the one before said last is done first: its intents are on record, and the new one asks what became of them. */
static void accept_run(struct keeper *k)
{
	int fd = accept4(k->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	while (k->run_fd >= 0 && read_piece(k))
		;
	if (fd < 0 || k->run_fd >= 0) { /* the lock on runs makes this impossible */
		sl_file_close(&fd);
		return;
	}
	k->run_fd = fd;
	greet(k);
}

/* ---- the whole ---------------------------------------------------------------------------------------------------------------------------- */

static void serve_fds(struct keeper *k)
{
	struct epoll_event ready[4];
	int n = epoll_wait(k->epoll_fd, ready, SL_ARRAY_LEN(ready), 0);
	for (int i = 0; i < n; i++) {
		if (ready[i].data.fd == k->listen_fd) {
			accept_run(k);
		} else if (ready[i].data.fd == k->run_fd) {
			flush(k);
			while (k->run_fd >= 0 && !k->over && read_piece(k))
				;
		}
	}
}

static void serve(struct keeper *k)
{
	struct sl_process *process;
	struct sl_process_end end;
	struct pollfd fd = {.fd = k->epoll_fd, .events = POLLIN};
	while (!k->over && (k->run_fd >= 0 || sl_processes_running(k->set))) {
		if (!sl_processes_running(k->set))
			poll(&fd, 1, -1);
		else if (sl_processes_wait(k->set, -1, &process, &end) == 1)
			on_end(k, process, &end);
		serve_fds(k);
	}
}

static int listen_here(struct keeper *k, struct sl_error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
	struct epoll_event event = {.events = EPOLLIN};
	k->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	k->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	event.data.fd = k->listen_fd;
	if (k->epoll_fd < 0 || k->listen_fd < 0 || bind(k->listen_fd, (struct sockaddr *)&address, sizeof address) || listen(k->listen_fd, 4) ||
	    epoll_ctl(k->epoll_fd, EPOLL_CTL_ADD, k->listen_fd, &event))
		return sl_fail_errno(err, errno, "socket", "cannot listen");
	sl_processes_watch(k->set, k->epoll_fd);
	return 0;
}

/* Standard input becomes what it is for others. */
static int take_socket(void)
{
	SL_AUTO_CLOSE int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int fd = fcntl(0, F_DUPFD_CLOEXEC, 3);
	if (null >= 0)
		dup2(null, 0);
	return fd;
}

int flow_keeper_stand(const char *dir)
{
	const char *slash = strrchr(dir, '/');
	struct keeper k = {.name = slash ? slash + 1 : dir, .epoll_fd = -1, .listen_fd = -1, .run_fd = -1, .held_fd = -1, .in = SL_BUF_INIT(FLOW_MESSAGE_MAX + PIECE),
			   .out = SL_BUF_INIT(OUT_MAX)};
	struct sl_error err;
	int rc = chdir(dir) ? sl_fail_errno(&err, errno, dir, "cannot enter") : sl_processes_new(&k.set, &err);
	rc = rc ? rc : listen_here(&k, &err);
	if (!rc) {
		signal(SIGPIPE, SIG_IGN);
		signal(SIGTERM, SIG_DFL); /* its processes end with it */
		signal(SIGINT, SIG_DFL);
		signal(SIGHUP, SIG_IGN);
		k.run_fd = take_socket();
		greet(&k);
		serve(&k);
	}
	sl_processes_free(k.set);
	while (k.first) {
		struct kept *one = k.first;
		k.first = one->next;
		sl_file_close(&one->events_fd);
		sl_arena_free(one->arena);
	}
	lose_run(&k);
	sl_sys->unlink("socket");
	sl_sys->rmdir(dir); /* empty unless ends wait to be read */
	sl_file_close(&k.listen_fd);
	sl_file_close(&k.held_fd);
	sl_file_close(&k.epoll_fd);
	sl_buf_done(&k.in);
	sl_buf_done(&k.out);
	return sl_code_exit_status(rc);
}
