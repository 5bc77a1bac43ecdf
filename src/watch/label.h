/* Labels: what turned out to be true, arriving later than the predictions, by the prediction's key or its id. A label set is a
 * stream "labels-<set>" (docs/formats/labels.md); its record's time is when the label became known, in event time. */
#ifndef SL_WATCH_LABEL_H
#define SL_WATCH_LABEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "base/mem.h"
#include "port/stream.h"
#include "track/store.h"

enum { SL_LABEL_KEY_MAX = 512, SL_LABEL_TEXT_MAX = 512, SL_LABELS_PER_CALL_MAX = 100000 };

struct sl_label {
	bool by_prediction;     /* key is "<prediction id>#<row>", else the endpoint's own key column */
	const char *key;
	size_t key_len;
	int64_t time_ms;        /* when it became known */
	bool is_text;
	double number;          /* 0/1, the value, or the class's number */
	const char *text;       /* a class by name; text_len bytes */
	size_t text_len;
};

/* A writer; one process at a time has it (SL_E_BUSY). */
struct sl_labels;
int sl_labels_open(struct sl_store *store, const char *set, struct sl_labels **ret, struct sl_error *err);
void sl_labels_close(struct sl_labels *labels);
/* Durable when it returns 0; all or nothing. */
int sl_labels_add(struct sl_labels *labels, const struct sl_label *items, size_t count, struct sl_error *err);

/* {"labels":[{"key":"...","value":1,"time":"2001-03-02T10:00"},{"prediction":"01J...#3","value":"late"}]}; time is optional
 * (now); a key may be a number. Errors name the element. Pieces live in `arena` and in the JSON document. */
int sl_labels_parse(yyjson_val *body, struct sl_arena *arena, const struct sl_label **ret, size_t *ret_count,
		struct sl_error *err);
/* Reads a record back; pointers go into the record. SL_E_CORRUPT when it is none. */
int sl_label_decode(const struct sl_record *record, struct sl_label *ret, struct sl_error *err);

#endif
