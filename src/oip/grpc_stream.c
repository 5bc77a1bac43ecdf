#include "oip/grpc_stream.h"

#include "oip/grpc.h"

enum { ERROR_MESSAGE = 1, INFER_RESPONSE = 2 };

struct oip_stream {
	struct oip_kept kept;
	struct sl_oip *oip;
	struct sl_grpc_call *call;
	struct oip_work *first, *last; /* in the order of their messages */
	size_t count;
};

static bool say(struct sl_grpc_call *call, const struct sl_buf *answer)
{
	struct sl_error err = {0};
	if (sl_buf_check(answer, "the answer", &err)) {
		sl_grpc_fail(call, &err);
		return false;
	}
	if (sl_grpc_send(call, answer->data, answer->len))
		return true;
	sl_grpc_finish(call, SL_GRPC_RESOURCE_EXHAUSTED, NULL);
	return false;
}

static struct oip_work *pop(struct oip_stream *stream)
{
	struct oip_work *work = stream->first;
	stream->first = work->next;
	if (!stream->first)
		stream->last = NULL;
	stream->count--;
	work->next = NULL;
	return work;
}

static void on_gone(struct oip_kept *kept)
{
	struct oip_stream *stream = (struct oip_stream *)(void *)kept;
	while (stream->first) {
		struct oip_work *work = pop(stream);
		work->prediction.call = NULL;
		work->prediction.stream = NULL;
		if (work->answered)
			oip_work_end(work);
		else
			oip_work_cancel(work);
	}
	sl_free(stream);
}

void oip_stream_answered(struct oip_stream *stream)
{
	struct sl_grpc_call *call = stream->call;
	while (stream->first && stream->first->answered) {
		struct oip_work *work = pop(stream);
		bool said = say(call, &work->answer);
		work->prediction.stream = NULL;
		oip_work_end(work);
		if (!said)
			return; /* the stream is gone */
	}
	if (!stream->first && sl_grpc_ended(call))
		sl_grpc_finish(call, SL_GRPC_OK, NULL);
}

void oip_stream_ended(void *context, struct sl_grpc_call *call)
{
	const struct oip_stream *stream = sl_grpc_kept(call);
	(void)context;
	if (!stream || !stream->first)
		sl_grpc_finish(call, SL_GRPC_OK, NULL);
}

static void put(struct oip_prediction *p, struct sl_buf *out, const struct sl_error *err)
{
	if (err)
		sl_proto_put_text(out, ERROR_MESSAGE, err->message);
	else
		sl_proto_put_bytes(out, INFER_RESPONSE, p->desk->out.data, p->desk->out.len);
}

/* At once when it is the loop's, else when those before it have been answered. */
static void tell(struct oip_prediction *p, const struct sl_error *err)
{
	if (p->work) {
		put(p, &p->work->answer, err);
		p->work->answered = true;
	} else if (p->call) {
		struct sl_buf answer SL_AUTO_BUF = SL_BUF_INIT(SL_GRPC_MESSAGE_MAX);
		put(p, &answer, err);
		say(p->call, &answer);
	}
}

static void answer(struct oip_prediction *p, const struct sl_id *id)
{
	sl_infer_message_write(&p->head, &p->desk->rows, id, &p->desk->out);
	tell(p, NULL);
}

static void refuse(struct oip_prediction *p, const struct sl_error *err)
{
	if (p->served)
		sl_endpoint_refused(p->served->endpoint, sl_code_http_status(err->code));
	tell(p, err);
}

static struct oip_stream *stream_of(struct sl_oip *oip, struct sl_grpc_call *call)
{
	struct oip_stream *stream = sl_grpc_kept(call);
	if (!stream && (stream = sl_alloc(sizeof *stream, NULL))) {
		*stream = (struct oip_stream){.kept.gone = on_gone, .oip = oip, .call = call};
		sl_grpc_keep(call, &stream->kept);
	}
	return stream;
}

void oip_stream_join(struct oip_stream *stream, struct oip_work *work)
{
	*(stream->last ? &stream->last->next : &stream->first) = work;
	stream->last = work;
	stream->count++;
}

bool oip_stream_waits(const struct oip_stream *stream) { return stream->first != NULL; }

void oip_stream_message(void *context, struct sl_grpc_call *call, const void *data, size_t len)
{
	struct sl_oip *oip = context;
	struct sl_error err = {0};
	struct oip_stream *stream = stream_of(oip, call);
	struct oip_prediction p = {.oip = oip, .call = call, .stream = stream, .message = data, .len = len, .read = oip_read_message, .answer = answer,
				   .refuse = refuse};
	if (!stream || stream->count == OIP_STREAM_WAITING_MAX) {
		sl_grpc_finish(call, SL_GRPC_RESOURCE_EXHAUSTED, "too many messages of this stream wait for their answers");
		return;
	}
	int rc = sl_infer_message_head(data, len, &p.head, &err);
	if (!rc)
		rc = oip_grpc_take(oip, &p.head, &p.served, &err);
	if (!rc)
		oip_predict(&p);
	else
		oip_work_refuse(&p, &err);
}
