"""Traffic rules: weights, sticky keys, segments, shadows, fallback; set in the project file and while it runs."""
import collections
import http.client
import json
import os
import signal
import threading

import numpy
import pandas
import pyarrow
import pyarrow.parquet
import pytest
import requests
import tritonclient.grpc
import tritonclient.http

from conftest import Project, wait_until

YAML = """
project: traffic
params: {rounds: 5, seed: 1}
sources: {flights: data/flights.parquet}
steps:
  fit:
    train: {algorithm: xgboost, data: flights, target: late, features: [distance, origin], rounds: $rounds, max_depth: 3}
  fit_simple:
    train: {algorithm: xgboost, data: flights, target: late, features: [distance], rounds: 3, max_depth: 2}
models:
  delay: {from: fit, promote: auto}
  simple: {from: fit_simple, promote: auto}
endpoints:
  delay:
    model: delay@champion
    log: all
    key: flight
    traffic:
      weights: {champion: 1}
      sticky: flight
      segments: [{when: "origin = 'ORD'", to: challenger}]
      fallback: simple@champion
  urgent: {model: delay@champion, max_wait: 1ms}
"""


@pytest.fixture(scope="module")
def trained(program, tmp_path_factory):
    """Version 1 (challenger) and 2 (champion) of delay; version 1 of simple."""
    root = tmp_path_factory.mktemp("traffic") / "project"
    root.mkdir()
    project = Project(root)
    (root / "data").mkdir()
    random = numpy.random.default_rng(3)
    distance, origin = random.integers(50, 3000, 2000), random.choice(["JFK", "LAX", "ORD"], 2000)
    late = (distance / 3000 + (origin == "ORD") + random.normal(0, 0.4, 2000) > 0.8).astype("int64")
    frame = pandas.DataFrame({"distance": distance, "origin": origin, "late": late})
    pyarrow.parquet.write_table(pyarrow.Table.from_pandas(frame, preserve_index=False), root / "data" / "flights.parquet")
    project.write("sluice.yaml", YAML)
    project.sluice("init", status=None)
    project.sluice("run")
    project.sluice("run", "rounds=9")
    project.sluice("promote", "delay@1", "--alias", "challenger")
    return project


@pytest.fixture(scope="module")
def server(trained):
    with trained.up() as server:
        yield server


@pytest.fixture
def rules(trained, server):
    """Sets rules and waits until they are in use; the file's come back afterwards."""
    def applied():
        return server.logs().count("has other rules")

    def set_rules(*arguments):
        before = applied()
        trained.sluice("route", "delay", *arguments)
        wait_until(lambda: applied() > before, what="the rules")
    yield set_rules
    if trained.json("route", "delay")["from"] == "command":
        set_rules("--reset")


def ask(server, *records, **options):
    return server.post("/endpoints/delay/invocations", json={"dataframe_records": list(records)}, **options)


def row(flight, origin="JFK", distance=700):
    return {"flight": flight, "origin": origin, "distance": distance}


def variant(answer):
    assert answer.status_code == 200, answer.text
    return answer.headers["X-Sluice-Variant"], answer.headers["X-Sluice-Route"]


def test_segments_of_the_project_file_and_a_request_of_both(server, trained):
    assert variant(ask(server, row(1))) == ("delay@champion", "sticky")
    assert variant(ask(server, row(1, "ORD"))) == ("delay@challenger", "segment")
    alone = [ask(server, record).json()["predictions"][0] for record in (row(1), row(2, "ORD"), row(3, "LAX"))]
    answer = ask(server, row(1), row(2, "ORD"), row(3, "LAX"))
    assert answer.json()["predictions"] == alone
    assert answer.headers["X-Sluice-Variant"] == "delay@champion,delay@challenger"
    assert answer.headers["X-Sluice-Model-Version"] == "2,1"
    identity = answer.headers["X-Sluice-Prediction-Id"]
    for i, version in enumerate([2, 1, 2]):
        shown = trained.json("show", f"prediction:{identity}#{i}")
        assert (shown["model_version"], shown["rows"][0]["key"]) == (version, i + 1)
        assert trained.json("why", f"prediction:{identity}#{i}")
    assert trained.json("show", f"prediction:{identity}#1")["route"] == "segment"


def test_the_variant_is_in_the_answers_parameters(server):
    client = tritonclient.http.InferenceServerClient(server.url.split("//")[1])
    grpc = tritonclient.grpc.InferenceServerClient(server.url.split("//")[1])
    for module, client in ((tritonclient.http, client), (tritonclient.grpc, grpc)):
        inputs = []
        for name, type, values in (("flight", "INT64", [1, 2]), ("distance", "INT64", [700, 700]), ("origin", "BYTES", ["JFK", "ORD"])):
            inputs.append(module.InferInput(name, [2], type))
            array = numpy.array(values, dtype=numpy.object_ if type == "BYTES" else numpy.int64)
            inputs[-1].set_data_from_numpy(array)
        response = client.infer("delay", inputs).get_response()
        if module is tritonclient.http:
            parameters, version = response["parameters"], response["model_version"]
        else:
            parameters, version = {name: value.string_param for name, value in response.parameters.items()}, response.model_version
        assert version == "2,1"
        assert parameters["variant"] == "delay@champion,delay@challenger"
        assert parameters["row_variants"] == "0,1"


def test_a_version_that_is_named_answers_whatever_the_rules_say(server):
    for version in ("1", "2"):
        body = {"inputs": [{"name": "distance", "shape": [1], "datatype": "INT64", "data": [700]},
                           {"name": "origin", "shape": [1], "datatype": "BYTES", "data": ["ORD"]}]}
        answer = server.post(f"/v2/models/delay/versions/{version}/infer", json=body)
        assert answer.status_code == 200 and answer.json()["model_version"] == version
    assert server.get("/v2/models/delay").json()["versions"] == ["2", "1"]


def test_sticky_users_stay_while_a_share_grows(server, rules):
    users = range(400)

    def split():
        return {user: variant(ask(server, row(user)))[0] for user in users}
    rules("champion=90", "challenger=10", "--segment", "none")
    first = split()
    assert 15 <= collections.Counter(first.values())["delay@challenger"] <= 75
    assert split() == first
    rules("champion=50", "challenger=50")
    second = split()
    assert 140 <= collections.Counter(second.values())["delay@challenger"] <= 260
    assert all(second[user] == "delay@challenger" for user in users if first[user] == "delay@challenger")


def test_a_fallback_answers_without_the_column_that_it_does_not_need(server, trained):
    answer = ask(server, {"flight": 1, "distance": 700})
    assert variant(answer) == ("simple@champion", "fallback")
    shown = trained.json("show", f"prediction:{answer.headers['X-Sluice-Prediction-Id']}")
    assert (shown["variant"], shown["route"], list(shown["rows"][0]["inputs"])) == ("simple@champion", "fallback", ["distance"])
    refused = ask(server, {"flight": 1})
    assert refused.status_code == 400 and "column 'distance' is missing" in refused.json()["error"]


def test_a_shadow_sees_what_is_answered_and_nobody_hears_of_it(server, trained, rules):
    rules("--shadow", "challenger", "--segment", "none")
    answers = [ask(server, row(f"s{i}", distance=100 + i)) for i in range(50)]
    assert {variant(answer)[0] for answer in answers} == {"delay@champion"}
    of = {answer.headers["X-Sluice-Prediction-Id"] for answer in answers}

    def shadows():
        sql = "select shadow_of, variant, version, key, prediction from predictions where route = 'shadow' and key like 's%'"
        return [tuple(item.values()) for item in trained.json("sql", sql)["items"]]
    wait_until(lambda: len(shadows()) == 50, what="the shadow's records")
    seen = shadows()
    assert {row[0] for row in seen} == of
    assert {tuple(row[1:3]) for row in seen} == {("delay@challenger", 1)}
    exact = server.post("/v2/models/delay/versions/1/infer", json={
        "inputs": [{"name": "distance", "shape": [50], "datatype": "INT64", "data": list(range(100, 150))},
                   {"name": "origin", "shape": [50], "datatype": "BYTES", "data": ["JFK"] * 50}]}).json()["outputs"][0]["data"]
    by_key = {row[3]: row[4] for row in seen}
    assert [numpy.float32(by_key[f"s{i}"]) for i in range(50)] == [numpy.float32(v) for v in exact]
    identity = trained.json("sql", "select id from predictions where route = 'shadow' limit 1")["items"][0]["id"]
    assert trained.json("show", f"prediction:{identity}")["shadow_of"] in of


def test_rules_that_change_under_load_lose_and_mix_nothing(server, rules):
    stop, wrong, seen = threading.Event(), [], collections.Counter()

    def hammer():
        session = requests.Session()
        while not stop.is_set():
            answer = session.post(server.url + "/endpoints/delay/invocations", json={"dataframe_records": [row(7)] * 20})
            if answer.status_code != 200:
                wrong.append(answer.text)
                return
            values = set(answer.json()["predictions"])
            seen[answer.headers["X-Sluice-Variant"], answer.headers["X-Sluice-Model-Version"], *values] += 1
    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    for i in range(6):
        rules("champion=1" if i % 2 else "challenger=1", "--segment", "none")
        before = sum(seen.values())
        wait_until(lambda: sum(seen.values()) > before + 20, what="answers")
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(seen) == 2 and all(len(key) == 3 for key in seen), seen
    assert {key[:2] for key in seen} == {("delay@champion", "2"), ("delay@challenger", "1")}


def test_rules_are_in_the_ledger_and_need_a_permission(server, trained, rules):
    rules("--shadow", "challenger=50", "--reason", "a look")
    entry = trained.json("ls", "ledger")["items"][0]
    assert (entry["action"], entry["subject"]) == ("route.set", "endpoint:delay")
    shown = trained.json("show", "endpoint:delay")
    assert (shown["from"], shown["reason"], shown["rules"]["shadow"]) == ("command", "a look", {"challenger": 50})
    answer = requests.post(server.url + "/api/v1/endpoints/delay/route", json={"weights": ["challenger=1"]})
    assert answer.status_code == 401
    trained.sluice("verify")


def test_wrong_rules_are_refused_with_the_place(trained):
    for arguments, message in ((["nobody@champion=1"], "sluice.yaml has no model 'nobody'"), (["champion=0"], "add up to nothing"),
                               (["champion"], "is not VARIANT=NUMBER"), (["--segment", "origin ="], "is not CONDITION => VARIANT"),
                               (["--segment", "origin = => b"], "cannot be read"), (["--rules", "{\"x\": 1}"], "'traffic' has no 'x'")):
        assert message in trained.sluice("route", "delay", *arguments, status=2).stderr
    text = (trained.root / "sluice.yaml").read_text()
    try:
        trained.write("sluice.yaml", text.replace("when: \"origin = 'ORD'\"", "when: \"origin in\""))
        wrong = trained.sluice("status", status=2).stderr
        assert "sluice.yaml:" in wrong and "a list in parentheses is wanted" in wrong
        trained.write("sluice.yaml", text.replace("fallback: simple@champion", "fallback: simpel@champion"))
        assert "did you mean 'simple'?" in trained.sluice("status", status=2).stderr
    finally:
        trained.write("sluice.yaml", text)


def burst(server, bodies):
    """Sends everything while the role that answers stands still, so that it finds it all at once; the answers' statuses and headers."""
    port, answers = int(server.url.rsplit(":", 1)[1]), []
    connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=60) for _ in bodies]
    for connection in connections:  # each is the answering role's before it stands still
        connection.request("GET", "/v2/health/live")
        connection.getresponse().read()
    pid = server.role_pid("infer")
    os.kill(pid, signal.SIGSTOP)
    try:
        for connection, body in zip(connections, bodies):
            connection.request("POST", "/endpoints/urgent/invocations", body=body, headers={"Content-Type": "application/json"})
    finally:
        os.kill(pid, signal.SIGCONT)
    for connection in connections:
        answer = connection.getresponse()
        answers.append((answer.status, answer.headers["Retry-After"], json.loads(answer.read())))
        connection.close()
    return answers


def test_more_than_can_be_answered_is_refused_at_once_and_the_rest_is_answered(server):
    body = json.dumps({"dataframe_records": [{"origin": "JFK", "distance": 700}] * 600}).encode()
    answers = burst(server, [body] * 200)
    statuses = collections.Counter(status for status, _, _ in answers)
    assert set(statuses) == {200, 503} and statuses[200] >= 5, statuses
    expected = ask(server, row(0)).json()["predictions"][0]
    for status, retry_after, answer in answers:
        if status == 200:
            assert answer["predictions"] == [expected] * 600
        else:
            assert retry_after == "1" and answer["error"] == "there are more requests than can be answered (ask again later)"
    assert burst(server, [body])[0][0] == 200


def test_a_client_says_how_long_it_waits(server):
    fat = json.dumps({"dataframe_records": [row(i) for i in range(20000)]})
    headers = {"Content-Type": "application/json"}
    late = requests.post(server.url + "/endpoints/delay/invocations", data=fat, headers={**headers, "X-Sluice-Timeout-Ms": "1"})
    assert late.status_code == 504 and "time is over" in late.json()["error"]
    in_time = requests.post(server.url + "/endpoints/delay/invocations", data=fat, headers={**headers, "X-Sluice-Timeout-Ms": "60000"})
    assert in_time.status_code == 200 and len(in_time.json()["predictions"]) == 20000
    wrong = requests.post(server.url + "/endpoints/delay/invocations", data=fat, headers={**headers, "X-Sluice-Timeout-Ms": "soon"})
    assert wrong.status_code == 400
