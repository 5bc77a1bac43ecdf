#include "learn/target.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "learn/options.h"

static bool only_zero_and_one(const struct sl_rows *rows)
{
	for (size_t i = 0; i < rows->count; i++)
		if (rows->labels[i] != 0 && rows->labels[i] != 1)
			return false;
	return true;
}

static enum sl_task guess(const struct sl_rows_result *rows)
{
	if (rows->target_kind == SL_SQL_TEXT)
		return sl_dictionary_count(rows->target_values) <= 2 ? SL_TASK_BINARY : SL_TASK_MULTICLASS;
	return only_zero_and_one(&rows->train) ? SL_TASK_BINARY : SL_TASK_REGRESSION;
}

static int add_class(struct sl_target *ret, const char *text, struct sl_error *err)
{
	if (!text)
		return sl_fail_memory(err);
	ret->classes[ret->class_count++] = text;
	return 0;
}

static int classes_of_texts(const struct sl_dictionary *values, struct sl_arena *arena, struct sl_target *ret,
			    struct sl_error *err)
{
	int rc = 0;
	ret->text = true;
	for (size_t i = 0; i < sl_dictionary_count(values) && !rc; i++) {
		const struct sl_category *value = sl_dictionary_value(values, i);
		rc = add_class(ret, sl_arena_strndup(arena, value->text, value->len), err);
	}
	return rc;
}

static int compare_floats(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;
	return (x > y) - (x < y);
}

/* The distinct labels in ascending order; more than SL_CLASSES_MAX are not counted to their end. */
static size_t distinct(const struct sl_rows *rows, float ret[SL_CLASSES_MAX + 1])
{
	size_t n = 0;
	for (size_t i = 0; i < rows->count && n <= SL_CLASSES_MAX; i++) {
		float label = rows->labels[i];
		if (bsearch(&label, ret, n, sizeof label, compare_floats))
			continue;
		size_t at = n++;
		for (; at > 0 && ret[at - 1] > label; at--)
			ret[at] = ret[at - 1];
		ret[at] = label;
	}
	return n;
}

static int number_labels(struct sl_rows *rows, const float *values, size_t count, const char *name, struct sl_error *err)
{
	for (size_t i = 0; i < rows->count; i++) {
		const float *found = bsearch(&rows->labels[i], values, count, sizeof *values, compare_floats);
		if (!found)
			return sl_fail(err, SL_E_INVALID, "target '%s' is %g in a validation row, which no training row has",
				       name, (double)rows->labels[i]);
		rows->labels[i] = (float)(found - values);
	}
	return 0;
}

static int classes_of_numbers(struct sl_rows_result *rows, const char *name, struct sl_arena *arena, struct sl_target *ret,
			      struct sl_error *err)
{
	float values[SL_CLASSES_MAX + 1] = {0, 1};
	size_t count = ret->task == SL_TASK_BINARY ? 2 : distinct(&rows->train, values);
	int rc = 0;
	if (ret->task == SL_TASK_BINARY && !only_zero_and_one(&rows->train))
		return sl_fail(err, SL_E_INVALID, "target '%s' has values other than 0 and 1, so the task is not binary", name);
	if (count > SL_CLASSES_MAX)
		return sl_fail(err, SL_E_INVALID, "target '%s' has more than %d values, too many classes", name, SL_CLASSES_MAX);
	for (size_t i = 0; i < count && !rc; i++) {
		if (values[i] != floorf(values[i]) || fabsf(values[i]) > 16777216)
			return sl_fail(err, SL_E_INVALID, "target '%s' is %g in a row: classes are whole numbers", name,
				       (double)values[i]);
		if (rows->target_kind == SL_SQL_BOOL)
			rc = add_class(ret, values[i] > 0 ? "true" : "false", err);
		else
			rc = add_class(ret, sl_arena_printf(arena, "%d", (int)values[i]), err);
	}
	if (!rc)
		rc = number_labels(&rows->train, values, count, name, err);
	return rc ? rc : number_labels(&rows->validation, values, count, name, err);
}

static int check_both_classes(const struct sl_rows *rows, const char *name, struct sl_error *err)
{
	size_t ones = 0;
	for (size_t i = 0; i < rows->count; i++)
		ones += rows->labels[i] > 0;
	if (ones == 0 || ones == rows->count)
		return sl_fail(err, SL_E_FAILED, "target '%s' has the same value in all %zu training rows", name, rows->count);
	return 0;
}

int sl_target_resolve(const char *asked, const char *name, struct sl_rows_result *rows, struct sl_arena *arena,
		      struct sl_target *ret, struct sl_error *err)
{
	*ret = (struct sl_target){.task = guess(rows)};
	if (*asked && !sl_options_task(asked, &ret->task))
		return sl_fail(err, SL_E_INVALID, "task '%s' is not known", asked);
	ret->classes = sl_arena_array(arena, SL_CLASSES_MAX + 2, sizeof *ret->classes);
	if (!ret->classes)
		return sl_fail_memory(err);
	bool text = rows->target_kind == SL_SQL_TEXT;
	if (ret->task == SL_TASK_REGRESSION)
		return text ? sl_fail(err, SL_E_INVALID, "target '%s' is text, so the task cannot be regression", name) : 0;
	if (text && sl_dictionary_count(rows->target_values) > SL_CLASSES_MAX)
		return sl_fail(err, SL_E_INVALID, "target '%s' has more than %d values, too many classes", name, SL_CLASSES_MAX);
	int rc = text ? classes_of_texts(rows->target_values, arena, ret, err) : classes_of_numbers(rows, name, arena, ret, err);
	if (!rc && ret->class_count < 2)
		return sl_fail(err, SL_E_FAILED, "target '%s' has the same value in all %zu training rows", name,
			       rows->train.count);
	if (!rc && ret->task == SL_TASK_BINARY && ret->class_count != 2)
		return sl_fail(err, SL_E_INVALID, "target '%s' has %zu values, so the task is not binary", name,
			       ret->class_count);
	if (!rc && ret->task == SL_TASK_BINARY)
		return check_both_classes(&rows->train, name, err);
	return rc;
}

struct sl_class_index {
	const struct sl_dictionary *texts; /* NULL: numbers */
	double *numbers;		   /* ascending */
	size_t count;
};

static int index_numbers(const char *const *classes, size_t count, struct sl_class_index *index, struct sl_error *err)
{
	for (size_t i = 0; i < count; i++) {
		int64_t value = sl_str_eq(classes[i], "true");
		bool truth = sl_str_eq(classes[i], "true") || sl_str_eq(classes[i], "false");
		if (!truth && !sl_str_int(classes[i], &value))
			return sl_fail(err, SL_E_CORRUPT, "class '%s' is neither a number nor a truth value", classes[i]);
		index->numbers[i] = (double)value;
		if (i && !(index->numbers[i] > index->numbers[i - 1]))
			return sl_fail(err, SL_E_CORRUPT, "class '%s' is not in ascending order", classes[i]);
	}
	return 0;
}

int sl_class_index_make(const char *const *classes, size_t count, bool text, struct sl_arena *arena,
			const struct sl_class_index **ret, struct sl_error *err)
{
	struct sl_class_index *index = sl_arena_alloc(arena, sizeof *index);
	struct sl_category *values = sl_arena_array(arena, count + 1, sizeof *values);
	if (!index || !values || !(index->numbers = sl_arena_array(arena, count + 1, sizeof *index->numbers)))
		return sl_fail_memory(err);
	index->count = count;
	*ret = index;
	if (!text)
		return index_numbers(classes, count, index, err);
	for (size_t i = 0; i < count; i++)
		values[i] = (struct sl_category){classes[i], (uint32_t)strlen(classes[i])};
	return sl_dictionary_make(values, count, arena, &index->texts, err);
}

int32_t sl_class_of_text(const struct sl_class_index *index, const char *text, size_t len)
{
	return index->texts ? sl_dictionary_find(index->texts, text, len) : -1;
}

int32_t sl_class_of_number(const struct sl_class_index *index, double number)
{
	size_t low = 0, high = index->texts ? 0 : index->count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (index->numbers[middle] == number)
			return (int32_t)middle;
		if (index->numbers[middle] < number)
			low = middle + 1;
		else
			high = middle;
	}
	return -1;
}
