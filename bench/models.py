"""`sluice serve` with many models: an ONNX network by REST, from start to ready, and the memory of a thousand models of which fifty are asked."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

import numpy
import skl2onnx
import xgboost
from sklearn.neural_network import MLPClassifier

import lib
from serving import BUILD, load, save

REQUESTS = int(os.environ.get("BENCH_REQUESTS", "30000"))
MODELS, HOT = 1000, 50


def table_of(rows, columns):
    random = numpy.random.default_rng(1)
    x = random.normal(0, 1, (rows, columns)).astype("f4")
    return x, (x[:, 0] + x[:, 1] * x[:, 2] > 0).astype(int)


def make_network(path):
    x, y = table_of(2000, 20)
    model = MLPClassifier((16,), max_iter=5, random_state=1).fit(x, y)
    path.write_bytes(skl2onnx.to_onnx(model, x[:1], options={"zipmap": False}).SerializeToString())


def make_trees(path):
    x, y = table_of(20000, 6)
    data = xgboost.DMatrix(x, y)
    xgboost.train({"max_depth": 6, "objective": "binary:logistic", "nthread": 2}, data, 100).save_model(path)


class Serve:
    def __init__(self, folder, *arguments):
        self.log = folder / "log"
        start = time.perf_counter()
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen([lib.SLUICE, "serve", *arguments, "--http", "127.0.0.1:0", "--grpc", "off"], cwd=folder, stderr=out)
        while "ready\n" not in self.log.read_text():
            if self.process.poll() is not None:
                raise SystemExit(self.log.read_text())
            time.sleep(0.0005)
        self.seconds = time.perf_counter() - start
        self.port = int(re.search(r"^http://\S+:(\d+)$", self.log.read_text(), re.M)[1])

    def memory(self):
        return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status").read_text())[1]) / 1024

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def network(table, folder, fixed, fixed_port):
    make_network(folder / "mlp.onnx")
    body = save(folder, "x.json", {"inputs": [{"name": "X", "shape": [1, 20], "datatype": "FP32", "data": [round(0.1 * i, 1) for i in range(20)]}]})
    with Serve(folder, "mlp.onnx") as server:
        for connections in (1, 16):
            asked = {"fixed": lambda: load(fixed_port, fixed, "/", body, connections, REQUESTS)[0],
                     "mlp": lambda: load(server.port, server.process.pid, "/v2/models/mlp/infer", body, connections, REQUESTS)[0]}
            samples = {name: [] for name in asked}
            for turn in range(lib.RUNS + 1):
                for name, ask in asked.items():
                    samples[name] += [(ask(),)] if turn else (ask(), [])[1]
            cost = {name: lib.median(values) for name, values in samples.items()}
            table.row(f"ONNX MLP 20-16-1, REST, 1 row, {connections} connections: CPU per 10,000 requests", f"{cost['mlp']:.3f} s", f"{cost['fixed']:.3f} s",
                      cost["mlp"] / cost["fixed"], "0.16 s" if connections == 16 else "")
        table.row("memory idle, one ONNX model", f"{server.memory():.0f} MB")


def start(table, folder):
    trees = folder / "trees.ubj"
    make_trees(trees)
    models = folder / "ten"
    models.mkdir()
    for i in range(10):
        shutil.copy(trees, models / f"m{i}.ubj")
    samples, cpu = [], []
    for _ in range(lib.RUNS):
        with Serve(folder, "--models", "ten") as server:
            samples.append((server.seconds,))
            cpu.append((server.cpu(),))
    table.row("start to ready, ten models of 100 trees (CPU)", f"{lib.ms(lib.median(samples))} ({lib.ms(lib.median(cpu))})", bar="60 ms")
    with Serve(folder, "trees.ubj") as server:
        table.row("memory idle, one model of 100 trees", f"{server.memory():.0f} MB", bar="20 MB")
    return trees


def many(table, folder, trees):
    models = folder / "many"
    models.mkdir()
    for i in range(MODELS):
        os.link(trees, models / f"m{i}.ubj")
    body = save(folder, "row.json", {"instances": [[0.5] * 6]})
    with Serve(folder, "--models", "many", "--memory", "64MiB") as server:
        table.row(f"start to ready, {MODELS} models", lib.ms(server.seconds))
        for i in range(HOT):
            load(server.port, server.process.pid, f"/v1/models/m{i * (MODELS // HOT)}:predict", body, 1, 20)
        table.row(f"memory, {MODELS} models, {HOT} of them asked", f"{server.memory():.0f} MB", bar="150 MB")


def main():
    table = lib.Table("sluice serve")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-models-"))
    try:
        answer = save(folder, "answer.json", {"model_name": "mlp", "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [1, 2], "data": [0.26381212, 0.736189]}]})
        fixed = subprocess.Popen([os.path.join(BUILD, "bench_fixed"), answer], stdout=subprocess.PIPE)
        try:
            network(table, folder, fixed.pid, int(fixed.stdout.readline()))
        finally:
            fixed.kill()
            fixed.wait()
        many(table, folder, start(table, folder))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
