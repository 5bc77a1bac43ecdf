/* labels, trigger: what the outside tells the watch. */
#include "watch/label.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "op/client.h"
#include "op/context.h"
#include "op/handlers.h"
#include "watch/trigger.h"

enum { SETS_MAX = 64 };

/* A label set has one writing process at a time. The server keeps its writers open between requests: the only state of this
 * floor, one mutex around it, since requests come on several threads. Closed by the end of the process: every append is durable
 * when it returns. */
static pthread_mutex_t writers_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct { char set[SL_NAME_MAX + 1]; struct sl_labels *labels; } writers[SETS_MAX];

static int writer_of(struct sl_store *store, const char *set, struct sl_labels **ret, struct sl_error *err)
{
	size_t i = 0;
	while (i < SETS_MAX && writers[i].labels && !sl_str_eq(writers[i].set, set))
		i++;
	if (i == SETS_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "more than %d label sets", SETS_MAX);
	if (!writers[i].labels) {
		int rc = sl_labels_open(store, set, &writers[i].labels, err);
		if (rc)
			return rc;
		snprintf(writers[i].set, sizeof writers[i].set, "%s", set);
	}
	*ret = writers[i].labels;
	return 0;
}

static int add_here(struct sl_store *store, const char *set, const struct sl_label *items, size_t count, struct sl_error *err)
{
	struct sl_labels *labels = NULL;
	pthread_mutex_lock(&writers_mutex);
	int rc = writer_of(store, set, &labels, err);
	if (!rc)
		rc = sl_labels_add(labels, items, count, err);
	pthread_mutex_unlock(&writers_mutex);
	return rc;
}

/* JSON lines become a JSON list; anything else stays as it is. */
static void lines_to_list(const struct sl_buf *text, struct sl_buf *out)
{
	sl_buf_char(out, '[');
	bool first = true;
	for (const char *line = sl_buf_cstr(text); *line;) {
		size_t len = strcspn(line, "\n");
		if (strspn(line, " \t\r") < len) {
			if (!first)
				sl_buf_char(out, ',');
			sl_buf_add(out, line, len);
			first = false;
		}
		line += len + (line[len] == '\n');
	}
	sl_buf_char(out, ']');
}

/* {"labels":[...]} out of the argument or the file. */
static int read_body(struct sl_call *call, struct sl_buf *out, struct sl_error *err)
{
	const char *list = sl_call_text(call, "labels"), *file = sl_call_text(call, "file");
	char path[SL_PATH_MAX];
	struct sl_buf text SL_AUTO_BUF = SL_BUF_INIT(SL_ARG_JSON_MAX);
	if (!list == !file || (file && call->remote)) {
		sl_fail(err, SL_E_INVALID, call->remote ? "labels needs 'labels', a list" : "labels needs a file");
		return sl_error_hint(err, "sluice labels -h");
	}
	int rc = file ? sl_call_path(call, file, path, err) : 0;
	if (!rc && file)
		rc = sl_file_read(path, &text, err);
	if (rc)
		return rc;
	yyjson_doc *whole SL_AUTO_JSON = file ? sl_json_parse(sl_buf_cstr(&text), text.len, file, NULL) : NULL;
	if (whole && yyjson_obj_get(yyjson_doc_get_root(whole), "labels")) {
		sl_buf_add(out, text.data, text.len);
		return sl_buf_check(out, "labels", err);
	}
	sl_buf_str(out, "{\"labels\":");
	if (list)
		sl_buf_str(out, list);
	else
		lines_to_list(&text, out);
	sl_buf_char(out, '}');
	return sl_buf_check(out, "labels", err);
}

static int add_labels(struct sl_call *call, const char *set, const struct sl_buf *body, size_t *ret_count, struct sl_error *err)
{
	const struct sl_label *items;
	struct sl_store *store;
	struct sl_server server;
	const char *file = sl_call_text(call, "file");
	yyjson_doc *doc SL_AUTO_JSON = sl_json_parse(body->data, body->len, file ? file : "request body", err);
	if (!doc)
		return SL_E_INVALID;
	int rc = sl_labels_parse(yyjson_doc_get_root(doc), call->arena, &items, ret_count, err);
	if (!rc)
		rc = sl_call_store(call, &store, err);
	if (rc)
		return rc;
	/* The server, where one runs, is the one that writes the set. */
	int found = call->remote ? 0 : sl_server_find(store->dir, &server, err);
	if (found <= 0)
		return found ? found : add_here(store, set, items, *ret_count, err);
	char route[SL_NAME_MAX + 32];
	struct sl_buf answer SL_AUTO_BUF = SL_BUF_INIT(1 << 20);
	snprintf(route, sizeof route, "/api/v1/labels/%s", set);
	return sl_server_post(&server, route, body->data, body->len, &answer, err);
}

int sl_op_labels(struct sl_call *call, struct sl_error *err)
{
	const char *set = sl_call_text(call, "set");
	struct sl_buf body SL_AUTO_BUF = SL_BUF_INIT(SL_ARG_JSON_MAX + 64);
	size_t count = 0;
	int rc = read_body(call, &body, err);
	if (!rc)
		rc = add_labels(call, set, &body, &count, err);
	if (rc)
		return rc;
	yyjson_mut_val *result = sl_call_object(call);
	sl_put_text(call, result, "set", set);
	sl_put_int(call, result, "labels", (int64_t)count);
	return 0;
}

int sl_op_trigger(struct sl_call *call, struct sl_error *err)
{
	struct sl_project *project;
	struct sl_store *store;
	struct sl_up_state up;
	int64_t event;
	int rc = sl_call_project(call, &project, err);
	if (!rc)
		rc = sl_call_store(call, &store, err);
	if (!rc)
		rc = sl_trigger_call(store, project, sl_call_text(call, "name"), &event, err);
	if (rc)
		return rc;
	yyjson_mut_val *result = sl_call_object(call);
	sl_put_text(call, result, "trigger", sl_call_text(call, "name"));
	sl_put_int(call, result, "event", event);
	if (!call->remote && sl_up_state_read(store->dir, &up, NULL) == 0)
		sl_put_text(call, result, "note", "no server runs: it is decided when one does (sluice up)");
	return 0;
}
