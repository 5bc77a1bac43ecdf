#!/usr/bin/env python3
"""Builds and tests everything, shows every failure plainly, and ends with the one line 'N passed, N failed'.

usage: tests/run.py [--only STAGE[,STAGE...]] [--fast]

Stages: dev (gcc build, unit tests, lint, corpus replay), blackbox (pytest against the program of dev), asan (build with ASan and
UBSan, unit tests, corpus replay, the black-box tests marked neither slow nor plain), clang (build; warnings are errors in every build).
--fast runs dev only. Exit status: 0 when everything passed, else 1.
"""
import argparse
import dataclasses
import os
import pathlib
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[1]
OUT = ROOT / "build" / "test"
PYTHON = ROOT / "third_party" / "venv" / "bin" / "python"
JOBS = str(os.cpu_count() or 1)
# halt_on_error: a report is a failure wherever it happens, also in a process that the tests started.
SANITIZERS = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1:abort_on_error=0",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "LSAN_OPTIONS": f"suppressions={ROOT / 'tests' / 'lsan.supp'}:print_suppressions=0",
}


@dataclasses.dataclass
class Tally:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list = dataclasses.field(default_factory=list)

    def add(self, passed, failed, skipped):
        self.passed, self.failed, self.skipped = self.passed + passed, self.failed + failed, self.skipped + skipped

    def fail(self, name, text):
        self.failures.append((name, text))

    def line(self):
        return f"{self.passed} passed, {self.failed} failed" + (f", {self.skipped} skipped" if self.skipped else "")


def say(text):
    print(text, flush=True)


def call(argv, **environment):
    return subprocess.run(argv, cwd=ROOT, env={**os.environ, **environment}).returncode


def build(tally, preset):
    """One test: it compiles without a warning."""
    say(f"== build {preset}")
    start = time.monotonic()
    for argv in (["cmake", "--preset", preset], ["cmake", "--build", "--preset", preset, "--", "-j", JOBS]):
        done = subprocess.run(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        if done.returncode:
            tally.add(0, 1, 0)
            # Ninja says "FAILED:" before the compiler's messages; what compiled well is left out.
            at = done.stdout.find("FAILED:")
            tally.fail(f"build {preset}", done.stdout[at if at >= 0 else -8000:][:8000])
            say(done.stdout[at if at >= 0 else -8000:][:8000])
            return False
    tally.add(1, 0, 0)
    say(f"   built in {time.monotonic() - start:.0f} s")
    return True


def cmocka_counts(output):
    """(passed, failed, skipped) of one cmocka program, or None when it is another kind of test."""
    if "[==========]" not in output:
        return None
    count = lambda word: len(re.findall(rf"^\[ +{word} +\] [A-Za-z_]\w*$", output, re.M))
    return count("OK"), count("FAILED"), count("SKIPPED")


def read_ctest(tally, path, preset):
    """Adds each test of ctest's report; a cmocka program counts as the tests in it."""
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name, output = case.get("name"), case.findtext("system-out") or ""
        good = case.get("status") == "run" and case.find("failure") is None
        passed, failed, skipped = cmocka_counts(output) or (0, 0, 0)
        if case.get("status") in ("disabled", "notrun") and case.find("skipped") is not None:
            skipped += 1
        elif good:
            passed, failed = max(passed, 1 - skipped), 0
        else:
            failed = 1  # cmocka names a failure twice, and a crash not at all: the program is what failed
            tally.fail(f"{preset} {name}", output[-6000:])
        tally.add(passed, failed, skipped)


def ctest(tally, preset, labels):
    say(f"== ctest {preset}: {labels}")
    report = OUT / f"ctest-{preset}.xml"
    report.unlink(missing_ok=True)
    environment = SANITIZERS if preset == "asan" else {}
    status = call(["ctest", "--test-dir", f"build/{preset}", "-L", labels, "-j", JOBS, "--output-on-failure",
                   "--test-output-size-passed", "1000000", "--test-output-size-failed", "1000000",
                   "--no-tests=error", "--output-junit", str(report)], **environment)
    before = tally.failed
    if report.exists():
        read_ctest(tally, report, preset)
    if status and tally.failed == before:
        tally.add(0, 1, 0)
        tally.fail(f"ctest {preset}", f"ctest ended with status {status} and no report of why")


def read_pytest(tally, path, preset):
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{preset} {case.get('classname')}::{case.get('name')}"
        bad = [e for kind in ("failure", "error") for e in case.iter(kind)]
        if bad:
            tally.add(0, 1, 0)
            tally.fail(name, (bad[0].text or bad[0].get("message") or "")[-6000:])
        elif case.find("skipped") is not None:
            tally.add(0, 0, 1)
        else:
            tally.add(1, 0, 0)


def blackbox(tally, preset, *options):
    say(f"== black-box tests, {preset}")
    report = OUT / f"blackbox-{preset}.xml"
    report.unlink(missing_ok=True)
    environment = {"SLUICE_BIN": str(ROOT / "build" / preset / "sluice"), **(SANITIZERS if preset == "asan" else {})}
    status = call([str(PYTHON), "-m", "pytest", "-c", "tests/blackbox/pytest.ini", "tests/blackbox", "-n", JOBS, "--dist", "worksteal",
                   "--junitxml", str(report), *options], **environment)
    before = tally.failed
    if report.exists():
        read_pytest(tally, report, preset)
    if status and tally.failed == before:
        tally.add(0, 1, 0)
        tally.fail(f"black-box tests, {preset}", f"pytest ended with status {status} and no report of why")


def stage_dev(tally):
    if build(tally, "dev"):
        ctest(tally, "dev", "unit|lint|fuzz")


def stage_blackbox(tally):
    if (ROOT / "build" / "dev" / "sluice").exists():
        blackbox(tally, "dev")


def stage_asan(tally):
    if build(tally, "asan"):
        ctest(tally, "asan", "unit|fuzz")
        blackbox(tally, "asan", "-m", "not slow and not plain")


def stage_clang(tally):
    build(tally, "clang")


STAGES = {"dev": stage_dev, "blackbox": stage_blackbox, "asan": stage_asan, "clang": stage_clang}


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--only", default=",".join(STAGES))
    parser.add_argument("--fast", action="store_true")
    options = parser.parse_args()
    names = ["dev"] if options.fast else options.only.split(",")
    if unknown := [n for n in names if n not in STAGES]:
        parser.error(f"no stage '{unknown[0]}', there are {', '.join(STAGES)}")
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "summary").unlink(missing_ok=True)
    tally = Tally()
    for name in names:
        start = time.monotonic()
        STAGES[name](tally)
        say(f"== {name}: {time.monotonic() - start:.0f} s; so far {tally.line()}")
    for name, text in tally.failures:
        say(f"\n---- failed: {name}\n{text.rstrip()}")
    for name, _ in tally.failures:
        say(f"failed: {name}")
    (OUT / "summary").write_text(tally.line() + "\n")
    say(tally.line())
    sys.exit(1 if tally.failed or not tally.passed else 0)


main()
