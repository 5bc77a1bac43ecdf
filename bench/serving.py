"""One prediction by REST: processor time of the role that answers per 10,000 requests, beside a server that gives a fixed answer, with and without the log."""
import json
import os
import shutil
import subprocess
import tempfile

import duckdb

import lib
from server import down, up

REQUESTS = int(os.environ.get("BENCH_REQUESTS", "30000"))
BUILD = os.path.dirname(lib.SLUICE)
YAML = """
project: bench
sources: {features: data/features.parquet}
steps:
  fit:
    train: {algorithm: xgboost, data: features, target: late, features: [distance, hour, minute, dow, origin, destination], rounds: 100, max_depth: 6}
models:
  delay: {from: fit, promote: auto}
endpoints:
  logged: {model: delay@champion, log: all}
  quiet: {model: delay@champion, log: none}
"""
FEATURES = """
COPY (SELECT distance::BIGINT distance, hour(date)::BIGINT "hour", minute(date)::BIGINT "minute", dayofweek(date)::BIGINT dow, origin, destination,
             (delay > 15)::BIGINT late
      FROM read_parquet('{flights}') WHERE delay IS NOT NULL AND distance IS NOT NULL USING SAMPLE 300000 ROWS (reservoir, 7))
TO '{out}' (FORMAT parquet)"""
ROW = {"distance": 733, "hour": 7, "minute": 30, "dow": 3, "origin": "JFK", "destination": "ORD"}


def bodies(rows):
    """The same rows in both protocols."""
    split = {"dataframe_split": {"columns": list(ROW), "data": [list(ROW.values())] * rows}}
    tensors = {"inputs": [{"name": name, "shape": [rows], "datatype": "BYTES" if isinstance(value, str) else "INT64", "data": [value] * rows}
                          for name, value in ROW.items()]}
    return split, tensors


def cpu_of(pid):
    """Seconds that its first thread, which does all the answering, has run: to the nanosecond, where ticks would be 10 ms."""
    with open(f"/proc/{pid}/schedstat") as f:
        return int(f.read().split()[0]) / 1e9


def load(port, pid, path, body, connections, requests):
    """CPU seconds of `pid` per 10,000 requests, and what the client saw."""
    before = cpu_of(pid)
    done = subprocess.run([os.path.join(BUILD, "bench_load"), str(port), str(connections), str(requests), path, body], check=True, stdout=subprocess.PIPE)
    seen = json.loads(done.stdout)
    if seen["failed"]:
        raise SystemExit(f"bench: {seen['failed']} requests of {path} failed")
    return (cpu_of(pid) - before) * 10000 / requests, seen


def make_project(folder):
    os.mkdir(os.path.join(folder, "data"))
    duckdb.sql(FEATURES.format(flights=os.path.join(lib.DATA, "flights-3m.parquet"), out=os.path.join(folder, "data", "features.parquet")))
    with open(os.path.join(folder, "sluice.yaml"), "w") as f:
        f.write(YAML)
    subprocess.run([lib.SLUICE, "init"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lib.once([lib.SLUICE, "run"], cwd=folder)


def save(folder, name, value):
    path = os.path.join(folder, name)
    with open(path, "w") as f:
        json.dump(value, f)
    return path


def compare(table, folder, told, fixed, fixed_port):
    pid = next(role["pid"] for role in told["roles"] if role["name"] == "infer")
    split, tensors = (save(folder, name, body) for name, body in zip(("split.json", "tensors.json"), bodies(1)))
    for connections in (1, 16, 64):
        asked = {
            "fixed": lambda: load(fixed_port, fixed, "/", tensors, connections, REQUESTS)[0],
            "v2": lambda: load(told["port"], pid, "/v2/models/logged/infer", tensors, connections, REQUESTS)[0],
            "v2 quiet": lambda: load(told["port"], pid, "/v2/models/quiet/infer", tensors, connections, REQUESTS)[0],
            "split": lambda: load(told["port"], pid, "/invocations?endpoint=logged", split, connections, REQUESTS)[0],
        }
        samples = {name: [] for name in asked}
        for turn in range(lib.RUNS + 1):
            for name, ask in asked.items():
                samples[name] += [(ask(),)] if turn else (ask(), [])[1]
        cost = {name: lib.median(values) for name, values in samples.items()}
        bar = "0.14 s" if connections == 16 else ""
        table.row(f"/v2, 1 row, {connections} connections", f"{cost['v2']:.3f} s", f"{cost['fixed']:.3f} s", cost["v2"] / cost["fixed"], bar)
        table.row(f"/invocations, 1 row, {connections} connections", f"{cost['split']:.3f} s", f"{cost['fixed']:.3f} s", cost["split"] / cost["fixed"], bar)
        table.row(f"logging every prediction, {connections} connections", f"{cost['v2']:.3f} s", f"{cost['v2 quiet']:.3f} s", cost["v2"] / cost["v2 quiet"], "1.15")
    many = save(folder, "many.json", bodies(100)[0])
    cost, seen = load(told["port"], pid, "/invocations?endpoint=logged", many, 16, REQUESTS // 10)
    table.row("/invocations, 100 rows, 16 connections", f"{cost:.2f} s, p50 {seen['p50_us']:.0f} us, p99 {seen['p99_us']:.0f} us")


def main():
    table = lib.Table("One prediction by REST, 100 trees of depth 6: CPU seconds of the answering process per 10,000 requests")
    folder = tempfile.mkdtemp(prefix="bench-serving-")
    try:
        make_project(folder)
        told = up(folder)
        answer = save(folder, "answer.json", {"model_name": "delay", "outputs": [{"name": "probability", "datatype": "FP32", "shape": [1], "data": [0.26381212]}]})
        fixed = subprocess.Popen([os.path.join(BUILD, "bench_fixed"), answer], stdout=subprocess.PIPE)
        try:
            compare(table, folder, told, fixed.pid, int(fixed.stdout.readline()))
        finally:
            fixed.kill()
            fixed.wait()
            down(folder)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
