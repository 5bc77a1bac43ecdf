#include "project/ref.h"

#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

static const char *const KINDS[] = {
	[SL_REF_ANY] = "any", [SL_REF_DATASET] = "dataset", [SL_REF_MODEL] = "model", [SL_REF_RUN] = "run", [SL_REF_PREDICTION] = "prediction",
	[SL_REF_STEP] = "step", [SL_REF_ENDPOINT] = "endpoint", [SL_REF_SOURCE] = "source", [SL_REF_MONITOR] = "monitor", [SL_REF_TRIGGER] = "trigger",
	[SL_REF_FILE] = "file",
};

const char *sl_ref_kind_name(enum sl_ref_kind kind) { return KINDS[kind]; }

const char *sl_ref_kind_phrase(enum sl_ref_kind kind)
{
	static const char *const PHRASES[] = {
		[SL_REF_ANY] = "a name", [SL_REF_DATASET] = "a dataset", [SL_REF_MODEL] = "a model", [SL_REF_RUN] = "a run",
		[SL_REF_PREDICTION] = "a prediction", [SL_REF_STEP] = "a step", [SL_REF_ENDPOINT] = "an endpoint", [SL_REF_SOURCE] = "a source",
		[SL_REF_MONITOR] = "a monitor", [SL_REF_TRIGGER] = "a trigger", [SL_REF_FILE] = "a file",
	};
	return PHRASES[kind];
}

/* A kind is a lower-case word before the first ':'; anything else before it belongs to the name ("C:", a time). */
static int parse_kind(const char **text, enum sl_ref_kind *ret, struct sl_error *err)
{
	char word[16];
	size_t len = strspn(*text, "abcdefghijklmnopqrstuvwxyz");
	*ret = SL_REF_ANY;
	if (len == 0 || len >= sizeof word || (*text)[len] != ':')
		return 0;
	memcpy(word, *text, len);
	word[len] = 0;
	for (size_t i = SL_REF_ANY + 1; i < SL_ARRAY_LEN(KINDS); i++)
		if (strcmp(KINDS[i], word) == 0) {
			*ret = (enum sl_ref_kind)i;
			*text += len + 1;
			return 0;
		}
	sl_fail_at(err, SL_E_INVALID, *text, "there is no kind '%s'", word);
	const char *nearest = sl_str_nearest(word, KINDS + 1, SL_ARRAY_LEN(KINDS) - 1);
	if (nearest)
		sl_error_hint(err, "did you mean '%s:%s'?", nearest, *text + len + 1);
	return SL_E_INVALID;
}

static int put(char *out, size_t size, const char *from, size_t len, const char *whole, const char *what, struct sl_error *err)
{
	if (len >= size)
		return sl_fail_at(err, SL_E_INVALID, whole, "the %s is longer than %zu bytes", what, size - 1);
	memcpy(out, from, len);
	out[len] = 0;
	return 0;
}

int sl_ref_parse(const char *text, struct sl_ref *ret, struct sl_error *err)
{
	const char *p = text;
	memset(ret, 0, sizeof *ret);
	ret->row = -1;
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return sl_fail(err, SL_E_INVALID, "a reference may not hold control characters");
	int rc = parse_kind(&p, &ret->kind, err);
	if (rc)
		return rc;
	size_t len = strlen(p);
	const char *at = ret->kind == SL_REF_FILE ? NULL : strchr(p, '@');
	const char *row = ret->kind == SL_REF_PREDICTION ? strchr(p, '#') : NULL;
	if (row) {
		int64_t number;
		if (!sl_str_int(row + 1, &number) || number < 0 || number > INT32_MAX)
			return sl_fail_at(err, SL_E_INVALID, text, "'#' must be followed by the number of a row, from 0");
		ret->row = (int)number;
		len = (size_t)(row - p);
	}
	size_t name_len = at && at < p + len ? (size_t)(at - p) : len;
	if (name_len == 0)
		return sl_fail_at(err, SL_E_INVALID, text, "a name is missing");
	rc = put(ret->name, sizeof ret->name, p, name_len, text, "name", err);
	if (!rc && name_len < len) {
		rc = put(ret->version, sizeof ret->version, at + 1, len - name_len - 1, text, "version", err);
		if (!rc && !ret->version[0])
			rc = sl_fail_at(err, SL_E_INVALID, text, "'@' must be followed by a version");
	}
	return rc;
}
