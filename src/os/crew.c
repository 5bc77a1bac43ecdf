#include "os/crew.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include "base/mem.h"

enum { SHARE_MAX = 64 }; /* numbers taken at once: few enough that the threads end together */

struct sl_crew {
	pthread_mutex_t lock;
	pthread_cond_t begin, end;
	pthread_t threads[SL_CREW_MAX];
	int thread_count; /* started; the caller is one more */
	int next_worker;  /* under the lock: numbers given to started threads */
	unsigned round;
	int busy;
	bool stop;
	/* of the round */
	size_t count, share;
	sl_crew_work *work;
	void *context;
	atomic_size_t next;
	atomic_size_t failed_at; /* lowest number that failed; SIZE_MAX */
	struct sl_error failure; /* its words, under the lock */
};

static void note_failure(struct sl_crew *crew, size_t i, const struct sl_error *error)
{
	pthread_mutex_lock(&crew->lock);
	if (i < atomic_load(&crew->failed_at)) {
		atomic_store(&crew->failed_at, i);
		crew->failure = *error;
	}
	pthread_mutex_unlock(&crew->lock);
}

static void work_round(struct sl_crew *crew, int worker)
{
	for (;;) {
		size_t from = atomic_fetch_add(&crew->next, crew->share), to = from + crew->share;
		if (from >= crew->count || from > atomic_load(&crew->failed_at))
			return;
		for (size_t i = from; i < to && i < crew->count; i++) {
			struct sl_error error = {0};
			if (crew->work(crew->context, i, worker, &error)) {
				note_failure(crew, i, &error);
				break;
			}
		}
	}
}

static void *thread_main(void *context)
{
	struct sl_crew *crew = context;
	unsigned seen = 0;
	pthread_mutex_lock(&crew->lock);
	int worker = ++crew->next_worker;
	for (;;) {
		while (!crew->stop && crew->round == seen)
			pthread_cond_wait(&crew->begin, &crew->lock);
		if (crew->stop)
			break;
		seen = crew->round;
		pthread_mutex_unlock(&crew->lock);
		work_round(crew, worker);
		pthread_mutex_lock(&crew->lock);
		if (--crew->busy == 0)
			pthread_cond_signal(&crew->end);
	}
	pthread_mutex_unlock(&crew->lock);
	return NULL;
}

int sl_crew_new(int threads, struct sl_crew **ret, struct sl_error *err)
{
	struct sl_crew *crew = sl_alloc(sizeof *crew, err);
	if (!crew)
		return SL_E_NO_MEMORY;
	pthread_mutex_init(&crew->lock, NULL);
	pthread_cond_init(&crew->begin, NULL);
	pthread_cond_init(&crew->end, NULL);
	long wanted = threads ? threads : sysconf(_SC_NPROCESSORS_ONLN);
	wanted = wanted > SL_CREW_MAX ? SL_CREW_MAX : wanted;
	while (crew->thread_count < wanted - 1 &&
	       pthread_create(&crew->threads[crew->thread_count], NULL, thread_main, crew) == 0)
		crew->thread_count++;
	*ret = crew;
	return 0;
}

void sl_crew_free(struct sl_crew *crew)
{
	if (!crew)
		return;
	pthread_mutex_lock(&crew->lock);
	crew->stop = true;
	pthread_cond_broadcast(&crew->begin);
	pthread_mutex_unlock(&crew->lock);
	for (int i = 0; i < crew->thread_count; i++)
		pthread_join(crew->threads[i], NULL);
	pthread_cond_destroy(&crew->begin);
	pthread_cond_destroy(&crew->end);
	pthread_mutex_destroy(&crew->lock);
	sl_free(crew);
}

void sl_crew_freep(struct sl_crew **crew)
{
	sl_crew_free(*crew);
	*crew = NULL;
}

int sl_crew_size(const struct sl_crew *crew) { return crew->thread_count + 1; }

int sl_crew_run(struct sl_crew *crew, size_t count, sl_crew_work *work, void *context, struct sl_error *err)
{
	size_t share = count / (size_t)(4 * sl_crew_size(crew));
	bool alone = count < 2 || !crew->thread_count;
	pthread_mutex_lock(&crew->lock);
	crew->count = count;
	crew->share = share < 1 ? 1 : share > SHARE_MAX ? SHARE_MAX : share;
	crew->work = work;
	crew->context = context;
	atomic_store(&crew->next, 0);
	atomic_store(&crew->failed_at, SIZE_MAX);
	if (!alone) {
		crew->round++;
		crew->busy = crew->thread_count;
		pthread_cond_broadcast(&crew->begin);
	}
	pthread_mutex_unlock(&crew->lock);
	work_round(crew, 0);
	pthread_mutex_lock(&crew->lock);
	while (crew->busy)
		pthread_cond_wait(&crew->end, &crew->lock);
	pthread_mutex_unlock(&crew->lock);
	if (atomic_load(&crew->failed_at) == SIZE_MAX)
		return 0;
	if (err)
		*err = crew->failure;
	return crew->failure.code;
}
