/* ModelInferRequest, as gRPC brings it. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "../tests/unit/oip/forms.h"
#include "oip/grpc_infer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sl_endpoint spec = {.name = "delay", .model = "delay", .alias = "champion", .key = "flight", .time = "date"};
	static struct sl_served *served;
	static struct sl_inputs rows;
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, NULL);
	struct sl_infer_message head;
	struct sl_error err;
	if (!served)
		served = forms_served(&spec, false);
	void *message = malloc(size ? size : 1); /* nothing behind it */
	if (!message || !arena)
		abort();
	if (size)
		memcpy(message, data, size);
	if (sl_infer_message_head(message, size, &head, &err) == 0 &&
	    sl_infer_message_read(message, size, &head, served, arena, &rows, &err) == 0)
		for (size_t i = 0; i < rows.count * served->slot_count; i++)
			if (rows.cells[i].kind == SL_CELL_TEXT && rows.cells[i].len && !rows.cells[i].text)
				abort();
	sl_inputs_end(&rows);
	free(message);
	return 0;
}
