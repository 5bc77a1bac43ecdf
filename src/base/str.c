#include "base/str.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool sl_str_eq(const char *a, const char *b) { return a == b || (a && b && strcmp(a, b) == 0); }
bool sl_str_starts(const char *text, const char *prefix) { return strncmp(text, prefix, strlen(prefix)) == 0; }

bool sl_str_ends(const char *text, const char *suffix)
{
	size_t n = strlen(text), m = strlen(suffix);
	return n >= m && memcmp(text + n - m, suffix, m) == 0;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool sl_str_int(const char *text, int64_t *ret)
{
	const char *digits = text + (*text == '-' || *text == '+');
	if (!is_digit(*digits))
		return false;
	errno = 0;
	char *end;
	long long v = strtoll(text, &end, 10);
	if (errno || *end)
		return false;
	*ret = v;
	return true;
}

bool sl_str_double(const char *text, double *ret)
{
	const char *p = text + (*text == '-' || *text == '+');
	bool special = strcasecmp(p, "nan") == 0 || strcasecmp(p, "inf") == 0 || strcasecmp(p, "infinity") == 0;
	/* strtod also takes hexadecimal, leading blanks and nan(...): not ours. */
	if (!special && (strspn(p, "0123456789.eE+-") != strlen(p) || !(is_digit(*p) || (*p == '.' && is_digit(p[1])))))
		return false;
	char *end;
	double v = strtod(text, &end);
	if (*end || (!special && isinf(v)))
		return false;
	*ret = v;
	return true;
}

bool sl_name_valid(const char *name)
{
	if (!is_alpha(*name) && *name != '_')
		return false;
	size_t n = 0;
	for (const char *p = name; *p; p++, n++)
		if (!is_alpha(*p) && !is_digit(*p) && !strchr("_.-", *p))
			return false;
	return n <= SL_NAME_MAX && !strstr(name, "..");
}

bool sl_relative_path_valid(const char *path)
{
	size_t n = strlen(path);
	if (n == 0 || n > 4096 || path[0] == '/' || path[n - 1] == '/')
		return false;
	for (const char *p = path; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f || *p == '\\')
			return false;
	for (const char *part = path; part;) {
		const char *slash = strchr(part, '/');
		size_t len = slash ? (size_t)(slash - part) : strlen(part);
		if (len == 0 || (len == 1 && part[0] == '.') || (len == 2 && part[0] == '.' && part[1] == '.'))
			return false;
		part = slash ? slash + 1 : NULL;
	}
	return true;
}

bool sl_utf8_valid(const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text, *end = p + len;
	while (p < end) {
		unsigned c = *p++;
		if (c < 0x80)
			continue;
		int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
		if (c < 0xc2 || c > 0xf4 || end - p < more)
			return false;
		unsigned low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80; /* no overlong forms */
		unsigned high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf; /* no surrogates, nothing above U+10FFFF */
		if (*p < low || *p > high)
			return false;
		for (p++; more > 1; more--, p++)
			if ((*p & 0xc0) != 0x80)
				return false;
	}
	return true;
}

/* Levenshtein distance of two short names; anything longer than the table counts as far. */
static size_t edit_distance(const char *a, const char *b)
{
	enum { MAX = 64 };
	size_t n = strlen(a), m = strlen(b);
	if (n > MAX || m > MAX)
		return MAX;
	size_t row[MAX + 1];
	for (size_t j = 0; j <= m; j++)
		row[j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);
			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[m];
}

const char *sl_str_nearest(const char *name, const char *const *candidates, size_t count)
{
	size_t allowed = strlen(name) / 3 + 1, best_distance = (allowed > 3 ? 3 : allowed) + 1;
	const char *best = NULL;
	for (size_t i = 0; i < count; i++) {
		size_t d = edit_distance(name, candidates[i]);
		if (d < best_distance) {
			best_distance = d;
			best = candidates[i];
		}
	}
	return best;
}

bool sl_str_bytes(const char *text, uint64_t *ret)
{
	char number[32];
	size_t n = strspn(text, "0123456789.");
	if (n == 0 || n >= sizeof number)
		return false;
	memcpy(number, text, n);
	number[n] = 0;
	double v;
	if (!sl_str_double(number, &v))
		return false;
	static const struct { const char *unit; unsigned shift; } UNITS[] = {
		{"", 0}, {"b", 0}, {"k", 10}, {"kb", 10}, {"kib", 10}, {"m", 20}, {"mb", 20}, {"mib", 20},
		{"g", 30}, {"gb", 30}, {"gib", 30}, {"t", 40}, {"tb", 40}, {"tib", 40},
	};
	for (size_t i = 0; i < sizeof UNITS / sizeof *UNITS; i++)
		if (strcasecmp(text + n, UNITS[i].unit) == 0) {
			v *= (double)((uint64_t)1 << UNITS[i].shift);
			if (v >= 9.2e18)
				return false;
			*ret = (uint64_t)v;
			return true;
		}
	return false;
}

char *sl_bytes_format(uint64_t bytes, char out[32])
{
	static const char *const UNITS[] = {"B", "kB", "MB", "GB", "TB", "PB"};
	double value = (double)bytes;
	size_t unit = 0;
	for (; value >= 999.5 && unit + 1 < sizeof UNITS / sizeof *UNITS; unit++)
		value /= 1000;
	snprintf(out, 32, unit && value < 99.95 ? "%.1f %s" : "%.0f %s", value, UNITS[unit]);
	return out;
}
