#include "record/webhook.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/seal.h"
#include "os/clock.h"
#include "os/file.h"
#include "record/limits.h"
#include "record/webhook_internal.h"

#define COLUMNS "num, id, name, url, description, status, created_ms, updated_ms"

static const struct sl_webhook_event EVENTS[SL_WEBHOOK_EVENTS] = {
	{"registered_model", "created"}, {"model_version", "created"}, {"model_version_tag", "set"}, {"model_version_tag", "deleted"},
	{"model_version_alias", "created"}, {"model_version_alias", "deleted"}, {"prompt", "created"}, {"prompt_version", "created"},
	{"prompt_tag", "set"}, {"prompt_tag", "deleted"}, {"prompt_version_tag", "set"}, {"prompt_version_tag", "deleted"},
	{"prompt_alias", "created"}, {"prompt_alias", "deleted"}};

static int from_rows(int64_t rows) { return rows < 0 ? (int)rows : 0; }

const struct sl_webhook_event *sl_webhook_event_of(const char *entity, const char *action)
{
	for (size_t i = 0; i < SL_ARRAY_LEN(EVENTS); i++)
		if (strcasecmp(EVENTS[i].entity, entity) == 0 && strcasecmp(EVENTS[i].action, action) == 0)
			return &EVENTS[i];
	return NULL;
}

int sl_webhook_new_id(struct sl_arena *arena, const char **ret, struct sl_error *err)
{
	struct sl_id id;
	char hex[SL_ID_HEX + 1];
	int rc = sl_id_new(&id, err);
	if (rc)
		return rc;
	sl_id_hex(&id, hex);
	*ret = sl_arena_printf(arena, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
	return *ret ? 0 : sl_fail_memory(err);
}

/* ---- secrets -------------------------------------------------------------------------------------------------------- */

/* 32 random bytes in .sluice/key/webhook, mode 0600. */
static int read_key(const char *store_dir, unsigned char ret[SL_SEAL_KEY], struct sl_error *err)
{
	char path[SL_PATH_MAX], dir[SL_PATH_MAX];
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(SL_SEAL_KEY);
	int rc = sl_path_join(path, store_dir, "key/webhook", err);
	rc = rc ? rc : sl_path_join(dir, store_dir, "key", err);
	if (!rc && !sl_file_exists(path)) {
		rc = sl_dir_make(dir, err);
		rc = rc ? rc : sl_random(ret, SL_SEAL_KEY, err);
		return rc ? rc : sl_file_replace(path, ret, SL_SEAL_KEY, 0600, err);
	}
	rc = rc ? rc : sl_file_read(path, &text, err);
	if (!rc && text.len != SL_SEAL_KEY)
		rc = sl_fail_at(err, SL_E_CORRUPT, path, "the key of webhooks' secrets has not 32 bytes");
	if (!rc)
		memcpy(ret, text.data, SL_SEAL_KEY);
	return rc;
}

/* Sets or removes the secret of the row. */
static int put_secret(struct sl_record *record, const char *store_dir, const char *id, const char *secret, struct sl_error *err)
{
	unsigned char key[SL_SEAL_KEY], nonce[SL_SEAL_NONCE], sealed[SL_WEBHOOK_SECRET_MAX + SL_SEAL_MORE];
	size_t len = strlen(secret);
	if (!len)
		return from_rows(sl_meta_exec(record->meta, err, "UPDATE webhook SET secret = NULL WHERE id = ?1", "s", id));
	if (len > SL_WEBHOOK_SECRET_MAX)
		return sl_fail(err, SL_E_INVALID, "A webhook's secret may have at most %d bytes", SL_WEBHOOK_SECRET_MAX);
	int rc = read_key(store_dir, key, err);
	rc = rc ? rc : sl_random(nonce, sizeof nonce, err);
	rc = rc ? rc : sl_seal(key, nonce, id, secret, len, sealed, err);
	return rc ? rc : from_rows(sl_meta_exec(record->meta, err, "UPDATE webhook SET secret = ?2 WHERE id = ?1", "sb", id, sealed,
		len + SL_SEAL_MORE));
}

int sl_webhook_unseal(const char *store_dir, const char *id, const void *sealed, size_t len, struct sl_arena *arena, char **ret,
	struct sl_error *err)
{
	unsigned char key[SL_SEAL_KEY];
	*ret = NULL;
	if (!len)
		return 0;
	int rc = read_key(store_dir, key, err);
	char *secret = rc ? NULL : sl_arena_alloc(arena, len + 1);
	if (!secret)
		return rc ? rc : sl_fail_memory(err);
	rc = sl_unseal(key, id, sealed, len, secret, err);
	*ret = rc ? NULL : secret;
	return rc;
}

int sl_webhook_secret(struct sl_record *record, const char *store_dir, const struct sl_webhook *webhook, struct sl_arena *arena, char **ret,
	struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	size_t len = 0;
	int rc = sl_meta_query(record->meta, &row, err, "SELECT secret FROM webhook WHERE num = ?1", "i", webhook->num);
	rc = rc ? rc : sl_stmt_step(row, err);
	if (rc < 0)
		return rc;
	const void *sealed = rc && !sl_stmt_null(row, 0) ? sl_stmt_blob(row, 0, &len) : NULL;
	return sl_webhook_unseal(store_dir, webhook->id, sealed, len, arena, ret, err);
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

static int fill(struct sl_stmt *row, struct sl_arena *arena, struct sl_webhook *ret, struct sl_error *err)
{
	*ret = (struct sl_webhook){.num = sl_stmt_int(row, 0), .id = sl_arena_strdup(arena, sl_stmt_text(row, 1)),
		.name = sl_arena_strdup(arena, sl_stmt_text(row, 2)), .url = sl_arena_strdup(arena, sl_stmt_text(row, 3)),
		.description = sl_arena_strdup(arena, sl_stmt_text(row, 4)), .status = sl_arena_strdup(arena, sl_stmt_text(row, 5)),
		.created_ms = sl_stmt_int(row, 6), .updated_ms = sl_stmt_int(row, 7)};
	return ret->id && ret->name && ret->url && ret->description && ret->status ? 0 : sl_fail_memory(err);
}

static int read_events(struct sl_record *record, struct sl_webhook *webhook, struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(record->meta, &row, err, "SELECT entity, action FROM webhook_event WHERE webhook = ?1 ORDER BY entity, action",
		"i", webhook->num);
	webhook->event_count = 0;
	while (!rc && webhook->event_count < SL_WEBHOOK_EVENTS && (rc = sl_stmt_step(row, err)) == 1) {
		webhook->events[webhook->event_count] = sl_webhook_event_of(sl_stmt_text(row, 0), sl_stmt_text(row, 1));
		webhook->event_count += webhook->events[webhook->event_count] != NULL;
		rc = 0;
	}
	return rc;
}

int sl_webhook_get(struct sl_record *record, const char *id, struct sl_arena *arena, struct sl_webhook *ret, struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(record->meta, &row, err, "SELECT " COLUMNS " FROM webhook WHERE id = ?1 AND deleted = 0", "s", id);
	rc = rc ? rc : sl_stmt_step(row, err);
	if (rc == 0)
		return sl_fail(err, SL_E_NOT_FOUND, "Webhook with ID %.100s not found.", id);
	rc = rc < 0 ? rc : fill(row, arena, ret, err);
	return rc ? rc : read_events(record, ret, err);
}

int sl_webhooks_list(struct sl_record *record, int64_t below, int64_t max, struct sl_arena *arena, struct sl_webhook **ret, size_t *ret_count,
	struct sl_error *err)
{
	struct sl_stmt *row SL_AUTO_STMT = NULL;
	struct sl_webhook *all = sl_arena_array(arena, (size_t)max, sizeof *all);
	assert(max >= 1 && max <= SL_WEBHOOK_PAGE_MAX + 1);
	*ret_count = 0;
	if (!all)
		return sl_fail_memory(err);
	int rc = sl_meta_query(record->meta, &row, err,
		"SELECT " COLUMNS " FROM webhook WHERE deleted = 0 AND (?1 = 0 OR num < ?1) ORDER BY num DESC LIMIT ?2", "ii", below, max);
	while (!rc && (int64_t)*ret_count < max && (rc = sl_stmt_step(row, err)) == 1)
		rc = fill(row, arena, &all[(*ret_count)++], err);
	for (size_t i = 0; !rc && i < *ret_count; i++)
		rc = read_events(record, &all[i], err);
	*ret = all;
	return rc;
}

/* ---- changing ------------------------------------------------------------------------------------------------------- */

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static int check_name(const char *name, struct sl_error *err)
{
	size_t len = strlen(name);
	bool good = len && len <= SL_WEBHOOK_NAME_MAX && is_word(name[0]) && is_word(name[len - 1]);
	for (size_t i = 0; good && i < len; i++)
		good = is_word(name[i]) || strchr("._-", name[i]);
	if (good)
		return 0;
	return sl_fail(err, SL_E_INVALID, "Webhook name '%.100s' is invalid. It must start and end with a letter or digit, be less than 63 "
		"characters long, and contain only letters, digits, dots (.), underscores (_), and hyphens (-).", name);
}

static int check_said(const struct sl_webhook_said *said, struct sl_error *err)
{
	int rc = said->name ? check_name(said->name, err) : 0;
	if (!rc && said->url)
		rc = sl_rec_check_length(said->url, SL_WEBHOOK_URL_MAX, "url", err);
	if (!rc && said->description)
		rc = sl_rec_check_length(said->description, SL_WEBHOOK_DESCRIPTION_MAX, "description", err);
	if (!rc && said->status && strcmp(said->status, "ACTIVE") != 0 && strcmp(said->status, "DISABLED") != 0)
		rc = sl_fail(err, SL_E_INVALID, "Invalid webhook status: %.60s. It is ACTIVE or DISABLED", said->status);
	return rc;
}

static int put_events(struct sl_record *record, int64_t num, const struct sl_webhook_said *said, struct sl_error *err)
{
	int rc = from_rows(sl_meta_exec(record->meta, err, "DELETE FROM webhook_event WHERE webhook = ?1", "i", num));
	for (size_t i = 0; !rc && i < said->event_count; i++)
		rc = from_rows(sl_meta_exec(record->meta, err,
			"INSERT INTO webhook_event(webhook, entity, action) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING", "iss", num,
			said->events[i]->entity, said->events[i]->action));
	return rc;
}

/* The entry holds the address and no secret, also not as part of a hash. */
static int entry(struct sl_record *record, const char *action, const struct sl_webhook *webhook, struct sl_error *err)
{
	const struct sl_change change = {action, webhook->url, strlen(webhook->url)};
	return sl_record_entry(record, &change, "webhook", webhook->id, err);
}

static int insert(struct sl_record *record, const struct sl_webhook_said *said, struct sl_arena *arena, const char **ret_id, int64_t *ret_num,
	struct sl_error *err)
{
	int64_t count;
	int rc = sl_meta_int(record->meta, 0, &count, err, "SELECT count(*) FROM webhook WHERE deleted = 0", NULL);
	if (!rc && count >= SL_WEBHOOKS_MAX)
		rc = sl_fail(err, SL_E_INVALID, "there are %d webhooks already", SL_WEBHOOKS_MAX);
	rc = rc ? rc : sl_meta_int(record->meta, 1, ret_num, err, "SELECT max(num) + 1 FROM webhook", NULL);
	rc = rc ? rc : sl_webhook_new_id(arena, ret_id, err);
	return rc ? rc : from_rows(sl_meta_exec(record->meta, err,
		"INSERT INTO webhook(num, id, name, url, description, status, created_ms, updated_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
		"isssssi", *ret_num, *ret_id, said->name, said->url, said->description ? said->description : "",
		said->status ? said->status : "ACTIVE", sl_now_ms()));
}

int sl_webhook_create(struct sl_record *record, const char *store_dir, const struct sl_webhook_said *said, struct sl_arena *arena,
	struct sl_webhook *ret, struct sl_error *err)
{
	const char *id;
	int64_t num;
	assert(sl_meta_in_transaction(record->meta) && said->name && said->url);
	int rc = check_said(said, err);
	if (!rc && !said->event_count)
		rc = sl_fail(err, SL_E_INVALID, "Webhook events must be a non-empty list of WebhookEvent objects: [].");
	rc = rc ? rc : insert(record, said, arena, &id, &num, err);
	rc = rc ? rc : put_events(record, num, said, err);
	if (!rc && said->secret)
		rc = put_secret(record, store_dir, id, said->secret, err);
	rc = rc ? rc : sl_webhook_get(record, id, arena, ret, err);
	return rc ? rc : entry(record, "webhook.create", ret, err);
}

int sl_webhook_update(struct sl_record *record, const char *store_dir, struct sl_webhook *webhook, const struct sl_webhook_said *said,
	struct sl_arena *arena, struct sl_error *err)
{
	assert(sl_meta_in_transaction(record->meta));
	int rc = check_said(said, err);
	rc = rc ? rc : from_rows(sl_meta_exec(record->meta, err,
		"UPDATE webhook SET name = coalesce(?2, name), url = coalesce(?3, url), description = coalesce(?4, description), status = "
		"coalesce(?5, status), updated_ms = ?6 WHERE num = ?1", "issssi", webhook->num, said->name, said->url, said->description,
		said->status, sl_now_ms()));
	if (!rc && said->event_count)
		rc = put_events(record, webhook->num, said, err);
	if (!rc && said->secret)
		rc = put_secret(record, store_dir, webhook->id, said->secret, err);
	rc = rc ? rc : sl_webhook_get(record, webhook->id, arena, webhook, err);
	return rc ? rc : entry(record, "webhook.update", webhook, err);
}

int sl_webhook_delete(struct sl_record *record, const struct sl_webhook *webhook, struct sl_error *err)
{
	assert(sl_meta_in_transaction(record->meta));
	int rc = from_rows(sl_meta_exec(record->meta, err, "UPDATE webhook SET deleted = 1, secret = NULL, updated_ms = ?2 WHERE num = ?1", "ii",
		webhook->num, sl_now_ms()));
	rc = rc ? rc : from_rows(sl_meta_exec(record->meta, err, "DELETE FROM webhook_event WHERE webhook = ?1", "i", webhook->num));
	rc = rc ? rc : from_rows(sl_meta_exec(record->meta, err, "UPDATE webhook_delivery SET state = 'failed', problem = 'the webhook was deleted' "
		"WHERE webhook = ?1 AND state = 'waiting'", "i", webhook->num));
	return rc ? rc : entry(record, "webhook.delete", webhook, err);
}
