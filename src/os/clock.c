#include "os/clock.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "os/sys.h"

int64_t sl_now_ms(void) { return sl_sys->realtime_ns() / 1000000; }
int64_t sl_monotonic_ns(void) { return sl_sys->monotonic_ns(); }

int64_t sl_processor_ns(void)
{
	struct timespec used = {0};
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used); /* never fails for one's own thread */
	return (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
}

int sl_random(void *data, size_t len, struct sl_error *err)
{
	if (sl_sys->random(data, len) == 0)
		return 0;
	return sl_fail_errno(err, errno, "getrandom", "no random bytes");
}

int sl_id_new(struct sl_id *ret, struct sl_error *err)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static int64_t last_ms;
	static unsigned char last[10];
	int rc = 0;
	pthread_mutex_lock(&lock);
	int64_t now = sl_now_ms();
	if (now > last_ms) {
		rc = sl_random(last, sizeof last, err);
		last[0] &= 0x7f; /* room to count up within the millisecond */
		last_ms = rc ? last_ms : now;
	} else { /* same millisecond, or the clock went back: count up */
		int i = sizeof last - 1;
		while (i >= 0 && ++last[i] == 0)
			i--;
	}
	if (!rc)
		sl_id_make(last_ms, last, ret);
	pthread_mutex_unlock(&lock);
	return rc;
}

void sl_pause(int64_t duration_ms)
{
	const struct timespec pause = {.tv_sec = duration_ms / 1000, .tv_nsec = duration_ms % 1000 * 1000000};
	nanosleep(&pause, NULL);
}
