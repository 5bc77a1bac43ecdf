"""The tree engine beside XGBoost's own in-place prediction: one row at a time and 1000 at a time, one thread each, best of many passes."""
import json
import os
import subprocess
import tempfile
import time

import lib

MODELS = (("100 trees of depth 6, 6 features", 6, 6, 100, 0), ("the same, a tenth missing", 6, 6, 100, 0.1),
          ("100 trees of depth 6, 50 features", 50, 6, 100, 0), ("500 trees of depth 8, 6 features", 6, 8, 500, 0))


def best_ns(call, rows, passes):
    best = float("inf")
    for _ in range(passes):
        start = time.perf_counter_ns()
        call()
        best = min(best, (time.perf_counter_ns() - start) / rows)
    return best


def main():
    import numpy as np
    import xgboost

    build = os.path.dirname(lib.SLUICE)
    subprocess.run(["cmake", "--build", build, "--target", "bench_trees"], check=True, stdout=subprocess.DEVNULL)
    table = lib.Table("Tree engine (us per row, one thread; XGBoost through Python's inplace_predict)")
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        model, data = os.path.join(folder, "model.ubj"), os.path.join(folder, "rows")
        for what, features, depth, rounds, missing in MODELS:
            x = rng.normal(size=(30_000, features)).astype("f4")
            y = x[:, 0] * x[:, 1] + np.sin(x[:, 2] * 3) + x[:, -1] * 0.3 + rng.normal(size=len(x)) > 0
            x[rng.random(x.shape) < missing] = np.nan
            booster = xgboost.train({"objective": "binary:logistic", "max_depth": depth, "nthread": 1}, xgboost.DMatrix(x, y), rounds)
            booster.save_model(model)
            x[:4000].tofile(data)
            ours = json.loads(subprocess.run([os.path.join(build, "bench_trees"), model, data, os.path.join(folder, "out"), "30"], check=True,
                                             stdout=subprocess.PIPE).stdout)
            one = best_ns(lambda: booster.inplace_predict(x[:1]), 1, 300)
            batch = best_ns(lambda: booster.inplace_predict(x[:1000]), 1000, 30)
            for name, a, b, bar in (("one row", ours["one_ns"], one, "1.2 us" if rounds == 100 else ""),
                                    ("1000 rows", ours["batch_ns"], batch, "0.4 us" if what == MODELS[0][0] else "")):
                table.row(f"{what}, {name}", f"{a / 1e3:.2f}", f"{b / 1e3:.2f}", a / b, bar)


if __name__ == "__main__":
    main()
