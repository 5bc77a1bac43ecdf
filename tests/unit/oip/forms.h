/* A model with one column of each kind, for tests and fuzzers of the request forms: no store, no trees. */
#ifndef SL_TESTS_OIP_FORMS_H
#define SL_TESTS_OIP_FORMS_H

#include "base/map.h"
#include "serve/endpoint.h"

#include <assert.h>
#include <string.h>

static struct sl_feature forms_features[] = {
	{.name = "distance", .type = "BIGINT", .kind = SL_SQL_INT}, {.name = "speed", .type = "DOUBLE", .kind = SL_SQL_DOUBLE},
	{.name = "cargo", .type = "BOOLEAN", .kind = SL_SQL_BOOL},
	{.name = "origin", .type = "VARCHAR", .kind = SL_SQL_TEXT, .encoding = SL_ENCODE_CATEGORY},
};
enum { DISTANCE, SPEED, CARGO, ORIGIN, FLIGHT, DATE };

/* With `numbers`, of the first two columns only. */
static struct sl_served *forms_served(const struct sl_endpoint *spec, bool numbers)
{
	struct sl_arena *arena = sl_arena_new(0, NULL);
	struct sl_served *served = arena ? sl_arena_alloc(arena, sizeof *served) : NULL;
	assert(served);
	served->arena = arena;
	served->spec = spec;
	served->references = 1;
	served->package.features = forms_features;
	served->package.feature_count = numbers ? 2 : 4;
	served->package.output = "probability";
	served->package.output_count = 1;
	served->package.algorithm = "xgboost";
	served->package.target = "late";
	strcpy(served->version_text, "7");
	int rc = sl_served_make_slots(served, NULL, 0, NULL);
	assert(rc == 0);
	return served;
}

#endif
