/* Rows of a query as JSON objects. */
#include "op/context.h"

#include <string.h>

#include "base/str.h"
#include "base/time.h"

enum kind { PLAIN, TIME, JSON, BOOL };

/* The member's name without its marker, copied into the document. */
static yyjson_mut_val *member_name(struct sl_call *call, const char *column, enum kind *ret_kind)
{
	static const struct {
		const char *marker;
		enum kind kind;
	} MARKERS[] = {{":time", TIME}, {":json", JSON}, {":bool", BOOL}};
	size_t len = strlen(column);
	*ret_kind = PLAIN;
	for (size_t i = 0; i < SL_ARRAY_LEN(MARKERS); i++)
		if (sl_str_ends(column, MARKERS[i].marker)) {
			*ret_kind = MARKERS[i].kind;
			len -= strlen(MARKERS[i].marker);
		}
	return yyjson_mut_strncpy(call->doc, column, len);
}

static yyjson_mut_val *member_value(struct sl_call *call, struct sl_stmt *stmt, int column, enum kind kind)
{
	if (kind == TIME) {
		char text[SL_TIME_TEXT];
		return yyjson_mut_strcpy(call->doc, sl_time_format(sl_stmt_int(stmt, column), text));
	}
	if (kind == BOOL)
		return yyjson_mut_bool(call->doc, sl_stmt_int(stmt, column) != 0);
	if (kind == JSON) {
		const char *text = sl_stmt_text(stmt, column);
		yyjson_doc *doc SL_AUTO_JSON = yyjson_read(text, strlen(text), 0);
		return doc ? yyjson_val_mut_copy(call->doc, yyjson_doc_get_root(doc)) : yyjson_mut_null(call->doc);
	}
	switch (sl_stmt_type(stmt, column)) {
	case 'i': return yyjson_mut_sint(call->doc, sl_stmt_int(stmt, column));
	case 'd': return yyjson_mut_real(call->doc, sl_stmt_double(stmt, column));
	default: return sl_call_json_text(call, sl_stmt_text(stmt, column));
	}
}

static void fill(struct sl_call *call, yyjson_mut_val *object, struct sl_stmt *stmt)
{
	for (int i = 0; i < sl_stmt_columns(stmt); i++) {
		enum kind kind;
		if (sl_stmt_null(stmt, i))
			continue;
		yyjson_mut_val *name = member_name(call, sl_stmt_column_name(stmt, i), &kind);
		yyjson_mut_obj_add(object, name, member_value(call, stmt, i, kind));
	}
}

int sl_call_row(struct sl_call *call, yyjson_mut_val *object, struct sl_stmt *stmt, struct sl_error *err)
{
	int rc = sl_stmt_step(stmt, err);
	if (rc == 1)
		fill(call, object, stmt);
	return rc;
}

int sl_call_rows(struct sl_call *call, yyjson_mut_val *array, struct sl_stmt *stmt, struct sl_error *err)
{
	int rc;
	while ((rc = sl_stmt_step(stmt, err)) == 1)
		fill(call, sl_add_object(call, array), stmt);
	return rc;
}
