#include "watch/drift_sample.h"

#include <string.h>

#include "base/mem.h"
#include "data/sketch.h"

void sl_drift_sample_done(struct sl_drift_sample *sample)
{
	sl_free(sample->rows);
	sl_free(sample->keys);
	*sample = (struct sl_drift_sample){0};
}

bool sl_drift_sample_begin(struct sl_drift_sample *sample, size_t features)
{
	size_t most = features * SL_DRIFT_SAMPLE_ROWS > SL_DRIFT_SAMPLE_VALUES_MAX ? SL_DRIFT_SAMPLE_VALUES_MAX / features : SL_DRIFT_SAMPLE_ROWS;
	*sample = (struct sl_drift_sample){.features = features, .most = most};
	sample->rows = sl_alloc_array(most, features * sizeof *sample->rows + 1, NULL);
	sample->keys = sl_alloc_array(most, sizeof *sample->keys, NULL);
	return sample->rows && sample->keys;
}

static uint64_t key_of(const struct sl_drift_sample *sample) { return sl_sketch_hash(sample->seen); }

bool sl_drift_sample_wants(struct sl_drift_sample *sample)
{
	sample->seen++;
	return sample->count < sample->most || key_of(sample) < sample->keys[0];
}

static void put(struct sl_drift_sample *sample, size_t at, uint64_t key, const float *row)
{
	sample->keys[at] = key;
	memmove(sample->rows + at * sample->features, row, sample->features * sizeof *row);
}

static void copy(struct sl_drift_sample *sample, size_t to, size_t from)
{
	put(sample, to, sample->keys[from], sample->rows + from * sample->features);
}

void sl_drift_sample_keep(struct sl_drift_sample *sample, const float *row)
{
	uint64_t key = key_of(sample);
	size_t at = 0;
	if (sample->count < sample->most) {
		for (at = sample->count++; at && sample->keys[(at - 1) / 2] < key; at = (at - 1) / 2)
			copy(sample, at, (at - 1) / 2);
	} else {
		for (size_t child; (child = 2 * at + 1) < sample->count; at = child) {
			child += child + 1 < sample->count && sample->keys[child + 1] > sample->keys[child];
			if (sample->keys[child] <= key)
				break;
			copy(sample, at, child);
		}
	}
	put(sample, at, key, row);
}

float sl_drift_sample_text(const char *text, size_t len) { return (float)(sl_sketch_hash_bytes(text, len) >> 40); }
