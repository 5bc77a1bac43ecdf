/* serve: model files behind HTTP, in this process, until SIGTERM or Ctrl-C. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "app/role.h"
#include "base/log.h"
#include "base/str.h"
#include "net/http_server.h"
#include "net/tls.h"
#include "oip/server.h"
#include "op/context.h"
#include "op/handlers.h"

enum { HOST_MAX = 256 };

struct serving {
	struct sl_loop *loop;
	struct sl_oip *oip;
	struct sl_signal *terminate, *interrupt;
	bool stopping;
};

static void on_drained(void *context)
{
	struct serving *self = context;
	sl_loop_stop(self->loop);
}

static void on_stop(void *context, int signal_number)
{
	struct serving *self = context;
	(void)signal_number;
	if (!self->stopping)
		sl_oip_drain(self->oip, SL_ROLE_DRAIN_MS, on_drained, self);
	self->stopping = true;
}

static void write_log(void *context, enum sl_log_level level, const char *line)
{
	(void)context;
	fprintf(stderr, "%s: %s\n", level >= SL_LOG_WARNING ? "warning" : "info", line);
}

/* "127.0.0.1:8000", "[::1]:8000" */
static int parse_address(const char *text, char host[HOST_MAX], uint16_t *ret_port, struct sl_error *err)
{
	const char *colon = strrchr(text, ':');
	int64_t port;
	size_t len = colon ? (size_t)(colon - text) : 0;
	bool bracketed = len > 2 && text[0] == '[' && colon[-1] == ']';
	if (!len || len >= HOST_MAX || !sl_str_int(colon + 1, &port) || port < 0 || port > 65535) {
		sl_fail_at(err, SL_E_INVALID, text, "is no ADDRESS:PORT");
		return sl_error_hint(err, "write 127.0.0.1:8000");
	}
	snprintf(host, HOST_MAX, "%.*s", (int)(bracketed ? len - 2 : len), text + bracketed);
	*ret_port = (uint16_t)port;
	return sl_net_bind_check(host, false, false, err);
}

static int listen_at(const char *what, const char *text, int *ret_fd, struct sl_error *err)
{
	char host[HOST_MAX];
	uint16_t port;
	int rc = parse_address(text, host, &port, err);
	if (!rc)
		rc = sl_net_listen(host, port, ret_fd, &port, err);
	if (!rc)
		fprintf(stderr, strchr(host, ':') ? "%s://[%s]:%u\n" : "%s://%s:%u\n", what, host, port);
	return rc;
}

/* Paths of the command line are relative to where the user is. */
static int get_files(struct sl_call *call, struct sl_serving_files *ret, struct sl_error *err)
{
	const char *memory = sl_call_text(call, "memory");
	ret->files = sl_call_list(call, "file", &ret->file_count);
	ret->dir = sl_call_text(call, "models");
	ret->follow = sl_call_flag(call, "watch");
	if (!ret->file_count && !ret->dir) {
		sl_fail(err, SL_E_INVALID, "nothing to serve");
		return sl_error_hint(err, "name model files, or a folder of models with --models");
	}
	return sl_str_bytes(memory, &ret->memory_bytes)
		       ? 0
		       : sl_fail_at(err, SL_E_INVALID, "--memory", "'%s' is no number of bytes, like 512MiB", memory);
}

static int run(struct serving *self, const struct sl_oip_options *options, struct sl_error *err)
{
	int rc = sl_loop_new(&self->loop, err);
	if (!rc)
		rc = sl_oip_new(self->loop, options, &self->oip, err);
	if (!rc)
		rc = sl_signal_new(self->loop, SIGTERM, on_stop, self, &self->terminate, err);
	if (!rc)
		rc = sl_signal_new(self->loop, SIGINT, on_stop, self, &self->interrupt, err);
	if (!rc) {
		fprintf(stderr, "ready\n");
		sl_loop_run(self->loop);
	}
	sl_signal_free(self->terminate);
	sl_signal_free(self->interrupt);
	sl_oip_free(self->oip);
	sl_loop_free(self->loop);
	return rc;
}

int sl_op_serve(struct sl_call *call, struct sl_error *err)
{
	struct sl_serving_files files = {0};
	struct serving self = {0};
	int fd = -1, grpc_fd = -1;
	const char *grpc = sl_call_text(call, "grpc");
	sl_log_set(SL_LOG_INFO, write_log, NULL);
	int rc = get_files(call, &files, err);
	if (!rc)
		rc = listen_at("http", sl_call_text(call, "http"), &fd, err);
	if (!rc && strcmp(grpc, "off") != 0)
		rc = listen_at("grpc", grpc, &grpc_fd, err);
	if (rc) {
		sl_file_close(&fd);
		return rc;
	}
	struct sl_oip_options options = {.files = &files, .control = sl_call_flag(call, "control"), .explain = sl_call_flag(call, "explain"), .listen_fd = fd,
		.traces = sl_call_text(call, "traces"), .traces_ratio = 1, .grpc = true, .grpc_fd = grpc_fd};
	rc = run(&self, &options, err);
	if (!rc)
		sl_call_object(call);
	return rc;
}
