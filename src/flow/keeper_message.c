#include "flow/keeper_message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/alive.h"
#include "os/sandbox.h"

void flow_message_add(struct sl_buf *out, char kind, const void *text, size_t len)
{
	sl_buf_u32le(out, (uint32_t)(len + 1));
	sl_buf_char(out, kind);
	sl_buf_add(out, text, len);
}

int flow_message_first(const struct sl_buf *in, char *ret_kind, const char **ret_text, size_t *ret_len, struct sl_error *err)
{
	const unsigned char *p = (const unsigned char *)in->data;
	if (in->len < FLOW_MESSAGE_HEAD)
		return 0;
	uint32_t size = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
	if (size == 0 || size > FLOW_MESSAGE_MAX)
		return sl_fail(err, SL_E_CORRUPT, "a message of %u bytes between a run and its keeper", size);
	if (in->len - 4 < size)
		return 0;
	*ret_kind = in->data[4];
	*ret_text = in->data + FLOW_MESSAGE_HEAD;
	*ret_len = size - 1;
	return (int)size + 4;
}

/* ---- what is to be started -------------------------------------------------------------------------------------------------------- */

static void put(struct sl_buf *out, const char *text) { sl_buf_add(out, text, strlen(text) + 1); }

static void put_number(struct sl_buf *out, int64_t value)
{
	sl_buf_printf(out, "%lld", (long long)value);
	sl_buf_char(out, 0);
}

static void put_list(struct sl_buf *out, const char *const *items, size_t count)
{
	put_number(out, (int64_t)count);
	for (size_t i = 0; i < count; i++)
		put(out, items[i]);
}

static size_t count_texts(const char *const *items)
{
	size_t n = 0;
	while (items[n])
		n++;
	return n;
}

enum { HELD = 1, FILTER = 2, NETWORK = 4, RULESET = 8, WATCH = 16, TRUNCATES = 32 };

static void put_sandbox(struct sl_buf *out, const struct sl_sandbox *s)
{
	const char *const none[] = {NULL}, *const *known = s && s->known ? s->known : none;
	put_number(out, s ? HELD + FILTER * s->filter + NETWORK * s->network + RULESET * (s->ruleset_fd >= 0) + WATCH * s->watch + TRUNCATES * s->truncates : 0);
	put_number(out, s ? s->port : 0);
	put_list(out, known, count_texts(known));
}

int flow_start_write(const struct flow_kept_start *start, struct sl_buf *out, struct sl_error *err)
{
	const struct sl_process_options *p = &start->process;
	put(out, start->id);
	put(out, p->dir);
	put(out, p->log_path ? p->log_path : "");
	put_number(out, p->timeout_ms);
	put_number(out, (int64_t)p->memory_bytes);
	put_number(out, p->limits.cpu_ms);
	put_number(out, (int64_t)p->limits.file_bytes);
	put_number(out, (int64_t)p->limits.open_files);
	put_sandbox(out, p->sandbox);
	put_list(out, p->argv, count_texts(p->argv));
	put_list(out, p->env, count_texts(p->env));
	put_list(out, start->texts ? start->texts->items : NULL, start->texts ? start->texts->count : 0);
	return sl_buf_check(out, "the arguments and environment of a step", err);
}

struct reader { const char *at, *end; struct sl_arena *arena; bool bad; };

static const char *take(struct reader *r)
{
	const char *text = r->at, *nul = r->at < r->end ? memchr(r->at, 0, (size_t)(r->end - r->at)) : NULL;
	r->bad |= !nul;
	r->at = nul ? nul + 1 : r->end;
	return nul ? text : "";
}

static int64_t take_number(struct reader *r) { return strtoll(take(r), NULL, 10); }

static const char **take_list(struct reader *r, size_t *ret_count)
{
	int64_t count = take_number(r);
	r->bad |= count < 0 || count > r->end - r->at; /* each has a NUL at least */
	const char **items = r->bad ? NULL : sl_arena_array(r->arena, (size_t)count + 1, sizeof *items);
	*ret_count = items ? (size_t)count : 0;
	r->bad |= !items;
	for (size_t i = 0; i < *ret_count; i++)
		items[i] = take(r);
	return items;
}

static bool take_sandbox(struct reader *r, struct sl_sandbox *ret, bool *ret_ruleset)
{
	size_t count;
	int64_t held = take_number(r);
	*ret = (struct sl_sandbox){.ruleset_fd = -1, .filter = (held & FILTER) != 0, .network = (held & NETWORK) != 0, .watch = (held & WATCH) != 0,
				   .truncates = (held & TRUNCATES) != 0};
	ret->port = (uint16_t)take_number(r);
	ret->known = take_list(r, &count);
	*ret_ruleset = (held & RULESET) != 0;
	return held != 0;
}

int flow_start_read(const char *text, size_t len, struct sl_arena *arena, struct flow_kept_start *ret, bool *ret_ruleset, struct sl_error *err)
{
	char *copy = sl_arena_alloc(arena, len + 1);
	struct sl_sandbox *sandbox = sl_arena_alloc(arena, sizeof *sandbox);
	struct sl_names *texts = sl_arena_alloc(arena, sizeof *texts);
	if (!copy || !sandbox || !texts)
		return sl_fail_memory(err);
	memcpy(copy, text, len);
	struct reader r = {.at = copy, .end = copy + len, .arena = arena};
	size_t count;
	*ret = (struct flow_kept_start){.id = take(&r), .texts = texts};
	ret->process.dir = take(&r);
	ret->process.log_path = take(&r);
	ret->process.log_path = *ret->process.log_path ? ret->process.log_path : NULL;
	ret->process.timeout_ms = take_number(&r);
	ret->process.memory_bytes = (uint64_t)take_number(&r);
	ret->process.limits.cpu_ms = take_number(&r);
	ret->process.limits.file_bytes = (uint64_t)take_number(&r);
	ret->process.limits.open_files = (uint64_t)take_number(&r);
	ret->process.sandbox = take_sandbox(&r, sandbox, ret_ruleset) ? sandbox : NULL;
	ret->process.argv = take_list(&r, &count);
	bool empty = count == 0;
	ret->process.env = take_list(&r, &count);
	texts->items = take_list(&r, &texts->count);
	if (r.bad || empty || strlen(ret->id) >= FLOW_KEPT_ID || r.at != r.end)
		return sl_fail(err, SL_E_CORRUPT, "a message to the keeper is not whole");
	return 0;
}

/* ---- how it ended ----------------------------------------------------------------------------------------------------------------- */

int flow_end_write(const struct flow_kept_end *end, struct sl_buf *out, struct sl_error *err)
{
	const struct sl_process_end *e = &end->end;
	char mark[SL_PROCESS_MARK];
	sl_buf_printf(out, "{\"format\":1,\"mark\":\"%s\",\"exit_status\":%d,\"signal\":%d,\"ok\":%s,\"timed_out\":%s,\"stopped\":%s,\"survivors\":%u", sl_process_mark(0, mark),
		      e->exit_status, e->signal, e->ok ? "true" : "false", e->timed_out ? "true" : "false", e->stopped ? "true" : "false", e->survivors);
	sl_buf_printf(out, ",\"output_bytes\":%llu,\"dropped_bytes\":%llu,\"dropped_events\":%llu,\"user_ms\":%lld,\"system_ms\":%lld,\"peak_bytes\":%llu,\"out_of_memory\":%d",
		      (unsigned long long)e->output_bytes, (unsigned long long)e->dropped_bytes, (unsigned long long)e->dropped_events, (long long)e->user_ms,
		      (long long)e->system_ms, (unsigned long long)e->peak_bytes, (int)e->out_of_memory);
	sl_buf_printf(out, ",\"text\":%s,\"cause\":", end->text ? "true" : "false");
	sl_json_string(out, e->cause, strlen(e->cause));
	sl_buf_str(out, ",\"refused\":");
	sl_json_string(out, e->refused, strlen(e->refused));
	sl_buf_char(out, '}');
	return sl_buf_check(out, "the end of a step", err);
}

int flow_end_read(const char *text, size_t len, struct flow_kept_end *ret, struct sl_error *err)
{
	SL_AUTO_JSON yyjson_doc *doc = sl_json_parse(text, len, "the end of a step", err);
	yyjson_val *root = yyjson_doc_get_root(doc);
	if (!doc)
		return SL_E_CORRUPT;
	/* What was in the memory of a machine that stopped may be half on its disk. */
	if (sl_json_int(root, "format", 0) != 1 || !sl_process_mark_this_boot(sl_json_str(root, "mark", "")))
		return sl_fail(err, SL_E_NOT_FOUND, "the end of a step is of another version, or the machine was started since");
	int64_t memory = sl_json_int(root, "out_of_memory", 0);
	*ret = (struct flow_kept_end){.text = sl_json_bool(root, "text", false), .end = {
		.exit_status = (int)sl_json_int(root, "exit_status", -1), .signal = (int)sl_json_int(root, "signal", 0), .ok = sl_json_bool(root, "ok", false),
		.timed_out = sl_json_bool(root, "timed_out", false), .stopped = sl_json_bool(root, "stopped", false), .survivors = (unsigned)sl_json_int(root, "survivors", 0),
		.output_bytes = (uint64_t)sl_json_int(root, "output_bytes", 0), .dropped_bytes = (uint64_t)sl_json_int(root, "dropped_bytes", 0),
		.dropped_events = (uint64_t)sl_json_int(root, "dropped_events", 0), .user_ms = sl_json_int(root, "user_ms", 0), .system_ms = sl_json_int(root, "system_ms", 0),
		.peak_bytes = (uint64_t)sl_json_int(root, "peak_bytes", 0),
		.out_of_memory = memory == SL_MEMORY_OF_CHILD || memory == SL_MEMORY_OF_MACHINE ? (enum sl_memory)memory : SL_MEMORY_ENOUGH}};
	snprintf(ret->end.cause, sizeof ret->end.cause, "%s", sl_json_str(root, "cause", ""));
	snprintf(ret->end.refused, sizeof ret->end.refused, "%s", sl_json_str(root, "refused", ""));
	return 0;
}
