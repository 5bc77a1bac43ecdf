#include "oip/answer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double POWERS[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17};

/* "123" with 5 decimals is "0.00123"; trailing zeros are gone already. */
static size_t put_decimal(char *out, uint64_t digits, int decimals)
{
	char text[24];
	int n = 0;
	do
		text[n++] = (char)('0' + digits % 10);
	while (digits /= 10);
	while (n <= decimals)
		text[n++] = '0';
	size_t len = 0;
	while (n > 0) {
		if (n == decimals)
			out[len++] = '.';
		out[len++] = text[--n];
	}
	return len;
}

/* Digits that are exact in a double, over a power of ten that is: the quotient is the double nearest to the decimal, as a
 * reader makes it. */
static bool short_decimal(double value, int significant, uint64_t *ret_digits, int *ret_decimals)
{
	int decimals = significant;
	for (double v = value; v >= 1; v /= 10)
		decimals--;
	for (double v = value; v < 0.1; v *= 10)
		decimals++;
	if (decimals < 0 || decimals >= (int)(sizeof POWERS / sizeof *POWERS))
		return false;
	double digits = nearbyint(value * POWERS[decimals]);
	if (digits > 9e15 || (float)(digits / POWERS[decimals]) != (float)value)
		return false;
	*ret_digits = (uint64_t)digits;
	*ret_decimals = decimals;
	return true;
}

size_t sl_float_text(float value, char out[SL_FLOAT_TEXT])
{
	if (!isfinite(value)) {
		memcpy(out, "null", 4);
		return 4;
	}
	size_t len = 0;
	if (signbit(value))
		out[len++] = '-';
	double v = fabs((double)value);
	if (v == 0) {
		out[len++] = '0';
		return len;
	}
	uint64_t digits;
	int decimals;
	/* Nine digits tell every float32 from its neighbours; outside of this range the C library does it, ten times slower. */
	for (int significant = 6; v >= 1e-6 && v < 1e9 && significant <= 9; significant++)
		if (short_decimal(v, significant, &digits, &decimals)) {
			for (; decimals > 0 && digits % 10 == 0; decimals--)
				digits /= 10;
			return len + put_decimal(out + len, digits, decimals);
		}
	return len + (size_t)snprintf(out + len, SL_FLOAT_TEXT - len, "%.9g", v);
}

void sl_answer_floats(struct sl_buf *out, const float *values, size_t count, size_t width, bool nested)
{
	char *p = sl_buf_reserve(out, count * width * (SL_FLOAT_TEXT + 1) + count * 3 + 2);
	if (!p)
		return;
	char *start = p;
	*p++ = '[';
	for (size_t row = 0; row < count; row++) {
		if (row)
			*p++ = ',';
		if (nested)
			*p++ = '[';
		for (size_t i = 0; i < width; i++) {
			if (i)
				*p++ = ',';
			p += sl_float_text(values[row * width + i], p);
		}
		if (nested)
			*p++ = ']';
	}
	*p++ = ']';
	*p = 0;
	out->len += (size_t)(p - start);
}

void sl_answer_prediction(struct sl_http_request *request, const struct sl_buf *body, const char *content_type,
			  struct sl_inputs *rows,
			  const struct sl_id *id, const struct sl_http_header *more, size_t more_count)
{
	struct sl_http_header headers[6] = {
		{"X-Sluice-Prediction-Id", id->text},
		{"X-Sluice-Model-Version", sl_inputs_version(rows)},
	};
	size_t count = 2;
	const char *variant = sl_inputs_variant(rows);
	if (variant) {
		headers[count++] = (struct sl_http_header){"X-Sluice-Variant", variant};
		headers[count++] = (struct sl_http_header){"X-Sluice-Route", sl_inputs_reason(rows)};
	}
	for (size_t i = 0; i < more_count; i++)
		headers[count++] = more[i];
	sl_http_respond(request, &(struct sl_http_response){
		.status = 200, .content_type = content_type, .headers = headers, .header_count = count, .body = body->data,
		.body_len = body->len});
}
