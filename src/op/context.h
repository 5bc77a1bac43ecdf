/* What a call opens, on first use and at most once, so that a command pays only for what it needs. */
#ifndef SL_OP_CONTEXT_H
#define SL_OP_CONTEXT_H

#include "op/op.h"
#include "port/meta.h"
#include "project/project.h"
#include "track/store.h"

/* The project of call->dir or a folder above, without overrides; borrowed until sl_call_done. */
int sl_call_project(struct sl_call *call, struct sl_project **ret, struct sl_error *err);
/* Its opened store; borrowed until sl_call_done. Neither opens the other: looking at runs does not read sluice.yaml. */
int sl_call_store(struct sl_call *call, struct sl_store **ret, struct sl_error *err);
/* The project's folder, absolute. */
int sl_call_project_dir(struct sl_call *call, char out[SL_PATH_MAX], struct sl_error *err);
/* A path argument, which is relative to where the command was started, as an absolute path. */
int sl_call_path(struct sl_call *call, const char *path, char out[SL_PATH_MAX], struct sl_error *err);
/* News and progress, when somebody listens. */
void sl_call_line(struct sl_call *call, const char *format, ...) SL_PRINTF(2, 3);
void sl_call_advance(struct sl_call *call, const char *name, double fraction, const char *what);
bool sl_call_cancelled(const struct sl_call *call);

/* Steps through `stmt` and appends an object per row to `array`; members have the columns' names. A name may end in ":time"
 * (milliseconds become text), ":json" (stored JSON becomes a value) or ":bool". Nulls are left out. */
int sl_call_rows(struct sl_call *call, yyjson_mut_val *array, struct sl_stmt *stmt, struct sl_error *err);
/* The same for one row: 1 and `object` filled, 0 when there is none. */
int sl_call_row(struct sl_call *call, yyjson_mut_val *object, struct sl_stmt *stmt, struct sl_error *err);

/* The result, made an empty object on first use. Never NULL: memory running out is sticky in the document and found when it is
 * written. */
yyjson_mut_val *sl_call_object(struct sl_call *call);
/* A JSON string of `text`, copied; bytes that are not UTF-8 become U+FFFD. NULL text: null. */
yyjson_mut_val *sl_call_json_text(struct sl_call *call, const char *text);
/* object[name] = text (as above), for results. `name` must outlive the call (a literal). */
void sl_put_text(struct sl_call *call, yyjson_mut_val *object, const char *name, const char *text);
void sl_put_int(struct sl_call *call, yyjson_mut_val *object, const char *name, int64_t value);
void sl_put_double(struct sl_call *call, yyjson_mut_val *object, const char *name, double value);
void sl_put_bool(struct sl_call *call, yyjson_mut_val *object, const char *name, bool value);
/* A time as "2001-03-01T00:00:00Z"; 0: null. */
void sl_put_time(struct sl_call *call, yyjson_mut_val *object, const char *name, int64_t time_ms);
/* JSON that is stored as text, put in as a value; null when it does not parse. */
void sl_put_json(struct sl_call *call, yyjson_mut_val *object, const char *name, const char *json_text);
yyjson_mut_val *sl_put_array(struct sl_call *call, yyjson_mut_val *object, const char *name);
yyjson_mut_val *sl_put_object(struct sl_call *call, yyjson_mut_val *object, const char *name);
yyjson_mut_val *sl_add_object(struct sl_call *call, yyjson_mut_val *array);

#endif
