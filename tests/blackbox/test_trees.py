"""The tree engine against the XGBoost package of PyPI: equal in every bit, for values that a careless engine gets wrong.

Not through the program but through bench_trees, which hands rows to the engine as they are: JSON could not carry infinities or negative zeros.
"""
import json
import subprocess

import numpy as np
import pytest
import xgboost

from conftest import PROGRAM

ENGINE = PROGRAM.parent / "bench_trees"
ROWS, ROUNDS = 25_000, 20

OBJECTIVES = {
    "binary:logistic": {}, "binary:logitraw": {}, "binary:hinge": {}, "reg:logistic": {}, "reg:squarederror": {},
    "reg:squaredlogerror": {}, "reg:absoluteerror": {}, "reg:pseudohubererror": {}, "reg:quantileerror": {"quantile_alpha": [0.1, 0.9]},
    "count:poisson": {}, "reg:gamma": {}, "reg:tweedie": {}, "multi:softprob": {"num_class": 4}, "multi:softmax": {"num_class": 3},
    "rank:ndcg": {}, "rank:pairwise": {},
}
# features, share of missing values, options: trees of every depth, more conditions than a byte counts, more features than a register holds.
SHAPES = {
    "plain": (6, 0, {"max_depth": 6}),
    "missing": (6, 0.2, {"max_depth": 6}),
    "deep": (20, 0.1, {"max_depth": 9, "subsample": 0.5}),
    "exact": (3, 0.1, {"max_depth": 3, "tree_method": "exact"}),
    "wide": (40, 0.1, {"max_depth": 5, "max_bin": 1024}),
    "wider": (200, 0.1, {"max_depth": 6}),
    "leafwise": (6, 0.05, {"max_depth": 0, "grow_policy": "lossguide", "max_leaves": 200}),
    "stumps": (6, 0, {"max_depth": 1}),
}


def make_rows(rng, count, features, missing):
    rows = rng.normal(size=(count, features)).astype("f4")
    rows[:, 0] = np.round(rows[:, 0] * 3)
    rows[:, 1] = rng.integers(0, 24, count)
    rows[rng.random(count) < 0.05, -1] = 0.0
    rows[rng.random(count) < 0.05, -1] = -0.0
    rows[rng.random((count, features)) < missing] = np.nan
    return rows


def make_labels(rng, objective, rows, classes):
    values = np.nan_to_num(rows)
    signal = values[:, 0] * 0.3 + np.sin(values[:, 1]) + values[:, -1] ** 2 * 0.2 + rng.normal(size=len(rows)) * 0.3
    if objective.startswith("multi"):
        return np.clip(np.digitize(signal, [-0.5, 0.3, 1.0]), 0, classes - 1)
    if objective.startswith(("binary", "reg:logistic")):
        return signal > 0.4
    if objective.startswith(("count", "reg:gamma", "reg:tweedie", "reg:squaredlog")):
        return np.exp(signal * 0.5) + 0.1
    return (signal > 0).astype(int) + (signal > 1) if objective.startswith("rank") else signal


def train(rng, objective, shape):
    features, missing, options = SHAPES[shape]
    rows = make_rows(rng, 4000, features, missing)
    data = xgboost.DMatrix(rows, make_labels(rng, objective, rows, OBJECTIVES[objective].get("num_class")))
    if objective.startswith("rank"):
        data.set_group([20] * (len(rows) // 20))
    params = {"objective": objective, "eta": 0.2, "nthread": 2, "seed": 3, **OBJECTIVES[objective], **options}
    return xgboost.train(params, data, ROUNDS)


def hard_rows(rng, booster, shape):
    """Random rows; all infinite, all missing, all zero; and values on, one step above and one step below conditions of the trees."""
    features, missing, _ = SHAPES[shape]
    rows = make_rows(rng, ROWS, features, missing)
    for i, value in enumerate((np.inf, -np.inf, np.nan, 0.0, -0.0, np.finfo("f4").max, np.finfo("f4").tiny / 2)):
        rows[i] = value
    trees = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]
    splits = [s for tree in trees for s in zip(tree["left_children"], tree["split_indices"], tree["split_conditions"]) if s[0] != -1]
    for i in range(10, ROWS // 2):
        _, feature, condition = splits[rng.integers(len(splits))]
        at = np.float32(condition)
        rows[i, feature] = (at, np.nextafter(at, np.float32(np.inf)), np.nextafter(at, np.float32(-np.inf)))[i % 3]
    return rows


def engine(folder, booster, kind, rows):
    """(predictions, margins, margins by the plain walk) as flat float32 arrays."""
    booster.save_model(folder / f"model.{kind}")
    np.ascontiguousarray(rows, dtype="f4").tofile(folder / "rows")
    done = subprocess.run([ENGINE, folder / f"model.{kind}", folder / "rows", folder / "out"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    info = json.loads(done.stdout)
    assert info["trees"] == len(booster.get_dump())
    out = np.fromfile(folder / "out", dtype="f4")
    first, second = len(rows) * info["outputs"], len(rows) * (info["outputs"] + info["margins"])
    return out[:first], out[first:second], out[second:]


def assert_same_bits(ours, theirs, what):
    ours, theirs = ours.view("u4"), np.ascontiguousarray(theirs, dtype="f4").ravel().view("u4")
    assert ours.shape == theirs.shape
    differ = np.flatnonzero(ours != theirs)
    assert not len(differ), f"{what}: {len(differ)} of {len(ours)} values differ, the first at {differ[0]}"


def compare(folder, objective, shape, kind):
    rng = np.random.default_rng(list(SHAPES).index(shape) * 100 + list(OBJECTIVES).index(objective))
    booster = train(rng, objective, shape)
    rows = hard_rows(rng, booster, shape)
    predictions, margins, walked = engine(folder, booster, kind, rows)
    assert_same_bits(predictions, booster.inplace_predict(rows), "predictions")
    assert_same_bits(margins, booster.inplace_predict(rows, predict_type="margin"), "margins")
    assert_same_bits(walked, margins, "the plain walk")


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_trees(tmp_path, shape):
    compare(tmp_path, "binary:logistic", shape, "ubj")


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective(tmp_path, objective):
    compare(tmp_path, objective, "missing", "ubj")


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["multi:softprob", "reg:gamma"])
def test_json_files_say_the_same(tmp_path, objective):
    compare(tmp_path, objective, "deep", "json")


def refusal(folder, booster):
    booster.save_model(folder / "model.ubj")
    (folder / "rows").write_bytes(b"")
    done = subprocess.run([ENGINE, folder / "model.ubj", folder / "rows", folder / "out"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    return done.stderr


def test_what_is_not_supported_is_refused_with_its_reason(tmp_path):
    rng = np.random.default_rng(0)
    rows = make_rows(rng, 500, 4, 0)
    plain = xgboost.DMatrix(rows, rng.integers(0, 2, 500))
    assert "booster 'dart' is not supported" in refusal(tmp_path, xgboost.train({"booster": "dart"}, plain, 2))
    assert "booster 'gblinear' is not supported" in refusal(tmp_path, xgboost.train({"booster": "gblinear"}, plain, 2))


@pytest.mark.parametrize("onehot", [1, 200])
@pytest.mark.parametrize("kind", ["ubj", "json"])
def test_sets_of_categories(tmp_path, onehot, kind):
    rng = np.random.default_rng(onehot)
    rows = make_rows(rng, 4000, 6, 0.1)
    rows[:, 1], rows[:, 4] = rng.integers(0, 90, 4000), rng.integers(0, 7, 4000)
    labels = np.nan_to_num(rows[:, 0]) + (rows[:, 1] % 3 == 0) + (rows[:, 4] > 2) * (rows[:, 1] % 2 == 0)
    types = ["q", "c", "q", "q", "c", "q"]
    booster = xgboost.train({"max_depth": 6, "max_cat_to_onehot": onehot}, xgboost.DMatrix(rows, labels, feature_types=types, enable_categorical=True), ROUNDS)
    rows = make_rows(rng, ROWS, 6, 0.1)
    rows[:, 1], rows[:, 4] = rng.integers(0, 120, ROWS), rng.integers(0, 9, ROWS) + 0.5
    rows[rng.random(ROWS) < 0.1, 1] = np.nan
    predictions, margins, _ = engine(tmp_path, booster, kind, rows)
    told = booster.predict(xgboost.DMatrix(rows, feature_types=types, enable_categorical=True), output_margin=True)
    assert_same_bits(predictions, told, "predictions")
    assert_same_bits(margins, told, "margins")
