/* Lookups: `lookup` of a step, which joins a keyed dataset to rows, and `features` of an endpoint, which has the same done for its requests. */
#include <stddef.h>
#include <string.h>

#include "project/lookup.h"
#include "project/shape.h"

/* ---- of a step ---- */

struct lookup_read { struct sl_lookup lookup; const char *data; const struct sl_yaml *defaults; };

static int note_defaults(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	((struct lookup_read *)target)->defaults = node; /* read when the columns are known */
	return sl_load_want_map(loader, node, "'default'");
}

#define LOOKUP(member) offsetof(struct lookup_read, lookup.member)
static const struct sl_row LOOKUP_ROWS[] = {
	{"data", SL_ROW_REF, offsetof(struct lookup_read, data), .required = true, .about = "dataset whose rows get the columns"},
	{"from", SL_ROW_REF, LOOKUP(from), .required = true, .about = "keyed dataset that has them"},
	{"key", SL_ROW_NAMES, LOOKUP(key), .required = true, .about = "columns that both have"},
	{"columns", SL_ROW_NAMES, LOOKUP(columns), .required = true, .about = "what is brought"},
	{"at", SL_ROW_TEXT, LOOKUP(at), .about = "column of the rows: their time"},
	{"time", SL_ROW_TEXT, LOOKUP(time), .about = "column of the keyed dataset: when the values were known. A row gets the newest that is not after it"},
	{"default", SL_ROW_OTHER, .read = note_defaults, .schema = "{\"type\":\"object\",\"additionalProperties\":{\"type\":[\"number\",\"string\",\"boolean\",\"null\"]}}",
	 .about = "column: value, for keys that are not there; else missing"},
};
const struct sl_shape sl_shape_lookup = SL_SHAPE("'lookup'", LOOKUP_ROWS);

static size_t place_of(const struct sl_names *names, const char *name)
{
	size_t i = 0;
	while (i < names->count && strcmp(names->items[i], name) != 0)
		i++;
	return i;
}

static int read_default(struct sl_loader *loader, const struct sl_yaml_entry *entry, struct sl_lookup *lookup)
{
	size_t i = place_of(&lookup->columns, entry->key->text);
	SL_AUTO_JSON_MUT yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *value;
	if (!doc)
		return sl_load_memory(loader);
	if (i == lookup->columns.count) {
		sl_load_fail(loader, entry->key->mark, SL_E_INVALID, "'%.128s' is not among the columns", entry->key->text);
		return sl_load_suggest(loader, entry->key->text, lookup->columns.items, lookup->columns.count);
	}
	int rc = sl_load_json(loader, entry->value, doc, &value);
	if (!rc && yyjson_mut_is_ctn(value))
		rc = sl_load_fail(loader, entry->value->mark, SL_E_INVALID, "a default is a number, a text, true, false or null");
	return rc ? rc : sl_load_canonical(loader, value, &lookup->defaults[i]);
}

static int read_defaults(struct sl_loader *loader, struct lookup_read *read)
{
	struct sl_lookup *lookup = &read->lookup;
	lookup->defaults = sl_arena_array(loader->arena, lookup->columns.count + 1, sizeof *lookup->defaults);
	if (!lookup->defaults)
		return sl_load_memory(loader);
	for (size_t i = 0; i < lookup->columns.count; i++)
		lookup->defaults[i] = "null";
	int rc = 0;
	for (size_t i = 0; !rc && read->defaults && i < read->defaults->count; i++)
		rc = read_default(loader, &read->defaults->entries[i], lookup);
	return rc;
}

/* A column is brought once, and is neither key nor time. */
static int check_columns(struct sl_loader *loader, const struct sl_yaml *node, const struct sl_lookup *lookup)
{
	if (lookup->key.count > SL_LOOKUP_KEYS_MAX || lookup->columns.count > SL_LOOKUP_COLUMNS_MAX)
		return sl_load_fail(loader, node->mark, SL_E_INVALID, "a lookup has at most %d columns as key, and brings at most %d", SL_LOOKUP_KEYS_MAX,
				    SL_LOOKUP_COLUMNS_MAX);
	if (!*lookup->at != !*lookup->time)
		return sl_load_fail(loader, node->mark, SL_E_INVALID, "'at' and 'time' belong together: the rows' time, and when the values were known");
	for (size_t i = 0; i < lookup->columns.count; i++) {
		const char *column = lookup->columns.items[i];
		if (place_of(&lookup->columns, column) != i)
			return sl_load_fail(loader, node->mark, SL_E_INVALID, "column '%.128s' is listed twice", column);
		if (place_of(&lookup->key, column) < lookup->key.count || strcmp(column, lookup->at) == 0)
			return sl_load_fail(loader, node->mark, SL_E_INVALID, "column '%.128s' is what the rows have already", column);
	}
	return 0;
}

/* A lookup is an SQL step whose text we write. */
int sl_read_lookup(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct sl_step *step = target;
	struct lookup_read read = {.lookup = {.at = "", .time = ""}};
	SL_AUTO_BUF struct sl_buf text = SL_BUF_INIT(SL_PROJECT_SQL_BYTES_MAX);
	struct sl_lookup *kept = sl_arena_alloc(loader->arena, sizeof *kept);
	if (!kept)
		return sl_load_memory(loader);
	int rc = sl_shape_read(loader, &sl_shape_lookup, node, &read);
	rc = rc ? rc : read_defaults(loader, &read);
	rc = rc ? rc : check_columns(loader, node, &read.lookup);
	if (rc)
		return rc;
	sl_lookup_sql(&read.lookup, read.data, &text);
	if ((rc = sl_buf_check(&text, "the lookup's query", loader->err)))
		return rc;
	*kept = read.lookup;
	step->kind = SL_STEP_SQL;
	step->sql_mark = node->mark;
	step->lookup = kept;
	step->sql_text = sl_arena_strdup(loader->arena, sl_buf_cstr(&text));
	return step->sql_text ? 0 : sl_load_memory(loader);
}

/* ---- of an endpoint ---- */

static const struct sl_row FEATURES_ROWS[] = {
	{"from", SL_ROW_REF, offsetof(struct sl_endpoint_features, from), .required = true, .about = "keyed dataset, of a lookup that the model's training data has"},
	{"key", SL_ROW_NAMES, offsetof(struct sl_endpoint_features, key), .required = true, .about = "columns of the request"},
};
const struct sl_shape sl_shape_features = SL_SHAPE("'features'", FEATURES_ROWS);

int sl_read_endpoint_features(struct sl_loader *loader, const struct sl_yaml *node, struct sl_endpoint *endpoint)
{
	const struct sl_yaml *single = node;
	bool list = node->kind == SL_YAML_LIST;
	size_t count = list ? node->count : 1;
	if (!count || count > SL_LOOKUPS_MAX)
		return sl_load_fail(loader, node->mark, SL_E_INVALID, "'features' has 1 to %d lookups", SL_LOOKUPS_MAX);
	endpoint->features = sl_arena_array(loader->arena, count, sizeof *endpoint->features);
	if (!endpoint->features)
		return sl_load_memory(loader);
	int rc = 0;
	for (size_t i = 0; !rc && i < count; i++) {
		const struct sl_yaml *one = list ? node->entries[i].value : single;
		rc = sl_shape_read(loader, &sl_shape_features, one, &endpoint->features[endpoint->feature_count++]);
	}
	return rc;
}
