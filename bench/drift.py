"""Drift reports: two files against each other, whole processes, beside numpy and scipy doing the same statistics by hand on the same files.

Half of the columns are different numbers, a fifth whole numbers of few values, a fifth texts. Peak memory is that of the process."""
import os
import shutil
import subprocess
import sys
import tempfile
import time

import lib

MAKE = """
import sys
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
rows, seed, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
random = np.random.default_rng(seed)
def column(i):
    return random.choice([f"v{k}" for k in range(20)], rows) if i % 5 == 4 else random.integers(0, 100, rows) if i % 5 == 3 else random.normal(seed * (i < 10) / 4, 1, rows)
pq.write_table(pa.table({f"c{i}": column(i) for i in range(50)}), out)
"""
BARE = """
import sys
import numpy as np, pyarrow.parquet as pq, scipy.stats
a, b = (pq.read_table(p) for p in sys.argv[1:3])
def shares(counts):
    p = np.maximum(counts / counts.sum(), 1e-4)
    return p / p.sum()
for name in a.column_names:
    if str(a[name].type) == "string":
        x, y = ({v["values"]: v["counts"] for v in side[name].value_counts().to_pylist()} for side in (a, b))
        p, q = (np.array([side.get(v, 0) for v in x]) for side in (x, y))
        scipy.stats.chi2_contingency([p, q])
    else:
        x, y = a[name].to_numpy(), b[name].to_numpy()
        edges = np.unique(np.quantile(x, np.arange(1, 10) / 10))
        p, q = (np.bincount(np.searchsorted(edges, side), minlength=len(edges) + 1) for side in (x, y))
        scipy.stats.ks_2samp(x, y, method="asymp"), scipy.stats.wasserstein_distance(x, y) / x.std()
    p, q = shares(p), shares(q)
    ((q - p) * np.log(q / p)).sum(), np.sqrt(1 - np.sqrt(p * q).sum()), np.abs(p - q).sum() / 2
"""


def once(argv, cwd=None):
    """(wall, CPU, peak MB) of one process."""
    start = time.perf_counter()
    child = subprocess.Popen(argv, cwd=cwd, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{argv[0]}: status {child.returncode}")
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000


def main():
    table = lib.Table("drift reports (whole processes, medians)")
    for rows, bar in ((356_000, "1 s"), (1_000_000, "3 s")):
        folder = tempfile.mkdtemp(prefix="bench-drift-")
        for name, seed in (("a", 0), ("b", 1)):
            lib.once([sys.executable, "-c", MAKE, str(rows), str(seed), f"{folder}/{name}.parquet"])
        with open(f"{folder}/sluice.yaml", "w") as out:
            out.write("project: drift\nsources: {a: a.parquet, b: b.parquet}\n")
        lib.once([lib.SLUICE, "init"], cwd=folder)
        lib.once([lib.SLUICE, "run"], cwd=folder)
        ours, theirs = lib.in_turn(lambda: once([lib.SLUICE, "drift", "a", "b", "--json"], folder),
                                   lambda: once([sys.executable, "-c", BARE, f"{folder}/a.parquet", f"{folder}/b.parquet"]), runs=min(lib.RUNS, 3))
        for which, what, unit, limit in ((0, "wall", "s", bar), (1, "CPU", "s", ""), (2, "peak memory", "MB", "200 MB")):
            a, b = lib.median(ours, which), lib.median(theirs, which)
            table.row(f"{rows:,} x 50 against as many, {what}", f"{a:.2f} {unit}", f"numpy and scipy {b:.2f} {unit}", a / b, limit)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
