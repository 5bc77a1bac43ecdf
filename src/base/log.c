#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

static struct {
	enum sl_log_level least;
	sl_log_sink *sink;
	void *context;
} now = {.least = SL_LOG_INFO};

void sl_log_set(enum sl_log_level least, sl_log_sink *sink, void *context)
{
	now.least = least;
	now.sink = sink;
	now.context = context;
}

void sl_log(enum sl_log_level level, const char *format, ...)
{
	if (!now.sink || level < now.least)
		return;
	char line[2048];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof line, format, args);
	va_end(args);
	/* A message may carry outside text: one event stays one line. */
	for (char *p = line; *p; p++)
		if ((unsigned char)*p < 0x20 && *p != '\t')
			*p = ' ';
	now.sink(now.context, level, line);
}
