/* One prediction request, of whatever protocol: small ones at once, on the loop; fat ones read and computed on a thread, so that the
 * small ones behind them do not wait (100,000 rows in JSON would hold it for some tenths of a second). Logging, counting and answering
 * are the loop's in both cases. */
#include "oip/answer.h"
#include "oip/internal.h"
#include "os/clock.h"

enum { FAT_BODY_BYTES = 128 * 1024, FAT_AT_ONCE_MAX = 8 };

struct fat {
	struct oip_prediction prediction;
	struct oip_desk desk;
	struct sl_error err;
	int rc;
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

static void on_fat_work(void *context)
{
	struct fat *fat = context;
	fat->rc = read_and_compute(&fat->prediction, &fat->err);
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
	sl_served_ref(prediction->served);
	oip->fat_count++;
	return 0;
}

void oip_predict(struct oip_prediction *p)
{
	struct sl_error err = {0};
	p->started_ns = sl_monotonic_ns();
	p->desk = &p->oip->desk;
	/* Endpoints of files come and go with a look at the disk, and may not be held over one. */
	if (p->request->body_len < FAT_BODY_BYTES || p->oip->options.files) {
		finish(p, read_and_compute(p, &err), &err);
		oip_trim(p->oip);
	} else if (start_fat(p, &err)) {
		oip_refuse(p->served->endpoint, p->request, &err);
	}
}
