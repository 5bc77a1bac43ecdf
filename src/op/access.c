#include "op/access.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/base64.h"
#include "base/hash.h"
#include "op/token.h"
#include "os/clock.h"

struct token {
	char name[SL_NAME_MAX + 1];
	struct sl_hash hash;
	unsigned permissions;
	int64_t expires_ms; /* 0: never */
};

struct sl_access {
	struct sl_meta *meta;
	bool require_token;
	struct token project;
	struct token *tokens;
	size_t count;
};

#define BIT(permission) (1U << SL_PERMIT_##permission)
enum { EVERYTHING = (1U << SL_PERMIT_COUNT) - 2 }; /* all but NONE */

static const struct { const char *name; unsigned permissions; } ROLES[] = {
	{"viewer", BIT(VIEW)},
	{"client", BIT(PREDICT)},
	{"operator", BIT(VIEW) | BIT(PREDICT) | BIT(RUN) | BIT(EDIT)},
	{"approver", BIT(VIEW) | BIT(APPROVE)},
	{"owner", EVERYTHING},
};

unsigned sl_permissions_of(const char *name)
{
	for (size_t i = 0; i < SL_ARRAY_LEN(ROLES); i++)
		if (sl_str_eq(ROLES[i].name, name))
			return ROLES[i].permissions;
	for (enum sl_permission p = SL_PERMIT_VIEW; p < SL_PERMIT_COUNT; p++)
		if (sl_str_eq(sl_permission_name(p), name))
			return 1U << p;
	return 0;
}

void sl_permissions_write(unsigned permissions, struct sl_buf *out)
{
	const char *comma = "";
	for (enum sl_permission p = SL_PERMIT_VIEW; p < SL_PERMIT_COUNT; p++) {
		if (!(permissions & 1U << p))
			continue;
		sl_buf_printf(out, "%s%s", comma, sl_permission_name(p));
		comma = ",";
	}
}

/* ---- reading ---- */

static void read_token(struct sl_stmt *stmt, struct token *ret)
{
	snprintf(ret->name, sizeof ret->name, "%s", sl_stmt_text(stmt, 0));
	ret->permissions = (unsigned)sl_stmt_int(stmt, 2) & EVERYTHING;
	ret->expires_ms = sl_stmt_int(stmt, 3);
	if (!sl_hash_parse(sl_stmt_text(stmt, 1), &ret->hash))
		ret->permissions = 0; /* a damaged row lets nobody do anything */
}

/* Into `tokens`, which has room for SL_TOKENS_MAX. */
static int read_tokens(struct sl_meta *meta, struct token *tokens, size_t *ret_count, struct sl_error *err)
{
	struct sl_stmt *stmt SL_AUTO_STMT = NULL;
	int rc = sl_meta_query(meta, &stmt, err,
		"SELECT name, hash, permissions, expires_ms FROM access_token WHERE revoked_ms = 0 ORDER BY name LIMIT ?1", "i",
		(int64_t)SL_TOKENS_MAX);
	if (rc)
		return rc;
	for (*ret_count = 0; (rc = sl_stmt_step(stmt, err)) == 1; ++*ret_count)
		read_token(stmt, &tokens[*ret_count]);
	return rc;
}

int sl_access_refresh(struct sl_access *access, struct sl_error *err)
{
	size_t count;
	struct token *tokens = sl_alloc_array(SL_TOKENS_MAX, sizeof *tokens, err);
	int rc = tokens ? read_tokens(access->meta, tokens, &count, err) : SL_E_NO_MEMORY;
	if (rc) {
		sl_free(tokens);
		return rc;
	}
	sl_free(access->tokens);
	access->tokens = tokens;
	access->count = count;
	return 0;
}

int sl_access_open(struct sl_meta *meta, const char *store_dir, bool require_token, struct sl_access **ret, struct sl_error *err)
{
	char secret[SL_TOKEN_TEXT];
	struct sl_access *access = sl_alloc(sizeof *access, err);
	if (!access)
		return SL_E_NO_MEMORY;
	access->meta = meta;
	access->require_token = require_token;
	int rc = sl_token_read(store_dir, secret, err);
	if (!rc) {
		snprintf(access->project.name, sizeof access->project.name, "project");
		access->project.permissions = EVERYTHING;
		sl_sha256(secret, strlen(secret), &access->project.hash);
		rc = sl_access_refresh(access, err);
	}
	if (rc) {
		sl_access_close(access);
		return rc;
	}
	*ret = access;
	return 0;
}

void sl_access_close(struct sl_access *access)
{
	if (!access)
		return;
	sl_free(access->tokens);
	sl_free(access);
}

/* ---- judging ---- */

/* The secret's hash; false when the header has none. */
static bool secret_of(const char *authorization, struct sl_hash *ret)
{
	static const char bearer[] = "Bearer ", basic[] = "Basic ";
	char text[SL_SECRET_MAX];
	if (authorization && strncasecmp(authorization, bearer, sizeof bearer - 1) == 0) {
		const char *secret = authorization + sizeof bearer - 1;
		sl_sha256(secret, strlen(secret), ret);
		return *secret != 0;
	}
	if (!authorization || strncasecmp(authorization, basic, sizeof basic - 1) != 0)
		return false;
	const char *coded = authorization + sizeof basic - 1;
	long len = sl_base64_decode(coded, strlen(coded), text, sizeof text);
	const char *colon = len > 0 ? memchr(text, ':', (size_t)len) : NULL;
	if (!colon)
		return false;
	sl_sha256(colon + 1, (size_t)(text + len - colon - 1), ret);
	return true;
}

static bool equals(const struct sl_hash *a, const struct sl_hash *b)
{
	return sl_equal_constant_time(a->bytes, b->bytes, sizeof a->bytes);
}

/* Looks at every token, so that the time taken tells nothing. */
static const struct token *find(const struct sl_access *access, const struct sl_hash *hash)
{
	const struct token *found = equals(&access->project.hash, hash) ? &access->project : NULL;
	for (size_t i = 0; i < access->count; i++)
		if (equals(&access->tokens[i].hash, hash))
			found = &access->tokens[i];
	return found && found->expires_ms && found->expires_ms <= sl_now_ms() ? NULL : found;
}

bool sl_access_is_named(const struct sl_access *access, const char *authorization)
{
	struct sl_hash hash;
	return secret_of(authorization, &hash) && !equals(&access->project.hash, &hash);
}

static int refuse_unknown(enum sl_permission permission, bool given, struct sl_error *err)
{
	if (given) {
		sl_fail(err, SL_E_DENIED, "the token is wrong, revoked or expired");
	} else {
		sl_fail(err, SL_E_DENIED, "permission '%s' needs a token", sl_permission_name(permission));
		sl_error_hint(err, "Authorization: Bearer SECRET, with one that `sluice token create` made");
	}
	return 401;
}

int sl_access_check(const struct sl_access *access, enum sl_permission permission, const char *authorization,
	struct sl_caller *ret, struct sl_error *err)
{
	struct sl_hash hash;
	bool open = !access->require_token && (permission == SL_PERMIT_VIEW || permission == SL_PERMIT_PREDICT);
	const struct token *token = secret_of(authorization, &hash) ? find(access, &hash) : NULL;
	if (token)
		snprintf(ret->actor, sizeof ret->actor, "token:%s", token->name);
	else
		snprintf(ret->actor, sizeof ret->actor, "%s", SL_ACTOR_ANYBODY);
	if (permission == SL_PERMIT_NONE) {
		sl_fail(err, SL_E_DENIED, "this cannot be asked for over HTTP");
		return 403;
	}
	if (open || (token && token->permissions & 1U << permission))
		return 0;
	if (!token)
		return refuse_unknown(permission, authorization != NULL, err);
	sl_fail(err, SL_E_DENIED, "the token '%s' lacks the permission '%s'", token->name, sl_permission_name(permission));
	return 403;
}
