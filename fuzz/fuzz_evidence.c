/* Bundles of evidence, and the archive that they are in. What the archive's reader takes, its writer makes again, byte for byte. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/tar.h"
#include "evidence/evidence.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sl_tar tar = {.data = (const char *)data, .len = len};
	struct sl_buf made SL_AUTO_BUF = SL_BUF_INIT(1 << 26);
	struct sl_evidence_report report;
	struct sl_error err;
	int rc;
	while ((rc = sl_tar_next(&tar, &err)) == 1)
		sl_tar_add(&made, tar.name, tar.content, tar.content_len);
	if (rc == 0) {
		sl_tar_end(&made);
		assert(made.len == len && memcmp(made.data, data, len) == 0);
	}
	sl_evidence_verify((const char *)data, len, NULL, &report, &err);
	return 0;
}
