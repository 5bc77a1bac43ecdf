/* Ids: ULIDs (48 bits of milliseconds, 80 random), 26 characters of Crockford's base 32; sortable by time. */
#ifndef SL_BASE_ID_H
#define SL_BASE_ID_H

#include <stdbool.h>
#include <stdint.h>

enum { SL_ID_LEN = 26 };

struct sl_id {
	char text[SL_ID_LEN + 1];
};

void sl_id_make(int64_t time_ms, const unsigned char random[10], struct sl_id *ret);
/* 26 characters, first 0-7; lower case is taken and made upper. */
bool sl_id_parse(const char *text, struct sl_id *ret);
/* The same 128 bits as 32 lower-case hex digits, which is how MLflow's clients see a run's id; and back (either case). */
enum { SL_ID_HEX = 32 };
void sl_id_hex(const struct sl_id *id, char out[SL_ID_HEX + 1]);
bool sl_id_parse_hex(const char *hex, struct sl_id *ret);
int64_t sl_id_time_ms(const struct sl_id *id);

#endif
