"""Trees of scikit-learn (by examples/sklearn/export_forest.py) and of CatBoost's JSON, beside the libraries: the same leaf for every float32 row, sums within float32's rounding."""
import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import requests
from sklearn import ensemble, tree

from conftest import PROGRAM, Project
from test_shap import SHAP
from test_trees import ENGINE, make_labels, make_rows

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples" / "sklearn"))
from export_forest import export_forest  # noqa: E402

ROWS = 5000
KNOWN = pathlib.Path(__file__).with_name("catboost")


def engine(folder, path, rows):
    """(predictions, margins) of our engine, or its error."""
    np.ascontiguousarray(rows, dtype="f4").tofile(folder / "rows")
    done = subprocess.run([ENGINE, path, folder / "rows", folder / "out"], capture_output=True, text=True, timeout=120)
    if done.returncode:
        return done.stderr
    info, out = json.loads(done.stdout), np.fromfile(folder / "out", dtype="f4")
    first, second = len(rows) * info["outputs"], len(rows) * (info["outputs"] + info["margins"])
    assert (out[first:second] == out[second:]).all(), "blocks and the plain walk differ"
    return out[:first].reshape(len(rows), -1), out[first:second].reshape(len(rows), -1)


def forest_bound(path):
    """What rounding leaves and sums to float32 may add up to: docs/serving.md."""
    model = json.loads(path.read_text())
    largest = sum(max(map(abs, t["value"])) for t in model["trees"]) + max(map(abs, model["base"]))
    return 2.0 ** -23 * (len(model["trees"]) + 1) * largest


def hard_rows(rng, model_file, features, missing, count=ROWS):
    """With values on conditions and one step beside them: there float32 and float64 part."""
    rows = make_rows(rng, count, features, missing)
    conditions = np.array([c for t in json.loads(model_file.read_text())["trees"] for c, f in zip(t["threshold"], t["feature"]) if f >= 0 and abs(c) < 3e38], dtype="f4")
    near = np.concatenate([conditions, np.nextafter(conditions, np.float32(9e9)), np.nextafter(conditions, np.float32(-9e9))])
    for column in range(features):
        rows[: count // 2, column] = rng.choice(near, count // 2)
    return rows


SKLEARN = {
    "tree": (tree.DecisionTreeClassifier(max_depth=7, random_state=1), True), "tree of values": (tree.DecisionTreeRegressor(random_state=1), True),
    "forest": (ensemble.RandomForestClassifier(30, random_state=1), True), "forest of three classes": (ensemble.RandomForestClassifier(20, max_depth=8, random_state=1), True),
    "forest of values": (ensemble.RandomForestRegressor(20, max_depth=9, random_state=1), True), "extra trees": (ensemble.ExtraTreesClassifier(20, max_depth=8, random_state=1), False),
    "boosting": (ensemble.GradientBoostingClassifier(n_estimators=30, random_state=1), False),
    "boosting of three classes": (ensemble.GradientBoostingClassifier(n_estimators=10, random_state=1), False),
    "boosting, exponential": (ensemble.GradientBoostingClassifier(n_estimators=10, loss="exponential", random_state=1), False),
    "boosting of values": (ensemble.GradientBoostingRegressor(n_estimators=30, loss="huber", random_state=1), False),
    "histogram": (ensemble.HistGradientBoostingClassifier(max_iter=20, random_state=1), True),
    "histogram of three classes": (ensemble.HistGradientBoostingClassifier(max_iter=10, random_state=1), True),
    "histogram of values": (ensemble.HistGradientBoostingRegressor(max_iter=20, random_state=1), True),
    "histogram of counts": (ensemble.HistGradientBoostingRegressor(max_iter=20, loss="poisson", random_state=1), True),
}


def fitted(name):
    rng = np.random.default_rng(sorted(SKLEARN).index(name))
    model, takes_missing = SKLEARN[name]
    missing = 0.1 if takes_missing else 0
    rows = make_rows(rng, 2000, 6, missing)
    kind = "multi:" if "three" in name else "binary:" if hasattr(model, "predict_proba") else "count:" if "counts" in name else "reg:"
    labels = make_labels(rng, kind, rows, 3)
    return model.fit(rows, labels), rng, missing


def their_answer(model, rows):
    """In double; of two classes the second."""
    if not hasattr(model, "predict_proba"):
        return model.predict(rows).reshape(len(rows), -1)
    answer = model.predict_proba(rows)
    return answer[:, 1:] if answer.shape[1] == 2 else answer


@pytest.mark.slow
@pytest.mark.parametrize("name", SKLEARN)
def test_scikit_learn(tmp_path, name):
    model, rng, missing = fitted(name)
    path = tmp_path / "model.json"
    export_forest(model, path)
    rows = hard_rows(rng, path, 6, missing)
    predictions, margins = engine(tmp_path, path, rows)
    theirs = their_answer(model, rows)
    link = json.loads(path.read_text())["link"]
    bound = forest_bound(path)
    if link == "identity":
        assert np.abs(margins - theirs).max() <= bound
    elif hasattr(model, "decision_function") and "exponential" not in name:
        assert np.abs(margins - model.decision_function(rows).reshape(len(rows), -1)).max() <= bound
    assert np.allclose(predictions, theirs, rtol=1e-5, atol=1e-6)


def test_scikit_learns_names_and_shap_values_are_served(program, tmp_path):
    import pandas
    rng = np.random.default_rng(3)
    frame = pandas.DataFrame(make_rows(rng, 500, 3, 0), columns=["age", "calls made", "zürich"])
    model = ensemble.RandomForestClassifier(10, max_depth=4, random_state=1).fit(frame, make_labels(rng, "binary:", frame.to_numpy(), 2))
    export_forest(model, tmp_path / "churn.json")
    with serving(tmp_path, "churn.json", "--explain") as url:
        inputs = requests.get(url + "/v2/models/churn", timeout=10).json()["inputs"]
        assert [i["name"] for i in inputs] == list(frame.columns)
        record = {name: float(value) for name, value in frame.iloc[0].items()}
        answer = requests.post(url + "/v1/models/churn:explain", json={"instances": [record]}, timeout=10).json()
        assert abs(answer["predictions"][0] - model.predict_proba(frame.head(1))[0, 1]) < 1e-6
        explanation = answer["explanations"][0]
        assert abs(explanation["base_value"] + sum(explanation["shap_values"].values()) - answer["predictions"][0]) < 1e-6


class serving:
    """`sluice serve FILE` on a free port."""

    def __init__(self, folder, *arguments):
        self.folder, self.arguments = folder, arguments

    def __enter__(self):
        self.process = subprocess.Popen([PROGRAM, "serve", *self.arguments, "--http", "127.0.0.1:0", "--grpc", "off"], cwd=self.folder,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return self.process.stdout.readline().strip()

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)


def broken(folder, change):
    """Our engine's error for a model after `change`."""
    model, _, _ = fitted("boosting")
    export_forest(model, folder / "model.json")
    text = json.loads((folder / "model.json").read_text())
    change(text)
    (folder / "model.json").write_text(json.dumps(text, separators=(",", ":")))
    answer = engine(folder, folder / "model.json", np.zeros((2, 6), dtype="f4"))
    assert isinstance(answer, str), "it was taken"
    return answer


def put(path, value):
    def change(model):
        at = model
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value
    return change


def test_broken_forests_are_refused_with_their_reason(tmp_path):
    for change, why in [
        (put(["trees", 2, "left", 0], 0), "tree 2, node 0: a child is reached a second time"), (put(["trees", 0, "left", 0], 999), "tree 0, node 0: a child is none"),
        (put(["trees", 1, "feature", 0], 6), "tree 1, node 0: its feature"), (put(["trees", 0, "feature", 0], -7), "its feature"),
        (put(["trees", 0, "value"], [1]), "lists do not have one number for each node"), (put(["trees", 0, "output"], 1), "its output is none"),
        (put(["base"], []), "'base'"), (put(["link"], "tan"), "'link'"), (put(["features"], []), "'features'"), (put(["trees"], []), "no tree"),
        (put(["trees", 0, "value"], [1e39] * 15), "not finite"), (put(["features", 0], 7), "the name of feature 0"), (put(["objective"], "x" * 64), "'objective'"),
    ]:
        assert why in broken(tmp_path, change)


def test_what_the_exporter_cannot_write_is_refused(tmp_path):
    rng = np.random.default_rng(4)
    rows = np.abs(np.round(make_rows(rng, 300, 3, 0)))
    categories = ensemble.HistGradientBoostingRegressor(max_iter=3, categorical_features=[1]).fit(rows, rows[:, 1] % 3)
    with pytest.raises(ValueError, match="splits by categories"):
        export_forest(categories, tmp_path / "model.json")
    with pytest.raises(ValueError, match="AdaBoostClassifier is not supported"):
        export_forest(ensemble.AdaBoostClassifier(), tmp_path / "model.json")


# ---- CatBoost: its wheel is 97 MB, so answers that it gave are kept beside the models: make_catboost.py makes both ----

def catboost_cases():
    return sorted(path.stem for path in KNOWN.glob("*.npz"))


def catboost_bound(path):
    model = json.loads(path.read_text())
    scale, bias = model["scale_and_bias"]

    def leaves(node):
        return leaves(node["left"]) + leaves(node["right"]) if "left" in node else np.ravel(node["value"]).tolist()
    trees = [t["leaf_values"] for t in model["oblivious_trees"]] if "oblivious_trees" in model else [leaves(t) for t in model["trees"]]
    return 2.0 ** -23 * (len(trees) + 1) * (sum(max(map(abs, t)) for t in trees) * abs(scale) + max(map(abs, bias)))


@pytest.mark.parametrize("case", catboost_cases())
def test_catboost(tmp_path, case):
    known = np.load(KNOWN / f"{case}.npz")
    predictions, margins = engine(tmp_path, KNOWN / f"{case}.json", known["rows"])
    assert np.abs(margins - known["margins"]).max() <= catboost_bound(KNOWN / f"{case}.json")
    assert np.allclose(predictions, known["answers"], rtol=1e-5, atol=1e-6)


def test_catboosts_shap_values_add_up(tmp_path):
    known = np.load(KNOWN / "regression.npz")
    rows = np.ascontiguousarray(known["rows"][:50])
    rows.tofile(tmp_path / "rows")
    done = subprocess.run([SHAP, KNOWN / "regression.json", tmp_path / "rows", "-", tmp_path / "out"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    values = np.fromfile(tmp_path / "out", "f4").reshape(len(rows), -1)
    assert np.allclose(values.sum(axis=1), known["margins"][:50, 0], atol=1e-5)


def test_catboost_models_that_are_broken_or_not_supported_are_refused(tmp_path):
    text = (KNOWN / "binary.json").read_text()

    def refused(change, why):
        model = json.loads(text)
        change(model)
        (tmp_path / "model.json").write_text(json.dumps(model))
        answer = engine(tmp_path, tmp_path / "model.json", np.zeros((2, 5), dtype="f4"))
        assert isinstance(answer, str) and why in answer, answer
    refused(put(["features_info", "categorical_features"], [{"feature_index": 0}]), "reads categories")
    refused(put(["oblivious_trees", 0, "splits", 0, "float_feature_index"], 99), "not by a number of the model's")
    refused(put(["oblivious_trees", 0, "splits", 0], {"split_type": "OneHotFeature", "cat_feature_index": 0, "value": 1}), "not by a number of the model's")
    refused(put(["oblivious_trees", 0, "leaf_values"], [1]), "its leaves are not")
    refused(put(["oblivious_trees", 0, "splits"], [{}] * 17), "no list of at most 16 splits")
    refused(put(["model_info", "params", "loss_function", "type"], "Focal"), "loss function 'Focal' is not supported")
    refused(put(["scale_and_bias"], [1]), "'scale_and_bias'")
    refused(put(["features_info", "float_features", 0, "flat_feature_index"], 3), "indexes are not those of the list")


def test_a_catboost_model_of_mlflow_is_served(program, tmp_path):
    folder = tmp_path / "models" / "price"
    folder.mkdir(parents=True)
    shutil.copy(KNOWN / "regression.json", folder / "model.cb")
    (folder / "MLmodel").write_text("flavors:\n  catboost:\n    data: model.cb\n    save_format: json\n")
    known = np.load(KNOWN / "regression.npz")
    row = [None if np.isnan(v) else float(v) for v in known["rows"][100]]
    with serving(tmp_path, "--models", "models") as url:
        answer = requests.post(url + "/v1/models/price:predict", json={"instances": [row]}, timeout=10).json()
        assert abs(answer["predictions"][0] - known["answers"][100, 0]) < 1e-5
