/* ONNX files: refused with a reason, or found sound, by the check that stands before ONNX Runtime. */
#include <assert.h>
#include <stdint.h>

#include "backend/onnx_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sl_error err = {0};
	int rc = sl_onnx_check(data, len, &err);
	assert(rc == 0 || (rc < 0 && *err.message));
	sl_onnx_is(data, len);
	return 0;
}
