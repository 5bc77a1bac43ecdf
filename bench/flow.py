"""Pipelines: nothing changed; a chain of ten steps that do nothing; fifty side by side; beside bare spawns with the same number of syncs;
graphs of many steps (100,000 with BENCH_LARGE=1)."""
import os
import shutil
import subprocess
import tempfile
import time

import lib

BARE = r"""
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
extern char **environ;
/* bare COUNT PARALLEL SYNCS: COUNT x /bin/true by posix_spawn, SYNCS appends with fdatasync around each. */
int main(int argc, char **argv)
{
	int count = atoi(argv[1]), parallel = atoi(argv[2]), syncs = atoi(argv[3]), running = 0, status;
	int fd = open("bare.log", O_WRONLY | O_CREAT | O_APPEND, 0600);
	char line[512];
	memset(line, 'x', sizeof line);
	char *const child[] = {"true", NULL};
	for (int i = 0; i < count; i++) {
		pid_t pid;
		for (int s = 0; s < syncs; s++)
			if (write(fd, line, sizeof line) < 0 || fdatasync(fd))
				return 1;
		if (posix_spawn(&pid, "/bin/true", NULL, NULL, child, environ))
			return 1;
		if (++running == parallel && wait(&status) > 0)
			running--;
	}
	while (running-- && wait(&status) > 0)
		;
	return argc != 4;
}
"""


def project(steps, head=""):
    folder = tempfile.mkdtemp(prefix="bench-flow-")
    with open(os.path.join(folder, "sluice.yaml"), "w") as f:
        f.write(f"project: bench\n{head}steps:\n" + "".join(steps))
    lib.once([lib.SLUICE, "init"], cwd=folder)
    return folder


def chain(n):
    return [f"  s{i}: {{run: [/bin/true], inputs: [{f's{i - 1}' if i else ''}]}}\n" for i in range(n)]


def side_by_side(n):
    return [f"  s{i}: {{run: [/bin/true]}}\n" for i in range(n)]


def scale(table, count, bar):
    """A graph of `count` steps, each behind one of those before it, in which nothing changed: whole process, its largest resident memory."""
    folder = project([f"  s{i}: {{run: [/bin/true], inputs: [{f's{i // 2}' if i % 10 else ''}]}}\n" for i in range(count)])
    lib.once([lib.SLUICE, "run", "-j", "2"], cwd=folder)
    memory = []

    def again():
        process = subprocess.Popen([lib.SLUICE, "run"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        start = time.perf_counter()
        _, status, used = os.wait4(process.pid, 0)
        assert status == 0
        memory.append(used.ru_maxrss)
        return time.perf_counter() - start, used.ru_utime + used.ru_stime
    ours, _ = lib.in_turn(again)
    table.row(f"graph of {count:,} steps, nothing changed", f"{lib.ms(lib.median(ours))} (CPU {lib.ms(lib.median(ours, 1))}, {max(memory) >> 10} MB)", "", None, bar)
    shutil.rmtree(folder)


def main():
    table = lib.Table("Pipelines (whole processes, wall, medians)")
    work = tempfile.mkdtemp(prefix="bench-bare-")
    source, bare = os.path.join(work, "bare.c"), os.path.join(work, "bare")
    with open(source, "w") as f:
        f.write(BARE)
    subprocess.run(["cc", "-O2", "-o", bare, source], check=True)
    for name, steps, shape, bar in (("chain of 10 no-op steps", chain(10), ("10", "1", "2"), "25 ms"),
                                    ("50 no-op steps side by side", side_by_side(50), ("50", "2", "0"), "60 ms")):
        for head, told in (("", ", each in its sandbox"), ("sandbox: off\n", "")):
            folder = project(steps, head)
            ours, theirs = lib.in_turn(lambda: lib.once([lib.SLUICE, "run", "--force", "-j", "2"], cwd=folder), lambda: lib.once([bare, *shape], cwd=work))
            a, b = lib.median(ours), lib.median(theirs)
            table.row(name + told, lib.ms(a), f"bare spawn {lib.ms(b)}", a / b, bar)
            shutil.rmtree(folder)
    scale(table, 10_000, "0.1 s")
    if os.environ.get("BENCH_LARGE"):  # filling the store takes minutes
        scale(table, 100_000, "1 s")
    demo = os.path.join(lib.ROOT, "build/demo")
    if os.path.isdir(os.path.join(demo, ".sluice")):
        ours, _ = lib.in_turn(lambda: lib.once([lib.SLUICE, "run", "features"], cwd=demo), runs=20)
        table.row("`sluice run`, nothing changed, flights", lib.ms(lib.median(ours)), "", None, "15 ms")
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
