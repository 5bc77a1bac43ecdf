#include "track/store.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "os/clock.h"

static const char *const FOLDERS[] = {"objects", "streams", "runs", "tmp", "ledger"};

/* Absolute paths of the store's parts. The room left in each is for the longest path below it. */
static int set_paths(struct sl_store *store, const char *project_dir, struct sl_error *err)
{
	char real[PATH_MAX];
	if (!realpath(project_dir, real))
		return sl_fail_errno(err, errno, project_dir, "cannot find the folder");
	if (strlen(real) > SL_PATH_MAX - 512)
		return sl_fail_at(err, SL_E_TOO_LARGE, project_dir, "path is longer than %d bytes", SL_PATH_MAX - 512);
	snprintf(store->project_dir, sizeof store->project_dir, "%.3600s", real);
	snprintf(store->dir, sizeof store->dir, "%.3600s/.sluice", real);
	snprintf(store->runs_dir, sizeof store->runs_dir, "%.3600s/.sluice/runs", real);
	snprintf(store->tmp_dir, sizeof store->tmp_dir, "%.3600s/.sluice/tmp", real);
	snprintf(store->streams_dir, sizeof store->streams_dir, "%.3600s/.sluice/streams", real);
	return 0;
}

/* "<dir>/<name>"; set_paths made sure of the room. */
static const char *inside(const struct sl_store *store, const char *name, char out[SL_PATH_MAX])
{
	snprintf(out, SL_PATH_MAX, "%.3700s/%s", store->dir, name);
	return out;
}

/* ---- creating ------------------------------------------------------------------------------------------------------- */

static int make_folders(struct sl_store *store, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int rc = sl_dir_make(store->dir, err);
	for (size_t i = 0; i < SL_ARRAY_LEN(FOLDERS) && !rc; i++)
		rc = sl_dir_make(inside(store, FOLDERS[i], path), err);
	/* A store is no source code, and it holds a private key. */
	if (!rc && !sl_file_exists(inside(store, ".gitignore", path)))
		rc = sl_file_replace(path, "*\n", 2, 0644, err);
	return rc;
}

static int make_ledger(struct sl_store *store, struct sl_error *err)
{
	char dir[SL_PATH_MAX], key_dir[SL_PATH_MAX], public_key[SL_PATH_MAX], checkpoint[SL_PATH_MAX], origin[64];
	struct sl_id id;
	if (sl_file_exists(inside(store, "ledger/key.pub", public_key)))
		return 0;
	if (sl_file_exists(inside(store, "ledger/checkpoint", checkpoint)))
		return sl_fail_at(err, SL_E_CORRUPT, public_key, "is missing, but the ledger has a signed checkpoint");
	int rc = sl_id_new(&id, err);
	snprintf(origin, sizeof origin, "sluice.local/%s", id.text);
	return rc ? rc : sl_ledger_create(inside(store, "ledger", dir), inside(store, "key", key_dir), origin, err);
}

static int open_ports(struct sl_store *store, bool create, struct sl_error *err)
{
	char path[SL_PATH_MAX], key_dir[SL_PATH_MAX];
	int rc = sl_meta_open(inside(store, "sluice.db", path), create, &store->meta, err);
	if (!rc)
		rc = sl_objects_open(inside(store, "objects", path), store->tmp_dir, &store->objects, err);
	if (!rc)
		rc = sl_ledger_open(inside(store, "ledger", path), inside(store, "key", key_dir), store->meta, &store->ledger,
				    err);
	store->track = (struct sl_track){store->meta, store->ledger, store->dir};
	return rc;
}

/* Entry 0 names the key, so that a ledger signed by another one is told apart. */
static int write_first_entry(struct sl_store *store, struct sl_error *err)
{
	struct sl_buf key SL_AUTO_BUF = SL_BUF_INIT(512);
	int64_t entries;
	sl_ledger_public_key(store->ledger, &key);
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *detail = yyjson_mut_obj(doc);
	if (!yyjson_mut_obj_add_str(doc, detail, "key", sl_buf_cstr(&key)) ||
	    !yyjson_mut_obj_add_str(doc, detail, "program", "sluice " SLUICE_VERSION))
		return sl_fail_memory(err);
	int rc = sl_meta_begin(store->meta, err);
	if (rc)
		return rc;
	rc = sl_meta_int(store->meta, 0, &entries, err, "SELECT count(*) FROM ledger_entry WHERE seq = 0", NULL);
	if (!rc && entries == 0)
		rc = sl_ledger_append(store->ledger, "store.create", "store:.", detail, NULL, err);
	return sl_meta_end(store->meta, rc, err);
}

static int create_locked(struct sl_store *store, struct sl_error *err)
{
	int rc = make_ledger(store, err);
	if (!rc)
		rc = open_ports(store, true, err);
	if (!rc)
		rc = write_first_entry(store, err);
	return rc ? rc : sl_ledger_publish(store->ledger, err);
}

int sl_store_create(const char *project_dir, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int lock SL_AUTO_CLOSE = -1;
	struct sl_store *store SL_CLEANUP(sl_store_closep) = sl_alloc(sizeof *store, err);
	if (!store)
		return SL_E_NO_MEMORY;
	int rc = set_paths(store, project_dir, err);
	if (!rc)
		rc = make_folders(store, err);
	if (!rc)
		rc = sl_file_lock(inside(store, "init.lock", path), "sluice init", true, &lock, err);
	return rc ? rc : create_locked(store, err);
}

/* ---- opening -------------------------------------------------------------------------------------------------------- */

int sl_store_open(const char *project_dir, struct sl_store **ret, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	struct sl_store *store SL_CLEANUP(sl_store_closep) = sl_alloc(sizeof *store, err);
	if (!store)
		return SL_E_NO_MEMORY;
	int rc = set_paths(store, project_dir, err);
	if (!rc && !sl_file_exists(inside(store, "sluice.db", path))) {
		sl_fail_at(err, SL_E_NOT_FOUND, store->dir, "there is no store here");
		return sl_error_hint(err, "'sluice init' makes one");
	}
	if (!rc)
		rc = open_ports(store, false, err);
	if (!rc)
		rc = sl_ledger_check_behind(store->ledger, err);
	if (rc)
		return rc;
	*ret = SL_TAKE(store);
	return 0;
}

void sl_store_close(struct sl_store *store)
{
	struct sl_error why;
	if (!store)
		return;
	/* What was committed stays, whether or not it could be published: the next command publishes it, and verify tells what is
	 * wrong. */
	if (store->ledger && sl_ledger_publish(store->ledger, &why))
		sl_debug("ledger not published: %s: %s", why.where, why.message);
	sl_ledger_close(store->ledger);
	sl_objects_close(store->objects);
	sl_meta_close(store->meta);
	sl_free(store);
}

void sl_store_closep(struct sl_store **store) { sl_store_close(*store); }

int sl_store_tidy(struct sl_store *store, struct sl_error *err)
{
	int rc = sl_run_reap(&store->track, err);
	return rc ? rc : sl_objects_tidy(store->objects, err);
}
