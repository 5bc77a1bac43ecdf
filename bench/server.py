"""The server at rest: `up` until every role is ready; memory and processor time of all its processes while nothing happens."""
import json
import os
import shutil
import subprocess
import tempfile
import time

import lib

IDLE_SECONDS = float(os.environ.get("BENCH_IDLE_SECONDS", "20"))
TICKS = os.sysconf("SC_CLK_TCK")


def children(pid):
    """The process and everything below it."""
    found = [pid]
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as f:
            for child in f.read().split():
                found += children(int(child))
    return found


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def memory_mb(pids, what):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            total += sum(int(line.split()[1]) for line in f if line.startswith(what + ":"))
    return total / 1024


def up(folder):
    done = subprocess.run([lib.SLUICE, "up", "--port", "0", "--json"], cwd=folder, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def down(folder):
    subprocess.run([lib.SLUICE, "down"], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def main():
    table = lib.Table("The server at rest")
    folder = tempfile.mkdtemp(prefix="bench-server-")
    try:
        lib.once([lib.SLUICE, "init"], cwd=folder)
        walls = []
        for i in range(lib.RUNS + 1):
            start = time.perf_counter()
            up(folder)
            walls += [time.perf_counter() - start] if i else []
            down(folder)
        table.row("`up` until every role is ready", lib.ms(sorted(walls)[len(walls) // 2]), bar="100 ms")
        pids = children(up(folder)["pid"])
        time.sleep(2)
        before = cpu_seconds(pids)
        time.sleep(IDLE_SECONDS)
        table.row(f"idle, {len(pids)} processes: CPU", f"{(cpu_seconds(pids) - before) / IDLE_SECONDS * 100:.2f} %", bar="0.2 %")
        table.row("idle: memory (proportional, and resident)", f"{memory_mb(pids, 'Pss'):.1f} MB, {memory_mb(pids, 'Rss'):.1f} MB", bar="40 MB")
        down(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
