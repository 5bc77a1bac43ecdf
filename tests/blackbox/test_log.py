"""What runs said: parts of it, lines of it, what comes; a log of 10 GB as quickly as one of 10 lines."""
import os
import resource
import subprocess

import pytest

import conftest
from conftest import wait_until


@pytest.fixture
def said(project):
    project.sluice("init")
    project.write("sluice.yaml", "project: x\nsteps:\n  talk: {run: 'seq 1 50000; echo \"needle in line\" >&2; seq 1 3'}\n")
    project.sluice("run")
    return project


def test_parts_by_byte(said):
    path = next((said.root / ".sluice" / "runs").glob("*/log"))
    whole = path.read_bytes()
    part = said.json("log", "talk", "--from", 100, "--bytes", 57)
    assert part["text"].encode() == whole[100:157] and (part["from"], part["to"], part["size_bytes"], part["whole"]) == (100, 157, len(whole), False)
    end = said.json("log", "talk", "--bytes", 100)
    assert whole.endswith(end["text"].encode()) and whole[end["from"] - 1:end["from"]] == b"\n" and end["to"] == len(whole)
    assert said.json("log", "talk", "--bytes", 16_000_000)["text"].encode() == whole
    assert said.json("log", "talk", "--from", len(whole) + 5)["text"] == ""


def test_lines_with_a_text(said):
    assert said.sluice("log", "talk", "--grep", "needle").stdout.split(" ", 1)[1] == "e needle in line\n"
    with_7 = [line for line in next((said.root / ".sluice" / "runs").glob("*/log")).read_text().splitlines() if "777" in line]
    found, at = [], 0
    while True:  # 1000 bytes at a time
        part = said.json("log", "talk", "--grep", "777", "--bytes", 1000, "--from", at)
        found += part["text"].splitlines()
        at = part["to"]
        if at == part["size_bytes"]:
            break
        assert f"--from {at}" in part["note"] and len(part["text"]) <= 1000
    assert found == with_7
    assert "within one line" in said.sluice("log", "talk", "--grep", "", status=2).stderr


def test_ten_gigabytes(said):
    path = next((said.root / ".sluice" / "runs").glob("*/log"))
    with open(path, "r+b") as log:
        log.truncate(10 << 30)
        log.seek(0, os.SEEK_END)
        log.write(b"\nthe end\n")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert said.json("log", "talk", "--bytes", 20)["text"].endswith("the end\n")
    assert said.json("log", "talk", "--from", (10 << 30) + 1, "--bytes", 3)["text"] == "the"
    assert said.json("log", "talk", "--grep", "the end", "--from", (10 << 30) - (64 << 20))["text"].endswith("the end\n")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_inblock - before.ru_inblock < 1 << 20  # blocks of 512 bytes: far from all of it


def test_follow(project):
    project.sluice("init")
    project.write("sluice.yaml", "project: x\nsandbox: off\nsteps:\n  slow: {run: 'echo first; : < gate; echo second; echo last'}\n")
    os.mkfifo(project.root / "gate")
    run, _ = project.start("run")
    wait_until(lambda: "first" in project.sluice("log", "slow", status=None).stdout, what="the step's first words")
    out = project.root.parent / "followed"
    with open(out, "w") as to:
        follower = subprocess.Popen([str(conftest.PROGRAM), "log", "slow", "-f"], cwd=project.root, env=project.environment, stdin=subprocess.DEVNULL, stdout=to)
    picker = subprocess.Popen([str(conftest.PROGRAM), "log", "slow", "-f", "--grep", "sec"], cwd=project.root, env=project.environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, text=True)
    wait_until(lambda: "first" in out.read_text(), what="what it had said")
    assert follower.poll() is None
    with open(project.root / "gate", "w"):
        pass
    assert follower.wait(30) == 0 and run.wait(30) == 0
    assert [line.split(" ", 1)[1] for line in out.read_text().splitlines()] == ["o first", "o second", "o last"]
    assert [line.split(" ", 1)[1] for line in picker.communicate(timeout=30)[0].splitlines()] == ["o second"]
    assert "ask again" in project.sluice("log", "slow", "-f", "--json", status=2).stdout
