"""Great Expectations' own answers: every case of gx_cases.json through `sluice import gx`, against what GX said of it."""
import json
import math
import pathlib

import pytest

CASES = json.loads((pathlib.Path(__file__).parent / "gx_cases.json").read_text())["cases"]
TYPES = {"int64": "bigint", "Int64": "bigint", "float64": "double", "str": "text", "bool": "boolean"}

def column_type(case, name):
    values = [v for v in case["data"][name] if v is not None]
    return TYPES.get(case["types"][name]) or (None if values else "text")


def reasons_to_leave_out(case):
    """A column of mixed Python objects is no column of a table."""
    used, condition = json.dumps(case["kwargs"]), case["kwargs"].get("row_condition", "")
    return [n for n in case["data"] if column_type(case, n) is None and (f'"{n}"' in used or n in condition)]


def write_case(project, case):
    names = [n for n in case["data"] if column_type(case, n)]
    rows = max((len(case["data"][n]) for n in names), default=0)

    def cell(value):
        return "" if value is None or value != value else '"%s"' % value.replace('"', '""') if isinstance(value, str) else json.dumps(value)

    lines = [",".join(names)] + [",".join(cell(case["data"][n][i]) for n in names) for i in range(rows)]
    project.write(f"data/c{case['id']}.csv", "\n".join(lines) + "\n")
    return {n: column_type(case, n) for n in names}


def import_all(project):
    """One run over all cases; id -> what the import said."""
    sources, sections, imported = [], [], {}
    for case in CASES:
        if reasons_to_leave_out(case) or not case["data"]:
            continue
        columns = write_case(project, case)
        project.write("suite.json", json.dumps({"expectations": [{"type": case["expectation"], "severity": "warning", "kwargs": case["kwargs"]}]}))
        done = imported[case["id"]] = project.json("import", "gx", "suite.json", "--dataset", f"c{case['id']}")
        if done["mapped"]:
            sources.append(f"  c{case['id']}: {{path: data/c{case['id']}.csv, columns: {json.dumps(columns)}}}")
            sections.append(done["text"].split("\n", 1)[1].rstrip("\n"))
    project.write("sluice.yaml", "project: p\nsources:\n" + "\n".join(sources) + "\ndatasets:\n" + "\n".join(sections) + "\n")
    project.sluice("init", status=None)
    project.sluice("run", "--keep-going")
    return imported


def agrees(case, results):
    expect = case["expect"]
    same = all(r["state"] == "passed" for r in results) == expect["success"]
    if "unexpected_percent" in expect:
        same &= sum(r["failing"] for r in results) == expect["unexpected_count"]
        same &= math.isclose(results[0]["share"] * 100, expect["unexpected_percent"] or 0, rel_tol=1e-9)
    elif "distinct_values" in case["expectation"]:
        same &= results[0]["failing"] == expect.get("unexpected_count", 0) + expect.get("missing_count", 0)
    elif isinstance(expect.get("observed_value"), (int, float)):
        same &= math.isclose(results[0]["observed"], expect["observed_value"], rel_tol=1e-12)
    return same


@pytest.mark.slow
def test_every_mapped_expectation_answers_as_gx_does(project):
    imported = import_all(project)
    compared, wrong = 0, []
    for case in CASES:
        if not imported.get(case["id"], {}).get("mapped"):
            continue
        results = project.json("check", f"c{case['id']}")["report"]["checks"]
        # What is an error of GX's (the mean of texts) is a failed check of ours.
        good = any(r["state"] == "warned" for r in results) if case["expect"].get("error") else agrees(case, results)
        compared += 1
        if not good:
            wrong.append((case["id"], case["expectation"], case["kwargs"], case["expect"], results))
    assert not wrong, "\n".join(map(str, wrong))
    assert compared >= 95, compared
    say_why(imported)


def say_why(imported):
    """What is not mapped stands there as a comment with the reason."""
    reasons = {case["id"]: imported[case["id"]]["text"].splitlines()[-1] for case in CASES if case["id"] in imported and not imported[case["id"]]["mapped"]}
    for case in CASES:
        if case["id"] in reasons:
            assert reasons[case["id"]].lstrip().startswith("# not mapped: ")
            assert case["expect"].get("error") or any(w in reasons[case["id"]] for w in ("has no bounds", "is empty", "names no column", "nothing passes")), reasons[case["id"]]


@pytest.mark.parametrize("text, words", [("", "suite.json"), ("[]", "a list 'expectations'"), ('{"expectations": 5}', "a list 'expectations'"),
                                         ('{"expectations": [1, {}]}', None), ('{"expectations": [{"type": "a\\nb", "kwargs": {"x": "\\n- y"}}]}', None)])
def test_hostile_suites(project, text, words):
    project.write("suite.json", text)
    done = project.sluice("import", "gx", "suite.json", "-d", "t", status=None)
    if words:
        assert done.returncode == 2 and words in done.stderr
    else:
        lines = done.stdout.splitlines()
        assert done.returncode == 0 and all(line.lstrip().startswith(("#", "datasets:", "t:", "checks:")) for line in lines), lines
