/* One prediction request, of whatever protocol: small ones at once, on the loop; fat ones read and computed on a thread, so that the
 * small ones behind them do not wait (100,000 rows in JSON would hold it for some tenths of a second). Logging, counting and answering
 * are the loop's in both cases. */
#include "base/str.h"
#include "oip/answer.h"
#include "oip/internal.h"
#include "os/clock.h"

enum { FAT_BODY_BYTES = 128 * 1024, FAT_AT_ONCE_MAX = 8, TIMEOUT_MS_MAX = 3600000 };

struct fat {
	struct oip_prediction prediction;
	struct oip_desk desk;
	struct sl_error err;
	int rc;
	bool gone;           /* nobody waits for the answer any more; set by the loop, read by the thread */
};

int oip_desk_init(struct oip_desk *desk, struct sl_error *err)
{
	*desk = (struct oip_desk){0};
	sl_buf_init(&desk->out, OIP_ANSWER_BYTES_MAX);
	return sl_body_parser_init(&desk->parser, err);
}

void oip_desk_done(struct oip_desk *desk)
{
	sl_inputs_done(&desk->rows);
	sl_body_parser_done(&desk->parser);
	sl_buf_done(&desk->out);
}

/* Logs and answers; `rc` and `err`: how reading and computing went. */
static void finish(struct oip_prediction *p, int rc, struct sl_error *err)
{
	struct sl_id id;
	if (!rc)
		rc = sl_predict_commit(&p->desk->rows, p->started_ns, &id, err);
	if (rc)
		oip_refuse(p->served->endpoint, p->request, err);
	else
		p->answer(p, &id);
	if (!rc)
		oip_shadow(p->oip, &p->desk->rows, &id);
	sl_v2_end(&p->v2);
	sl_body_end(&p->doc);
	sl_inputs_end(&p->desk->rows);
}

static int read_and_compute(struct oip_prediction *p, struct sl_error *err)
{
	int rc = p->read(p, err);
	return rc ? rc : sl_predict_compute(&p->desk->rows, err);
}

/* Whether anybody still wants the answer. */
static int check_wanted(struct fat *fat)
{
	if (__atomic_load_n(&fat->gone, __ATOMIC_RELAXED))
		return sl_fail(&fat->err, SL_E_CANCELLED, "the client has gone");
	if (fat->prediction.deadline_ns && sl_monotonic_ns() > fat->prediction.deadline_ns)
		return sl_fail(&fat->err, SL_E_TIMEOUT, "the request's time is over");
	return 0;
}

static void on_fat_work(void *context)
{
	struct fat *fat = context;
	fat->rc = check_wanted(fat);
	if (!fat->rc)
		fat->rc = fat->prediction.read(&fat->prediction, &fat->err);
	if (!fat->rc)
		fat->rc = check_wanted(fat);
	if (!fat->rc)
		fat->rc = sl_predict_compute(&fat->desk.rows, &fat->err);
}

static void on_gone(void *context, struct sl_http_request *request)
{
	struct fat *fat = context;
	(void)request;
	__atomic_store_n(&fat->gone, true, __ATOMIC_RELAXED);
}

static void on_fat_done(void *context)
{
	struct fat *fat = context;
	struct sl_served *served = fat->prediction.served;
	fat->prediction.oip->fat_count--;
	finish(&fat->prediction, fat->rc, &fat->err);
	oip_desk_done(&fat->desk);
	sl_served_unref(served);
	sl_free(fat);
}

static int start_fat(const struct oip_prediction *prediction, struct sl_error *err)
{
	struct sl_oip *oip = prediction->oip;
	if (oip->fat_count >= FAT_AT_ONCE_MAX)
		return sl_fail(err, SL_E_BUSY, "%d large requests are under way", FAT_AT_ONCE_MAX);
	struct fat *fat = sl_alloc(sizeof *fat, err);
	if (!fat)
		return SL_E_NO_MEMORY;
	int rc = oip_desk_init(&fat->desk, err);
	fat->prediction = *prediction;
	fat->prediction.desk = &fat->desk;
	if (!rc)
		rc = sl_loop_work(oip->loop, on_fat_work, on_fat_done, fat, err);
	if (rc) {
		oip_desk_done(&fat->desk);
		sl_free(fat);
		return rc;
	}
	sl_http_request_on_gone(prediction->request, on_gone, fat);
	sl_served_ref(prediction->served);
	oip->fat_count++;
	return 0;
}

int oip_want_room(struct sl_oip *oip, const struct sl_endpoint *endpoint, int64_t now_ns, struct sl_error *err)
{
	if (oip_admit(&oip->admission, sl_loop_turn(oip->loop), now_ns, endpoint->max_wait_ms * 1000000))
		return 0;
	sl_fail(err, SL_E_BUSY, "there are more requests than can be answered");
	return sl_error_hint(err, "ask again later");
}

/* When the client says how long it waits: milliseconds. */
static int take_deadline(struct oip_prediction *p, struct sl_error *err)
{
	const char *text = sl_http_request_header(p->request, "x-sluice-timeout-ms");
	int64_t timeout_ms;
	if (!text)
		return 0;
	if (!sl_str_int(text, &timeout_ms) || timeout_ms < 1 || timeout_ms > TIMEOUT_MS_MAX)
		return sl_fail(err, SL_E_INVALID, "X-Sluice-Timeout-Ms must be a whole number from 1 to %d", TIMEOUT_MS_MAX);
	p->deadline_ns = p->started_ns + timeout_ms * 1000000;
	return 0;
}

void oip_predict(struct oip_prediction *p)
{
	struct sl_error err = {0};
	p->started_ns = sl_monotonic_ns();
	p->desk = &p->oip->desk;
	if (oip_want_room(p->oip, p->served->spec, p->started_ns, &err) || take_deadline(p, &err)) {
		oip_refuse(p->served->endpoint, p->request, &err);
		return;
	}
	/* Endpoints of files come and go with a look at the disk, and may not be held over one. */
	if (p->request->body_len < FAT_BODY_BYTES || p->oip->options.files) {
		finish(p, read_and_compute(p, &err), &err);
		oip_trim(p->oip);
	} else if (start_fat(p, &err)) {
		oip_refuse(p->served->endpoint, p->request, &err);
	}
}
