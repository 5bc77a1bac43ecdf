#include "oip/explain.h"

#include <string.h>

#include "oip/answer.h"
#include "oip/graph.h"

/* What the tree engine gives, apart: values are rows x margins x columns, bases rows x margins. */
struct oip_explained {
	float *values, *bases;
	size_t margins, columns;
};

static int check(const struct sl_oip *oip, const struct sl_served *served, struct sl_error *err)
{
	if (!oip->options.explain && !served->spec->explain) {
		sl_fail(err, SL_E_DENIED, "'%s' gives no explanations", served->spec->name);
		return sl_error_hint(err, oip->options.files ? "start the server with 'sluice serve --explain'" : "the endpoint needs 'explain: true'");
	}
	if (served->plan)
		return sl_fail(err, SL_E_INVALID, "'%s' has rules of traffic: ask one version, /v2/models/%s/versions/V/explain", served->spec->name,
			       served->spec->name);
	return served->graph ? sl_fail(err, SL_E_INVALID, "explanations are of models of trees, '%s' is none", served->spec->name) : 0;
}

static int check_rows(const struct sl_inputs *rows, struct sl_error *err)
{
	return rows->count <= OIP_EXPLAIN_ROWS_MAX ? 0 : sl_fail(err, SL_E_TOO_LARGE, "the request has %zu rows, at most %d are explained at once",
								 rows->count, OIP_EXPLAIN_ROWS_MAX);
}

static int no_memory(struct sl_error *err)
{
	return sl_fail(err, SL_E_TOO_LARGE, "the explanation takes more memory than a request may have");
}

/* `more` of both protocols: on a thread of the pool. */
static int explain(struct oip_prediction *p, struct sl_error *err)
{
	struct sl_inputs *rows = &p->desk->rows;
	struct sl_infer_info info;
	sl_infer_info(rows->served->infer, &info);
	size_t sums = rows->count * info.margins, width = info.features + 1;
	float *all = sl_arena_array(rows->arena, sums * width, sizeof *all);
	struct oip_explained *explained = p->explained = sl_arena_alloc(rows->arena, sizeof *explained);
	if (!all || !explained)
		return no_memory(err);
	*explained = (struct oip_explained){.values = sl_arena_array(rows->arena, sums * width, sizeof *all),
					    .bases = sl_arena_array(rows->arena, sums, sizeof *all), .margins = info.margins, .columns = info.features};
	if (!explained->values || !explained->bases)
		return no_memory(err);
	int rc = sl_infer_explain(rows->served->infer, rows->features, rows->count, NULL, 0, all, err);
	for (size_t i = 0; !rc && i < sums; i++) {
		memcpy(explained->values + i * info.features, all + i * width, info.features * sizeof *all);
		explained->bases[i] = all[i * width + info.features];
	}
	if (rows->served->spec->log_explanations) {
		rows->explained = all;
		rows->margins = info.margins;
	}
	return rc;
}

/* ---- V2 ---- */

static int read_v2(struct oip_prediction *p, struct sl_error *err)
{
	int rc = oip_read_infer(p, err);
	return rc ? rc : check_rows(&p->desk->rows, err);
}

static struct sl_graph_value tensor_of(float *data, size_t rows, size_t margins, size_t columns)
{
	struct sl_graph_value value = {.element = SL_ELEMENT_FP32, .count = rows * margins * columns, .data = data};
	value.sizes[value.dims++] = (int64_t)rows;
	if (margins > 1)
		value.sizes[value.dims++] = (int64_t)margins;
	if (columns > 1)
		value.sizes[value.dims++] = (int64_t)columns;
	return value;
}

static void answer_v2(struct oip_prediction *p, const struct sl_id *id)
{
	enum { OUTPUTS = 3 };
	struct sl_inputs *rows = &p->desk->rows;
	const struct sl_package *package = &rows->served->package;
	struct sl_buf *out = &p->desk->out;
	const struct oip_explained *explained = p->explained;
	const char *names[OUTPUTS] = {package->output, "shap_values", "base_values"};
	struct sl_graph_value values[OUTPUTS] = {tensor_of(rows->outputs, rows->count, 1, package->output_count),
						 tensor_of(explained->values, rows->count, explained->margins, explained->columns),
						 tensor_of(explained->bases, rows->count, explained->margins, 1)};
	sl_v2_write_head(&p->v2, rows, id, out);
	for (size_t i = 0; i < OUTPUTS; i++)
		sl_graph_write_output(out, i, names[i], &values[i], p->v2.binary_output);
	sl_buf_str(out, "]}");
	size_t json_len = out->len;
	for (size_t i = 0; p->v2.binary_output && i < OUTPUTS; i++)
		sl_graph_write_raw(out, &values[i]);
	oip_answer_tensors(p, id, json_len);
}

void oip_explain_v2(struct sl_oip *oip, struct sl_http_request *request, struct sl_endpoint_state *endpoint, const char *version, size_t len)
{
	struct oip_prediction p = {.oip = oip, .request = request, .read = read_v2, .more = explain, .answer = answer_v2,
				   .refuse = oip_refuse_http};
	struct sl_error err = {0};
	if (!oip_is_method(request, SL_HTTP_POST) || !(p.served = oip_take(endpoint, version, len, request)))
		return;
	if (check(oip, p.served, &err))
		oip_refuse(endpoint, request, &err);
	else
		oip_predict(&p);
}

/* ---- V1 ---- */

static int read_v1(struct oip_prediction *p, struct sl_error *err)
{
	int rc = oip_read_v1(p, err);
	return rc ? rc : check_rows(&p->desk->rows, err);
}

/* One for each margin, `step` apart: a number, or a list. */
static void write_margins(struct sl_buf *out, const float *values, size_t margins, size_t step)
{
	char text[SL_FLOAT_TEXT];
	for (size_t m = 0; m < margins; m++) {
		if (margins > 1)
			sl_buf_char(out, m ? ',' : '[');
		sl_buf_add(out, text, sl_float_text(values[m * step], text));
	}
	if (margins > 1)
		sl_buf_char(out, ']');
}

static void write_explanation(struct sl_buf *out, const struct sl_package *package, const struct oip_explained *e, size_t row)
{
	const float *values = e->values + row * e->margins * e->columns;
	sl_buf_str(out, row ? ",{\"base_value\":" : "{\"base_value\":");
	write_margins(out, e->bases + row * e->margins, e->margins, 1);
	sl_buf_str(out, ",\"shap_values\":{");
	for (size_t i = 0; i < e->columns; i++) {
		if (i)
			sl_buf_char(out, ',');
		sl_json_string(out, package->features[i].name, strlen(package->features[i].name));
		sl_buf_char(out, ':');
		write_margins(out, values + i, e->margins, e->columns);
	}
	sl_buf_str(out, "}}");
}

static void answer_v1(struct oip_prediction *p, const struct sl_id *id)
{
	struct sl_inputs *rows = &p->desk->rows;
	const struct sl_package *package = &rows->served->package;
	struct sl_buf *out = &p->desk->out;
	const struct oip_explained *explained = p->explained;
	sl_buf_str(out, "{\"predictions\":");
	sl_answer_floats(out, rows->outputs, rows->count, package->output_count, package->output_count > 1);
	sl_buf_str(out, ",\"explanations\":[");
	for (size_t row = 0; row < rows->count; row++)
		write_explanation(out, package, explained, row);
	sl_buf_str(out, "]}");
	oip_answer_tensors(p, id, out->len);
}

void oip_explain_v1(struct sl_oip *oip, struct sl_http_request *request, struct sl_endpoint_state *endpoint)
{
	struct oip_prediction p = {.oip = oip, .request = request, .read = read_v1, .more = explain, .answer = answer_v1,
				   .refuse = oip_refuse_http};
	struct sl_error err = {0};
	if (!oip_is_method(request, SL_HTTP_POST) || !(p.served = oip_take(endpoint, NULL, 0, request)))
		return;
	if (check(oip, p.served, &err))
		oip_refuse(endpoint, request, &err);
	else
		oip_predict(&p);
}
