"""Traces: W3C traceparent in and out, spans at a collector that reads them with OpenTelemetry's own classes."""
import collections
import http.server
import re
import subprocess
import threading

import numpy
import pytest
import requests
import tritonclient.grpc
import xgboost
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from conftest import PROGRAM, Project, wait_until

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PROJECT = """
project: traces
sources: {raw: raw.csv}
steps:
  fit: {train: {algorithm: xgboost, data: raw, target: y, features: [x], rounds: 3}}
models: {m: {from: fit, promote: auto}}
endpoints: {e: {model: m@champion}}
server: {traces: "%s", traces_ratio: %s}
"""


class Collector:
    """OTLP over HTTP; `status` is what it answers, and while `held` is set it does not answer at all."""

    def __init__(self):
        self.spans, self.requests, self.status, self.held = [], [], 200, threading.Event()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.requests.append((self.path, self.headers["Content-Type"]))
                while collector.held.is_set():
                    if collector.released.wait(0.1):
                        break
                if collector.status == 200:
                    collector.take(body)
                self.send_response(collector.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass
        self.released = threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def take(self, body):
        message = ExportTraceServiceRequest()
        message.ParseFromString(body)
        for resource in message.resource_spans:
            attributes = {a.key: a.value.string_value for a in resource.resource.attributes}
            assert attributes["service.name"] == "sluice" and attributes["service.version"]
            for scope in resource.scope_spans:
                assert scope.scope.name == "sluice"
                self.spans += scope.spans

    def of(self, trace):
        return [s for s in self.spans if s.trace_id.hex() == trace]

    def close(self):
        self.released.set()
        self.server.shutdown()


@pytest.fixture
def collector():
    collector = Collector()
    yield collector
    collector.close()


def attributes(span):
    return {a.key: a.value.string_value or a.value.int_value for a in span.attributes}


@pytest.fixture(scope="module")
def trained(program, tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("traces") / "project")
    project.root.mkdir()
    project.write("raw.csv", "x,y\n" + "".join(f"{i % 50},{int(i % 50 > 20)}\n" for i in range(400)))
    project.write("sluice.yaml", PROJECT % ("", 1))
    project.sluice("init")
    project.sluice("run")
    return project


def ask(server, traceparent=None, rows=({"x": 1},)):
    return server.post("/endpoints/e/invocations", json={"dataframe_records": list(rows)}, headers={"traceparent": traceparent} if traceparent else {})


def test_a_callers_trace_goes_on(trained, collector):
    trained.write("sluice.yaml", PROJECT % (collector.url, 0))
    with trained.up() as server:
        answer = ask(server, f"00-{TRACE}-{PARENT}-01", [{"x": 1}, {"x": 2}])
        wait_until(lambda: len(collector.of(TRACE)) == 4, what="the spans")
        spans = {s.name: s for s in collector.of(TRACE)}
        root = spans.pop("predict e")
        assert answer.headers["traceparent"] == f"00-{TRACE}-{root.span_id.hex()}-01"
        assert root.parent_span_id.hex() == PARENT and root.kind == root.SPAN_KIND_SERVER
        assert attributes(root) == {"sluice.endpoint": "e", "network.protocol.name": "http", "sluice.model.version": "1", "http.response.status_code": 200,
                                    "sluice.prediction.id": answer.headers["X-Sluice-Prediction-Id"], "sluice.rows": 2}
        assert set(spans) == {"parse", "compute", "write"} and all(s.parent_span_id == root.span_id and s.kind == s.SPAN_KIND_INTERNAL for s in spans.values())
        stages = [spans[name] for name in ("parse", "compute", "write")]
        assert root.start_time_unix_nano == stages[0].start_time_unix_nano and root.end_time_unix_nano == stages[2].end_time_unix_nano
        assert all(a.end_time_unix_nano == b.start_time_unix_nano and a.start_time_unix_nano <= a.end_time_unix_nano for a, b in zip(stages, stages[1:]))
        assert collector.requests[0] == ("/v1/traces", "application/x-protobuf")
        assert ask(server, f"00-{TRACE[::-1]}-{PARENT}-00").headers["traceparent"].endswith("-00")
        client = tritonclient.grpc.InferenceServerClient(server.url.removeprefix("http://"))
        tensor = tritonclient.grpc.InferInput("x", [1], "INT64")
        tensor.set_data_from_numpy(numpy.array([3]))
        over_grpc = "a" * 32
        client.infer("e", [tensor], headers={"traceparent": f"00-{over_grpc}-{PARENT}-01"})
        refused = "b" * 32
        assert server.post("/endpoints/e/invocations", json={"dataframe_records": [{"y": 1}]}, headers={"traceparent": f"00-{refused}-{PARENT}-01"}).status_code == 400
        wait_until(lambda: len(collector.of(over_grpc)) == 4 and len(collector.of(refused)) == 1, what="the other spans")
        assert {attributes(s)["network.protocol.name"] for s in collector.of(over_grpc) if s.name == "predict e"} == {"grpc"}
        span = collector.of(refused)[0]
        assert span.status.code == span.status.STATUS_CODE_ERROR and "'y'" in span.status.message and attributes(span)["http.response.status_code"] == 400
        assert not collector.of(TRACE[::-1]), "it was not sampled"


NONE = ["", "00-" + "0" * 32 + f"-{PARENT}-01", f"00-{TRACE}-" + "0" * 16 + "-01", f"ff-{TRACE}-{PARENT}-01", f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more", f"00-{TRACE}-{PARENT}", f"00_{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-0g", "x" * 5000]


def test_every_request_has_a_trace(trained, collector):
    """What is no traceparent begins one of its own; a later version of the header is read by its beginning; no two spans have one id."""
    trained.write("sluice.yaml", PROJECT % (collector.url, 1))
    with trained.up() as server:
        for header in NONE:
            answered = ask(server, header).headers["traceparent"]
            assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", answered) and TRACE not in answered, header
        assert ask(server, f"01-{TRACE}-{PARENT}-01-what.comes").headers["traceparent"].startswith(f"00-{TRACE}-")
        for _ in range(300):
            ask(server)
        wait_until(lambda: len(collector.spans) == 4 * (len(NONE) + 301), what="the spans")
        ids = collections.Counter(s.span_id for s in collector.spans)
        assert max(ids.values()) == 1 and len({s.trace_id for s in collector.spans}) == len(NONE) + 301


def test_the_ratio_is_the_share_that_is_traced(trained, collector):
    trained.write("sluice.yaml", PROJECT % (collector.url, 0.25))
    with trained.up() as server:
        session = requests.Session()
        traced = sum("traceparent" in session.post(server.url + "/endpoints/e/invocations", json={"dataframe_records": [{"x": 1}]}).headers for _ in range(400))
    assert 60 <= traced <= 145  # six standard deviations


def test_no_request_waits_for_a_collector(trained, collector):
    """One that takes calls and never answers, one that refuses, and none at all."""
    collector.held.set()
    trained.write("sluice.yaml", PROJECT % (collector.url, 1))
    with trained.up() as server:
        assert all(ask(server).status_code == 200 for _ in range(20))
        wait_until(lambda: collector.requests, what="a call")
        assert all(ask(server).status_code == 200 for _ in range(20))
        collector.status = 503
        collector.held.clear()
        wait_until(lambda: "spans were dropped since the start: the collector answered 503" in server.logs(), what="the warning")
        collector.status = 200
        trace = "c" * 32
        ask(server, f"00-{trace}-{PARENT}-01")
        wait_until(lambda: len(collector.of(trace)) == 4, what="spans after the collector's trouble")
    trained.write("sluice.yaml", PROJECT % ("http://127.0.0.1:1", 1))
    with trained.up() as server:
        assert all(ask(server).status_code == 200 for _ in range(20))
        wait_until(lambda: "spans were dropped" in server.logs(), what="the warning")


def test_an_address_that_is_none_is_refused(trained):
    trained.write("sluice.yaml", PROJECT % ("collector:4318", 1))
    assert "'traces' is no http or https address" in trained.sluice("run", "-n", status=2).stderr
    trained.write("sluice.yaml", PROJECT % ("", 1))


def test_model_files_are_traced_too(program, tmp_path, collector):
    rows = numpy.random.default_rng(1).normal(size=(200, 2))
    xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(rows, rows[:, 0] > 0), 3).save_model(tmp_path / "m.json")
    server = subprocess.Popen([PROGRAM, "serve", "m.json", "--http", "127.0.0.1:0", "--grpc", "off", "--traces", collector.url], cwd=tmp_path,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        url = server.stderr.readline().strip()
        answer = requests.post(url + "/v1/models/m:predict", json={"instances": [[1, 2]]}, timeout=30)
        assert answer.status_code == 200
        trace = answer.headers["traceparent"].split("-")[1]
        wait_until(lambda: len(collector.of(trace)) == 4, what="the spans")
    finally:
        server.terminate()
        server.wait(30)
