#include "op/openlineage_sender.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/str.h"
#include "net/http_client.h"
#include "net/tls.h"
#include "os/file.h"
#include "os/sys.h"
#include "port/fetch.h"

enum { ANSWER_BYTES_MAX = 1 << 20, SHOWN = 200 };

struct sl_ol_sender {
	const struct sl_openlineage_target *target;
	struct sl_loop *loop;
	struct sl_tls *tls;
	struct sl_http_client *client;
	struct sl_timer *timer;
	struct sl_http_exchange *exchange; /* under way */
	int status;                        /* of the answer; 0: there was none, `error` says why */
	bool late;
	char answer[SHOWN];
	struct sl_error error;
};

static bool allow(void *context, const char *address, uint16_t port)
{
	const struct sl_ol_sender *sender = context;
	(void)port;
	return sender->target->allow_private || sl_address_public(address);
}

static void on_late(void *context)
{
	struct sl_ol_sender *sender = context;
	sender->late = true;
	if (sender->exchange)
		sl_http_exchange_cancel(sender->exchange);
}

static int open_client(struct sl_ol_sender *sender, struct sl_error *err)
{
	uint32_t timeout_ms = (uint32_t)sender->target->timeout_ms;
	int rc = sl_loop_new(&sender->loop, err);
	if (!rc && sl_str_starts(sender->target->url, "https://"))
		rc = sl_tls_client_new(NULL, &sender->tls, err);
	const struct sl_http_client_config config = {.tls = sender->tls, .connect_timeout_ms = timeout_ms, .timeout_ms = timeout_ms,
		.body_bytes = ANSWER_BYTES_MAX, .allow_address = allow, .context = sender};
	rc = rc ? rc : sl_http_client_new(sender->loop, &config, &sender->client, err);
	return rc ? rc : sl_timer_new(sender->loop, on_late, sender, &sender->timer, err);
}

int sl_ol_sender_new(const struct sl_openlineage_target *target, struct sl_ol_sender **ret, struct sl_error *err)
{
	struct sl_ol_sender *sender = sl_alloc(sizeof *sender, err);
	if (!sender)
		return SL_E_NO_MEMORY;
	sender->target = target;
	int rc = *target->url ? open_client(sender, err) : 0;
	if (rc)
		sl_ol_sender_free(sender);
	else
		*ret = sender;
	return rc;
}

void sl_ol_sender_free(struct sl_ol_sender *sender)
{
	if (!sender)
		return;
	sl_timer_free(sender->timer);
	sl_http_client_free(sender->client);
	sl_tls_free(sender->tls);
	sl_loop_free(sender->loop);
	sl_free(sender);
}

void sl_ol_sender_freep(struct sl_ol_sender **sender) { sl_ol_sender_free(*sender); }

/* ---- by HTTP -------------------------------------------------------------------------------------------------------- */

static void on_done(void *context, const struct sl_http_answer *answer, const struct sl_error *err)
{
	struct sl_ol_sender *sender = context;
	sender->exchange = NULL;
	sender->status = answer && !err ? answer->status : 0;
	snprintf(sender->answer, sizeof sender->answer, "%s", answer && !err ? answer->body : "");
	if (err)
		sender->error = *err;
	sl_loop_stop(sender->loop);
}

static int judge(const struct sl_ol_sender *sender, struct sl_error *err)
{
	const char *url = sender->target->url;
	int status = sender->status;
	if (status / 100 == 2)
		return 0;
	if (sender->late)
		return sl_fail_at(err, SL_E_TIMEOUT, url, "no answer within %lld ms", (long long)sender->target->timeout_ms);
	if (!status) {
		if (err)
			*err = sender->error;
		return sender->error.code;
	}
	sl_fail_at(err, SL_E_IO, url, "answered with status %d%s%s", status, *sender->answer ? ": " : "", sender->answer);
	return status == 400 || status == 413 || status == 415 || status == 422 ? 1 : SL_E_IO;
}

static int post(struct sl_ol_sender *sender, const char *event, size_t len, struct sl_error *err)
{
	char authorization[4096];
	struct sl_http_header headers[] = {{"Content-Type", "application/json"}, {"Authorization", authorization}};
	struct sl_http_call call = {.method = SL_HTTP_POST, .url = sender->target->url, .headers = headers, .header_count = *sender->target->api_key ? 2 : 1,
		.body = event, .body_len = len, .done = on_done, .context = sender};
	if (snprintf(authorization, sizeof authorization, "Bearer %s", sender->target->api_key) >= (int)sizeof authorization)
		return sl_fail(err, SL_E_TOO_LARGE, "the key for OpenLineage's receiver is too long");
	sender->late = false;
	sender->error = (struct sl_error){0};
	int rc = sl_http_client_start(sender->client, &call, &sender->exchange, err);
	if (rc)
		return rc;
	sl_timer_start(sender->timer, sender->target->timeout_ms, 0);
	sl_loop_run(sender->loop);
	sl_timer_stop(sender->timer);
	return judge(sender, err);
}

/* ---- to a file ------------------------------------------------------------------------------------------------------ */

/* What a full disk cut off is taken back, so that the file has whole lines only. */
static int append(const char *path, const char *event, size_t len, struct sl_error *err)
{
	SL_AUTO_CLOSE int fd = -1;
	SL_AUTO_BUF struct sl_buf line = SL_BUF_INIT(len + 2);
	struct stat before;
	sl_buf_add(&line, event, len);
	sl_buf_char(&line, '\n');
	int rc = sl_buf_check(&line, "an event", err);
	rc = rc ? rc : sl_file_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644, &fd, err);
	if (rc)
		return rc;
	bool known = sl_sys->fstat(fd, &before) == 0 && S_ISREG(before.st_mode);
	rc = sl_file_write_all(fd, line.data, line.len, path, err);
	if (rc && known && sl_sys->ftruncate(fd, before.st_size) != 0)
		sl_error_hint(err, "the file's last line is cut off");
	return rc;
}

int sl_ol_send(struct sl_ol_sender *sender, const char *event, size_t len, struct sl_error *err)
{
	return *sender->target->url ? post(sender, event, len, err) : append(sender->target->file, event, len, err);
}
