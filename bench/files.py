"""Trees of plain files and big files beside the bare work (bench/files.c), on the same disk and in the same turn.

    bench/files.py [COUNT [BYTES]]      default 100000 files of 150 bytes
    bench/files.py big [GIB]            one big file, and the same with one row more

DVC is run beside it when BENCH_DVC names its program. Folders are made below BENCH_DIR (default /tmp) and removed.
"""
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time

import lib

BARE = os.path.join(os.path.dirname(lib.SLUICE), "bench_files")
DVC = os.environ.get("BENCH_DVC")


def timed(*argv, cwd=None):
    """(wall, CPU, peak memory in MB) of one process."""
    start = time.perf_counter()
    process = subprocess.Popen(argv, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(argv)}: status {status}\n{out.decode(errors='replace')[-2000:]}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def show(sample):
    return f"{sample[0]:.2f} s ({sample[1]:.2f} CPU s, {sample[2]:.0f} MB)"


def disk_bytes(folder):
    return sum(os.lstat(os.path.join(path, name)).st_blocks * 512 for path, _, names in os.walk(folder) for name in names)


def project(folder, source):
    os.makedirs(folder)
    with open(os.path.join(folder, "sluice.yaml"), "w") as file:
        file.write(f"project: files\nsources: {{data: {{path: {source}, as: files}}}}\n")
    timed(lib.SLUICE, "init", cwd=folder)


def dvc(folder, source, table):
    if not DVC:
        return
    os.makedirs(folder)
    for argv in (["git", "init", "-q"], [DVC, "init", "-q"]):
        timed(*argv, cwd=folder)
    shutil.copytree(source, os.path.join(folder, "data"))
    table.row("DVC: add; status; add again", *(show(timed(DVC, "-q", *argv, cwd=folder)) for argv in (["add", "data"], ["status"])))


def files(root, count, size):
    table = lib.Table(f"{count} files of {size} bytes (whole processes; beside it the bare work on one thread)")
    data, work = os.path.join(root, "files"), os.path.join(root, "project")
    timed(BARE, "make", data, str(count), str(size))
    time.sleep(2.1)  # a file that was hashed in the tick in which it changed is hashed once more
    bare = timed(BARE, "take", data, os.path.join(root, "bare"))
    project(work, data)
    first = timed(lib.SLUICE, "run", cwd=work)
    table.row("first version; beside it read, hash, write", show(first), show(bare), first[0] / bare[0], "1.5")
    shutil.rmtree(os.path.join(root, "bare"))
    same = min(timed(lib.SLUICE, "run", cwd=work) for _ in range(3))
    table.row("no change", show(same), bar="0.4 s; 4 s for 1,000,000")
    with open(os.path.join(data, "0000", "added.bin"), "w") as file:
        file.write("one more")
    added = timed(lib.SLUICE, "run", cwd=work)
    table.row("one added", show(added), bar="0.5 s; 5 s for 1,000,000")
    bare = timed(BARE, "copy", data, os.path.join(root, "copied"))
    out = timed(lib.SLUICE, "get", "data", os.path.join(root, "out"), cwd=work)
    table.row("checkout; beside it a copy", show(out), show(bare), out[0] / bare[0], "1.5")
    assert subprocess.run(["diff", "-rq", data, os.path.join(root, "out")]).returncode == 0
    shutil.rmtree(os.path.join(root, "copied"))
    shutil.rmtree(os.path.join(root, "out"))
    dvc(os.path.join(root, "dvc"), data, table)


def write_rows(path, gib, extra):
    """Rows that do not repeat, from a generator that is faster than the disk; `extra` is one row more in the middle."""
    pieces = int(gib * 64)
    with open(path, "wb") as file:
        for i in range(pieces):
            piece = bytes(resource.getpagesize())  # zeros to encrypt
            piece = subprocess.run(["openssl", "enc", "-aes-128-ctr", "-nosalt", "-K", f"{i:032x}", "-iv", "0" * 32], input=piece * 4096,
                                   stdout=subprocess.PIPE, check=True).stdout
            file.write(piece)
            if extra and i == pieces // 2:
                file.write(b"17,one row more\n")


def big(root, gib):
    table = lib.Table(f"one file of {gib} GiB (beside it: SHA-256 and a copy, flushed)")
    work, data = os.path.join(root, "project"), os.path.join(root, "data")
    os.makedirs(data)
    write_rows(os.path.join(data, "big.bin"), gib, False)
    project(work, data)
    bare = timed(BARE, "sum", os.path.join(data, "big.bin"), os.path.join(root, "copy"))
    os.remove(os.path.join(root, "copy"))
    first = timed(lib.SLUICE, "run", cwd=work)
    table.row("first version", show(first), show(bare), first[0] / bare[0], "1.3")
    before = disk_bytes(work)
    write_rows(os.path.join(data, "big.bin"), gib, True)
    again = timed(lib.SLUICE, "run", cwd=work)
    table.row("one row more", show(again), f"{(disk_bytes(work) - before) / 2**20:.1f} MiB more on disk", bar="15 MB")


def main():
    root = tempfile.mkdtemp(prefix="bench-files-", dir=os.environ.get("BENCH_DIR", "/tmp"))
    try:
        if sys.argv[1:2] == ["big"]:
            big(root, float(sys.argv[2]) if len(sys.argv) > 2 else 5)
        else:
            files(root, int(sys.argv[1]) if len(sys.argv) > 1 else 100000, int(sys.argv[2]) if len(sys.argv) > 2 else 150)
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
