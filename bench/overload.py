"""Latency of the role that answers at a rate that does not depend on it: at a third, at nine tenths and at three times what it can do."""
import json
import os
import subprocess
import tempfile

import lib
import serving
from serving import ROW, make_project, save
from server import down, up

SECONDS = float(os.environ.get("BENCH_SECONDS", "5"))
BUILD = os.path.dirname(lib.SLUICE)


def load(port, connections, rate, path, body):
    done = subprocess.run([os.path.join(BUILD, "bench_open"), str(port), str(connections), str(rate), str(SECONDS), path, body], check=True,
                          stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def show(name, seen):
    print(f"{name:34} {seen['answered'] / SECONDS:9.0f}/s answered, {seen['refused'] / SECONDS:9.0f}/s refused, {seen['missed'] / SECONDS:9.0f}/s not sent"
          f"   answered p50 {seen['answered_us'][0] / 1000:.2f} p99 {seen['answered_us'][1] / 1000:.2f} p99.9 {seen['answered_us'][2] / 1000:.2f} ms"
          f"   refused p50 {seen['refused_us'][0] / 1000:.2f} p99 {seen['refused_us'][1] / 1000:.2f} ms")


def main():
    with tempfile.TemporaryDirectory() as folder:
        serving.YAML = serving.YAML.replace("logged: {", "logged: {max_wait: 1ms, ")
        make_project(folder)
        told = up(folder)
        port = int(told["url"].rsplit(":", 1)[1])
        body = save(folder, "one.json", {"dataframe_split": {"columns": list(ROW), "data": [list(ROW.values())]}})
        path = "/endpoints/logged/invocations"
        closed = load(port, 64, 0, path, body)
        capacity = closed["answered"] / SECONDS
        show("closed loop, 64 connections", closed)
        for name, connections, rate in (("open loop, a third", 64, capacity / 3), ("nine tenths", 64, capacity * 0.9),
                                        ("three times, 64 connections", 64, capacity * 3), ("three times, 1,000 connections", 1000, capacity * 3),
                                        ("a third again", 64, capacity / 3)):
            show(name, load(port, connections, rate, path, body))
        down(folder)


if __name__ == "__main__":
    main()
