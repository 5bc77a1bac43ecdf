#include "oip/v2_plain.h"

#include <string.h>

#include "base/str.h"
#include "oip/datatype.h"

/* The body ends with a NUL, which is none of the bytes looked for: so no step looks behind it. */
struct reader {
	const char *p;
	struct sl_served *served;
	struct sl_inputs *rows;
	size_t tensors;
};

struct text {
	const char *at;
	size_t len;
};

static inline void blanks(struct reader *r)
{
	while (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t')
		r->p++;
}

static inline bool take(struct reader *r, char c)
{
	blanks(r);
	if (*r->p != c)
		return false;
	r->p++;
	return true;
}

/* Between two elements: a comma, and false at the closing bracket. *fine becomes false for anything else. */
static inline bool more(struct reader *r, char close, bool *fine)
{
	if (take(r, ','))
		return true;
	*fine = take(r, close);
	return false;
}

/* What stands for itself in a text: 1 in ASCII, 2 beyond it. Not the quote, the backslash and control characters. */
static const unsigned char PLAIN[256] = {[0x20 ... 0x21] = 1, [0x23 ... 0x5b] = 1, [0x5d ... 0x7f] = 1, [0x80 ... 0xff] = 2};

/* Without escapes; UTF-8. */
static bool take_text(struct reader *r, struct text *ret)
{
	if (!take(r, '"'))
		return false;
	const unsigned char *start = (const unsigned char *)r->p, *p = start;
	unsigned kinds = 0;
	for (unsigned kind; (kind = PLAIN[*p]); p++)
		kinds |= kind;
	*ret = (struct text){r->p, (size_t)(p - start)};
	r->p += ret->len + 1;
	return *p == '"' && (kinds < 2 || sl_utf8_valid(ret->at, ret->len));
}

static inline bool is(const struct text *text, const char *word)
{
	return text->len == strlen(word) && memcmp(text->at, word, text->len) == 0;
}

static bool take_word(struct reader *r, const char *word)
{
	size_t len = strlen(word);
	if (strncmp(r->p, word, len) != 0)
		return false;
	r->p += len;
	return true;
}

/* ---- numbers ---- */

enum { DIGITS_MAX = 18, EXACT_POWER_MAX = 22 };
static const double POWERS[EXACT_POWER_MAX + 1] = {1e0,	 1e1,  1e2,  1e3,  1e4,	 1e5,  1e6,  1e7,  1e8,	 1e9,  1e10, 1e11,
						   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* JSON's exponent behind a mantissa, added to *power. */
static bool take_exponent(struct reader *r, int *power)
{
	int exponent = 0;
	bool negative = *++r->p == '-';
	r->p += negative || *r->p == '+';
	if (!is_digit(*r->p))
		return false;
	for (; is_digit(*r->p) && exponent < 1000; r->p++)
		exponent = exponent * 10 + (*r->p - '0');
	*power += negative ? -exponent : exponent;
	return true;
}

/* An integer, or a decimal whose digits and power of ten are both exact doubles: then one division rounds it as every right reader
 * does (Clinger 1990). Others are left to the general reader. */
static bool take_number(struct reader *r, struct sl_cell *ret)
{
	bool negative = *r->p == '-';
	const char *start = r->p += negative;
	uint64_t digits = 0;
	int power = 0;
	bool whole = true;
	while (is_digit(*r->p))
		digits = digits * 10 + (uint64_t)(*r->p++ - '0');
	size_t count = (size_t)(r->p - start);
	if (!count || count > DIGITS_MAX || (count > 1 && *start == '0'))
		return false;
	if (*r->p == '.') {
		const char *fraction = ++r->p;
		while (is_digit(*r->p))
			digits = digits * 10 + (uint64_t)(*r->p++ - '0');
		power = -(int)(r->p - fraction);
		whole = false;
		if (!power || count - (size_t)power > DIGITS_MAX)
			return false;
	}
	if (*r->p == 'e' || *r->p == 'E') {
		whole = false;
		if (!take_exponent(r, &power))
			return false;
	}
	if (whole) {
		*ret = (struct sl_cell){.kind = SL_CELL_INT, .i = negative ? -(int64_t)digits : (int64_t)digits};
		return !negative || digits; /* -0 is a real number */
	}
	if (digits >> 53 || power < -EXACT_POWER_MAX || power > EXACT_POWER_MAX)
		return false;
	double value = power < 0 ? (double)digits / POWERS[-power] : (double)digits * POWERS[power];
	*ret = (struct sl_cell){.kind = SL_CELL_DOUBLE, .d = negative ? -value : value};
	return true;
}

/* ---- tensors ---- */

struct plain_tensor {
	const struct sl_datatype *type;
	struct text name;
	uint64_t sizes[2];
	bool has_name, has_shape, has_data;
};

static bool take_null(struct reader *r, struct sl_cell *ret)
{
	*ret = (struct sl_cell){.kind = SL_CELL_NULL};
	return take_word(r, "null");
}

static bool take_element(struct reader *r, const struct sl_datatype *type, struct sl_cell *ret)
{
	struct text text;
	blanks(r);
	if (*r->p == 'n')
		return take_null(r, ret);
	switch (type->family) {
	case SL_FAMILY_BOOL:
		*ret = (struct sl_cell){.kind = SL_CELL_BOOL, .b = *r->p == 't'};
		return take_word(r, *r->p == 't' ? "true" : "false");
	case SL_FAMILY_BYTES:
		if (!take_text(r, &text) || text.len > UINT32_MAX)
			return false;
		*ret = (struct sl_cell){.kind = SL_CELL_TEXT, .len = (uint32_t)text.len, .text = text.at};
		return true;
	case SL_FAMILY_FLOAT:
		if (!take_number(r, ret))
			return false;
		if (ret->kind == SL_CELL_INT)
			*ret = (struct sl_cell){.kind = SL_CELL_DOUBLE, .d = (double)ret->i};
		return true;
	default:
		return take_number(r, ret) && ret->kind == SL_CELL_INT && sl_datatype_fits(type, ret->i);
	}
}

static bool take_shape(struct reader *r, struct plain_tensor *tensor)
{
	size_t dims = 0;
	bool fine = take(r, '[');
	tensor->sizes[1] = 1;
	do {
		struct sl_cell size;
		blanks(r);
		if (!fine || dims == 2 || !take_number(r, &size) || size.kind != SL_CELL_INT || size.i < 1)
			return false;
		tensor->sizes[dims++] = (uint64_t)size.i;
	} while (more(r, ']', &fine));
	tensor->has_shape = true;
	return fine && tensor->sizes[0] <= SL_INPUTS_MAX && tensor->sizes[1] <= SL_FEATURES_MAX;
}

/* The slot of a column, or the first of the whole matrix (*ret_width columns); SL_SLOT_NONE: neither. */
static ptrdiff_t place(struct reader *r, const struct plain_tensor *tensor, size_t *ret_width)
{
	size_t features = r->served->column_count;
	*ret_width = 1;
	ptrdiff_t slot = sl_served_slot(r->served, tensor->name.at, tensor->name.len, r->tensors);
	if (tensor->sizes[1] == 1)
		return slot;
	*ret_width = features;
	return tensor->sizes[1] == features ? 0 : SL_SLOT_NONE;
}

static bool take_data(struct reader *r, struct plain_tensor *tensor)
{
	struct sl_inputs *rows = r->rows;
	size_t count = (size_t)tensor->sizes[0], width;
	bool fine = true;
	ptrdiff_t slot = place(r, tensor, &width);
	if (slot == SL_SLOT_NONE || (rows->served ? rows->count != count : sl_inputs_begin(rows, r->served, count, NULL) != 0))
		return false;
	for (size_t i = 0; i < width; i++)
		if (rows->given[(size_t)slot + i]++)
			return false;
	if (!take(r, '['))
		return false;
	for (size_t row = 0; row < count; row++)
		for (size_t i = 0; i < width; i++) {
			struct sl_cell *cell = &rows->cells[((size_t)slot + i) * count + row];
			bool last = row + 1 == count && i + 1 == width;
			if (!take_element(r, tensor->type, cell) || more(r, ']', &fine) == last)
				return false;
		}
	tensor->has_data = true;
	return fine;
}

static bool take_tensor_member(struct reader *r, const struct text *key, struct plain_tensor *tensor)
{
	struct text text;
	if (is(key, "data") && tensor->has_name && tensor->has_shape && tensor->type && !tensor->has_data)
		return take_data(r, tensor);
	if (is(key, "shape") && !tensor->has_shape)
		return take_shape(r, tensor);
	if (is(key, "name") && !tensor->has_name)
		return tensor->has_name = take_text(r, &tensor->name);
	if (!is(key, "datatype") || tensor->type || !take_text(r, &text))
		return false;
	tensor->type = sl_datatype_find(text.at, text.len);
	return tensor->type;
}

static bool take_tensor(struct reader *r)
{
	struct plain_tensor tensor = {0};
	bool fine = take(r, '{');
	do {
		struct text key;
		if (!fine || !take_text(r, &key) || !take(r, ':') || !take_tensor_member(r, &key, &tensor))
			return false;
	} while (more(r, '}', &fine));
	r->tensors++;
	return fine && tensor.has_data;
}

static bool take_inputs(struct reader *r)
{
	bool fine = take(r, '[');
	do
		if (!fine || !take_tensor(r))
			return false;
	while (more(r, ']', &fine));
	return fine;
}

/* Nothing but the output's name. */
static bool take_outputs(struct reader *r)
{
	bool fine = take(r, '[');
	do {
		struct text key, name;
		if (!fine || !take(r, '{') || !take_text(r, &key) || !is(&key, "name") || !take(r, ':') || !take_text(r, &name) ||
		    !is(&name, r->served->package.output) || !take(r, '}'))
			return false;
	} while (more(r, ']', &fine));
	return fine;
}

static bool take_member(struct reader *r, const struct text *key, unsigned *seen, struct sl_v2_request *ret)
{
	enum { ID = 1, INPUTS = 2, OUTPUTS = 4 };
	struct text id;
	unsigned which = is(key, "inputs") ? INPUTS : is(key, "outputs") ? OUTPUTS : is(key, "id") ? ID : 0;
	if (!which || (*seen & which))
		return false;
	*seen |= which;
	if (which == INPUTS)
		return take_inputs(r);
	if (which == OUTPUTS)
		return take_outputs(r);
	if (!take_text(r, &id) || id.len > SL_V2_ID_MAX)
		return false;
	ret->id = id.at;
	ret->id_len = id.len;
	return true;
}

static bool take_body(struct reader *r, struct sl_v2_request *ret)
{
	unsigned seen = 0;
	bool fine = take(r, '{');
	do {
		struct text key;
		if (!fine || !take_text(r, &key) || !take(r, ':') || !take_member(r, &key, &seen, ret))
			return false;
	} while (more(r, '}', &fine));
	blanks(r);
	return fine && r->tensors;
}

bool sl_v2_read_plain(struct sl_served *served, const char *body, size_t len, struct sl_inputs *rows, struct sl_v2_request *ret)
{
	struct reader r = {.p = body, .served = served, .rows = rows};
	if (len <= SL_BODY_BYTES_MAX && take_body(&r, ret) && r.p == body + len)
		return true;
	sl_inputs_end(rows);
	*ret = (struct sl_v2_request){0};
	return false;
}
