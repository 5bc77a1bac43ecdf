/* Inside oip/ only: the server, and the small answers that every face of it gives. */
#ifndef SL_OIP_INTERNAL_H
#define SL_OIP_INTERNAL_H

#include "oip/admit.h"
#include "oip/body.h"
#include "oip/server.h"
#include "oip/trace.h"
#include "oip/v2.h"
#include "net/grpc_server.h"
#include "oip/grpc_infer.h"
#include "serve/predict.h"

struct oip_work;
struct oip_stream;
struct oip_explained;
struct sl_access;
struct sl_refusals;
struct sl_grpc_server;

enum { OIP_ANSWER_BYTES_MAX = 64 << 20 };

/* What one prediction needs. */
struct oip_desk {
	struct sl_inputs rows;
	struct sl_body_parser parser;
	struct sl_buf out;
};

struct sl_oip {
	struct sl_loop *loop;
	struct sl_http_server *server;
	struct sl_serving *serving;
	struct sl_access *access;      /* as the table was when somebody rang, at most a second ago; NULL: model files */
	struct sl_refusals *refusals;  /* NULL: model files, which nobody needs a token for */
	struct sl_oip_options options;
	struct sl_timer *timer;        /* in case the bell could not be rung */
	struct sl_watch *bell;
	int bell_fd;
	struct oip_desk desk;          /* kept from request to request */
	struct oip_admission admission;
	struct sl_pool *pool;          /* work.c: what is not answered at once */
	struct sl_wakeup *ended;
	struct sl_timer *tick;
	struct oip_work *spare;
	size_t spare_count;
	struct oip_tracer *tracer;     /* NULL: nothing is traced */
	struct sl_grpc_server *grpc;   /* NULL: not served */
	struct sl_arena *arena;        /* of one gRPC message */
	struct oip_health *health;     /* those who watch over gRPC */
	struct oip_reflection *reflection; /* NULL: nobody asked yet */
	unsigned draining;             /* faces that still answer what is under way */
	sl_loop_fn *drained;
	void *drained_context;
};

/* One request's prediction. */
struct oip_prediction {
	struct sl_oip *oip;
	struct sl_http_request *request; /* of HTTP, or */
	struct sl_grpc_call *call;       /* of gRPC: NULL when the client has gone; with a message of its stream, which is NULL for other calls */
	struct oip_stream *stream;
	const void *message;
	size_t len;                      /* of the message or the body */
	struct sl_infer_message head;
	struct sl_served *served;
	/* Of the protocol. `read` fills desk->rows; it may run on another thread and touches only the desk, the request's own memory, the
	 * served version and this struct. So does `more` (NULL: nothing) after the rows were computed. `answer` and `refuse` are called on
	 * the loop. */
	int (*read)(struct oip_prediction *p, struct sl_error *err);
	int (*more)(struct oip_prediction *p, struct sl_error *err);
	void (*answer)(struct oip_prediction *p, const struct sl_id *id);
	void (*refuse)(struct oip_prediction *p, const struct sl_error *err);
	struct sl_v2_request v2;
	yyjson_doc *doc;
	struct oip_explained *explained; /* by `more` */
	bool is_csv;
	/* Filled by oip_predict. */
	struct oip_desk *desk;
	struct oip_work *work;           /* NULL: it is answered at once */
	struct oip_trace trace;
	int64_t started_ns;
	int64_t waited_ns;   /* for its turn in the pool */
	int64_t deadline_ns;             /* 0: none */
};
/* Reads, predicts, logs and answers, at once or later; or refuses. */
void oip_predict(struct oip_prediction *p);
/* Logs and answers what was computed, or refuses it; `rc` and `err`: how that went. Ends the rows. */
void oip_finish(struct oip_prediction *p, int rc, struct sl_error *err);
/* `refuse` of a request of HTTP. */
void oip_refuse_http(struct oip_prediction *p, const struct sl_error *err);
/* shadow.c: shows the answered request to the endpoint's shadows, later. */
void oip_shadow(struct sl_oip *oip, const struct sl_inputs *rows, const struct sl_id *id);
/* rest.c, scoring.c: `read` of an inference request, of KServe's V1. */
int oip_read_infer(struct oip_prediction *p, struct sl_error *err);
int oip_read_v1(struct oip_prediction *p, struct sl_error *err);
/* Answers with desk->out, of which what follows `json_len` is raw tensors. */
void oip_answer_tensors(struct oip_prediction *p, const struct sl_id *id, size_t json_len);
/* A further header of its answer: the trace that it belongs to. 0 or 1; `text` holds it. */
size_t oip_trace_header(const struct oip_prediction *p, struct sl_http_header *ret, char text[OIP_TRACEPARENT]);
int oip_desk_init(struct oip_desk *desk, struct sl_error *err);
void oip_desk_done(struct oip_desk *desk);

#define OIP_JSON "application/json"

void oip_answer(struct sl_http_request *request, int status, const char *type, const char *body, size_t len);
/* oip->desk.out as JSON; an answer that grew too large is an error. */
void oip_answer_out(struct sl_oip *oip, struct sl_http_request *request, int status);
/* `status` 0: that of the code. */
void oip_answer_error(struct sl_http_request *request, int status, int code, const char *message);
/* False after answering 405. */
bool oip_is_method(struct sl_http_request *request, enum sl_http_method method);
bool oip_is_get(struct sl_http_request *request); /* HEAD too */
/* The error as the answer, counted for the endpoint. */
void oip_refuse(struct sl_endpoint_state *endpoint, struct sl_http_request *request, const struct sl_error *err);
void oip_answer_no_endpoint(struct sl_oip *oip, struct sl_http_request *request, const char *name, size_t len);
/* What answers for the endpoint; NULL after saying why nothing does. `version` NULL: its own choice. */
struct sl_served *oip_take(struct sl_endpoint_state *endpoint, const char *version, size_t len, struct sl_http_request *request);
/* Whether every endpoint of the project answers. Of model files: true, whatever single models say, so that a bad file that was dropped
 * into the folder does not take the others out of service. */
bool oip_all_ready(const struct sl_oip *oip);
/* Loads or unloads a model, where this server was told to let its clients do that. */
int oip_control(struct sl_oip *oip, bool load, const char *name, size_t len, struct sl_error *err);
/* Memory that an unusual request took is given back. */
void oip_trim(struct sl_oip *oip);

/* rest.c: "/v2" and below; `rest` is what stands behind it. */
void oip_v2(struct sl_oip *oip, struct sl_http_request *request, const char *rest);
/* {"models":[names]} */
void oip_list_models(struct sl_oip *oip, struct sl_http_request *request);
/* {"name","ready"}; `version` NULL: any. */
void oip_model_ready(struct sl_oip *oip, struct sl_http_request *request, struct sl_endpoint_state *endpoint, const char *version,
		     size_t len);
/* scoring.c: "/v1" and below. */
void oip_v1(struct sl_oip *oip, struct sl_http_request *request, const char *rest);
/* scoring.c: /invocations, /endpoints/NAME/invocations. */
void oip_invocations(struct sl_oip *oip, struct sl_http_request *request);
void oip_endpoint_invocations(struct sl_oip *oip, struct sl_http_request *request);

#endif
