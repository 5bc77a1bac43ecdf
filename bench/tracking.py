"""Tracking: the load of the README's table over raw HTTP against `sluice mlflow`, and the same against MLflow's own server when it is there.

    python3 bench/tracking.py [--runs 20000] [--mlflow /path/to/bin/mlflow]
    python3 bench/tracking.py --generated 1000000      searches only, in a store that bench_logged filled

A client is a kept connection with one request under way; several are processes. Wall times swing with whatever else the machine
does, so the server's CPU time stands beside them, and the time of a bare append with fdatasync on the same disk."""
import argparse
import contextlib
import json
import multiprocessing
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import tempfile
import time

from lib import SLUICE

API = "/api/2.0/mlflow/"
EPOCH_MS = 1_795_401_225_508


class Client:
    def __init__(self, port):
        self.port = port
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, method, path, body=b""):
        self.socket.sendall(b"%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
            method.encode(), path.encode(), self.port, len(body), body))
        return self.receive()

    def more(self):
        data = self.socket.recv(1 << 20)
        if not data:
            raise ConnectionError("the server closed the connection")
        return data

    def receive(self):
        data = self.more()
        while b"\r\n\r\n" not in data:
            data += self.more()
        head, _, rest = data.partition(b"\r\n\r\n")
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            parts = [rest]
            while not parts[-1].endswith(b"0\r\n\r\n"):
                parts.append(self.more())
            body = b"".join(parts)
        else:
            length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
            parts, have = [rest], len(rest)
            while have < length:
                parts.append(self.more())
                have += len(parts[-1])
            body = b"".join(parts)
        assert head.startswith(b"HTTP/1.1 200"), (head, body[:500])
        return body

    def post(self, path, body):
        return json.loads(self.send("POST", API + path, json.dumps(body).encode()))

    def run(self):
        return self.post("runs/create", {"experiment_id": "0", "start_time": EPOCH_MS})["run"]["info"]["run_id"]


def timed(calls):
    """Milliseconds of each call."""
    taken = []
    for call in calls:
        begun = time.perf_counter()
        call()
        taken.append((time.perf_counter() - begun) * 1000)
    return taken


def metrics(port, count, results):
    client = Client(port)
    run = client.run()
    bodies = [json.dumps({"run_id": run, "key": "loss", "value": i * 0.1, "timestamp": EPOCH_MS + i, "step": i}).encode() for i in range(count)]
    results.put(timed(lambda b=b: client.send("POST", API + "runs/log-metric", b) for b in bodies))


def batches(port, count, keys, results):
    client = Client(port)
    run = client.run()
    bodies = [json.dumps({"run_id": run, "metrics": [
        {"key": f"m{k % keys}", "value": k * 0.37 + i, "timestamp": EPOCH_MS + i, "step": (i * 1000 + k) // keys} for k in range(1000)]}).encode()
        for i in range(count)]
    results.put(timed(lambda b=b: client.send("POST", API + "runs/log-batch", b) for b in bodies))


def together(clients, work, *arguments):
    """All clients' times, and the seconds from the first's begin to the last's end."""
    results = multiprocessing.Queue()
    processes = [multiprocessing.Process(target=work, args=(*arguments, results)) for _ in range(clients)]
    begun = time.perf_counter()
    for process in processes:
        process.start()
    taken = [results.get() for _ in processes]
    for process in processes:
        process.join()
    return [t for each in taken for t in each], time.perf_counter() - begun


class Server:
    """Either server: its port, its process and the processes below it."""

    def __init__(self, argv, port, log):
        self.port, begun = port, time.perf_counter()
        self.process = subprocess.Popen(argv, stdout=log, stderr=log)
        while True:
            with contextlib.suppress(OSError, AssertionError):
                Client(port).send("GET", "/health")
                break
            time.sleep(0.002)
        self.start_ms = (time.perf_counter() - begun) * 1000

    def pids(self):
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
                todo += map(int, task.read_text().split())
        return found

    def cpu_seconds(self):
        fields = [pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.pids()]
        return sum(int(f[11]) + int(f[12]) for f in fields) / os.sysconf("SC_CLK_TCK")

    def resident_mb(self):
        return sum(int(pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().split("Pss:")[1].split()[0]) for pid in self.pids()) / 1024

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def fill(port, runs):
    """Runs of 20 metrics and 20 parameters, each a create and a batch, over eight clients."""
    def work(number, results):
        client = Client(port)
        for i in range(number, runs, 8):
            run = client.post("runs/create", {"experiment_id": "0", "start_time": EPOCH_MS + i})["run"]["info"]["run_id"]
            client.post("runs/log-batch", {"run_id": run, "metrics": [
                {"key": f"m{k}", "value": (i * 7919 + k) % 10007 / 10007, "timestamp": EPOCH_MS, "step": 0} for k in range(20)],
                "params": [{"key": f"p{k}", "value": str(i % (k + 2))} for k in range(20)]})
        results.put([])
    results = multiprocessing.Queue()
    processes = [multiprocessing.Process(target=work, args=(i, results)) for i in range(8)]
    begun = time.perf_counter()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return time.perf_counter() - begun


def search(client, token=None, param="p8"):
    body = {"experiment_ids": ["0"], "filter": f"metrics.m1 > 0.5 and params.{param} = '3'", "order_by": ["metrics.m2 DESC"], "max_results": 100}
    return client.post("runs/search", {**body, **({"page_token": token} if token else {})})


def measure(server, runs):
    """{name: text} of one server."""
    found = {"start": f"{server.start_ms:.0f} ms", "idle": f"{server.resident_mb():.1f} MB"}
    cpu = server.cpu_seconds()
    taken, _ = together(1, metrics, server.port, 2000)
    found["log-metric, one client"] = f"p50 {statistics.median(taken):.3f} ms; {(server.cpu_seconds() - cpu) / 2000 * 1e6:.0f} us CPU"
    taken, seconds = together(8, metrics, server.port, 2000)
    found["log-metric, eight"] = f"{len(taken) / seconds:.0f}/s"
    for keys in (1, 10, 1000):
        cpu = server.cpu_seconds()
        taken, _ = together(1, batches, server.port, 50, keys)
        found[f"log-batch of 1000, {keys} keys"] = f"{50e6 / sum(taken):.0f} rows/s; {(server.cpu_seconds() - cpu) / 5e4 * 1e6:.1f} us CPU a row"
    taken, seconds = together(8, batches, server.port, 50, 10)
    found["log-batch of 1000, eight"] = f"{len(taken) * 1000 / seconds:.0f} rows/s"
    client = Client(server.port)
    found["create run"] = f"p50 {statistics.median(timed([client.run] * 500)):.3f} ms"
    seconds = fill(server.port, runs)
    found[f"{runs} runs of 20 metrics and parameters"] = f"{seconds:.1f} s; then {server.resident_mb():.1f} MB"
    client = Client(server.port)  # the other one was idle for too long
    found["search, 100 runs"] = f"p50 {statistics.median(timed([lambda: search(client)] * 20)):.1f} ms"
    run = client.run()
    for i in range(50):
        client.post("runs/log-batch", {"run_id": run, "metrics": [
            {"key": "h", "value": k * 0.1, "timestamp": EPOCH_MS + k, "step": k} for k in range(i * 1000, i * 1000 + 1000)]})
    history = f"{API}metrics/get-history?run_id={run}&metric_key=h"
    found["history of 50,000"] = f"p50 {statistics.median(timed([lambda: client.send('GET', history)] * 5)):.1f} ms"
    interval = f"{API}metrics/get-history-bulk-interval?run_ids={run}&metric_key=h&max_results=320"
    found["bulk interval of it"] = f"p50 {statistics.median(timed([lambda: client.send('GET', interval)] * 5)):.1f} ms"
    return found


def measure_generated(server, runs):
    """A page of a search among very many runs (of 4 metrics with 5 points, and 4 parameters), and its 1000th page."""
    client, found = Client(server.port), {"start": f"{server.start_ms:.0f} ms"}

    def page(name, token=None):
        cpu = server.cpu_seconds()
        taken = timed([lambda: search(client, token, "p3")] * 20)
        found[name] = f"p50 {statistics.median(taken):.1f} ms; {(server.cpu_seconds() - cpu) / 20 * 1e3:.1f} ms CPU"
    page(f"search, 100 of {runs}")
    token = None
    for _ in range(999):
        after = search(client, token, "p3").get("next_page_token")
        if not after:
            break
        token = after
    page("the last page of 1000", token)
    found["memory"] = f"{server.resident_mb():.1f} MB"
    return found


def generate(store, port, runs, log):
    Server([SLUICE, "mlflow", "--port", str(port), "--store", str(store)], port, log).stop()
    begun = time.perf_counter()
    subprocess.run([os.path.join(os.path.dirname(SLUICE), "bench_logged"), store, str(runs), "4", "4", "5"], check=True)
    print(f"{runs} runs made in {time.perf_counter() - begun:.0f} s")


def floor(folder):
    """Milliseconds of an append of 4 KiB with fdatasync."""
    with open(folder / "floor", "wb", buffering=0) as file:
        def once():
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
        return statistics.median(timed([once] * 500))


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--runs", type=int, default=20000)
    options.add_argument("--mlflow", default=shutil.which("mlflow"))
    options.add_argument("--generated", type=int, default=0)
    options = options.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-bench-"))
    results = {}
    with open(folder / "log", "w") as log:
        port = free_port()
        commands = {"sluice": [SLUICE, "mlflow", "--port", str(port), "--store", str(folder / "store")]}
        if options.generated:
            generate(folder / "store", port, options.generated, log)
        elif options.mlflow:
            commands["mlflow"] = [options.mlflow, "server", "--port", str(port), "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
        for name, argv in commands.items():
            server = Server(argv, port, log)
            try:
                results[name] = measure_generated(server, options.generated) if options.generated else \
                    measure(server, options.runs if name == "sluice" else options.runs // 20)
            finally:
                server.stop()
    print(f"append of 4 KiB with fdatasync: p50 {floor(folder):.3f} ms; load {os.getloadavg()[0]:.1f}")
    for name, found in results.items():
        print(name)
        for what, text in found.items():
            print(f"  {what:<45} {text}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
