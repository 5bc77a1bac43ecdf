/* Explanations beside predictions: SHAP values of a model of trees, path-dependent (port/infer.h), over KServe's V1 and V2.
 *
 *   POST /v1/models/NAME:explain    as :predict -> {"predictions": [...], "explanations": [{"base_value", "shap_values": {column: value}}]}
 *   POST /v2/models/NAME/explain    as .../infer -> outputs: the model's own, "shap_values" [rows, columns], "base_values" [rows]
 *
 * Of the margin: what the objective transforms, log odds or a class's score. A row's values and its base value add up to it. With several
 * margins there is one value for each: a list in V1, a dimension before the columns' in V2.
 * They tell about the model what a caller otherwise had to ask for thousands of times, so an endpoint has them only where it says so. At
 * most OIP_EXPLAIN_ROWS_MAX rows a request: a row costs about a hundred predictions. They are logged as the predictions that they are.
 */
#ifndef SL_OIP_EXPLAIN_H
#define SL_OIP_EXPLAIN_H

#include "oip/internal.h"

enum { OIP_EXPLAIN_ROWS_MAX = 64 };

/* POST for the endpoint. `version` NULL: its own choice. */
void oip_explain_v2(struct sl_oip *oip, struct sl_http_request *request, struct sl_endpoint_state *endpoint, const char *version, size_t len);
void oip_explain_v1(struct sl_oip *oip, struct sl_http_request *request, struct sl_endpoint_state *endpoint);

#endif
