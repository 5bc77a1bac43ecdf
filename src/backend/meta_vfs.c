#include "backend/meta_vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "os/file.h"
#include "os/sys.h"

enum {
	PAGE = SL_VFS_PAGE_BYTES,
	USABLE = PAGE - SL_VFS_RESERVED_BYTES,
	WAL_HEADER = 32, /* magic, version, page size, sequence, two salts, checksum (2 x 4 bytes) */
	FRAME_HEADER = 24, /* page number, size of the database or 0, two salts, checksum (2 x 4 bytes) */
	FRAME = FRAME_HEADER + PAGE,
	CHECK_TRIES = 50,
	/* Of the log, written at once: a commit is about 10 frames, each of which SQLite writes in two pieces. The unix VFS takes up to 128 KiB - 1. */
	GATHERED_BYTES = 31 * FRAME,
	WAL_KEPT_BYTES = 8 << 20,    /* a log up to this size is emptied by its header and not cut: see file_truncate */
};

static const char MARK[4] = {'S', 'L', 'P', '1'};

/* A file of ours: SQLite gives szOsFile bytes, the unix VFS's own file stands behind this. */
struct page_file {
	sqlite3_file base;
	bool is_wal, creates;      /* creates: the database was opened to be made */
	unsigned char *gathered;   /* of a log: what was written and not yet passed on; NULL until the first write */
	size_t gathered_len;
	sqlite3_int64 gathered_at; /* its place in the file */
	_Alignas(sqlite3_file) unsigned char real[];
};

int sl_sqlite_fdatasync(int fd);
int sl_sqlite_fsync(int fd);

static sqlite3_vfs *real_vfs;
static _Thread_local char fault[64];

const char *sl_vfs_fault(void) { return fault; }

static sqlite3_file *real_of(sqlite3_file *file) { return (sqlite3_file *)((struct page_file *)file)->real; }

static uint32_t get_u32be(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* ---- pages of the database ------------------------------------------------------------------------------------------ */

static void make_seal(const unsigned char *page, uint32_t number, unsigned char out[SL_VFS_RESERVED_BYTES])
{
	unsigned char text[4] = {(unsigned char)number, (unsigned char)(number >> 8), (unsigned char)(number >> 16),
				 (unsigned char)(number >> 24)};
	uint32_t crc = sl_crc32c(sl_crc32c(0, text, sizeof text), page, USABLE);
	for (int i = 0; i < 4; i++)
		out[i] = (unsigned char)(crc >> 8 * i);
	memcpy(out + 4, MARK, sizeof MARK);
}

static int check_page(const unsigned char *page, sqlite3_int64 offset)
{
	unsigned char seal[SL_VFS_RESERVED_BYTES];
	uint32_t number = (uint32_t)(offset / PAGE) + 1;
	make_seal(page, number, seal);
	if (memcmp(seal, page + USABLE, sizeof seal) == 0)
		return SQLITE_OK;
	snprintf(fault, sizeof fault, "page %u", number);
	return SQLITE_IOERR_DATA;
}

/* SQLite reads the first 100 bytes, or a few of them, before it knows the page size; then whole pages, and of the pages of a long
 * value only as much as is wanted, past its cache. Another size comes from a header whose page size was damaged. */
static int read_page(sqlite3_file *real, void *data, int len, sqlite3_int64 offset)
{
	unsigned char page[PAGE];
	if (len <= 100 && offset + len <= 100)
		return real->pMethods->xRead(real, data, len, offset);
	if (len > PAGE || offset % PAGE) {
		snprintf(fault, sizeof fault, "page 1");
		return SQLITE_IOERR_DATA;
	}
	int rc = real->pMethods->xRead(real, len == PAGE ? data : page, PAGE, offset);
	if (rc != SQLITE_OK || len == PAGE)
		return rc == SQLITE_OK ? check_page(data, offset) : rc;
	memcpy(data, page, (size_t)len);
	return check_page(page, offset);
}

static int write_page(sqlite3_file *real, const void *data, int len, sqlite3_int64 offset)
{
	unsigned char page[PAGE];
	if (len != PAGE || offset % PAGE)
		return SQLITE_IOERR_WRITE;
	memcpy(page, data, USABLE);
	make_seal(page, (uint32_t)(offset / PAGE) + 1, page + USABLE);
	return real->pMethods->xWrite(real, page, PAGE, offset);
}

/* ---- frames of the write-ahead log ---------------------------------------------------------------------------------- */

struct wal_sum {
	uint32_t a, b;
};

static uint32_t wal_word(const unsigned char *p, bool big_endian)
{
	return big_endian ? get_u32be(p) : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* The running sum of sqlite.org/fileformat2.html#checksum_algorithm. Every 32-bit word that changes changes it. */
static void wal_add(struct wal_sum *sum, const unsigned char *data, size_t len, bool big_endian)
{
	for (const unsigned char *p = data, *end = data + len; p < end; p += 8) {
		sum->a += wal_word(p, big_endian) + sum->b;
		sum->b += wal_word(p + 4, big_endian) + sum->a;
	}
}

/* Frame n goes on with the sum that frame n-1, or the file's header, ends with. */
static int check_frame(sqlite3_file *real, const unsigned char *page, sqlite3_int64 offset)
{
	unsigned char head[WAL_HEADER], frame[FRAME_HEADER], before[8];
	sqlite3_int64 n = (offset - WAL_HEADER) / FRAME;
	int rc = real->pMethods->xRead(real, head, sizeof head, 0);
	if (rc == SQLITE_OK)
		rc = real->pMethods->xRead(real, frame, sizeof frame, offset - FRAME_HEADER);
	if (rc == SQLITE_OK && n > 0)
		rc = real->pMethods->xRead(real, before, sizeof before, offset - FRAME_HEADER - FRAME + 16);
	if (rc != SQLITE_OK)
		return rc;
	bool big_endian = head[3] & 1;
	const unsigned char *from = n > 0 ? before : head + 24;
	struct wal_sum sum = {get_u32be(from), get_u32be(from + 4)};
	wal_add(&sum, frame, 8, big_endian);
	wal_add(&sum, page, PAGE, big_endian);
	if (sum.a == get_u32be(frame + 16) && sum.b == get_u32be(frame + 20))
		return SQLITE_OK;
	snprintf(fault, sizeof fault, "page %u in write-ahead log frame %lld", get_u32be(frame), (long long)n + 1);
	return SQLITE_IOERR_DATA;
}

/* ---- writes of the log, gathered ------------------------------------------------------------------------------------ */

/* Passes on what was gathered. SQLite writes a commit's frames one behind the other, syncs, and only then tells other processes of
 * them by the shared index: what stands here before the sync is nobody's yet. */
static int flush_gathered(struct page_file *file)
{
	sqlite3_file *real = real_of(&file->base);
	size_t len = file->gathered_len;
	file->gathered_len = 0;
	return len ? real->pMethods->xWrite(real, file->gathered, (int)len, file->gathered_at) : SQLITE_OK;
}

static int write_log(struct page_file *file, const void *data, int len, sqlite3_int64 offset)
{
	int rc = SQLITE_OK;
	if (!file->gathered && !(file->gathered = sl_alloc(GATHERED_BYTES, NULL)))
		return SQLITE_NOMEM;
	bool goes_on = offset == file->gathered_at + (sqlite3_int64)file->gathered_len && file->gathered_len + (size_t)len <= GATHERED_BYTES;
	if (!goes_on)
		rc = flush_gathered(file);
	if (rc != SQLITE_OK || len > GATHERED_BYTES)
		return rc != SQLITE_OK ? rc : SQLITE_IOERR_WRITE;
	if (!file->gathered_len)
		file->gathered_at = offset;
	memcpy(file->gathered + file->gathered_len, data, (size_t)len);
	file->gathered_len += (size_t)len;
	return SQLITE_OK;
}

/* SQLite empties a log whose pages are all in the database by cutting it. A log that must grow again costs each commit's flush a
 * change of the file's size (0.1 ms more), so a header of zeros says the same: no frame is valid without one. */
static int empty_log(struct page_file *file)
{
	static const unsigned char NOTHING[WAL_HEADER];
	sqlite3_file *real = real_of(&file->base);
	sqlite3_int64 size = 0;
	file->gathered_len = 0;
	int rc = real->pMethods->xFileSize(real, &size);
	if (rc != SQLITE_OK || size > WAL_KEPT_BYTES)
		return rc != SQLITE_OK ? rc : real->pMethods->xTruncate(real, 0);
	return size ? real->pMethods->xWrite(real, NOTHING, sizeof NOTHING, 0) : SQLITE_OK;
}

/* ---- SQLite's calls ------------------------------------------------------------------------------------------------- */

static int file_read(sqlite3_file *file, void *data, int len, sqlite3_int64 offset)
{
	sqlite3_file *real = real_of(file);
	if (!((struct page_file *)file)->is_wal)
		return read_page(real, data, len, offset);
	int rc = flush_gathered((struct page_file *)file);
	rc = rc != SQLITE_OK ? rc : real->pMethods->xRead(real, data, len, offset);
	bool is_page = len == PAGE && (offset - WAL_HEADER - FRAME_HEADER) % FRAME == 0;
	return rc == SQLITE_OK && is_page ? check_frame(real, data, offset) : rc;
}

static int file_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 offset)
{
	sqlite3_file *real = real_of(file);
	if (!((struct page_file *)file)->is_wal)
		return write_page(real, data, len, offset);
	return write_log((struct page_file *)file, data, len, offset);
}

#define REAL(file, method, ...) (real_of(file)->pMethods->method(real_of(file) __VA_OPT__(, ) __VA_ARGS__))

static int file_close(sqlite3_file *f)
{
	sl_free(((struct page_file *)f)->gathered);
	return REAL(f, xClose);
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	struct page_file *file = (struct page_file *)f;
	if (file->is_wal && size == 0)
		return empty_log(file);
	int rc = flush_gathered(file);
	return rc != SQLITE_OK ? rc : REAL(f, xTruncate, size);
}

static int file_sync(sqlite3_file *f, int flags)
{
	int rc = flush_gathered((struct page_file *)f);
	return rc != SQLITE_OK ? rc : REAL(f, xSync, flags);
}

static int file_size(sqlite3_file *f, sqlite3_int64 *ret)
{
	int rc = flush_gathered((struct page_file *)f);
	return rc != SQLITE_OK ? rc : REAL(f, xFileSize, ret);
}

static int file_lock(sqlite3_file *f, int level) { return REAL(f, xLock, level); }
static int file_unlock(sqlite3_file *f, int level) { return REAL(f, xUnlock, level); }
static int file_reserved(sqlite3_file *f, int *ret) { return REAL(f, xCheckReservedLock, ret); }
static int file_control(sqlite3_file *f, int op, void *arg) { return REAL(f, xFileControl, op, arg); }
static int file_sector(sqlite3_file *f) { return REAL(f, xSectorSize); }
static int file_device(sqlite3_file *f) { return REAL(f, xDeviceCharacteristics); }
static int shm_map(sqlite3_file *f, int region, int size, int extend, void volatile **ret)
{
	return REAL(f, xShmMap, region, size, extend, ret);
}
static int shm_lock(sqlite3_file *f, int at, int n, int flags) { return REAL(f, xShmLock, at, n, flags); }
static void shm_barrier(sqlite3_file *f) { REAL(f, xShmBarrier); }
static int shm_unmap(sqlite3_file *f, int remove) { return REAL(f, xShmUnmap, remove); }

/* Version 2: shared memory, but no xFetch, which would hand out mapped pages that nobody compared. */
static const sqlite3_io_methods METHODS = {
	.iVersion = 2,
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_unlock,
	.xCheckReservedLock = file_reserved,
	.xFileControl = file_control,
	.xSectorSize = file_sector,
	.xDeviceCharacteristics = file_device,
	.xShmMap = shm_map,
	.xShmLock = shm_lock,
	.xShmBarrier = shm_barrier,
	.xShmUnmap = shm_unmap,
};

static int vfs_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *ret_flags)
{
	(void)vfs;
	/* Journals and temporary files are the unix VFS's own, in the memory that we were given. */
	if (!(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)))
		return real_vfs->xOpen(real_vfs, name, file, flags, ret_flags);
	struct page_file *ours = (struct page_file *)file;
	ours->gathered = NULL;
	ours->gathered_len = 0;
	ours->is_wal = flags & SQLITE_OPEN_WAL;
	ours->creates = flags & SQLITE_OPEN_CREATE;
	/* With CREATE the unix VFS flushes the folder with the log's first sync. Who makes a database does that; later the log is there. */
	if (ours->is_wal && !((struct page_file *)sqlite3_database_file_object(name))->creates && sl_file_exists(name))
		flags &= ~SQLITE_OPEN_CREATE;
	int rc = real_vfs->xOpen(real_vfs, name, real_of(file), flags, ret_flags);
	ours->base.pMethods = rc == SQLITE_OK ? &METHODS : NULL;
	return rc;
}

/* ---- system calls: SQLite's go through os/sys.h as all others do ------------------------------------------------------ */

/* What may only be read, by its permissions or its file system. */
static bool is_read_only(int error) { return error == EACCES || error == EPERM || error == EROFS; }

/* What SQLite cannot open for writing it opens for reading, and then never writes again. That is right where the file may only be
 * read; after a failing disk or without a free descriptor the second attempt must fail like the first one. */
static int sys_open(const char *path, int flags, int mode)
{
	static _Thread_local char failed_path[SL_PATH_MAX];
	static _Thread_local int failed;
	bool writes = (flags & O_ACCMODE) == O_RDWR;
	if (!writes && failed && strcmp(path, failed_path) == 0) {
		errno = failed;
		failed = 0;
		return -1;
	}
	failed = 0;
	int fd = sl_sys->open(path, flags, (mode_t)mode);
	if (fd < 0 && writes && errno != EINTR && !is_read_only(errno) && strlen(path) < sizeof failed_path) {
		failed = errno;
		strcpy(failed_path, path);
	}
	return fd;
}
static int sys_close(int fd) { return sl_sys->close(fd); }
static ssize_t sys_read(int fd, void *data, size_t len) { return sl_sys->read(fd, data, len); }
static ssize_t sys_write(int fd, const void *data, size_t len) { return sl_sys->write(fd, data, len); }
static ssize_t sys_pread(int fd, void *data, size_t len, off_t offset) { return sl_sys->pread(fd, data, len, offset); }
static ssize_t sys_pwrite(int fd, const void *data, size_t len, off_t offset) { return sl_sys->pwrite(fd, data, len, offset); }
static int sys_ftruncate(int fd, off_t len) { return sl_sys->ftruncate(fd, len); }
static int sys_unlink(const char *path) { return sl_sys->unlink(path); }
static int sys_stat(const char *path, struct stat *ret) { return sl_sys->stat(path, ret); }
static int sys_fstat(int fd, struct stat *ret) { return sl_sys->fstat(fd, ret); }

/* Named so by the build in place of fdatasync and fsync (CMakeLists.txt). */
int sl_sqlite_fdatasync(int fd) { return sl_sys->fdatasync(fd); }
int sl_sqlite_fsync(int fd) { return sl_sys->fsync(fd); }

static void route_calls(sqlite3_vfs *vfs)
{
	static const struct {
		const char *name;
		sqlite3_syscall_ptr call;
	} CALLS[] = {
		{"open", (sqlite3_syscall_ptr)sys_open},
		{"close", (sqlite3_syscall_ptr)sys_close},
		{"read", (sqlite3_syscall_ptr)sys_read},
		{"write", (sqlite3_syscall_ptr)sys_write},
		{"pread", (sqlite3_syscall_ptr)sys_pread},
		{"pwrite", (sqlite3_syscall_ptr)sys_pwrite},
		{"ftruncate", (sqlite3_syscall_ptr)sys_ftruncate},
		{"unlink", (sqlite3_syscall_ptr)sys_unlink},
		{"stat", (sqlite3_syscall_ptr)sys_stat},
		{"fstat", (sqlite3_syscall_ptr)sys_fstat},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(CALLS); i++)
		vfs->xSetSystemCall(vfs, CALLS[i].name, CALLS[i].call);
}

/* A copy of the unix VFS with another xOpen: its other calls look at the copy's members only, which are the same. */
static sqlite3_vfs our_vfs;

static void register_vfs(void)
{
	real_vfs = sqlite3_vfs_find("unix");
	if (!real_vfs)
		return;
	route_calls(real_vfs);
	our_vfs = *real_vfs;
	our_vfs.zName = "sluice";
	our_vfs.szOsFile += (int)sizeof(struct page_file);
	our_vfs.xOpen = vfs_open;
	sqlite3_vfs_register(&our_vfs, 0);
}

const char *sl_vfs_name(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	if (sqlite3_initialize() != SQLITE_OK)
		return NULL;
	pthread_once(&once, register_vfs);
	return real_vfs ? our_vfs.zName : NULL;
}

/* ---- checking the whole file ---------------------------------------------------------------------------------------- */

/* A page that another process's checkpoint writes at this moment can be seen half old, half new: look again for 50 ms. */
static int read_settled(sqlite3_file *file, unsigned char page[PAGE], uint32_t number)
{
	int rc = SQLITE_OK;
	for (int i = 0; i < CHECK_TRIES; i++) {
		rc = file->pMethods->xRead(file, page, PAGE, (sqlite3_int64)(number - 1) * PAGE);
		if (rc != SQLITE_IOERR_DATA)
			return rc;
		sqlite3_sleep(1);
	}
	return rc;
}

static bool all_zero(const unsigned char *page)
{
	return page[0] == 0 && memcmp(page, page + 1, PAGE - 1) == 0;
}

/* Whether the free list (sqlite.org/fileformat2.html#the_freelist) has page `number` as a leaf. `pages` bounds the walk. */
static bool is_free_leaf(sqlite3_file *file, uint32_t number, uint32_t pages)
{
	unsigned char page[PAGE];
	if (read_settled(file, page, 1) != SQLITE_OK)
		return false;
	uint32_t trunk = get_u32be(page + 32);
	for (uint32_t steps = 0; trunk > 0 && trunk <= pages && steps < pages; steps++) {
		if (read_settled(file, page, trunk) != SQLITE_OK)
			return false;
		uint32_t leaves = get_u32be(page + 4);
		for (uint32_t i = 0; i < leaves && i < USABLE / 4 - 2; i++)
			if (get_u32be(page + 8 + 4 * i) == number)
				return true;
		trunk = get_u32be(page);
	}
	return false;
}

int sl_vfs_check(sqlite3_file *file, const char *path, struct sl_error *err)
{
	const uint32_t lock_page = 0x40000000 / PAGE + 1; /* never written: SQLite's locks live there */
	unsigned char page[PAGE];
	sqlite3_int64 size;
	if (file->pMethods->xFileSize(file, &size) != SQLITE_OK)
		return sl_fail_at(err, SL_E_IO, path, "cannot tell its size");
	uint32_t pages = (uint32_t)(size / PAGE);
	for (uint32_t number = 1; number <= pages; number++) {
		int rc = number == lock_page ? SQLITE_OK : read_settled(file, page, number);
		if (rc == SQLITE_IOERR_DATA && all_zero(page) && is_free_leaf(file, number, pages))
			continue;
		if (rc == SQLITE_IOERR_DATA)
			return sl_fail_at(err, SL_E_CORRUPT, path,
					  "page %u (byte %lld) is not what was written: its checksum differs", number,
					  (long long)(number - 1) * PAGE);
		if (rc != SQLITE_OK && rc != SQLITE_IOERR_SHORT_READ)
			return sl_fail_at(err, SL_E_IO, path, "cannot read page %u: %s", number, sqlite3_errstr(rc));
	}
	if (size % PAGE)
		return sl_fail_at(err, SL_E_CORRUPT, path, "ends inside page %u: %lld bytes are not whole pages of %d", pages + 1,
				  (long long)size, PAGE);
	return 0;
}
