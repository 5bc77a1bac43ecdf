/* Inside flow/: the keeper, which is the parent of a run's processes, so that they outlive the run.
 *
 *   sluice run ──socket──> sluice worker keep:DIR ──fork, exec──> a step's command, or `sluice worker JOB`
 *   (killed)                 goes on: logs, limits, left-overs
 *   sluice run ──DIR/socket──> the same keeper: takes over what still works, and reads how the rest ended
 *
 * The run asks for a process after its intent is on record, and the keeper starts nothing by itself: that is the gate. What a process tells (descriptor 3)
 * stands in DIR/ID.events, its end in DIR/ID.exit, renamed into place before the run hears of it; so nothing is lost with the run. A run that ends takes
 * its keeper along. One that was killed leaves it: it stays until its last process has ended. When the keeper itself is killed the kernel kills what it started
 * (os/process.h), and their left-overs are found by their environment, whose tag begins with the name of DIR.
 *
 * Messages, both ways: u32le length of the rest, a letter, text. From the run: S a process to start (keeper_message.h), T ID: ask it to end, X ID: kill it, L with
 * the run's listening socket beside it, Q: kill all and go. From the keeper: L with the socket that it holds, if there is one; H the ids that work, one a line
 * (once); N ID: it told something; E ID\nJSON: it ended; F ID\nJSON: it could not be started.
 * A run of another version understands all but S, which it never sends to a keeper that it took over.
 */
#ifndef SL_FLOW_KEEPER_H
#define SL_FLOW_KEEPER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/json.h"
#include "os/file.h"
#include "os/process.h"
#include "project/project.h"

enum { FLOW_KEPT_ID = 40 };
#define FLOW_KEEPER "keep:" /* `PROGRAM worker keep:DIR` */

struct flow_keeper;
struct flow_keepers { struct flow_keeper *first; };

/* What is started. `process`: without callbacks and tag; `id` names it among those of its keeper. */
struct flow_kept_start {
	const char *id;
	struct sl_process_options process;
	const struct sl_names *texts; /* end.text says whether a line of output had one of them */
};
struct flow_kept_end { struct sl_process_end end; bool text; };

/* Starts one over the folder `dir`, which is made. Ready before anything may be started: flow_keeper_ready. */
int flow_keeper_new(struct flow_keepers *keepers, const char *program, const char *dir, struct flow_keeper **ret, struct sl_error *err);
int flow_keeper_ready(struct flow_keeper *keeper, struct sl_error *err);
/* Takes over the one of `dir`: 1, or 0 when nobody is there. `ret_working`: ids, one a line, as long as the keeper. */
int flow_keeper_join(struct flow_keepers *keepers, const char *dir, struct flow_keeper **ret, const char **ret_working, struct sl_error *err);
/* How one ended that nobody heard of: 1, or 0 when that is not known (it was not started, or the machine stopped since). */
int flow_kept_end_read(const char *dir, const char *id, struct flow_kept_end *ret, struct sl_error *err);
void flow_kept_end_forget(const char *dir, const char *id);
/* Gives it a copy of the run's listening socket, to hold for the next run. */
int flow_keeper_hold(struct flow_keeper *keeper, int listen_fd, struct sl_error *err);
/* The socket that one which was taken over held; the caller's from now on. -1: none. */
int flow_keeper_held(struct flow_keeper *keeper);
const char *flow_keeper_dir(const struct flow_keeper *keeper);

int flow_keeper_start(struct flow_keeper *keeper, const struct flow_kept_start *start, struct sl_error *err);
void flow_keeper_stop(struct flow_keeper *keeper, const char *id, bool kill);

enum flow_kept_kind { FLOW_KEPT_TOLD, FLOW_KEPT_ENDED, FLOW_KEPT_NOT_STARTED, FLOW_KEEPER_LOST };
struct flow_kept_news {
	enum flow_kept_kind kind;
	struct flow_keeper *keeper;
	char id[FLOW_KEPT_ID];      /* LOST: "": nothing more will come of this keeper */
	struct flow_kept_end end;   /* ENDED */
	struct sl_error error;      /* NOT_STARTED; also when it cannot be told how it ended */
};
/* The next news of any: 1; 0: the time is over, or a signal arrived. */
int flow_keepers_wait(struct flow_keepers *keepers, int timeout_ms, struct flow_kept_news *ret);
/* Gives all back. Those that this run started end with all that they keep, and their folders go; those taken over go on. */
void flow_keepers_done(struct flow_keepers *keepers);

/* The other side: `sluice worker keep:DIR`, whose standard input is the socket. Exit status of the process. */
int flow_keeper_stand(const char *dir);

#endif
