/* The one-pass reader against the general one: what it takes is the same in every bit, and it takes what clients send. */
#include "forms.h"
#include "oip/v2_plain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct sl_endpoint spec = {.name = "delay", .model = "delay", .alias = "champion", .key = "flight", .time = "date"};
static struct sl_served *served;
static struct sl_body_parser parser;
static struct sl_arena *arena;

static bool same_cell(const struct sl_cell *a, const struct sl_cell *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case SL_CELL_NULL: return true;
	case SL_CELL_BOOL: return a->b == b->b;
	case SL_CELL_TEXT: return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
	default: return a->i == b->i; /* the bits, of a double too */
	}
}

/* Whether the plain reader took it; it must then be what the general one reads. */
static bool plain(const char *body, size_t len)
{
	struct sl_inputs rows = {0}, general = {0};
	struct sl_v2_request v2 = {0}, v2_general = {0};
	struct sl_error err = {0};
	bool taken = sl_v2_read_plain(served, body, len, &rows, &v2);
	if (taken) {
		sl_arena_reset(arena);
		if (sl_v2_read_any(&parser, served, body, len, len, arena, &general, &v2_general, &err))
			fail_msg("only the plain reader takes %.*s: %s", (int)len, body, err.message);
		assert_int_equal(rows.count, general.count);
		assert_memory_equal(rows.given, general.given, served->slot_count);
		for (size_t i = 0; i < rows.count * served->slot_count; i++)
			if (!same_cell(&rows.cells[i], &general.cells[i]))
				fail_msg("value %zu differs: %.*s", i, (int)len, body);
		assert_int_equal(v2.id_len, v2_general.id_len);
		assert_true(!v2.id_len || memcmp(v2.id, v2_general.id, v2.id_len) == 0);
		sl_v2_end(&v2_general);
	} else {
		assert_null(rows.served);
	}
	sl_inputs_done(&rows);
	sl_inputs_done(&general);
	return taken;
}

static const char BODY[] =
	"{ \"id\" : \"x1\", \"inputs\":[{\"name\":\"distance\",\"shape\":[2],\"datatype\":\"INT64\",\"data\":[733,-5]},\r\n"
	"{\"name\":\"speed\",\"datatype\":\"FP64\",\"shape\":[2,1],\"data\":[1.5e2,null]},"
	"{\"name\":\"cargo\",\"shape\":[2],\"datatype\":\"BOOL\",\"data\":[true,false]},"
	"{\"name\":\"origin\",\"shape\":[2],\"datatype\":\"BYTES\",\"data\":[\"JFK\",\"Z\xc3\xbcrich\"]},"
	"{\"name\":\"flight\",\"shape\":[2],\"datatype\":\"BYTES\",\"data\":[\"\",null]}],\"outputs\":[{\"name\":\"probability\"}]}";

static void clients_bodies_are_plain(void **state)
{
	(void)state;
	assert_true(plain(BODY, strlen(BODY)));
	for (size_t cut = 0; cut < strlen(BODY); cut++) {
		char *part = strndup(BODY, cut);
		assert_false(plain(part, cut));
		free(part);
	}
}

static void others_are_left_to_the_general_reader(void **state)
{
	static const char *const values[] = {"\"a\\n\"", "[1]", "1.0000000000000000001", "1e400", "12345678901234567890", "-0", "01", "1.",
					     "+1", ".5", "1e", "NaN", "nul", "9007199254740993.5", "{}", ""};
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(values); i++) {
		char body[200];
		int len = snprintf(body, sizeof body,
				   "{\"inputs\":[{\"name\":\"distance\",\"shape\":[1],\"datatype\":\"INT32\",\"data\":[%s]}]}", values[i]);
		assert_false(plain(body, (size_t)len));
		len = snprintf(body, sizeof body, "{\"inputs\":[{\"name\":\"speed\",\"shape\":[1],\"datatype\":\"FP32\",\"data\":[%s]}]}",
			       values[i]);
		if (strcmp(values[i], "-0") != 0)
			assert_false(plain(body, (size_t)len));
	}
}

static uint64_t random_state = 88172645463325252u;
static uint64_t random_number(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	return random_state ^= random_state << 17;
}

static void numbers_are_read_to_the_last_bit(void **state)
{
	size_t taken = 0;
	(void)state;
	for (int i = 0; i < 20000; i++) {
		static const int digits[] = {3, 6, 9, 15, 17};
		char number[400], body[600];
		double v = (double)(int64_t)random_number() / (double)(1ull << random_number() % 64);
		int precision = digits[random_number() % SL_ARRAY_LEN(digits)];
		if (random_number() % 2)
			snprintf(number, sizeof number, "%.*g", precision, v);
		else
			snprintf(number, sizeof number, "%.*f", precision, v);
		int len = snprintf(body, sizeof body,
				   "{\"inputs\":[{\"name\":\"speed\",\"shape\":[1],\"datatype\":\"FP64\",\"data\":[%s]}]}", number);
		taken += plain(body, (size_t)len);
	}
	assert_true(taken > 10000);
}

/* Bytes changed, doubled and dropped: never more than the general reader takes. */
static void broken_bodies_are_never_read_differently(void **state)
{
	static const char alphabet[] = "{}[]\",:0123456789.-+eE\\ntrue\xc3\x80\x01 ";
	size_t taken = 0;
	(void)state;
	for (int i = 0; i < 30000; i++) {
		char *body = strdup(BODY);
		size_t len = strlen(body);
		for (uint64_t changes = 1 + random_number() % 3; changes > 0; changes--) {
			size_t at = random_number() % len;
			if (random_number() % 3 == 0) {
				memmove(body + at, body + at + 1, len - at);
				len--;
			} else {
				body[at] = alphabet[random_number() % (sizeof alphabet - 1)];
			}
		}
		taken += plain(body, len);
		free(body);
	}
	assert_true(taken > 100);
}

static int begin(void **state)
{
	(void)state;
	served = forms_served(&spec, false);
	arena = sl_arena_new(0, NULL);
	return arena ? sl_body_parser_init(&parser, NULL) : -1;
}

static int end(void **state)
{
	(void)state;
	sl_served_unref(served);
	sl_arena_free(arena);
	sl_body_parser_done(&parser);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clients_bodies_are_plain),
		cmocka_unit_test(others_are_left_to_the_general_reader),
		cmocka_unit_test(numbers_are_read_to_the_last_bit),
		cmocka_unit_test(broken_bodies_are_never_read_differently),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
