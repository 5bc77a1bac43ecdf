"""LightGBM's text models beside the LightGBM package of PyPI, through bench_trees and bench_shap: margins within float32's rounding, SHAP values within 1e-5."""
import json
import subprocess

import lightgbm
import numpy as np
import pytest

from test_shap import SHAP
from test_trees import ENGINE, make_labels, make_rows

ROWS, ROUNDS = 20_000, 25
OBJECTIVES = {
    "binary": {}, "cross_entropy": {}, "regression": {}, "regression_l1": {}, "huber": {}, "quantile": {}, "mape": {}, "poisson": {}, "gamma": {}, "tweedie": {},
    "multiclass": {"num_class": 4}, "multiclassova": {"num_class": 3}, "lambdarank": {},
}
QUIET = {"verbosity": -1, "num_threads": 2, "seed": 3, "deterministic": True}


def train(rng, objective, features=6, missing=0.2, categories=(), **options):
    rows = make_rows(rng, 4000, features, missing)
    for column in categories:
        rows[:, column] = rng.integers(0, 90, len(rows))
    kind = {"binary": "binary:", "multiclass": "multi:", "multiclassova": "multi:", "cross_entropy": "binary:", "lambdarank": "rank:", "poisson": "count:",
            "gamma": "reg:gamma", "tweedie": "reg:tweedie", "mape": "reg:gamma"}.get(objective, "")
    params = {"objective": objective, **OBJECTIVES.get(objective, {}), **QUIET, **options}
    labels = make_labels(rng, kind, rows, params.get("num_class"))
    if categories:
        labels = labels.astype("f8") + (rows[:, categories[0]] % 3 == 0)
    data = lightgbm.Dataset(rows, labels, group=[20] * 200 if objective == "lambdarank" else None, categorical_feature=list(categories) or "auto")
    return lightgbm.train(params, data, ROUNDS)


def engine(folder, model, rows):
    """(predictions, margins) of our engine, row by row."""
    (folder / "model.txt").write_text(model if isinstance(model, str) else model.model_to_string())
    np.ascontiguousarray(rows, dtype="f4").tofile(folder / "rows")
    done = subprocess.run([ENGINE, folder / "model.txt", folder / "rows", folder / "out"], capture_output=True, text=True, timeout=120)
    if done.returncode:
        return done.stderr
    info, out = json.loads(done.stdout), np.fromfile(folder / "out", dtype="f4")
    first, second = len(rows) * info["outputs"], len(rows) * (info["outputs"] + info["margins"])
    assert (out[first:second] == out[second:]).all(), "blocks and the plain walk differ"
    return out[:first].reshape(len(rows), -1), out[first:second].reshape(len(rows), -1)


def bound(model):
    """What rounding leaves and sums to float32 may add up to: docs/serving.md."""
    return 2.0 ** -23 * (model.num_trees() + 1) * sum(max(abs(v) for v in leaves_of(tree["tree_structure"])) for tree in model.dump_model()["tree_info"])


def leaves_of(node):
    return [node["leaf_value"]] if "leaf_value" in node else leaves_of(node["left_child"]) + leaves_of(node["right_child"])


def compare(folder, model, rows):
    predictions, margins = engine(folder, model, rows)
    wide = rows.astype("f8")
    theirs = model.predict(wide, raw_score=True).reshape(len(rows), -1)
    if model.params.get("boosting") == "rf":  # the library's raw score is the sum, ours what it goes on with: the mean
        theirs /= ROUNDS
    assert np.abs(margins - theirs).max() <= bound(model)
    answers = model.predict(wide).reshape(len(rows), -1)
    assert np.allclose(predictions, answers, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective(tmp_path, objective):
    rng = np.random.default_rng(list(OBJECTIVES).index(objective))
    model = train(rng, objective)
    compare(tmp_path, model, make_rows(rng, ROWS, 6, 0.1))


@pytest.mark.parametrize("options", [{"use_missing": False}, {"num_leaves": 255, "min_data_in_leaf": 1}, {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6},
                                     {"boosting": "dart"}, {"num_leaves": 2}, {"max_bin": 1023}], ids=str)
def test_every_kind_of_tree(tmp_path, options):
    rng = np.random.default_rng(4)
    model = train(rng, "regression", **options)
    rows = make_rows(rng, ROWS, 6, 0.1)
    rows[:6] = np.array([np.inf, -np.inf, np.nan, 0, np.finfo("f4").max, 1e-37])[:, None]
    splits = [line.split("=")[1].split() for line in model.model_to_string().splitlines() if line.startswith("threshold=")]
    values = np.array([float(v) for line in splits for v in line]).astype("f4")
    rows[10:5000, 2] = rng.choice(np.concatenate([values, np.nextafter(values, np.float32(9e9)), np.nextafter(values, np.float32(-9e9))]), 4990)
    compare(tmp_path, model, rows)


def test_sets_of_categories(tmp_path):
    rng = np.random.default_rng(5)
    model = train(rng, "regression", categories=(1, 4), max_cat_to_onehot=2, min_data_per_group=5)
    assert "num_cat=0" not in model.model_to_string().split("Tree=1")[0]
    rows = make_rows(rng, ROWS, 6, 0.1)
    for column in (1, 4):
        rows[:, column] = rng.integers(-3, 120, ROWS)
        rows[rng.random(ROWS) < 0.1, column] = np.nan
        rows[(rng.random(ROWS) < 0.1) & (rows[:, column] >= 0), column] += 0.5
    compare(tmp_path, model, rows)


def test_shap_values(tmp_path):
    rng = np.random.default_rng(6)
    for model in (train(rng, "binary"), train(rng, "multiclass"), train(rng, "regression", categories=(1,), max_cat_to_onehot=2, min_data_per_group=5)):
        rows = make_rows(rng, 300, 6, 0.1)
        (tmp_path / "model.txt").write_text(model.model_to_string())
        rows.tofile(tmp_path / "rows")
        done = subprocess.run([SHAP, tmp_path / "model.txt", tmp_path / "rows", "-", tmp_path / "out"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        theirs = model.predict(rows.astype("f8"), pred_contrib=True).reshape(300, -1, 7)
        assert np.abs(np.fromfile(tmp_path / "out", "f4").reshape(theirs.shape) - theirs).max() < 1e-5 * max(1, np.abs(theirs).max())


def test_what_is_not_supported_or_broken_is_refused_with_its_reason(tmp_path):
    rng = np.random.default_rng(7)
    rows = make_rows(rng, 4, 6, 0)
    text = train(rng, "binary").model_to_string()
    linear = train(rng, "regression", missing=0, linear_tree=True)
    assert "linear models are not supported" in engine(tmp_path, linear, rows)
    assert "with 'sigmoid:2' is not supported" in engine(tmp_path, train(rng, "binary", sigmoid=2.0), rows)
    assert "with 'sqrt' is not supported" in engine(tmp_path, train(rng, "regression", reg_sqrt=True), rows)
    assert "zeros that go another way" in engine(tmp_path, train(rng, "regression", zero_as_missing=True), rows)
    line = next(line for line in text.splitlines() if line.startswith("left_child="))
    children = line.split("=")[1].split()
    assert "reached a second time" in engine(tmp_path, text.replace(line, "left_child=" + " ".join(["0", *children[1:]]), 1), rows)
    assert "beyond the tree's" in engine(tmp_path, text.replace(line, "left_child=" + " ".join(["99999", *children[1:]]), 1), rows)
    assert "ends before 'end of trees'" in engine(tmp_path, text[:text.index("Tree=20")], rows)
    assert "tree 0, node 0: its feature" in engine(tmp_path, text.replace("split_feature=", "split_feature=77 ", 1), rows)
    assert "leaves, more than it can have" in engine(tmp_path, text.replace("num_leaves=31", "num_leaves=16000000", 1), rows)
