"""Training of the demo's first model beside the XGBoost package: same rows, options, version and threads; reading the Parquet file included on both sides."""
import os
import sys

import lib

BARE = """
import duckdb, sys
import numpy as np
import xgboost as xgb
data, cut = sys.argv[1], sys.argv[2]
con = duckdb.connect()
con.execute("set threads = 2")
d = con.execute(f"select * from '{data}' where date < ?::timestamp", [cut]).fetchnumpy()
columns = []
for name in ("distance", "hour", "minute", "dow"):
    columns.append(np.asarray(d[name], dtype="f4"))
for name in ("origin", "destination"):
    values, codes = np.unique(np.asarray(d[name]).astype(str), return_inverse=True)
    columns.append(codes.astype("f4"))
x, y = np.column_stack(columns), np.asarray(d["late"], dtype="f4")
params = dict(objective="binary:logistic", max_depth=6, eta=0.1, tree_method="hist", nthread=2, seed=7)
train = xgb.DMatrix(x, y)
xgb.train(params, train, 100, evals=[(train, "train")], verbose_eval=False)
"""


def main():
    demo = os.path.join(lib.ROOT, "build/demo")
    if not os.path.isdir(os.path.join(demo, ".sluice")):
        print("train: run `make demo` first")
        return
    table = lib.Table("Training (950,000 rows, 100 rounds, depth 6; whole processes, medians)")
    features = os.path.join(demo, "features.parquet")
    lib.once([lib.SLUICE, "sql", "--out", features, "from features"], cwd=demo)
    imports, _ = lib.in_turn(lambda: lib.once([sys.executable, "-c", "import duckdb, xgboost, numpy; duckdb.connect()"]))
    start = lib.median(imports), lib.median(imports, 1)
    ours, theirs = lib.in_turn(lambda: lib.once([lib.SLUICE, "run", "delay_fit", "train_until=2001-03-01", "recent=false", "--force"], cwd=demo),
                               lambda: lib.once([sys.executable, "-c", BARE, features, "2001-03-01"], cwd=demo))
    for which, name in ((0, "wall"), (1, "CPU")):
        a, b = lib.median(ours, which), lib.median(theirs, which) - start[which]
        table.row(f"train, {name}", f"{a:.2f} s", f"XGBoost from Python {b:.2f} s", a / b, "1.05")


if __name__ == "__main__":
    main()
