/* Where OpenLineage events go, and under which names: the environment's word, else the project file's section `openlineage`. */
#ifndef SL_OPENLINEAGE_TARGET_H
#define SL_OPENLINEAGE_TARGET_H

#include "project/project.h"

/* Texts live in the project's or the caller's arena. Either `url` (whole, with the endpoint's path) or `file` (absolute) is there, the other is "". */
struct sl_openlineage_target {
	const char *url, *file;
	const char *api_key;     /* "": none */
	const char *namespace;   /* never "" */
	const char *project;     /* the project's name: what jobs and datasets begin with */
	int64_t timeout_ms;
	bool allow_private;
};

/* 1 and filled; 0: nobody wants events. The variables are those of OpenLineage's own clients:
 *   OPENLINEAGE_DISABLED=true   no events
 *   OPENLINEAGE_URL, _ENDPOINT, _API_KEY   an address
 *   OPENLINEAGE_CONFIG          a YAML file with `transport: {type: http | file | console ...}`, when OPENLINEAGE_URL is not there
 *   OPENLINEAGE_NAMESPACE
 * An address that the environment names may be private. SL_E_INVALID for an address or a file of settings that cannot be taken. */
int sl_openlineage_target(const struct sl_project *project, struct sl_arena *arena, struct sl_openlineage_target *ret, struct sl_error *err);

#endif
