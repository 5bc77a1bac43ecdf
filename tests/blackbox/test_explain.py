"""sluice explain: of predictions beside XGBoost's own SHAP values, counterfactuals put to the endpoint, importance and dependence beside pandas."""
import json

import numpy
import pandas
import pyarrow.parquet
import pytest
import xgboost

from test_serving import COLUMNS, ROWS, flights, make_project

KINDS = """
project: kinds
params: {rounds: 20}
sources: {rows: data/rows.csv}
steps:
  fit: {train: {algorithm: xgboost, data: rows, target: kind, features: [x, place], rounds: $rounds, max_depth: 3}}
  number: {train: {algorithm: xgboost, data: rows, target: y, features: [x, place], rounds: $rounds, max_depth: 3}}
models: {kinds: {from: fit, promote: auto}, line: {from: number, promote: auto}}
endpoints: {kinds: {model: kinds@champion}, line: {model: line@champion, log_hash: [place]}}
"""


@pytest.fixture(scope="module")
def trained(program, tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("explain") / "project")


@pytest.fixture(scope="module")
def server(trained):
    with trained.up() as server:
        yield server


def predict(server, rows):
    """(id of the request, answers)"""
    answer = server.post("/v2/models/delay/infer", json={
        "inputs": [{"name": name, "shape": [len(rows)], "datatype": kind, "data": [row[name] for row in rows]}
                   for name, kind in (("distance", "INT64"), ("speed", "FP64"), ("cargo", "BOOL"), ("origin", "BYTES"))]})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return body["parameters"]["prediction_id"], body["outputs"][0]["data"]


def as_floats(frame, names):
    """Rows as the model reads them: text by its place among the sorted values."""
    return numpy.column_stack([frame["distance"], frame["speed"], frame["cargo"],
                               [names.index(value) if value in names else numpy.nan for value in frame["origin"]]]).astype("f4")


def booster(project):
    manifest = json.loads(stored(project, project.json("show", "model:delay@champion")["hash"]).read_bytes())
    model = xgboost.Booster()
    model.load_model(bytearray(stored(project, manifest["model"]["hash"]).read_bytes()))
    return model


def stored(project, digest):
    return project.root / ".sluice" / "objects" / digest[:2] / digest[2:]


ROW = {"distance": 2400, "speed": 300.5, "cargo": True, "origin": "ORD"}


def test_contributions_of_a_prediction_are_those_of_xgboost(trained, server):
    rows = [ROW, {"distance": 90, "speed": 512.25, "cargo": False, "origin": "JFK"}]
    request, answers = predict(server, rows)
    for i, row in enumerate(rows):
        told = trained.json("explain", f"prediction:{request}#{i}")
        assert told["method"] == "path-dependent" and told["row"] == i
        assert numpy.float32(told["prediction"]) == numpy.float32(answers[i])
        model = booster(trained)
        expected = model.predict(xgboost.DMatrix(as_floats(pandas.DataFrame([row]), sorted(["JFK", "LAX", "ORD", "Zürich"]))), pred_contribs=True)[0]
        ours = {item["feature"]: item for item in told["contributions"]}
        for name, value in zip(COLUMNS, expected):
            assert abs(ours[name]["contribution"] - value) < 1e-5
            assert ours[name]["value"] == row[name]
        assert abs(told["expected"] - expected[-1]) < 1e-5
        assert 1 / (1 + numpy.exp(-told["margin"])) == pytest.approx(answers[i], abs=1e-5)
    over_http = server.get(f"/api/v1/explain/prediction:{request}%230")
    assert over_http.status_code == 200 and over_http.json()["contributions"] == trained.json("explain", f"prediction:{request}#0")["contributions"]


def test_counterfactuals_change_the_answer_of_the_endpoint(trained, server):
    request, (answer,) = predict(server, [ROW])
    assert answer >= 0.5
    told = trained.json("explain", f"prediction:{request}", "--counterfactual")
    assert told["counterfactuals"]
    for found in told["counterfactuals"]:
        other = dict(ROW)
        for change in found["changes"]:
            assert change["from"] == ROW[change["feature"]] and change["to"] != change["from"]
            other[change["feature"]] = change["to"]
        _, (now,) = predict(server, [other])
        assert now < 0.5 and numpy.float32(now) == numpy.float32(found["outputs"][0])
    held = trained.json("explain", f"prediction:{request}", "-n", "-k", "origin", "-k", "distance")
    names = {change["feature"] for found in held["counterfactuals"] for change in found["changes"]}
    assert names <= {"speed", "cargo"}
    lower = trained.json("explain", f"prediction:{request}", "-n", "--want", "<0.05")
    assert all(found["outputs"][0] < 0.05 for found in lower["counterfactuals"])


def test_an_interventional_explanation_sums_from_the_mean_of_the_background(trained, server):
    request, _ = predict(server, [ROW])
    told = trained.json("explain", f"prediction:{request}", "--against", "flights")
    assert told["method"] == "interventional" and told["background_rows"] == 100
    table = pyarrow.parquet.read_table(trained.root / "data" / "flights.parquet").to_pandas()
    taken = table.iloc[[i for i in range(ROWS) if i == 0 or i * 100 // ROWS != (i - 1) * 100 // ROWS]]
    margins = booster(trained).predict(xgboost.DMatrix(as_floats(taken, sorted(["JFK", "LAX", "ORD", "Zürich"]))), output_margin=True)
    assert told["expected"] == pytest.approx(margins.mean(), abs=1e-5)
    assert told["margin"] == pytest.approx(trained.json("explain", f"prediction:{request}")["margin"], abs=1e-4)


def test_importance_and_dependence_over_the_training_data(trained):
    told = trained.json("explain", "delay", "--rows", "4000", "--feature", "cargo")
    assert told["rows"] == told["of"] == ROWS and told["data"] == "flights"
    rows = as_floats(flights(), sorted(["JFK", "LAX", "ORD", "Zürich"]))
    model = booster(trained)
    expected = numpy.abs(model.predict(xgboost.DMatrix(rows), pred_contribs=True)[:, :-1]).mean(axis=0)
    ours = {item["feature"]: item["mean_abs"] for item in told["importance"]}
    assert [ours[name] for name in COLUMNS] == pytest.approx(list(expected), rel=1e-4)
    assert [item["mean_abs"] for item in told["importance"]] == sorted(ours.values(), reverse=True)
    assert sum(item["share"] for item in told["importance"]) == pytest.approx(1)
    points = {point["value"]: point["prediction"] for point in told["dependence"]["points"]}
    for value in (False, True):
        rows[:, 2] = value
        assert points[value] == pytest.approx(model.predict(xgboost.DMatrix(rows)).mean(), abs=1e-6)


def test_what_cannot_be_explained_says_why(trained, server):
    request, _ = predict(server, [ROW, ROW])
    failure = trained.json("explain", f"prediction:{request}", status=2)["error"]
    assert "had 2 rows" in failure["message"] and f"prediction:{request}#0" in failure["hint"]
    assert "did you mean 'cargo'" in trained.sluice("explain", "delay", "--feature", "carog", status=2).stderr
    assert "neither a prediction nor a model" in trained.sluice("explain", "dataset:flights", status=2).stderr
    assert "no table 'flihgts'" in trained.sluice("explain", "delay", "--data", "flihgts", status=2).stderr
    assert "already as wanted" in trained.sluice("explain", f"prediction:{request}#0", "-n", "--want", "1", status=2).stderr


def test_classes_and_numbers(project):
    rng = numpy.random.default_rng(3)
    lines = ["x,place,kind,y"]
    for _ in range(2000):
        x, place = round(rng.random(), 4), rng.choice(["ATL", "JFK"])
        lines.append(f"{x},{place},{'a' if x < 0.3 else 'b' if x < 0.7 else 'c'},{x * 10 + (place == 'ATL')}")
    project.write("data/rows.csv", "\n".join(lines) + "\n")
    project.write("sluice.yaml", KINDS)
    project.sluice("init", status=None)
    project.sluice("run")
    with project.up() as server:
        for endpoint in ("kinds", "line"):
            answer = server.post(f"/v2/models/{endpoint}/infer", json={"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [0.5]},
                                                                                   {"name": "place", "shape": [1], "datatype": "BYTES", "data": ["ATL"]}]})
            assert answer.status_code == 200, answer.text
            request = answer.json()["parameters"]["prediction_id"]
            if endpoint == "line":
                assert "input 'place' was logged as a hash" in project.sluice("explain", f"prediction:{request}", status=2).stderr
                continue
            told = project.json("explain", f"prediction:{request}", "-n", "--want", "c")
            assert told["class"] == "b" and told["contributions"][0]["feature"] == "x" and told["contributions"][0]["contribution"] > 0
            assert told["counterfactuals"][0]["changes"][0]["feature"] == "x"
            assert 0.69 < told["counterfactuals"][0]["changes"][0]["to"] < 0.75
            assert project.json("explain", f"prediction:{request}", "--class", "a")["contributions"][0]["contribution"] < 0
            assert "say which answer is wanted" in project.sluice("explain", f"prediction:{request}", "-n", status=2).stderr
    assert project.json("explain", "line", "-f", "x")["importance"][0]["feature"] == "x"
