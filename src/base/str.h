/* Text: checks of names, numbers and nearness. No locale: ASCII rules, UTF-8 passed through. */
#ifndef SL_BASE_STR_H
#define SL_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

bool sl_str_eq(const char *a, const char *b); /* NULL equals only NULL */
bool sl_str_starts(const char *text, const char *prefix);
bool sl_str_ends(const char *text, const char *suffix);

/* Whole text must be the number; no spaces, no sign tricks. false and *ret untouched otherwise. */
bool sl_str_int(const char *text, int64_t *ret);
bool sl_str_double(const char *text, double *ret); /* decimal or exponent form, nan, inf */

enum { SL_NAME_MAX = 128 };
/* A name of ours (project, dataset, step, model, ...): [A-Za-z_][A-Za-z0-9_.-]*, at most SL_NAME_MAX bytes, no "..". */
bool sl_name_valid(const char *name);
/* A relative path without "..", ".", empty parts, backslash or control characters; at most 4096 bytes. */
bool sl_relative_path_valid(const char *path);
bool sl_utf8_valid(const char *text, size_t len);

/* The candidate nearest to `name` by edit distance (at most a third of its length, 3 at most), or NULL. */
const char *sl_str_nearest(const char *name, const char *const *candidates, size_t count);

/* Bytes from "512", "64k", "2GB", "1.5GiB" (k, m, g, t are powers of 1024 in both spellings). */
bool sl_str_bytes(const char *text, uint64_t *ret);
/* "512 B", "1.2 GB" (powers of 1000); returns `out`. */
char *sl_bytes_format(uint64_t bytes, char out[32]);

#endif
