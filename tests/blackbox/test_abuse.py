"""Abuse of model servers that became known as vulnerabilities of others, each tried on `sluice serve`. Those that have tests elsewhere: files with code, paths in names,
loading by clients (test_serve.py); external data and lying tensors (test_onnx.py); crafted trees (test_hostile_model.py); floods of HTTP/2 (test_grpc.py), smuggling and
slow clients (test_http.py); members of archives that leave their folder (test_remote.py); explanations that nobody allowed (test_explain_http.py)."""
import json
import pickle
import socket
import struct
import subprocess

import pytest
import requests
from onnx import TensorProto, helper

from conftest import PROGRAM
from test_onnx import info, save
from test_serve import booster, serve

ROW = {"instances": [[1, 2, 3]]}


@pytest.fixture(scope="module")
def server(program, tmp_path_factory):
    folder = tmp_path_factory.mktemp("abuse")
    booster().save_model(folder / "churn.ubj")
    save(folder / "text.onnx", [helper.make_node("Identity", ["a"], ["b"])], [info("a", TensorProto.STRING, ["n"])], [info("b", TensorProto.STRING, ["n"])])
    with serve(folder, "churn.ubj", "text.onnx", "--control") as server:
        server.folder = folder
        yield server
        assert server.post("/v1/models/churn:predict", json=ROW).status_code == 200


class Evil:
    """Creates a file where it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("kind", ["application/x-pickle", "application/vnd.bentoml+pickle", "application/python-pickle", "application/octet-stream", "application/x-joblib",
                                  "application/json; format=pickle", "text/csv; header=pickle", None])
def test_a_header_picks_no_decoder(server, tmp_path, kind):
    """BentoML's runner unpickled what a header called a pickle."""
    trap = tmp_path / "trap"
    body = pickle.dumps(Evil(trap))
    for path in ("/invocations?endpoint=churn", "/v1/models/churn:predict", "/v2/models/churn/infer"):
        headers = {"Payload-Container": "NdarrayContainer", "Payload-Meta": '{"format":"pickle5"}', "Content-Encoding": "identity"} | ({"Content-Type": kind} if kind else {})
        done = requests.post(server.url + path, data=body, headers=headers, timeout=30)
        assert done.status_code in (400, 415), (path, done.text)
    assert not trap.exists()


def test_no_address_is_fetched(server, tmp_path):
    """TorchServe and others loaded models, and read inside addresses, by URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.2)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/churn.ubj"
        done = subprocess.run([PROGRAM, "serve", url, "--http", "127.0.0.1:0"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2
        for parameters in ({"config": json.dumps({"url": url})}, {"file:1/model.onnx": "AAAA"}, {"file:../../x": "AAAA"}):
            assert server.post("/v2/repository/models/churn/load", json={"parameters": parameters}).status_code == 400
        for name in (url, requests.utils.quote(url, safe=""), "file:///etc/passwd", "169.254.169.254", "..%2f..%2fetc%2fpasswd"):
            assert server.post(f"/v2/repository/models/{name}/load").status_code in (400, 404)
            assert server.post(f"/v1/models/{name}:predict", json=ROW).status_code in (400, 404)
        with pytest.raises(TimeoutError):
            listening.accept()


def test_many_small_chunks(server):
    """Triton took 16 bytes of stack for every chunk of a body."""
    before = server.memory_kb()
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as peer:
        peer.sendall(f"POST /v1/models/churn:predict HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        answer = b""
        try:
            for _ in range(50):
                peer.sendall(b"1\r\n \r\n" * 20_000)
            peer.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            answer = peer.recv(4096)
        except ConnectionResetError:
            pass
    assert not answer or answer.split()[1] in (b"400", b"413"), answer
    assert server.memory_kb() < before + 16 * 1024


def test_sizes_that_lie(server):
    """Memory is taken for what came, not for what a head says that comes."""
    before = server.memory_kb()
    head = {"Content-Type": "application/octet-stream"}
    for element in (b"\xff\xff\xff\xff", struct.pack("<I", 2**31) + b"x", b"\x05\0\0\0abcd", b"\0\0"):
        body = json.dumps({"inputs": [{"name": "a", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(element)}}]}).encode()
        done = server.post("/v2/models/text/infer", data=body + element, headers=head | {"Inference-Header-Content-Length": str(len(body))})
        assert done.status_code == 400 and "beyond its binary data" in done.json()["error"]
    for model, name, kind in (("text", "a", "BYTES"), ("churn", "x", "FP32")):
        for shape in ([2**62], [2**32, 2**32], [2**63 - 1, 3], [0], [-3], [100000, 100000]):
            done = server.post(f"/v2/models/{model}/infer", json={"inputs": [{"name": name, "shape": shape, "datatype": kind, "data": []}]})
            assert done.status_code in (400, 413), (shape, done.text)
    for size in (2**31, 2**63 - 1, 2**64 - 1, -1, "7"):
        body = json.dumps({"inputs": [{"name": "a", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": size}}]}).encode()
        assert server.post("/v2/models/text/infer", data=body, headers=head).status_code == 400
    assert server.post("/v2/models/text/infer", data=b"[" * 1_000_000, headers={"Content-Type": "application/json"}).status_code == 413
    assert server.memory_kb() < before + 16 * 1024


def test_no_shared_memory_and_errors_that_tell_little(server):
    """Triton's errors told the names of its shared memory, which its API then mapped."""
    for path in ("systemsharedmemory/status", "systemsharedmemory/region/a/register", "cudasharedmemory/status", "trace/setting", "logging", "models/churn/trace/setting"):
        assert server.get(f"/v2/{path}").status_code == 404 and server.post(f"/v2/{path}", json={}).status_code == 404
    shared = {"name": "x", "shape": [1, 3], "datatype": "FP32", "parameters": {"shared_memory_region": "a", "shared_memory_byte_size": 12}}
    told = [server.post("/v2/models/churn/infer", json={"inputs": [shared]}), server.get("/v2/models/absent"), server.post("/v2/models/churn/infer", data=b"\0"),
            server.post("/invocations?endpoint=churn", json={"instances": "x"}), server.post("/v2/repository/models/absent/load"), server.get("/%00"), server.get("/v2/models/churn/versions/9")]
    for answer in told:
        assert 400 <= answer.status_code < 500
        for word in (str(server.folder), "/tmp", "src/", ".c:", "0x", "Traceback"):
            assert word not in answer.text, answer.text


def test_boundaries_of_parts(server):
    """A long boundary kept BentoML's parser busy for ever; here nothing is in parts."""
    for boundary in ("-" * 60_000, "a" * 8000, ""):
        done = requests.post(server.url + "/invocations?endpoint=churn", data=b"--" + b"-" * 100_000, timeout=30, headers={"Content-Type": f"multipart/form-data; boundary={boundary}"})
        assert done.status_code in (415, 431)


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}, *a{i - 1}, *a{i - 1}, *a{i - 1}, *a{i - 1}, *a{i - 1}]\n" for i in range(1, 30))


@pytest.mark.parametrize("text", ["flavors: !!python/object/apply:os.system ['touch trap']\n", "!!javax.script.ScriptEngineManager [!!java.net.URLClassLoader [[]]]\n",
                                  "flavors: {onnx: {data: !!python/object/new:open [trap, w]}}\n", BOMB + "flavors: {onnx: {data: model.onnx}}\n", "flavors: " + "[" * 5000,
                                  "flavors: {onnx: {data: ../../../../etc/passwd}}\n", "flavors: {onnx: {data: /etc/passwd}}\n"], ids=range(7))
def test_yaml_that_acts(tmp_path, program, text):
    """SnakeYAML made objects of tags; aliases of aliases fill any memory."""
    (tmp_path / "models" / "m").mkdir(parents=True)
    (tmp_path / "models" / "m" / "MLmodel").write_text(text)
    booster().save_model(tmp_path / "models" / "good.ubj")
    with serve(tmp_path, "--models", "models") as server:
        assert server.index()["m"]["state"] == "UNAVAILABLE" and server.index()["good"]["state"] == "READY"
        assert server.memory_kb() < 64 * 1024
    assert not (tmp_path / "trap").exists() and "root:" not in (tmp_path / "serve.log").read_text()


def test_nothing_of_a_request_makes_lines_in_the_log(server):
    """Names and ids with line ends, escapes of terminals, or thousands of characters."""
    log = server.folder / "serve.log"
    before = log.read_text()
    evil = "x\r\nwarning: forged\x1b[2J\0" + "A" * 3000
    for path in (f"/v2/models/{requests.utils.quote(evil, safe='')}", f"/v1/models/{requests.utils.quote(evil, safe='')}:predict"):
        assert server.post(path, json=ROW).status_code in (400, 404, 414, 431)
    body = {"id": "a\r\nb\x1b[2J", "inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}
    answer = server.post("/v2/models/churn/infer", json=body)
    assert answer.status_code == 200 and answer.json()["id"] == body["id"] and "\x1b" not in answer.text and "b\x1b" not in str(answer.headers)
    assert server.post("/v2/models/churn/infer", json=body | {"id": "x" * 300}).status_code == 400
    assert "forged" not in log.read_text()[len(before):] and "\x1b" not in log.read_text()
