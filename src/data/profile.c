/* A table's profile: the statement that hands its columns over, and the chunks. */
#include "data/profile.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "data/engine.h"
#include "data/profile_column.h"
#include "os/clock.h"

struct profiling {
	struct sl_profile *profile;
	struct sl_profile_work *works; /* beside the profile's columns */
	struct sl_profile_pairs pairs;
	struct sl_arena *arena;
	struct sl_error *err;
};

static void profiling_done(struct profiling *p)
{
	for (size_t i = 0; p->works && i < p->profile->column_count; i++)
		sl_profile_work_done(&p->works[i]);
	sl_profile_pairs_done(&p->pairs);
}

bool sl_profile_counted_only(const char *type)
{
	static const char *const STARTS[] = {"STRUCT", "MAP", "UNION", "BLOB", "GEOMETRY", "VARIANT"};

	for (size_t i = 0; i < SL_ARRAY_LEN(STARTS); i++)
		if (sl_str_starts(type, STARTS[i]))
			return true;
	return sl_str_ends(type, "]");
}

static int write_query(const struct sl_staged *table, size_t columns, struct sl_buf *out, struct sl_error *err)
{
	sl_buf_str(out, "SELECT ");
	for (size_t i = 0; i < columns; i++) {
		bool other = sl_profile_counted_only(table->columns[i].type);
		sl_buf_str(out, i ? ", " : "");
		sl_buf_str(out, other ? "CASE WHEN " : "");
		sl_sql_quote_name(out, table->columns[i].name);
		sl_buf_str(out, other ? " IS NOT NULL THEN true END" : "");
	}
	sl_buf_str(out, " FROM read_parquet([");
	for (size_t i = 0; i < table->file_count; i++) {
		sl_buf_str(out, i ? ", " : "");
		sl_sql_quote_text(out, table->files[i].path);
	}
	sl_buf_str(out, "], hive_partitioning = false)");
	return sl_buf_check(out, "the table's profile", err);
}

static enum sl_profile_kind kind_of(enum sl_sql_kind source, const char *type)
{
	static const enum sl_profile_kind KINDS[] = {[SL_SQL_BOOL] = SL_PROFILE_BOOL,
						     [SL_SQL_INT] = SL_PROFILE_NUMBER,
						     [SL_SQL_DOUBLE] = SL_PROFILE_NUMBER,
						     [SL_SQL_TEXT] = SL_PROFILE_TEXT,
						     [SL_SQL_TIME] = SL_PROFILE_TIME};
	return sl_profile_counted_only(type) ? SL_PROFILE_OTHER : KINDS[source];
}

static int begin(struct profiling *p, const struct sl_staged *table, const struct sl_sql_result *result)
{
	struct sl_profile *profile = p->profile;

	p->works = sl_arena_array(p->arena, profile->column_count + 1, sizeof *p->works);
	profile->columns = sl_arena_array(p->arena, profile->column_count + 1, sizeof *profile->columns);
	if (!p->works || !profile->columns)
		return sl_fail_memory(p->err);
	for (size_t i = 0; i < profile->column_count; i++) {
		enum sl_sql_kind source = sl_sql_column_kind(result, i);
		profile->columns[i] = (struct sl_profile_column){
			.name = sl_arena_strdup(p->arena, table->columns[i].name),
			.type = sl_arena_strdup(p->arena, table->columns[i].type),
			.kind = kind_of(source, table->columns[i].type),
			.min = INFINITY, .max = -INFINITY, .length_min = UINT64_MAX,
		};
		profile->columns[i].whole = profile->columns[i].kind == SL_PROFILE_NUMBER && source == SL_SQL_INT;
		p->works[i] = (struct sl_profile_work){.out = &profile->columns[i], .source = source};
		if (!profile->columns[i].name || !profile->columns[i].type)
			return sl_fail_memory(p->err);
		if (profile->columns[i].kind == SL_PROFILE_NUMBER && p->pairs.count < SL_PROFILE_PAIRED_MAX)
			p->pairs.columns[p->pairs.count++] = i;
	}
	return 0;
}

static int add_chunk(struct profiling *p, const struct sl_sql_column *columns, size_t rows)
{
	int rc = 0;

	for (size_t i = 0; i < p->profile->column_count && rc == 0; i++)
		rc = sl_profile_work_add(&p->works[i], &columns[i], rows);
	rc = rc ? rc : sl_profile_pairs_add(&p->pairs, columns, rows);
	p->profile->rows += rows;
	return rc < 0 ? sl_fail_memory(p->err) : 0;
}

static int end_pairs(struct profiling *p)
{
	struct sl_profile *profile = p->profile;
	size_t n = p->pairs.count;

	profile->pairs = sl_arena_array(p->arena, n * n / 2 + 1, sizeof *profile->pairs);
	if (!profile->pairs)
		return sl_fail_memory(p->err);
	for (size_t a = 0; a < n; a++)
		for (size_t b = a + 1; b < n; b++) {
			double r = sl_profile_pairs_get(&p->pairs, profile->pair_count);
			profile->pairs[profile->pair_count++] =
				(struct sl_profile_pair){p->pairs.columns[a], p->pairs.columns[b], r};
		}
	return 0;
}

int sl_profile_execute(struct sl_sql *sql, const struct sl_staged *table, struct sl_arena *arena, struct sl_profile *ret,
		       struct sl_error *err)
{
	SL_CLEANUP(sl_sql_result_closep) struct sl_sql_result *result = NULL;
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_ENGINE_TEXT_MAX);
	struct profiling p SL_CLEANUP(profiling_done) = {.profile = ret, .arena = arena, .err = err};
	const struct sl_sql_column *columns;
	size_t rows;

	*ret = (struct sl_profile){0};
	ret->column_count = table->column_count < SL_PROFILE_COLUMNS_MAX ? table->column_count : SL_PROFILE_COLUMNS_MAX;
	int rc = write_query(table, ret->column_count, &text, err);
	if (rc < 0 || (rc = sl_sql_query(sql, sl_buf_cstr(&text), NULL, 0, "", &result, err)) < 0
	    || (rc = begin(&p, table, result)) < 0)
		return rc;
	while ((rc = sl_sql_next(result, &columns, &rows, err)) == 1)
		if ((rc = add_chunk(&p, columns, rows)) < 0)
			return rc;
	for (size_t i = 0; i < ret->column_count && rc == 0; i++)
		rc = sl_profile_work_end(&p.works[i], arena, err);
	return rc < 0 ? rc : end_pairs(&p);
}

const struct sl_profile_column *sl_profile_column(const struct sl_profile *profile, const char *name)
{
	for (size_t i = 0; i < profile->column_count; i++)
		if (strcmp(profile->columns[i].name, name) == 0)
			return &profile->columns[i];
	return NULL;
}

char *sl_profile_time(double us, char out[SL_PROFILE_TIME_TEXT])
{
	int64_t whole = (int64_t)us, ms = whole / 1000 - (whole % 1000 < 0);
	int rest = (int)(whole - ms * 1000);
	char text[SL_TIME_TEXT];

	sl_time_format(ms, text);
	size_t len = strlen(text);
	if (!rest)
		snprintf(out, SL_PROFILE_TIME_TEXT, "%s", text);
	else /* without the Z; milliseconds stand there unless they are 0 */
		snprintf(out, SL_PROFILE_TIME_TEXT, "%.*s%s%03dZ", (int)len - 1, text, ms % 1000 ? "" : ".000", rest);
	return out;
}

/* ---- kept with the version --------------------------------------------------------------------------------------------- */

int sl_profile_keep(struct sl_meta *meta, const struct sl_hash *version, const char *text, struct sl_error *err)
{
	char hex[SL_HASH_HEX + 1];
	int64_t n = sl_meta_exec(meta, err,
				 "INSERT INTO dataset_profile(hash, profile, made_ms) VALUES(?1, ?2, ?3) ON CONFLICT(hash) DO NOTHING",
				 "ssi", sl_hash_hex(version, hex), text, sl_now_ms());

	return n < 0 ? (int)n : 0;
}

int sl_profile_find(struct sl_meta *meta, const struct sl_hash *version, struct sl_arena *arena, const char **ret,
		    struct sl_error *err)
{
	SL_AUTO_STMT struct sl_stmt *stmt = NULL;
	char hex[SL_HASH_HEX + 1];
	int rc = sl_meta_query(meta, &stmt, err, "SELECT profile FROM dataset_profile WHERE hash = ?1", "s",
			       sl_hash_hex(version, hex));

	rc = rc < 0 ? rc : sl_stmt_step(stmt, err);
	if (rc != 1)
		return rc;
	*ret = sl_arena_strdup(arena, sl_stmt_text(stmt, 0));
	return *ret ? 1 : sl_fail_memory(err);
}
