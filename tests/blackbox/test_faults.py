"""One fault in the life of a small project, wherever it may hit: the n-th change to the disk fails, or SIGKILL meets the process that makes it.

build/<preset>/sluice_faults is the program with the fault table of tests/support/fault.h, set by SLUICE_FAULT; all its processes count together. Afterwards
`verify` finds nothing, what was acknowledged is there, and what goes on ends with the models and datasets of a life without a fault. CI tries calls spread over
the whole life; `make soak` (SLUICE_EVERY_FAULT=1) tries every one. Beside that: a clock that jumps, and kills at random moments."""
import datetime
import json
import os
import random
import shutil
import struct
import subprocess
import time

import pytest
import requests

import conftest
from conftest import Project, alive, wait_until
from test_serving import log_of

NONE, FAIL, DIE = 0, 1, 3               # enum fault_action
CHANGES, WRITES_AND_SYNCS = 31, 3       # FAULT_CHANGES; FAULT_WRITE | FAULT_SYNC
EVERY = bool(os.environ.get("SLUICE_EVERY_FAULT"))
PER_DAY, DAYS = 200, 3

YAML = """\
project: small
params: {train_until: 2001-03-02}
sources: {trips: data/trips.csv}
steps:
  rows: {sql: "select id, moment, distance, late from trips order by id"}
  fit:
    train: {algorithm: xgboost, data: rows, where: "moment < $train_until", target: late, features: [distance], rounds: 3, max_depth: 2}
models:
  trip: {from: fit, evaluate: {data: rows, where: "moment >= $train_until", target: late}, gate: ["log_loss <= 9"], promote: auto}
endpoints:
  trip: {model: trip@champion, log: all, key: id, time: moment, extra: ignore}
monitors:
  quality: {endpoint: trip, labels: truth, window: 1d, lateness: 0d, calibration_gap: {alarm: 0.3}}
triggers:
  again: {on: quality.alarm, run: trip, set: {train_until: $event.to}, cooldown: 30d}
"""


def trips():
    """id, moment, distance, late; from the second day on every trip is late, whatever its distance."""
    for i in range(PER_DAY * DAYS):
        moment = datetime.datetime(2001, 3, 1) + datetime.timedelta(days=i // PER_DAY, minutes=7 * (i % PER_DAY))
        distance = i * 37 % 100
        yield i, moment.isoformat(), distance, int(distance >= 50 or i >= PER_DAY)


class Faulty(Project):
    """A project whose commands meet one fault between them once there is a plan. Nothing waits for the disk."""

    def __init__(self, root, counter):
        super().__init__(root)
        self.counter = counter
        self.calm()

    def plan(self, action, kinds, n):
        self.counter.write_bytes(bytes(8))
        self.environment["SLUICE_FAULT"] = f"{action}:{kinds}:{n}:{self.counter}"

    def calm(self, kinds=CHANGES):
        self.plan(NONE, kinds, 0)

    def calls(self):
        return struct.unpack("<q", self.counter.read_bytes())[0]


@pytest.fixture
def place(program, tmp_path, monkeypatch):
    """Makes projects: place(name) is a fresh one, place(name, other) a copy of another."""
    faulty = program.with_name("sluice_faults")
    assert faulty.exists(), f"{faulty} is not built"
    monkeypatch.setattr(conftest, "PROGRAM", faulty)

    def make(name, other=None):
        root = tmp_path / name
        shutil.rmtree(root, ignore_errors=True)
        if other:
            shutil.copytree(other.root, root)
            return Faulty(root, tmp_path / f"{name}.calls")
        root.mkdir()
        project = Faulty(root, tmp_path / f"{name}.calls")
        project.write("sluice.yaml", YAML)
        project.write("data/trips.csv", "id,moment,distance,late\n" + "".join(",".join(map(str, trip)) + "\n" for trip in trips()))
        project.sluice("init")
        return project
    return make


def spread(calls, count):
    """`count` calls from the first to the last, or every one."""
    return range(1, calls + 1) if EVERY else sorted({1 + i * (calls - 1) // (count - 1) for i in range(count)})


def outcome(project):
    models = [(m["version"], m.get("alias"), m["hash"]) for m in project.json("ls", "models", "trip")["items"]]
    return models, sorted((d["name"], d.get("hash"), d.get("rows")) for d in project.json("ls", "datasets")["items"])


# ---- source, SQL step, training, evaluation, gate, promotion -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("action, kinds", [(DIE, CHANGES), (FAIL, CHANGES)], ids=["dies", "EIO"])
def test_a_fault_in_a_run(place, action, kinds):
    template = place("template")
    calm = place("calm", template)
    calm.sluice("run")
    calls, expected = calm.calls(), outcome(calm)
    for n in spread(calls, 10):
        project = place("now", template)
        project.plan(action, kinds, n)
        done = project.sluice("run", status=None)
        about = f"call {n} of {calls}: {done.returncode}: {done.stderr}"
        assert done.returncode in ((0, 1, 3, -9) if action == DIE else (0, 1, 3)), about
        assert done.returncode <= 0 or "error" in done.stderr, about
        project.calm()
        verified = project.sluice("verify", status=None)
        assert verified.returncode == 0, about + verified.stdout + verified.stderr
        again = project.sluice("run", status=None)
        assert again.returncode == 0, about + again.stderr
        assert outcome(project) == expected, about
        project.sluice("verify")


# ---- predictions, labels, a window, an event, a trigger, the run that it starts ------------------------------------------------------


class Client:
    """Sends everything in order, each until it is acknowledged; the server is started again when it is gone."""

    def __init__(self, project):
        self.project, self.server, self.acknowledged, self.refused = project, None, [], 0

    def start(self):
        told = self.project.sluice("up", "--port", 0, "--json", status=None)
        if told.returncode:  # the fault has been: it may have met `up` when the supervisor was on its way already
            self.project.calm()
            self.project.sluice("down", status=None)
            told = self.project.sluice("up", "--port", 0, "--json")
        self.server = conftest.Server(self.project, json.loads(told.stdout))

    def gone(self):
        return not alive(self.server.pid)

    def again(self):
        if self.gone():
            self.project.calm()
            self.start()

    def ask(self, path, body):
        try:
            return requests.post(self.server.url + path, json=body, headers={"Authorization": f"Bearer {self.server.token}"}, timeout=10)
        except requests.RequestException:
            return None

    def post(self, path, body):
        """The answer 200, which is waited for."""
        def acknowledged():
            self.again()
            answer = self.ask(path, body)
            assert answer is None or answer.status_code == 200 or answer.status_code >= 500, answer.text
            if answer is not None and answer.status_code == 200:
                return answer
            self.refused += 1
            return None
        return wait_until(acknowledged, seconds=30, what=f"an answer of {path}")

    def live(self):
        rows = list(trips())
        for day in range(DAYS):
            piece = rows[day * PER_DAY:(day + 1) * PER_DAY]
            self.post("/api/v1/labels/truth", {"labels": [{"key": row[0], "value": row[3], "time": row[1]} for row in piece]})
            answer = self.post("/invocations", {"dataframe_split": {"columns": ["id", "moment", "distance"], "data": [row[:3] for row in piece]}})
            self.acknowledged.append(answer.headers["X-Sluice-Prediction-Id"])
        wait_until(self.fired, seconds=30, what="the trigger's run")

    def fired(self):
        self.again()
        listed = self.project.sluice("ls", "firings", "--json", status=None)
        firings = json.loads(listed.stdout)["items"] if listed.returncode == 0 else []
        return firings and firings[0]["status"] in ("done", "failed")

    def stop(self):
        self.project.calm()
        self.project.sluice("down", status=None)
        wait_until(lambda: self.gone() and not any(alive(role["pid"]) for role in self.server.roles), what="the end of the server")


def watched(project):
    """What the watch room made of it: windows, alarms, firings."""
    windows = [(w["from"], w["to"], w["level"], w["rows"], w.get("observed"), w["predicted"]) for w in project.json("show", "monitor:quality")["windows"]]
    events = [(e["kind"], e["subject"]) for e in project.json("ls", "events")["items"] if e["kind"] != "data"]
    return windows, events, [f["trigger"] for f in project.json("ls", "firings")["items"]]


def check_life(project, client, expected, about):
    verified = project.sluice("verify", status=None)
    assert verified.returncode == 0, about + verified.stdout + verified.stderr
    assert set(client.acknowledged) <= {record.key.decode() for record in log_of(project, "trip")}, about
    assert project.json("sql", "select count(distinct key) as n from labels")["items"] == [{"n": PER_DAY * DAYS}], about
    if project.json("ls", "firings")["items"][0]["status"] == "failed":  # the fault met the trigger's run: that is said, and the next one does it
        project.sluice("run", "trip", "train_until=2001-03-03", "--pin")
    assert outcome(project) == expected[0], about
    if not client.refused:  # what was refused may have been logged all the same, and then counts twice
        assert watched(project) == expected[1], about
    project.sluice("verify")


@pytest.mark.slow
@pytest.mark.parametrize("action, kinds", [(DIE, CHANGES), (FAIL, CHANGES)], ids=["dies", "EIO"])
def test_a_fault_while_serving_and_watching(place, action, kinds):
    template = place("template")
    template.sluice("run")
    calm = place("calm", template)
    client = Client(calm)
    client.start()
    client.live()
    calls = calm.calls()
    client.stop()
    expected = outcome(calm), watched(calm)
    assert len(expected[0][0]) == 2 and len(expected[1][1]) == 1
    for n in spread(calls, 5):
        project = place("now", template)
        project.plan(action, kinds, n)
        client = Client(project)
        client.start()
        try:
            client.live()
        except BaseException:
            print(f"call {n} of {calls}\n{client.server.logs()}")
            raise
        finally:
            client.stop()
        check_life(project, client, expected, f"call {n} of {calls}, {client.refused} refused: ")


# ---- the clock, and kills at any moment ----------------------------------------------------------------------------------------------

HOUR, YEAR = 3600, 365 * 24 * 3600
STEPS = """\
project: jumps
sandbox: off
steps:
  first: {run: 'echo x >> first; echo 1 > $SLUICE_OUTPUT_a', outputs: {a: a.txt}}
  flaky: {run: 'echo x >> flaky; [ $(wc -l < flaky) -ge 2 ] || exit 75; cp $SLUICE_INPUT_a $SLUICE_OUTPUT_b', inputs: [a], outputs: {b: b.txt}, retry: {times: 1, wait: 50ms}}
  last: {run: 'cat $SLUICE_INPUT_b > $SLUICE_OUTPUT_c', inputs: [b], outputs: {c: c.txt}, timeout: 1m}
"""


@pytest.mark.parametrize("seconds", [1, -1, HOUR, -HOUR, 10 * YEAR, -10 * YEAR, -int(time.time())], ids=["1 s", "-1 s", "1 h", "-1 h", "10 y", "-10 y", "1970"])
def test_the_clock_jumps(place, seconds):
    """Waiting, limits and order go by other clocks: nothing hangs, nothing runs twice, the ledger stays in its order."""
    looks = (5, 40) if not EVERY else range(1, 120)
    for n in looks:
        project = place("now")
        project.write("sluice.yaml", STEPS)
        project.environment["SLUICE_CLOCK"] = f"{seconds}:{n}"
        done = project.sluice("run", status=None)  # which has a deadline
        assert done.returncode == 0, f"look {n}: {done.stderr}"
        del project.environment["SLUICE_CLOCK"]
        assert (project.root / "first").read_text() + (project.root / "flaky").read_text() == "x\n" * 3 and (project.root / "c.txt").read_text() == "1\n"
        assert {step["state"] for step in project.json("run")["steps"]} == {"fresh"}, f"look {n}"
        project.sluice("verify")


def count_lines(path):
    return path.read_text().count("\n") if path.exists() else 0


@pytest.mark.slow
def test_killed_at_random_moments(place):
    """Runs are killed one after the other, with all that they are or alone, until one comes through: each step has one good run, and what it began is done."""
    dice = random.Random(7)
    for _ in range(2 if not EVERY else 300):
        project = place("now")
        project.write("sluice.yaml", "project: kills\nsandbox: off\nsteps:\n" + "".join(
            f"  s{i}: {{run: 'echo x >> n{i}; sleep 0.0{i % 5}; echo {i} > $SLUICE_OUTPUT_o{i}', {f'inputs: [o{i - 1}], ' if i else ''}outputs: {{o{i}: o{i}.txt}}}}\n"
            for i in range(8)))
        kills = 0
        for _ in range(40):
            process, _log = project.start("run")
            try:
                if process.wait(timeout=dice.random() * 0.15) == 0:
                    break
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
        project.sluice("run", "--wait")
        good = [run for run in project.json("ls", "runs", "--limit", 1000)["items"] if run["kind"] == "step" and run["status"] == "ok"]
        assert sorted(run["name"] for run in good) == [f"s{i}" for i in range(8)], f"{kills} kills"
        assert sum(count_lines(project.root / f"n{i}") for i in range(8)) <= 8 + kills
        assert not project.json("status")["working"]
        project.sluice("verify")
