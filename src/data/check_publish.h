/* A check report for other programs and for people: JUnit XML, one HTML page. */
#ifndef SL_DATA_CHECK_PUBLISH_H
#define SL_DATA_CHECK_PUBLISH_H

#include "data/check.h"

/* JUnit as CI servers read it: one suite for the dataset, one case for each check; a warning is output of a passed case. */
void sl_check_report_junit(const struct sl_check_report *report, struct sl_buf *out);
/* One page that needs nothing else: no script, no address, its style allowed by hash in its own Content-Security-Policy; light
 * and dark as the reader's system is. Every text is escaped. */
int sl_check_report_html(const struct sl_check_report *report, int64_t now_ms, struct sl_buf *out, struct sl_error *err);

#endif
