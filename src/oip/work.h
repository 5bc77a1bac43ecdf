/* Inside oip/ only: predictions that are not answered at once, but by the pool (serve/pool.h).
 *
 *   small, by a graph:   read on the loop --> lane --> computed by a thread, with others in one batch --> logged and answered on the loop
 *   fat, or explained:   lane --> read and computed by a thread --------------------------------------------^
 *
 * A small one of a graph whose runs are known to be short (OIP_INLINE_US) is computed on the loop after all: a thread would cost more. */
#ifndef SL_OIP_WORK_H
#define SL_OIP_WORK_H

#include "oip/internal.h"
#include "serve/pool.h"

enum {
	OIP_FAT_BYTES = 128 * 1024,   /* of a body: it is read by a thread, too */
	OIP_INLINE_US = 100,          /* mean of a run that the loop itself may do */
	OIP_INLINE_RUNS = 8,          /* from so many on it is known */
};

/* What a call of gRPC keeps; `gone` is called when it has ended. */
struct oip_kept {
	void (*gone)(struct oip_kept *kept);
};

struct oip_work {
	struct sl_job job;
	struct oip_kept kept;         /* of a unary call */
	struct oip_prediction prediction;
	struct oip_desk desk;
	struct sl_buf message;        /* of gRPC: a copy */
	struct sl_arena *arena;       /* of its tensors */
	struct sl_graph_brake *brake;
	struct oip_work *next;        /* spare; or behind it in its stream */
	struct sl_buf answer;         /* of a stream's message: waits for those before it */
	bool parsed, fat, answered;
};

int oip_pool_open(struct sl_oip *oip, struct sl_error *err);
/* Ends what is in the pool, answering whom it still can. */
void oip_pool_stop(struct sl_oip *oip);
void oip_pool_free(struct sl_oip *oip);

/* Takes the prediction over, whatever happens to it. */
void oip_work_begin(const struct oip_prediction *prediction);
/* Refuses it, in its turn when it is a stream's. */
void oip_work_refuse(const struct oip_prediction *prediction, struct sl_error *err);
void oip_work_cancel(struct oip_work *work);
/* Its memory for the next one. */
void oip_work_end(struct oip_work *work);

/* grpc_stream.c: a work comes last in its stream; it was answered or refused; some have no answer yet. */
void oip_stream_join(struct oip_stream *stream, struct oip_work *work);
void oip_stream_answered(struct oip_stream *stream);
bool oip_stream_waits(const struct oip_stream *stream);

#endif
