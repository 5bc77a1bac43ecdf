/* Shadows at work: one batch at a time on a thread, logged on the loop when it is done. */
#include "serve/shadow.h"

#include "base/log.h"
#include "oip/internal.h"

static void start_batch(struct sl_oip *oip);

static void on_work(void *context)
{
	struct sl_oip *oip = context;
	sl_shadow_compute(sl_serving_shadow(oip->serving));
}

static void on_done(void *context)
{
	struct sl_oip *oip = context;
	sl_shadow_log(sl_serving_shadow(oip->serving));
	start_batch(oip);
}

static void start_batch(struct sl_oip *oip)
{
	struct sl_shadow *shadow = sl_serving_shadow(oip->serving);
	struct sl_error err = {0};
	if (!sl_shadow_take(shadow))
		return;
	if (sl_loop_work(oip->loop, on_work, on_done, oip, &err) == 0)
		return;
	sl_log(SL_LOG_WARNING, "shadows are computed on the loop: %s", err.message);
	sl_shadow_compute(shadow);
	sl_shadow_log(shadow);
}

void oip_shadow(struct sl_oip *oip, const struct sl_inputs *rows, const struct sl_id *id)
{
	struct sl_shadow *shadow = sl_serving_shadow(oip->serving);
	if (!shadow || !rows->served->plan)
		return;
	sl_shadow_offer(shadow, rows, id);
	start_batch(oip);
}
