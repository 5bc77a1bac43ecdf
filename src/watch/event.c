#include "watch/event.h"

#include "os/clock.h"

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
	return 0;
}
