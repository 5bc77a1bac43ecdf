/* Writing answers: numbers in their shortest form, and the two headers that every prediction carries. */
#ifndef SL_OIP_ANSWER_H
#define SL_OIP_ANSWER_H

#include "base/buf.h"
#include "net/http_server.h"
#include "serve/predict.h"

enum { SL_FLOAT_TEXT = 24 };
/* The shortest decimal that reads back as this float32; "null" for NaN and infinity, which JSON does not have. No NUL; returns
 * the length. */
size_t sl_float_text(float value, char out[SL_FLOAT_TEXT]);

/* "[a,b,...]" of rows [0, count) x `width`; `nested`: an array per row. */
void sl_answer_floats(struct sl_buf *out, const float *values, size_t count, size_t width, bool nested);

/* Answers 200 with `body` and X-Sluice-Prediction-Id, X-Sluice-Model-Version, and, of an endpoint with rules, X-Sluice-Variant and X-Sluice-Route. `more`: further headers, at most 2. */
void sl_answer_prediction(struct sl_http_request *request, const struct sl_buf *body, const char *content_type,
			  struct sl_inputs *rows,
			  const struct sl_id *id, const struct sl_http_header *more, size_t more_count);

#endif
