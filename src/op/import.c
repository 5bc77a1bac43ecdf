/* import: what other tools have kept. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "data/check_gx.h"
#include "data/check_tfdv.h"
#include "op/context.h"
#include "op/handlers.h"
#include "op/import_runs.h"

static int write_section(struct sl_call *call, const struct sl_buf *section, struct sl_error *err)
{
	char path[SL_PATH_MAX];
	SL_AUTO_CLOSE int fd = -1;
	int rc = sl_call_path(call, sl_call_text(call, "out"), path, err);
	rc = rc ? rc : sl_file_open(path, O_WRONLY | O_CREAT | O_EXCL, 0644, &fd, err);
	return rc ? rc : sl_file_write_all(fd, section->data, section->len, path, err);
}

/* The section for sluice.yaml, and how many of their rules are in it and not. */
static int read_checks(const struct sl_buf *text, const char *format, const char *file, const char *dataset, struct sl_buf *section, size_t counts[2],
	struct sl_error *err)
{
	struct sl_gx_count gx = {0};
	struct sl_tfdv_count tfdv = {0};
	bool suite = strcmp(format, "gx") == 0;
	int rc = suite ? sl_gx_import(sl_buf_cstr(text), text->len, file, dataset, section, &gx, err) :
			 sl_tfdv_import(sl_buf_cstr(text), text->len, file, dataset, section, &tfdv, err);
	counts[0] = suite ? gx.mapped : tfdv.mapped;
	counts[1] = suite ? gx.unmapped : tfdv.unmapped;
	return rc;
}

static int import_checks(struct sl_call *call, const char *format, struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(SL_GX_BYTES_MAX + 1), section SL_AUTO_BUF = SL_BUF_INIT(4 * SL_GX_BYTES_MAX);
	size_t counts[2];
	char path[SL_PATH_MAX];
	if (!sl_call_given(call, "dataset")) {
		sl_fail(err, SL_E_INVALID, "import %s needs --dataset NAME", format);
		return sl_error_hint(err, "the dataset whose checks they become");
	}
	int rc = sl_call_path(call, sl_call_text(call, "file"), path, err);
	rc = rc ? rc : sl_file_read(path, &text, err);
	rc = rc ? rc : read_checks(&text, format, sl_call_text(call, "file"), sl_call_text(call, "dataset"), &section, counts, err);
	if (!rc && sl_call_given(call, "out"))
		rc = write_section(call, &section, err);
	if (rc)
		return rc;
	yyjson_mut_val *result = sl_call_object(call);
	char note[128];
	snprintf(note, sizeof note, "# %zu mapped, %zu not", counts[0], counts[1]);
	sl_put_text(call, result, "text", sl_call_given(call, "out") ? "" : sl_buf_cstr(&section));
	sl_put_int(call, result, "mapped", (int64_t)counts[0]);
	sl_put_int(call, result, "unmapped", (int64_t)counts[1]);
	sl_put_text(call, result, "note", note);
	return 0;
}

int sl_op_import(struct sl_call *call, struct sl_error *err)
{
	const char *format = sl_call_text(call, "format");
	bool checks = strcmp(format, "gx") == 0 || strcmp(format, "tfdv") == 0;
	return checks ? import_checks(call, format, err) : sl_import_runs(call, err);
}
