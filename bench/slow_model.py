"""Two models in one `sluice serve`: how a slow one, asked without pause, changes the latency of a fast one. Phases with and without it take turns, so that a
machine that is busy with other things is so for both; what counts is the ratio of the medians."""
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import threading
import urllib.request

import numpy
from onnx import TensorProto, helper, numpy_helper

from models import Serve, make_trees, table_of
from serving import BUILD, save

SECONDS, ROUNDS = float(os.environ.get("BENCH_SECONDS", "2")), int(os.environ.get("BENCH_RUNS", "7"))
RATE, WIDTH, LAYERS = int(os.environ.get("BENCH_RATE", "1000")), 1024, 24


def make_slow(path):
    """About 20 ms of matrices a row."""
    weights = numpy.random.default_rng(1).normal(0, 1 / WIDTH**0.5, (WIDTH, WIDTH)).astype("f4")
    nodes = [helper.make_node("MatMul", [f"v{i}" if i else "x", "w"], [f"v{i + 1}" if i + 1 < LAYERS else "y"]) for i in range(LAYERS)]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", WIDTH]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], [numpy_helper.from_array(weights, "w")])
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString())


class Asking:
    """Clients that ask the slow model again as soon as it has answered, or that send large requests."""

    def __init__(self, port, path, body, clients):
        self.stop, self.answered, self.refused = threading.Event(), 0, 0
        self.request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode())
        self.threads = [threading.Thread(target=self.ask) for _ in range(clients)]

    def ask(self):
        while not self.stop.is_set():
            try:
                urllib.request.urlopen(self.request).read()
                self.answered += 1
            except urllib.error.HTTPError:
                self.refused += 1
                self.stop.wait(0.05)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def latencies(port, body):
    done = subprocess.run([os.path.join(BUILD, "bench_open"), str(port), "16", str(RATE), str(SECONDS), "/v2/models/trees/infer", body], check=True,
                          stdout=subprocess.PIPE)
    return json.loads(done.stdout)["answered_us"]


def compare(name, port, body, path, asked, clients):
    alone, beside, answered, refused = [], [], 0, 0
    for _ in range(ROUNDS):
        alone.append(latencies(port, body))
        with Asking(port, path, asked, clients) as asking:
            beside.append(latencies(port, body))
        answered, refused = answered + asking.answered, refused + asking.refused
    p50, p99 = ([statistics.median(seen[i] for seen in phases) for phases in (alone, beside)] for i in (0, 1))
    print(f"{name:42} p50 {p50[0] / 1000:.2f} -> {p50[1] / 1000:.2f} ms   p99 {p99[0] / 1000:.2f} -> {p99[1] / 1000:.2f} ms ({p99[1] / p99[0]:.2f} x)"
          f"   {answered / ROUNDS / SECONDS:.0f}/s of the other answered, {refused / ROUNDS / SECONDS:.0f}/s refused")


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        make_trees(folder / "trees.ubj")
        make_slow(folder / "slow.onnx")
        x, _ = table_of(20000, 6)
        body = save(name, "one.json", {"inputs": [{"name": "x", "shape": [1, 6], "datatype": "FP32", "data": x[0].tolist()}]})
        slow = {"inputs": [{"name": "x", "shape": [1, WIDTH], "datatype": "FP32", "data": [0.5] * WIDTH}]}
        fat = {"inputs": [{"name": "x", "shape": [20000, 6], "datatype": "FP32", "data": x.ravel().tolist()}]}
        with Serve(folder, "trees.ubj", "slow.onnx") as server:
            compare("one tree row beside a slow network", server.port, body, "/v2/models/slow/infer", slow, 1)
            compare("... asked by 8 clients", server.port, body, "/v2/models/slow/infer", slow, 8)
            compare("one tree row beside 20,000 at once", server.port, body, "/v2/models/trees/infer", fat, 1)


if __name__ == "__main__":
    main()
