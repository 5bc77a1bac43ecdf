"""SIGKILL while spans and events of the registry stream in: what was acknowledged is there, a request of spans is there whole or not at all, and every
change of the registry that is there is told to its webhook."""
import json
import signal
import threading
import uuid

import requests
from mlflow import MlflowClient
from mlflow.entities.webhook import WebhookEvent

from conftest import wait_until
from test_mlflow_faults import start
from test_mlflow_traces import otlp, spans_of
from test_mlflow_webhooks import Receiver

SPANS = 10


def request_of(trace):
    ids = [f"{i:016x}" for i in range(1, SPANS + 1)]
    return spans_of(*[{"traceId": trace, "spanId": own, "name": "n", "startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": "1544712661000000000",
                       **({} if own == ids[0] else {"parentSpanId": ids[0]})} for own in ids])


def until_it_dies(each):
    """Calls `each` again and again, until the server is gone; what it returned."""
    done = []
    try:
        while len(done) < 100_000:
            done.append(each())
    except requests.ConnectionError:
        return done


def test_killed_while_it_takes_spans_and_models(program, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "http")
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")
    receiver = Receiver()
    process, url = start(tmp_path)
    MlflowClient(url).create_webhook("w", receiver.url, [WebhookEvent.from_str("registered_model.created")])
    traces, models, sent = [], [], []

    def log_trace():
        trace = uuid.uuid4().hex
        sent.append(trace)
        if otlp(url, "0", request_of(trace)).status_code == 200:
            traces.append(trace)

    def make_model():
        name = uuid.uuid4().hex
        if requests.post(f"{url}/api/2.0/mlflow/registered-models/create", json={"name": name}, timeout=30).status_code == 200:
            models.append(name)

    threads = [threading.Thread(target=until_it_dies, args=(each,)) for each in (log_trace, log_trace, make_model)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(traces) > 60 and len(models) > 30, what="some of each")
    process.send_signal(signal.SIGKILL)
    process.wait()
    for thread in threads:
        thread.join()
    process, url = start(tmp_path, port=url.rsplit(":", 1)[1])
    try:
        there = {}
        for trace in sent:
            answer = requests.get(f"{url}/api/3.0/mlflow/traces/get", params={"trace_id": f"tr-{trace}", "allow_partial": "true"}, timeout=30)
            if answer.status_code == 200:
                there[trace] = len(answer.json()["trace"]["spans"])
        assert set(there.values()) == {SPANS} and set(traces) <= set(there)
        page = requests.get(f"{url}/api/2.0/mlflow/registered-models/search", params={"max_results": 1000}, timeout=30).json()
        kept = {model["name"] for model in page["registered_models"]}
        assert set(models) <= kept
        told = set()
        while told < kept:  # what was under way when it died is due again two minutes later, and not waited for
            if receiver.got.empty() and len(kept - told) <= 8:
                break
            told.add(json.loads(receiver.got.get(timeout=30)[1])["data"]["name"])
        assert told <= kept
    finally:
        process.terminate()
        assert process.wait(30) == 0
        receiver.close()
