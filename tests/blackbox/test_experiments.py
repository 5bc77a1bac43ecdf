"""Canaries, sequential tests and bandits over an endpoint's variants: decided by the worker out of the log and labels."""
import os
import signal

import numpy
import pandas
import pyarrow
import pyarrow.parquet
import pytest

from conftest import Project, alive, wait_until

YAML = """
project: experiments
params: {rounds: 5}
sources: {flights: data/flights.parquet}
steps:
  fit:
    train: {algorithm: xgboost, data: flights, target: late, features: [distance], rounds: $rounds, max_depth: 3, seed: 1}
models:
  delay: {from: fit, promote: auto}
endpoints:
  delay: {model: delay@champion, key: flight, traffic: {fallback: champion}}
"""


@pytest.fixture(scope="module")
def trained(program, tmp_path_factory):
    """Three versions of delay; 1 is the champion."""
    root = tmp_path_factory.mktemp("experiments") / "project"
    root.mkdir()
    project = Project(root)
    (root / "data").mkdir()
    random = numpy.random.default_rng(3)
    distance = random.integers(50, 3000, 1000)
    frame = pandas.DataFrame({"distance": distance, "late": (distance / 3000 + random.normal(0, 0.2, 1000) > 0.5).astype("int64")})
    pyarrow.parquet.write_table(pyarrow.Table.from_pandas(frame, preserve_index=False), root / "data" / "flights.parquet")
    project.write("sluice.yaml", YAML)
    project.sluice("init", status=None)
    for rounds in (5, 7, 9):
        project.sluice("run", f"rounds={rounds}")
    return project


@pytest.fixture(scope="module")
def server(trained):
    with trained.up() as server:
        yield server


class Traffic:
    """Flights, each with a key of its own; `late(variant)` says what becomes of it."""

    def __init__(self, server, project, name):
        self.server, self.project, self.name, self.count = server, project, name, 0

    def send(self, requests, late=None, rows=1):
        labels, answered = [], []
        for _ in range(requests):
            keys = [f"{self.name}-{self.count + i}" for i in range(rows)]
            self.count += rows
            answer = self.server.post("/invocations", json={"dataframe_records": [{"flight": key, "distance": 700} for key in keys]})
            assert answer.status_code == 200, answer.text
            answered.append(answer.headers["X-Sluice-Variant"])
            if late:
                labels += [{"key": key, "value": late(answered[-1])} for key in keys]
        if labels:
            token = (self.project.root / ".sluice" / "key" / "token").read_text().strip()
            told = self.server.post(f"/api/v1/labels/{self.name}", json={"labels": labels}, headers={"Authorization": f"Bearer {token}"})
            assert told.status_code == 200, told.text
        return answered


def begin(project, server, rules, champion=1, challenger=2):
    project.sluice("promote", f"delay@{champion}")
    project.sluice("promote", f"delay@{challenger}", "--alias", "challenger")
    project.sluice("route", "delay", "--rules", rules)
    wait_until(lambda: experiment(project).get("phase") == "running", what="the experiment")


def experiment(project):
    return project.json("show", "endpoint:delay").get("experiment", {})


def actions(project):
    return [entry["action"] for entry in project.json("ls", "ledger", "--limit", "100")["items"]]


def drive(traffic, project, phase, late=None, seconds=40, requests=20, rows=1):
    seen = []

    def ended():
        seen.extend(traffic.send(requests, late, rows))
        return experiment(project).get("phase") == phase
    wait_until(ended, seconds=seconds, what=f"an experiment that is {phase}")
    return seen


def test_a_canary_climbs_survives_a_restart_and_is_promoted(server, trained):
    traffic = Traffic(server, trained, "climb")
    begin(trained, server, '{"canary": {"to": "challenger", "steps": [30, 60, 100], "hold": "1s", "requests": 8, "promote": true,'
                           ' "gates": ["errors <= 0", "p99_ms <= base.p99_ms + 1000"]}}')
    seen = []

    def climbed():
        seen.extend(traffic.send(20))
        return experiment(trained)["state"]["step"] >= 1
    wait_until(climbed, what="the second step")
    assert {"delay@champion", "delay@challenger"} == set(seen)
    for role in ("worker", "infer"):
        pid = server.role_pid(role)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not alive(pid), what="its end")
    wait_until(lambda: server.get("/v2/health/ready").status_code == 200, what="infer again")
    assert experiment(trained)["state"]["step"] >= 1
    drive(traffic, trained, "done")
    assert trained.json("show", "endpoint:delay")["version"] == 2
    wait_until(lambda: {server.post("/invocations", json={"dataframe_records": [{"flight": 1, "distance": 5}]}).headers["X-Sluice-Model-Version"]
                        for _ in range(20)} == {"2"}, what="the promoted version")
    entries = actions(trained)
    assert entries.index("route.done") < entries.index("route.step") < entries.index("route.begin")
    assert entries.count("route.step") == 2
    trained.sluice("verify")


def test_a_canary_whose_quality_is_worse_is_rolled_back(server, trained):
    traffic = Traffic(server, trained, "worse")
    begin(trained, server, '{"canary": {"to": "challenger", "steps": [50], "hold": "1h", "requests": 1, "labels": "worse", "minimum": 30,'
                           ' "gates": ["label >= base.label - 0.3"]}}')
    drive(traffic, trained, "rolled_back", late=lambda variant: 0 if variant == "delay@challenger" else 1)
    state = experiment(trained)["state"]
    assert "rolled back at 50 %: 'label >= base.label - 0.3' does not hold: label is 0" in state["reason"]
    wait_until(lambda: set(traffic.send(20)) == {"delay@champion"}, what="the champion alone")
    assert "route.rollback" in actions(trained)
    status = {row["endpoint"]: row for row in trained.json("status")["experiments"]}
    assert (status["delay"]["phase"], status["delay"]["kind"]) == ("rolled_back", "canary")
    trained.sluice("promote", "delay@3", "--alias", "challenger")
    wait_until(lambda: experiment(trained)["phase"] == "running", what="a canary of the next version")


def test_a_canary_that_cannot_answer_is_rolled_back_and_nobody_notices(server, trained):
    """A version of another model's columns: what it needs, no request has."""
    text = (trained.root / "sluice.yaml").read_text()
    traffic = Traffic(server, trained, "broken")
    try:
        trained.write("sluice.yaml", text.replace("features: [distance]", "features: [distance, altitude]").replace(
            "data: flights,", "data: higher,").replace("steps:\n", "steps:\n  higher: {sql: \"select *, distance * 2 as altitude from flights\"}\n"))
        trained.sluice("run", "rounds=6")
    finally:
        trained.write("sluice.yaml", text)
    newest = trained.json("ls", "models")["items"][0]
    begin(trained, server, '{"canary": {"to": "challenger", "steps": [50], "hold": "1h", "requests": 20, "gates": ["errors <= 0.05"]}}',
          champion=1, challenger=newest.get("newest", newest.get("version")))
    seen = drive(traffic, trained, "rolled_back")
    assert set(seen) == {"delay@champion"}
    assert "'errors <= 0.05' does not hold: errors is 1" in experiment(trained)["state"]["reason"]


def test_a_sequential_test_names_the_better_arm(server, trained):
    traffic = Traffic(server, trained, "ab")
    random = numpy.random.default_rng(5)
    begin(trained, server, '{"test": {"between": ["champion", "challenger"], "metric": "label", "labels": "ab", "minimum": 50}}')
    rates = {"delay@champion": 0.2, "delay@challenger": 0.6}
    drive(traffic, trained, "done", late=lambda variant: int(random.random() < rates[variant]), requests=10, rows=5)
    state = experiment(trained)["state"]
    assert state["reason"].startswith("delay@challenger is better: label ") and state["p"] <= 0.05
    measured = state["measured"]
    assert measured["delay@challenger"]["label"] > measured["delay@champion"]["label"]
    assert "route.winner" in actions(trained)


@pytest.mark.parametrize("policy", ["thompson", "epsilon_greedy"])
def test_a_bandit_sends_more_to_what_brings_more(server, trained, policy):
    traffic = Traffic(server, trained, policy)
    random = numpy.random.default_rng(5)
    begin(trained, server, '{"bandit": {"between": ["champion", "challenger"], "metric": "label", "labels": "%s", "every": "200ms",'
                           ' "policy": "%s", "minimum": 20}}' % (policy, policy))
    rates = {"delay@champion": 0.2, "delay@challenger": 0.7}

    def learned():
        traffic.send(20, lambda variant: int(random.random() < rates[variant]), rows=5)
        return experiment(trained).get("weights", {}).get("delay@challenger", 0) > 0.85
    wait_until(learned, seconds=40, what="what the labels say")
    wait_until(lambda: traffic.send(40).count("delay@challenger") >= 30, what="the new shares")
    assert "route.shares" in actions(trained)


def test_wrong_experiments_are_refused(trained):
    for rules, message in (('{"canary": {"to": "challenger"}}', "'steps' must be a list"), ('{"canary": {"to": "champion", "steps": [1]}}', "goes to another"),
                           ('{"canary": {"to": "c", "steps": [10, 5]}}', "'steps' must rise"), ('{"test": {"between": ["a"]}}', "2 to 2 variants"),
                           ('{"test": {"between": ["a", "b"], "metric": "brier"}}', "needs 'labels'"),
                           ('{"canary": {"to": "c", "steps": [5], "gates": ["auc > 1"]}}', "a measure is wanted"),
                           ('{"canary": {"to": "c", "steps": [5]}, "weights": {"c": 1}}', "a canary sets the weights"),
                           ('{"bandit": {"between": ["a", "b"], "labels": "l", "metric": "log_loss"}}', "is label (a reward")):
        assert message in trained.sluice("route", "delay", "--rules", rules, status=2).stderr
