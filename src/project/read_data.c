/* Sections `sources` and `datasets`; their checks: read_checks.c. */
#include <stddef.h>
#include <string.h>

#include "base/str.h"
#include "os/file.h"
#include "project/column_type.h"
#include "project/shape.h"

/* ---- sources --------------------------------------------------------------------------------------------------------- */

static int read_columns_json(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	struct sl_source *source = target;
	int rc = sl_load_want_map(loader, node, "'columns'");
	for (size_t i = 0; !rc && i < node->count; i++) {
		const char *type;
		rc = sl_load_column_type(loader, node->entries[i].value, node->entries[i].key->text, &type);
	}
	return rc ? rc : sl_load_definition(loader, node, &source->columns);
}

static const char *const FORMATS[] = {"parquet", "csv", "json", NULL};
static const char *const AS[] = {"table", "files", NULL};
static const struct sl_row SOURCE_ROWS[] = {
	{"path", SL_ROW_TEXT, offsetof(struct sl_source, path), .required = true, .about = "file, glob or folder, relative to the project; or an http(s) address"},
	{"format", SL_ROW_CHOICE, offsetof(struct sl_source, format), .choices = FORMATS, .about = "when the file's name does not tell"},
	{"as", SL_ROW_CHOICE, offsetof(struct sl_source, as), .choices = AS, .about = "'files': a folder of any files, versioned as they are"},
	{"hidden", SL_ROW_BOOL, offsetof(struct sl_source, hidden), .about = "with 'as: files': also names that begin with a dot"},
	{"allow_private", SL_ROW_BOOL, offsetof(struct sl_source, allow_private), .about = "an http(s) address may lead to addresses that are not public"},
	{"max_size", SL_ROW_BYTES, offsetof(struct sl_source, max_bytes), .about = "of the file behind an http(s) address; 100 GB when not given"},
	{"timeout", SL_ROW_DURATION, offsetof(struct sl_source, timeout_ms), .about = "of one transfer from an http(s) address; 1h when not given"},
	{"columns", SL_ROW_OTHER, .read = read_columns_json, .about = "types of CSV columns by name; without it they are sniffed",
	 .schema = "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}"},
};
const struct sl_shape sl_shape_source = SL_SHAPE("a source", SOURCE_ROWS);

static int read_source(struct sl_loader *loader, const char *name, const struct sl_yaml *node, void *element)
{
	struct sl_source *source = element;
	*source = (struct sl_source){.name = name, .path = "", .format = "", .as = "table", .columns = "", .mark = node->mark};
	int rc = node->kind == SL_YAML_MAP ? sl_shape_read(loader, &sl_shape_source, node, source)
					   : sl_load_text(loader, node, name, &source->path);
	if (rc)
		return rc;
	if (strstr(source->path, "://") && !sl_str_starts(source->path, "http://") && !sl_str_starts(source->path, "https://")) {
		rc = sl_load_fail(loader, node->mark, SL_E_INVALID, "'%.200s' is an address of a kind that no source has", source->path);
		sl_error_hint(loader->err, "http:// and https:// are fetched; for others, fetch it with a step that has 'run'");
		return rc;
	}
	if (!*source->path)
		return sl_load_fail(loader, node->mark, SL_E_INVALID, "source '%s' has an empty path", name);
	return sl_load_definition(loader, node, &source->definition);
}

int sl_read_sources(struct sl_loader *loader, const struct sl_yaml *node, void *project)
{
	struct sl_project *p = project;
	return sl_section_each(loader, node, "'sources'", sizeof *p->sources, read_source, &p->sources, &p->source_count);
}

/* ---- datasets ---------------------------------------------------------------------------------------------------------- */

static const struct sl_row KEEP_ROWS[] = {
	{"last", SL_ROW_INT, offsetof(struct sl_dataset, keep_last), .min = 1, .max = 1e9, .about = "so many of the newest versions"},
	{"for", SL_ROW_DURATION, offsetof(struct sl_dataset, keep_for_ms), .about = "versions that are younger"},
};
static const struct sl_shape KEEP_SHAPE = SL_SHAPE("a retention rule", KEEP_ROWS);

static int read_keep(struct sl_loader *loader, const struct sl_yaml *node, void *target)
{
	return sl_shape_read(loader, &KEEP_SHAPE, node, target);
}

static const struct sl_row DATASET_ROWS[] = {
	{"keep", SL_ROW_OTHER, .read = read_keep, .shape = &KEEP_SHAPE, .about = "which versions 'sluice gc' keeps; all when not given"},
	{"environment", SL_ROW_REF, offsetof(struct sl_dataset, environment), .about = "only checks of this environment run: training, serving ..."},
	{"checks_of", SL_ROW_REF, offsetof(struct sl_dataset, checks_of), .about = "another dataset, whose checks hold here too"},
	{"checks", SL_ROW_OTHER, .read = sl_read_checks, .about = "what must hold for every version",
	 .schema = "{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/check\"}}"},
};
const struct sl_shape sl_shape_dataset = SL_SHAPE("a dataset", DATASET_ROWS);

static int read_dataset(struct sl_loader *loader, const char *name, const struct sl_yaml *node, void *element)
{
	struct sl_dataset *dataset = element;
	*dataset = (struct sl_dataset){.name = name, .environment = "", .checks_of = "", .mark = node->mark};
	int rc = sl_shape_read(loader, &sl_shape_dataset, node, dataset);
	if (!rc && !dataset->check_count && !*dataset->checks_of && !dataset->keep_last && !dataset->keep_for_ms)
		rc = sl_load_fail(loader, node->mark, SL_E_INVALID, "a dataset needs the key 'checks', 'checks_of' or 'keep'");
	dataset->params = sl_name_list_names(loader->uses);
	return rc;
}

bool sl_check_holds_in(const struct sl_check *check, const char *environment)
{
	bool holds = !*environment || !check->environments.count;
	for (size_t i = 0; i < check->environments.count; i++)
		holds |= strcmp(check->environments.items[i], environment) == 0;
	return holds;
}

/* What the dataset takes over stands before its own; what its environment leaves out is gone. `own` are all as they were read. */
static int gather_checks(struct sl_loader *loader, struct sl_dataset *dataset, const struct sl_dataset *from, const struct sl_dataset *own)
{
	struct sl_check *checks = sl_arena_array(loader->arena, own->check_count + (from ? from->check_count : 0) + 1, sizeof *checks);
	struct sl_name_list params = {0};
	const struct sl_dataset *const parts[] = {from, own};
	if (!checks)
		return sl_load_memory(loader);
	dataset->checks = checks;
	dataset->check_count = 0;
	for (size_t p = 0; p < 2; p++) {
		for (size_t i = 0; parts[p] && i < parts[p]->check_count; i++)
			if (sl_check_holds_in(&parts[p]->checks[i], dataset->environment))
				checks[dataset->check_count++] = parts[p]->checks[i];
		for (size_t i = 0; parts[p] && i < parts[p]->params.count; i++)
			if (sl_name_list_add_new(loader, &params, parts[p]->params.items[i]))
				return SL_E_NO_MEMORY;
	}
	dataset->params = sl_name_list_names(&params);
	return 0;
}

static int take_over_checks(struct sl_loader *loader, struct sl_project *p)
{
	struct sl_dataset *read = sl_arena_array(loader->arena, p->dataset_count + 1, sizeof *read);
	if (!read)
		return sl_load_memory(loader);
	for (size_t i = 0; i < p->dataset_count; i++)
		read[i] = p->datasets[i];
	int rc = 0;
	for (size_t i = 0; !rc && i < p->dataset_count; i++) {
		const struct sl_dataset *d = &read[i], *from = NULL;
		for (size_t k = 0; *d->checks_of && k < p->dataset_count; k++)
			from = strcmp(read[k].name, d->checks_of) == 0 ? &read[k] : from;
		if (*d->checks_of && (!from || *from->checks_of))
			return sl_load_fail(loader, d->mark, SL_E_INVALID, from ? "'%s' takes its own checks from another dataset: name that one" :
					    "'checks_of' wants a dataset with checks, and '%s' has none", d->checks_of);
		rc = gather_checks(loader, &p->datasets[i], from, d);
	}
	return rc;
}

int sl_read_datasets(struct sl_loader *loader, const struct sl_yaml *node, void *project)
{
	struct sl_project *p = project;
	int rc = sl_section_each(loader, node, "'datasets'", sizeof *p->datasets, read_dataset, &p->datasets, &p->dataset_count);
	return rc ? rc : take_over_checks(loader, p);
}
