#include "serve/model_config.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "os/file.h"

struct reader {
	const char *p;
	int line;
	const char *path;
	struct sl_arena *arena;
	struct sl_error *err;
};

/* A field's value that is no message. */
struct value {
	bool is_text;
	const char *text; /* unquoted, or the word */
};

static int fail(struct reader *r, const char *what)
{
	sl_fail(r->err, SL_E_INVALID, "%s", what);
	return sl_error_where(r->err, "%s:%d", r->path, r->line);
}

static void skip(struct reader *r)
{
	for (;; r->p++) {
		if (*r->p == '#')
			r->p += strcspn(r->p, "\n");
		r->line += *r->p == '\n';
		if (!*r->p || !strchr(" \t\r\n,;", *r->p))
			return;
	}
}

static bool take(struct reader *r, char c)
{
	skip(r);
	if (*r->p != c)
		return false;
	r->p++;
	return true;
}

static int read_text(struct reader *r, const char **ret)
{
	char quote = *r->p++;
	const char *start = r->p;
	size_t len = 0;
	while (*r->p && *r->p != quote && *r->p != '\n')
		r->p += r->p[0] == '\\' && r->p[1] && r->p[1] != '\n' ? 2 : 1;
	if (*r->p != quote)
		return fail(r, "a text does not end on its line");
	char *text = sl_arena_alloc(r->arena, (size_t)(r->p - start) + 1);
	if (!text)
		return sl_fail_memory(r->err);
	for (const char *c = start; c < r->p; c++) {
		c += *c == '\\';
		text[len++] = *c;
	}
	r->p++;
	*ret = text;
	return sl_utf8_valid(text, len) ? 0 : fail(r, "a text is not UTF-8");
}

static int read_word(struct reader *r, const char **ret)
{
	size_t len = strspn(r->p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-");
	if (!len)
		return fail(r, *r->p ? "a name or a value is expected here" : "the file ends too early");
	*ret = sl_arena_strndup(r->arena, r->p, len);
	r->p += len;
	return *ret ? 0 : sl_fail_memory(r->err);
}

static int read_scalar(struct reader *r, struct value *ret)
{
	skip(r);
	ret->is_text = *r->p == '"' || *r->p == '\'';
	return ret->is_text ? read_text(r, &ret->text) : read_word(r, &ret->text);
}

static int as_int(struct reader *r, const struct value *value, int64_t *ret)
{
	return !value->is_text && sl_str_int(value->text, ret) ? 0 : fail(r, "a whole number is expected here");
}

/* Where a field is: which of its parent's fields mean something. */
enum place { AT_ROOT, AT_INPUT, AT_OUTPUT, AT_BATCHING, AT_POLICY, ELSEWHERE };

static enum place below(enum place place, const char *field)
{
	if (place == AT_ROOT && strcmp(field, "input") == 0)
		return AT_INPUT;
	if (place == AT_ROOT && strcmp(field, "dynamic_batching") == 0)
		return AT_BATCHING;
	if (place == AT_BATCHING && strcmp(field, "default_queue_policy") == 0)
		return AT_POLICY;
	return place == AT_ROOT && strcmp(field, "output") == 0 ? AT_OUTPUT : ELSEWHERE;
}

static int set_count(struct reader *r, const char *field, const struct value *value, int64_t *ret)
{
	int64_t count;
	int rc = as_int(r, value, &count);
	if (!rc && (count < 0 || count > 1000000000))
		rc = fail(r, "a number from 0 to 1000000000 is expected here");
	if (!rc && (strcmp(field, "preferred_batch_size") != 0 || count > *ret))
		*ret = count;
	return rc;
}

/* dynamic_batching and its default_queue_policy. */
static int set_batching(struct reader *r, enum place place, const char *field, const struct value *value, struct sl_model_config *config)
{
	const struct { enum place place; const char *field; int64_t *count; } counts[] = {
		{AT_BATCHING, "max_queue_delay_microseconds", &config->delay_us}, {AT_BATCHING, "preferred_batch_size", &config->preferred},
		{AT_BATCHING, "default_priority_level", &config->priority}, {AT_POLICY, "max_queue_size", &config->queue_max},
		{AT_POLICY, "default_timeout_microseconds", &config->timeout_us},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(counts); i++)
		if (counts[i].place == place && strcmp(counts[i].field, field) == 0)
			return set_count(r, field, value, counts[i].count);
	return 0;
}

static int set_field(struct reader *r, enum place place, const char *field, const struct value *value, struct sl_model_config *config)
{
	struct sl_config_tensor *tensor = place == AT_INPUT ? &config->input : &config->output;
	bool is_name = strcmp(field, "name") == 0;
	if (place == ELSEWHERE)
		return 0;
	if (place == AT_BATCHING || place == AT_POLICY)
		return set_batching(r, place, field, value, config);
	if (is_name && !value->is_text)
		return fail(r, "'name' must be a text in quotes");
	if (place == AT_ROOT && is_name)
		config->name = value->text;
	else if (is_name)
		tensor->name = value->text;
	else if (place == AT_ROOT && strcmp(field, "max_batch_size") == 0)
		return as_int(r, value, &config->max_batch_size);
	else if (place != AT_ROOT && strcmp(field, "dims") == 0) {
		tensor->dims++;
		return as_int(r, value, &tensor->dim);
	}
	return 0;
}

static int read_fields(struct reader *r, enum place place, int depth, struct sl_model_config *config);

static int read_message(struct reader *r, enum place place, int depth, struct sl_model_config *config)
{
	if (depth == SL_MODEL_CONFIG_DEPTH_MAX)
		return fail(r, "messages are nested too deep");
	config->batches |= place == AT_BATCHING;
	if (place == AT_INPUT) {
		config->input_count++;
		config->input = (struct sl_config_tensor){.name = ""};
	} else if (place == AT_OUTPUT) {
		config->output_count++;
		config->output = (struct sl_config_tensor){.name = ""};
	}
	int rc = read_fields(r, place, depth + 1, config);
	return rc ? rc : take(r, '}') ? 0 : fail(r, "a '}' is missing");
}

static int read_value(struct reader *r, enum place place, const char *field, int depth, struct sl_model_config *config)
{
	struct value value;
	if (take(r, '{'))
		return read_message(r, below(place, field), depth, config);
	int rc = read_scalar(r, &value);
	return rc ? rc : set_field(r, place, field, &value, config);
}

static int read_fields(struct reader *r, enum place place, int depth, struct sl_model_config *config)
{
	for (;;) {
		const char *field;
		skip(r);
		if (!*r->p || *r->p == '}')
			return 0;
		int rc = read_word(r, &field);
		if (rc)
			return rc;
		take(r, ':');
		if (!take(r, '[')) {
			rc = read_value(r, place, field, depth, config);
		} else {
			while (!rc && !take(r, ']'))
				rc = read_value(r, place, field, depth, config);
		}
		if (rc)
			return rc;
	}
}

int sl_model_config_parse(const char *text, const char *where, struct sl_arena *arena, struct sl_model_config *ret,
			  struct sl_error *err)
{
	struct reader r = {.p = text, .path = where, .line = 1, .arena = arena, .err = err};
	*ret = (struct sl_model_config){.name = "", .input.name = "", .output.name = ""};
	int rc = read_fields(&r, AT_ROOT, 0, ret);
	return rc ? rc : *r.p ? fail(&r, "a '}' too many") : 0;
}

int sl_model_config_read(const char *path, struct sl_arena *arena, struct sl_model_config *ret, struct sl_error *err)
{
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(SL_MODEL_CONFIG_BYTES_MAX);
	int rc = sl_file_read(path, &text, err);
	if (!rc && strlen(sl_buf_cstr(&text)) != text.len)
		rc = sl_fail_at(err, SL_E_INVALID, path, "has a NUL byte");
	return rc ? rc : sl_model_config_parse(sl_buf_cstr(&text), path, arena, ret, err);
}
