#include "project/params.h"

#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "project/override.h"

static bool is_identifier(const char *text) { return sl_name_valid(text) && !strpbrk(text, ".-"); }

static int read_param(struct sl_loader *loader, size_t i, const struct sl_yaml *key, const struct sl_yaml *node)
{
	if (!is_identifier(key->text)) {
		sl_load_fail(loader, key->mark, SL_E_INVALID, "'%.100s' cannot name a parameter", key->text);
		return sl_error_hint(loader->err, "a letter or '_', then letters, digits and '_', so that $NAME reads well");
	}
	if (node->kind == SL_YAML_SCALAR && node->text[0] == '$' && is_identifier(node->text + 1))
		return sl_load_fail(loader, node->mark, SL_E_INVALID, "a parameter cannot refer to another one");
	loader->project->params[i] = (struct sl_param){.name = key->text, .mark = key->mark};
	loader->values[i] = node;
	return sl_load_value(loader, node, &loader->project->params[i].value);
}

int sl_read_params(struct sl_loader *loader, const struct sl_yaml *node, void *project)
{
	struct sl_project *p = project;
	if (node->kind == SL_YAML_SCALAR && sl_yaml_is_null(node))
		return 0;
	if (node->kind != SL_YAML_MAP)
		return sl_load_fail(loader, node->mark, SL_E_INVALID, "'params' wants a map of names and values");
	p->params = sl_arena_array(loader->arena, node->count + 1, sizeof *p->params);
	loader->values = sl_arena_array(loader->arena, node->count + 1, sizeof *loader->values);
	loader->used = sl_arena_array(loader->arena, node->count + 1, sizeof *loader->used);
	if (!p->params || !loader->values || !loader->used)
		return sl_load_memory(loader);
	int rc = 0;
	for (size_t i = 0; !rc && i < node->count; i++)
		rc = read_param(loader, i, node->entries[i].key, node->entries[i].value);
	p->param_count = rc ? 0 : node->count;
	return rc;
}

/* ---- overrides --------------------------------------------------------------------------------------------------------- */

static const char *const TYPE_NAMES[] = {
	[SL_VALUE_NULL] = "null", [SL_VALUE_BOOL] = "true or false", [SL_VALUE_INT] = "a whole number", [SL_VALUE_DOUBLE] = "a number",
	[SL_VALUE_TEXT] = "a text", [SL_VALUE_TIME] = "a time", [SL_VALUE_JSON] = "a list or map",
};

static int to_node(struct sl_loader *loader, const struct sl_override_value *value, const struct sl_yaml **ret);

static int to_collection(struct sl_loader *loader, const struct sl_override_value *value, struct sl_yaml *node)
{
	node->kind = value->type == SL_OVERRIDE_DICT ? SL_YAML_MAP : SL_YAML_LIST;
	node->text = "";
	node->count = value->count;
	node->entries = sl_arena_array(loader->arena, value->count + 1, sizeof *node->entries);
	if (!node->entries)
		return sl_load_memory(loader);
	int rc = 0;
	for (size_t i = 0; !rc && i < value->count; i++) {
		if (value->keys)
			rc = to_node(loader, &value->keys[i], &node->entries[i].key);
		rc = rc ? rc : to_node(loader, &value->items[i], &node->entries[i].value);
	}
	return rc;
}

static int to_node(struct sl_loader *loader, const struct sl_override_value *value, const struct sl_yaml **ret)
{
	struct sl_yaml *node = sl_arena_alloc(loader->arena, sizeof *node);
	if (!node)
		return sl_load_memory(loader);
	*ret = node;
	*node = (struct sl_yaml){.kind = SL_YAML_SCALAR, .plain = true, .mark = {1, 1}};
	switch (value->type) {
	case SL_OVERRIDE_NULL: node->text = "null"; break;
	case SL_OVERRIDE_BOOL: node->text = value->i ? "true" : "false"; break;
	case SL_OVERRIDE_INT: node->text = sl_arena_printf(loader->arena, "%lld", (long long)value->i); break;
	case SL_OVERRIDE_DOUBLE:
		if (!(value->d - value->d == 0))
			return sl_fail(loader->err, SL_E_INVALID, "a parameter cannot be infinite or not a number");
		node->text = sl_arena_printf(loader->arena, "%.17e", value->d);
		break;
	case SL_OVERRIDE_TEXT:
		node->text = value->text;
		node->plain = false;
		break;
	default: return to_collection(loader, value, node);
	}
	return node->text ? 0 : sl_load_memory(loader);
}

/* A map goes over a map key by key; anything else replaces. */
static int merge(struct sl_loader *loader, const struct sl_yaml *base, const struct sl_yaml *over, const struct sl_yaml **ret)
{
	*ret = over;
	if (base->kind != SL_YAML_MAP || over->kind != SL_YAML_MAP)
		return 0;
	struct sl_yaml *both = sl_arena_alloc(loader->arena, sizeof *both);
	struct sl_yaml_entry *entries = sl_arena_array(loader->arena, base->count + over->count + 1, sizeof *entries);
	if (!both || !entries)
		return sl_load_memory(loader);
	*both = *base;
	both->entries = entries;
	if (base->count)
		memcpy(entries, base->entries, base->count * sizeof *entries);
	for (size_t i = 0; i < over->count; i++) {
		size_t at = 0;
		while (at < both->count && strcmp(entries[at].key->text, over->entries[i].key->text) != 0)
			at++;
		if (at == both->count)
			entries[both->count++] = over->entries[i];
		int rc = merge(loader, entries[at].value, over->entries[i].value, &entries[at].value);
		if (rc)
			return rc;
	}
	*ret = both;
	return 0;
}

/* The override's value in the parameter's type; NULL when it does not fit. */
static const struct sl_override_value *fit(const struct sl_override *override, enum sl_value_type type, struct sl_override_value *aside)
{
	const struct sl_override_value *v = &override->value;
	int64_t us;
	*aside = *v;
	switch (type) {
	case SL_VALUE_NULL: return v;
	case SL_VALUE_BOOL: return v->type == SL_OVERRIDE_BOOL ? v : NULL;
	case SL_VALUE_INT: return v->type == SL_OVERRIDE_INT ? v : NULL;
	case SL_VALUE_DOUBLE:
		if (v->type == SL_OVERRIDE_INT)
			*aside = (struct sl_override_value){.type = SL_OVERRIDE_DOUBLE, .d = (double)v->i};
		return aside->type == SL_OVERRIDE_DOUBLE ? aside : NULL;
	case SL_VALUE_TIME: return v->type == SL_OVERRIDE_TEXT && sl_time_parse_us(v->text, &us) ? v : NULL;
	case SL_VALUE_TEXT:
		if (v->type >= SL_OVERRIDE_LIST)
			return NULL;
		if (v->type != SL_OVERRIDE_TEXT) /* a text parameter takes a number as it was written */
			*aside = (struct sl_override_value){.type = SL_OVERRIDE_TEXT, .text = override->text};
		return aside;
	case SL_VALUE_JSON: return v->type == SL_OVERRIDE_LIST || v->type == SL_OVERRIDE_DICT ? v : NULL;
	}
	return NULL;
}

static int find_param(struct sl_loader *loader, const struct sl_override *override, size_t *ret)
{
	struct sl_name_list names = {0};
	for (size_t i = 0; i < loader->project->param_count; i++) {
		if (strcmp(loader->project->params[i].name, override->key) == 0) {
			*ret = i;
			return 0;
		}
		if (sl_name_list_add(loader, &names, loader->project->params[i].name))
			return SL_E_NO_MEMORY;
	}
	sl_fail(loader->err, SL_E_INVALID, "'%.100s' is not a parameter of this project", override->key);
	return sl_load_suggest(loader, override->key, names.items, names.count);
}

int sl_param_override(struct sl_loader *loader, const char *text)
{
	struct sl_override override;
	size_t i = 0;
	int rc = sl_override_parse(text, loader->arena, &override, loader->err);
	rc = rc ? rc : sl_override_plain(&override, loader->err);
	rc = rc ? rc : find_param(loader, &override, &i);
	if (rc)
		return sl_error_where(loader->err, "%.200s", text);
	struct sl_param *param = &loader->project->params[i];
	struct sl_override_value aside;
	const struct sl_override_value *value = fit(&override, param->value.type, &aside);
	if (!value) {
		sl_fail_at(loader->err, SL_E_INVALID, text, "parameter '%s' wants %s, as in %s:%d", param->name, TYPE_NAMES[param->value.type], loader->where,
			   param->mark.line);
		return SL_E_INVALID;
	}
	struct sl_yaml *node;
	const struct sl_yaml *made;
	rc = to_node(loader, value, &made);
	rc = rc ? rc : merge(loader, loader->values[i], made, &made);
	if (!rc && param->value.type == SL_VALUE_TIME) {
		node = sl_arena_alloc(loader->arena, sizeof *node);
		if (!node)
			return sl_load_memory(loader);
		*node = *made;
		node->plain = true;
		made = node;
	}
	if (rc)
		return rc;
	loader->values[i] = made;
	param->overridden = true;
	return sl_load_value(loader, made, &param->value);
}

int sl_params_check_used(struct sl_loader *loader)
{
	for (size_t i = 0; i < loader->project->param_count; i++)
		if (!loader->used[i]) {
			sl_load_fail(loader, loader->project->params[i].mark, SL_E_INVALID, "nothing uses the parameter '%s'", loader->project->params[i].name);
			return sl_error_hint(loader->err, "write $%s where it is meant, list it under a step's 'params', or take it out",
					     loader->project->params[i].name);
		}
	return 0;
}
