/* What a killed run left behind: found when the next one begins, taken over when that one would run the same, by fingerprint.
 *
 *   row of `attempt` ── its keeper lives, or DIR/ID.exit is there ──> x->left ── same fingerprint ──> goes on as if this run had started it
 *                    └─ neither: it was never started, or died unseen ──> recorded as killed       └─ another one by now ──> ended, recorded as killed
 *
 * What this run was not asked for stays: a later run that is asked for it takes it over. It counts for none of this run's resources.
 */
#include "flow/execution.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "os/clock.h"

/* ---- finding ---------------------------------------------------------------------------------------------------------------------------- */

static bool works(const char *working, const char *id)
{
	const char *at = working ? strstr(working, id) : NULL;
	return at && at[strlen(id)] == '\n';
}

/* Where it stands: its later process first. False when nothing is known of it. */
static bool find_stage(struct flow_left *left, struct flow_keeper *keeper, const char *working)
{
	for (left->stage = FLOW_REPEATED + 1; left->stage >= 0; left->stage--) {
		char id[FLOW_KEPT_ID];
		snprintf(id, sizeof id, "%s.%d", left->run.text, left->stage);
		left->keeper = works(working, id) ? keeper : NULL;
		if (left->keeper || flow_kept_end_read(left->dir, id, &left->end, NULL) == 1)
			return true;
	}
	return false;
}

static void stop(const struct flow_left *left, bool kill)
{
	char id[FLOW_KEPT_ID];
	snprintf(id, sizeof id, "%s.%d", left->run.text, left->stage);
	if (left->keeper)
		flow_keeper_stop(left->keeper, id, kill);
}

/* Its row goes with its end, so it is recorded once. Inside a transaction. */
static int end_left(struct execution *x, const struct sl_id *run, const char *cause)
{
	int64_t n = sl_meta_exec(meta_of(x), x->err, "DELETE FROM attempt WHERE run = ?1", "s", run->text);
	int rc = n < 0 ? (int)n : sl_run_end(track_of(x), run, "killed", cause, x->err);
	return rc == SL_E_CONFLICT ? 0 : rc; /* it has ended: its row was all that was left */
}

static void remove_folder(struct execution *x, const char *name)
{
	char path[SL_PATH_MAX];
	if (sl_path_join(path, x->graph->store->tmp_dir, name, NULL) == 0)
		sl_dir_remove(path, NULL);
}

/* Is there still a node of this name? */
static bool in_project(const struct sl_project *project, const char *name)
{
	for (size_t i = 0; i < project->model_count; i++)
		if (strcmp(project->models[i].name, name) == 0)
			return true;
	return sl_project_step(project, name) || sl_project_source(project, name);
}

/* Of the keeper whose rows are looked at. */
struct finding { char keeper[SL_ID_LEN + 1]; struct flow_keeper *joined; const char *working; };

static int look_for_keeper(struct execution *x, struct finding *f, const char *keeper, const char *dir)
{
	char prefix[SL_ID_LEN + 2];
	if (strcmp(f->keeper, keeper) == 0)
		return 0;
	*f = (struct finding){0};
	snprintf(f->keeper, sizeof f->keeper, "%s", keeper);
	int rc = flow_keeper_join(&x->keepers, dir, &f->joined, &f->working, x->err);
	snprintf(prefix, sizeof prefix, "%.26s.", keeper);
	int held = rc == 1 ? flow_keeper_held(f->joined) : -1;
	if (held >= 0 && x->options->face)
		x->options->face->adopt(x->options->face->context, held);
	else
		sl_file_close(&held);
	if (rc == 0) /* it was killed too, or is through: nobody else ends what its processes left */
		sl_process_kill_tagged(prefix);
	return rc < 0 ? rc : 0;
}

static int take_row(struct execution *x, struct finding *f, struct sl_stmt *row, struct sl_names *dead)
{
	struct sl_arena *arena = x->graph->arena;
	struct flow_left *left = sl_arena_alloc(arena, sizeof *left);
	if (!left || !sl_id_parse(sl_stmt_text(row, 0), &left->run))
		return left ? sl_fail(x->err, SL_E_CORRUPT, "'%.40s' in the table attempt is no run", sl_stmt_text(row, 0)) : sl_fail_memory(x->err);
	left->gpus = (uint64_t)sl_stmt_int(row, 2);
	left->told = (uint64_t)sl_stmt_int(row, 3);
	left->name = sl_arena_strdup(arena, sl_stmt_text(row, 4));
	left->fingerprint = sl_arena_strdup(arena, sl_stmt_text(row, 5));
	left->started_ms = sl_stmt_int(row, 6);
	int rc = left->name && left->fingerprint ? sl_path_join(left->dir, x->graph->store->tmp_dir, sl_stmt_text(row, 1), x->err) : sl_fail_memory(x->err);
	rc = rc ? rc : look_for_keeper(x, f, sl_stmt_text(row, 1), left->dir);
	if (rc)
		return rc;
	bool known = find_stage(left, f->joined, f->working);
	if (known && left->stage < FLOW_REPEATED && !left->end.end.stopped && in_project(x->graph->project, left->name)) {
		left->next = x->left;
		x->left = left;
		return 0;
	}
	if (known)
		stop(left, true);
	dead->items[dead->count++] = left->run.text;
	return 0;
}

static int read_rows(struct execution *x, struct sl_names *dead)
{
	SL_AUTO_STMT struct sl_stmt *stmt = NULL;
	struct finding finding = {0};
	int64_t count;
	int rc = sl_meta_int(meta_of(x), 0, &count, x->err, "SELECT count(*) FROM attempt", "");
	if (rc || !count)
		return rc;
	dead->items = sl_arena_array(x->graph->arena, (size_t)count, sizeof *dead->items);
	if (!dead->items)
		return sl_fail_memory(x->err);
	rc = sl_meta_query(meta_of(x), &stmt, x->err,
		"SELECT a.run, a.keeper, a.gpus, a.told, r.name, COALESCE(r.fingerprint, ''), r.started_ms FROM attempt a JOIN run r ON r.id = a.run ORDER BY a.keeper, a.run", "");
	while (!rc && (rc = sl_stmt_step(stmt, x->err)) == 1)
		rc = take_row(x, &finding, stmt, dead);
	return rc;
}

int flow_find_left(struct execution *x)
{
	SL_AUTO_STMT struct sl_stmt *stmt = NULL;
	struct sl_names dead = {0};
	int rc = sl_meta_query(meta_of(x), &stmt, x->err, "SELECT 1 FROM setting WHERE name = ?1 UNION ALL SELECT 1 FROM attempt LIMIT 1", "s", FLOW_ACTIVE);
	rc = rc ? rc : sl_stmt_step(stmt, x->err);
	sl_stmt_done(SL_TAKE(stmt));
	if (rc != 1)
		return rc;
	x->found_left = true;
	rc = read_rows(x, &dead);
	rc = rc || !dead.count ? rc : sl_meta_begin(meta_of(x), x->err);
	for (size_t i = 0; !rc && i < dead.count; i++) {
		struct sl_id run;
		rc = sl_id_parse(dead.items[i], &run) ? end_left(x, &run, "its process ended without a word (killed, or the machine stopped)") : SL_E_BUG;
	}
	if (dead.count)
		rc = sl_meta_end(meta_of(x), rc, x->err);
	rc = rc ? rc : sl_store_tidy(x->graph->store, x->err);
	if (!rc)
		flow_clean_left(x);
	return rc;
}

/* ---- taking over --------------------------------------------------------------------------------------------------------------------------- */

static struct flow_left *take_left(struct execution *x, const char *name)
{
	for (struct flow_left **at = &x->left; *at; at = &(*at)->next)
		if (strcmp((*at)->name, name) == 0) {
			struct flow_left *left = *at;
			*at = left->next;
			return left;
		}
	return NULL;
}

/* A gate compares with the champion of its beginning. A step for the end is told how its own run stood, which is how this one stands when it had nothing else
 * to do. */
static bool is_the_same(const struct execution *x, size_t i, const struct flow_left *left)
{
	const struct flow_node *node = &x->graph->nodes[i];
	char dir[SL_PATH_MAX];
	if (strcmp(left->fingerprint, x->plan->decisions[i]->fingerprint) != 0 || (node->finally && x->at_end))
		return false;
	return node->action != FLOW_GATE || (sl_path_join(dir, x->graph->store->tmp_dir, left->run.text, NULL) == 0 && flow_gate_job_holds(x->graph, i, dir));
}

bool flow_end_is_left(const struct execution *x, size_t i)
{
	const struct flow_left *left = x->left;
	while (left && strcmp(left->name, x->graph->nodes[i].name) != 0)
		left = left->next;
	return left && x->graph->nodes[i].finally;
}

static int replace(struct execution *x, struct flow_left *left)
{
	stop(left, true);
	int rc = flow_open_transaction(x);
	rc = rc ? rc : end_left(x, &left->run, "its run was killed, and what it was to do has changed since");
	remove_folder(x, left->run.text);
	return rc;
}

int flow_take_over(struct execution *x, size_t i)
{
	struct flow_left *left = take_left(x, x->graph->nodes[i].name);
	if (!left)
		return 0;
	if (!is_the_same(x, i, left))
		return replace(x, left);
	int rc = flow_open_transaction(x);
	rc = rc ? rc : flow_begin_over_all(x);
	rc = rc ? rc : sl_run_tag(track_of(x), &left->run, "taken_over_by", x->run.text, x->err);
	struct running *r = rc ? NULL : flow_new_running(x, i);
	if (!r)
		return rc ? rc : SL_E_NO_MEMORY;
	flow_queue_occupy(x->queue, i, left->gpus);
	r->left = left;
	r->task.run = left->run;
	return 1;
}

void flow_go_on(struct execution *x, struct running *r)
{
	const struct flow_left *left = r->left;
	struct sl_flow_node *node = shown(x, r->task.node);
	node->run = r->task.run;
	node->started_ms = left->started_ms;
	node->state = SL_FLOW_RUNNING;
	node->reason = left->keeper ? "taken over at work: its run was killed" : "had ended: its run was killed";
	if (x->options->events.started)
		x->options->events.started(x->options->events.context, node);
	snprintf(r->id, sizeof r->id, "%s.%d", left->run.text, left->stage);
	if (blame(r, flow_task_resume(&r->task, flow_program(x), left->stage, &r->error)))
		return;
	r->dir = left->dir;
	r->hearing.read = r->told = r->told_written = left->stage == 0 ? left->told : 0;
	flow_hear(r);
	r->keeper = left->keeper;
	r->kept = left->end;
	r->end = r->kept.end;
	r->ended = !r->keeper;
}

void flow_stop_left(struct execution *x)
{
	for (const struct flow_left *left = x->left; left; left = left->next)
		stop(left, false);
}

/* ---- folders ------------------------------------------------------------------------------------------------------------------------------- */

static int clean_one(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct execution *x = context;
	struct sl_id id;
	int64_t used = 0;
	if (!info->is_dir || strlen(name) != SL_ID_LEN || !sl_id_parse(name, &id) || strcmp(name, x->run.text) == 0)
		return 0;
	int rc = sl_meta_int(meta_of(x), 0, &used, err, "SELECT count(*) FROM attempt WHERE run = ?1 OR keeper = ?1", "s", name);
	if (!rc && !used)
		remove_folder(x, name);
	return rc;
}

void flow_clean_left(struct execution *x)
{
	sl_dir_each(x->graph->store->tmp_dir, clean_one, x, NULL);
}

int sl_flow_interrupted(struct sl_store *store, struct sl_arena *arena, const char **ret_words, int64_t *ret_steps, struct sl_error *err)
{
	SL_AUTO_STMT struct sl_stmt *stmt = NULL;
	int rc = sl_meta_int(store->meta, 0, ret_steps, err, "SELECT count(*) FROM attempt", "");
	rc = rc ? rc : sl_meta_query(store->meta, &stmt, err, "SELECT value FROM setting WHERE name = ?1", "s", FLOW_ACTIVE);
	rc = rc ? rc : sl_stmt_step(stmt, err);
	if (rc != 1)
		return rc;
	const char *text = sl_stmt_text(stmt, 0), *words = strchr(text, ' ');
	*ret_words = sl_arena_strdup(arena, words ? words + 1 : "");
	return *ret_words ? 1 : sl_fail_memory(err);
}
