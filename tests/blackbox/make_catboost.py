#!/usr/bin/env python3
"""Makes tests/blackbox/catboost: models as JSON, and what the CatBoost package answers to their rows. Run by hand, with the package installed (1.2.10)."""
import pathlib
import sys

import numpy as np

FOLDER = pathlib.Path(__file__).with_name("catboost")
CASES = {
    "binary": ("Logloss", {"depth": 6, "iterations": 12}), "regression": ("RMSE", {"depth": 4, "iterations": 8, "min_data_in_leaf": 20, "grow_policy": "Depthwise"}),
    "classes": ("MultiClass", {"depth": 3, "iterations": 6}), "one_vs_all": ("MultiClassOneVsAll", {"depth": 3, "iterations": 5}),
    "counts": ("Poisson", {"depth": 4, "iterations": 8}), "leafwise": ("RMSE", {"grow_policy": "Lossguide", "max_leaves": 12, "iterations": 6}),
    "missing_high": ("Quantile", {"depth": 5, "iterations": 6, "nan_mode": "Max"}),
}


def data(rng, loss):
    rows = rng.normal(size=(600, 5)).astype("f4")
    rows[:, 1] = rng.integers(0, 9, 600)
    rows[rng.random(rows.shape) < 0.08] = np.nan
    values = np.nan_to_num(rows)
    signal = values[:, 0] + np.sin(values[:, 1]) + values[:, 2] * values[:, 3] + rng.normal(size=600) * 0.2
    if loss == "Logloss":
        return rows, (signal > 0).astype(int)
    if loss.startswith("Multi"):
        return rows, np.digitize(signal, [-0.5, 0.8])
    return rows, np.round(np.exp(np.clip(signal, -2, 2))) if loss == "Poisson" else signal


def answers(path, rows):
    """(margins, answers) in double, as rows x outputs."""
    import catboost
    model = catboost.CatBoost()
    model.load_model(str(path), format="json")
    margins = np.asarray(model.predict(rows, prediction_type="RawFormulaVal"), dtype="f8").reshape(len(rows), -1)
    loss = model.get_params().get("loss_function") or CASES[path.stem][0]
    if loss == "Logloss":
        out = model.predict(rows, prediction_type="Probability")[:, 1:]
    elif loss.startswith("Multi"):
        out = model.predict(rows, prediction_type="Probability") if loss == "MultiClass" else 1 / (1 + np.exp(-margins))
    else:
        out = model.predict(rows, prediction_type="Exponent" if loss == "Poisson" else "RawFormulaVal")
    return margins, np.asarray(out, dtype="f8").reshape(len(rows), -1)


def main():
    import catboost
    FOLDER.mkdir(exist_ok=True)
    for number, (case, (loss, options)) in enumerate(CASES.items()):
        rng = np.random.default_rng(number)
        rows, labels = data(rng, loss)
        model = catboost.CatBoost({"loss_function": loss, "verbose": 0, "random_seed": 1, "thread_count": 1, "allow_writing_files": False, **options})
        model.fit(rows, labels)
        path = FOLDER / f"{case}.json"
        model.save_model(str(path), format="json")
        import json
        known = json.loads(path.read_text())
        known["model_info"] = {"params": {"loss_function": {"type": loss, "params": {}}}}  # the rest is long, and of no use here
        for feature in known["features_info"]["float_features"]:
            feature.pop("borders")
        for tree in known.get("oblivious_trees", []):
            tree["splits"] = [{k: s[k] for k in ("float_feature_index", "border", "split_type")} for s in tree["splits"]]
        borders = np.array(sorted(all_borders(known)), dtype="f4")
        test = rng.normal(size=(160, 5)).astype("f4")
        near = np.concatenate([borders, np.nextafter(borders, np.float32(9e9)), np.nextafter(borders, np.float32(-9e9))])
        test[:80] = rng.choice(near, (80, 5))
        test[rng.random(test.shape) < 0.1] = np.nan
        test[0], test[1] = np.inf, -np.inf
        margins, out = answers(path, test)
        path.write_text(json.dumps(known, separators=(",", ":")) + "\n")
        np.savez_compressed(FOLDER / f"{case}.npz", rows=test, margins=margins, answers=out)
        print(case, path.stat().st_size)


def all_borders(model):
    def walk(node):
        if isinstance(node, dict):
            if "border" in node:
                yield node["border"]
            for value in node.values():
                yield from walk(value)
        elif isinstance(node, list):
            for value in node:
                yield from walk(value)
    return set(walk(model.get("oblivious_trees") or model.get("trees")))


if __name__ == "__main__":
    sys.exit(main())
