#include "track/store.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "os/clock.h"

static const char *const FOLDERS[] = {"runs", "tmp", "streams", "objects", "ledger", "key"};

static int make_folders(const char *dir, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int rc = sl_dir_make(dir, err);
	for (size_t i = 0; !rc && i < SL_ARRAY_LEN(FOLDERS); i++) {
		rc = sl_path_join(path, dir, FOLDERS[i], err);
		if (!rc)
			rc = sl_dir_make(path, err);
	}
	return rc;
}

/* The ledger's origin names this store for ever: "sluice/" and the id of its creation. */
static int make_ledger(const char *dir, struct sl_error *err)
{
	char ledger[SL_PATH_MAX], key[SL_PATH_MAX], public_key[SL_PATH_MAX], origin[64];
	struct sl_id id;
	int rc = sl_path_join(ledger, dir, "ledger", err);
	if (!rc)
		rc = sl_path_join(key, dir, "key", err);
	if (!rc)
		rc = sl_path_join(public_key, ledger, "key.pub", err);
	if (rc || sl_file_exists(public_key))
		return rc;
	rc = sl_id_new(&id, err);
	snprintf(origin, sizeof origin, "sluice/%s", id.text);
	return rc ? rc : sl_ledger_create(ledger, key, origin, err);
}

static int first_entry(struct sl_store *store, struct sl_error *err)
{
	int64_t entries;
	int rc = sl_meta_int(store->meta, 0, &entries, err, "SELECT COUNT(*) FROM ledger_entry WHERE seq = 0", "");
	if (rc || entries)
		return rc;
	rc = sl_meta_begin(store->meta, err);
	if (!rc)
		rc = sl_ledger_append(store->ledger, "store.create", "store:", NULL, NULL, err);
	if (!rc)
		rc = sl_meta_commit(store->meta, err);
	if (rc)
		sl_meta_rollback(store->meta);
	return rc;
}

static int open_ports(struct sl_store *store, bool create, struct sl_error *err)
{
	char path[SL_PATH_MAX], key[SL_PATH_MAX];
	int rc = sl_path_join(path, store->dir, "sluice.db", err);
	if (!rc)
		rc = sl_meta_open(path, create, &store->meta, err);
	if (!rc)
		rc = sl_path_join(path, store->dir, "objects", err);
	if (!rc)
		rc = sl_objects_open(path, store->tmp_dir, &store->objects, err);
	if (!rc)
		rc = sl_path_join(path, store->dir, "ledger", err);
	if (!rc)
		rc = sl_path_join(key, store->dir, "key", err);
	if (!rc)
		rc = sl_ledger_open(path, key, store->meta, &store->ledger, err);
	store->track = (struct sl_track){store->meta, store->ledger, store->dir};
	return rc;
}

static int open_store(const char *project_dir, bool create, struct sl_store **ret, struct sl_error *err)
{
	struct sl_store *store SL_CLEANUP(sl_store_closep) = sl_alloc(sizeof *store, err);
	if (!store)
		return SL_E_NO_MEMORY;
	if (project_dir[0] != '/')
		return sl_fail_at(err, SL_E_BUG, project_dir, "a project's folder must be absolute");
	snprintf(store->project_dir, sizeof store->project_dir, "%s", project_dir);
	int rc = sl_path_join(store->dir, project_dir, ".sluice", err);
	if (!rc)
		rc = sl_path_join(store->runs_dir, store->dir, "runs", err);
	if (!rc)
		rc = sl_path_join(store->tmp_dir, store->dir, "tmp", err);
	if (!rc)
		rc = sl_path_join(store->streams_dir, store->dir, "streams", err);
	if (!rc)
		rc = open_ports(store, create, err);
	if (!rc)
		*ret = SL_TAKE(store);
	return rc;
}

int sl_store_create(const char *project_dir, struct sl_error *err)
{
	char dir[SL_PATH_MAX];
	struct sl_store *store SL_CLEANUP(sl_store_closep) = NULL;
	int rc = sl_path_join(dir, project_dir, ".sluice", err);
	if (!rc)
		rc = make_folders(dir, err);
	if (!rc)
		rc = make_ledger(dir, err);
	if (!rc)
		rc = open_store(project_dir, true, &store, err);
	if (!rc)
		rc = first_entry(store, err);
	return rc ? rc : sl_ledger_publish(store->ledger, err);
}

int sl_store_open(const char *project_dir, struct sl_store **ret, struct sl_error *err)
{
	char database[SL_PATH_MAX];
	int rc = sl_path_join(database, project_dir, ".sluice/sluice.db", err);
	if (rc)
		return rc;
	if (!sl_file_exists(database)) {
		sl_fail_at(err, SL_E_NOT_FOUND, project_dir, "has no store (.sluice/)");
		return sl_error_hint(err, "start one with 'sluice init'");
	}
	return open_store(project_dir, false, ret, err);
}

void sl_store_close(struct sl_store *store)
{
	if (!store)
		return;
	/* What cannot be published now (a full disk) is published by the next command: the rows are the truth. */
	if (store->ledger)
		sl_ledger_publish(store->ledger, NULL);
	sl_ledger_close(store->ledger);
	sl_objects_close(store->objects);
	sl_meta_close(store->meta);
	sl_free(store);
}

void sl_store_closep(struct sl_store **store) { sl_store_close(*store); }
