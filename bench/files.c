/* The bare work under a tree of files, for bench/files.py: what any program must do, on one thread, with no more than that.
 *
 *   files make DIR COUNT BYTES     COUNT files of BYTES bytes, 1000 to a folder
 *   files take FROM TO             read, SHA-256, write each under its hash: TO/ab/cdef...
 *   files copy FROM TO             read and write each under its path
 *   files sum FILE TO              SHA-256 of one file while it is copied
 */
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"

static const char *to;
static size_t from_len;
static bool by_hash;
static char data[8 << 20];

static void must(bool ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(1);
	}
}

static void write_file(const char *path, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	must(fd >= 0 && write(fd, bytes, len) == (ssize_t)len && close(fd) == 0, path);
}

static void make(const char *dir, long count, size_t bytes)
{
	char path[4096];
	must(mkdir(dir, 0755) == 0, dir);
	for (long i = 0; i < count; i++) {
		snprintf(path, sizeof path, "%s/%04ld", dir, i / 1000);
		must(i % 1000 || mkdir(path, 0755) == 0, path);
		snprintf(path, sizeof path, "%s/%04ld/%07ld.bin", dir, i / 1000, i);
		for (size_t k = 0; k < bytes; k += sizeof(long))
			memcpy(data + k, &(long){i * 2654435761 + (long)k}, sizeof(long));
		write_file(path, data, bytes);
	}
}

static int each(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	char target[4096], hex[SL_HASH_HEX + 1];
	struct sl_hash hash;
	(void)ftw;
	snprintf(target, sizeof target, "%s%s", to, path + from_len);
	if (type == FTW_D)
		return by_hash || mkdir(target, 0755) == 0 ? 0 : -1;
	int fd = open(path, O_RDONLY);
	must(fd >= 0 && st->st_size <= (off_t)sizeof data && read(fd, data, sizeof data) == st->st_size && close(fd) == 0, path);
	if (by_hash) {
		sl_sha256(data, (size_t)st->st_size, &hash);
		sl_hash_hex(&hash, hex);
		snprintf(target, sizeof target, "%s/%.2s", to, hex);
		mkdir(target, 0755);
		snprintf(target, sizeof target, "%s/%.2s/%s", to, hex, hex + 2);
	}
	write_file(target, data, (size_t)st->st_size);
	return 0;
}

static void sum(const char *path)
{
	int in = open(path, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	struct sl_sha256 *sha = sl_sha256_new(NULL);
	struct sl_hash hash;
	ssize_t n;
	must(in >= 0 && out >= 0 && sha, path);
	while ((n = read(in, data, 1 << 20)) > 0) {
		sl_sha256_add(sha, data, (size_t)n);
		must(write(out, data, (size_t)n) == n, to);
	}
	sl_sha256_end(sha, &hash);
	sl_sha256_free(sha);
	must(n == 0 && fsync(out) == 0, path);
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "make")) {
		make(argv[2], atol(argv[3]), (size_t)atol(argv[4]));
		return 0;
	}
	must(argc == 4, "usage: files make DIR COUNT BYTES | take FROM TO | copy FROM TO | sum FILE TO");
	to = argv[3];
	from_len = strlen(argv[2]);
	by_hash = !strcmp(argv[1], "take");
	if (!strcmp(argv[1], "sum")) {
		sum(argv[2]);
		return 0;
	}
	must(!by_hash || mkdir(to, 0755) == 0, to);
	must(nftw(argv[2], each, 64, FTW_PHYS) == 0, argv[2]);
	int fd = open(to, O_RDONLY);
	must(fd >= 0 && syncfs(fd) == 0, to);
	return 0;
}
