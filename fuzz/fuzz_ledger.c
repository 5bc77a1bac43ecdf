/* What the ledger reads back: checkpoints and keys. A checkpoint that is taken is, signed again, taken again with the same content. */
#include <assert.h>
#include <string.h>

#include "ledger/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const unsigned char secret[SL_SIGN_KEY] = {7};
	struct sl_error err;
	struct sl_ledger_key key, read_key;
	struct sl_checkpoint once, twice;
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(1 << 16);

	int made = sl_ledger_key_make("sluice/fuzz", secret, &key, &err);
	assert(made == 0);
	sl_ledger_key_read((const char *)data, len, "input", &read_key, &err);
	if (sl_checkpoint_read((const char *)data, len, &key, "input", &once, &err) < 0)
		return 0;
	int written = sl_checkpoint_write(&once, &key, &text, &err);
	assert(written == 0);
	int again = sl_checkpoint_read(text.data, text.len, &key, "again", &twice, &err);
	assert(again == 0 && once.size == twice.size && memcmp(&once.root, &twice.root, sizeof(once.root)) == 0);
	return 0;
}
