"""A model that computes for as long as its request says, beside others: they are answered, their rows are their own, and who goes or whose time is over
is computed no more. Nothing is timed: the slow model holds its threads until the test lets go."""
import concurrent.futures
import json
import socket

import numpy
import pytest
import tritonclient.grpc
import tritonclient.http
from onnx import TensorProto, helper, numpy_helper

from conftest import wait_until
from test_onnx import info, save
from test_serve import booster, rows, serve

FOREVER = 10**15


def slow_model(path):
    """y = x + 1, after as many turns of a loop as `turns` says."""
    body = helper.make_graph([helper.make_node("Identity", ["go_in"], ["go_out"]), helper.make_node("Neg", ["v_in"], ["v_out"])], "body",
                             [info("i", TensorProto.INT64, []), info("go_in", TensorProto.BOOL, []), info("v_in", TensorProto.FLOAT, None)],
                             [info("go_out", TensorProto.BOOL, []), info("v_out", TensorProto.FLOAT, None)])
    nodes = [helper.make_node("Loop", ["turns", "", "one"], ["end"], body=body), helper.make_node("Abs", ["end"], ["size"]),
             helper.make_node("Add", ["x", "size"], ["y"])]
    save(path, nodes, [info("x", TensorProto.FLOAT, ["n", 2]), info("turns", TensorProto.INT64, [1])], [info("y", TensorProto.FLOAT, ["n", 2])],
         [numpy_helper.from_array(numpy.ones(1, "f4"), "one")])


def dense_model(path, width=4):
    """y = relu(x W + b), by rows: what is proven to be batched."""
    random = numpy.random.default_rng(3)
    weights, bias = random.normal(0, 1, (width, 3)).astype("f4"), random.normal(0, 1, 3).astype("f4")
    save(path, [helper.make_node("Gemm", ["x", "w", "b"], ["g"]), helper.make_node("Relu", ["g"], ["y"])],
         [info("x", TensorProto.FLOAT, ["n", width])], [info("y", TensorProto.FLOAT, ["n", 3])],
         [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")])
    return lambda x: numpy.maximum(x @ weights + bias, 0)


def slow_body(turns, **parameters):
    return {"parameters": parameters, "inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]},
                                                 {"name": "turns", "shape": [1], "datatype": "INT64", "data": [turns]}]}


def dense_body(data):
    return {"inputs": [{"name": "x", "shape": list(data.shape), "datatype": "FP32", "data": data.ravel().tolist()}]}


class Held:
    """Requests for ever, on connections that can be dropped."""

    def __init__(self, server, count, turns=FOREVER):
        self.sockets = []
        body = json.dumps(slow_body(turns)).encode()
        for _ in range(count):
            s = socket.create_connection(("127.0.0.1", server.port))
            s.sendall(b"POST /v2/models/slow/infer HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: %d\r\n\r\n%s" % (server.port, len(body), body))
            self.sockets.append(s)
        wait_until(lambda: pending(server) >= count, what="the requests")

    def drop(self):
        for s in self.sockets:
            s.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.drop()


def pending(server, model="slow"):
    return server.get(f"/v2/models/{model}/stats").json()["model_stats"][0]["pending_count"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slow")
    slow_model(folder / "slow.onnx")
    dense_model(folder / "dense.onnx")
    booster().save_model(folder / "tree.ubj")
    with serve(folder, "slow.onnx", "dense.onnx", "tree.ubj", "--explain") as server:
        yield server


def test_others_are_answered_while_one_computes(server):
    """Networks, trees, large requests and explanations, each for the first time, while the slow model has all the threads that it may have."""
    with Held(server, 12):
        data = rows(4)
        assert len(server.infer("tree", data)) == 4
        x = numpy.ones((2, 4), "f4")
        for _ in range(12):
            assert server.post("/v2/models/dense/infer", json=dense_body(x)).status_code == 200
        assert pending(server) == 12
        client = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc_port}")
        tensor = tritonclient.grpc.InferInput("x", [2, 4], "FP32")
        tensor.set_data_from_numpy(x)
        assert client.infer("dense", [tensor]).as_numpy("y").shape == (2, 3)
        assert server.get("/v2/health/ready").status_code == 200
    wait_until(lambda: pending(server) == 0, what="that nobody computes for who has gone")
    assert server.post("/v2/models/slow/infer", json=slow_body(3)).json()["outputs"][0]["data"] == [2, 3]
    fat = rows(40000)
    assert len(server.infer("tree", fat)) == 40000
    explained = server.post("/v1/models/tree:explain", json={"instances": [[1, 2, 3]]})
    assert explained.status_code == 200 and set(explained.json()["explanations"][0]["shap_values"]) == {"distance", "speed", "hour"}


def test_deadlines(server):
    """By the header, by Triton's parameter, by gRPC's own; of what runs and of what waits."""
    late = server.post("/v2/models/slow/infer", json=slow_body(FOREVER), headers={"X-Sluice-Timeout-Ms": "50"})
    assert late.status_code == 504 and "time is over" in late.json()["error"], late.text
    late = server.post("/v2/models/slow/infer", json=slow_body(FOREVER, timeout=50_000))
    assert late.status_code == 504, late.text
    client = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc_port}")
    tensors = [tritonclient.grpc.InferInput("x", [1, 2], "FP32"), tritonclient.grpc.InferInput("turns", [1], "INT64")]
    tensors[0].set_data_from_numpy(numpy.ones((1, 2), "f4"))
    tensors[1].set_data_from_numpy(numpy.array([FOREVER]))
    with pytest.raises(tritonclient.utils.InferenceServerException, match="(?i)deadline"):
        client.infer("slow", tensors, client_timeout=0.2)
    with pytest.raises(tritonclient.utils.InferenceServerException, match="time is over"):
        client.infer("slow", tensors, timeout=50_000, priority=1)
    with Held(server, 6):
        waited = server.post("/v2/models/slow/infer", json=slow_body(1), headers={"X-Sluice-Timeout-Ms": "50"})
        assert waited.status_code in (503, 504), waited.text
    wait_until(lambda: pending(server) == 0)
    for wrong in ({"priority": "first"}, {"timeout": -1}):
        assert server.post("/v2/models/slow/infer", json=slow_body(1, **wrong)).status_code == 400


def test_a_queue_is_bounded(server):
    """What is more than may wait is refused at once; what waited goes on."""
    with Held(server, 4, FOREVER):
        with concurrent.futures.ThreadPoolExecutor(160) as pool:
            asked = [pool.submit(server.post, "/v2/models/slow/infer", json=slow_body(1), headers={"X-Sluice-Timeout-Ms": "10000"}) for _ in range(160)]
            refused = wait_until(lambda: [a for a in asked if a.done()], what="a refusal")
            answer = refused[0].result()
            assert answer.status_code == 503 and answer.headers["Retry-After"] and "request" in answer.json()["error"]
    wait_until(lambda: pending(server) == 0)


def test_each_caller_has_its_own_rows(tmp_path):
    """Requests that wait together run together, whatever their sizes, and each has its own answer: as alone, but for the last bits of a sum."""
    slow_model(tmp_path / "slow.onnx")
    expected = dense_model(tmp_path / "dense.onnx", 512)
    random = numpy.random.default_rng(5)
    with serve(tmp_path, "slow.onnx", "dense.onnx") as server:
        def ask(seed):
            client = tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.port}")
            x = numpy.random.default_rng(seed).normal(0, 1, (1 + seed % 7, 512)).astype("f4")
            tensor = tritonclient.http.InferInput("x", list(x.shape), "FP32")
            tensor.set_data_from_numpy(x)
            numpy.testing.assert_allclose(client.infer("dense", [tensor]).as_numpy("y"), expected(x), rtol=1e-4, atol=1e-4)

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            list(pool.map(ask, random.integers(0, 10**6, 400)))
        about = server.get("/v2/models/dense/stats").json()["model_stats"][0]
        assert about["inference_stats"]["success"]["count"] == 400 and about["execution_count"] <= 400


def test_a_stream_keeps_its_order(server):
    """Answers over one stream leave in the order of the messages, also when the first one takes longest."""
    client = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc_port}")
    seen = []
    client.start_stream(lambda result, error: seen.append(error or result.get_response().id))
    tensors = [tritonclient.grpc.InferInput("x", [1, 2], "FP32"), tritonclient.grpc.InferInput("turns", [1], "INT64")]
    tensors[0].set_data_from_numpy(numpy.ones((1, 2), "f4"))
    tree = tritonclient.grpc.InferInput("x", [1, 3], "FP32")
    tree.set_data_from_numpy(numpy.ones((1, 3), "f4"))
    for i in range(9):
        tensors[1].set_data_from_numpy(numpy.array([10**(5 - i) if i < 5 else 1]))
        client.async_stream_infer("tree" if i % 3 == 2 else "slow", [tree] if i % 3 == 2 else tensors, request_id=str(i))
    client.stop_stream()
    assert seen == [str(i) for i in range(9)]
