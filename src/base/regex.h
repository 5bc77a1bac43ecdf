/* Regular expressions as RE2 takes them (github.com/google/re2/wiki/Syntax), which the SQL engine matches with: whether one is
 * well formed, without the engine. The rules follow re2/parse.cc with its default flags; what only the compiled program tells
 * (an expression of many megabytes) is left to the engine. */
#ifndef SL_BASE_REGEX_H
#define SL_BASE_REGEX_H

#include <stdbool.h>
#include <stddef.h>

enum { SL_REGEX_DEPTH_MAX = 1000 };

/* True when `pattern` (UTF-8) is well formed. Else *ret_problem tells what is wrong (static text) and *ret_at how many bytes
 * stand before it. */
bool sl_regex_valid(const char *pattern, const char **ret_problem, size_t *ret_at);

#endif
