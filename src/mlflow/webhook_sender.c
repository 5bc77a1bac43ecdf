#include "mlflow/webhook_sender.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/base64.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/str.h"
#include "net/http_url.h"
#include "net/tls.h"
#include "os/clock.h"
#include "port/fetch.h"
#include "record/webhook.h"

enum {
	FIRST_AGAIN_MS = 1000, LAST_AGAIN_MS = 600000, JITTER_MS = 1000, RETRY_AFTER_MAX_S = 3600,
	LOOK_MS = 60000,      /* at least so often, for what another process wrote */
	TROUBLE_MS = 5000,    /* after the database failed */
	PROBLEM_BYTES = 1024,
};

struct sl_ml_sender {
	struct sl_loop *loop;
	struct sl_store_pool *pool;
	struct sl_ml_webhook_policy policy;
	struct sl_http_client *client;
	struct sl_tls *tls;             /* NULL: this machine has no authorities; https then fails with that reason */
	struct sl_timer *timer;
	unsigned sending, working;      /* POSTs under way; jobs on pool threads */
	bool claiming, rung, stopping;  /* rung: something came while a claim was under way */
};

/* A delivery from its claim to its record. */
struct sending {
	struct sl_ml_sender *sender;
	struct sl_arena *arena;
	struct sl_webhook_delivery delivery;
	struct sl_webhook_outcome outcome;
	char problem[PROBLEM_BYTES];
	int found;                      /* what the claim said */
	int64_t due_ms;
	struct sl_error err;
};

static void free_sending(struct sending *s)
{
	sl_arena_free(s->arena);
	sl_free(s);
}

/* A word of a list with commas. */
static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);
	for (const char *at = list; at; at = strchr(at, ',')) {
		at += strspn(at, ", ");
		if (strncasecmp(at, word, len) == 0 && (!at[len] || strchr(", ", at[len])))
			return true;
	}
	return false;
}

struct sl_ml_webhook_policy sl_ml_webhook_policy_of_environment(void)
{
	const char *schemes = getenv("MLFLOW_WEBHOOK_ALLOWED_SCHEMES"), *private = getenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS");
	return (struct sl_ml_webhook_policy){.plain = has_word(schemes, "http"), .private = has_word(private, "true") || has_word(private, "1")};
}

/* ---- addresses ------------------------------------------------------------------------------------------------------ */

static bool allow(void *context, const char *address, uint16_t port)
{
	const struct sl_ml_sender *sender = context;
	(void)port;
	return sender->policy.private || sl_address_public(address);
}

/* "127.1", "2130706433", "0x7f000001": what only some readers take for an address. */
static bool is_odd_number(const char *host) { return host[strspn(host, "0123456789abcdefxABCDEFX.")] == 0 && strpbrk(host, "0123456789"); }

int sl_ml_webhook_check_url(const struct sl_ml_webhook_policy *policy, const char *url, struct sl_error *err)
{
	struct sl_url parsed;
	size_t scheme = strcspn(url, ":");
	if (strncmp(url, "https://", 8) != 0 && !(policy->plain && strncmp(url, "http://", 7) == 0))
		return sl_fail(err, SL_E_INVALID, "Invalid webhook URL scheme: '%.*s'. Allowed schemes are: %s.", (int)(scheme < 40 ? scheme : 40), url,
			policy->plain ? "http, https" : "https");
	int rc = sl_url_parse(url, &parsed, err);
	if (rc || policy->private)
		return rc;
	if (strcmp(parsed.host, "localhost") == 0 || sl_str_ends(parsed.host, ".localhost"))
		return sl_fail(err, SL_E_INVALID, "Webhook URL must not resolve to a non-public IP address. '%s' resolves to 127.0.0.1.", parsed.host);
	if ((strchr(parsed.host, ':') || is_odd_number(parsed.host)) && !sl_address_public(parsed.host))
		return sl_fail(err, SL_E_INVALID, "Webhook URL must not resolve to a non-public IP address. '%s' resolves to %s.", parsed.host,
			parsed.host);
	return 0;
}

/* ---- one POST ------------------------------------------------------------------------------------------------------- */

static int sign(const char *secret, const char *id, const char *timestamp, const char *body, struct sl_buf *ret, struct sl_error *err)
{
	struct sl_hash mac;
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(SL_ML_WEBHOOK_ANSWER_MAX * 16);
	sl_buf_printf(&text, "%s.%s.", id, timestamp);
	sl_buf_str(&text, body);
	int rc = sl_buf_check(&text, "the body of a webhook", err);
	if (rc)
		return rc;
	sl_hmac_sha256(secret, strlen(secret), text.data, text.len, &mac);
	sl_buf_str(ret, "v1,");
	sl_base64_add(ret, mac.bytes, sizeof mac.bytes);
	return sl_buf_check(ret, "a signature", err);
}

int sl_ml_sender_post(struct sl_ml_sender *sender, const char *url, const char *secret, const char *id, const char *body, sl_http_done_fn *done,
	void *context, struct sl_error *err)
{
	char timestamp[24];
	struct sl_buf signature SL_AUTO_BUF = SL_BUF_INIT(128);
	snprintf(timestamp, sizeof timestamp, "%" PRId64, sl_now_ms() / 1000);
	int rc = sl_ml_webhook_check_url(&sender->policy, url, err);
	if (!rc && secret)
		rc = sign(secret, id, timestamp, body, &signature, err);
	if (rc)
		return rc;
	const struct sl_http_header headers[] = {{"Content-Type", "application/json"}, {"User-Agent", "sluice/" SLUICE_VERSION},
		{"X-MLflow-Delivery-Id", id}, {"X-MLflow-Timestamp", timestamp}, {"X-MLflow-Signature", sl_buf_cstr(&signature)}};
	const struct sl_http_call call = {.method = SL_HTTP_POST, .url = url, .headers = headers,
		.header_count = SL_ARRAY_LEN(headers) - !secret, .body = body, .body_len = strlen(body), .done = done, .context = context};
	return sl_http_client_start(sender->client, &call, NULL, err);
}

/* ---- how a try ended ------------------------------------------------------------------------------------------------ */

static int64_t pause_ms(int64_t tries, const struct sl_http_answer *answer)
{
	uint16_t jitter = 0;
	int64_t seconds, ms = FIRST_AGAIN_MS;
	for (int64_t i = 1; i < tries && ms < LAST_AGAIN_MS; i++)
		ms *= 2;
	ms = ms < LAST_AGAIN_MS ? ms : LAST_AGAIN_MS;
	sl_random(&jitter, sizeof jitter, NULL); /* without it: all at once */
	ms += jitter % JITTER_MS;
	for (size_t i = 0; answer && i < answer->header_count; i++)
		if (strcmp(answer->headers[i].name, "retry-after") == 0 && sl_str_int(answer->headers[i].value, &seconds) &&
			seconds <= RETRY_AFTER_MAX_S && seconds * 1000 > ms)
			ms = seconds * 1000;
	return ms;
}

static bool is_passing(int status) { return status == 429 || status == 500 || (status >= 502 && status <= 504); }

static void judge(struct sending *s, const struct sl_http_answer *answer, const struct sl_error *err)
{
	struct sl_webhook_outcome *o = &s->outcome;
	bool again = s->delivery.tries < SL_WEBHOOK_TRIES_MAX;
	*o = (struct sl_webhook_outcome){.num = s->delivery.num, .http_status = answer ? answer->status : 0, .problem = s->problem};
	o->delivered = answer && answer->status >= 200 && answer->status < 300;
	if (answer && !o->delivered)
		snprintf(s->problem, sizeof s->problem, answer->status / 100 == 3 ? "HTTP %d: redirects are not followed" : "HTTP %d", answer->status);
	else if (!answer)
		snprintf(s->problem, sizeof s->problem, "%s", err->message);
	again &= answer ? is_passing(answer->status) : err->code != SL_E_DENIED && err->code != SL_E_INVALID;
	if (again && !o->delivered)
		o->again_ms = pause_ms(s->delivery.tries, answer);
}

/* ---- the database, on pool threads ---------------------------------------------------------------------------------- */

/* The store of this thread for one piece of work. */
static struct sl_store *take(struct sending *s, struct sl_record *ret)
{
	struct sl_store *store = NULL;
	if (sl_store_pool_take(s->sender->pool, &store, &s->err))
		return NULL;
	*ret = (struct sl_record){.meta = store->meta, .ledger = store->ledger};
	sl_ledger_set_actor(store->ledger, "webhooks");
	return store;
}

static void claim_work(void *context)
{
	struct sending *s = context;
	struct sl_record record;
	struct sl_store *store = take(s, &record);
	s->found = store ? sl_webhook_claim(&record, store->dir, s->arena, &s->delivery, &s->due_ms, &s->err) : s->err.code;
	sl_store_pool_give(s->sender->pool, store);
}

static void record_work(void *context)
{
	struct sending *s = context;
	struct sl_record record;
	struct sl_store *store = take(s, &record);
	if (!store || sl_webhook_record(&record, &s->outcome, &s->err))
		sl_log(SL_LOG_WARNING, "a webhook's delivery was not recorded, it will be repeated: %s", s->err.message);
	sl_store_pool_give(s->sender->pool, store);
}

/* ---- on the loop ---------------------------------------------------------------------------------------------------- */

static void record_done(void *context)
{
	struct sending *s = context;
	struct sl_ml_sender *sender = s->sender;
	sender->working--;
	sender->sending--;
	free_sending(s);
	sl_ml_sender_ring(sender);
}

static void on_answer(void *context, const struct sl_http_answer *answer, const struct sl_error *err)
{
	struct sending *s = context;
	struct sl_ml_sender *sender = s->sender;
	judge(s, answer, err);
	if (!sender->stopping && !sl_loop_work(sender->loop, record_work, record_done, s, NULL)) {
		sender->working++;
		return;
	}
	if (!answer && sender->stopping)
		s->outcome.again_ms = 1;
	record_work(s);
	sender->sending--;
	free_sending(s);
}

static void send_it(struct sending *s)
{
	struct sl_error err = {0};
	s->sender->sending++;
	if (sl_ml_sender_post(s->sender, s->delivery.url, s->delivery.secret, s->delivery.id, s->delivery.body, on_answer, s, &err))
		on_answer(s, NULL, &err);
}

static void claim_done(void *context)
{
	struct sending *s = context;
	struct sl_ml_sender *sender = s->sender;
	int64_t wait = s->due_ms - sl_now_ms();
	sender->working--;
	sender->claiming = false;
	if (s->found == 1) {
		send_it(s);
		sl_ml_sender_ring(sender);
		return;
	}
	if (s->found < 0)
		sl_log(SL_LOG_WARNING, "what waits for webhooks could not be read: %s", s->err.message);
	wait = s->found < 0 ? TROUBLE_MS : wait < 0 || sender->rung ? 0 : wait;
	if (!sender->stopping)
		sl_timer_start(sender->timer, wait < LOOK_MS ? wait : LOOK_MS, 0);
	free_sending(s);
}

static struct sending *new_sending(struct sl_ml_sender *sender)
{
	struct sending *s = sl_alloc(sizeof *s, NULL);
	if (s)
		*s = (struct sending){.sender = sender, .arena = sl_arena_new(0, NULL), .due_ms = INT64_MAX};
	if (s && s->arena)
		return s;
	sl_free(s);
	return NULL;
}

static void on_timer(void *context)
{
	struct sl_ml_sender *sender = context;
	if (sender->claiming || sender->sending >= SL_ML_SENDING_MAX)
		return;
	struct sending *s = new_sending(sender);
	if (!s || sl_loop_work(sender->loop, claim_work, claim_done, s, NULL)) {
		if (s)
			free_sending(s);
		sl_timer_start(sender->timer, TROUBLE_MS, 0);
		return;
	}
	sender->claiming = true;
	sender->rung = false;
	sender->working++;
}

void sl_ml_sender_ring(struct sl_ml_sender *sender)
{
	if (!sender || sender->stopping)
		return;
	sender->rung = true;
	if (!sender->claiming)
		sl_timer_start(sender->timer, 0, 0);
}

/* ---- opening and closing -------------------------------------------------------------------------------------------- */

int sl_ml_sender_new(struct sl_loop *loop, struct sl_store_pool *pool, const struct sl_ml_webhook_policy *policy, struct sl_ml_sender **ret,
	struct sl_error *err)
{
	struct sl_error no_tls = {0};
	struct sl_ml_sender *sender = sl_alloc(sizeof *sender, err);
	if (!sender)
		return SL_E_NO_MEMORY;
	*sender = (struct sl_ml_sender){.loop = loop, .pool = pool, .policy = *policy};
	if (sl_tls_client_new(NULL, &sender->tls, &no_tls))
		sl_log(SL_LOG_WARNING, "no webhook can be sent by https: %s", no_tls.message);
	const struct sl_http_client_config config = {.tls = sender->tls, .body_bytes = SL_ML_WEBHOOK_ANSWER_MAX, .allow_address = allow,
		.context = sender};
	int rc = sl_http_client_new(loop, &config, &sender->client, err);
	rc = rc ? rc : sl_timer_new(loop, on_timer, sender, &sender->timer, err);
	if (rc) {
		sl_ml_sender_free(sender);
		return rc;
	}
	sl_ml_sender_ring(sender); /* what an earlier process left */
	*ret = sender;
	return 0;
}

void sl_ml_sender_free(struct sl_ml_sender *sender)
{
	if (!sender)
		return;
	sender->stopping = true;
	while (sender->working)
		sl_loop_run_once(sender->loop, true);
	sl_http_client_free(sender->client);
	sl_timer_free(sender->timer);
	sl_tls_free(sender->tls);
	sl_free(sender);
}
