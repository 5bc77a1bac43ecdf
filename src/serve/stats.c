#include "serve/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "os/file.h"
#include "os/sys.h"

const char *const sl_stats_phase_names[SL_STATS_PHASES] = {"parse", "queue", "compute", "write", "request"};
const uint32_t sl_stats_bounds_us[SL_STATS_BUCKETS - 1] = {
	5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 50000, 100000, 500000, 2500000};
const uint16_t sl_stats_statuses[SL_STATS_STATUS_MAX] = {
	200, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 500, 503, 507, 0};

struct sl_stats {
	struct sl_stats_file *file;
	uint64_t server_base[SL_STATS_SERVER_MAX];
};

/* One writer, so an addition needs no lock; the store is whole for readers. */
void sl_stats_add(uint64_t *counter, uint64_t count)
{
	__atomic_store_n(counter, *counter + count, __ATOMIC_RELAXED);
}

void sl_stats_status(struct sl_stats_series *series, int status)
{
	size_t i = 0;
	if (!series)
		return;
	while (sl_stats_statuses[i] && sl_stats_statuses[i] != status)
		i++;
	sl_stats_add(&series->status[i], 1);
}

void sl_stats_time(struct sl_stats_series *series, enum sl_stats_phase phase, int64_t duration_ns)
{
	struct sl_stats_histogram *h = &series->phases[phase];
	uint64_t ns = duration_ns > 0 ? (uint64_t)duration_ns : 0;
	size_t i = 0;
	while (i < SL_STATS_BUCKETS - 1 && ns > sl_stats_bounds_us[i] * 1000ULL)
		i++;
	sl_stats_add(&h->buckets[i], 1);
	sl_stats_add(&h->sum_ns, ns);
}

void sl_stats_server(struct sl_stats *stats, const uint64_t *values, size_t count)
{
	for (size_t i = 0; i < count && i < SL_STATS_SERVER_MAX; i++)
		__atomic_store_n(&stats->file->server[i], stats->server_base[i] + values[i], __ATOMIC_RELAXED);
}

/* ---- the file ---- */

static bool is_ours(const struct sl_stats_file *file)
{
	return memcmp(file->magic, SL_STATS_MAGIC, sizeof file->magic) == 0 && file->file_bytes == sizeof *file &&
	       file->count <= SL_STATS_SERIES_MAX;
}

/* NULL: not there, not ours, or not to be mapped. */
static struct sl_stats_file *map_file(const char *path, int protection)
{
	struct stat st;
	void *at = MAP_FAILED;
	int fd = sl_sys->open(path, protection & PROT_WRITE ? O_RDWR | O_CLOEXEC : O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return NULL;
	if (sl_sys->fstat(fd, &st) == 0 && st.st_size == (off_t)sizeof(struct sl_stats_file))
		at = sl_sys->mmap(NULL, sizeof(struct sl_stats_file), protection, MAP_SHARED, fd, 0);
	sl_sys->close(fd);
	if (at == MAP_FAILED)
		return NULL;
	if (is_ours(at))
		return at;
	sl_sys->munmap(at, sizeof(struct sl_stats_file));
	return NULL;
}

/* A new file takes the old one's name, so that who has the old one mapped keeps whole pages under it. */
static int make_file(const char *path, struct sl_error *err)
{
	struct sl_stats_file *file = sl_alloc(sizeof *file, err);
	if (!file)
		return SL_E_NO_MEMORY;
	memcpy(file->magic, SL_STATS_MAGIC, sizeof file->magic);
	file->file_bytes = sizeof *file;
	int rc = sl_file_replace(path, file, sizeof *file, 0600, err);
	sl_free(file);
	return rc;
}

int sl_stats_open(const char *store_dir, struct sl_stats **ret, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	struct sl_stats *stats = sl_alloc(sizeof *stats, err);
	if (!stats)
		return SL_E_NO_MEMORY;
	int rc = sl_path_join(path, store_dir, SL_STATS_FILE, err);
	if (!rc && !(stats->file = map_file(path, PROT_READ | PROT_WRITE)))
		rc = make_file(path, err);
	if (!rc && !stats->file && !(stats->file = map_file(path, PROT_READ | PROT_WRITE)))
		rc = sl_fail_errno(err, errno, path, "cannot map the counters");
	if (rc) {
		sl_free(stats);
		return rc;
	}
	memcpy(stats->server_base, stats->file->server, sizeof stats->server_base);
	*ret = stats;
	return 0;
}

void sl_stats_close(struct sl_stats *stats)
{
	if (!stats)
		return;
	sl_sys->munmap(stats->file, sizeof *stats->file);
	sl_free(stats);
}

static struct sl_stats_series *find(struct sl_stats_file *file, const char *endpoint, const char *version)
{
	for (size_t i = 0; i < file->count; i++)
		if (strncmp(file->series[i].endpoint, endpoint, sizeof file->series[i].endpoint) == 0 &&
		    strncmp(file->series[i].version, version, sizeof file->series[i].version) == 0)
			return &file->series[i];
	return NULL;
}

static struct sl_stats_series *add(struct sl_stats_file *file, const char *endpoint, const char *version)
{
	struct sl_stats_series *series = &file->series[file->count];
	*series = (struct sl_stats_series){0};
	snprintf(series->endpoint, sizeof series->endpoint, "%s", endpoint);
	snprintf(series->version, sizeof series->version, "%s", version);
	__atomic_store_n(&file->count, file->count + 1, __ATOMIC_RELEASE);
	return series;
}

struct sl_stats_series *sl_stats_series(struct sl_stats *stats, const char *endpoint, const char *version)
{
	struct sl_stats_file *file = stats->file;
	struct sl_stats_series *series = find(file, endpoint, version);
	if (series)
		return series;
	if (file->count < SL_STATS_SERIES_MAX - 1)
		return add(file, endpoint, version);
	series = find(file, endpoint, "other");
	if (series)
		return series;
	series = find(file, "other", "other");
	return series ? series : add(file, "other", "other");
}

int sl_stats_read(const char *store_dir, struct sl_stats_file **ret, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	int rc = sl_path_join(path, store_dir, SL_STATS_FILE, err);
	if (rc)
		return rc;
	struct sl_stats_file *mapped = map_file(path, PROT_READ);
	if (!mapped)
		return sl_fail_at(err, SL_E_NOT_FOUND, path, "no predictions were counted here");
	struct sl_stats_file *copy = sl_alloc(sizeof *copy, err);
	uint64_t count = __atomic_load_n(&mapped->count, __ATOMIC_ACQUIRE);
	if (copy) {
		memcpy(copy, mapped, offsetof(struct sl_stats_file, series));
		copy->count = count < SL_STATS_SERIES_MAX ? count : SL_STATS_SERIES_MAX;
		memcpy(copy->series, mapped->series, copy->count * sizeof copy->series[0]);
	}
	sl_sys->munmap(mapped, sizeof *mapped);
	*ret = copy;
	return copy ? 0 : SL_E_NO_MEMORY;
}
