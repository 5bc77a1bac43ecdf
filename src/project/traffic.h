/* How an endpoint's requests go over models: the member `traffic` of an endpoint, in the project file, over the API and by
 * `sluice route`, in one form (docs/traffic.md):
 *
 *   {"weights": {"champion": 90, "challenger": 10}, "sticky": "flight_id",
 *    "segments": [{"when": "origin = 'JFK'", "to": "challenger"}],
 *    "shadow": {"candidate": 25}, "fallback": "simple@champion"}
 *
 * A variant is written ALIAS (of the endpoint's own model) or MODEL@ALIAS; a number is a version.
 */
#ifndef SL_PROJECT_TRAFFIC_H
#define SL_PROJECT_TRAFFIC_H

#include "base/json.h"
#include "project/experiment.h"
#include "project/predicate.h"

enum { SL_VARIANTS_MAX = 16, SL_SEGMENTS_MAX = 32, SL_TRAFFIC_BYTES_MAX = 16 * 1024, SL_VARIANT_NAME_MAX = 264 };

struct sl_variant {
	const char *model, *alias;
	const char *name;      /* "MODEL@ALIAS" */
	double weight;         /* share of what no segment takes; all of them add up to 1 */
	double shadow;         /* share of the requests that it sees beside the one that answers; 0: none */
};

struct sl_segment { const struct sl_predicate *when; const char *text; size_t to; };

struct sl_traffic {
	struct sl_variant variants[SL_VARIANTS_MAX]; /* [0]: the endpoint's `model` */
	size_t variant_count;
	const char *sticky;            /* column; "" = none */
	struct sl_segment segments[SL_SEGMENTS_MAX];
	size_t segment_count;
	size_t fallback;               /* a variant; SIZE_MAX: none */
	struct sl_experiment experiment;
};

/* For editors. */
#define SL_TRAFFIC_SCHEMA \
	"{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{" \
	"\"weights\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"number\",\"minimum\":0}}," \
	"\"sticky\":{\"type\":\"string\"}," \
	"\"segments\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"when\",\"to\"],\"additionalProperties\":false," \
	"\"properties\":{\"when\":{\"type\":\"string\"},\"to\":{\"type\":\"string\"}}}}," \
	"\"shadow\":{\"type\":[\"string\",\"array\",\"object\"]}," \
	"\"fallback\":{\"type\":\"string\"}," \
	"\"canary\":{\"type\":\"object\",\"required\":[\"to\",\"steps\"]}," \
	"\"test\":{\"type\":\"object\",\"required\":[\"between\",\"metric\",\"labels\"]}," \
	"\"bandit\":{\"type\":\"object\",\"required\":[\"between\",\"metric\",\"labels\"]}}}"

/* Of an endpoint that serves model@alias. `rules` NULL: everything goes to that. Everything lives in `arena`, also what was JSON. SL_E_INVALID
 * says which member, with the nearest name. */
int sl_traffic_read(yyjson_val *rules, const char *model, const char *alias, struct sl_arena *arena, const struct sl_traffic **ret,
		    struct sl_error *err);
/* The same of a text; "" counts as none. `where` starts the error's place. */
int sl_traffic_parse(const char *text, const char *where, const char *model, const char *alias, struct sl_arena *arena,
		     const struct sl_traffic **ret, struct sl_error *err);

#endif
