/* Inside net/ only: the loop as libuv sees it, and the end of a turn. */
#ifndef SL_NET_LOOP_UV_H
#define SL_NET_LOOP_UV_H

#include <uv.h>

#include "net/loop.h"

/* Called after the callbacks of a turn, and once more before the loop sleeps (timers run in between). Must be cheap when there is
 * nothing to do. The caller owns the struct. */
struct sl_turn {
	void (*end)(void *context);
	void *context;
	struct sl_turn *next;
};

struct sl_loop {
	uv_loop_t uv;
	uv_prepare_t before_sleep;
	uv_check_t after_callbacks;
	uint64_t turn_count;
	struct sl_turn *turns;
};

void sl_turn_add(struct sl_loop *loop, struct sl_turn *turn);
void sl_turn_remove(struct sl_loop *loop, struct sl_turn *turn);
/* SL_E_* from a negative libuv code. */
int sl_fail_uv(struct sl_error *err, int uv_code, const char *doing);

#endif
