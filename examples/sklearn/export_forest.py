#!/usr/bin/env python3
"""Writes a fitted tree model of scikit-learn as sluice.forest/1 (docs/formats/forest.md), which Sluice serves. No code is in that file, as it is in a pickle.

    from export_forest import export_forest
    export_forest(model, "churn.json")

Decision trees, random forests, extra trees, gradient boosting and histogram gradient boosting; classifiers and regressors of one output, without
categorical splits. Needs scikit-learn 1.3 or later and numpy, nothing else.

Which leaf a row reaches is exact: scikit-learn compares a float32 (a float64 in histogram gradient boosting) with a float64 threshold, `x <= t`; for a
float32 x that is `x < c`, where c is the smallest float32 above t, and c is what is written.
"""
import json

import numpy


def _above(thresholds):
    """The smallest float32 that is greater than each float64; of the greatest ones infinity."""
    thresholds = numpy.asarray(thresholds, dtype="f8")
    with numpy.errstate(over="ignore"):
        nearest = thresholds.astype("f4")
    return numpy.where(nearest.astype("f8") > thresholds, nearest, numpy.nextafter(nearest, numpy.float32(numpy.inf)))


def _numbers(values):
    """As JSON has them: shortest decimals; infinity as what overflows to it in float32."""
    return [float(v) if numpy.isfinite(v) else (1e39 if v > 0 else -1e39) for v in values]


def _children(numbers, is_leaf):
    return [int(v) for v in numpy.where(is_leaf, -1, numpy.asarray(numbers, dtype="i8"))]


def _shape(feature, threshold, left, right, missing_left, cover, is_leaf):
    return {"feature": _children(feature, is_leaf),
            "threshold": [float(str(v)) if numpy.isfinite(v) else 1e39 for v in numpy.where(is_leaf, numpy.float32(0), _above(numpy.where(is_leaf, 0, threshold)))],
            "left": _children(left, is_leaf), "right": _children(right, is_leaf),
            "missing_left": [bool(v) for v in missing_left], "cover": _numbers(cover)}


def _grown(tree):
    """A tree of scikit-learn's own structure, without its values."""
    missing = getattr(tree, "missing_go_to_left", numpy.zeros(tree.node_count, dtype=bool))
    return _shape(tree.feature, tree.threshold, tree.children_left, tree.children_right, missing, tree.weighted_n_node_samples, tree.children_left < 0)


def _predictor(nodes):
    if (nodes["is_categorical"].astype(bool) & ~nodes["is_leaf"].astype(bool)).any():
        raise ValueError("the model splits by categories, which sluice.forest/1 does not have: encode them as numbers before training")
    return _shape(nodes["feature_idx"], nodes["num_threshold"], nodes["left"], nodes["right"], nodes["missing_go_to_left"], nodes["count"],
                  nodes["is_leaf"].astype(bool))


def _forest(model, kind):
    """Averages: of class shares, or of values."""
    trees = [getattr(t, "tree_") for t in (model.estimators_ if hasattr(model, "estimators_") else [model])]
    if model.n_outputs_ != 1:
        raise ValueError("the model has several outputs, one is supported")
    classes = len(model.classes_) if kind == "classifier" else 0
    outputs = list(range(classes)) if classes > 2 else [classes - 1 if classes else 0]
    result = []
    for tree in trees:
        values = tree.value[:, 0, :]
        if classes:
            values = values / values.sum(axis=1, keepdims=True)
        result.append({**_grown(tree), "value": _numbers((values[:, outputs] / len(trees)).ravel())})
    objective = "regression" if not classes else "binary:probability" if classes == 2 else "multi:probability"
    return {"objective": objective, "link": "identity", "base": [0.0] * len(outputs), "trees": result}


def _boosted(model, kind):
    scale = 2.0 if model.loss == "exponential" else 1.0  # its probability is the logistic function of twice the sum
    base = model._raw_predict_init(numpy.zeros((1, model.n_features_in_), dtype="f4"))[0]
    trees = [{**_grown(e.tree_), "output": output, "value": _numbers(e.tree_.value[:, 0, 0] * model.learning_rate * scale)}
             for stage in model.estimators_ for output, e in enumerate(stage)]
    return {**_classes(kind, len(base)), "base": _numbers(base * scale), "trees": trees}


def _classes(kind, outputs):
    if kind != "classifier":
        return {"objective": "regression", "link": "identity"}
    return {"objective": "multi:softprob", "link": "softmax"} if outputs > 1 else {"objective": "binary:logistic", "link": "sigmoid"}


def _histogram(model, kind):
    base = numpy.ravel(model._baseline_prediction)
    trees = [{**_predictor(p.nodes), "output": output, "value": _numbers(p.nodes["value"])} for stage in model._predictors for output, p in enumerate(stage)]
    head = _classes(kind, len(base))
    if getattr(model, "loss", "") in ("poisson", "gamma"):
        head["link"] = "exp"
    return {**head, "base": _numbers(base), "trees": trees}


def export_forest(model, path):
    """Writes `model`, fitted, to `path`."""
    kinds = {"HistGradientBoosting": _histogram, "GradientBoosting": _boosted, "RandomForest": _forest, "ExtraTrees": _forest, "DecisionTree": _forest,
             "ExtraTree": _forest}
    name = type(model).__name__
    for prefix, export in kinds.items():
        for kind in ("classifier", "regressor"):
            if name == prefix + kind.capitalize():
                names = getattr(model, "feature_names_in_", None)
                features = [str(n) for n in names] if names is not None else [f"f{i}" for i in range(model.n_features_in_)]
                with open(path, "w", encoding="utf-8") as out:
                    json.dump({"format": "sluice.forest/1", "features": features, **export(model, kind)}, out, separators=(",", ":"))
                return
    raise ValueError(f"{name} is not supported: decision trees, random forests, extra trees and (histogram) gradient boosting are")
