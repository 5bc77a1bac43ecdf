/* Inside flow/: is a failed attempt tried again, and when? */
#ifndef SL_FLOW_RETRY_H
#define SL_FLOW_RETRY_H

#include "os/process.h"
#include "project/project.h"

/* Attempts of one node so far. */
struct flow_attempts { int64_t own, machine; /* failures: of the step's own, of the machine */ };

/* How an attempt failed. `end` is zeroed when no process could be started; `text`: a line had one of retry->texts. */
struct flow_failure { const struct sl_process_end *end; bool not_started, text; const char *message; };

/* Whether the machine is to blame, which is only said when it is proven: no process to be had, or the kernel's memory killer. */
bool flow_failure_of_machine(const struct flow_failure *failure);
/* Counts the failure. True when there is another attempt, after *ret_wait_ms. */
bool flow_retry(const struct sl_retry *retry, const struct flow_failure *failure, struct flow_attempts *attempts, int64_t *ret_wait_ms);
/* Has the line one of the texts that ask for another attempt? */
bool flow_retry_text(const struct sl_retry *retry, const char *line, size_t len);

#endif
