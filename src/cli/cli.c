#include "cli/cli.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/str.h"
#include "cli/args.h"
#include "cli/help.h"
#include "cli/progress.h"
#include "cli/render.h"

enum { OUTPUT_BYTES_MAX = 256 << 20 };

static volatile int cancelled;

/* The first interrupt asks politely; the second one, by the default action, ends us. */
static void on_interrupt(int signal_number)
{
	cancelled = 1;
	signal(signal_number, SIG_DFL);
}

/* A closed pipe must not end us halfway through work. A handler and not SIG_IGN, because children inherit SIG_IGN. */
static void on_pipe(int signal_number) { (void)signal_number; }

static void set_signals(void)
{
	struct sigaction interrupt = {.sa_handler = on_interrupt}, pipe_closed = {.sa_handler = on_pipe, .sa_flags = SA_RESTART};
	sigaction(SIGINT, &interrupt, NULL);
	sigaction(SIGTERM, &interrupt, NULL);
	/* The terminal closed: as Ctrl-C, unless our caller wants us to outlive it (nohup). */
	struct sigaction hang_up;
	if (sigaction(SIGHUP, NULL, &hang_up) == 0 && hang_up.sa_handler != SIG_IGN)
		sigaction(SIGHUP, &interrupt, NULL);
	sigaction(SIGPIPE, &pipe_closed, NULL);
}

static void write_out(int fd, struct sl_buf *text)
{
	/* A reader that went away (head, less) is no error of ours. */
	if (text->len)
		sl_file_write_all(fd, text->data, text->len, fd == 1 ? "standard output" : "standard error", NULL);
}

static int report(const struct sl_error *err, bool json)
{
	struct sl_term term;
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(1 << 20), object SL_AUTO_BUF = SL_BUF_INIT(1 << 20);
	sl_term_look(2, &term);
	sl_term_error(&term, &text, err);
	write_out(2, &text);
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = json ? yyjson_mut_doc_new(NULL) : NULL;
	if (doc && sl_json_write(sl_error_json(doc, err), true, &object, NULL) == 0) {
		sl_buf_char(&object, '\n');
		write_out(1, &object);
	}
	return sl_code_exit_status(err->code);
}

static int show_help(const struct sl_op *op)
{
	struct sl_term term;
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(1 << 20);
	sl_term_look(1, &term);
	if (op)
		sl_help_op(&term, op, &text);
	else
		sl_help_all(&term, &text);
	write_out(1, &text);
	return 0;
}

/* A reader that went away has what it wanted; any other failure to write means that the answer did not arrive. */
static int write_result(const struct sl_buf *text, struct sl_error *err)
{
	struct sl_error failure = {0};
	errno = 0;
	int rc = text->len ? sl_file_write_all(1, text->data, text->len, "standard output", &failure) : 0;
	if (!rc || errno == EPIPE)
		return 0;
	*err = failure;
	return rc;
}

static int show_result(struct sl_call *call, bool json, struct sl_error *err)
{
	struct sl_term term;
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(OUTPUT_BYTES_MAX);
	sl_term_look(1, &term);
	if (json && !call->raw) {
		int rc = sl_json_write(call->result, true, &text, err);
		if (rc)
			return rc;
		sl_buf_char(&text, '\n');
	} else {
		sl_render(call, &term, &text);
	}
	int rc = sl_buf_check(&text, "the result", err);
	return rc ? rc : write_result(&text, err);
}

/* The result's own "error": what of the user's failed. */
static void show_failure(const struct sl_call *call)
{
	struct sl_term term;
	struct sl_error err = {.code = SL_E_FAILED};
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(1 << 20);
	yyjson_mut_val *error = yyjson_mut_obj_get(call->result, "error");
	const struct { const char *name; char *to; size_t size;
	} members[] = {
		{"where", err.where, sizeof err.where},
		{"message", err.message, sizeof err.message},
		{"hint", err.hint, sizeof err.hint},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(members); i++) {
		const char *value = yyjson_mut_get_str(yyjson_mut_obj_get(error, members[i].name));
		snprintf(members[i].to, members[i].size, "%s", value ? value : "");
	}
	if (!error)
		return;
	sl_term_look(2, &term);
	sl_term_error(&term, &text, &err);
	write_out(2, &text);
}

static int unknown_verb(const char *verb)
{
	const char *names[256];
	size_t count = 0;
	struct sl_error err = {0};
	for (size_t i = 0; i < sl_op_count && count < SL_ARRAY_LEN(names); i++)
		if (!sl_ops[i].hidden)
			names[count++] = sl_ops[i].name;
	sl_fail(&err, SL_E_INVALID, "there is no command '%.60s'", verb);
	const char *nearest = sl_str_nearest(verb, names, count);
	if (nearest)
		sl_error_hint(&err, "did you mean 'sluice %s'?", nearest);
	else
		sl_error_hint(&err, "sluice help lists them");
	return report(&err, false);
}

/* An absolute path of where the command stands. */
static int find_dir(const char *wanted, char out[SL_PATH_MAX], struct sl_error *err)
{
	char *real = realpath(wanted ? wanted : ".", NULL);
	size_t len = real ? strlen(real) : 0;
	if (!real)
		return sl_fail_errno(err, errno, wanted ? wanted : ".", "cannot enter");
	if (len < SL_PATH_MAX)
		memcpy(out, real, len + 1);
	free(real);
	return len < SL_PATH_MAX
		       ? 0
		       : sl_fail(err, SL_E_TOO_LARGE, "the path of this folder is longer than %d bytes", SL_PATH_MAX - 1);
}

/* A command line that could not be read to its end may still have asked for JSON. */
static bool asked_for_json(int argc, char *const *argv)
{
	for (int i = 0; i < argc && !sl_str_eq(argv[i], "--"); i++)
		if (sl_str_eq(argv[i], "--json"))
			return true;
	return false;
}

static int run_op(const struct sl_op *op, int argc, char **argv, struct sl_cli_globals *globals)
{
	struct sl_call call;
	struct sl_error err = {0};
	char dir[SL_PATH_MAX] = "";
	int rc = sl_call_begin(&call, op, dir, &err);
	if (rc)
		return report(&err, false);
	rc = sl_cli_parse(&call, argc, argv, globals, &err);
	if (!rc && globals->help) {
		sl_call_done(&call);
		return show_help(op);
	}
	if (!rc)
		rc = sl_call_check(&call, &err);
	if (!rc)
		rc = find_dir(globals->dir, dir, &err);
	call.cancel = &cancelled;
	call.actor = getenv("SLUICE_ACTOR"); /* the worker says which trigger started us */
	struct sl_progress progress;
	sl_progress_begin(&progress, &call);
	if (globals->json)
		call.progress.output = NULL; /* the result is one document */
	if (!rc)
		rc = sl_call_run(&call, &err);
	sl_progress_end(&progress);
	if (!rc)
		rc = show_result(&call, globals->json, &err);
	if (!rc && call.failed)
		show_failure(&call);
	int status = call.failed && !call.exit_status ? 1 : call.exit_status;
	sl_call_done(&call);
	return rc ? report(&err, globals->json || asked_for_json(argc, argv)) : status;
}

int sl_cli_main(int argc, char **argv)
{
	struct sl_cli_globals globals = {0};
	int at = 1;
	set_signals();
	sl_crypto_start();
	while (at < argc && argv[at][0] == '-') {
		if (sl_str_eq(argv[at], "-C") && at + 1 < argc)
			globals.dir = argv[++at];
		else if (sl_str_eq(argv[at], "--json"))
			globals.json = true;
		else if (sl_str_eq(argv[at], "-h") || sl_str_eq(argv[at], "--help"))
			return show_help(NULL);
		else if (sl_str_eq(argv[at], "--version"))
			return run_op(sl_op_find("version"), 0, NULL, &globals);
		else
			return unknown_verb(argv[at]);
		at++;
	}
	if (at >= argc)
		return show_help(NULL);
	if (sl_str_eq(argv[at], "help") && !globals.json) {
		const struct sl_op *topic = at + 1 < argc ? sl_op_find(argv[at + 1]) : NULL;
		if (at + 1 < argc && argv[at + 1][0] != '-')
			return topic ? show_help(topic) : unknown_verb(argv[at + 1]);
		if (at + 1 >= argc)
			return show_help(NULL);
	}
	const struct sl_op *op = sl_op_find(argv[at]);
	return op ? run_op(op, argc - at - 1, argv + at + 1, &globals) : unknown_verb(argv[at]);
}
