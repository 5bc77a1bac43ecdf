"""A long history: `why` of a prediction, and the server's memory, in a store of 1,000,000 runs and 10,000,000 predictions."""
import json
import os
import shutil
import subprocess
import tempfile
import urllib.request

from lib import ROOT, SLUICE, Table, in_turn, median, ms, once

GENERATOR = os.path.join(os.path.dirname(SLUICE), "bench_history")
YAML = "project: history\nsources: {raw: raw.csv}\n"
RUNS, PREDICTIONS = int(os.environ.get("BENCH_HISTORY_RUNS", "1000000")), int(os.environ.get("BENCH_HISTORY_PREDICTIONS", "10000000"))


def memory_mb(pid):
    """Proportional set size of one process."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:")) / 1024


def descendants(pid):
    found = [pid]
    for parent in found:
        with open(f"/proc/{parent}/task/{parent}/children", encoding="ascii") as file:
            found += map(int, file.read().split())
    return found


def server_memory(project):
    up = json.loads(subprocess.run([SLUICE, "up", "--port", "0", "--json"], cwd=project, check=True, stdout=subprocess.PIPE).stdout)
    try:
        for path in ("/runs", "/api/v1/ls/runs", "/api/v1/ls/ledger", "/metrics") * 5:
            urllib.request.urlopen(up["url"].rstrip("/") + path).read()
        return sum(map(memory_mb, descendants(up["pid"])))
    finally:
        subprocess.run([SLUICE, "down"], cwd=project, check=True, stdout=subprocess.DEVNULL)


def main():
    project = tempfile.mkdtemp(prefix="bench-history-")
    try:
        with open(os.path.join(project, "sluice.yaml"), "w", encoding="utf-8") as file:
            file.write(YAML)
        made = subprocess.run([GENERATOR, project, str(RUNS), str(PREDICTIONS)], check=True, stdout=subprocess.PIPE, text=True)
        table = Table(f"A store of {RUNS:,} runs and {PREDICTIONS:,} predictions")
        for where, prediction in zip(("first", "middle", "last"), made.stdout.split()):
            ours, none = in_turn(lambda p=prediction: once([SLUICE, "why", f"prediction:{p}"], cwd=project), lambda: once([SLUICE, "version"], cwd=project))
            table.row(f"why of the {where} prediction, whole process; beside it `sluice version`; CPU {ms(median(ours, 1))}", ms(median(ours)),
                      ms(median(none)), median(ours) / median(none), "50 ms")
        table.row("server, all roles, after 20 pages: proportional memory", f"{server_memory(project):.0f} MB", bar="64 MB")
    finally:
        shutil.rmtree(project, ignore_errors=True)


if __name__ == "__main__":
    main()
