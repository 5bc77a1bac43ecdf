/* Predictions and labels as rows, read from the segments record by record. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/str.h"
#include "op/records.h"
#include "serve/log.h"
#include "serve/plan.h"
#include "watch/label.h"

enum { READ_BYTES = 4 << 20 };

struct reading {
	struct sl_store *store;
	struct sl_lines *lines;
	const char *prefix; /* of the streams' names */
	const char *name;   /* what stands behind it */
	struct sl_arena *arena;
	sl_stream_visit *each;
};

static void add_text(struct sl_buf *out, const char *member, const char *text, size_t len)
{
	sl_buf_printf(out, "\"%s\":", member);
	sl_json_string(out, text, len);
	sl_buf_char(out, ',');
}

static void add_number(struct sl_buf *out, double value)
{
	if (isfinite(value))
		sl_buf_printf(out, "%.17g", value);
	else
		sl_buf_str(out, "null");
}

static void add_cell(struct sl_buf *out, const struct sl_cell *cell)
{
	switch (cell->kind) {
	case SL_CELL_BOOL: sl_buf_str(out, cell->b ? "true" : "false"); break;
	case SL_CELL_INT: sl_buf_printf(out, "%" PRId64, cell->i); break;
	case SL_CELL_DOUBLE: add_number(out, cell->d); break;
	case SL_CELL_TEXT: sl_json_string(out, cell->text, cell->len); break;
	case SL_CELL_NULL: sl_buf_str(out, "null"); break;
	}
}

/* ---- predictions ---------------------------------------------------------------------------------------------------- */

static void add_values(struct sl_buf *out, const struct sl_prediction *p, size_t row)
{
	const float *outputs = p->outputs + row * p->output_count;
	sl_buf_str(out, ",\"prediction\":");
	add_number(out, p->output_count ? (double)outputs[0] : NAN);
	sl_buf_str(out, ",\"outputs\":[");
	for (size_t i = 0; i < p->output_count; i++) {
		sl_buf_str(out, i ? "," : "");
		add_number(out, (double)outputs[i]);
	}
	sl_buf_str(out, "],\"inputs\":{");
	for (size_t i = 0; i < p->column_count; i++) {
		sl_buf_str(out, i ? "," : "");
		sl_json_string(out, p->columns[i].name, p->columns[i].name_len);
		sl_buf_char(out, ':');
		add_cell(out, &p->columns[i].cells[row]);
	}
	sl_buf_str(out, "}}");
}

static void add_prediction(struct sl_buf *out, const char *endpoint, const struct sl_prediction *p, size_t row)
{
	char hex[SL_HASH_HEX + 1];
	sl_buf_char(out, '{');
	add_text(out, "endpoint", endpoint, strlen(endpoint));
	add_text(out, "id", p->id.text, strlen(p->id.text));
	sl_buf_printf(out, "\"row\":%zu,\"key\":", p->first_row + row);
	if (p->keys)
		add_cell(out, &p->keys[row]);
	else
		sl_buf_str(out, "null");
	sl_buf_str(out, ",\"variant\":");
	if (p->variant)
		sl_json_string(out, p->variant, p->variant_len);
	else
		sl_buf_str(out, "null");
	sl_buf_printf(out, ",\"route\":\"%s\",\"shadow_of\":\"%s\"", p->variant ? sl_route_reason_name(p->reason) : "", p->shadow_of.text);
	sl_buf_printf(out, ",\"version\":%" PRId64 ",\"package\":\"%s\",\"received_ms\":%" PRId64 ",\"time_ms\":%" PRId64
			   ",\"latency_us\":%u",
		      p->version, sl_hash_hex(&p->package, hex), p->received_ms, p->times_ms ? p->times_ms[row] : p->received_ms,
		      p->latency_us);
	add_values(out, p, row);
}

static int each_prediction(void *context, const struct sl_record *record, struct sl_error *err)
{
	struct reading *reading = context;
	struct sl_prediction prediction;
	sl_arena_reset(reading->arena);
	int rc = sl_predlog_decode(record, reading->arena, &prediction, err);
	for (size_t row = 0; !rc && row < prediction.row_count; row++) {
		add_prediction(&reading->lines->text, reading->name, &prediction, row);
		rc = sl_lines_end(reading->lines, err);
	}
	return rc;
}

/* ---- labels --------------------------------------------------------------------------------------------------------- */

static int each_label(void *context, const struct sl_record *record, struct sl_error *err)
{
	struct reading *reading = context;
	struct sl_buf *out = &reading->lines->text;
	struct sl_label label;
	int rc = sl_label_decode(record, &label, err);
	if (rc)
		return rc;
	sl_buf_char(out, '{');
	add_text(out, "label_set", reading->name, strlen(reading->name));
	sl_buf_printf(out, "\"matched_by\":\"%s\",", label.by_prediction ? "prediction" : "key");
	add_text(out, "key", label.key, label.key_len);
	sl_buf_str(out, label.is_text ? "\"text\":" : "\"number\":");
	if (label.is_text)
		sl_json_string(out, label.text, label.text_len);
	else
		add_number(out, label.number);
	sl_buf_printf(out, ",\"time_ms\":%" PRId64 "}", label.time_ms);
	return sl_lines_end(reading->lines, err);
}

/* ---- all streams of a kind ------------------------------------------------------------------------------------------ */

static int read_stream(void *context, const char *name, const struct sl_file_info *info, struct sl_error *err)
{
	struct reading *reading = context;
	struct sl_stream *stream;
	if (!info->is_dir || !sl_str_starts(name, reading->prefix))
		return 0;
	reading->name = name + strlen(reading->prefix);
	int rc = sl_stream_open_reader(reading->store->streams_dir, name, &stream, err);
	if (rc)
		return rc == SL_E_NOT_FOUND ? 0 : rc;
	int64_t begin = sl_stream_begin_offset(stream), end = sl_stream_end_offset(stream), next;
	for (int64_t at = end - SL_RECORD_ROWS_MAX > begin ? end - SL_RECORD_ROWS_MAX : begin; !rc && at < end; at = next)
		rc = sl_stream_read(stream, at, READ_BYTES, reading->each, reading, &next, err);
	sl_stream_close(stream);
	return rc;
}

static int read_streams(struct sl_store *store, struct sl_lines *lines, const char *prefix, sl_stream_visit *each, struct sl_error *err)
{
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, err);
	struct reading reading = {.store = store, .lines = lines, .prefix = prefix, .arena = arena, .each = each};
	if (!arena)
		return SL_E_NO_MEMORY;
	return sl_dir_exists(store->streams_dir) ? sl_dir_each(store->streams_dir, read_stream, &reading, err) : 0;
}

int sl_record_predictions(struct sl_store *store, struct sl_lines *lines, struct sl_error *err)
{
	return read_streams(store, lines, "predictions-", each_prediction, err);
}

int sl_record_labels(struct sl_store *store, struct sl_lines *lines, struct sl_error *err)
{
	return read_streams(store, lines, "labels-", each_label, err);
}
