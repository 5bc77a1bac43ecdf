"""`sluice serve`: model files without a project: bare, in Triton's and in MLflow's layout; followed, loaded and unloaded; hostile ones refused."""
import contextlib
import json
import os
import pathlib
import pickle
import re
import shutil
import signal
import subprocess

import numpy
import pytest
import requests
import tritonclient.http
import xgboost

from conftest import PROGRAM, wait_until

COLUMNS = ["distance", "speed", "hour"]


def rows(count, seed=1):
    random = numpy.random.default_rng(seed)
    data = random.normal(0, 1, (count, len(COLUMNS))).astype("float32")
    data[random.random(data.shape) < 0.1] = numpy.nan
    return data


def booster(names=COLUMNS, seed=1, **options):
    data = rows(500, seed)
    target = (numpy.nan_to_num(data).sum(axis=1) > 0).astype(int)
    options = {"objective": "binary:logistic", "max_depth": 4, "seed": seed} | options
    return xgboost.train(options, xgboost.DMatrix(data, target, feature_names=names), 10)


def answers(model, data, names=COLUMNS):
    return model.predict(xgboost.DMatrix(data, feature_names=names)).tolist()


class Serve:
    def __init__(self, process, log):
        self.process = process
        self.url = re.search(r"^http://\S+$", log, re.M)[0]
        self.port = int(self.url.rpartition(":")[2])
        self.grpc_port = int(re.search(r"^grpc://\S+:(\d+)$", log, re.M)[1])

    def get(self, path, **options):
        return requests.get(self.url + path, timeout=30, **options)

    def post(self, path, **options):
        return requests.post(self.url + path, timeout=30, **options)

    def infer(self, model, data):
        body = {"inputs": [{"name": "x", "shape": list(data.shape), "datatype": "FP32", "data": [None if numpy.isnan(v) else float(v) for v in data.ravel()]}]}
        done = self.post(f"/v2/models/{model}/infer", json=body)
        assert done.status_code == 200, done.text
        return done.json()["outputs"][0]["data"]

    def index(self):
        return {model["name"]: model for model in self.post("/v2/repository/index", json={}).json()}

    def memory_kb(self):
        return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status").read_text())[1])


@contextlib.contextmanager
def serve(folder, *arguments):
    log = folder / "serve.log"
    with open(log, "wb") as out:
        process = subprocess.Popen([PROGRAM, "serve", *arguments, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"], cwd=folder, stdout=subprocess.DEVNULL, stderr=out)
    try:
        wait_until(lambda: "ready\n" in log.read_text() or process.poll() is not None, what="ready")
        assert process.poll() is None, log.read_text()
        yield Serve(process, log.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def same(got, expected):
    assert numpy.array_equal(numpy.float32(got), numpy.float32(expected))


def test_bare_files(tmp_path, program):
    named, nameless = booster(), booster(None, seed=2, objective="reg:squarederror")
    named.save_model(tmp_path / "churn.ubj")
    nameless.save_model(tmp_path / "plain-1.5.json")
    with serve(tmp_path, "churn.ubj", str(tmp_path / "plain-1.5.json")) as server:
        assert server.get("/v2/models").json()["models"] == ["churn", "plain-1.5"]
        same(server.infer("churn", rows(50)), answers(named, rows(50)))
        same(server.infer("plain-1.5", rows(50)), answers(nameless, rows(50), None))
        about = server.get("/v2/models/churn").json()
        assert [tensor["name"] for tensor in about["inputs"]] == COLUMNS and about["versions"] == ["1"]
        about = server.get("/v2/models/plain-1.5").json()
        assert about["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 3]}] and about["outputs"][0]["name"] == "prediction"
        record = {"distance": 1, "speed": None, "hour": 0.5}
        done = server.post("/invocations?endpoint=churn", json={"dataframe_records": [record]})
        same(done.json()["predictions"], answers(named, numpy.array([[1, numpy.nan, 0.5]])))
        assert server.get("/v2/models/../../etc/passwd").status_code in (400, 404)
        for evil in ("%2e%2e%2fchurn", "churn%2f..%2fplain", "..%5cchurn", "/etc/passwd", "churn%00", "file:%2f%2fchurn"):
            assert server.get(f"/v2/models/{evil}").status_code in (400, 404), evil


def test_a_body_without_json(tmp_path, program):
    """Triton's raw request: the header says 0, the bytes are the one input, the answer is bytes."""
    model = booster(None)
    model.save_model(tmp_path / "plain.ubj")
    booster().save_model(tmp_path / "named.ubj")
    with serve(tmp_path, "plain.ubj", "named.ubj") as server:
        data = rows(20)
        head = {"Inference-Header-Content-Length": "0", "Content-Type": "application/octet-stream"}
        done = server.post("/v2/models/plain/infer", data=data.tobytes(), headers=head)
        assert done.status_code == 200, done.text
        same(numpy.frombuffer(done.content[int(done.headers["Inference-Header-Content-Length"]):], "float32"), answers(model, data, None))
        assert "whole number of rows" in server.post("/v2/models/plain/infer", data=b"abcde", headers=head).json()["error"]
        assert "one input" in server.post("/v2/models/named/infer", data=data.tobytes(), headers=head).json()["error"]
        for lie in ("-1", "x", "99999999999", "18446744073709551615", "+0"):
            assert server.post("/v2/models/plain/infer", data=b"{}", headers={"Inference-Header-Content-Length": lie}).status_code == 400


def test_kserve_v1(tmp_path, program):
    model = booster()
    model.save_model(tmp_path / "churn.ubj")
    with serve(tmp_path, "churn.ubj") as server:
        assert server.get("/v1/models").json() == {"models": ["churn"]}
        assert server.get("/v1/models/churn").json() == {"name": "churn", "ready": True}
        data = numpy.array([[1, 2, 3], [0.5, -1, 0]])
        same(server.post("/v1/models/churn:predict", json={"instances": data.tolist()}).json()["predictions"], answers(model, data))
        records = [dict(zip(COLUMNS, row)) for row in data.tolist()]
        same(server.post("/v1/models/churn:predict", json={"instances": records}).json()["predictions"], answers(model, data))
        for path, body, status in (("/v1/models/absent:predict", {"instances": [[1, 2, 3]]}, 404), ("/v1/models/churn:predict", {"inputs": {}}, 400),
                                   ("/v1/models/churn:predict", {"instances": [[1, 2]]}, 400), ("/v1/models/churn:other", {}, 404)):
            done = server.post(path, json=body)
            assert done.status_code == status and list(done.json()) == ["error"]
        assert server.get("/v1/models/churn:predict").status_code == 405


def test_triton_client(tmp_path, program):
    model = booster()
    (tmp_path / "repository" / "churn" / "2").mkdir(parents=True)
    (tmp_path / "repository" / "churn" / "10").mkdir()
    booster(seed=5).save_model(tmp_path / "repository" / "churn" / "2" / "model.json")
    model.save_model(tmp_path / "repository" / "churn" / "10" / "model.ubj")
    (tmp_path / "repository" / "churn" / "config.pbtxt").write_text(
        'name: "churn"\nmax_batch_size: 64\ninput [ { name: "x" data_type: TYPE_FP32 dims: [ 3 ] } ]\noutput [ { name: "y" data_type: TYPE_FP32 dims: [ 1 ] } ]\n')
    (tmp_path / "repository" / "README.md").write_text("nothing to serve")
    with serve(tmp_path, "--models", "repository", "--control") as server:
        client = tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.port}")
        assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("churn") and client.is_model_ready("churn", "2")
        assert not client.is_model_ready("churn", "3")
        about = client.get_model_metadata("churn")
        assert about["inputs"][0]["name"] == "x" and about["outputs"][0]["name"] == "y" and about["versions"] == ["2", "10"]
        for binary in (True, False):
            data = rows(20)
            given = tritonclient.http.InferInput("x", data.shape, "FP32")
            given.set_data_from_numpy(data if binary else numpy.nan_to_num(data), binary_data=binary)
            wanted = tritonclient.http.InferRequestedOutput("y", binary_data=binary)
            done = client.infer("churn", [given], outputs=[wanted], request_id="r1")
            same(done.as_numpy("y"), answers(model, data if binary else numpy.nan_to_num(data)))
            assert done.get_response()["id"] == "r1" and done.get_response()["model_version"] == "10"
        assert client.infer("churn", [given], model_version="2").get_response()["model_version"] == "2"
        given = tritonclient.http.InferInput("x", [65, 3], "FP32")
        given.set_data_from_numpy(rows(65))
        with pytest.raises(tritonclient.http.InferenceServerException, match="at most 64"):
            client.infer("churn", [given])
        stats = client.get_inference_statistics("churn")["model_stats"][0]
        assert stats["inference_stats"]["success"]["count"] == 3 and stats["inference_count"] == 60
        assert client.get_model_repository_index() == [{"name": "churn", "version": "10", "state": "READY", "reason": ""}]
        client.unload_model("churn")
        assert not client.is_model_ready("churn") and client.get_model_repository_index()[0]["state"] == "UNAVAILABLE"
        with pytest.raises(tritonclient.http.InferenceServerException):
            client.get_model_metadata("churn")
        client.load_model("churn")
        assert client.is_model_ready("churn")
        with pytest.raises(tritonclient.http.InferenceServerException, match="not taken"):
            client.load_model("churn", config="{}")
        with pytest.raises(tritonclient.http.InferenceServerException, match="no model file"):
            client.load_model("absent")
        with pytest.raises(tritonclient.http.InferenceServerException, match="segment"):
            client.load_model("../churn")


def test_clients_may_not_load_unless_told(tmp_path, program):
    booster().save_model(tmp_path / "churn.ubj")
    with serve(tmp_path, "churn.ubj") as server:
        assert server.post("/v2/repository/models/churn/unload").status_code == 403
        assert server.get("/v2/models/churn/ready").status_code == 200


MLMODEL = """
flavors:
  python_function: {loader_module: mlflow.xgboost, python_version: 3.11.2}
  xgboost: {code: null, data: %s, model_class: xgboost.core.Booster, xgb_version: 3.2.0}
mlflow_version: 2.9.2
signature:
  inputs: '[{"type": "double", "name": "distance", "required": true}, {"type": "double", "name": "speed"}, {"type": "double", "name": "hour"}]'
  outputs: '[{"type": "double", "required": true}]'
"""


def test_mlflow_folder(tmp_path, program):
    model = booster(None)
    folder = tmp_path / "models" / "delay"
    folder.mkdir(parents=True)
    model.save_model(folder / "model.json")
    (folder / "MLmodel").write_text(MLMODEL % "model.json")
    away = tmp_path / "models" / "away"
    away.mkdir()
    (away / "MLmodel").write_text(MLMODEL % "../delay/model.json")
    code = tmp_path / "models" / "code"
    code.mkdir()
    (code / "MLmodel").write_text("flavors: {sklearn: {pickled_model: model.pkl}, python_function: {loader_module: mlflow.sklearn}}\n")
    with serve(tmp_path, "--models", "models") as server:
        assert [tensor["name"] for tensor in server.get("/v2/models/delay").json()["inputs"]] == COLUMNS
        record = {"distance": 1, "speed": 2, "hour": 0.5}
        done = server.post("/endpoints/delay/invocations", json={"dataframe_records": [record]})
        same(done.json()["predictions"], answers(model, numpy.array([[1, 2, 0.5]]), None))
        index = server.index()
        assert "names no file of the folder" in index["away"]["reason"] and "no flavor that is served" in index["code"]["reason"]
        assert index["delay"]["state"] == "READY" and server.get("/v2/health/ready").status_code == 200
        assert server.get("/v2/models/away/ready").status_code == 503


def test_formats_with_code_are_refused(tmp_path, program):
    (tmp_path / "models").mkdir()
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(marker),)

    for protocol in range(6):
        (tmp_path / "models" / f"p{protocol}.pkl").write_bytes(pickle.dumps(Evil(), protocol))
    (tmp_path / "models" / "torch.pt").write_bytes(b"PK\x03\x04" + bytes(100))
    (tmp_path / "models" / "lying.json").write_bytes(pickle.dumps(Evil()))
    for hostile in ("cycle.json", "child_high.json", "feature_high.json"):
        shutil.copy(pathlib.Path(__file__).parents[2] / "fuzz" / "corpus" / "model" / hostile, tmp_path / "models")
    with serve(tmp_path, "--models", "models") as server:
        index = server.index()
        assert len(index) == 11 and all(model["state"] == "UNAVAILABLE" and model["reason"] for model in index.values())
        assert "pickle" in index["p4"]["reason"] and "zip archive" in index["torch"]["reason"] and "tree 1, node" in index["cycle"]["reason"]
    assert not marker.exists()
    for hostile in index:
        path = next((tmp_path / "models").glob(hostile + ".*"))
        done = subprocess.run([PROGRAM, "serve", path, "--http", "127.0.0.1:0", "--grpc", "off"], stderr=subprocess.PIPE, text=True, timeout=30)
        assert done.returncode == 2 and path.name in done.stderr, done.stderr


def test_following_the_disk(tmp_path, program):
    first, second = booster(), booster(seed=9)
    (tmp_path / "models").mkdir()
    first.save_model(tmp_path / "models" / "churn.ubj")
    data = rows(5)
    with serve(tmp_path, "--models", "models", "--watch") as server:
        same(server.infer("churn", data), answers(first, data))
        second.save_model(tmp_path / "new.ubj")
        os.rename(tmp_path / "new.ubj", tmp_path / "models" / "churn.ubj")
        wait_until(lambda: server.infer("churn", data) == numpy.float32(answers(second, data)).tolist() or
                   numpy.array_equal(numpy.float32(server.infer("churn", data)), numpy.float32(answers(second, data))), what="the new model")
        (tmp_path / "models" / "churn.ubj").write_bytes(b"{L broken")
        shutil.copy(tmp_path / "models" / "churn.ubj", tmp_path / "models" / "other.json")
        wait_until(lambda: server.index()["churn"]["reason"], what="the broken file's reason")
        same(server.infer("churn", data), answers(second, data))
        assert server.index()["other"]["state"] == "UNAVAILABLE"
        os.remove(tmp_path / "models" / "churn.ubj")
        wait_until(lambda: server.get("/v2/models/churn").status_code == 404, what="the model to go")


def test_command_line_faults(tmp_path, program):
    def run(*arguments):
        return subprocess.run([PROGRAM, "serve", *arguments], cwd=tmp_path, stderr=subprocess.PIPE, text=True, timeout=30)
    assert run().returncode == 2 and "nothing to serve" in run().stderr
    assert run("absent.ubj", "--http", "127.0.0.1:0", "--grpc", "off").returncode == 2
    assert "is no ADDRESS:PORT" in run("x.ubj", "--http", "8000").stderr
    assert "needs TLS" in run("x.ubj", "--http", "0.0.0.0:0").stderr
    assert "no number of bytes" in run("x.ubj", "--memory", "much").stderr


@pytest.mark.plain
def test_a_thousand_models_in_bounded_memory(tmp_path, program):
    """Fifty are asked, again and again, of a thousand; then all are, within a budget for about forty."""
    (tmp_path / "models").mkdir()
    data = rows(2000)
    target = numpy.random.default_rng(3).random(2000) > 0.5
    model = xgboost.train({"objective": "binary:logistic", "max_depth": 6}, xgboost.DMatrix(data, target), 100)
    model.save_model(tmp_path / "models" / "m0.ubj")
    for i in range(1, 1000):
        os.link(tmp_path / "models" / "m0.ubj", tmp_path / "models" / f"m{i}.ubj")
    with serve(tmp_path, "--models", "models") as server:
        session = requests.Session()
        body = {"instances": [[0.5, 1.5, None]]}
        expected = session.post(f"{server.url}/endpoints/m0/invocations", json=body).json()["predictions"]
        for i in list(range(950, 1000)) * 2:
            assert session.post(f"{server.url}/endpoints/m{i}/invocations", json=body).json()["predictions"] == expected
        assert server.memory_kb() < 150_000
    with serve(tmp_path, "--models", "models", "--memory", "10MiB") as server:
        for i in range(1000):
            assert session.post(f"{server.url}/endpoints/m{i}/invocations", json=body).json()["predictions"] == expected
        assert server.memory_kb() < 60_000
