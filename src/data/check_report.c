/* A report's end: as text, as an error, as versions and rows of the store. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "data/check.h"
#include "data/engine.h"
#include "data/profile.h"
#include "ledger/rows.h"

enum { ROWS_PRINTED = 5 };

/* ---- text
 * ----------------------------------------------------------------------------------------------------------------------- */

static void text_row(yyjson_val *row, struct sl_buf *out)
{
	yyjson_obj_iter iter = yyjson_obj_iter_with(yyjson_obj_get(row, "values"));
	yyjson_val *key;
	char number[32];
	bool first = true;

	if (yyjson_obj_get(row, "row"))
		sl_buf_printf(out, "    row %s:", sl_grouped(yyjson_get_uint(yyjson_obj_get(row, "row")), number));
	else
		sl_buf_str(out, "   ");
	while ((key = yyjson_obj_iter_next(&iter))) {
		yyjson_val *value = yyjson_obj_iter_get_val(key);
		sl_buf_printf(out, "%s %s=", first ? "" : ",", yyjson_get_str(key));
		first = false;
		if (yyjson_is_str(value)) {
			sl_buf_str(out, yyjson_get_str(value));
		} else {
			SL_AUTO_BUF struct sl_buf json = SL_BUF_INIT(1 << 20);
			sl_json_canonical(value, &json, NULL);
			sl_buf_str(out, sl_buf_cstr(&json));
		}
	}
	sl_buf_char(out, '\n');
}

static void text_rows(const struct sl_check_result *result, struct sl_buf *out)
{
	yyjson_doc *doc = yyjson_read(result->rows, strlen(result->rows), 0);
	yyjson_val *row;
	size_t i, count;

	yyjson_arr_foreach(yyjson_doc_get_root(doc), i, count, row)
		if (i < ROWS_PRINTED)
			text_row(row, out);
	yyjson_doc_free(doc);
}

static void text_result(const struct sl_check_report *report, const struct sl_check_result *result, struct sl_buf *out)
{
	char rows[32];

	if (result->state == SL_CHECK_PASSED && !result->quarantined)
		return;
	if (result->state == SL_CHECK_PASSED) {
		sl_buf_printf(out,
			      report->quarantine.file_count
				      ? "note: dataset '%s': check %s put %s row%s aside in %s.quarantine\n"
				      : "note: dataset '%s': check %s would put %s row%s aside in %s.quarantine\n",
			      report->dataset, result->name, sl_grouped(result->quarantined, rows),
			      result->quarantined == 1 ? "" : "s", report->dataset);
		return;
	}
	sl_buf_printf(out, "%s: dataset '%s': check %s failed: %s\n", result->state == SL_CHECK_FAILED ? "error" : "warning",
		      report->dataset, result->name, result->message);
	text_rows(result, out);
	if (*result->sql)
		sl_buf_printf(out, "  hint: all of them: %s\n", result->sql);
}

void sl_check_report_text(const struct sl_check_report *report, struct sl_buf *out)
{
	size_t failed = 0, warned = 0;
	char rows[32], clean[32], aside[32];

	for (size_t i = 0; i < report->count; i++) {
		text_result(report, &report->results[i], out);
		failed += report->results[i].state == SL_CHECK_FAILED;
		warned += report->results[i].state == SL_CHECK_WARNED;
	}
	sl_buf_printf(out, "%s: %zu checks, %zu failed, %zu warned; %s rows", report->dataset, report->count, failed, warned,
		      sl_grouped(report->rows, rows));
	if (report->quarantined_rows)
		sl_buf_printf(out, ", %s stay, %s put aside", sl_grouped(report->clean_rows, clean),
			      sl_grouped(report->quarantined_rows, aside));
	sl_buf_char(out, '\n');
}

int sl_check_report_error(const struct sl_check_report *report, struct sl_error *err)
{
	for (size_t i = 0; i < report->count; i++) {
		const struct sl_check_result *result = &report->results[i];
		if (result->state != SL_CHECK_FAILED)
			continue;
		sl_fail(err, SL_E_FAILED, "dataset '%s': check %s failed: %s", report->dataset, result->name, result->message);
		return *result->sql ? sl_error_hint(err, "all of them: %s", result->sql) : SL_E_FAILED;
	}
	return 0;
}

/* ---- the store
 * -------------------------------------------------------------------------------------------------------------------- */

int sl_checked_keep(struct sl_objects *objects, const struct sl_check_report *report, struct sl_arena *arena,
		    struct sl_checked *ret, struct sl_error *err)
{
	*ret = (struct sl_checked){.has_quarantine = report->quarantine.file_count != 0};
	int rc = sl_manifest_keep(objects, &report->clean, SL_PUT_MOVE, arena, &ret->hash, &ret->manifest, err);

	if (rc < 0 || !ret->has_quarantine)
		return rc;
	return sl_manifest_keep(objects, &report->quarantine, SL_PUT_MOVE, arena, &ret->quarantine_hash, &ret->quarantine, err);
}

static int record_result(struct sl_track *track, const char *dataset, const char *hex, const struct sl_check_result *result,
			 const struct sl_id *run, int64_t *ret_seq, struct sl_error *err)
{
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	SL_AUTO_BUF struct sl_buf json = SL_BUF_INIT(64 << 20);
	yyjson_mut_val *value = doc ? sl_check_result_json(doc, result) : NULL;

	if (!value)
		return sl_fail_memory(err);
	int rc = sl_json_mut_canonical(value, &json, err);
	if (rc < 0 || (rc = sl_meta_int(track->meta, 1, ret_seq, err, "SELECT COALESCE(MAX(seq), 0) + 1 FROM check_result", "")) < 0)
		return rc;
	int64_t changed = sl_meta_exec(
		track->meta, err,
		"INSERT INTO check_result(seq, run, dataset, hash, check_name, severity, passed, failing_rows, result) "
		"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
		"isssssiis", *ret_seq, run->text, dataset, hex, result->name, result->severity,
		(int64_t)(result->state == SL_CHECK_PASSED), (int64_t)result->failing, sl_buf_cstr(&json));
	return changed < 0 ? (int)changed : 0;
}

/* An entry answers for at most so many rows; more results get more entries. */
static int cover_results(struct sl_track *track, const char *subject, yyjson_mut_doc *doc, yyjson_mut_val *detail, int64_t first,
			 int64_t count, struct sl_error *err)
{
	const char *action = "check";
	int rc = 0;

	for (int64_t i = 0; i < count && rc == 0; i++) {
		if (i && i % SL_ROWS_PER_ENTRY == 0) {
			rc = sl_ledger_append(track->ledger, action, subject, detail, NULL, err);
			action = "check.more";
			detail = yyjson_mut_obj(doc);
		}
		if (rc == 0)
			rc = detail ? sl_ledger_cover(track->ledger, doc, detail, "check_result", err, "i", first + i)
				    : sl_fail_memory(err);
	}
	if (rc < 0)
		return rc;
	return sl_ledger_append(track->ledger, action, subject, detail, NULL, err);
}

int sl_check_record(struct sl_track *track, const struct sl_check_report *report, const struct sl_hash *hash,
		    const struct sl_id *run, struct sl_error *err)
{
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *detail = doc ? yyjson_mut_obj(doc) : NULL, *failed = doc ? yyjson_mut_arr(doc) : NULL;
	char hex[SL_HASH_HEX + 1] = "", subject[SL_NAME_MAX + 16];
	int64_t last = 0;
	int rc = 0;

	if (!report->count)
		return 0;
	if (hash)
		sl_hash_hex(hash, hex);
	for (size_t i = 0; i < report->count && rc == 0; i++) {
		rc = record_result(track, report->dataset, hex, &report->results[i], run, &last, err);
		/* A ledger entry has a bound; the rest of the names stands in check_result. */
		if (report->results[i].state == SL_CHECK_FAILED && yyjson_mut_arr_size(failed) < 100)
			yyjson_mut_arr_add_strcpy(doc, failed, report->results[i].name);
	}
	if (rc < 0)
		return rc;
	snprintf(subject, sizeof subject, "dataset:%s", report->dataset);
	if (!detail || !yyjson_mut_obj_add_str(doc, detail, "version", hex)
	    || !yyjson_mut_obj_add_uint(doc, detail, "checks", report->count)
	    || !yyjson_mut_obj_add_val(doc, detail, "failed", failed)
	    || !yyjson_mut_obj_add_uint(doc, detail, "rows", report->rows)
	    || !yyjson_mut_obj_add_uint(doc, detail, "quarantined", report->quarantined_rows)
	    || !yyjson_mut_obj_add_str(doc, detail, "run", run->text))
		return sl_fail_memory(err);
	return cover_results(track, subject, doc, detail, last - (int64_t)report->count + 1, (int64_t)report->count, err);
}

int sl_checked_commit(struct sl_track *track, const char *dataset, const struct sl_checked *checked,
		      const struct sl_check_report *report, const struct sl_id *run, bool *ret_changed, struct sl_error *err)
{
	char aside[SL_NAME_MAX + 16];
	int rc = sl_dataset_commit(track, dataset, &checked->hash, &checked->manifest, run, err);

	if (rc < 0)
		return rc;
	*ret_changed = rc == 0;
	if (*report->profile && (rc = sl_profile_keep(track->meta, &checked->hash, report->profile, err)) < 0)
		return rc;
	if ((rc = sl_run_output(track, run, "dataset", dataset, &checked->hash, err)) < 0)
		return rc;
	if (checked->has_quarantine) {
		snprintf(aside, sizeof aside, "%s.quarantine", dataset);
		if ((rc = sl_dataset_commit(track, aside, &checked->quarantine_hash, &checked->quarantine, run, err)) < 0
		    || (rc = sl_run_output(track, run, "dataset", aside, &checked->quarantine_hash, err)) < 0)
			return rc;
	}
	return sl_check_record(track, report, &checked->hash, run, err);
}
