#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "flow/graph.h"
#include "port/sql.h"
#include "port/train.h"

/* What changes when the program or its folder of libraries (os/library.h) is replaced. */
static void identify(char out[256])
{
	char program[SL_PATH_MAX] = "";
	ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);
	program[len > 0 ? len : 0] = 0;
	char *slash = strrchr(program, '/');
	size_t dir_len = slash ? (size_t)(slash - program) : 0, n = 0;
	static const char *const PLACES[] = {"", "/lib/sluice", "/../lib/sluice"};
	for (size_t i = 0; i < SL_ARRAY_LEN(PLACES); i++) {
		char path[SL_PATH_MAX + 32];
		struct sl_file_info info;
		snprintf(path, sizeof path, "%.*s%s", (int)(i ? dir_len : strlen(program)), program, PLACES[i]);
		if (sl_file_info(path, &info, NULL) == 0)
			n += (size_t)snprintf(out + n, 256 - n, "%llu.%lld.%llu ", (unsigned long long)info.size_bytes, (long long)info.mtime_ns,
					      (unsigned long long)info.inode);
	}
	out[n] = 0;
}

static int ask_engine(const char *engine, struct sl_arena *arena, const char **ret, struct sl_error *err)
{
	const char *version = strcmp(engine, "sql") == 0 ? sl_sql_version(err) : sl_trainer_version(err);
	if (!version)
		return err && err->code ? err->code : SL_E_NO_LIBRARY;
	*ret = sl_arena_strdup(arena, version);
	return *ret ? 0 : sl_fail_memory(err);
}

static int recall_version(struct sl_meta *meta, const char *engine, bool write, struct sl_arena *arena, const char **ret, struct sl_error *err)
{
	char identity[256], name[64];
	SL_AUTO_STMT struct sl_stmt *stmt = NULL;
	identify(identity);
	snprintf(name, sizeof name, "engine.%s", engine);
	int rc = sl_meta_query(meta, &stmt, err, "SELECT value FROM setting WHERE name = ?1", "s", name);
	rc = rc ? rc : sl_stmt_step(stmt, err);
	if (rc < 0)
		return rc;
	size_t len = strlen(identity);
	if (rc == 1 && strncmp(sl_stmt_text(stmt, 0), identity, len) == 0) {
		*ret = sl_arena_strdup(arena, sl_stmt_text(stmt, 0) + len);
		return *ret ? 0 : sl_fail_memory(err);
	}
	sl_stmt_done(SL_TAKE(stmt));
	rc = ask_engine(engine, arena, ret, err);
	if (rc || !write)
		return rc;
	const char *value = sl_arena_printf(arena, "%s%s", identity, *ret);
	if (!value)
		return sl_fail_memory(err);
	int64_t changed = sl_meta_exec(meta, err, "INSERT INTO setting(name, value) VALUES(?1, ?2) ON CONFLICT(name) DO UPDATE SET value = ?2", "ss", name, value);
	return changed < 0 ? (int)changed : 0;
}

int flow_engine_version(struct flow_graph *graph, const char *engine, bool write, const char **ret, struct sl_error *err)
{
	const char **known = strcmp(engine, "sql") == 0 ? &graph->sql_engine : &graph->train_engine;
	int rc = *known ? 0 : recall_version(graph->store->meta, engine, write, graph->arena, known, err);
	*ret = *known;
	return rc;
}
