"""SHAP values against XGBoost's own (pred_contribs) and, interventional, against the definition itself: every coalition of features.

Through bench_shap, which hands rows to the engine as they are.
"""
import itertools
import json
import math
import subprocess

import numpy as np
import pytest
import xgboost

from conftest import PROGRAM
from test_trees import OBJECTIVES, make_labels, make_rows, train

SHAP = PROGRAM.parent / "bench_shap"


def explain(folder, booster, rows, background=None, kind="ubj"):
    """rows x margins x (features + 1)"""
    booster.save_model(folder / f"model.{kind}")
    np.ascontiguousarray(rows, dtype="f4").tofile(folder / "rows")
    if background is not None:
        np.ascontiguousarray(background, dtype="f4").tofile(folder / "background")
    against = "-" if background is None else folder / "background"
    done = subprocess.run([SHAP, folder / f"model.{kind}", folder / "rows", against, folder / "out"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    info = json.loads(done.stdout)
    return np.fromfile(folder / "out", dtype="f4").reshape(len(rows), info["margins"], info["features"] + 1)


def theirs(booster, rows):
    values = booster.predict(xgboost.DMatrix(rows), pred_contribs=True, strict_shape=True)
    return values.reshape(len(rows), -1, rows.shape[1] + 1)


@pytest.mark.slow
@pytest.mark.parametrize("objective, shape", [("binary:logistic", "plain"), ("reg:squarederror", "missing"), ("binary:logistic", "deep"), ("binary:logistic", "wide"),
                                              ("multi:softprob", "missing"), ("reg:squarederror", "leafwise"), ("reg:gamma", "stumps")])
def test_path_dependent_values_are_those_of_xgboost(tmp_path, objective, shape):
    rng = np.random.default_rng(5)
    booster = train(rng, objective, shape)
    rows = make_rows(rng, 600, booster.num_features(), 0.1)
    ours, expected = explain(tmp_path, booster, rows), theirs(booster, rows)
    assert np.abs(ours - expected).max() < 1e-5 * max(1, np.abs(expected).max())
    margins = booster.predict(xgboost.DMatrix(rows), output_margin=True).reshape(len(rows), -1)
    assert np.abs(ours.sum(axis=2) - margins).max() < 1e-4 * max(1, np.abs(margins).max())
    assert np.abs(ours[:, :, :-1]).max() > 0.01


def test_one_row_alone_gets_what_it_gets_among_many(tmp_path):
    rng = np.random.default_rng(6)
    booster = train(rng, "binary:logistic", "missing")
    rows, background = make_rows(rng, 300, 6, 0.1), make_rows(rng, 300, 6, 0.1)
    for against in (None, background):
        together = explain(tmp_path, booster, rows, against)
        for i in (0, 7, 299):
            assert np.abs(explain(tmp_path, booster, rows[i:i + 1], against) - together[i]).max() < 1e-6


def by_definition(booster, row, background):
    """Shapley values of v(S) = mean margin of the background rows whose features in S are the row's."""
    count = len(row)
    coalitions = list(itertools.product((False, True), repeat=count))
    mixed = np.concatenate([np.where(inside, row, background) for inside in coalitions]).astype("f4")
    worth = booster.predict(xgboost.DMatrix(mixed), output_margin=True).reshape(len(coalitions), len(background), -1).astype("f8").mean(axis=1)
    worth = dict(zip(coalitions, worth))
    values = []
    for feature in range(count):
        total = 0
        for inside in coalitions:
            if inside[feature]:
                size = sum(inside) - 1
                without = inside[:feature] + (False,) + inside[feature + 1:]
                total += math.factorial(size) * math.factorial(count - 1 - size) / math.factorial(count) * (worth[inside] - worth[without])
        values.append(total)
    return np.array(values + [worth[(False,) * count]]).T


@pytest.mark.parametrize("objective", ["binary:logistic", "multi:softprob"])
def test_interventional_values_are_the_definition(tmp_path, objective):
    rng = np.random.default_rng(7)
    rows = make_rows(rng, 2000, 6, 0.1)
    booster = xgboost.train({"objective": objective, "max_depth": 7, "eta": 0.3, "seed": 3, **OBJECTIVES[objective]},
                            xgboost.DMatrix(rows, make_labels(rng, objective, rows, 4)), 12)
    background = make_rows(rng, 37, 6, 0.1)
    ours = explain(tmp_path, booster, rows[:20], background)
    for i in range(20):
        assert np.abs(ours[i] - by_definition(booster, rows[i], background)).max() < 1e-5


def test_more_features_on_a_way_than_a_table_holds(tmp_path):
    """Ways of 20 distinct features: 2^20 sets, each computed when it is needed."""
    rng = np.random.default_rng(8)
    rows = rng.normal(size=(3000, 24)).astype("f4")
    labels = rows.sum(axis=1)
    booster = xgboost.train({"max_depth": 20, "min_child_weight": 1, "eta": 0.5, "tree_method": "exact"}, xgboost.DMatrix(rows, labels), 3)
    ours, expected = explain(tmp_path, booster, rows[:200]), theirs(booster, rows[:200])
    assert np.abs(ours - expected).max() < 1e-5 * np.abs(expected).max()


def refusal(folder, model, change):
    change(model["learner"]["gradient_booster"]["model"]["trees"][0])
    (folder / "model.json").write_text(json.dumps(model))
    np.zeros((1, 6), "f4").tofile(folder / "rows")
    done = subprocess.run([SHAP, folder / "model.json", folder / "rows", "-", folder / "out"], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


def test_covers_that_are_none_are_refused(tmp_path):
    booster = train(np.random.default_rng(9), "binary:logistic", "plain")
    raw = booster.save_raw("json")

    def double_root_child(tree):
        tree["sum_hessian"][tree["left_children"][0]] = 1e9

    code, text = refusal(tmp_path, json.loads(raw), double_root_child)
    assert code == 2 and "tree 0, node 1: its cover 1e+09 is no share of its parent's" in text
    code, text = refusal(tmp_path, json.loads(raw), lambda tree: tree.pop("sum_hessian"))
    assert code == 2 and "keeps no cover" in text
    code, _ = refusal(tmp_path, json.loads(raw), lambda tree: None)
    assert code == 0
