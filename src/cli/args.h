/* The command line: argv into a typed call, by the operation's table. */
#ifndef SL_CLI_ARGS_H
#define SL_CLI_ARGS_H

#include "op/op.h"

/* What every command takes beside its own arguments. */
struct sl_cli_globals {
	bool json, help;
	const char *dir; /* -C DIR; NULL: where we are */
};

/* Options and positions may be mixed; "--" ends options; -abc are flags a, b, c; values as "--name value", "--name=value", "-n
 * value", "-nvalue". Errors are SL_E_INVALID with the nearest known option. Defaults and required arguments are the caller's
 * sl_call_check. */
int sl_cli_parse(struct sl_call *call, int argc, char *const *argv, struct sl_cli_globals *globals, struct sl_error *err);

#endif
