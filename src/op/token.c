#include "op/token.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "os/clock.h"
#include "os/file.h"

static int token_path(const char *store_dir, char out[SL_PATH_MAX], struct sl_error *err)
{
	return sl_path_join(out, store_dir, "key/token", err);
}

int sl_token_create(const char *store_dir, struct sl_error *err)
{
	char path[SL_PATH_MAX], dir[SL_PATH_MAX], text[SL_TOKEN_TEXT + 1];
	struct sl_hash secret;
	int rc = token_path(store_dir, path, err);
	if (!rc)
		rc = sl_path_join(dir, store_dir, "key", err);
	if (rc || sl_file_exists(path))
		return rc;
	rc = sl_dir_make(dir, err);
	if (!rc)
		rc = sl_random(secret.bytes, sizeof secret.bytes, err);
	if (rc)
		return rc;
	sl_hash_hex(&secret, text);
	strcat(text, "\n");
	return sl_file_replace(path, text, strlen(text), 0600, err);
}

int sl_token_read(const char *store_dir, char out[SL_TOKEN_TEXT], struct sl_error *err)
{
	char path[SL_PATH_MAX];
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(4096);
	struct sl_file_info info;
	struct sl_hash parsed;
	int rc = token_path(store_dir, path, err);
	if (!rc)
		rc = sl_file_info(path, &info, err);
	if (!rc && (info.mode & 077)) {
		sl_fail_at(err, SL_E_DENIED, path, "the token can be read by others");
		return sl_error_hint(err, "chmod 600 %s", path);
	}
	if (!rc)
		rc = sl_file_read(path, &text, err);
	if (rc)
		return rc;
	snprintf(out, SL_TOKEN_TEXT, "%s", sl_buf_cstr(&text));
	return sl_hash_parse(out, &parsed) ? 0 : sl_fail_at(err, SL_E_CORRUPT, path, "the token is not 64 hex digits");
}
