/* What a run ran in: program, libraries, the project's git commit and what differs from it, host and processor. */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/str.h"
#include "os/file.h"
#include "os/process.h"
#include "port/meta.h"
#include "track/run.h"

enum { GIT_TIMEOUT_MS = 10000 };

/* Output of a command, lines as they come; a git that fails or is missing gives nothing. */
static void keep_line(void *context, char stream, const char *line, size_t len)
{
	struct sl_buf *out = context;
	if (stream != 'o')
		return;
	sl_buf_add(out, line, len);
	sl_buf_char(out, '\n');
}

static bool git(const char *dir, const char *const *arguments, struct sl_buf *out)
{
	const char *argv[12] = {"git", "-C", dir, "-c", "core.quotePath=true", "--no-optional-locks"};
	size_t n = 6;
	for (; *arguments && n < SL_ARRAY_LEN(argv) - 1; arguments++)
		argv[n++] = *arguments;
	struct sl_processes *set SL_CLEANUP(sl_processes_freep) = NULL;
	struct sl_process *process = NULL, *ended = NULL;
	struct sl_process_end end = {0};
	struct sl_process_options options = {
		.argv = argv,
		.env = (const char *const *)environ,
		.dir = dir,
		.tag = "git",
		.timeout_ms = GIT_TIMEOUT_MS,
		.on_line = keep_line,
		.context = out,
	};
	if (sl_processes_new(&set, NULL) || sl_process_start(set, &options, &process, NULL))
		return false;
	while (!ended)
		sl_processes_wait(set, -1, &ended, &end);
	sl_process_free(process);
	return end.ok && !out->failed;
}

/* Whether `dir` or a folder above it holds ".git". */
static bool in_git(const char *dir)
{
	char path[SL_PATH_MAX], probe[SL_PATH_MAX];
	struct sl_file_info info;
	snprintf(path, sizeof path, "%s", dir);
	for (;;) {
		if (sl_path_join(probe, path[0] ? path : "/", ".git", NULL) == 0 && sl_file_info(probe, &info, NULL) == 0)
			return true;
		char *slash = strrchr(path, '/');
		if (!slash)
			return false;
		*slash = 0;
	}
}

static bool add_git(const char *dir, yyjson_mut_doc *doc, yyjson_mut_val *into, struct sl_buf *diff)
{
	static const char *const HEAD[] = {"rev-parse", "HEAD", NULL}, *const DIFF[] = {"diff", "HEAD", "--", ".", NULL};
	struct sl_buf commit SL_AUTO_BUF = SL_BUF_INIT(256);
	if (!in_git(dir) || !git(dir, HEAD, &commit) || commit.len < 40)
		return true;
	commit.data[strcspn(commit.data, "\n")] = 0;
	yyjson_mut_val *o = yyjson_mut_obj_add_obj(doc, into, "git");
	bool ok = o && yyjson_mut_obj_add_strcpy(doc, o, "commit", commit.data);
	if (!git(dir, DIFF, diff))
		return ok && yyjson_mut_obj_add_str(doc, o, "dirty", "unknown");
	struct sl_hash hash;
	char hex[SL_HASH_HEX + 1];
	sl_sha256(sl_buf_cstr(diff), diff->len, &hash);
	ok = ok && yyjson_mut_obj_add_bool(doc, o, "dirty", diff->len > 0);
	return ok && (!diff->len || yyjson_mut_obj_add_strcpy(doc, o, "diff", sl_hash_hex(&hash, hex)));
}

/* "model name	: AMD EPYC ..." of /proc/cpuinfo's first page. */
static bool add_cpu(yyjson_mut_doc *doc, yyjson_mut_val *into)
{
	char text[4096];
	int fd SL_AUTO_CLOSE = -1;
	if (sl_file_open("/proc/cpuinfo", 0, 0, &fd, NULL))
		return true;
	ssize_t n = read(fd, text, sizeof text - 1);
	text[n > 0 ? n : 0] = 0;
	char *name = strstr(text, "model name");
	name = name ? strchr(name, ':') : NULL;
	if (!name)
		return true;
	name += 1 + strspn(name + 1, " ");
	name[strcspn(name, "\n")] = 0;
	return yyjson_mut_obj_add_strcpy(doc, into, "cpu", name);
}

/* Those of this process. What a step's worker loads besides (DuckDB, XGBoost) stands with the step's run. */
static bool add_libraries(yyjson_mut_doc *doc, yyjson_mut_val *into)
{
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, into, "libraries");
	return list && yyjson_mut_arr_add_str(doc, list, sl_meta_version()) && yyjson_mut_arr_add_str(doc, list, sl_crypto_version());
}

int sl_environment_json(const char *project_dir, struct sl_buf *out, struct sl_buf *ret_diff, struct sl_error *err)
{
	struct utsname host;
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *o = doc ? yyjson_mut_obj(doc) : NULL;
	struct sl_buf own_diff SL_AUTO_BUF = SL_BUF_INIT(SL_DIFF_MAX_BYTES);
	if (!o || uname(&host))
		return sl_fail_memory(err);
	char os[sizeof host.sysname + sizeof host.release + 2];
	snprintf(os, sizeof os, "%s %s", host.sysname, host.release);
	bool ok = yyjson_mut_obj_add_str(doc, o, "program", "sluice") &&
		  yyjson_mut_obj_add_str(doc, o, "version", SLUICE_VERSION) &&
		  yyjson_mut_obj_add_str(doc, o, "host", host.nodename) && yyjson_mut_obj_add_str(doc, o, "os", os) &&
		  yyjson_mut_obj_add_str(doc, o, "machine", host.machine) &&
		  yyjson_mut_obj_add_int(doc, o, "cpus", sysconf(_SC_NPROCESSORS_ONLN)) && add_cpu(doc, o) && add_libraries(doc, o) &&
		  add_git(project_dir, doc, o, ret_diff ? ret_diff : &own_diff);
	if (!ok)
		return sl_fail_memory(err);
	return sl_json_mut_canonical(o, out, err);
}
