/* What a command in a sandbox may touch: the system's programs and libraries, its inputs and code, its staging folder. The project's folder can be listed:
 * programs look there for modules, and a file that was not declared is then refused by name instead of not found. */
#include "flow/task.h"

#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

/* Where programs, their libraries and their settings stand on the systems that we support. No /tmp, no /var; of home folders what was installed there. */
static const char *const SYSTEM[] = {"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt", "/etc", "/nix/store", "/proc", "/sys/devices/system", "/sys/fs/cgroup",
				     "/run/systemd/resolve", "/dev/zero", "/dev/urandom", "/dev/random"};
static const char *const WRITABLE[] = {"/dev/null", "/dev/full", "/dev/tty", "/dev/shm"};
static const char *const OF_GPUS[] = {"/dev/nvidia*", "/dev/dri", "/dev/kfd"};
/* Below the user's home: what was installed for him alone. */
static const char *const OF_HOME[] = {".local/lib", ".local/bin", ".local/share/uv", ".gitconfig", ".config/git"}; /* the last two: git ends when it may not read its settings */

/* At most: of a folder of programs, with where its Python is a link to; of each pattern of GPUs. */
enum { PREFIX_PATHS = 24, GPU_PATHS = 64 };

struct paths { struct flow_task *task; const char **items; size_t count, room; };

static int add_path(struct paths *p, const char *path, struct sl_error *err)
{
	const char *dir = p->task->graph->project->dir;
	if (p->count + 1 >= p->room)
		return sl_fail(err, SL_E_BUG, "more paths than counted");
	p->items[p->count] = path[0] == '/' ? path : sl_arena_printf(p->task->arena, "%s/%s", dir, path);
	return p->items[p->count++] ? 0 : sl_fail_memory(err);
}

static int make_paths(struct paths *p, struct flow_task *task, size_t room, struct sl_error *err)
{
	*p = (struct paths){.task = task, .room = room + 1, .items = sl_arena_array(task->arena, room + 1, sizeof *p->items)};
	return p->items ? 0 : sl_fail_memory(err);
}

/* A word that names a file of the project: code, or data that the command was told of by name. */
static int add_word(struct paths *p, const char *word, size_t len, struct sl_error *err)
{
	char name[SL_PATH_MAX], path[SL_PATH_MAX];
	struct sl_file_info info;
	snprintf(name, sizeof name, "%.*s", (int)len, word);
	if (len >= sizeof name || !sl_relative_path_valid(name) || sl_path_join(path, p->task->graph->project->dir, name, NULL) ||
	    sl_file_info(path, &info, NULL) || !info.is_regular)
		return 0;
	const char *copy = sl_arena_strdup(p->task->arena, name);
	return copy ? add_path(p, copy, err) : sl_fail_memory(err);
}

static const char BREAKS[] = " \t\n;|&<>()'\"";

static size_t count_words(const char *text)
{
	size_t n = 0;
	while (*(text += strspn(text, BREAKS))) {
		text += strcspn(text, BREAKS);
		n++;
	}
	return n;
}

static int add_arguments(struct paths *p, const struct sl_step *step, struct sl_error *err)
{
	bool shell = step->argv.count == 3 && strcmp(step->argv.items[0], "/bin/sh") == 0;
	int rc = 0;
	for (const char *text = shell ? step->argv.items[2] : ""; !rc && *(text += strspn(text, BREAKS)); text += strcspn(text, BREAKS))
		rc = add_word(p, text, strcspn(text, BREAKS), err);
	for (size_t i = 0; !rc && !shell && i < step->argv.count; i++)
		rc = step->argv.items[i][0] == '/' ? add_path(p, step->argv.items[i], err) : add_word(p, step->argv.items[i], strlen(step->argv.items[i]), err);
	for (size_t i = 0; !rc && i < step->code.count; i++)
		rc = add_path(p, step->code.items[i], err);
	return rc;
}

static bool in_system(const char *path)
{
	for (size_t i = 0; i < SL_ARRAY_LEN(SYSTEM); i++)
		if (strncmp(path, SYSTEM[i], strlen(SYSTEM[i])) == 0 && path[strlen(SYSTEM[i])] == '/')
			return true;
	return false;
}

/* Does `folder`, of `len` bytes, hold the whole project? */
static bool holds_project(const struct paths *p, const char *folder, size_t len)
{
	const char *dir = p->task->graph->project->dir;
	return strncmp(dir, folder, len) == 0 && (dir[len] == '/' || dir[len] == 0);
}

/* A folder of programs outside of the system's, with the libraries beside it: PREFIX/bin of a virtual environment or of conda, and all of PREFIX
 * for PREFIX/shims, whose programs start others somewhere below (pyenv, asdf). Never what holds the project: lib beside its own bin is data like any other. */
static int add_folder(struct paths *p, const char *folder, struct sl_error *err)
{
	static const char *const PARTS[] = {"lib", "lib64", "libexec", "share", "include", "pyvenv.cfg"};
	const char *slash = strrchr(folder, '/');
	int len = slash ? (int)(slash - folder) : 0, rc = 0;
	if (len == 0 || in_system(folder) || holds_project(p, folder, strlen(folder)))
		return 0;
	bool apart = !holds_project(p, folder, (size_t)len), shims = apart && strcmp(slash, "/shims") == 0;
	const char *prefix = shims ? sl_arena_printf(p->task->arena, "%.*s", len, folder) : sl_arena_strdup(p->task->arena, folder);
	rc = prefix ? add_path(p, prefix, err) : sl_fail_memory(err);
	for (size_t i = 0; !rc && apart && strcmp(slash, "/bin") == 0 && i < SL_ARRAY_LEN(PARTS); i++) {
		const char *part = sl_arena_printf(p->task->arena, "%.*s/%s", len, folder, PARTS[i]);
		rc = part ? add_path(p, part, err) : sl_fail_memory(err);
	}
	return rc;
}

/* The folder of a program, and of what it is a link to: python3 of a virtual environment. */
static int add_program(struct paths *p, const char *path, struct sl_error *err)
{
	char folder[SL_PATH_MAX], real[PATH_MAX];
	const char *ways[] = {path, realpath(path, real)};
	int rc = 0;
	for (size_t i = 0; !rc && i < SL_ARRAY_LEN(ways); i++) {
		if (!ways[i] || (i && strcmp(real, path) == 0))
			continue;
		snprintf(folder, sizeof folder, "%s", ways[i]);
		char *slash = strrchr(folder, '/');
		*(slash ? slash : folder) = 0;
		rc = add_folder(p, folder, err);
	}
	return rc;
}

static const char *search_path(void) { return getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin"; }

static size_t count_folders(const char *search)
{
	size_t n = 1;
	for (; *search; search++)
		n += *search == ':';
	return n;
}

/* Where programs are searched: a text for the shell names them as it likes. */
static int add_search(struct paths *p, struct sl_error *err)
{
	char folder[SL_PATH_MAX], python[SL_PATH_MAX];
	int rc = 0;
	for (const char *at = search_path(); !rc && *at; at += strspn(at, ":")) {
		size_t len = strcspn(at, ":");
		snprintf(folder, sizeof folder, "%.*s", (int)len, at);
		at += len;
		if (*folder != '/')
			continue;
		rc = add_folder(p, folder, err);
		if (!rc && !in_system(folder) && sl_path_join(python, folder, "python3", NULL) == 0 && access(python, X_OK) == 0)
			rc = add_program(p, python, err);
	}
	return rc;
}

static int add_all(struct paths *p, const char *const *items, size_t count, struct sl_error *err)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < count; i++)
		rc = add_path(p, items[i], err);
	return rc;
}

static int add_home(struct paths *p, struct sl_error *err)
{
	const char *home = getenv("HOME");
	int rc = 0;
	for (size_t i = 0; !rc && home && *home == '/' && i < SL_ARRAY_LEN(OF_HOME); i++) {
		const char *path = sl_arena_printf(p->task->arena, "%s/%s", home, OF_HOME[i]);
		rc = path ? add_path(p, path, err) : sl_fail_memory(err);
	}
	return rc;
}

/* The devices of the GPUs that were given to it. */
static int add_gpus(struct paths *p, struct sl_error *err)
{
	int rc = 0;
	for (size_t i = 0; !rc && p->task->gpus && i < SL_ARRAY_LEN(OF_GPUS); i++) {
		glob_t found = {0};
		for (size_t k = 0; glob(OF_GPUS[i], 0, NULL, &found) == 0 && !rc && k < found.gl_pathc && k < GPU_PATHS; k++) {
			const char *path = sl_arena_strdup(p->task->arena, found.gl_pathv[k]);
			rc = path ? add_path(p, path, err) : sl_fail_memory(err);
		}
		globfree(&found);
	}
	return rc;
}

/* Port of the run's own MLflow face; 0: none. */
static uint16_t tracking_port(void)
{
	const char *uri = getenv(SL_RUN_TRACKING_URI), *colon = uri ? strrchr(uri, ':') : NULL;
	return colon ? (uint16_t)strtoul(colon + 1, NULL, 10) : 0;
}

/* What every command of the run may touch. */
static int open_system(struct flow_task *task, struct sl_error *err)
{
	struct paths read, write;
	int rc = make_paths(&read, task, SL_ARRAY_LEN(SYSTEM) + SL_ARRAY_LEN(OF_HOME) + count_folders(search_path()) * PREFIX_PATHS, err);
	rc = rc ? rc : make_paths(&write, task, SL_ARRAY_LEN(WRITABLE), err);
	rc = rc ? rc : add_all(&read, SYSTEM, SL_ARRAY_LEN(SYSTEM), err);
	rc = rc ? rc : add_home(&read, err);
	rc = rc ? rc : add_search(&read, err);
	rc = rc ? rc : add_all(&write, WRITABLE, SL_ARRAY_LEN(WRITABLE), err);
	return rc ? rc : sl_sandbox_base_new(read.items, write.items, &task->graph->system, err);
}

static int collect_reads(struct paths *read, const struct sl_step *step, struct sl_error *err)
{
	int rc = step->argv.items[0][0] == '/' ? add_program(read, step->argv.items[0], err) : 0;
	rc = rc ? rc : add_arguments(read, step, err);
	return rc ? rc : add_all(read, step->sandbox_read.items, step->sandbox_read.count, err);
}

static int collect_writes(struct paths *write, const struct sl_step *step, struct sl_error *err)
{
	int rc = add_gpus(write, err);
	rc = rc ? rc : add_path(write, write->task->dir, err);
	return rc ? rc : add_all(write, step->sandbox_write.items, step->sandbox_write.count, err);
}

int flow_sandbox_prepare(struct flow_task *task, struct sl_error *err)
{
	const struct sl_step *step = task->graph->nodes[task->node].step;
	const struct sl_project *project = task->graph->project;
	struct paths read, write;
	size_t words = step->argv.count + count_words(step->argv.items[step->argv.count - 1]) + step->code.count;
	int rc = task->graph->system ? 0 : open_system(task, err);
	rc = rc ? rc : make_paths(&read, task, words + step->sandbox_read.count + 2 * PREFIX_PATHS, err);
	rc = rc ? rc : make_paths(&write, task, SL_ARRAY_LEN(OF_GPUS) * GPU_PATHS + step->sandbox_write.count + 1, err);
	rc = rc ? rc : collect_reads(&read, step, err);
	rc = rc ? rc : collect_writes(&write, step, err);
	const char *store = rc ? NULL : sl_arena_printf(task->arena, "%s/objects", task->graph->store->dir);
	if (rc || !store)
		return rc ? rc : sl_fail_memory(err);
	const char *const list[] = {project->dir, NULL};
	const struct sl_sandbox_options options = {.base = task->graph->system, .read = read.items, .write = write.items, .list = list, .files = task->readable, .store = store,
						   .network = step->sandbox_network, .port = tracking_port()};
	rc = sl_sandbox_prepare(&options, task->arena, &task->sandbox, err);
	task->sandboxed = !rc;
	return rc;
}
