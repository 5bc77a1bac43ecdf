/* The process's own log: one line per event on standard error. Library code logs at debug only; roles and commands say more. */
#ifndef SL_BASE_LOG_H
#define SL_BASE_LOG_H

#include "base/error.h"

enum sl_log_level { SL_LOG_DEBUG, SL_LOG_INFO, SL_LOG_WARNING, SL_LOG_ERROR };

/* A sink gets one finished line without its line end. NULL: lines are dropped. */
typedef void sl_log_sink(void *context, enum sl_log_level level, const char *line);
void sl_log_set(enum sl_log_level least, sl_log_sink *sink, void *context);
void sl_log(enum sl_log_level level, const char *format, ...) SL_PRINTF(2, 3);
#define sl_debug(...) sl_log(SL_LOG_DEBUG, __VA_ARGS__)

#endif
