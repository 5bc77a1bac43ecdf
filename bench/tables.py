"""The demo's SQL steps, hashing and commit included, beside the same statements in bare DuckDB (Python), same threads."""
import os
import shutil
import sys

import lib

BARE = """
import duckdb, sys
sql, data = sys.argv[1], sys.argv[2]
con = duckdb.connect()
con.execute("set threads = 2")
con.execute(f"create view flights_raw as from '{data}/flights-3m.parquet'")
con.execute(f"create view airports as from '{data}/airports.csv'")
for step in ("flights", "features"):
    text = open(f"{sql}/{step}.sql").read().replace("$late_minutes", "15")
    con.execute(f"copy ({text}) to '{step}.parquet' (format parquet, compression zstd)")
    con.execute(f"create view {step} as from '{step}.parquet'")
"""


def main():
    table = lib.Table("SQL steps of the demo (whole processes, medians)")
    folder = lib.flights_project("bench-tables-")
    lib.once([lib.SLUICE, "run", "features", "-j", "1"], cwd=folder)
    # The bare side pays for Python's start and imports: measured and taken off.
    imports, _ = lib.in_turn(lambda: lib.once([sys.executable, "-c", "import duckdb; duckdb.connect()"]))
    start = lib.median(imports), lib.median(imports, 1)
    # --force runs ingest and checks too: force the two steps alone, their inputs being up to date.
    ours, theirs = lib.in_turn(lambda: lib.once([lib.SLUICE, "run", "flights", "features", "--force", "-j", "1"], cwd=folder),
                               lambda: lib.once([sys.executable, "-c", BARE, os.path.join(lib.ROOT, "examples/flights/sql"), lib.DATA], cwd=folder))
    for which, name in ((0, "wall"), (1, "CPU")):
        a, b = lib.median(ours, which), lib.median(theirs, which) - start[which]
        table.row(f"flights and features, {name}", f"{a:.2f} s", f"bare DuckDB {b:.2f} s", a / b, "1.10")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
