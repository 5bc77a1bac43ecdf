"""What every benchmark shares: whole processes timed in turn (A B A B ...), so that a machine that slows down slows both; medians; one table."""
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SLUICE = os.environ.get("SLUICE_BIN", os.path.join(ROOT, "build/release/sluice"))
DATA = os.path.join(ROOT, "third_party/prefix/data")
RUNS = int(os.environ.get("BENCH_RUNS", "5"))


def once(argv, cwd=None, env=None):
    """Wall and CPU seconds of one process with its waited-for children; fails loudly."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run(argv, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)}: status {done.returncode}\n{done.stdout.decode(errors='replace')[-2000:]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def in_turn(ours, theirs=None, runs=RUNS, prepare=None):
    """[(wall, cpu)] of `ours` and `theirs` (callables), one warm-up each, then in turn; `prepare` runs untimed before each."""
    results = ([], [])
    for i in range(runs + 1):
        for which, call in enumerate((ours, theirs)):
            if call is None:
                continue
            if prepare:
                prepare()
            sample = call()
            if i:
                results[which].append(sample)
    return results


def median(samples, which=0):
    return statistics.median(s[which] for s in samples)


def flights_project(prefix):
    """A fresh folder with the demo's project file, SQL and its three million rows; the caller removes it."""
    folder, example = tempfile.mkdtemp(prefix=prefix), os.path.join(ROOT, "examples/flights")
    shutil.copy(os.path.join(example, "sluice.yaml"), folder)
    shutil.copytree(os.path.join(example, "sql"), os.path.join(folder, "sql"))
    os.makedirs(os.path.join(folder, "data/incoming"))
    shutil.copy(os.path.join(DATA, "flights-3m.parquet"), os.path.join(folder, "data/flights-2001.parquet"))
    shutil.copy(os.path.join(DATA, "airports.csv"), os.path.join(folder, "data"))
    once([SLUICE, "init"], cwd=folder)
    return folder


class Table:
    def __init__(self, title):
        print(f"\n## {title}\n| what | sluice | beside it | ratio | bar |\n|---|---|---|---|---|", flush=True)

    def row(self, what, ours, theirs="", ratio=None, bar=""):
        print(f"| {what} | {ours} | {theirs} | {'' if ratio is None else f'{ratio:.2f}'} | {bar} |", flush=True)


def ms(seconds):
    return f"{seconds * 1e3:.1f} ms"
