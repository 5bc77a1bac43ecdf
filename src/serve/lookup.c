#include "serve/lookup.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "data/dataset.h"
#include "track/notify.h"

/* One reading of a version, on a thread of its own: opening the SQL engine and reading a million keys takes a second, which no request may wait. */
struct reading {
	pthread_t thread;
	struct sl_arena *arena;
	struct sl_sql_table from;
	struct sl_hash version;
	const struct sl_lookup *lookup;
	const char *bell;
	volatile int *cancel;
	int done;                   /* 1: what follows is there */
	struct sl_lookup_table *table;
	struct sl_error err;
};

struct entry {
	struct sl_arena *arena;
	struct sl_lookup lookup;
	char *text;                 /* its definition, as canonical JSON */
	struct sl_lookup_table *now; /* NULL: never read; swapped under the lock */
	struct reading *reading;
	struct sl_hash refused;     /* this version could not be read: it is not tried again */
	struct sl_error problem;
	unsigned uses;
	bool asked;                 /* since the last look */
};

struct sl_lookups {
	struct sl_store *store;
	struct entry *entries[SL_LOOKUPS_MAX]; /* NULL: free */
	volatile int cancel;
	pthread_mutex_t lock;       /* of every entry's `now` */
};

int sl_lookups_new(struct sl_store *store, struct sl_lookups **ret, struct sl_error *err)
{
	*ret = sl_alloc(sizeof **ret, err);
	if (!*ret)
		return SL_E_NO_MEMORY;
	(*ret)->store = store;
	pthread_mutex_init(&(*ret)->lock, NULL);
	return 0;
}

static void reading_free(struct reading *reading)
{
	sl_lookup_table_unref(reading->table);
	sl_arena_free(reading->arena);
	sl_free(reading);
}

static void entry_free(struct entry *entry)
{
	if (!entry)
		return;
	if (entry->reading) {
		pthread_join(entry->reading->thread, NULL);
		reading_free(entry->reading);
	}
	sl_lookup_table_unref(entry->now);
	sl_arena_free(entry->arena);
	sl_free(entry);
}

void sl_lookups_free(struct sl_lookups *lookups)
{
	if (!lookups)
		return;
	lookups->cancel = 1;
	for (size_t i = 0; i < SL_LOOKUPS_MAX; i++)
		entry_free(lookups->entries[i]);
	pthread_mutex_destroy(&lookups->lock);
	sl_free(lookups);
}

/* ---- reading ---- */

static void *read_main(void *argument)
{
	struct reading *reading = argument;
	sl_lookup_table_read(reading->lookup, &reading->from, &reading->version, reading->cancel, &reading->table, &reading->err);
	__atomic_store_n(&reading->done, 1, __ATOMIC_RELEASE);
	sl_notify_ring(reading->bell); /* so that it is taken at once, and not at the next second's look */
	return NULL;
}

static int start(struct sl_lookups *lookups, struct entry *entry, const struct sl_hash *version, struct sl_error *err)
{
	struct reading *reading = sl_alloc(sizeof *reading, err);
	if (!reading)
		return SL_E_NO_MEMORY;
	*reading = (struct reading){.version = *version, .lookup = &entry->lookup, .bell = lookups->store->dir, .cancel = &lookups->cancel};
	reading->arena = sl_arena_new(0, err);
	int rc = reading->arena ? sl_dataset_table(lookups->store->objects, entry->lookup.from, version, reading->arena, &reading->from, err) : SL_E_NO_MEMORY;
	if (!rc && pthread_create(&reading->thread, NULL, read_main, reading))
		rc = sl_fail(err, SL_E_NO_MEMORY, "no thread could be started");
	if (rc) {
		reading_free(reading);
		return rc;
	}
	entry->reading = reading;
	return 0;
}

/* Columns of another kind would be encoded otherwise than those that the model knows. */
static int check_kinds(const struct entry *entry, const struct sl_lookup_table *fresh, struct sl_error *err)
{
	const struct sl_lookup *lookup = &entry->lookup;
	size_t keys = lookup->key.count;
	for (size_t i = 0; entry->now && i < keys + lookup->columns.count; i++)
		if (sl_lookup_table_kind(entry->now, i) != sl_lookup_table_kind(fresh, i))
			return sl_fail(err, SL_E_INVALID, "column '%s' of '%s' has another type than before",
				       i < keys ? lookup->key.items[i] : lookup->columns.items[i - keys], lookup->from);
	return 0;
}

static void set_problem(struct entry *entry, const struct sl_error *problem)
{
	if (problem->code && strcmp(problem->message, entry->problem.message) != 0)
		sl_log(SL_LOG_WARNING, "'%s' is not looked up in its newest version: %s", entry->lookup.from, problem->message);
	entry->problem = *problem;
}

/* Takes what a thread has read. */
static void collect(struct sl_lookups *lookups, struct entry *entry)
{
	struct reading *reading = entry->reading;
	char hex[SL_HASH_HEX + 1];
	pthread_join(reading->thread, NULL);
	entry->reading = NULL;
	if (!reading->err.code && check_kinds(entry, reading->table, &reading->err) == 0) {
		struct sl_lookup_table *before = entry->now;
		pthread_mutex_lock(&lookups->lock);
		entry->now = SL_TAKE(reading->table);
		pthread_mutex_unlock(&lookups->lock);
		sl_lookup_table_unref(before);
		sl_log(SL_LOG_INFO, "'%s@%.12s' is looked up: %zu keys", entry->lookup.from, sl_hash_hex(&reading->version, hex),
		       sl_lookup_table_keys(entry->now));
	} else {
		entry->refused = reading->version;
	}
	set_problem(entry, &reading->err);
	reading_free(reading);
}

static bool is_version(const struct entry *entry, const struct sl_hash *version)
{
	return entry->now && sl_hash_eq(sl_lookup_table_version(entry->now), version);
}

static void follow(struct sl_lookups *lookups, struct entry *entry)
{
	struct sl_dataset_head head;
	struct sl_error err = {0};
	if (entry->reading && __atomic_load_n(&entry->reading->done, __ATOMIC_ACQUIRE))
		collect(lookups, entry);
	if (entry->reading)
		return;
	int rc = sl_dataset_head(&lookups->store->track, entry->lookup.from, &head, &err);
	if (!rc && (is_version(entry, &head.hash) || sl_hash_eq(&entry->refused, &head.hash)))
		return;
	if (rc || start(lookups, entry, &head.hash, &err))
		set_problem(entry, &err);
}

void sl_lookups_refresh(struct sl_lookups *lookups)
{
	for (size_t i = 0; i < SL_LOOKUPS_MAX; i++) {
		struct entry *entry = lookups->entries[i];
		if (entry && !entry->asked && !entry->reading && !__atomic_load_n(&entry->uses, __ATOMIC_ACQUIRE)) {
			entry_free(entry);
			lookups->entries[i] = NULL;
		} else if (entry) {
			entry->asked = false;
			follow(lookups, entry);
		}
	}
}

/* ---- which there are ---- */

static int define(const struct sl_lookup *lookup, struct entry *entry, struct sl_error *err)
{
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *json = doc ? sl_lookup_json(doc, lookup) : NULL;
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(16 << 20);
	if (!json)
		return sl_fail_memory(err);
	int rc = sl_json_mut_canonical(json, &text, err);
	if (rc)
		return rc;
	entry->text = sl_arena_strdup(entry->arena, sl_buf_cstr(&text));
	SL_AUTO_JSON yyjson_doc *copy = entry->text ? yyjson_read(entry->text, text.len, 0) : NULL;
	return copy ? sl_lookup_parse(yyjson_doc_get_root(copy), entry->arena, &entry->lookup, err) : sl_fail_memory(err);
}

static int find_or_add(struct sl_lookups *lookups, const struct sl_lookup *lookup, size_t *ret, struct sl_error *err)
{
	struct entry *entry = sl_alloc(sizeof *entry, err);
	if (!entry)
		return SL_E_NO_MEMORY;
	entry->arena = sl_arena_new(0, err);
	int rc = entry->arena ? define(lookup, entry, err) : SL_E_NO_MEMORY;
	size_t empty = SL_LOOKUPS_MAX, same = SL_LOOKUPS_MAX;
	for (size_t i = SL_LOOKUPS_MAX; !rc && i-- > 0;) {
		if (!lookups->entries[i])
			empty = i;
		else if (sl_str_eq(lookups->entries[i]->text, entry->text))
			same = i;
	}
	*ret = same < SL_LOOKUPS_MAX ? same : empty;
	if (!rc && *ret == SL_LOOKUPS_MAX)
		rc = sl_fail(err, SL_E_TOO_LARGE, "the endpoints have more than %d different lookups", SL_LOOKUPS_MAX);
	if (rc || same < SL_LOOKUPS_MAX)
		entry_free(entry);
	else
		lookups->entries[empty] = entry;
	return rc;
}

int sl_lookups_want(struct sl_lookups *lookups, const struct sl_lookup *lookup, bool wait, size_t *ret, struct sl_error *err)
{
	int rc = find_or_add(lookups, lookup, ret, err);
	if (rc)
		return rc;
	struct entry *entry = lookups->entries[*ret];
	entry->asked = true;
	if (!entry->now)
		follow(lookups, entry);
	if (!entry->now && wait && entry->reading)
		collect(lookups, entry);
	if (entry->now) {
		__atomic_fetch_add(&entry->uses, 1, __ATOMIC_RELAXED);
		return 0;
	}
	if (!entry->problem.code)
		return sl_fail(err, SL_E_BUSY, "'%s' is being read", lookup->from);
	if (err)
		*err = entry->problem;
	return entry->problem.code;
}

void sl_lookups_give(struct sl_lookups *lookups, size_t place)
{
	unsigned before = __atomic_fetch_sub(&lookups->entries[place]->uses, 1, __ATOMIC_ACQ_REL);
	assert(before > 0);
}

const struct sl_error *sl_lookups_problem(const struct sl_lookups *lookups, size_t place) { return &lookups->entries[place]->problem; }

struct sl_lookup_table *sl_lookups_take(struct sl_lookups *lookups, size_t place)
{
	assert(place < SL_LOOKUPS_MAX && lookups->entries[place]->now);
	pthread_mutex_lock(&lookups->lock);
	struct sl_lookup_table *table = lookups->entries[place]->now;
	sl_lookup_table_ref(table);
	pthread_mutex_unlock(&lookups->lock);
	return table;
}
