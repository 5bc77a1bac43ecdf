#include "flow/retry.h"

#include <string.h>

bool flow_failure_of_machine(const struct flow_failure *failure) { return failure->not_started || failure->end->out_of_memory == SL_MEMORY_OF_MACHINE; }

bool flow_retry_text(const struct sl_retry *retry, const char *line, size_t len)
{
	for (size_t i = 0; i < retry->texts.count; i++)
		if (memmem(line, len, retry->texts.items[i], strlen(retry->texts.items[i])))
			return true;
	return false;
}

static bool is_among(const int *list, size_t count, int value)
{
	for (size_t i = 0; i < count; i++)
		if (list[i] == value)
			return true;
	return false;
}

static bool counts(const struct sl_retry *retry, const struct flow_failure *failure)
{
	const struct sl_process_end *end = failure->end;
	if (!retry->exit_count && !retry->signal_count && !retry->texts.count)
		return true;
	if (end->timed_out)
		return retry->on_timeout;
	return is_among(retry->exits, retry->exit_count, end->exit_status) || (end->signal && is_among(retry->signals, retry->signal_count, end->signal)) ||
	       failure->text || flow_retry_text(retry, failure->message, strlen(failure->message));
}

bool flow_retry(const struct sl_retry *retry, const struct flow_failure *failure, struct flow_attempts *attempts, int64_t *ret_wait_ms)
{
	bool machine = flow_failure_of_machine(failure);
	int64_t *failures = machine ? &attempts->machine : &attempts->own, allowed = machine ? retry->machine : retry->times;
	if (failure->end->stopped || ++*failures > allowed || (!machine && !counts(retry, failure)))
		return false;
	double wait = (double)retry->wait_ms;
	for (int64_t i = 1; i < *failures && wait < (double)retry->longest_wait_ms; i++)
		wait *= retry->factor;
	*ret_wait_ms = wait < (double)retry->longest_wait_ms ? (int64_t)wait : retry->longest_wait_ms;
	return true;
}
