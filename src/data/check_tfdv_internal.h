/* Inside data/: a TFDV schema on its way to checks. */
#ifndef SL_DATA_CHECK_TFDV_INTERNAL_H
#define SL_DATA_CHECK_TFDV_INTERNAL_H

#include "base/json.h"
#include "base/prototext.h"
#include "data/check_tfdv.h"

struct tfdv {
	const struct sl_prototext *schema;
	const char *where, *dataset;
	struct sl_arena *arena;
	yyjson_mut_doc *doc;
	struct sl_buf *out;
	struct sl_tfdv_count *count;
	const char *environments[SL_TFDV_ENVIRONMENTS_MAX]; /* that the schema names */
	size_t environment_count;
	int64_t rows;                                       /* at least so many: columns without missing values ask for them */
	struct sl_error *err;
	bool failed;                                        /* memory ran out */
};

/* One feature, with what all of its checks need. */
struct tfdv_feature {
	const struct sl_prototext *node;
	const char *name, *type; /* type: "INT", "FLOAT", "BYTES", "STRUCT", "" */
	bool required;           /* a column must be there: its presence asks for a value */
	bool ignored;            /* of a stage that TFDV leaves aside */
	bool everywhere;         /* it is in every environment */
};

/* ---- fields, each at most once; *ret stays as it is when the field is not there. SL_E_INVALID for another kind of value. */
int tfdv_one(struct tfdv *t, const struct sl_prototext *message, const char *name, const struct sl_prototext **ret);
int tfdv_text(struct tfdv *t, const struct sl_prototext *message, const char *name, const char **ret);
int tfdv_word(struct tfdv *t, const struct sl_prototext *message, const char *name, const char **ret);
int tfdv_int(struct tfdv *t, const struct sl_prototext *message, const char *name, bool *ret_has, int64_t *ret);
int tfdv_number(struct tfdv *t, const struct sl_prototext *message, const char *name, bool *ret_has, double *ret);
int tfdv_flag(struct tfdv *t, const struct sl_prototext *message, const char *name, bool *ret);
int tfdv_refuse(struct tfdv *t, const struct sl_prototext *at, const char *what);

/* ---- what comes out */
/* {KIND: {}}: the inner object, to be filled and then written. */
yyjson_mut_val *tfdv_check(struct tfdv *t, const char *kind, yyjson_mut_val **ret_check);
void tfdv_put_text(struct tfdv *t, yyjson_mut_val *into, const char *name, const char *text);
void tfdv_put_int(struct tfdv *t, yyjson_mut_val *into, const char *name, int64_t value);
void tfdv_put_number(struct tfdv *t, yyjson_mut_val *into, const char *name, double value);
void tfdv_put_flag(struct tfdv *t, yyjson_mut_val *into, const char *name);
int tfdv_write(struct tfdv *t, yyjson_mut_val *check);
/* `# not mapped: "NAME": why` */
int tfdv_note(struct tfdv *t, const char *name, const char *why);

/* ---- environments and features (check_tfdv.c) */
int tfdv_read_feature(struct tfdv *t, const struct sl_prototext *node, struct tfdv_feature *ret);
bool tfdv_in_environment(const struct tfdv *t, const struct sl_prototext *feature, const char *environment);
/* The checks of one feature (check_tfdv_feature.c). */
int tfdv_map_feature(struct tfdv *t, const struct tfdv_feature *f);

#endif
