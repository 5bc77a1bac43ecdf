/* Creating and opening the ledger, and its entries. Publishing is in publish.c, proving in verify.c and prove.c. */
#include "ledger/ledger.h"

#include <assert.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "ledger/internal.h"
#include "os/clock.h"
#include "os/sys.h"

enum { KEY_FILE_MAX = 1024, DETAIL_MAX = 32 * 1024, SUBJECT_MAX = 8 * 1024 };

static int write_key(const char *path, const struct sl_ledger_key *key, bool secret, struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(KEY_FILE_MAX);
	sl_ledger_key_write(key, secret, &text);
	int rc = sl_buf_check(&text, path, err);
	return rc ? rc : sl_file_replace(path, text.data, text.len, secret ? 0600 : 0644, err);
}

static int read_key(const char *dir, const char *name, struct sl_ledger_key *ret, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(KEY_FILE_MAX);
	int rc = sl_path_join(path, dir, name, err);
	if (!rc)
		rc = sl_file_read(path, &text, err);
	return rc ? rc : sl_ledger_key_read(sl_buf_cstr(&text), text.len, path, ret, err);
}

int sl_ledger_create(const char *dir, const char *key_dir, const char *origin, struct sl_error *err)
{
	char secret_path[SL_PATH_MAX], public_path[SL_PATH_MAX];
	unsigned char secret[SL_SIGN_KEY];
	struct sl_ledger_key key;
	int rc = sl_path_join(secret_path, key_dir, "ledger.key", err);
	if (!rc)
		rc = sl_path_join(public_path, dir, "key.pub", err);
	if (!rc)
		rc = sl_dir_make(dir, err);
	if (!rc)
		rc = sl_dir_make(key_dir, err);
	if (!rc && sl_sys->chmod(key_dir, 0700))
		rc = sl_fail_at(err, SL_E_IO, key_dir, "cannot make the folder private");
	if (!rc)
		rc = sl_random(secret, sizeof secret, err);
	if (!rc)
		rc = sl_ledger_key_make(origin, secret, &key, err);
	if (!rc)
		rc = write_key(secret_path, &key, true, err);
	return rc ? rc : write_key(public_path, &key, false, err);
}

int sl_ledger_check_key(struct sl_ledger *ledger, struct sl_error *err)
{
	struct sl_ledger_key secret;
	if (ledger->key.has_secret)
		return 0;
	int rc = read_key(ledger->key_dir, "ledger.key", &secret, err);
	if (rc == SL_E_NOT_FOUND)
		return 1;
	if (rc)
		return rc;
	if (memcmp(secret.public_key, ledger->key.public_key, SL_SIGN_KEY) || strcmp(secret.origin, ledger->key.origin))
		return sl_fail_at(err, SL_E_CORRUPT, ledger->key_dir, "ledger.key and the ledger's key.pub do not belong together");
	ledger->key = secret;
	return 0;
}

int sl_ledger_sign(struct sl_ledger *ledger, struct sl_buf *text, struct sl_error *err)
{
	int rc = sl_ledger_check_key(ledger, err);
	if (rc == 1) {
		sl_fail_at(err, SL_E_DENIED, ledger->key_dir, "ledger.key is not here, so nothing can be signed");
		return sl_error_hint(err, "do this where the ledger's private key is");
	}
	return rc ? rc : sl_note_sign(&ledger->key, text, 0, err);
}

int sl_ledger_open(const char *dir, const char *key_dir, struct sl_meta *meta, struct sl_ledger **ret, struct sl_error *err)
{
	struct sl_ledger *ledger = sl_alloc(sizeof *ledger, err);
	if (!ledger)
		return SL_E_NO_MEMORY;
	ledger->meta = meta;
	sl_buf_init(&ledger->bundle, SL_LEDGER_BUNDLE_MAX);
	sl_buf_init(&ledger->published, SL_LEDGER_CHECKPOINT_MAX);
	int rc = 0;
	if (snprintf(ledger->dir, sizeof ledger->dir - SL_TILE_PATH, "%s", dir) >= (int)sizeof ledger->dir - SL_TILE_PATH ||
	    snprintf(ledger->key_dir, sizeof ledger->key_dir, "%s", key_dir) >= (int)sizeof ledger->key_dir)
		rc = sl_fail_at(err, SL_E_TOO_LARGE, dir, "path is too long");
	if (!rc)
		rc = read_key(ledger->dir, "key.pub", &ledger->key, err);
	if (rc == SL_E_NOT_FOUND)
		sl_error_hint(err, "the ledger's files were removed: put back .sluice/ledger from a backup");
	if (rc) {
		sl_ledger_close(ledger);
		return rc;
	}
	*ret = ledger;
	return 0;
}

void sl_ledger_close(struct sl_ledger *ledger)
{
	if (!ledger)
		return;
	sl_buf_done(&ledger->bundle);
	sl_buf_done(&ledger->published);
	sl_free(ledger);
}

void sl_ledger_set_actor(struct sl_ledger *ledger, const char *actor)
{
	snprintf(ledger->actor, sizeof ledger->actor, "%s", actor);
}

const char *sl_ledger_actor(struct sl_ledger *ledger)
{
	if (!ledger->actor[0]) { /* looked up when first needed: the user database may be far away */
		struct passwd entry, *found = NULL;
		char text[1024];
		if (getpwuid_r(geteuid(), &entry, text, sizeof text, &found) == 0 && found)
			snprintf(ledger->actor, sizeof ledger->actor, "user:%s", entry.pw_name);
		else
			snprintf(ledger->actor, sizeof ledger->actor, "user:%u", (unsigned)geteuid());
	}
	return ledger->actor;
}

void sl_ledger_public_key(struct sl_ledger *ledger, struct sl_buf *out)
{
	sl_ledger_key_write(&ledger->key, false, out);
	if (out->len)
		out->data[--out->len] = 0;
}

/* ---- entries -------------------------------------------------------------------------------------------------------- */

static void add_member(struct sl_buf *out, const char *name, const char *text)
{
	sl_buf_printf(out, ",\"%s\":", name);
	sl_json_string(out, text, strlen(text));
}

/* The members stand in the order that canonical JSON asks for. */
static int write_entry(struct sl_ledger *ledger, int64_t seq, const char *action, const char *subject, yyjson_mut_val *detail,
		       struct sl_buf *out, struct sl_error *err)
{
	char time[SL_TIME_TEXT];
	sl_buf_str(out, "{\"action\":");
	sl_json_string(out, action, strlen(action));
	add_member(out, "actor", sl_ledger_actor(ledger));
	sl_buf_str(out, ",\"detail\":");
	size_t before = out->len;
	int rc = 0;
	if (detail)
		rc = sl_json_mut_canonical(detail, out, err);
	else
		sl_buf_str(out, "{}");
	if (!rc && out->len - before > DETAIL_MAX)
		rc = sl_fail(err, SL_E_TOO_LARGE, "the detail of ledger entry '%s' is larger than %d bytes", action, DETAIL_MAX);
	if (rc)
		return rc;
	sl_buf_printf(out, ",\"seq\":%lld", (long long)seq);
	add_member(out, "subject", subject);
	add_member(out, "time", sl_time_format(sl_now_ms(), time));
	sl_buf_char(out, '}');
	return sl_buf_check(out, "ledger entry", err);
}

int sl_ledger_append(struct sl_ledger *ledger, const char *action, const char *subject, yyjson_mut_val *detail, int64_t *ret_seq,
		     struct sl_error *err)
{
	assert(sl_meta_in_transaction(ledger->meta));
	struct sl_buf entry SL_AUTO_BUF = SL_BUF_INIT(SL_LEDGER_ENTRY_MAX);
	int64_t seq;
	if (strlen(subject) > SUBJECT_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "the subject of ledger entry '%s' is longer than %d bytes", action,
			       SUBJECT_MAX);
	int rc = sl_meta_int(ledger->meta, -1, &seq, err, "SELECT max(seq) FROM ledger_entry", NULL);
	if (!rc)
		rc = write_entry(ledger, ++seq, action, subject, detail, &entry, err);
	if (rc)
		return rc;
	int64_t n = sl_meta_exec(ledger->meta, err, "INSERT INTO ledger_entry (seq, entry) VALUES (?1, ?2)", "ib", seq,
				 entry.data, entry.len);
	if (n < 0)
		return (int)n;
	if (ret_seq)
		*ret_seq = seq;
	return 0;
}
