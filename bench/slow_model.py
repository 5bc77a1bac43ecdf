"""Two models in one `sluice serve`: how a slow one, asked without pause, changes the latency of a fast one. Phases with and without it take turns, so that a
machine that is busy with other things is so for both; what counts is the ratio of the medians, and how much of it is waiting for a processor."""
import http.client
import json
import os
import pathlib
import statistics
import tempfile
import threading
import time
import urllib.error
import urllib.request

import numpy
from onnx import TensorProto, helper, numpy_helper

from models import Serve, make_trees, table_of

REQUESTS, ROUNDS = int(os.environ.get("BENCH_REQUESTS", "600")), int(os.environ.get("BENCH_RUNS", "7"))
WIDTH, LAYERS = 1024, 24


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


def waited_us(server):
    """How long the loop's thread was ready and had no processor."""
    return int(pathlib.Path(f"/proc/{server.process.pid}/task/{server.process.pid}/schedstat").read_text().split()[1]) / 1000


def latencies(server, body):
    """p50 and p99 in ms, of one client that rests a millisecond between its requests, so that it takes no processor from anybody; and us without a processor
    per request."""
    client, seen, before = http.client.HTTPConnection("127.0.0.1", server.port), [], waited_us(server)
    for _ in range(REQUESTS):
        began = time.perf_counter()
        client.request("POST", "/v2/models/trees/infer", body)
        client.getresponse().read()
        seen.append((time.perf_counter() - began) * 1000)
        time.sleep(0.001)
    seen.sort()
    return seen[len(seen) // 2], seen[len(seen) * 99 // 100], (waited_us(server) - before) / REQUESTS


def compare(name, server, body, path, asked, clients):
    alone, beside, answered, refused = [], [], 0, 0
    for _ in range(ROUNDS):
        alone.append(latencies(server, body))
        with Asking(server.port, path, asked, clients) as asking:
            beside.append(latencies(server, body))
        answered, refused = answered + asking.answered, refused + asking.refused
    p50, p99, wait = ([statistics.median(seen[i] for seen in phases) for phases in (alone, beside)] for i in range(3))
    print(f"{name:38} p50 {p50[0]:.2f} -> {p50[1]:.2f} ms ({p50[1] / p50[0]:.2f} x)   p99 {p99[0]:.2f} -> {p99[1]:.2f} ms ({p99[1] / p99[0]:.2f} x)"
          f"   without a processor {wait[0]:.0f} -> {wait[1]:.0f} us a request   the other: {answered} answered, {refused} refused")


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        make_trees(folder / "trees.ubj")
        make_slow(folder / "slow.onnx")
        x, _ = table_of(20000, 6)
        body = json.dumps({"inputs": [{"name": "x", "shape": [1, 6], "datatype": "FP32", "data": x[0].tolist()}]})
        slow = {"inputs": [{"name": "x", "shape": [1, WIDTH], "datatype": "FP32", "data": [0.5] * WIDTH}]}
        fat = {"inputs": [{"name": "x", "shape": [20000, 6], "datatype": "FP32", "data": x.ravel().tolist()}]}
        with Serve(folder, "trees.ubj", "slow.onnx") as server:
            compare("one tree row beside a slow network", server, body, "/v2/models/slow/infer", slow, 1)
            compare("... asked by 8 clients", server, body, "/v2/models/slow/infer", slow, 8)
            compare("one tree row beside 20,000 at once", server, body, "/v2/models/trees/infer", fat, 1)


if __name__ == "__main__":
    main()
