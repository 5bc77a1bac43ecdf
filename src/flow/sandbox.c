/* What a command in a sandbox may touch: the system's programs and libraries, its inputs and code, its staging folder. */
#include "flow/task.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

/* Where programs, their libraries and their settings stand on the systems that we support. No home folders, no /tmp, no /var. */
static const char *const SYSTEM[] = {"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt", "/etc", "/proc", "/sys/devices/system/cpu", "/dev/zero", "/dev/urandom",
				     "/dev/random"};
static const char *const WRITABLE[] = {"/dev/null", "/dev/full", "/dev/tty", "/dev/shm"};

enum { PREFIX_PATHS = 16 }; /* at most, of the program and of what it is a link to */

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

/* The program's own folder with the libraries beside it, for what stands outside of the system's: PREFIX/bin/python3 of a virtual
 * environment, and what its links lead to. */
static int add_prefix(struct paths *p, const char *program, struct sl_error *err)
{
	static const char *const PARTS[] = {"bin", "lib", "lib64", "libexec", "share", "pyvenv.cfg"};
	struct sl_arena *arena = p->task->arena;
	const char *slash = strrchr(program, '/');
	size_t len = slash ? (size_t)(slash - program) : 0;
	const char *folder = sl_arena_strndup(arena, program, len);
	int rc = !folder ? sl_fail_memory(err) : slash ? add_path(p, folder, err) : 0;
	if (rc || len < 4 || strncmp(slash - 4, "/bin", 4) != 0)
		return rc;
	for (size_t i = 0; !rc && i < SL_ARRAY_LEN(PARTS); i++) {
		const char *part = sl_arena_printf(arena, "%.*s/%s", (int)(len - 4), program, PARTS[i]);
		rc = part ? add_path(p, part, err) : sl_fail_memory(err);
	}
	return rc;
}

static int add_program(struct paths *p, const char *name, struct sl_error *err)
{
	char path[SL_PATH_MAX], real[PATH_MAX];
	const char *search = getenv("PATH");
	snprintf(path, sizeof path, "%s", strchr(name, '/') ? name : "");
	for (const char *at = search ? search : "/usr/bin:/bin"; !strchr(name, '/') && *at; at += strspn(at, ":")) {
		size_t len = strcspn(at, ":");
		snprintf(path, sizeof path, "%.*s/%s", (int)len, at, name);
		if (access(path, X_OK) == 0)
			break;
		at += len;
	}
	int rc = path[0] == '/' ? add_prefix(p, path, err) : 0;
	return rc || !realpath(path, real) || strcmp(real, path) == 0 ? rc : add_prefix(p, real, err);
}

int flow_sandbox_prepare(struct flow_task *task, struct sl_error *err)
{
	const struct sl_step *step = task->graph->nodes[task->node].step;
	struct paths read, write;
	size_t words = step->argv.count + count_words(step->argv.items[step->argv.count - 1]) + step->code.count;
	int rc = make_paths(&read, task, SL_ARRAY_LEN(SYSTEM) + words + step->sandbox_read.count + PREFIX_PATHS, err);
	rc = rc ? rc : make_paths(&write, task, SL_ARRAY_LEN(WRITABLE) + step->sandbox_write.count + 2, err);
	for (size_t i = 0; !rc && i < SL_ARRAY_LEN(SYSTEM); i++)
		rc = add_path(&read, SYSTEM[i], err);
	rc = rc ? rc : add_program(&read, step->argv.items[0], err);
	rc = rc ? rc : add_arguments(&read, step, err);
	for (size_t i = 0; !rc && i < step->sandbox_read.count; i++)
		rc = add_path(&read, step->sandbox_read.items[i], err);
	for (size_t i = 0; !rc && i < SL_ARRAY_LEN(WRITABLE); i++)
		rc = add_path(&write, WRITABLE[i], err);
	rc = rc ? rc : add_path(&write, task->dir, err);
	for (size_t i = 0; !rc && i < step->sandbox_write.count; i++)
		rc = add_path(&write, step->sandbox_write.items[i], err);
	if (rc)
		return rc;
	const struct sl_sandbox_options options = {.read = read.items, .write = write.items, .network = step->sandbox_network};
	rc = sl_sandbox_prepare(&options, &task->sandbox, err);
	task->sandboxed = !rc;
	return rc;
}
