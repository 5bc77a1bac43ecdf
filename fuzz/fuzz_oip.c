/* Request bodies: the first byte picks the form, and how much of an inference request is JSON. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "../tests/unit/oip/forms.h"
#include "oip/invocations.h"
#include "oip/v2.h"
#include "oip/v2_plain.h"

/* What is read in one pass must be what the general reader reads. */
static void check_plain(struct sl_served *served, const char *body, size_t len, const struct sl_inputs *got)
{
	static struct sl_inputs rows;
	struct sl_v2_request v2 = {0};
	if (!sl_v2_read_plain(served, body, len, &rows, &v2))
		return;
	if (!got || !got->served || got->count != rows.count || memcmp(got->given, rows.given, served->slot_count) != 0)
		abort();
	for (size_t i = 0; i < rows.count * served->slot_count; i++) {
		const struct sl_cell *a = &got->cells[i], *b = &rows.cells[i];
		if (a->kind != b->kind || (a->kind == SL_CELL_TEXT ? a->len != b->len || memcmp(a->text, b->text, a->len) != 0
								   : memcmp(&a->d, &b->d, a->kind == SL_CELL_BOOL ? 1 : 8) != 0))
			abort();
	}
	sl_inputs_end(&rows);
}

static void read_body(struct sl_served *served, unsigned char how, const char *body, size_t len)
{
	static struct sl_body_parser parser;
	static struct sl_inputs rows;
	struct sl_arena *arena SL_CLEANUP(sl_arena_freep) = sl_arena_new(0, NULL);
	struct sl_v2_request v2 = {0};
	yyjson_doc *doc SL_AUTO_BODY = NULL;
	struct sl_error err;
	if (!parser.pool && sl_body_parser_init(&parser, NULL))
		abort();
	if (how % 3 == 0) {
		size_t raw = how / 3 % 40;
		int rc = sl_v2_read_any(&parser, served, body, len, raw < len ? len - raw : len, arena, &rows, &v2, &err);
		if (!raw)
			check_plain(served, body, len, rc ? NULL : &rows);
	} else if (how % 3 == 1) {
		if (sl_body_parse(&parser, body, len, &doc, &err) == 0)
			sl_invocations_json(yyjson_doc_get_root(doc), served, arena, &rows, &err);
	} else {
		sl_invocations_csv(body, len, served, arena, &rows, &err);
	}
	/* Every value that was taken must be one that can be read. */
	volatile size_t sum = 0;
	for (size_t i = 0; rows.served && i < rows.count * served->slot_count; i++)
		if (rows.cells[i].kind == SL_CELL_TEXT && rows.cells[i].len)
			sum += (unsigned char)rows.cells[i].text[rows.cells[i].len - 1];
	(void)sum;
	sl_v2_end(&v2);
	sl_inputs_end(&rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sl_endpoint spec = {.name = "delay", .model = "delay", .alias = "champion", .key = "flight", .time = "date"};
	static struct sl_served *served;
	if (!served)
		served = forms_served(&spec, false);
	if (!size)
		return 0;
	spec.ignore_extra = data[0] & 128;
	char *body = malloc(size); /* NUL-terminated, as the server gives it, and nothing behind that */
	if (!body)
		return 0;
	memcpy(body, data + 1, size - 1);
	body[size - 1] = 0;
	read_body(served, data[0], body, size - 1);
	free(body);
	return 0;
}
