#include "op/remote_json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

int64_t sl_remote_int(yyjson_val *object, const char *name, int64_t fallback)
{
	yyjson_val *value = yyjson_obj_get(object, name);
	int64_t number;
	if (yyjson_is_int(value))
		return yyjson_get_sint(value);
	return yyjson_is_str(value) && sl_str_int(yyjson_get_str(value), &number) ? number : fallback;
}

double sl_remote_double(yyjson_val *value)
{
	static const struct { const char *text; double value; } NAMES[] = {{"Infinity", INFINITY}, {"-Infinity", -INFINITY}};
	const char *text = yyjson_get_str(value);
	double number;
	if (yyjson_is_num(value))
		return yyjson_get_num(value);
	for (size_t i = 0; text && i < SL_ARRAY_LEN(NAMES); i++)
		if (strcmp(text, NAMES[i].text) == 0)
			return NAMES[i].value;
	return text && sl_str_double(text, &number) ? number : (double)NAN;
}

int sl_remote_pairs(yyjson_val *list, struct sl_arena *arena, struct sl_pair **ret, size_t *ret_count)
{
	yyjson_val *item;
	size_t i, max;
	*ret = sl_arena_array(arena, yyjson_arr_size(list) + 1, sizeof **ret);
	*ret_count = 0;
	if (!*ret)
		return SL_E_NO_MEMORY;
	yyjson_arr_foreach(list, i, max, item)
		(*ret)[(*ret_count)++] = (struct sl_pair){sl_json_str(item, "key", ""), sl_json_str(item, "value", "")};
	return 0;
}

void sl_remote_token(yyjson_doc *doc, char out[SL_REMOTE_TOKEN_MAX])
{
	const char *token = sl_json_str(yyjson_doc_get_root(doc), "next_page_token", "");
	snprintf(out, SL_REMOTE_TOKEN_MAX, "%s", token);
}

static int get_page(struct sl_remote *remote, const char *path, const char *body, int page, const char *token, yyjson_doc **ret,
	struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(1 << 20);
	if (body) {
		sl_buf_printf(&text, "%s,\"max_results\":%d", body, page);
		if (*token) {
			sl_buf_str(&text, ",\"page_token\":");
			sl_json_string(&text, token, strlen(token));
		}
		sl_buf_char(&text, '}');
		int rc = sl_buf_check(&text, "a request", err);
		return rc ? rc : sl_remote_send(remote, "POST", path, text.data, text.len, ret, err);
	}
	sl_buf_printf(&text, "%s&max_results=%d", path, page);
	if (*token) {
		sl_buf_str(&text, "&page_token=");
		sl_remote_encode(&text, token, false);
	}
	return sl_remote_get(remote, sl_buf_cstr(&text), ret, err);
}

int sl_remote_each(struct sl_remote *remote, const char *path, const char *body, int page, const char *list, sl_remote_each_fn *each,
	void *context, struct sl_error *err)
{
	char token[SL_REMOTE_TOKEN_MAX] = "";
	int rc;
	do {
		SL_AUTO_JSON yyjson_doc *doc = NULL;
		yyjson_val *item;
		size_t i, max;
		rc = get_page(remote, path, body, page, token, &doc, err);
		yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), list), i, max, item)
			if (!rc)
				rc = each(context, item, err);
		sl_remote_token(doc, token);
	} while (!rc && *token);
	return rc;
}
