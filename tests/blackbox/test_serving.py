"""Predictions: /v2 with tritonclient, /invocations with requests and curl, promotion under load, and the log as Kafka's bytes."""
import collections
import contextlib
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import threading

import numpy
import pandas
import pyarrow
import pyarrow.parquet
import pytest
import tritonclient.grpc
import tritonclient.http
import xgboost

from conftest import Project, wait_until

ROWS = 4000
COLUMNS = ["distance", "speed", "cargo", "origin"]
YAML = """
project: serving
params: {rounds: 30, seed: 1}
sources:
  flights: data/flights.parquet
steps:
  fit:
    train: {algorithm: xgboost, data: flights, target: late, features: [distance, speed, cargo, origin], rounds: $rounds, max_depth: 5}
models:
  delay: {from: fit, promote: auto}
endpoints:
  delay: {model: delay@champion, log: %s, key: flight, time: date}
"""


def flights():
    random = numpy.random.default_rng(7)
    distance = random.integers(50, 3000, ROWS)
    speed = random.normal(400, 90, ROWS)
    speed[random.random(ROWS) < 0.1] = numpy.nan
    cargo = random.random(ROWS) < 0.3
    origin = random.choice(["JFK", "LAX", "ORD", "Zürich", None], ROWS)
    score = distance / 1500 - numpy.nan_to_num(speed, nan=300) / 400 + cargo + (origin == "ORD") + random.normal(0, 0.5, ROWS)
    return pandas.DataFrame({"distance": distance, "speed": speed, "cargo": cargo, "origin": origin, "late": (score > 0.5).astype("int64")})


def make_project(root, log="all"):
    root.mkdir()
    project = Project(root)
    (root / "data").mkdir()
    pyarrow.parquet.write_table(pyarrow.Table.from_pandas(flights(), preserve_index=False), root / "data" / "flights.parquet")
    project.write("sluice.yaml", YAML % log)
    project.sluice("init", status=None)
    project.sluice("run")
    return project


@pytest.fixture(scope="module")
def trained(program, tmp_path_factory):
    """A project with two versions of its model; version 2 answers."""
    project = make_project(tmp_path_factory.mktemp("serving") / "project")
    project.sluice("run", "rounds=45")
    return project


@pytest.fixture(scope="module")
def server(trained):
    with trained.up() as server:
        yield server


def records(frame):
    return json.loads(frame[COLUMNS].to_json(orient="records"))


ONE = {"distance": 733, "speed": 411.5, "cargo": True, "origin": "JFK"}


def invoke(server, body, path="/invocations", **options):
    return server.post(path, json=body, **options)


def split(frame):
    return {"dataframe_split": {"columns": COLUMNS, "data": [[None if pandas.isna(v) else v for v in row] for row in frame[COLUMNS].astype(object).values]}}


def model_of(server, project):
    """The served model as the library reads it, and the categories of its text column."""
    def bytes_of(digest):
        return (project.root / ".sluice" / "objects" / digest[:2] / digest[2:]).read_bytes()
    package = json.loads(bytes_of(server.get("/v2/models/delay").json()["properties"]["package"]))
    text = json.dumps(package)
    digests = {value for value in find_digests(package)}
    for digest in digests:
        content = bytes_of(digest)
        if content[:1] == b"{" and b"learner" in content[:64]:
            booster = xgboost.Booster()
            booster.load_model(bytearray(content))
            origin = next(column for column in package["inputs"] if column["name"] == "origin")
            return booster, origin["values"]
    raise AssertionError(f"no model file in {text[:500]}")


def find_digests(value):
    if isinstance(value, dict):
        for inner in value.values():
            yield from find_digests(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from find_digests(inner)
    elif isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef"):
        yield value


def expected(booster, categories, frame):
    index = {name: i for i, name in enumerate(categories)}
    matrix = numpy.column_stack([
        frame["distance"].astype("float32"), frame["speed"].astype("float32"), frame["cargo"].astype("float32"),
        numpy.array([index.get(name, numpy.nan) for name in frame["origin"]], dtype="float32")])
    types = booster.feature_types
    data = xgboost.DMatrix(matrix, feature_names=booster.feature_names, feature_types=types, enable_categorical=bool(types and "c" in types))
    return booster.predict(data)


# ---- what is answered ----------------------------------------------------------------------------------------------------


def test_every_form_gives_the_librarys_bits(server, trained):
    frame = flights()
    booster, categories = model_of(server, trained)
    wanted = expected(booster, categories, frame)

    def bits(values):
        return numpy.array(values, dtype="float32").view("uint32")

    answers = {
        "split": invoke(server, split(frame)).json()["predictions"],
        "records": invoke(server, {"dataframe_records": records(frame)}).json()["predictions"],
        "csv": server.post("/invocations", data=frame[COLUMNS].to_csv(index=False).encode(), headers={"Content-Type": "text/csv; charset=utf-8"}).json()["predictions"],
        "v2": server.post("/v2/models/delay/infer", json=tensors(frame)).json()["outputs"][0]["data"],
    }
    for form, answer in answers.items():
        assert numpy.array_equal(bits(answer), bits(wanted)), form


def tensors(frame, **more):
    def values(name):
        return [None if pandas.isna(v) else v for v in frame[name].astype(object)]
    types = {"distance": "INT64", "speed": "FP64", "cargo": "BOOL", "origin": "BYTES"}
    return {"inputs": [{"name": name, "shape": [len(frame)], "datatype": types[name], "data": values(name)} for name in COLUMNS], **more}


def test_tritonclient_finds_and_asks_the_model(server):
    client = tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.port}")
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("delay")
    metadata = client.get_model_metadata("delay")
    assert [(t["name"], t["datatype"]) for t in metadata["inputs"]] == [("distance", "INT64"), ("speed", "FP64"), ("cargo", "BOOL"), ("origin", "BYTES")]
    assert metadata["outputs"][0]["name"] == "probability"
    assert client.get_server_metadata()["name"] == "sluice"
    plain = invoke(server, {"dataframe_records": [ONE] * 3}).json()["predictions"]
    for binary in (True, False):
        inputs = []
        for name, datatype, values in (("distance", "INT64", numpy.full((3, 1), 733)), ("speed", "FP64", numpy.full(3, 411.5)),
                                       ("cargo", "BOOL", numpy.full(3, True)), ("origin", "BYTES", numpy.array([b"JFK"] * 3, dtype=object))):
            tensor = tritonclient.http.InferInput(name, list(values.shape), datatype)
            tensor.set_data_from_numpy(values, binary_data=binary)
            inputs.append(tensor)
        for outputs in (None, [tritonclient.http.InferRequestedOutput("probability", binary_data=binary)]):
            answer = client.infer("delay", inputs, request_id="abc", outputs=outputs)
            assert answer.as_numpy("probability").dtype == numpy.float32
            assert answer.as_numpy("probability").tolist() == numpy.array(plain, dtype="float32").tolist()
            said = answer.get_response()
            assert said["id"] == "abc" and said["model_version"] == "2" and len(said["parameters"]["prediction_id"]) == 26
    client.close()


def test_curl_asks_as_the_docs_say(server):
    done = subprocess.run(["curl", "-sS", "--fail-with-body", "-i", f"{server.url}/invocations", "-H", "Content-Type: application/json",
                           "-d", json.dumps({"dataframe_records": [ONE]})], stdout=subprocess.PIPE, text=True, timeout=30, check=True)
    assert "X-Sluice-Prediction-Id: 01" in done.stdout and "X-Sluice-Model-Version: 2" in done.stdout


def test_both_protocols_carry_id_and_version(server):
    answer = invoke(server, {"dataframe_records": [ONE]})
    assert answer.headers["X-Sluice-Model-Version"] == "2" and set(answer.json()) == {"predictions"}
    first = answer.headers["X-Sluice-Prediction-Id"]
    answer = server.post("/v2/models/delay/versions/2/infer", json=tensors(pandas.DataFrame([ONE]), id="q"))
    body = answer.json()
    assert body["id"] == "q" and body["parameters"] == {"prediction_id": answer.headers["X-Sluice-Prediction-Id"], "model_version": "2"}
    assert answer.headers["X-Sluice-Prediction-Id"] > first


def test_addresses(server):
    assert server.get("/v2/models").json() == {"models": ["delay"]}
    assert server.get("/v2/health/live").json() == {"live": True}
    assert server.get("/v2/models/delay/versions/2/ready").json() == {"name": "delay", "ready": True}
    assert server.get("/ping").status_code == 200 and server.get("/version").status_code == 200
    assert server.get("/health").status_code == 200  # of the other role, on the same port
    for path in ("/invocations?endpoint=delay", "/endpoints/delay/invocations"):
        assert invoke(server, {"dataframe_records": [ONE]}, path).status_code == 200
    for method, path, status in (("get", "/v2/models/dely", 404), ("get", "/v2/models/delay/versions/1", 404), ("get", "/v2/nothing", 404),
                                 ("post", "/v2/models/dely/infer", 404), ("post", "/endpoints/x/invocations", 404), ("post", "/invocations?endpoint=x", 404),
                                 ("get", "/v2/models/delay/infer", 405), ("get", "/invocations", 405), ("post", "/v2", 405), ("post", "/v2/models/delay", 405)):
        answer = getattr(server, method)(path)
        assert answer.status_code == status and answer.json()["error"], path


def test_a_small_request_does_not_wait_for_a_fat_one(server):
    """The fat one is on its way when the small ones are asked, and they are answered before it ends."""
    wide = pandas.concat([flights()] * 25)
    body = json.dumps(split(wide)).encode()
    overtaken = []

    def ask_fat():
        answer = server.post("/invocations", data=body, headers={"Content-Type": "application/json"})
        fat["status"], fat["rows"] = answer.status_code, len(answer.json()["predictions"])

    fat = {}
    for _ in range(10):  # of ten fat ones at least one is met under way
        fat.clear()
        thread = threading.Thread(target=ask_fat)
        thread.start()
        while not fat:
            assert invoke(server, {"dataframe_records": [ONE]}).status_code == 200
            overtaken.append(not fat)
        thread.join()
        assert fat == {"status": 200, "rows": len(wide)}
    assert sum(overtaken) >= 60  # 261 here; 25 when it had to wait: those that came before the fat one was read


# ---- what is refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body, says", [
    ('{"dataframe_records": [{"distance": 1', "line 1, column"),
    ('{"dataframe_records": [{"distance": NaN}]}', "JSON has no NaN"),
    ('{"dataframe_records": [{"distanc": 1}]}', "did you mean 'distance'?"),
    ('{"dataframe_records": [{"distance": 1, "speed": 1, "cargo": true}]}', "column 'origin' is missing"),
    ('{"dataframe_records": [{"distance": "x", "speed": 1, "cargo": true, "origin": "A"}]}', "'distance'"),
    ('{"dataframe_records": [{"distance": 1, "speed": 1, "cargo": true, "origin": 5}]}', "'origin'"),
    ('{"dataframe_records": [{"distance": 1, "speed": 1, "cargo": true, "origin": "A", "date": "soon"}]}', "'date'"),
    ('{"dataframe_split": {"columns": ["distance"], "data": [[1, 2]]}}', "row 0"),
    ('{"instances": []}', "no row"),
    ('[]', "no JSON object"),
    ('', "JSON"),
])
def test_bad_requests_say_what_and_where(server, body, says):
    answer = server.post("/invocations", data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert says in answer.json()["error"]


def test_limits(server):
    def refused(data, status, type="application/json", path="/invocations"):
        answer = server.post(path, data=data, headers={"Content-Type": type})
        assert answer.status_code == status and answer.json()["error"]
    refused(b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}", 413)
    refused(b"distance,speed,cargo,origin\n" + b"1,2,true,A\n" * 100001, 413, "text/csv")
    refused(b"{}", 415, "text/plain")
    refused(b"{}", 415, "application/json; format=pandas-split")
    refused(b'{"inputs":[{"name":"distance","shape":[9999999999],"datatype":"INT64","data":[]}]}', 413, path="/v2/models/delay/infer")
    wide = pandas.concat([flights()] * 25)
    assert len(invoke(server, split(wide)).json()["predictions"]) == len(wide)


def memory_kib(pid):
    return int(next(line.split()[1] for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")))


def test_a_gigabyte_is_refused_with_memory_flat_and_others_served(server):
    pid = server.role_pid("infer")
    invoke(server, {"dataframe_records": [ONE]})
    before = memory_kib(pid)
    with socket.create_connection(("127.0.0.1", server.port)) as fat:
        fat.sendall(b"POST /invocations HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nContent-Length: 1073741824\r\n\r\n" % server.port)
        assert b" 413 " in fat.recv(4096).split(b"\r\n")[0]
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.sendall(b"POST /invocations HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{" % server.port)
        assert invoke(server, {"dataframe_records": [ONE]}).status_code == 200
    assert memory_kib(pid) < before + 4096


# ---- the log ---------------------------------------------------------------------------------------------------------------


def varint(data, at):
    shift = value = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return (value >> 1) ^ -(value & 1), at


CRC_TABLE = []
for number in range(256):
    for _ in range(8):
        number = number >> 1 ^ (0x82F63B78 if number & 1 else 0)
    CRC_TABLE.append(number)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


Record = collections.namedtuple("Record", "offset time_ms key value")


def kafka_records(data):
    """Kafka's record batch v2, as its documentation has it; every checksum is checked."""
    at = 0
    while at + 61 <= len(data):
        base, length, epoch, magic, crc = struct.unpack_from(">qiibI", data, at)
        if not length:
            return
        end = at + 12 + length
        assert magic == 2 and crc == crc32c(data[at + 21:end])
        attributes, last, first_ms, _max_ms, producer, producer_epoch, sequence, count = struct.unpack_from(">hiqqqhii", data, at + 21)
        assert (attributes, producer, producer_epoch, sequence, last) == (0, -1, -1, -1, count - 1)
        here = at + 61
        for _ in range(count):
            size, here = varint(data, here)
            record_end = here + size
            here += 1
            delta_ms, here = varint(data, here)
            delta, here = varint(data, here)
            pieces = []
            for _ in range(2):
                size, here = varint(data, here)
                pieces.append(data[here:here + size])
                here += size
            headers, here = varint(data, here)
            assert headers == 0 and here == record_end
            yield Record(base + delta, first_ms + delta_ms, *pieces)
        assert here == end
        at = end


def log_of(project, endpoint="delay"):
    folder = project.root / ".sluice" / "streams" / f"predictions-{endpoint}"
    return [record for segment in sorted(folder.glob("*.log")) for record in kafka_records(segment.read_bytes())]


def test_predictions_are_logged_as_kafka_batches(server, trained):
    answer = invoke(server, {"dataframe_records": [{**ONE, "flight": "f1", "date": "2001-03-01T10:00"}, {**ONE, "flight": 7, "date": None}]})
    log = log_of(trained)
    assert [record.offset for record in log] == list(range(len(log)))
    record = log[-1]
    assert record.key.decode() == answer.headers["X-Sluice-Prediction-Id"]
    assert b"Z\xc3\xbcrich" not in record.value and b"JFK" in record.value and b"f1" in record.value and b"distance" in record.value
    assert struct.pack("<q", 983440800000) in record.value  # the event time of the first row
    assert record.value.endswith(numpy.array(answer.json()["predictions"], dtype="<f4").tobytes())


# ---- promotion ---------------------------------------------------------------------------------------------------------------


class Hammer(threading.Thread):
    """Asks without pause and keeps what it was told."""

    def __init__(self, server):
        super().__init__()
        self.server, self.seen, self.wrong, self.stopping = server, collections.Counter(), [], False

    def run(self):
        import http.client
        link = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        body = json.dumps(split(pandas.DataFrame([ONE] * 20)))
        while not self.stopping:
            link.request("POST", "/invocations", body, {"Content-Type": "application/json"})
            answer = link.getresponse()
            text = answer.read()
            if answer.status != 200:
                self.wrong.append((answer.status, text))
                return
            self.seen[answer.headers["X-Sluice-Model-Version"], tuple(json.loads(text)["predictions"])] += 1


def test_promotion_under_load_fails_and_mixes_nothing(server, trained):
    hammers = [Hammer(server) for _ in range(4)]
    for hammer in hammers:
        hammer.start()

    def version():
        return invoke(server, {"dataframe_records": [ONE]}).headers["X-Sluice-Model-Version"]

    for round in range(6):
        trained.sluice("promote", "delay@1" if round % 2 == 0 else "delay@2")
        wait_until(lambda: version() == ("1" if round % 2 == 0 else "2"), what="the promoted version")
    trained.sluice("rollback", "delay")
    wait_until(lambda: version() == "1", what="the version before")
    for hammer in hammers:
        hammer.stopping = True
    for hammer in hammers:
        hammer.join()
    trained.sluice("promote", "delay@2")
    seen = sum((hammer.seen for hammer in hammers), collections.Counter())
    assert not [hammer.wrong for hammer in hammers if hammer.wrong]
    assert {version for version, _ in seen} == {"1", "2"}
    assert len(seen) == 2, "one version gave two different answers to one question"
    assert all(len(set(answer)) == 1 for _, answer in seen), "one answer was mixed of two versions"


def test_an_endpoint_without_a_model_says_so_and_is_ready_once_it_has_one(project):
    (project.root / "data").mkdir()
    pyarrow.parquet.write_table(pyarrow.Table.from_pandas(flights(), preserve_index=False), project.root / "data" / "flights.parquet")
    project.write("sluice.yaml", YAML % "none")
    project.sluice("init", status=None)
    with project.up() as server:
        answer = invoke(server, {"dataframe_records": [ONE]})
        assert answer.status_code == 503 and "no model" in answer.json()["error"]
        assert server.get("/v2/health/ready").status_code == 503 and server.get("/v2/health/live").status_code == 200
        assert server.get("/v2/models/delay/ready").status_code == 503
        project.sluice("run")
        wait_until(lambda: server.get("/v2/health/ready").status_code == 200, what="the endpoint")
        assert invoke(server, {"dataframe_records": [ONE]}).status_code == 200
    assert not (project.root / ".sluice" / "streams" / "predictions-delay").exists()


@pytest.mark.plain
def test_grpc_on_the_same_port_is_logged_too(server, trained):
    """Whichever role accepts the connection, and text columns and the key as in every other form."""
    before = len(log_of(trained))
    ids = set()
    for _ in range(8):
        client = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.port}")
        given = []
        for name, datatype, value in (("distance", "INT64", 733), ("speed", "FP32", 411.5), ("cargo", "BOOL", True), ("origin", "BYTES", b"JFK"), ("flight", "BYTES", b"grpc")):
            given.append(tritonclient.grpc.InferInput(name, [1], datatype))
            kinds = {"INT64": "int64", "FP32": "float32", "BOOL": "bool", "BYTES": "object"}
            given[-1].set_data_from_numpy(numpy.array([value], kinds[datatype]))
        done = client.infer("delay", given)
        ids.add(done.get_response().parameters["prediction_id"].string_param)
        client.close()
    same = invoke(server, {"dataframe_records": [ONE]}).json()["predictions"]
    assert done.as_numpy("probability").tolist() == numpy.float32(same).tolist()
    assert len(ids) == 8 and len(log_of(trained)) == before + 9


@pytest.mark.plain
def test_an_idle_role_is_small(server):
    invoke(server, {"dataframe_records": [ONE]})
    smaps = pathlib.Path(f"/proc/{server.role_pid('infer')}/smaps_rollup").read_text()
    pss_kib = int(next(line.split()[1] for line in smaps.splitlines() if line.startswith("Pss:")))
    assert pss_kib < 15 * 1024


# The last one: the role has another process afterwards.
def test_a_killed_role_loses_nothing_that_was_answered(server, trained):
    before = len(log_of(trained))
    answered = [invoke(server, {"dataframe_records": [ONE]}).headers["X-Sluice-Prediction-Id"] for _ in range(50)]
    os.kill(server.role_pid("infer"), signal.SIGKILL)

    def again():
        with contextlib.suppress(OSError):
            return invoke(server, {"dataframe_records": [ONE]}).status_code == 200

    wait_until(again, what="an answer of the role started again")
    log = log_of(trained)
    assert [record.key.decode() for record in log[before:before + 50]] == answered
    assert [record.offset for record in log] == list(range(len(log)))
