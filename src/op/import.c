/* import: what other tools have kept. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "data/check_gx.h"
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

static int import_checks(struct sl_call *call, struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(SL_GX_BYTES_MAX + 1), section SL_AUTO_BUF = SL_BUF_INIT(4 * SL_GX_BYTES_MAX);
	struct sl_gx_count count;
	char path[SL_PATH_MAX];
	if (!sl_call_given(call, "dataset")) {
		sl_fail(err, SL_E_INVALID, "import gx needs --dataset NAME");
		return sl_error_hint(err, "the dataset whose checks they become");
	}
	int rc = sl_call_path(call, sl_call_text(call, "file"), path, err);
	rc = rc ? rc : sl_file_read(path, &text, err);
	rc = rc ? rc : sl_gx_import(sl_buf_cstr(&text), text.len, sl_call_text(call, "file"), sl_call_text(call, "dataset"), &section, &count, err);
	if (!rc && sl_call_given(call, "out"))
		rc = write_section(call, &section, err);
	if (rc)
		return rc;
	yyjson_mut_val *result = sl_call_object(call);
	char note[128];
	snprintf(note, sizeof note, "# %zu mapped, %zu not", count.mapped, count.unmapped);
	sl_put_text(call, result, "text", sl_call_given(call, "out") ? "" : sl_buf_cstr(&section));
	sl_put_int(call, result, "mapped", (int64_t)count.mapped);
	sl_put_int(call, result, "unmapped", (int64_t)count.unmapped);
	sl_put_text(call, result, "note", note);
	return 0;
}

int sl_op_import(struct sl_call *call, struct sl_error *err)
{
	return strcmp(sl_call_text(call, "format"), "gx") == 0 ? import_checks(call, err) : sl_import_runs(call, err);
}
