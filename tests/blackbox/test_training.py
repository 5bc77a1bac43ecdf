"""Training through the program: a model whose truth is known, its gate, and its answers beside those of the XGBoost package."""
import csv
import json
import random

import numpy as np
import xgboost

YAML = """
project: tiny
params: {rounds: 30}
sources: {rows: data/rows.csv}
steps:
  fit:
    train: {algorithm: xgboost, data: rows, where: "n < 2500", validation: "n % 5 = 0", target: kind, weight: w, features: [x, place],
            rounds: $rounds, early_stopping: 5, max_depth: 3, eval_metric: [mlogloss, merror]}
  report:
    evaluate: {model: fit, data: rows, where: "n >= 2500", slices: [place]}
models:
  kinds: {from: fit, evaluate: {data: rows, where: "n >= 2500"}, gate: ["accuracy >= 0.9", "log_loss <= champion.log_loss * 1.05"], promote: auto}
"""


def make(project):
    rng = random.Random(1)
    lines = ["x,place,kind,w,n"]
    for n in range(3000):
        x, place = round(rng.random(), 4), rng.choice(["ATL", "JFK", "ORD"])
        kind = "a" if x + 0.3 * (place == "ATL") < 0.4 else "b" if x < 0.8 else "c"
        lines.append(f"{'' if n % 50 == 7 else x},{place},{kind},{1 + n % 2},{n}")
    project.write("data/rows.csv", "\n".join(lines) + "\n")
    project.write("sluice.yaml", YAML)
    project.sluice("init")


def stored(project, digest):
    return project.root / ".sluice" / "objects" / digest[:2] / digest[2:]


def test_gate_lets_the_good_in_and_keeps_the_worse_out(project):
    make(project)
    project.sluice("run", "kinds")
    shown = project.json("show", "model:kinds@champion")
    assert shown["version"] == 1 and shown["metrics"]["accuracy"] > 0.95
    refused = project.sluice("run", "kinds", "rounds=3", status=1)
    assert "log_loss <= champion.log_loss * 1.05" in refused.stderr
    assert project.json("show", "model:kinds@champion")["version"] == 1


def test_an_option_that_does_not_exist_is_refused_before_anything_runs(project):
    make(project)
    project.write("sluice.yaml", YAML.replace("max_depth: 3", "max_dpeth: 3"))
    assert "'max_depth'" in project.sluice("run", status=2).stderr
    project.write("sluice.yaml", YAML.replace("mlogloss, merror", "mlogloss, accuracy"))
    assert "option 'eval_metric' cannot be 'accuracy'" in project.sluice("run", status=2).stderr


def test_answers_are_those_of_xgboost_on_the_kept_file(project):
    make(project)
    project.sluice("run", "kinds")
    manifest = json.loads(stored(project, project.json("show", "model:kinds@1")["hash"]).read_bytes())
    booster = xgboost.Booster(model_file=bytearray(stored(project, manifest["model"]["hash"]).read_bytes()))
    places = next(i["values"] for i in manifest["inputs"] if i["name"] == "place")
    project.sluice("predict", "kinds@1", "data/rows.csv", "-o", "answers.csv")
    with open(project.root / "answers.csv", newline="") as f:
        answers = list(csv.DictReader(f))
    rows = np.array([[float(r["x"] or "nan"), places.index(r["place"])] for r in answers], dtype="f4")
    expected = booster.inplace_predict(rows)
    assert len(answers) == 3000 and manifest["target"]["classes"] == ["a", "b", "c"]
    said = np.array([[float(r[f"probability_{name}"]) for name in "abc"] for r in answers], dtype="f4")
    assert np.array_equal(said.view("u4"), expected.view("u4"))
