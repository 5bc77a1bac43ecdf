/* Lineage: back from a prediction to the raw file's hash, and forward again. */
#include "story.h"

#include "base/str.h"
#include "track/lineage.h"

static yyjson_doc *why(struct story *s, const char *reference, bool down)
{
	struct sl_ref ref;
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *graph = NULL;
	MUST(sl_ref_parse(reference, &ref, &s->err));
	MUST(sl_lineage_why(s->store, &ref, down, doc, &graph, &s->err));
	yyjson_doc *copy = yyjson_mut_val_imut_copy(graph, NULL);
	yyjson_mut_doc_free(doc);
	return copy;
}

static yyjson_val *node_of(yyjson_doc *doc, const char *kind, const char *name)
{
	yyjson_val *nodes = yyjson_obj_get(yyjson_doc_get_root(doc), "nodes"), *node;
	size_t i, n;
	yyjson_arr_foreach(nodes, i, n, node)
		if (sl_str_eq(sl_json_str(node, "kind", ""), kind) && (!name || sl_str_eq(sl_json_str(node, "name", ""), name)))
			return node;
	return NULL;
}

static bool has_edge(yyjson_doc *doc, const char *from, const char *to, const char *as)
{
	yyjson_val *edges = yyjson_obj_get(yyjson_doc_get_root(doc), "edges"), *edge;
	size_t i, n;
	yyjson_arr_foreach(edges, i, n, edge) if (sl_str_eq(sl_json_str(edge, "from", ""), from) &&
						  sl_str_eq(sl_json_str(edge, "to", ""), to) &&
						  sl_str_eq(sl_json_str(edge, "as", ""), as)) return true;
	return false;
}

static const char *id_of(yyjson_doc *doc, const char *kind, const char *name)
{
	return sl_json_str(node_of(doc, kind, name), "id", "(none)");
}

static void check_back_to_the_file(struct story *s, yyjson_doc *doc)
{
	char hex[SL_HASH_HEX + 1];
	yyjson_val *file = node_of(doc, "file", "data/raw.csv"), *step = node_of(doc, "run", "clean");
	assert_non_null(file);
	assert_string_equal(sl_hash_hex(&s->file, hex), sl_json_str(file, "hash", ""));
	assert_true(has_edge(doc, id_of(doc, "run", "raw"), id_of(doc, "file", "data/raw.csv"), "input"));
	assert_true(has_edge(doc, id_of(doc, "dataset", "raw"), id_of(doc, "run", "raw"), "made_by"));
	assert_true(has_edge(doc, id_of(doc, "run", "clean"), id_of(doc, "dataset", "raw"), "input"));
	assert_true(has_edge(doc, id_of(doc, "run", "clean"), id_of(doc, "code", "sql/clean.sql"), "input"));
	assert_int_equal(15, sl_json_int(yyjson_obj_get(step, "params"), "late_minutes", 0));
	assert_string_equal("h", sl_json_str(yyjson_obj_get(step, "environment"), "host", ""));
	assert_int_equal(64, strlen(sl_json_str(step, "record", "")));
}

static void test_from_a_prediction_to_the_raw_bytes(void **state)
{
	struct story *s = *state;
	yyjson_mut_doc *mut = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *graph;
	const struct sl_lineage_lookup lookup = {"clean", s->clean};
	const struct sl_lineage_prediction prediction = {"01ARZ3NDEKTSV4RRFFQ69G5FAV", s->package, &lookup, 1};
	MUST(sl_lineage_why_prediction(s->store, &prediction, mut, &graph, &s->err));
	yyjson_doc *doc SL_AUTO_JSON = yyjson_mut_val_imut_copy(graph, NULL);
	yyjson_mut_doc_free(mut);
	assert_string_equal("prediction:01ARZ3NDEKTSV4RRFFQ69G5FAV", sl_json_str(yyjson_doc_get_root(doc), "root", ""));
	assert_true(has_edge(doc, "prediction:01ARZ3NDEKTSV4RRFFQ69G5FAV", "model:delay@1", "model"));
	assert_true(has_edge(doc, "prediction:01ARZ3NDEKTSV4RRFFQ69G5FAV", id_of(doc, "dataset", "clean"), "looked_up"));
	assert_true(has_edge(doc, "model:delay@1", id_of(doc, "run", "fit"), "made_by"));
	check_back_to_the_file(s, doc);
}

static void test_every_kind_of_root(void **state)
{
	struct story *s = *state;
	char reference[128], hex[SL_HASH_HEX + 1];
	yyjson_doc *doc = why(s, "model:delay@champion", false);
	check_back_to_the_file(s, doc);
	assert_string_equal("champion",
			    yyjson_get_str(yyjson_arr_get(yyjson_obj_get(node_of(doc, "model", "delay"), "aliases"), 0)));
	yyjson_doc_free(doc);

	snprintf(reference, sizeof reference, "dataset:clean@%.8s", sl_hash_hex(&s->clean, hex));
	doc = why(s, reference, false);
	check_back_to_the_file(s, doc);
	assert_int_equal(1, sl_json_int(node_of(doc, "dataset", "clean"), "rows", 0));
	assert_null(node_of(doc, "model", NULL));
	yyjson_doc_free(doc);

	doc = why(s, "step:clean", false);
	check_back_to_the_file(s, doc);
	yyjson_doc_free(doc);

	snprintf(reference, sizeof reference, "run:%s", s->whole.text);
	doc = why(s, reference, false);
	check_back_to_the_file(s, doc);
	assert_true(has_edge(doc, reference, id_of(doc, "run", "fit"), "step"));
	yyjson_doc_free(doc);
}

static void test_down_from_the_raw_file(void **state)
{
	struct story *s = *state;
	yyjson_doc *doc SL_AUTO_JSON = why(s, "file:data/raw.csv", true);
	assert_string_equal("down", sl_json_str(yyjson_doc_get_root(doc), "direction", ""));
	assert_true(has_edge(doc, id_of(doc, "file", "data/raw.csv"), id_of(doc, "run", "raw"), "read_by"));
	assert_true(has_edge(doc, id_of(doc, "dataset", "clean"), id_of(doc, "run", "fit"), "read_by"));
	assert_true(has_edge(doc, id_of(doc, "run", "fit"), id_of(doc, "package", "fit"), "output"));
	assert_true(has_edge(doc, id_of(doc, "package", "fit"), "model:delay@1", "version"));
	assert_null(node_of(doc, "code", NULL));
}

static void test_every_node_once(void **state)
{
	struct story *s = *state;
	yyjson_doc *doc SL_AUTO_JSON = why(s, "model:delay@1", false);
	yyjson_val *nodes = yyjson_obj_get(yyjson_doc_get_root(doc), "nodes");
	for (size_t i = 0; i < yyjson_arr_size(nodes); i++)
		for (size_t k = i + 1; k < yyjson_arr_size(nodes); k++)
			assert_string_not_equal(sl_json_str(yyjson_arr_get(nodes, i), "id", ""),
						sl_json_str(yyjson_arr_get(nodes, k), "id", ""));
}

/* Equal bytes made twice: the maker is the one that had run when they were used. */
static void test_the_maker_is_the_one_before_the_user(void **state)
{
	struct story *s = *state;
	struct sl_id again = story_begin(s, "step", "clean", NULL);
	MUST(sl_run_output(&s->store->track, &again, "dataset", "clean", &s->clean, &s->err));
	MUST(sl_run_end(&s->store->track, &again, "ok", "", &s->err));
	yyjson_doc *doc SL_AUTO_JSON = why(s, "model:delay@1", false);
	char id[64];
	snprintf(id, sizeof id, "run:%s", s->step.text);
	assert_true(has_edge(doc, id_of(doc, "dataset", "clean"), id, "made_by"));
}

static void test_what_does_not_exist(void **state)
{
	struct story *s = *state;
	static const char *const missing[] = {
		"dataset:none", "dataset:clean@0000", "model:none", "model:delay@7", "run:7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
		"step:none",	"file:none.csv"};
	struct sl_ref ref;
	yyjson_mut_doc *doc SL_AUTO_JSON_MUT = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *graph;
	for (size_t i = 0; i < SL_ARRAY_LEN(missing); i++) {
		MUST(sl_ref_parse(missing[i], &ref, &s->err));
		assert_int_equal(SL_E_NOT_FOUND, sl_lineage_why(s->store, &ref, false, doc, &graph, &s->err));
	}
	MUST(sl_ref_parse("endpoint:delay", &ref, &s->err));
	assert_int_equal(SL_E_INVALID, sl_lineage_why(s->store, &ref, false, doc, &graph, &s->err));
}

static void test_a_graph_without_end_is_cut(void **state)
{
	struct story *s = *state;
	struct sl_id reader = story_begin(s, "step", "wide", NULL);
	char name[32];
	struct sl_hash hash;
	MUST(sl_meta_begin(s->store->meta, &s->err));
	for (int i = 0; i < SL_LINEAGE_NODES_MAX + 10; i++) {
		snprintf(name, sizeof name, "f%d", i);
		sl_sha256(name, strlen(name), &hash);
		MUST(sl_run_input(&s->store->track, &reader, "file", name, &hash, &s->err));
	}
	MUST(sl_meta_commit(s->store->meta, &s->err));
	char reference[64];
	snprintf(reference, sizeof reference, "run:%s", reader.text);
	yyjson_doc *doc SL_AUTO_JSON = why(s, reference, false);
	assert_true(sl_json_bool(yyjson_doc_get_root(doc), "truncated", false));
	assert_int_equal(SL_LINEAGE_NODES_MAX, yyjson_arr_size(yyjson_obj_get(yyjson_doc_get_root(doc), "nodes")));
}

#define T(test) cmocka_unit_test_setup_teardown(test, story_setup, story_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_from_a_prediction_to_the_raw_bytes),
		T(test_every_kind_of_root),
		T(test_down_from_the_raw_file),
		T(test_every_node_once),
		T(test_the_maker_is_the_one_before_the_user),
		T(test_what_does_not_exist),
		T(test_a_graph_without_end_is_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
