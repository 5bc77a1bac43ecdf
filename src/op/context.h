/* What a call opens, on first use and at most once, so that a command pays only for what it needs. */
#ifndef SL_OP_CONTEXT_H
#define SL_OP_CONTEXT_H

#include "op/op.h"

/* The result, made an empty object on first use. Never NULL: memory running out is sticky in the document and found when it is written. */
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
