/* tag, branch, clone, drop, undrop: names of dataset versions. */
#include <string.h>

#include "data/refs.h"
#include "op/context.h"
#include "op/handlers.h"
#include "op/resolve.h"

static int find_version(struct sl_call *call, struct sl_store **store, struct sl_ref *ref, struct sl_dataset_head *head,
			struct sl_error *err)
{
	int rc = sl_call_store(call, store, err);
	rc = rc ? rc : sl_ref_parse(sl_call_text(call, "ref"), ref, err);
	if (!rc && ref->kind != SL_REF_ANY && ref->kind != SL_REF_DATASET)
		rc = sl_fail(err, SL_E_INVALID, "%s is no dataset", sl_ref_kind_phrase(ref->kind));
	return rc ? rc : sl_dataset_find(&(*store)->track, ref->name, ref->version, head, err);
}

/* Runs `change` in a transaction of its own. */
static int in_transaction(struct sl_store *store, int (*change)(struct sl_store *store, void *context, struct sl_error *err), void *context,
			  struct sl_error *err)
{
	int rc = sl_meta_begin(store->meta, err);
	if (rc)
		return rc;
	rc = change(store, context, err);
	if (rc >= 0)
		return sl_meta_commit(store->meta, err);
	sl_meta_rollback(store->meta);
	return rc;
}

struct naming { const char *dataset, *name; const struct sl_dataset_head *head; bool branch, force, remove; };

static int change_name(struct sl_store *store, void *context, struct sl_error *err)
{
	const struct naming *n = context;
	return n->remove ? sl_dataset_ref_remove(&store->track, n->dataset, n->name, err)
			 : sl_dataset_ref_set(&store->track, n->dataset, n->name, n->branch, &n->head->hash, n->force, err);
}

static int set_name(struct sl_call *call, bool branch, bool force, struct sl_error *err)
{
	struct sl_store *store;
	struct sl_ref ref;
	struct sl_dataset_head head;
	char hex[SL_HASH_HEX + 1];
	int rc = find_version(call, &store, &ref, &head, err);
	struct naming naming = {.dataset = ref.name, .name = sl_call_text(call, "name"), .head = &head, .branch = branch, .force = force,
				.remove = sl_call_flag(call, "delete")};
	rc = rc ? rc : in_transaction(store, change_name, &naming, err);
	if (rc)
		return rc;
	yyjson_mut_val *result = sl_call_object(call);
	sl_put_text(call, result, "dataset", ref.name);
	sl_put_text(call, result, branch ? "branch" : "tag", naming.name);
	if (naming.remove)
		sl_put_bool(call, result, "removed", true);
	else
		sl_put_text(call, result, "version", sl_hash_hex(&head.hash, hex));
	return 0;
}

int sl_op_tag(struct sl_call *call, struct sl_error *err) { return set_name(call, false, sl_call_flag(call, "force"), err); }
int sl_op_branch(struct sl_call *call, struct sl_error *err) { return set_name(call, true, false, err); }

static int change_clone(struct sl_store *store, void *context, struct sl_error *err)
{
	const struct naming *n = context;
	return sl_dataset_clone(&store->track, n->head, n->name, err);
}

int sl_op_clone(struct sl_call *call, struct sl_error *err)
{
	struct sl_store *store;
	struct sl_ref ref;
	struct sl_dataset_head head;
	struct sl_project *project;
	const char *to = sl_call_text(call, "name");
	char hex[SL_HASH_HEX + 1];
	int rc = find_version(call, &store, &ref, &head, err);
	/* A name that the project makes would get its own version back with the next run. */
	if (!rc && sl_call_project(call, &project, NULL) == 0 && (sl_project_source(project, to) || sl_project_step(project, to)))
		rc = sl_fail(err, SL_E_CONFLICT, "'%.100s' is made by the project: choose another name", to);
	struct naming naming = {.dataset = ref.name, .name = to, .head = &head};
	rc = rc ? rc : in_transaction(store, change_clone, &naming, err);
	if (rc)
		return rc;
	sl_put_text(call, sl_call_object(call), "dataset", to);
	sl_put_text(call, sl_call_object(call), "version", sl_hash_hex(&head.hash, hex));
	return 0;
}

static int change_drop(struct sl_store *store, void *context, struct sl_error *err)
{
	const struct naming *n = context;
	return n->remove ? sl_dataset_drop(&store->track, n->name, err) : sl_dataset_undrop(&store->track, n->name, err);
}

static int drop_or_not(struct sl_call *call, bool drop, struct sl_error *err)
{
	struct sl_store *store;
	struct naming naming = {.name = sl_call_text(call, "dataset"), .remove = drop};
	int rc = sl_call_store(call, &store, err);
	rc = rc ? rc : in_transaction(store, change_drop, &naming, err);
	if (rc)
		return rc;
	sl_put_text(call, sl_call_object(call), "dataset", naming.name);
	sl_put_bool(call, sl_call_object(call), "dropped", drop);
	return 0;
}

int sl_op_drop(struct sl_call *call, struct sl_error *err) { return drop_or_not(call, true, err); }
int sl_op_undrop(struct sl_call *call, struct sl_error *err) { return drop_or_not(call, false, err); }
