"""A full disk: a small file system of its own under the project, filled to the byte that hurts. Every refusal says which file system is
full and what to do, ends with status 3, leaves nothing half done, and the next run goes on when there is room."""
import os
import random
import subprocess

import pytest

from conftest import Project
from test_serving import log_of

PIPELINE = """\
project: small
sources:
  raw: raw.csv
steps:
  wide: {sql: "select *, x * y as z from raw"}
  said: {run: "cat $SLUICE_INPUT_wide > $SLUICE_OUTPUT_said", inputs: [wide], outputs: {said: out/said.bin}}
  fit: {train: {algorithm: xgboost, data: wide, target: t, features: [x, y, z], rounds: 20, max_depth: 4}}
  score: {evaluate: {model: fit, data: wide, target: t}}
models:
  m: {from: fit, gate: ["auc >= 0.1"]}
"""


class SmallDisk(Project):
    """A project on a file system of its own; `leave` fills it up to some bytes."""

    def leave(self, free_bytes):
        room = os.statvfs(self.root)
        size = room.f_bavail * room.f_frsize - free_bytes
        with open(self.root / "ballast", "ab") as ballast:
            os.posix_fallocate(ballast.fileno(), ballast.tell(), max(size, 1))

    def set_writable(self, yes):
        subprocess.run(["mount", "-o", "remount," + ("rw" if yes else "ro"), str(self.root)], check=True)

    def make_room(self):
        (self.root / "ballast").unlink(missing_ok=True)


@pytest.fixture
def small(program, tmp_path):
    root = tmp_path / "small"
    root.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(root)], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("may not mount a file system")
    try:
        project = SmallDisk(root)
        project.sluice("init")
        project.write("sluice.yaml", PIPELINE)
        draw = random.Random(7)
        project.write("raw.csv", "id,x,y,t\n" + "".join(f"{i},{draw.random()},{draw.random()},{draw.randrange(2)}\n" for i in range(4000)))
        yield project
    finally:
        subprocess.run(["umount", "-l", str(root)], check=True)


def refused(small, *arguments):
    """The command is refused because of the disk, in the words that a user needs."""
    done = small.sluice(*arguments, status=3)
    error = done.stderr[done.stderr.index("error: "):]
    assert "No space left" in error or "full" in error, done.stderr
    assert f"the file system {small.root} has " in error and "make room" in error, done.stderr
    assert not list((small.root / ".sluice" / "tmp").iterdir())
    return error


def goes_on(small, *names):
    small.make_room()
    small.sluice("run", *names)
    small.sluice("verify")


def test_a_source_that_does_not_fit_says_how_much_it_needs(small):
    small.leave(240_000)
    assert "and this needs 1" in refused(small, "run", "raw")
    goes_on(small)


@pytest.mark.parametrize("step, before", [("wide", "raw"), ("said", "wide"), ("fit", "wide"), ("score", "fit")])
def test_a_step_that_does_not_fit(small, step, before):
    small.sluice("run", before)
    small.leave({"wide": 200_000, "said": 100_000, "fit": 30_000, "score": 8_000}[step])
    refused(small, "run", step)
    goes_on(small)


@pytest.mark.slow
def test_the_hostile_sweep(small):
    """Whatever is left, a run is done or refused plainly, and what it did before stays done."""
    for free in (0, 60_000, 150_000, 300_000, 500_000, 800_000, 2_000_000):
        small.make_room()
        small.write("raw.csv", (small.root / "raw.csv").read_text() + f"{10_000 + free},0.5,0.5,1\n")
        small.leave(free)
        done = small.sluice("run", "-j", 1, status=None)
        assert done.returncode in (0, 3), done.stderr
        assert done.returncode == 0 or "the file system" in done.stderr, done.stderr
    goes_on(small)


def test_a_prediction_that_cannot_be_logged_is_not_answered(small):
    small.write("sluice.yaml", PIPELINE + "endpoints:\n  m: {model: m@champion, log: all}\n")
    small.sluice("run")
    rows = {"dataframe_records": [{"x": 0.5, "y": 0.25, "z": 0.125}] * 5000}
    with small.up() as server:
        assert server.post("/invocations", json=rows).status_code == 200
        small.leave(0)
        answers = [server.post("/invocations", json=rows) for _ in range(20)]
        refused = [answer for answer in answers if answer.status_code != 200]
        assert refused and all(answer.status_code == 507 for answer in refused), [answer.status_code for answer in answers]
        assert "the file system" in refused[-1].text and answers[-1].status_code == 507
        small.make_room()
        assert server.post("/invocations", json=rows).status_code == 200
    answered = {answer.headers["X-Sluice-Prediction-Id"].encode() for answer in answers if answer.status_code == 200}
    assert answered <= {record.key for record in log_of(small, "m")}
    small.sluice("verify")


LOOKING = ["ls datasets", "ls runs", "ls events", "ls ledger", "show raw", "show model:m", "log said", "why m", "why m --down", "diff raw raw", "status", "run -n",
           "schema", "sql select+count(*)+from+raw", "sql select+count(*)+from+runs"]
CHANGING = ["run", "run --force raw", "promote m@1 --force --alias other", "gc --yes", "up --port 0", "init"]


def test_a_read_only_project_is_looked_at_and_not_changed(small, tmp_path):
    small.sluice("run")
    small.write("raw.csv", (small.root / "raw.csv").read_text() + "9999,1,1,1\n")
    small.set_writable(False)
    looked = [(small.sluice(*[word.replace("+", " ") for word in command.split()], status=None), command) for command in LOOKING]
    failed = [(command, done.stderr[-400:]) for done, command in looked if done.returncode]
    assert not failed, "\n".join(f"{command}: {told}" for command, told in failed)
    assert small.json("run", "-n")["steps"][0]["state"] == "stale"
    (tmp_path / "in.csv").write_text("x,y,z\n0.5,0.5,0.25\n")
    small.sluice("predict", "m", tmp_path / "in.csv", "-o", tmp_path / "out.csv")
    for command in CHANGING:
        told = small.sluice(*command.split(), status=3).stderr
        assert "read-only" in told.lower() or "readonly" in told, (command, told)
    small.set_writable(True)
    small.sluice("run")
    small.sluice("verify")
