/* Section `openlineage`. */
#include <stddef.h>

#include "base/str.h"
#include "project/shape.h"

enum { TIMEOUT_MAX_MS = 600000 };

#define SPEC(member) offsetof(struct sl_openlineage_spec, member)
static const struct sl_row OPENLINEAGE_ROWS[] = {
	{"url", SL_ROW_TEXT, SPEC(url), .about = "http(s) address of what takes the events, as http://localhost:5000"},
	{"endpoint", SL_ROW_TEXT, SPEC(endpoint), .about = "the path below it; api/v1/lineage when not given"},
	{"api_key", SL_ROW_TEXT, SPEC(api_key), .about = "sent as a bearer token; ${env:NAME} keeps it out of this file"},
	{"file", SL_ROW_TEXT, SPEC(file), .about = "a file to which the events are appended, one a line, instead of an address"},
	{"namespace", SL_ROW_TEXT, SPEC(namespace), .about = "of jobs and datasets; sluice://HOST when not given"},
	{"timeout", SL_ROW_DURATION, SPEC(timeout_ms), .about = "how long one event may take; 5s when not given"},
	{"allow_private", SL_ROW_BOOL, SPEC(allow_private), .about = "may the address be of this machine or its network?"},
};
const struct sl_shape sl_shape_openlineage = SL_SHAPE("'openlineage'", OPENLINEAGE_ROWS);

int sl_read_openlineage(struct sl_loader *loader, const struct sl_yaml *node, void *project)
{
	struct sl_openlineage_spec *spec = &((struct sl_project *)project)->openlineage;
	int rc = sl_shape_read(loader, &sl_shape_openlineage, node, spec);
	if (rc)
		return rc;
	if (!*spec->url == !*spec->file)
		return sl_load_fail(loader, node->mark, SL_E_INVALID, "'openlineage' takes either 'url' or 'file'");
	if (*spec->url && !sl_str_starts(spec->url, "http://") && !sl_str_starts(spec->url, "https://"))
		return sl_load_fail(loader, sl_yaml_get(node, "url")->mark, SL_E_INVALID, "'%.100s' does not begin with http:// or https://", spec->url);
	if (spec->timeout_ms <= 0 || spec->timeout_ms > TIMEOUT_MAX_MS)
		return sl_load_fail(loader, node->mark, SL_E_INVALID, "'timeout' is more than 0 and at most 10m");
	return 0;
}
