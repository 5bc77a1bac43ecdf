"""The demo's raw file taken in, checked and profiled, beside DuckDB's SUMMARIZE of the same file (Python), same threads."""
import os
import shutil
import sys

import lib

BARE = """
import duckdb, sys
con = duckdb.connect()
con.execute("set threads = 2")
con.execute(f"summarize from '{sys.argv[1]}'").fetchall()
"""


def main():
    table = lib.Table("Taking in 3,000,000 rows: hash, six checks, rows put aside, full profile (whole processes, medians)")
    folder = lib.flights_project("bench-checks-")
    imports, _ = lib.in_turn(lambda: lib.once([sys.executable, "-c", "import duckdb; duckdb.connect()"]))
    start = lib.median(imports), lib.median(imports, 1)
    ours, theirs = lib.in_turn(lambda: lib.once([lib.SLUICE, "run", "flights_raw", "--force", "-j", "1"], cwd=folder),
                               lambda: lib.once([sys.executable, "-c", BARE, os.path.join(lib.DATA, "flights-3m.parquet")]))
    for which, name in ((0, "wall"), (1, "CPU")):
        a, b = lib.median(ours, which), lib.median(theirs, which) - start[which]
        table.row(f"sluice run flights_raw, {name}", f"{a:.2f} s", f"SUMMARIZE {b:.2f} s", a / b, "2.0; 1 s")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
