#include "port/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/str.h"
#include "os/library.h"
#include "os/walk.h"

enum { BLOCK_BYTES = 1 << 20 };

/* Only what is used: the formats that nobody names in a source stay closed. */
static struct {
	struct archive *(*read_new)(void);
	int (*support_tar)(struct archive *);
	int (*support_zip)(struct archive *);
	int (*support_gzip)(struct archive *);
	int (*support_zstd)(struct archive *);
	int (*open_filename)(struct archive *, const char *, size_t);
	int (*next_header)(struct archive *, struct archive_entry **);
	la_ssize_t (*read_data)(struct archive *, void *, size_t);
	int (*read_free)(struct archive *);
	const char *(*error_string)(struct archive *);
	const char *(*pathname)(struct archive_entry *);
	const char *(*pathname_utf8)(struct archive_entry *);
	__LA_MODE_T (*filetype)(struct archive_entry *);
	__LA_MODE_T (*perm)(struct archive_entry *);
	la_int64_t (*size)(struct archive_entry *);
	int (*size_is_set)(struct archive_entry *);
	const char *(*hardlink)(struct archive_entry *);
	int (*is_encrypted)(struct archive_entry *);
} lib;

static int load(struct sl_error *err)
{
	static const struct sl_library_symbol SYMBOLS[] = {
		{"archive_read_new", &lib.read_new}, {"archive_read_support_format_tar", &lib.support_tar},
		{"archive_read_support_format_zip", &lib.support_zip}, {"archive_read_support_filter_gzip", &lib.support_gzip},
		{"archive_read_support_filter_zstd", &lib.support_zstd}, {"archive_read_open_filename", &lib.open_filename},
		{"archive_read_next_header", &lib.next_header}, {"archive_read_data", &lib.read_data}, {"archive_read_free", &lib.read_free},
		{"archive_error_string", &lib.error_string}, {"archive_entry_pathname", &lib.pathname},
		{"archive_entry_pathname_utf8", &lib.pathname_utf8}, {"archive_entry_filetype", &lib.filetype},
		{"archive_entry_perm", &lib.perm}, {"archive_entry_size", &lib.size}, {"archive_entry_size_is_set", &lib.size_is_set},
		{"archive_entry_hardlink", &lib.hardlink}, {"archive_entry_is_encrypted", &lib.is_encrypted},
	};
	int rc = sl_library_load("libarchive.so.13", SYMBOLS, SL_ARRAY_LEN(SYMBOLS), err);
	return rc ? sl_error_hint(err, "install libarchive (Debian: libarchive13), or unpack the archive into a folder") : 0;
}

bool sl_archive_named(const char *name)
{
	static const char *const ENDINGS[] = {".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst", ".zip"};
	size_t len = strlen(name);
	for (size_t i = 0; i < SL_ARRAY_LEN(ENDINGS); i++) {
		size_t n = strlen(ENDINGS[i]);
		if (len > n && strcasecmp(name + len - n, ENDINGS[i]) == 0)
			return true;
	}
	return false;
}

struct unpacking {
	const char *name;
	struct archive *archive;
	const struct sl_archive_taker *taker;
	char *block;
	uint64_t files, total, total_max;
	char shown[512]; /* the member at hand */
};

static int refuse(const struct unpacking *u, const char *what, struct sl_error *err)
{
	return sl_fail_at(err, SL_E_INVALID, u->name, "member '%s' %s", u->shown, what);
}

static int fail_archive(const struct unpacking *u, struct sl_error *err)
{
	const char *why = lib.error_string(u->archive);
	return sl_fail_at(err, SL_E_FAILED, u->name, "%s%s%s is damaged: %s", *u->shown ? "member '" : "the archive", u->shown,
			  *u->shown ? "'" : "", why ? why : "it cannot be read");
}

/* "./a/b" is "a/b"; a path that leaves the archive, or has empty parts, is none. */
static const char *plain_path(const char *path)
{
	while (path[0] == '.' && path[1] == '/')
		path += 2 + strspn(path + 2, "/");
	if (!*path || *path == '/' || strlen(path) >= SL_PATH_MAX)
		return NULL;
	for (const char *part = path; part; part = strchr(part, '/')) {
		part += *part == '/';
		size_t n = strcspn(part, "/");
		if ((!n && *part) || (n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.') || (!n && part == path))
			return NULL;
	}
	return strchr(path, '\\') && strstr(path, "..\\") ? NULL : path;
}

static int take_data(struct unpacking *u, struct archive_entry *entry, struct sl_error *err)
{
	uint64_t got = 0;
	la_ssize_t n;
	int rc = 0;
	while (!rc && (n = lib.read_data(u->archive, u->block, BLOCK_BYTES)) != 0) {
		if (n < 0)
			return fail_archive(u, err);
		got += (uint64_t)n;
		u->total += (uint64_t)n;
		if (u->total > u->total_max)
			return sl_fail_at(err, SL_E_TOO_LARGE, u->name, "member '%s': the archive unpacks to more than %d times its size",
					  u->shown, SL_ARCHIVE_RATIO);
		rc = u->taker->piece(u->taker->context, u->block, (size_t)n, err);
	}
	if (!rc && lib.size_is_set(entry) && (uint64_t)lib.size(entry) != got)
		rc = refuse(u, "is not as long as it says", err);
	return rc;
}

static int take_member(struct unpacking *u, struct archive_entry *entry, struct sl_error *err)
{
	/* UTF-8 where the archive says so, else the bytes that stand there. */
	const char *raw = lib.pathname_utf8(entry);
	raw = raw ? raw : lib.pathname(entry);
	snprintf(u->shown, sizeof u->shown, "?");
	if (!raw)
		return refuse(u, "has a name that cannot be read", err);
	sl_path_show(raw, u->shown, sizeof u->shown);
	__LA_MODE_T type = lib.filetype(entry);
	if (type == AE_IFDIR)
		return 0;
	const char *path = plain_path(raw);
	if (!path || path[strlen(path) - 1] == '/')
		return refuse(u, "has a path that leaves the archive, or is none", err);
	if (type != AE_IFREG || lib.hardlink(entry))
		return refuse(u, type == AE_IFLNK || lib.hardlink(entry) ? "is a link" : "is neither a file nor a folder", err);
	if (lib.is_encrypted(entry))
		return refuse(u, "is encrypted", err);
	if (++u->files > SL_ARCHIVE_FILES_MAX)
		return sl_fail_at(err, SL_E_TOO_LARGE, u->name, "has more than %d files", SL_ARCHIVE_FILES_MAX);
	const struct sl_archive_member member = {.path = path, .len = strlen(path), .executable = lib.perm(entry) & 0100};
	int rc = u->taker->begin(u->taker->context, &member, err);
	rc = rc ? rc : take_data(u, entry, err);
	return rc ? rc : u->taker->end(u->taker->context, err);
}

static int unpack_all(struct unpacking *u, const char *path, struct sl_error *err)
{
	struct archive_entry *entry;
	int told;
	if (lib.support_tar(u->archive) || lib.support_zip(u->archive) || lib.support_gzip(u->archive) ||
	    lib.support_zstd(u->archive) < ARCHIVE_WARN || lib.open_filename(u->archive, path, BLOCK_BYTES))
		return fail_archive(u, err);
	/* A warning is about what we do not take: times, owners, attributes. */
	while ((told = lib.next_header(u->archive, &entry)) == ARCHIVE_OK || told == ARCHIVE_WARN) {
		int rc = take_member(u, entry, err);
		if (rc)
			return rc;
	}
	return told == ARCHIVE_EOF ? 0 : fail_archive(u, err);
}

int sl_archive_unpack(const char *path, const char *name, const struct sl_archive_taker *taker, struct sl_error *err)
{
	struct unpacking u = {.name = name, .taker = taker};
	struct sl_file_info info;
	int rc = load(err);
	rc = rc ? rc : sl_file_info(path, &info, err);
	if (rc)
		return rc;
	u.total_max = SL_ARCHIVE_BYTES_FREE + SL_ARCHIVE_RATIO * info.size_bytes;
	/* The library turns names of archives that say that they are UTF-8 by the thread's locale. */
	locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0), before = utf8 ? uselocale(utf8) : (locale_t)0;
	u.block = sl_alloc(BLOCK_BYTES, err);
	u.archive = u.block ? lib.read_new() : NULL;
	rc = u.archive ? unpack_all(&u, path, err) : u.block ? sl_fail_memory(err) : SL_E_NO_MEMORY;
	if (u.archive)
		lib.read_free(u.archive);
	sl_free(u.block);
	if (utf8) {
		uselocale(before);
		freelocale(utf8);
	}
	return rc;
}
