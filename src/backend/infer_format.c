/* What a model file is, from its first bytes. Formats that carry code are told apart here, so that they are refused by name and
 * before any library sees them. */
#include <string.h>

#include "backend/onnx_check.h"
#include "base/mem.h"
#include "base/str.h"
#include "port/infer.h"

enum { LOOK_BYTES = 4096 };

struct magic {
	const char *bytes;
	size_t len;
	const char *what;
};

/* The pickle protocols 2 to 5 begin with 0x80 and their number, protocol 0 and 1 with an opcode that needs the ends "." as well;
 * compressed joblib files are zlib, gzip, bz2, xz or lz4 streams, PyTorch's and Keras' files are zip archives or HDF5. */
static const struct magic WITH_CODE[] = {
	{"\x80\x02", 2, "a Python pickle"}, {"\x80\x03", 2, "a Python pickle"}, {"\x80\x04", 2, "a Python pickle"},
	{"\x80\x05", 2, "a Python pickle"}, {"PK\x03\x04", 4, "a zip archive (PyTorch, Keras, .mar)"},
	{"\x1f\x8b", 2, "a gzip stream (joblib)"}, {"\x78\x9c", 2, "a zlib stream (joblib)"}, {"\x78\x5e", 2, "a zlib stream (joblib)"},
	{"\x78\x01", 2, "a zlib stream (joblib)"}, {"\x78\xda", 2, "a zlib stream (joblib)"}, {"BZh", 3, "a bzip2 stream (joblib)"},
	{"\xfd" "7zXZ", 5, "an xz stream (joblib)"}, {"\x04\x22\x4d\x18", 4, "an lz4 stream (joblib)"},
	{"\x89HDF", 4, "an HDF5 file"}, {"\x7f" "ELF", 4, "a program"}, {"MZ", 2, "a program"}, {"#!", 2, "a script"},
};

/* "cmodule\n" or "(dp0" and the like: what text pickles open with, ended by a full stop. */
static bool is_text_pickle(const char *data, size_t len)
{
	return len > 2 && (data[0] == 'c' || data[0] == '(') && (data[len - 1] == '.' || (data[len - 1] == '\n' && data[len - 2] == '.'));
}

static const char *code_in(const char *data, size_t len)
{
	for (size_t i = 0; i < SL_ARRAY_LEN(WITH_CODE); i++)
		if (len >= WITH_CODE[i].len && memcmp(data, WITH_CODE[i].bytes, WITH_CODE[i].len) == 0)
			return WITH_CODE[i].what;
	return is_text_pickle(data, len) ? "a Python pickle" : NULL;
}

static size_t skip_blanks(const char *data, size_t len, size_t at)
{
	while (at < len && (data[at] == ' ' || data[at] == '\t' || data[at] == '\r' || data[at] == '\n'))
		at++;
	return at;
}

/* The first member of an object of XGBoost's JSON is "learner" or "version". */
static bool is_xgboost_json(const char *data, size_t len)
{
	size_t at = skip_blanks(data, len, 0);
	if (at == len || data[at] != '{')
		return false;
	at = skip_blanks(data, len, at + 1);
	return len - at > 9 && (memcmp(data + at, "\"learner\"", 9) == 0 || memcmp(data + at, "\"version\"", 9) == 0);
}

/* UBJSON: '{', then the length of the first member's name as XGBoost writes it, an int64. */
static bool is_xgboost_ubj(const char *data, size_t len)
{
	static const char head[] = "{L\0\0\0\0\0\0\0\x07";
	const size_t head_len = sizeof head - 1;
	return len > head_len + 7 && memcmp(data, head, head_len) == 0 &&
	       (memcmp(data + head_len, "learner", 7) == 0 || memcmp(data + head_len, "version", 7) == 0);
}

/* Our own forests have their format as the first member; CatBoost's JSON begins with its features, or whatever member its version writes first. */
static bool json_begins(const char *data, size_t len, const char *const *members, size_t count)
{
	size_t at = skip_blanks(data, len, 0);
	if (at == len || data[at] != '{')
		return false;
	at = skip_blanks(data, len, at + 1);
	for (size_t i = 0; i < count; i++)
		if (len - at > strlen(members[i]) && memcmp(data + at, members[i], strlen(members[i])) == 0)
			return true;
	return false;
}

static bool is_catboost_json(const char *data, size_t len)
{
	static const char *const MEMBERS[] = {"\"features_info\"", "\"model_info\"", "\"oblivious_trees\"", "\"ctr_data\""};
	return json_begins(data, len, MEMBERS, SL_ARRAY_LEN(MEMBERS));
}

static bool is_forest_json(const char *data, size_t len)
{
	static const char *const MEMBERS[] = {"\"format\":\"sluice.forest/1\"", "\"format\": \"sluice.forest/1\""};
	return json_begins(data, len, MEMBERS, SL_ARRAY_LEN(MEMBERS));
}

/* LightGBM's text begins with the lines "tree" and "version=". */
static bool is_lightgbm(const char *data, size_t len)
{
	return (len > 13 && memcmp(data, "tree\nversion=", 13) == 0) || (len > 14 && memcmp(data, "tree\r\nversion=", 14) == 0);
}

int sl_infer_format(const char *name, const void *data, size_t len, const char **ret, struct sl_error *err)
{
	const char *bytes = data, *code = code_in(bytes, len);
	if (code) {
		sl_fail_at(err, SL_E_DENIED, name, "is %s: formats that can carry code are never loaded", code);
		return sl_error_hint(err, "save the model as XGBoost JSON or UBJ, LightGBM text, CatBoost JSON or ONNX; scikit-learn's trees by examples/sklearn/export_forest.py");
	}
	if (is_xgboost_json(bytes, len < LOOK_BYTES ? len : LOOK_BYTES))
		*ret = "xgboost-json";
	else if (is_xgboost_ubj(bytes, len))
		*ret = "xgboost-ubj";
	else if (is_catboost_json(bytes, len < LOOK_BYTES ? len : LOOK_BYTES))
		*ret = "catboost-json";
	else if (is_forest_json(bytes, len < LOOK_BYTES ? len : LOOK_BYTES))
		*ret = "forest-json";
	else if (is_lightgbm(bytes, len))
		*ret = "lightgbm-text";
	else if (sl_onnx_is(bytes, len))
		*ret = "onnx";
	else
		return sl_fail_at(err, SL_E_INVALID, name,
				  "is no model of a kind that is known (XGBoost JSON, XGBoost UBJ, LightGBM text, CatBoost JSON, a forest as JSON, ONNX)");
	return 0;
}
