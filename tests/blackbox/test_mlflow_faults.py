"""What must hold when things go wrong: acknowledged is on disk, a batch is whole or not there, nobody else's page writes."""
import json
import signal
import subprocess
import threading

import pytest
import requests

from conftest import PROGRAM, wait_until
from mlflow_server import serving

API = "/api/2.0/mlflow/"


def start(folder, port="0"):
    log = folder / f"server-{port}.log"
    process = subprocess.Popen([PROGRAM, "mlflow", "--port", port, "--store", folder / "store"], stderr=log.open("w"), stdout=subprocess.DEVNULL)
    wait_until(lambda: "ready" in log.read_text() or process.poll() is not None, what="the server")
    return process, log.read_text().split()[0]


def new_run(url):
    return requests.post(url + API + "runs/create", json={"experiment_id": "0", "start_time": 1}, timeout=30).json()["run"]["info"]["run_id"]


def test_killed_under_load_nothing_acknowledged_is_lost(program, tmp_path):
    process, url = start(tmp_path)
    run, acknowledged = new_run(url), []

    def load(client):
        with requests.Session() as session:
            for number in range(100_000):
                batch = [{"key": f"c{client}", "value": number, "timestamp": 1, "step": number * 10 + k} for k in range(10)]
                try:
                    answer = session.post(url + API + "runs/log-batch", json={"run_id": run, "metrics": batch}, timeout=30)
                except requests.ConnectionError:
                    return
                if answer.status_code == 200:
                    acknowledged.append((client, number))

    threads = [threading.Thread(target=load, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(acknowledged) > 100, what="a hundred batches")
    process.send_signal(signal.SIGKILL)
    process.wait()
    for thread in threads:
        thread.join()
    process, url = start(tmp_path, port=url.rsplit(":", 1)[1])
    try:
        for client in range(4):
            points = requests.get(url + API + "metrics/get-history", params={"run_id": run, "metric_key": f"c{client}"}, timeout=30).json()["metrics"]
            steps = sorted(p["step"] for p in points)
            assert len(steps) % 10 == 0 and steps == list(range(len(steps))), "a batch is there in part"
            there = len(steps) // 10
            assert all(number < there for c, number in acknowledged if c == client), "an acknowledged batch is gone"
    finally:
        process.terminate()
        assert process.wait(30) == 0


@pytest.fixture(scope="module")
def url(program, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("mlflow")) as url:
        yield url


@pytest.mark.parametrize("headers, status", [
    ({"Host": "evil.example"}, 403), ({"Origin": "http://evil.example"}, 403), ({"Content-Type": "text/plain"}, 400)])
def test_a_foreign_page_cannot_write(url, headers, status):
    headers = {"Content-Type": "application/json", **headers}
    answer = requests.post(url + API + "experiments/create", data=json.dumps({"name": f"x{status}{len(headers)}"}), headers=headers, timeout=30)
    assert answer.status_code == status and "message" in answer.json()


def test_what_is_not_served_says_so(url):
    assert requests.get(url + API + "nothing", timeout=30).json()["error_code"] == "ENDPOINT_NOT_FOUND"
    assert requests.get(url + API + "runs/create", timeout=30).status_code == 405
    assert requests.delete(url + "/", timeout=30).status_code == 404


@pytest.mark.parametrize("path, body", [
    ("runs/create", {"experiment_id": 3}), ("runs/create", {"tags": "x"}), ("runs/create", {"tags": [{"value": "x"}]}), ("runs/log-metric", {}),
    ("runs/log-batch", {"run_id": "x", "metrics": [{"key": "a"}]}), ("runs/log-batch", {"run_id": "x", "metrics": {}}),
    ("runs/search", {"experiment_ids": ["x"]}), ("runs/search", {"experiment_ids": ["0"], "filter": "(" * 100}),
    ("runs/search", {"experiment_ids": ["0"], "filter": " AND ".join(["metrics.a > 1"] * 1000)}), ("runs/search", {"max_results": -1}),
    ("runs/search", {"experiment_ids": ["0"], "order_by": ["a"] * 100}), ("experiments/create", {"name": "a", "artifact_location": "http://x/../etc"}),
    ("experiments/create", {"name": "b", "artifact_location": "file:///x#y"}), ("runs/create", json.loads("[" * 90 + "]" * 90)),
    ("runs/update", {"run_id": "0" * 32, "status": "NOSUCH"})])
def test_a_users_error_is_never_the_servers(url, path, body):
    answer = requests.post(url + API + path, json=body, timeout=30)
    assert 400 <= answer.status_code < 500 and answer.json()["error_code"], answer.text


def test_numbers_may_be_texts_as_the_r_client_sends_them(url):
    run = new_run(url)
    body = {"run_uuid": run, "key": "m", "value": "1.5", "timestamp": "17", "step": "3"}
    assert requests.post(url + API + "runs/log-metric", json=body, timeout=30).status_code == 200
    data = requests.get(url + API + "runs/get", params={"run_id": run}, timeout=30).json()["run"]["data"]
    assert data["metrics"] == [{"key": "m", "value": 1.5, "timestamp": 17, "step": 3}]


def test_both_spellings_are_one(url):
    run = new_run(url)
    answers = [requests.get(f"{url}/{prefix}/2.0/mlflow/runs/get?run_id={run}", timeout=30).text for prefix in ("api", "ajax-api")]
    assert answers[0] == answers[1] and run in answers[0]


@pytest.mark.parametrize("steps, maximum, expected", [
    (range(10), 5, [0, 2, 4, 6, 9]), (range(10), 3, [0, 4, 9]), (range(3), 10, [0, 1, 2]), (range(7), 1, [6]), (reversed(range(10)), 5, [0, 2, 4, 6, 9])])
def test_an_interval_is_sampled_as_mlflow_samples(url, steps, maximum, expected):
    """The first row of each of `maximum` buckets (NTILE), by step and then time, and the last of all."""
    run = new_run(url)
    batch = [{"key": "m", "value": step, "timestamp": time, "step": step} for time, step in enumerate(steps)]
    assert requests.post(url + API + "runs/log-batch", json={"run_id": run, "metrics": batch}, timeout=30).status_code == 200
    answer = requests.get(url + API + "metrics/get-history-bulk-interval", timeout=30,
                          params={"run_ids": [run], "metric_key": "m", "max_results": maximum}).json()
    assert [p["step"] for p in answer["metrics"]] == expected and all(p["run_id"] == run for p in answer["metrics"])
    inside = requests.get(url + API + "metrics/get-history-bulk-interval", timeout=30,
                          params={"run_ids": [run], "metric_key": "m", "start_step": 1, "end_step": 2}).json()["metrics"]
    assert [p["step"] for p in inside] == [step for step in (1, 2) if step < len(batch)]
    whole = requests.get(url + API + "metrics/get-history-bulk", timeout=30, params={"run_id": [run], "metric_key": "m"}).json()["metrics"]
    assert len(whole) == len(batch)
