"""What MLflow 3.17.2's own client sent to MLflow's own server, sent to ours: the same statuses and answers.

tests/data/mlflow/calls.jsonl was recorded between the two; answers above 1500 bytes were not kept, of those the status counts."""
import json
import pathlib
import re

import pytest
import requests

from mlflow_server import serving

CALLS = pathlib.Path(__file__).resolve().parents[1] / "data" / "mlflow" / "calls.jsonl"
TIMES = {"creation_time", "last_update_time"}
# Where we answer otherwise on purpose: MLflow's text holds its own SQL, or a Python set in no order.
OTHER_TEXTS = [r"^Experiment\(name=\w+\) already exists\.", r"^Invalid comparator '~' not one of '\{"]


class Replay:
    def __init__(self, url):
        self.url, self.ids, self.names = url, {}, {}

    def ours(self, value):
        """A recorded request or answer with the ids that our server gave out."""
        text = json.dumps(value)
        for theirs, mine in {**self.ids, **self.names}.items():
            text = text.replace(theirs, mine)
        return json.loads(text)

    def send(self, call):
        return requests.request(call["method"], self.url + call["path"], params=self.ours(call.get("query") or {}),
                                json=self.ours(call["request"]) if "request" in call else None, timeout=30)

    def learn(self, call, answer):
        if call["path"].endswith("runs/create"):
            theirs, mine = call["response"]["run"]["info"], answer["run"]["info"]
            self.ids[theirs["run_id"]] = mine["run_id"]
            if "run_name" not in call["request"]:
                self.names[theirs["run_name"]] = mine["run_name"]


def normal(value):
    """Lists of keyed things in order of their keys, without times of the server's own clock and without what is empty."""
    if isinstance(value, dict):
        return {k: normal(v) for k, v in value.items() if k not in TIMES and v not in ({}, [])}
    if isinstance(value, list):
        return sorted((normal(v) for v in value), key=lambda v: json.dumps(v, sort_keys=True))
    return value


def same_error(theirs, mine):
    if any(re.match(text, theirs.get("message", "")) and re.match(text, mine.get("message", "")) for text in OTHER_TEXTS):
        return {k: v for k, v in theirs.items() if k != "message"} == {k: v for k, v in mine.items() if k != "message"}
    return normal(theirs) == normal(mine)


def test_the_recorded_calls_get_mlflows_answers(program, tmp_path):
    different = []
    with serving(tmp_path) as url:
        replay = Replay(url)
        for number, call in enumerate(map(json.loads, CALLS.read_text().splitlines())):
            answer = replay.send(call)
            if answer.status_code != call["status"]:
                different.append((number, call["path"], call["status"], answer.status_code, answer.text[:300]))
                continue
            if "response" not in call:
                continue
            replay.learn(call, answer.json())
            if not same_error(replay.ours(call["response"]), answer.json()):
                different.append((number, call["path"], normal(replay.ours(call["response"])), normal(answer.json())))
    assert not different, "\n".join(map(str, different[:10]))
