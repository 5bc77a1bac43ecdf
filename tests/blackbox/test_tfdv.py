"""Schemas of TensorFlow Data Validation through `sluice import tfdv`: every case of tfdv_cases.json passes or fails as TFDV says."""
import json
import pathlib
import re

import pytest

# TFDV 1.16.1 lets more rows than max_examples_count pass, against its own documentation.
DOCUMENTED = {"rows many": ["DATASET_HIGH_NUM_EXAMPLES"]}
# The check that tells each of TFDV's anomalies.
CHECKS = {
    "SCHEMA_MISSING_COLUMN": "column_set", "SCHEMA_NEW_COLUMN": "column_set", "UNEXPECTED_DATA_TYPE": "columns", "INT_TYPE_BIG_INT": "between",
    "INT_TYPE_SMALL_INT": "between", "FLOAT_TYPE_BIG_FLOAT": "between", "FLOAT_TYPE_SMALL_FLOAT": "between", "INT_TYPE_NOT_INT_STRING": "format",
    "ENUM_TYPE_UNEXPECTED_STRING_VALUES": "in_set", "FEATURE_TYPE_LOW_FRACTION_PRESENT": "not_null", "FEATURE_TYPE_LOW_NUMBER_PRESENT": "sql",
    "INVALID_FEATURE_SHAPE": "not_null", "FEATURE_TYPE_HIGH_UNIQUE": "distinct", "FEATURE_TYPE_LOW_UNIQUE": "distinct", "BOOL_TYPE_BIG_INT": "holds",
    "BOOL_TYPE_SMALL_INT": "holds", "BOOL_TYPE_UNEXPECTED_STRING": "in_set", "BOOL_TYPE_UNEXPECTED_FLOAT": "holds", "DATASET_LOW_NUM_EXAMPLES": "rows",
    "DATASET_HIGH_NUM_EXAMPLES": "rows", "COMPARATOR_L_INFTY_HIGH": "distribution", "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH": "distribution",
    "COMPARATOR_NORMALIZED_ABSOLUTE_DIFFERENCE_HIGH": "distribution", "COMPARATOR_LOW_NUM_EXAMPLES": "change", "COMPARATOR_HIGH_NUM_EXAMPLES": "change",
}
KEPT = json.loads((pathlib.Path(__file__).parent / "tfdv_cases.json").read_text())
CASES = KEPT["cases"]


def column_type(values):
    kinds = {type(v) for v in values if v is not None}
    return "text" if str in kinds else "double" if float in kinds else "bigint"


def write(project, name, data):
    rows = range(max(len(v) for v in data.values()))
    cell = lambda v: "" if v is None else json.dumps(v)
    text = "\n".join([",".join(data)] + [",".join(cell(data[n][i]) for n in data) for i in rows]) + "\n"
    project.write(f"data/{name}.csv", text)


def import_schema(project, case, dataset):
    project.write("schema.pbtxt", case["schema"])
    return project.json("import", "tfdv", "schema.pbtxt", "--dataset", dataset)


@pytest.fixture(scope="module")
def answers(program, tmp_path_factory):
    """What our checks say of each case: two runs over all, the first of the data before."""
    from conftest import Project

    root = tmp_path_factory.mktemp("tfdv") / "project"
    root.mkdir()
    project = Project(root)
    sources, sections = [], []
    for case in CASES:
        name = f"c{case['id']}"
        types = {n: column_type(v) for n, v in {**(case["previous"] or {}), **case["data"]}.items()}
        write(project, name, case["previous"] or case["data"])
        section = import_schema(project, case, f"{name}.schema" if case["environment"] else name)["text"].split("\n", 1)[1].rstrip("\n")
        if case["environment"]:  # the checks of one dataset, for another one in an environment
            sources += [f"  {name}.schema: {{path: data/{name}.csv, columns: {json.dumps(types)}}}"]
            section += f"\n  {name}: {{checks_of: {name}.schema, environment: {case['environment']}}}"
        sources += [f"  {name}: {{path: data/{name}.csv, columns: {json.dumps(types)}}}"]
        sections += [section]
    project.write("sluice.yaml", "project: p\nsources:\n" + "\n".join(sources) + "\ndatasets:\n" + "\n".join(sections) + "\n")
    project.sluice("init", status=None)
    project.sluice("run", "--keep-going", status=None)
    for case in CASES:
        if case["previous"]:
            write(project, f"c{case['id']}", case["data"])
    project.sluice("run", "--keep-going", status=None)
    failed = project.json("sql", "select name, cause from runs where kind = 'ingest' and status = 'failed' qualify row_number() over (partition by name order by id desc) = 1")
    good = project.json("sql", "select name, max(id) as id from runs where kind = 'ingest' and status = 'ok' group by name")
    return {row["name"]: row["cause"] for row in failed["items"]}, {row["name"] for row in good["items"]}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=[c["name"] for c in CASES])
def test_our_checks_fail_where_tfdv_finds_an_anomaly(answers, case):
    failed, good = answers
    name = f"c{case['id']}"
    cause = failed.get(name, "")
    anomalies = DOCUMENTED.get(case["name"], case["anomalies"])
    assert bool(cause) == bool(anomalies), (anomalies, cause)
    told = re.search(r": check (\w+)", cause)
    assert told.group(1) in {CHECKS[a] for a in anomalies} if cause else name in good, (anomalies, cause)


SCHEMA = """
feature { name: "id" type: INT presence { min_fraction: 1 min_count: 1 } int_domain { min: 1 } }
feature { name: "tags" type: BYTES value_count { min: 0 max: 9 } image_domain {} }
feature { name: "kind" type: BYTES domain: "kinds" }
string_domain { name: "kinds" value: "a" value: "it's\\n- {rows: {max: 0}}" }
"""


def test_the_section_goes_into_the_project_file_as_it_is(project):
    project.write("s.pbtxt", SCHEMA)
    project.write("raw.csv", "id,kind\n1,a\n2,\n")
    done = project.json("import", "tfdv", "s.pbtxt", "-d", "raw")
    assert (done["mapped"], done["unmapped"]) == (8, 2), done["text"]
    assert "image_domain: nothing here looks into images" in done["text"] and "'length' tells that" in done["text"]
    project.write("sluice.yaml", "project: p\nsources: {raw: raw.csv}\n" + done["text"])
    project.sluice("init")
    project.sluice("run")
    project.write("raw.csv", "id,kind\n1,a\n2,z\n")
    assert "in_set(kind) failed: 1 of 2 rows" in project.sluice("run", status=1).stderr


def test_what_is_no_schema_is_told_with_its_place(project):
    for text, said in ((SCHEMA + "feature {", "s.pbtxt:6:10: a message is not closed"), ("a: 1", "is it a schema?"),
                       (SCHEMA.replace('"kinds" }', '"sorts" }'), "s.pbtxt:4:44: domain: the schema has no domain of that name"),
                       (SCHEMA.replace("min: 1 }", 'min: "1" }'), "s.pbtxt:2:92: min: takes a whole number of 64 bits")):
        project.write("s.pbtxt", text)
        assert said in project.sluice("import", "tfdv", "s.pbtxt", "-d", "raw", status=2).stderr
