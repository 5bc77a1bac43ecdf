#include "record/limits.h"

#include <ctype.h>
#include <string.h>

#include "base/json.h"

enum { NORMAL_MAX = 2048 };

size_t sl_rec_length(const char *text)
{
	size_t n = 0;
	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

int sl_rec_invalid(struct sl_error *err, const char *path, const char *value, const char *why)
{
	struct sl_buf json SL_AUTO_BUF = SL_BUF_INIT(4096);
	sl_json_string(&json, value, strnlen(value, 400));
	return sl_fail(err, SL_E_INVALID, "Invalid value %s for parameter '%s' supplied%s%s", sl_buf_cstr(&json), path,
		why ? ": " : ".", why ? why : "");
}

/* What posixpath.normpath makes of it; for the text of an error only, so an overlong one is cut. */
static void normalise(const char *name, char *out, size_t size)
{
	size_t len = 0, kept = 0; /* bytes; parts that ".." can take back */
	bool absolute = *name == '/';
	if (absolute)
		out[len++] = '/';
	size_t root = len;
	while (*name) {
		size_t part = strcspn(name, "/");
		bool up = part == 2 && memcmp(name, "..", 2) == 0;
		if (up && kept) {
			while (len > root && out[len - 1] != '/')
				len--;
			len -= len > root;
			kept--;
		} else if (part && !(part == 1 && *name == '.') && !(up && absolute) && len + part + 2 < size) {
			if (len > root)
				out[len++] = '/';
			memcpy(out + len, name, part);
			len += part;
			kept += !up;
		}
		name += part + (name[part] == '/');
	}
	if (!len)
		out[len++] = '.';
	out[len] = 0;
}

static bool characters_fine(const char *name)
{
	for (const unsigned char *p = (const unsigned char *)name; *p; p++)
		if (!isalnum(*p) && *p < 0x80 && !strchr("/_.- :", *p))
			return false;
	return true;
}

int sl_rec_check_key(const char *name, const char *path, struct sl_error *err)
{
	char normal[NORMAL_MAX], why[NORMAL_MAX + 200];
	if (!characters_fine(name))
		return sl_rec_invalid(err, path, name,
			"Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and "
			"slashes (/).");
	normalise(name, normal, sizeof normal);
	if (strcmp(name, normal) == 0 && *name != '/' && strcmp(name, ".") != 0 && strncmp(name, "..", 2) != 0)
		return 0;
	snprintf(why, sizeof why,
		"Names may be treated as files in certain cases, and must not resolve to other names when treated as such. This "
		"name would resolve to '%s'", normal);
	return sl_rec_invalid(err, path, name, why);
}

int sl_rec_check_length(const char *text, size_t max, const char *what, struct sl_error *err)
{
	if (!text || strlen(text) <= max || sl_rec_length(text) <= max)
		return 0;
	return sl_fail(err, SL_E_INVALID, "'%s' exceeds the maximum length of %zu characters", what, max);
}

const char *sl_rec_cut(const char *text, size_t max, struct sl_arena *arena)
{
	size_t n = 0;
	if (strlen(text) <= max)
		return text;
	for (const char *p = text; *p; p++)
		if (((unsigned char)*p & 0xc0) != 0x80 && n++ == max)
			return sl_arena_strndup(arena, text, (size_t)(p - text));
	return text;
}
