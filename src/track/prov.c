#include "track/prov.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define AGENT "agent:sluice"

struct prov {
	yyjson_mut_doc *doc;
	yyjson_mut_val *out;
	unsigned relations;
	bool failed;
};

static const char *text_of(yyjson_mut_val *object, const char *name)
{
	const char *text = yyjson_mut_get_str(yyjson_mut_obj_get(object, name));
	return text ? text : "";
}

/* The part of the document with this name, made when first needed. */
static yyjson_mut_val *part(struct prov *p, const char *name)
{
	yyjson_mut_val *value = yyjson_mut_obj_get(p->out, name);
	if (!value)
		value = yyjson_mut_obj_add_obj(p->doc, p->out, name);
	p->failed |= !value;
	return value;
}

/* A node's id as a qualified name: the kind is the prefix, and only the first ':' is one. */
static yyjson_mut_val *qualified(struct prov *p, const char *id)
{
	static const char PLAIN[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-@/#";
	struct sl_buf name SL_AUTO_BUF = SL_BUF_INIT(64 << 10);
	const char *local = strchr(id, ':');
	sl_buf_add(&name, id, local ? (size_t)(local - id + 1) : 0);
	for (const char *at = local ? local + 1 : id; *at; at++) {
		if (strchr(PLAIN, *at))
			sl_buf_char(&name, *at);
		else
			sl_buf_printf(&name, "%%%02X", (unsigned char)*at);
	}
	yyjson_mut_val *value = name.failed ? NULL : yyjson_mut_strcpy(p->doc, sl_buf_cstr(&name));
	p->failed |= !value;
	return value;
}

static void put(struct prov *p, yyjson_mut_val *object, const char *name, yyjson_mut_val *value)
{
	p->failed |= !value || !yyjson_mut_obj_add_val(p->doc, object, name, value);
}

/* "prov:type": a qualified name, spelt as PROV-JSON spells typed literals. */
static void put_type(struct prov *p, yyjson_mut_val *object, const char *prefix, const char *type)
{
	char name[64];
	yyjson_mut_val *value = yyjson_mut_obj(p->doc);
	snprintf(name, sizeof name, "%s:%.40s", prefix, type);
	put(p, object, "prov:type", value);
	put(p, value, "$", yyjson_mut_strcpy(p->doc, name));
	put(p, value, "type", yyjson_mut_str(p->doc, "prov:QUALIFIED_NAME"));
}

static void put_copy(struct prov *p, yyjson_mut_val *object, const char *name, yyjson_mut_val *node, const char *member)
{
	yyjson_mut_val *value = yyjson_mut_obj_get(node, member);
	if (value && !yyjson_mut_is_null(value) && *text_of(node, member))
		put(p, object, name, yyjson_mut_strcpy(p->doc, text_of(node, member)));
}

/* ---- nodes ---------------------------------------------------------------------------------------------------------- */

static void relate(struct prov *p, const char *relation, const char *first_name, const char *first, const char *second_name,
		   const char *second)
{
	char id[32];
	yyjson_mut_val *list = part(p, relation), *object = yyjson_mut_obj(p->doc);
	snprintf(id, sizeof id, "_:r%u", ++p->relations);
	yyjson_mut_val *key = yyjson_mut_strcpy(p->doc, id);
	p->failed |= !key || !object || !yyjson_mut_obj_add(list, key, object);
	put(p, object, first_name, qualified(p, first));
	put(p, object, second_name, qualified(p, second));
}

static void add_node(struct prov *p, yyjson_mut_val *node)
{
	const char *kind = text_of(node, "kind");
	bool run = sl_str_eq(kind, "run");
	yyjson_mut_val *list = part(p, run ? "activity" : "entity"), *object = yyjson_mut_obj(p->doc);
	p->failed |= !object || !yyjson_mut_obj_add(list, qualified(p, text_of(node, "id")), object);
	put_copy(p, object, "prov:label", node, "name");
	put_type(p, object, "sluice", run ? text_of(node, "run_kind") : kind);
	put_copy(p, object, "sluice:status", node, "status");
	if (!run) {
		put_copy(p, object, "sluice:sha256", node, "hash");
		return;
	}
	put_copy(p, object, "prov:startTime", node, "started");
	put_copy(p, object, "prov:endTime", node, "ended");
	put_copy(p, object, "sluice:record", node, "record");
	relate(p, "wasAssociatedWith", "prov:activity", text_of(node, "id"), "prov:agent", AGENT);
}

/* ---- edges ---------------------------------------------------------------------------------------------------------- */

static void add_edge(struct prov *p, yyjson_mut_val *edge)
{
	const char *as = text_of(edge, "as"), *from = text_of(edge, "from"), *to = text_of(edge, "to");
	if (sl_str_eq(as, "made_by"))
		relate(p, "wasGeneratedBy", "prov:entity", from, "prov:activity", to);
	else if (sl_str_eq(as, "output") || (sl_str_eq(as, "version") && sl_str_starts(from, "run:")))
		relate(p, "wasGeneratedBy", "prov:entity", to, "prov:activity", from);
	else if (sl_str_eq(as, "input"))
		relate(p, "used", "prov:activity", from, "prov:entity", to);
	else if (sl_str_eq(as, "read_by"))
		relate(p, "used", "prov:activity", to, "prov:entity", from);
	else if (sl_str_eq(as, "step"))
		relate(p, "wasStartedBy", "prov:activity", to, "prov:starter", from);
	else if (sl_str_eq(as, "model") || sl_str_eq(as, "looked_up"))
		relate(p, "wasDerivedFrom", "prov:generatedEntity", from, "prov:usedEntity", to);
	else if (sl_str_eq(as, "package"))
		relate(p, "specializationOf", "prov:specificEntity", from, "prov:generalEntity", to);
	else
		relate(p, "specializationOf", "prov:specificEntity", to, "prov:generalEntity", from);
}

static void add_prefixes(struct prov *p)
{
	static const char *const PREFIXES[][2] = {
		{"agent", "urn:sluice:agent:"}, {"code", "urn:sluice:code:"}, {"dataset", "urn:sluice:dataset:"}, {"file", "urn:sluice:file:"},
		{"model", "urn:sluice:model:"}, {"output", "urn:sluice:output:"}, {"package", "urn:sluice:package:"},
		{"prediction", "urn:sluice:prediction:"}, {"run", "urn:sluice:run:"}, {"sluice", "urn:sluice:term:"},
	};
	yyjson_mut_val *list = part(p, "prefix");
	for (size_t i = 0; i < SL_ARRAY_LEN(PREFIXES); i++)
		p->failed |= !yyjson_mut_obj_add_str(p->doc, list, PREFIXES[i][0], PREFIXES[i][1]);
}

int sl_prov_write(yyjson_mut_val *graph, yyjson_mut_doc *doc, yyjson_mut_val **ret, struct sl_error *err)
{
	struct prov p = {.doc = doc, .out = yyjson_mut_obj(doc)};
	yyjson_mut_val *item;
	size_t i, max;
	if (!p.out)
		return sl_fail_memory(err);
	add_prefixes(&p);
	yyjson_mut_val *agent = yyjson_mut_obj_add_obj(doc, part(&p, "agent"), AGENT);
	put_type(&p, agent, "prov", "SoftwareAgent");
	yyjson_mut_arr_foreach(yyjson_mut_obj_get(graph, "nodes"), i, max, item)
		add_node(&p, item);
	yyjson_mut_arr_foreach(yyjson_mut_obj_get(graph, "edges"), i, max, item)
		add_edge(&p, item);
	if (p.failed)
		return sl_fail_memory(err);
	*ret = p.out;
	return 0;
}
