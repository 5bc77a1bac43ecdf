/* What a target's values mean: the task, the classes, and labels as the trainer wants them (0, 1, 2 ... or the number itself). */
#ifndef SL_LEARN_TARGET_H
#define SL_LEARN_TARGET_H

#include "learn/package.h"
#include "learn/rows.h"

struct sl_target {
	enum sl_task task;
	const char **classes; /* sorted: text by bytes, numbers by value */
	size_t class_count;   /* 0 for regression */
	bool text;	      /* the classes are texts of the table, not numbers or truth values */
};

/* `asked`: "binary", "multiclass", "regression", or "" to tell by the values: true/false, only 0 and 1, or two texts: binary;
 * more texts: multiclass; other numbers: regression. Turns the labels of both sets in `rows` into class numbers. SL_E_INVALID
 * when the values do not fit. */
int sl_target_resolve(const char *asked, const char *name, struct sl_rows_result *rows, struct sl_arena *arena,
		      struct sl_target *ret, struct sl_error *err);
/* Finds the class number of a label: by its text, or by its value (true is 1). */
struct sl_class_index;
/* `classes` as a package has them: sorted texts, or numbers in ascending order, or "false" and "true". Lives in `arena`. */
int sl_class_index_make(const char *const *classes, size_t count, bool text, struct sl_arena *arena,
			const struct sl_class_index **ret, struct sl_error *err);
/* The class number, or -1 when it is none of them. */
int32_t sl_class_of_text(const struct sl_class_index *index, const char *text, size_t len);
int32_t sl_class_of_number(const struct sl_class_index *index, double number);

#endif
