/* A comparison, told. */
#ifndef SL_WATCH_DRIFT_REPORT_H
#define SL_WATCH_DRIFT_REPORT_H

#include "base/buf.h"
#include "base/json.h"
#include "watch/drift.h"

enum { SL_DRIFT_HTML_MAX = 64 << 20 };

const char *sl_drift_level_name(enum sl_drift_level level); /* "ok", "warn", "alarm" */
/* Adds the report's members to `object` (docs/drift.md has them). Memory running out is sticky in the document. */
void sl_drift_json(const struct sl_drift_report *report, yyjson_mut_doc *doc, yyjson_mut_val *object);
/* One page that needs nothing else: no script, no font, no address. Equal reports give equal bytes. `reference` and `current`: what
 * the sides are called. SL_E_TOO_LARGE. */
int sl_drift_html(const struct sl_drift_report *report, const char *reference, const char *current, struct sl_buf *out, struct sl_error *err);

#endif
