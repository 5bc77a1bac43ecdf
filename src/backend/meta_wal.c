/* sqlite.org/fileformat2.html#walformat and sqlite.org/walformat.html say what stands in both files. */
#include "backend/meta_wal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "backend/meta_vfs.h"
#include "base/mem.h"
#include "os/file.h"
#include "os/sys.h"

enum {
	LOG_HEADER = 32,   /* magic, version, page size, sequence, two salts, checksum (2 x 4 bytes) */
	FRAME_HEADER = 24, /* page number, size of the database or 0, two salts, checksum (2 x 4 bytes) */
	FRAME = FRAME_HEADER + SL_VFS_PAGE_BYTES,
	INDEX_HEADER = 48, /* of the shared-memory file, twice */
	AT_INIT = 12, AT_LAST_FRAME = 16, AT_SALTS = 32, AT_CHECKSUM = 40, AT_COPIED = 96, INDEX_READ = 100,
	AT_OPEN_LOCK = 128, /* held by whoever has the database open */
	TRIES = 5,
};

#define RESTORE "put back sluice.db and sluice.db-wal from one backup, and remove sluice.db-shm"

struct sum {
	uint32_t a, b;
};

/* What is committed, by the shared-memory file. */
struct committed {
	bool known, in_use;
	uint32_t frames, copied; /* so many of them are in the database as well */
	unsigned char salts[8];
	unsigned char bytes[INDEX_READ];
};

struct log {
	char path[SL_PATH_MAX];
	int fd;
	bool swap;                     /* the words that are summed are of the other byte order */
	unsigned char salts[8];
	struct sum sum;                /* behind the last good frame */
	unsigned char frame[FRAME];
};

static uint32_t get_be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void add(struct sum *sum, const unsigned char *data, size_t len, bool swap)
{
	uint32_t x, y;
	for (const unsigned char *p = data, *end = data + len; p < end; p += 8) {
		memcpy(&x, p, 4);
		memcpy(&y, p + 4, 4);
		if (swap) {
			x = __builtin_bswap32(x);
			y = __builtin_bswap32(y);
		}
		sum->a += x + sum->b;
		sum->b += y + sum->a;
	}
}

/* Up to `len` bytes; fewer at the end of the file. Negative: the machine refused. */
static ssize_t read_at(int fd, void *data, size_t len, uint64_t at, const char *path, struct sl_error *err)
{
	size_t have = 0;
	while (have < len) {
		ssize_t n = sl_sys->pread(fd, (char *)data + have, len - have, (off_t)(at + have));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return sl_fail_errno(err, errno, path, "cannot read");
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

/* Native byte order: the file belongs to this machine. */
static uint32_t word(const unsigned char *bytes, int at)
{
	uint32_t v;
	memcpy(&v, bytes + at, sizeof v);
	return v;
}

/* Both copies of the header equal and with the right checksum, as SQLite demands. */
static int read_committed(const char *path, struct committed *ret, struct sl_error *err)
{
	char shm[SL_PATH_MAX];
	int fd SL_AUTO_CLOSE = -1;
	struct sum sum = {0};
	*ret = (struct committed){0};
	if (snprintf(shm, sizeof shm, "%s-shm", path) >= (int)sizeof shm)
		return sl_fail_at(err, SL_E_TOO_LARGE, path, "path is too long");
	int rc = sl_file_open(shm, O_RDONLY, 0, &fd, err);
	if (rc)
		return rc == SL_E_NOT_FOUND ? 0 : rc;
	struct flock held = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = AT_OPEN_LOCK, .l_len = 1};
	ret->in_use = fcntl(fd, F_GETLK, &held) == 0 && held.l_type != F_UNLCK;
	ssize_t n = read_at(fd, ret->bytes, sizeof ret->bytes, 0, shm, err);
	if (n < 0)
		return (int)n;
	add(&sum, ret->bytes, AT_CHECKSUM, false);
	ret->known = n == INDEX_READ && ret->bytes[AT_INIT] && memcmp(ret->bytes, ret->bytes + INDEX_HEADER, INDEX_HEADER) == 0 &&
		     sum.a == word(ret->bytes, AT_CHECKSUM) && sum.b == word(ret->bytes, AT_CHECKSUM + 4);
	ret->frames = word(ret->bytes, AT_LAST_FRAME);
	ret->copied = word(ret->bytes, AT_COPIED);
	memcpy(ret->salts, ret->bytes + AT_SALTS, sizeof ret->salts);
	return 0;
}

/* ---- the log -------------------------------------------------------------------------------------------------------- */

/* 1 when the header is good; 0 when it is not (or there is none). */
static int open_log(struct log *log, struct sl_error *err)
{
	unsigned char head[LOG_HEADER];
	int rc = sl_file_open(log->path, O_RDONLY, 0, &log->fd, err);
	if (rc)
		return rc == SL_E_NOT_FOUND ? 0 : rc;
	ssize_t n = read_at(log->fd, head, sizeof head, 0, log->path, err);
	if (n < 0)
		return (int)n;
	/* The magic's last bit: sums are over big-endian words. */
	log->swap = n == LOG_HEADER && (head[3] & 1) == (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
	log->sum = (struct sum){0};
	memcpy(log->salts, head + 16, sizeof log->salts);
	if (n == LOG_HEADER)
		add(&log->sum, head, LOG_HEADER - 8, log->swap);
	return n == LOG_HEADER && log->sum.a == get_be32(head + 24) && log->sum.b == get_be32(head + 28);
}

static uint64_t frame_at(uint32_t number) { return LOG_HEADER + (uint64_t)(number - 1) * FRAME; }

/* 1 and log->sum moved on when frame `number` (from 1) is there and good; 0 when not. */
static int look(struct log *log, uint32_t number, struct sl_error *err)
{
	ssize_t n = read_at(log->fd, log->frame, FRAME, frame_at(number), log->path, err);
	if (n < FRAME)
		return n < 0 ? (int)n : 0;
	struct sum sum = log->sum;
	add(&sum, log->frame, 8, log->swap);
	add(&sum, log->frame + FRAME_HEADER, SL_VFS_PAGE_BYTES, log->swap);
	if (memcmp(log->frame + 8, log->salts, sizeof log->salts) || sum.a != get_be32(log->frame + 16) ||
	    sum.b != get_be32(log->frame + 20))
		return 0;
	log->sum = sum;
	return 1;
}

static int bad_frame(const struct log *log, uint32_t number, struct sl_error *err)
{
	char end;
	if (sl_sys->pread(log->fd, &end, 1, (off_t)frame_at(number) + FRAME - 1) == 0) {
		sl_fail_at(err, SL_E_CORRUPT, log->path, "ends before frame %u, which was committed: it was cut, or is an older copy",
			   number);
		return sl_error_hint(err, RESTORE);
	}
	sl_fail_at(err, SL_E_CORRUPT, log->path,
		   "frame %u (byte %llu) is not what was written: its checksum differs, and what was committed in and behind it is lost",
		   number, (unsigned long long)frame_at(number));
	return sl_error_hint(err, RESTORE);
}

/* Without knowledge of what is committed: behind the bad frame `number` there is the end of its transaction, and then a frame that goes
 * on from the one before it. */
static int check_behind(struct log *log, uint32_t number, struct sl_error *err)
{
	bool ended = false;
	for (uint32_t i = number;; i++) {
		ssize_t n = read_at(log->fd, log->frame, FRAME_HEADER, frame_at(i), log->path, err);
		if (n < FRAME_HEADER)
			return n < 0 ? (int)n : 0;
		log->sum = (struct sum){get_be32(log->frame + 16), get_be32(log->frame + 20)};
		ended = ended || (get_be32(log->frame + 4) && memcmp(log->frame + 8, log->salts, sizeof log->salts) == 0);
		int rc = ended ? look(log, i + 1, err) : 0;
		if (rc)
			return rc < 0 ? rc : bad_frame(log, number, err);
	}
}

static int check_frames(struct log *log, const struct committed *committed, struct sl_error *err)
{
	uint32_t number = 1;
	int rc;
	while ((rc = look(log, number, err)) == 1)
		number++;
	if (rc < 0)
		return rc;
	if (committed->known && memcmp(committed->salts, log->salts, sizeof log->salts) == 0)
		return number <= committed->frames ? bad_frame(log, number, err) : 0;
	return check_behind(log, number, err);
}

static int check_once(struct log *log, const struct committed *committed, struct sl_error *err)
{
	sl_file_close(&log->fd);
	int rc = open_log(log, err);
	if (rc < 0)
		return rc;
	if (rc == 1)
		return check_frames(log, committed, err);
	if (!committed->known || committed->frames <= committed->copied)
		return 0;
	sl_fail_at(err, SL_E_CORRUPT, log->path, "its header (byte 0 to 31) is missing or not what was written, and %u frames were committed",
		   committed->frames);
	return sl_error_hint(err, RESTORE);
}

static int check_log(const char *path, struct sl_error *err)
{
	struct committed committed, again;
	struct log *log SL_AUTO_FREE = sl_alloc(sizeof *log, err);
	if (!log)
		return SL_E_NO_MEMORY;
	log->fd = -1;
	if (snprintf(log->path, sizeof log->path, "%s-wal", path) >= (int)sizeof log->path)
		return sl_fail_at(err, SL_E_TOO_LARGE, path, "path is too long");
	int rc = read_committed(path, &committed, err);
	for (int i = 0; i < TRIES && !rc && !committed.in_use; i++) {
		rc = check_once(log, &committed, err);
		if (rc != SL_E_CORRUPT)
			break;
		/* Damage, or a process that writes began the log anew meanwhile. */
		int read = read_committed(path, &again, err);
		if (read || memcmp(again.bytes, committed.bytes, sizeof again.bytes) == 0)
			break;
		committed = again;
		rc = 0;
	}
	sl_file_close(&log->fd);
	return rc;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int open_count;

int sl_wal_enter(const char *path, struct sl_error *err)
{
	pthread_mutex_lock(&lock);
	int rc = open_count ? 0 : check_log(path, err);
	open_count += rc == 0;
	pthread_mutex_unlock(&lock);
	return rc;
}

void sl_wal_leave(void)
{
	pthread_mutex_lock(&lock);
	open_count--;
	pthread_mutex_unlock(&lock);
}
