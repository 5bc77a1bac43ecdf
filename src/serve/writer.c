#include "serve/writer.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "os/clock.h"

enum { HASHED_DIGITS = 32, KEY_BYTES = 32 };
enum rule { LOG_PLAIN, LOG_HASHED, LOG_DROPPED };

struct sl_predlog {
	const struct sl_endpoint *spec;
	struct sl_stream *stream;
	struct sl_buf value;               /* kept from record to record */
	unsigned char key[KEY_BYTES];      /* of hashed columns */
};

/* ---- the key of hashed columns: one per store, made when the first column asks for it ---- */

static int read_key(const char *path, unsigned char key[KEY_BYTES], struct sl_error *err)
{
	struct sl_buf bytes SL_AUTO_BUF = SL_BUF_INIT(KEY_BYTES + 1);
	int rc = sl_file_read(path, &bytes, err);
	if (rc)
		return rc;
	if (bytes.len != KEY_BYTES)
		return sl_fail_at(err, SL_E_CORRUPT, path, "is %zu bytes long, not %d", bytes.len, KEY_BYTES);
	memcpy(key, bytes.data, KEY_BYTES);
	return 0;
}

static int get_key(struct sl_store *store, unsigned char key[KEY_BYTES], struct sl_error *err)
{
	char dir[SL_PATH_MAX], path[SL_PATH_MAX];
	int rc = sl_path_join(dir, store->dir, "key", err);
	if (!rc)
		rc = sl_path_join(path, dir, "log.key", err);
	if (rc || sl_file_exists(path))
		return rc ? rc : read_key(path, key, err);
	rc = sl_dir_make(dir, err);
	if (!rc)
		rc = sl_random(key, KEY_BYTES, err);
	return rc ? rc : sl_file_replace(path, key, KEY_BYTES, 0600, err);
}

int sl_predlog_open(struct sl_store *store, const struct sl_endpoint *endpoint, struct sl_predlog **ret, struct sl_error *err)
{
	char name[160];
	struct sl_predlog *log = sl_alloc(sizeof *log, err);
	if (!log)
		return SL_E_NO_MEMORY;
	log->spec = endpoint;
	sl_buf_init(&log->value, SL_PREDLOG_VALUE_MAX);
	sl_predlog_name(endpoint->name, name);
	int rc = endpoint->log_hash.count ? get_key(store, log->key, err) : 0;
	if (!rc)
		rc = sl_stream_open_writer(store->streams_dir, name, NULL, &log->stream, err);
	if (rc) {
		sl_predlog_close(log);
		return rc;
	}
	*ret = log;
	return 0;
}

void sl_predlog_close(struct sl_predlog *log)
{
	if (!log)
		return;
	sl_stream_close(log->stream);
	sl_buf_done(&log->value);
	sl_free(log);
}

/* ---- one request ---- */

static bool listed(const struct sl_names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->items[i], name) == 0)
			return true;
	return false;
}

static enum rule rule_of(const struct sl_predlog *log, const char *column)
{
	if (listed(&log->spec->log_drop, column))
		return LOG_DROPPED;
	return listed(&log->spec->log_hash, column) ? LOG_HASHED : LOG_PLAIN;
}

/* Text as it was; numbers in their usual digits, so that 5 and "5" hash alike. */
static int hash_cell(const struct sl_predlog *log, const struct sl_cell *cell, struct sl_arena *arena, struct sl_cell *ret,
		     struct sl_error *err)
{
	char number[40], hex[SL_HASH_HEX + 1];
	const char *text = number;
	size_t len;
	struct sl_hash hash;
	*ret = *cell;
	switch (cell->kind) {
	case SL_CELL_NULL:
		return 0;
	case SL_CELL_TEXT:
		text = cell->text;
		len = cell->len;
		break;
	case SL_CELL_INT:
		len = (size_t)snprintf(number, sizeof number, "%lld", (long long)cell->i);
		break;
	case SL_CELL_DOUBLE:
		len = (size_t)snprintf(number, sizeof number, "%.17g", cell->d);
		break;
	default:
		len = (size_t)snprintf(number, sizeof number, "%s", cell->b ? "true" : "false");
	}
	sl_hmac_sha256(log->key, KEY_BYTES, text, len, &hash);
	sl_hash_hex(&hash, hex);
	*ret = (struct sl_cell){.kind = SL_CELL_TEXT, .len = HASHED_DIGITS, .text = sl_arena_strndup(arena, hex, HASHED_DIGITS)};
	return ret->text ? 0 : sl_fail_memory(err);
}

/* The cells of a slot as its rule lets them be logged. */
static int logged_cells(const struct sl_predlog *log, const struct sl_inputs *rows, size_t slot, enum rule rule,
			const struct sl_cell **ret,
			struct sl_error *err)
{
	const struct sl_cell *cells = rows->cells + slot * rows->count;
	*ret = cells;
	if (rule != LOG_HASHED)
		return 0;
	struct sl_cell *hashed = sl_arena_array(rows->arena, rows->count, sizeof *hashed);
	if (!hashed)
		return sl_fail_memory(err);
	for (size_t row = 0; row < rows->count; row++) {
		int rc = hash_cell(log, &cells[row], rows->arena, &hashed[row], err);
		if (rc)
			return rc;
	}
	*ret = hashed;
	return 0;
}

/* The features of the version that answered `row`, and the keys. */
static int fill_columns(const struct sl_predlog *log, struct sl_inputs *rows, size_t row, struct sl_prediction *p, struct sl_error *err)
{
	const struct sl_served *served = rows->served;
	const struct sl_plan_variant *variant = served->plan ? &served->plan->variants[rows->variants[row]] : NULL;
	size_t features = (variant ? variant->served : served)->package.feature_count;
	struct sl_logged_column *columns = sl_arena_array(rows->arena, features + 1, sizeof *columns);
	if (!columns)
		return sl_fail_memory(err);
	p->column_count = 0;
	for (size_t f = 0; f < features; f++) {
		struct sl_logged_column *column = &columns[p->column_count];
		size_t slot = variant ? variant->slots[f] : served->feature_slots ? served->feature_slots[f] : f;
		enum rule rule = rule_of(log, served->slots[slot]);
		if (rule == LOG_DROPPED)
			continue;
		*column = (struct sl_logged_column){.name = served->slots[slot], .name_len = served->slot_lens[slot],
			.hashed = rule == LOG_HASHED};
		int rc = logged_cells(log, rows, slot, rule, &column->cells, err);
		if (rc)
			return rc;
		p->column_count++;
	}
	p->columns = columns;
	if (served->key_slot == SIZE_MAX || !rows->given[served->key_slot])
		return 0;
	enum rule rule = rule_of(log, served->slots[served->key_slot]);
	return rule == LOG_DROPPED ? 0 : logged_cells(log, rows, served->key_slot, rule, &p->keys, err);
}

static int64_t newest_time(const struct sl_prediction *p)
{
	int64_t newest_ms = p->received_ms;
	for (size_t row = 0; p->times_ms && row < p->row_count; row++)
		if (!row || p->times_ms[row] > newest_ms)
			newest_ms = p->times_ms[row];
	return newest_ms;
}

static int append_one(struct sl_predlog *log, const struct sl_prediction *p, struct sl_error *err)
{
	int64_t offset;
	sl_buf_clear(&log->value);
	int rc = sl_predlog_encode(p, &log->value, err);
	if (rc)
		return rc;
	struct sl_record record = {.time_ms = newest_time(p), .key = p->id.text, .key_len = SL_ID_LEN, .value = log->value.data,
		.value_len = log->value.len};
	return sl_stream_append(log->stream, &record, 1, &offset, err);
}

/* Rows [first, first + count) of the request, in as many records as it takes. */
static int append_rows(struct sl_predlog *log, const struct sl_prediction *whole, struct sl_logged_column *columns, size_t first,
		       size_t count,
		       struct sl_error *err)
{
	struct sl_prediction p = *whole;
	for (size_t c = 0; c < p.column_count; c++) {
		columns[c] = whole->columns[c];
		columns[c].cells += first;
	}
	p.columns = columns;
	p.first_row = first;
	p.row_count = count;
	p.keys = p.keys ? p.keys + first : NULL;
	p.times_ms = p.times_ms ? p.times_ms + first : NULL;
	p.outputs += first * p.output_count;
	p.explained = p.explained ? p.explained + first * p.margins * (p.column_count + 1) : NULL;
	int rc = append_one(log, &p, err);
	if (rc != SL_E_TOO_LARGE || count == 1)
		return rc;
	rc = append_rows(log, whole, columns, first, count / 2, err);
	return rc ? rc : append_rows(log, whole, columns, first + count / 2, count - count / 2, err);
}

/* SHAP values of the columns that are logged: what one that is left out added to the answer is left out, too. */
static int take_explained(const struct sl_predlog *log, struct sl_inputs *rows, const struct sl_served *answered, struct sl_prediction *p,
			  struct sl_error *err)
{
	const struct sl_package *package = &answered->package;
	const float *from = rows->explained;
	size_t sums = rows->count * rows->margins;
	if (!from)
		return 0;
	float *to = sl_arena_array(rows->arena, sums * (p->column_count + 1), sizeof *to);
	if (!to)
		return sl_fail_memory(err);
	p->explained = to;
	p->margins = rows->margins;
	for (size_t i = 0; i < sums; i++, from++) {
		for (size_t f = 0; f < package->feature_count; f++, from++)
			if (rule_of(log, package->features[f].name) != LOG_DROPPED)
				*to++ = *from;
		*to++ = *from;
	}
	return 0;
}

/* The dataset versions that the answer was made with. */
static int name_lookups(struct sl_inputs *rows, const struct sl_served *answered, struct sl_prediction *p, struct sl_error *err)
{
	struct sl_logged_lookup *lookups = answered->lookup_count ? sl_arena_array(rows->arena, answered->lookup_count, sizeof *lookups) : NULL;
	if (answered->lookup_count && !lookups)
		return sl_fail_memory(err);
	for (size_t i = 0; i < answered->lookup_count; i++) {
		const struct sl_served_lookup *lookup = &answered->looked_up[i];
		lookups[i] = (struct sl_logged_lookup){.dataset = lookup->spec->from, .dataset_len = strlen(lookup->spec->from),
						       .version = *sl_lookup_table_version(rows->tables[lookup->place])};
	}
	p->lookups = lookups;
	p->lookup_count = answered->lookup_count;
	return 0;
}

/* Rows [first, first + count), which one version answered. */
static int append_run(struct sl_predlog *log, struct sl_inputs *rows, const struct sl_prediction *whole, size_t first, size_t count,
		      struct sl_error *err)
{
	struct sl_prediction p = *whole;
	const struct sl_served *answered = rows->served;
	if (rows->served->plan) {
		const struct sl_plan_variant *variant = &rows->served->plan->variants[rows->variants[first]];
		answered = variant->served;
		p.variant = variant->spec->name;
		p.variant_len = strlen(p.variant);
		p.reason = rows->reasons[first];
		p.meant = rows->served->plan->variants[rows->meant[first]].spec->name;
		p.meant_len = strlen(p.meant);
	}
	p.version = answered->version;
	p.package = answered->package.hash;
	p.output_count = answered->package.output_count;
	int rc = fill_columns(log, rows, first, &p, err);
	rc = rc ? rc : name_lookups(rows, answered, &p, err);
	rc = rc ? rc : take_explained(log, rows, answered, &p, err);
	if (rc)
		return rc;
	if (first == 0 && count == rows->count) {
		p.row_count = count;
		rc = append_one(log, &p, err);
		if (rc != SL_E_TOO_LARGE || count == 1)
			return rc;
	}
	struct sl_logged_column *columns = sl_arena_array(rows->arena, p.column_count + 1, sizeof *columns);
	return columns ? append_rows(log, &p, columns, first, count, err) : sl_fail_memory(err);
}

static bool same_route(const struct sl_inputs *rows, size_t a, size_t b)
{
	return !rows->served->plan || (rows->variants[a] == rows->variants[b] && rows->reasons[a] == rows->reasons[b] &&
					rows->meant[a] == rows->meant[b]);
}

static int append(struct sl_predlog *log, struct sl_inputs *rows, const struct sl_prediction *whole, struct sl_error *err)
{
	enum { KEEP_BYTES = 256 * 1024 };
	int rc = 0;
	for (size_t first = 0, end; !rc && first < rows->count; first = end) {
		for (end = first + 1; end < rows->count && same_route(rows, first, end);)
			end++;
		rc = append_run(log, rows, whole, first, end - first, err);
	}
	if (log->value.cap > KEEP_BYTES)
		sl_buf_done(&log->value);
	return rc;
}

int sl_predlog_append(struct sl_predlog *log, struct sl_inputs *rows, const struct sl_id *id, const int64_t *times_ms,
		      uint32_t latency_us,
		      struct sl_error *err)
{
	struct sl_prediction whole = {.id = *id, .received_ms = sl_id_time_ms(id), .latency_us = latency_us, .times_ms = times_ms,
		.outputs = rows->outputs};
	return append(log, rows, &whole, err);
}

int sl_predlog_append_shadow(struct sl_predlog *log, struct sl_inputs *rows, const struct sl_id *id, const int64_t *times_ms,
			     uint32_t latency_us, const struct sl_id *of, struct sl_error *err)
{
	struct sl_prediction whole = {.id = *id, .received_ms = sl_id_time_ms(id), .latency_us = latency_us, .times_ms = times_ms,
		.outputs = rows->outputs, .shadow_of = *of};
	return append(log, rows, &whole, err);
}

/* ---- what waits for the disk ---- */

static int enter_seal(void *context, const char *stream, int64_t base_offset, int64_t end_offset, const struct sl_hash *digest,
		      struct sl_error *err)
{
	struct sl_store *store = context;
	char hex[SL_HASH_HEX + 1], subject[200];
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *detail = doc ? yyjson_mut_obj(doc) : NULL;
	if (!detail || !yyjson_mut_obj_add_int(doc, detail, "base_offset", base_offset) || !yyjson_mut_obj_add_int(doc, detail,
		"end_offset", end_offset) ||
	    !yyjson_mut_obj_add_strcpy(doc, detail, "sha256", sl_hash_hex(digest, hex)))
		return sl_fail_memory(err);
	snprintf(subject, sizeof subject, "stream:%s", stream);
	int rc = sl_meta_begin(store->meta, err);
	if (rc)
		return rc;
	rc = sl_ledger_append(store->ledger, "stream.seal", subject, detail, NULL, err);
	if (rc)
		sl_meta_rollback(store->meta);
	return rc ? rc : sl_meta_commit(store->meta, err);
}

int sl_predlog_maintain(struct sl_store *store, const struct sl_project *project, struct sl_error *err)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < project->endpoint_count; i++) {
		const struct sl_endpoint *endpoint = &project->endpoints[i];
		struct sl_stream_options options = {
			.retain_bytes = endpoint->retain_bytes, .retain_ms = endpoint->retain_ms, .on_seal = enter_seal,
				.context = store};
		char name[160];
		sl_predlog_name(endpoint->name, name);
		rc = sl_stream_maintain(store->streams_dir, name, &options, err);
	}
	return rc;
}
