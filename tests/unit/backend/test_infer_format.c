/* What a model file is, by its bytes; what can carry code is named and refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "port/infer.h"

#define BYTES(literal) literal, sizeof(literal) - 1

static const struct {
	const char *data;
	size_t len;
	int rc;
	const char *says; /* the format, or a part of the error */
} CASES[] = {
	{BYTES("{\"learner\":{\"attributes\":{}}}"), 0, "xgboost-json"},
	{BYTES(" \r\n{ \n\t\"version\":[3,2,0]}"), 0, "xgboost-json"},
	{BYTES("{L\0\0\0\0\0\0\0\x07learner{L"), 0, "xgboost-ubj"},
	{BYTES("\x80\x04\x95\x10\0\0\0"), SL_E_DENIED, "Python pickle"},
	{BYTES("cos\nsystem\n(S'id'\ntR."), SL_E_DENIED, "Python pickle"},
	{BYTES("(dp0\nS'a'\np1\n."), SL_E_DENIED, "Python pickle"},
	{BYTES("PK\x03\x04\x14\0\0\0"), SL_E_DENIED, "zip archive"},
	{BYTES("\x1f\x8b\x08\0"), SL_E_DENIED, "gzip"},
	{BYTES("\x89HDF\r\n\x1a\n"), SL_E_DENIED, "HDF5"},
	{BYTES("\x7f" "ELF\x02\x01"), SL_E_DENIED, "program"},
	{BYTES("#!/bin/sh\n"), SL_E_DENIED, "script"},
	{BYTES("{\"inputs\":[]}"), SL_E_INVALID, "no model of a kind"},
	{BYTES("{L\0\0\0\0\0\0\0\x07lear"), SL_E_INVALID, "no model of a kind"},
	{BYTES("{"), SL_E_INVALID, "no model of a kind"},
	{BYTES("{L"), SL_E_INVALID, "no model of a kind"},
	{BYTES(""), SL_E_INVALID, "no model of a kind"},
};

static void bytes_decide(void **state)
{
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(CASES); i++) {
		struct sl_error err = {0};
		const char *format = "";
		/* Exactly as large as it is, so that reading beyond it is seen. */
		char *copy = malloc(CASES[i].len + 1);
		memcpy(copy, CASES[i].data, CASES[i].len);
		char *exact = realloc(copy, CASES[i].len ? CASES[i].len : 1);
		assert_int_equal(sl_infer_format("m.bin", exact, CASES[i].len, &format, &err), CASES[i].rc);
		assert_non_null(strstr(CASES[i].rc ? err.message : format, CASES[i].says));
		if (CASES[i].rc)
			assert_string_equal(err.where, "m.bin");
		free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(bytes_decide)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
