/* token: who may ask this project's server for what. */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "op/access.h"
#include "op/context.h"
#include "op/handlers.h"
#include "os/clock.h"
#include "track/notify.h"

enum { SECRET_TEXT = sizeof SL_SECRET_PREFIX + SL_HASH_HEX };

/* What a token is, apart from its secret. */
struct grant {
	const char *name;
	unsigned permissions;
	int64_t expires_ms; /* 0: never */
};

static int make_secret(char out[SECRET_TEXT], struct sl_error *err)
{
	struct sl_hash random;
	char hex[SL_HASH_HEX + 1];
	int rc = sl_random(random.bytes, sizeof random.bytes, err);
	if (!rc)
		snprintf(out, SECRET_TEXT, SL_SECRET_PREFIX "%s", sl_hash_hex(&random, hex));
	return rc;
}

static int read_grant(struct sl_call *call, const char *name, struct grant *ret, struct sl_error *err)
{
	size_t count;
	const char *const *allowed = sl_call_list(call, "allow", &count);
	*ret = (struct grant){.name = name};
	if (sl_call_given(call, "expires"))
		ret->expires_ms = sl_now_ms() + sl_call_int(call, "expires");
	if (sl_str_eq(name, "project"))
		return sl_fail(err, SL_E_INVALID, "'project' is the token of .sluice/key/token");
	for (size_t i = 0; i < count; i++)
		ret->permissions |= sl_permissions_of(allowed[i]);
	if (ret->permissions)
		return 0;
	sl_fail(err, SL_E_INVALID, "a token needs at least one permission");
	return sl_error_hint(err, "--allow viewer, --allow operator, --allow approver ...");
}

/* "allow", and "expires" when it does. */
static void put_grant(struct sl_call *call, yyjson_mut_val *object, const struct grant *grant)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(1024);
	sl_permissions_write(grant->permissions, &text);
	sl_put_text(call, object, "allow", sl_buf_cstr(&text));
	if (grant->expires_ms)
		sl_put_time(call, object, "expires", grant->expires_ms);
}

static int append(struct sl_store *store, const char *action, const char *name, yyjson_mut_val *detail, struct sl_error *err)
{
	char subject[SL_NAME_MAX + 8];
	snprintf(subject, sizeof subject, "token:%s", name);
	return sl_ledger_append(store->ledger, action, subject, detail, NULL, err);
}

static int insert_row(struct sl_store *store, const struct grant *grant, const char *secret, struct sl_error *err)
{
	struct sl_hash hash;
	char hex[SL_HASH_HEX + 1];
	int64_t count;
	int rc = sl_meta_int(store->meta, 0, &count, err, "SELECT count(*) FROM access_token WHERE revoked_ms = 0", "");
	if (rc)
		return rc;
	if (count >= SL_TOKENS_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "there are %d tokens already", SL_TOKENS_MAX);
	sl_sha256(secret, strlen(secret), &hash);
	int64_t n = sl_meta_exec(store->meta, err,
		"INSERT INTO access_token(name, hash, permissions, created_ms, expires_ms) VALUES (?1, ?2, ?3, ?4, ?5)", "ssiii",
		grant->name, sl_hash_hex(&hash, hex), (int64_t)grant->permissions, sl_now_ms(), grant->expires_ms);
	if (n != SL_E_CONFLICT)
		return n < 0 ? (int)n : 0;
	sl_fail(err, SL_E_CONFLICT, "a token called '%s' exists, or existed", grant->name);
	return sl_error_hint(err, "a name in the ledger means one token for ever: take another");
}

static int create(struct sl_call *call, struct sl_store *store, const char *name, struct sl_error *err)
{
	char secret[SECRET_TEXT];
	struct grant grant;
	int rc = read_grant(call, name, &grant, err);
	if (!rc)
		rc = make_secret(secret, err);
	if (!rc)
		rc = sl_meta_begin(store->meta, err);
	if (rc)
		return rc;
	yyjson_mut_val *detail = yyjson_mut_obj(call->doc);
	put_grant(call, detail, &grant);
	rc = insert_row(store, &grant, secret, err);
	if (!rc)
		rc = append(store, "token.create", name, detail, err);
	rc = sl_meta_end(store->meta, rc, err);
	if (rc)
		return rc;
	yyjson_mut_val *result = sl_call_object(call);
	sl_put_text(call, result, "name", name);
	sl_put_text(call, result, "secret", secret);
	put_grant(call, result, &grant);
	return 0;
}

static int revoke(struct sl_call *call, struct sl_store *store, const char *name, struct sl_error *err)
{
	int rc = sl_meta_begin(store->meta, err);
	if (rc)
		return rc;
	int64_t n = sl_meta_exec(store->meta, err, "UPDATE access_token SET revoked_ms = ?2 WHERE name = ?1 AND revoked_ms = 0", "si",
		name, sl_now_ms());
	rc = n < 0 ? (int)n : n == 0 ? sl_fail(err, SL_E_NOT_FOUND, "there is no token '%s' to revoke", name) : 0;
	if (!rc)
		rc = append(store, "token.revoke", name, NULL, err);
	rc = sl_meta_end(store->meta, rc, err);
	if (!rc)
		sl_put_text(call, sl_call_object(call), "revoked", name);
	return rc;
}

static void put_token(struct sl_call *call, yyjson_mut_val *items, struct sl_stmt *stmt)
{
	struct grant grant = {sl_stmt_text(stmt, 0), (unsigned)sl_stmt_int(stmt, 1), sl_stmt_int(stmt, 3)};
	bool expired = grant.expires_ms && grant.expires_ms <= sl_now_ms();
	yyjson_mut_val *item = sl_add_object(call, items);
	sl_put_text(call, item, "name", grant.name);
	sl_put_text(call, item, "state", sl_stmt_int(stmt, 4) ? "revoked" : expired ? "expired" : "valid");
	put_grant(call, item, &grant);
	sl_put_time(call, item, "created", sl_stmt_int(stmt, 2));
}

static int list(struct sl_call *call, struct sl_store *store, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	yyjson_mut_val *items = sl_put_array(call, sl_call_object(call), "items");
	int rc = sl_meta_query(store->meta, &stmt, err,
		"SELECT name, permissions, created_ms, expires_ms, revoked_ms FROM access_token ORDER BY created_ms DESC, name LIMIT 10000",
		"");
	if (rc)
		return rc;
	while ((rc = sl_stmt_step(stmt, err)) == 1)
		put_token(call, items, stmt);
	return rc;
}

int sl_op_token(struct sl_call *call, struct sl_error *err)
{
	struct sl_store *store;
	const char *action = sl_call_text(call, "action"), *name = sl_call_text(call, "name");
	int rc = sl_call_store(call, &store, err);
	if (rc)
		return rc;
	if (sl_str_eq(action, "list"))
		return list(call, store, err);
	if (!name)
		return sl_fail(err, SL_E_INVALID, "sluice token %s needs a name", action);
	rc = sl_str_eq(action, "create") ? create(call, store, name, err) : revoke(call, store, name, err);
	if (!rc)
		sl_notify_ring(store->dir);
	return rc;
}
