#include "watch/event.h"

#include <stdio.h>

#include "base/str.h"
#include "ledger/rows.h"
#include "os/clock.h"

/* "monitor.alarm" of "monitor:delay_quality"; "trigger.cron" and "trigger.call" of "trigger:retrain". */
static int enter(struct sl_track *track, const struct sl_event *event, int64_t seq, struct sl_error *err)
{
	char action[64], subject[SL_NAME_MAX + 16];
	bool of_monitor = sl_str_starts(event->kind, "monitor.");
	snprintf(action, sizeof action, "%s%.40s", of_monitor ? "" : "trigger.", event->kind);
	snprintf(subject, sizeof subject, "%s:%.128s", of_monitor ? "monitor" : "trigger", event->subject);
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *detail = doc ? yyjson_mut_obj(doc) : NULL;
	if (!detail || !yyjson_mut_obj_add_int(doc, detail, "event", seq))
		return sl_fail_memory(err);
	if (event->to_ms && (!yyjson_mut_obj_add_int(doc, detail, "from_ms", event->from_ms) || /* what is of no window has neither */
			     !yyjson_mut_obj_add_int(doc, detail, "to_ms", event->to_ms)))
		return sl_fail_memory(err);
	int rc = sl_ledger_cover(track->ledger, doc, detail, "event", err, "i", seq);
	return rc ? rc : sl_ledger_append(track->ledger, action, subject, detail, NULL, err);
}

int sl_event_add(struct sl_track *track, const struct sl_event *event, int64_t *ret_seq, struct sl_error *err)
{
	int64_t seq;
	int rc = sl_meta_int(track->meta, 1, &seq, err, "SELECT COALESCE(MAX(seq), 0) + 1 FROM event", "");
	if (rc)
		return rc;
	int64_t changed = sl_meta_exec(track->meta, err,
		"INSERT INTO event(seq, kind, subject, from_ms, to_ms, detail, made_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)", "issiisi",
		seq, event->kind, event->subject, event->from_ms, event->to_ms, event->detail, sl_now_ms());
	if (changed < 0)
		return (int)changed;
	if (ret_seq)
		*ret_seq = seq;
	return enter(track, event, seq, err);
}
