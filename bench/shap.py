"""SHAP values beside XGBoost's own (pred_contribs): one thread each, rows a second, best of several passes."""
import json
import os
import subprocess
import tempfile
import time

import lib

MODELS = (("100 trees of depth 6, 6 features", 6, 6, 100), ("100 trees of depth 6, 50 features", 50, 6, 100), ("500 trees of depth 8, 20 features", 20, 8, 500))
ROWS, THEIR_ROWS, BACKGROUND = 20_000, 2_000, 100


def main():
    import numpy as np
    import xgboost

    build = os.path.dirname(lib.SLUICE)
    subprocess.run(["cmake", "--build", build, "--target", "bench_shap"], check=True, stdout=subprocess.DEVNULL)
    table = lib.Table("SHAP values (rows a second, one thread)")
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        model, data, background, out = (os.path.join(folder, name) for name in ("model.ubj", "rows", "background", "out"))
        for what, features, depth, rounds in MODELS:
            x = rng.normal(size=(30_000, features)).astype("f4")
            y = x[:, 0] * x[:, 1] + np.sin(x[:, 2] * 3) + x[:, -1] * 0.3 + rng.normal(size=len(x)) > 0
            booster = xgboost.train({"objective": "binary:logistic", "max_depth": depth, "nthread": 1}, xgboost.DMatrix(x, y), rounds)
            booster.save_model(model)
            x[:ROWS].tofile(data)
            x[:BACKGROUND].tofile(background)
            some = xgboost.DMatrix(x[:THEIR_ROWS], nthread=1)
            start = time.perf_counter()
            theirs = booster.predict(some, pred_contribs=True)
            their_rate = THEIR_ROWS / (time.perf_counter() - start)
            for kind, against in (("path-dependent", "-"), (f"interventional, {BACKGROUND} background rows", background)):
                ours = json.loads(subprocess.run([os.path.join(build, "bench_shap"), model, data, against, out, "3"], check=True,
                                                 stdout=subprocess.PIPE).stdout)
                differ = abs(np.fromfile(out, "f4").reshape(ROWS, -1)[:THEIR_ROWS] - theirs).max() if against == "-" else None
                table.row(f"{what}, {kind}" + (f" (one row alone {ours['one_us']:.0f} us" + (f"; differ by {differ:.1e})" if differ is not None else ")")),
                          f"{ours['rows_per_s']:.0f}", f"{their_rate:.0f}" if against == "-" else "", ours["rows_per_s"] / their_rate if against == "-" else 0, "20,000" if against == "-" and depth == 6 else "")


if __name__ == "__main__":
    main()
