/* What children say: lines with times into the log, JSON lines to the caller; and what the kernel says of them. */
#include "os/process_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/sys.h"

static void flush_log(struct sl_process *p)
{
	size_t len = p->log.len, fits = len < p->log_left ? len : (size_t)p->log_left;
	if (p->log_fd >= 0 && len) {
		if (fits && sl_file_write_all(p->log_fd, p->log.data, fits, "log", NULL))
			fits = 0; /* a full disk must not stop the step: its output is dropped and counted */
		p->log_left -= fits;
		p->end.dropped_bytes += len - fits;
		if (fits < len)
			sl_file_close(&p->log_fd);
	}
	sl_buf_clear(&p->log);
}

/* At the first line: most steps of a large run say nothing, and a folder and a file for each would cost more than the step. */
static void open_log(struct sl_process *p)
{
	char *slash = strrchr(p->log_path, '/');
	if (slash && slash > p->log_path) {
		*slash = 0;
		sl_dir_make(p->log_path, NULL); /* what fails here fails again in the next line */
		*slash = '/';
	}
	sl_file_open(p->log_path, O_WRONLY | O_CREAT | O_TRUNC, 0644, &p->log_fd, NULL);
	sl_free(SL_TAKE(p->log_path));
}

static void put_line(struct sl_process *p, int kind, const char *line, size_t len)
{
	if (kind == PIPE_EVENTS) {
		if (p->on_event && len)
			p->on_event(p->context, line, len);
		return;
	}
	const char stream[] = {' ', kind == PIPE_OUT ? 'o' : 'e', ' ', 0};
	if (p->on_line)
		p->on_line(p->context, stream[1], line, len);
	if (p->log_path)
		open_log(p);
	if (p->log_fd < 0) {
		p->end.dropped_bytes += p->has_log ? len + 1 : 0;
		return;
	}
	sl_buf_str(&p->log, p->now);
	sl_buf_str(&p->log, stream);
	sl_buf_add(&p->log, line, len);
	sl_buf_char(&p->log, '\n');
	if (p->log.len > READ_BYTES)
		flush_log(p);
}

/* Adds to the line that is being collected; a full one is cut (output) or dropped (JSON). */
static void collect(struct sl_process *p, int kind, const char *data, size_t len)
{
	struct input *in = &p->inputs[kind];
	while (len && !in->skipping) {
		size_t room = in->line.max - in->line.len, n = len < room ? len : room;
		sl_buf_add(&in->line, data, n);
		data += n;
		len -= n;
		if (in->line.failed || (len && kind == PIPE_EVENTS)) {
			in->skipping = kind == PIPE_EVENTS;
			p->end.dropped_events += kind == PIPE_EVENTS;
			sl_buf_clear(&in->line);
			len = in->skipping ? 0 : len;
		} else if (len) {
			put_line(p, kind, in->line.data, in->line.len);
			sl_buf_clear(&in->line);
		}
	}
}

static void split_lines(struct sl_process *p, int kind, const char *data, size_t len)
{
	struct input *in = &p->inputs[kind];
	for (const char *end; len && (end = memchr(data, '\n', len));) {
		size_t n = (size_t)(end - data);
		if (in->line.len == 0 && !in->skipping && n <= in->line.max) {
			put_line(p, kind, data, n);
		} else {
			collect(p, kind, data, n);
			if (!in->skipping)
				put_line(p, kind, sl_buf_cstr(&in->line), in->line.len);
		}
		sl_buf_clear(&in->line);
		in->skipping = false;
		data = end + 1;
		len -= n + 1;
	}
	collect(p, kind, data, len);
}

bool sl_process_read(struct sl_process *p, int kind)
{
	struct input *in = &p->inputs[kind];
	if (in->fd < 0)
		return false;
	ssize_t n = sl_sys->read(in->fd, p->set->piece, READ_BYTES);
	if (n < 0 && errno == EINTR)
		return true;
	if (n > 0) {
		sl_time_format(sl_now_ms(), p->now);
		p->end.output_bytes += kind == PIPE_EVENTS ? 0 : (uint64_t)n;
		split_lines(p, kind, p->set->piece, (size_t)n);
		flush_log(p);
		return true;
	}
	if (n == 0 || errno != EAGAIN) {
		if (in->line.len && !in->skipping)
			put_line(p, kind, in->line.data, in->line.len);
		sl_buf_clear(&in->line);
		flush_log(p);
		sl_file_close(&in->fd);
	}
	return false;
}

int64_t sl_process_oom_kills(void)
{
	static const char NAME[] = "oom_kill ";
	char text[8 << 10];
	long long kills = -1;
	int fd = open("/proc/vmstat", O_RDONLY | O_CLOEXEC);
	ssize_t n = 0, len = 0;
	while (fd >= 0 && (n = read(fd, text + len, sizeof text - 1 - (size_t)len)) > 0)
		len += n;
	text[len] = 0;
	const char *line = strstr(text, NAME);
	if (line)
		sscanf(line + sizeof NAME - 1, "%lld", &kills);
	if (fd >= 0)
		close(fd);
	return kills;
}
