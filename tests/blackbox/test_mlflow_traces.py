"""Traces: MLflow's own Python client and OpenTelemetry's own exporter, unmodified, against `sluice mlflow`, and requests by hand."""
import base64
import gzip
import json
import zlib

import mlflow
import pytest
import requests
from mlflow.entities import AssessmentSource, Feedback, SpanEvent
from mlflow.exceptions import MlflowException
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Status, StatusCode

from mlflow_server import serving

TRACE, ROOT, CHILD = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174", "eee19b7ec3c1b175"


@pytest.fixture(scope="module")
def url(program, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("traces")) as url:
        mlflow.set_tracking_uri(url)
        yield url
        mlflow.flush_trace_async_logging()
        mlflow.set_tracking_uri(None)


@pytest.fixture
def experiment(url, request):
    """An experiment of the test's own, which the fluent functions log into."""
    return mlflow.set_experiment(request.node.name.partition("[")[0]).experiment_id


def found(experiment, text=None, **more):
    return [t.info.trace_id for t in mlflow.search_traces([experiment], text, return_type="list", include_spans=False, **more)]


@mlflow.trace(span_type="CHAIN")
def chain(question):
    with mlflow.start_span("look up", span_type="RETRIEVER", attributes={"n": 3, "model": "gpt-4", "nested": {"x": [1, None, {"y": True}]}}) as span:
        span.set_inputs({"q": question})
        span.set_outputs([1, 2.5, "drei"])
        span.add_event(SpanEvent("cache miss", attributes={"k": 1}))
    mlflow.update_current_trace(tags={"team": "red"}, metadata={"mlflow.trace.session": "s1"})
    return question + "!"


def traced(question):
    """The id of a trace that the store has whole."""
    chain(question)
    mlflow.flush_trace_async_logging()
    return mlflow.get_last_active_trace_id()


# ---- MLflow's client ----


def test_a_trace_comes_back_as_it_was(experiment):
    trace = mlflow.get_trace(traced("why"))
    root, child = trace.data.spans
    assert (trace.info.state, trace.info.experiment_id, trace.info.tags["team"], trace.info.tags["mlflow.traceName"]) == (
        "OK", experiment, "red", "chain")
    assert trace.info.tags["mlflow.trace.spansLocation"] == "TRACKING_STORE" and trace.info.request_preview == '{"question": "why"}'
    assert trace.info.execution_duration is not None and trace.info.trace_metadata["mlflow.trace.session"] == "s1"
    assert (root.name, root.span_type, root.parent_id, root.inputs, root.outputs) == ("chain", "CHAIN", None, {"question": "why"}, "why!")
    assert (child.name, child.span_type, child.parent_id, child.inputs, child.outputs) == (
        "look up", "RETRIEVER", root.span_id, {"q": "why"}, [1, 2.5, "drei"])
    assert child.get_attribute("nested") == {"x": [1, None, {"y": True}]} and child.get_attribute("n") == 3
    assert [(e.name, e.attributes) for e in child.events] == [("cache miss", {"k": 1})]
    assert child.start_time_ns >= root.start_time_ns and child.end_time_ns <= root.end_time_ns


def test_a_trace_that_raises_is_an_error(experiment):
    @mlflow.trace
    def fails():
        raise ValueError("no")

    with pytest.raises(ValueError):
        fails()
    mlflow.flush_trace_async_logging()
    trace = mlflow.get_trace(mlflow.get_last_active_trace_id())
    assert trace.info.state == "ERROR" and trace.data.spans[0].status.status_code == "ERROR"
    assert [e.name for e in trace.data.spans[0].events] == ["exception"]


@pytest.mark.parametrize("text, hit", [
    ("status = 'OK'", True), ("status IN ('ERROR', 'IN_PROGRESS')", False), ("name = 'chain'", True), ("trace.name LIKE 'ch%'", True),
    ("timestamp_ms > 5 AND execution_time_ms < 100000", True), ("end_time < 5", False), ("tags.team = 'red'", True), ("tags.team != 'red'", False),
    ("tags.nosuch IS NULL", True), ("metadata.`mlflow.trace.session` = 's1'", True), ("metadata.`mlflow.user` IS NOT NULL", True),
    ("span.name = 'look up' AND span.type = 'RETRIEVER'", True), ("span.status = 'ERROR'", False), ("span.attributes.n = '3'", True),
    ("span.attributes.model LIKE '%gpt%'", True), ("span.attributes.model = 'other'", False), ("trace.text LIKE '%drei%'", True),
    ("feedback.good > 0.5", True), ("feedback.good >= 0.9", False), ("feedback.nosuch IS NULL", True), ("expectation.answer = 'yes'", True),
    ("feedback.kind = 'true'", True), ("(name = 'x' OR tags.team = 'red') AND name != 'y'", True), ("request_id = 'nosuch'", False),
])
def test_filters(url, text, hit):
    experiment = mlflow.set_experiment("filters").experiment_id
    if not found(experiment):
        trace = traced("why")
        mlflow.log_feedback(trace_id=trace, name="good", value=0.75)
        mlflow.log_feedback(trace_id=trace, name="kind", value=True)
        mlflow.log_expectation(trace_id=trace, name="answer", value="yes")
    assert len(found(experiment, text)) == hit


@pytest.mark.parametrize("text, message", [
    ("span.nope = '1'", "Invalid span attribute 'nope'"), ("foo.bar = '1'", "Invalid entity type 'foo'"), ("status > 3", "Invalid comparator '>'"),
    ("feedback.x > 'a'", "Expected a numeric value for feedback"), ("prompt = 'x'", "Invalid prompts filter value 'x'"),
    ("name RLIKE 'x'", "Invalid comparator 'RLIKE'"), ("text = 'x'", "LIKE and ILIKE only"), ("timestamp_ms > 'a'", "Expected numeric value"),
])
def test_filters_that_are_refused(experiment, text, message):
    with pytest.raises(MlflowException, match=message) as told:
        found(experiment, text)
    assert told.value.error_code == "INVALID_PARAMETER_VALUE"


def test_pages_stay_right_while_traces_arrive(url, experiment):
    for i in range(25):
        start(url, experiment, f"tr-page{i:02}", started=f"2026-01-01T00:00:{i:02}Z", tags={"n": str(i % 5)})
    seen, token = [], None
    while True:
        page = mlflow.MlflowClient().search_traces([experiment], max_results=10, page_token=token, include_spans=False)
        seen += [t.info.trace_id for t in page]
        start(url, experiment, f"tr-new{len(seen)}", started="2026-01-01T01:00:00Z")
        token = page.token
        if not token:
            break
    assert seen == [f"tr-page{i:02}" for i in reversed(range(25))]
    assert found(experiment, "tags.n = '3'", order_by=["timestamp_ms ASC"]) == [f"tr-page{i:02}" for i in range(3, 25, 5)]
    assert found(experiment, order_by=["tags.n DESC", "request_id"], max_results=2) == ["tr-page04", "tr-page09"]
    assert found(experiment, order_by=["execution_time_ms", "timestamp_ms"], max_results=1) == ["tr-page00"]


def test_tags_change_and_go(url, experiment):
    client, trace = mlflow.MlflowClient(), traced("x")
    mlflow.set_trace_tag(trace, "stage", "a")
    mlflow.set_trace_tag(trace, "stage", "b")
    mlflow.set_trace_tag(trace, "mlflow.traceName", "renamed")
    assert mlflow.get_trace(trace).info.tags["stage"] == "b" and found(experiment, "name = 'renamed'") == [trace]
    mlflow.delete_trace_tag(trace, "stage")
    assert "stage" not in mlflow.get_trace(trace).info.tags
    with pytest.raises(MlflowException, match="No trace tag with key 'stage'"):
        client.delete_trace_tag(trace, "stage")
    ours = requests.patch(f"{url}/api/3.0/mlflow/traces/{trace}/tags", json={"key": "mlflow.trace.spansLocation", "value": "x"}, timeout=30)
    assert ours.status_code == 400 and "is immutable and cannot be set" in ours.json()["message"]
    with pytest.raises(MlflowException, match="Trace with ID 'tr-none' not found"):
        client.set_trace_tag("tr-none", "a", "b")


def test_assessments_are_logged_changed_overridden_and_deleted(experiment):
    trace = traced("x")
    first = mlflow.log_feedback(trace_id=trace, name="good", value=True, rationale="nice", source=AssessmentSource("HUMAN", "me"))
    assert (first.value, first.rationale, first.source.source_id, first.valid) == (True, "nice", "me", True)
    changed = mlflow.update_assessment(trace, first.assessment_id, Feedback(name="good", value=0.25, rationale="hm", metadata={"x": "y"}))
    assert (changed.value, changed.rationale, changed.metadata, changed.create_time_ms) == (0.25, "hm", {"x": "y"}, first.create_time_ms)
    second = mlflow.override_feedback(trace_id=trace, assessment_id=first.assessment_id, value=1.0)
    assert second.overrides == first.assessment_id and not mlflow.get_assessment(trace, first.assessment_id).valid
    expected = mlflow.log_expectation(trace_id=trace, name="answer", value={"a": [1, 2]})
    assert mlflow.get_assessment(trace, expected.assessment_id).value == {"a": [1, 2]}
    failed = mlflow.log_feedback(trace_id=trace, name="judge", error=ValueError("too slow"))
    assert mlflow.get_assessment(trace, failed.assessment_id).error.error_message == "too slow"
    assert [a.name for a in mlflow.get_trace(trace).info.assessments] == ["good", "good", "answer", "judge"]
    mlflow.delete_assessment(trace, second.assessment_id)
    assert mlflow.get_assessment(trace, first.assessment_id).valid
    with pytest.raises(MlflowException, match="not found for trace"):
        mlflow.get_assessment(trace, second.assessment_id)
    with pytest.raises(MlflowException, match="Trace with ID 'tr-none' not found"):
        mlflow.log_feedback(trace_id="tr-none", name="a", value=1)


def test_feedback_of_a_session_speaks_of_all_its_traces(experiment):
    one, other = traced("a"), traced("b")
    mlflow.log_feedback(trace_id=one, name="session good", value="yes", metadata={"mlflow.trace.session": "s1"})
    assert found(experiment, "feedback.`session good` = 'yes'") == [other, one]
    assert found(experiment, "feedback.`session good` IS NULL") == []


def test_traces_belong_to_runs_models_and_prompts(url, experiment):
    client = mlflow.MlflowClient()
    with mlflow.start_run() as run:
        inside = traced("in a run")
    later = traced("linked later")
    client.link_traces_to_run([later, "tr-none"], run.info.run_id)
    assert [t.info.trace_id for t in mlflow.search_traces(run_id=run.info.run_id, return_type="list")] == [later, inside]
    prompt = mlflow.genai.register_prompt("greeting", "Hello {{name}}") if hasattr(mlflow, "genai") else None
    client.link_prompt_versions_to_trace([prompt], later)
    assert found(experiment, "prompt = 'greeting/1'") == [later]
    model = mlflow.create_external_model(name="agent")
    with mlflow.start_span("with a model") as span:
        mlflow.update_current_trace(model_id=model.model_id)
    mlflow.flush_trace_async_logging()
    assert found(experiment, f"metadata.`mlflow.modelId` = '{model.model_id}'") == [span.trace_id]


def test_traces_are_deleted_with_all_that_hangs_off_them(url, experiment):
    client = mlflow.MlflowClient()
    first, second, third = traced("1"), traced("2"), traced("3")
    feedback = mlflow.log_feedback(trace_id=first, name="a", value=1)
    assert client.delete_traces(experiment, trace_ids=[first, "tr-none"]) == 1
    assert client.delete_traces(experiment, max_timestamp_millis=2**50, max_traces=1) == 1
    assert found(experiment) == [third] and client.delete_traces(experiment, trace_ids=[second]) == 0
    with pytest.raises(MlflowException, match="not found"):
        mlflow.get_assessment(first, feedback.assessment_id)
    for arguments in ({}, {"max_timestamp_millis": 5, "trace_ids": ["x"]}, {"trace_ids": ["x"], "max_traces": 1}):
        body = {"request_ids" if k == "trace_ids" else k: v for k, v in arguments.items()}
        assert requests.post(f"{url}/api/2.0/mlflow/traces/delete-traces", json={"experiment_id": experiment, **body}).status_code == 400


def test_an_attachment_goes_through_the_artifacts(experiment):
    with mlflow.start_span("drawing") as span:
        span.set_outputs({"image": mlflow.tracing.attachments.Attachment(content_bytes=b"\x89PNG", content_type="image/png")})
    mlflow.flush_trace_async_logging()
    output = mlflow.get_trace(span.trace_id).data.spans[0].outputs
    assert "mlflow-attachment" in json.dumps(output)


# ---- OpenTelemetry's exporter ----


@pytest.mark.parametrize("compression", list(Compression), ids=lambda c: c.name)
def test_opentelemetrys_exporter(url, experiment, compression):
    exporter = OTLPSpanExporter(f"{url}/v1/traces", headers={"x-mlflow-experiment-id": experiment}, compression=compression)
    provider = TracerProvider(resource=Resource.create({"service.name": "shop", "service.version": 3}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("t")
    with tracer.start_as_current_span("checkout", attributes={"session.id": "s9", "user.id": "ann", "tags": ["a", "b"]}) as span:
        with tracer.start_as_current_span("pay") as child:
            child.set_status(Status(StatusCode.ERROR, "declined"))
            child.add_event("retry", {"n": 2})
    provider.shutdown()
    trace = mlflow.get_trace(f"tr-{span.get_span_context().trace_id:032x}")
    assert [s.name for s in trace.data.spans] == ["checkout", "pay"] and trace.info.state == "OK"
    assert trace.info.tags["service.name"] == "shop" and trace.info.tags["service.version"] == "3" and "telemetry.sdk.name" not in trace.info.tags
    assert trace.info.trace_metadata["mlflow.trace.session"] == "s9" and trace.info.trace_metadata["mlflow.trace.user"] == "ann"
    assert trace.data.spans[0].get_attribute("tags") == ["a", "b"]
    assert (trace.data.spans[1].status.status_code, trace.data.spans[1].status.description) == ("ERROR", "declined")
    assert found(experiment, "tags.`service.name` = 'shop' AND span.status = 'ERROR'")[0] == trace.info.trace_id


# ---- requests by hand ----


def start(url, experiment, trace, started="2026-01-01T00:00:00Z", **more):
    info = {"trace_id": trace, "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}},
            "request_time": started, "execution_duration": "1.5s", "state": "OK", **more}
    return requests.post(f"{url}/api/3.0/mlflow/traces", json={"trace": {"trace_info": info}}, timeout=30)


def otlp(url, experiment, body, kind="application/json", **headers):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return requests.post(f"{url}/v1/traces", data=data, timeout=30,
                         headers={"Content-Type": kind, "x-mlflow-experiment-id": experiment, **headers})


def spans_of(*spans):
    return {"resourceSpans": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "s"}}]},
                               "scopeSpans": [{"scope": {"name": "x"}, "spans": list(spans)}]}]}


def span(span_id=ROOT, **more):
    return {"traceId": TRACE, "spanId": span_id, "name": "n", "startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": 1544712661000000000,
            **more}


def shown(url, trace, **more):
    return requests.get(f"{url}/api/3.0/mlflow/traces/get", params={"trace_id": trace, **more}, timeout=30)


def test_the_two_encodings_say_the_same(url, experiment):
    values = {"s": {"stringValue": "ü\x00"}, "b": {"boolValue": False}, "i": {"intValue": "-9007199254740993"}, "d": {"doubleValue": 0.1},
              "nan": {"doubleValue": "NaN"}, "raw": {"bytesValue": "AAEC"}, "none": {},
              "a": {"arrayValue": {"values": [{"intValue": 1}, {"kvlistValue": {"values": [{"key": "k", "value": {"boolValue": True}}]}}]}}}
    attributes = [{"key": k, "value": v} for k, v in values.items()]
    body = spans_of(span(attributes=attributes, status={"code": 2, "message": "m"}, kind=3,
                         events=[{"name": "e", "timeUnixNano": "5", "attributes": attributes[:1]}],
                         links=[{"traceId": "00" * 15 + "01", "spanId": "00" * 7 + "02", "attributes": attributes[:1]}]))
    answer = otlp(url, experiment, body)
    assert (answer.status_code, answer.headers["Content-Type"], answer.text) == (200, "application/json", "{}")
    by_json = shown(url, f"tr-{TRACE}").json()["trace"]["spans"]
    message = ExportTraceServiceRequest()
    for field in ("traceId", "spanId"):
        body["resourceSpans"][0]["scopeSpans"][0]["spans"][0][field] = base64.b64encode(
            bytes.fromhex(body["resourceSpans"][0]["scopeSpans"][0]["spans"][0][field])).decode()
        link = body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["links"][0]
        link[field] = base64.b64encode(bytes.fromhex(link[field])).decode()
    from google.protobuf.json_format import ParseDict
    ParseDict(body, message)
    answer = otlp(url, experiment, message.SerializeToString(), "application/x-protobuf")
    assert (answer.status_code, answer.headers["Content-Type"], answer.content) == (200, "application/x-protobuf", b"")
    by_proto = shown(url, f"tr-{TRACE}").json()["trace"]["spans"]
    assert by_proto == by_json and by_json[0]["attributes"][2] == {"key": "i", "value": {"int_value": -9007199254740993}}
    assert by_json[0]["attributes"][-1]["value"] == {"string_value": f"tr-{TRACE}"} and by_json[0]["start_time_unix_nano"] == 1544712660000000000


def test_spans_come_in_any_order_and_before_their_trace(url, experiment):
    trace = f"tr-{TRACE}"
    requests.post(f"{url}/api/3.0/mlflow/traces/delete-traces", json={"experiment_id": mlflow.get_experiment_by_name(
        "test_the_two_encodings_say_the_same").experiment_id, "request_ids": [trace]})
    assert otlp(url, experiment, spans_of(span(CHILD, parentSpanId=ROOT, endTimeUnixNano=1544712665000000000))).status_code == 200
    info = shown(url, trace, allow_partial="true").json()["trace"]["trace_info"]
    assert (info["state"], info["request_time"], info["execution_duration"]) == ("IN_PROGRESS", "2018-12-13T14:51:00Z", "5s")
    attributes = [{"key": "mlflow.traceRequestId", "value": {"stringValue": "tr-forged"}}, {"key": "mlflow.traceTag.who", "value": {"stringValue": "me"}},
                  {"key": "mlflow.spanInputs", "value": {"stringValue": "in"}}]
    assert otlp(url, experiment, spans_of(span(startTimeUnixNano=1544712659000000000, attributes=attributes))).status_code == 200
    told = shown(url, trace).json()["trace"]
    assert [s["name"] for s in told["spans"]] == ["n", "n"] and "parent_span_id" not in told["spans"][0]
    assert (told["trace_info"]["state"], told["trace_info"]["execution_duration"], told["trace_info"]["tags"]["who"]) == ("OK", "6s", "me")
    assert told["trace_info"]["request_preview"] == '"in"' and told["spans"][0]["attributes"][0]["value"]["string_value"] == trace
    assert start(url, experiment, trace, tags={"who": "you"}, execution_duration="2s").status_code == 200
    info = shown(url, trace).json()["trace"]["trace_info"]
    assert info["tags"]["who"] == "you" and info["execution_duration"] == "2s" and info["request_time"] == "2026-01-01T00:00:00Z"
    assert otlp(url, experiment, spans_of(span(CHILD, parentSpanId=ROOT, name="again"))).status_code == 200
    told = shown(url, trace).json()["trace"]
    assert told["trace_info"]["execution_duration"] == "2s" and [s["name"] for s in told["spans"]] == ["n", "again"]


def test_a_trace_that_is_not_whole_is_waited_for_and_then_refused(url, experiment):
    start(url, experiment, "tr-partial", trace_metadata={"mlflow.trace.sizeStats": '{"num_spans": 2}'})
    answer = shown(url, "tr-partial")
    assert answer.status_code == 404 and "not fully exported yet" in answer.json()["message"]
    assert shown(url, "tr-partial", allow_partial="true").status_code == 200
    batch = requests.get(f"{url}/api/3.0/mlflow/traces/batchGet", params={"trace_ids": ["tr-partial", "tr-none"]}, timeout=30)
    assert batch.json() == {"traces": []}
    infos = requests.post(f"{url}/api/3.0/mlflow/traces/batchGetInfos", json={"trace_ids": ["tr-partial", "tr-none"]}, timeout=30)
    assert [i["trace_id"] for i in infos.json()["trace_infos"]] == ["tr-partial"]


def deep(levels):
    value = {"intValue": 1}
    for _ in range(levels):
        value = {"arrayValue": {"values": [value]}}
    return spans_of(span(attributes=[{"key": "a", "value": value}]))


@pytest.mark.parametrize("body, kind, headers, status", [
    (b"\xff\xff", "application/x-protobuf", {}, 400), (b"", "application/x-protobuf", {}, 400), (b"{", "application/json", {}, 400),
    ({}, "application/json", {}, 400), (spans_of(span()), "text/plain", {}, 400), (spans_of({"name": "no ids"}), "application/json", {}, 400),
    (spans_of(span(traceId="zz" * 16)), "application/json", {}, 400), (spans_of(span(traceId="00")), "application/json", {}, 400),
    (spans_of(span(parentSpanId="1")), "application/json", {}, 400), (spans_of(span(startTimeUnixNano="x")), "application/json", {}, 400),
    (spans_of(span(startTimeUnixNano=2**63)), "application/json", {}, 400), (deep(31), "application/json", {}, 400),
    (spans_of(span(attributes=[{"key": "a", "value": {"intValue": "x"}}])), "application/json", {}, 400),
    (spans_of(span()), "application/json", {"Content-Encoding": "gzip"}, 400), (spans_of(span()), "application/json", {"Content-Encoding": "br"}, 400),
    (gzip.compress(b"{" * 10, mtime=0) + b"more", "application/json", {"Content-Encoding": "gzip"}, 400),
    (gzip.compress(bytes(40 << 20), mtime=0), "application/json", {"Content-Encoding": "gzip"}, 413),
    (spans_of(span()), "application/json", {"x-mlflow-experiment-id": "99"}, 404), (spans_of(span()), "application/json", {"x-mlflow-run-id": "nosuch"}, 404),
    (deep(5), "application/json", {}, 200), (zlib.compress(json.dumps(spans_of(span())).encode()), "application/json", {"Content-Encoding": "deflate"}, 200),
    (zlib.compress(json.dumps(spans_of(span())).encode(), wbits=-15), "application/json", {"Content-Encoding": "deflate"}, 200),
])
def test_bodies_that_are_hostile_or_odd(url, experiment, body, kind, headers, status):
    answer = otlp(url, experiment, body, kind, **headers)
    assert answer.status_code == status, answer.text


def test_spans_without_an_experiment_say_how_to_name_one(url):
    answer = requests.post(f"{url}/v1/traces", data=b"", headers={"Content-Type": "application/x-protobuf"}, timeout=30)
    assert answer.status_code == 422 and "x-mlflow-experiment-id" in answer.json()["message"]


@pytest.mark.parametrize("change, status", [
    ({"trace_id": "../../etc"}, 400), ({"trace_id": "a" * 129}, 400), ({"trace_id": ""}, 400), ({"request_time": "yesterday"}, 400),
    ({"execution_duration": "long"}, 400), ({"execution_duration": "1e300s"}, 400), ({"state": "GONE"}, 400), ({"tags": {"../x": "1"}}, 400),
    ({"tags": {"a": 1}}, 400), ({"tags": []}, 400), ({"trace_location": {}}, 400), ({"assessments": [{"assessment_name": "a"}]}, 400),
    ({"trace_location": {"mlflow_experiment": {"experiment_id": "4711"}}}, 404), ({"state": 1, "execution_duration": "0.25s"}, 200),
    ({"assessments": [{"assessment_name": "a", "feedback": {"value": 1}}]}, 200),
])
def test_traces_as_clients_might_say_them(url, experiment, change, status):
    answer = start(url, experiment, "tr-said", **change) if "trace_id" not in change else start(url, experiment, **{"trace": change["trace_id"]})
    assert answer.status_code == status, answer.text
    if status == 200:
        assert answer.json()["trace"]["trace_info"]["state"] == "OK"


def test_version_two_starts_ends_and_searches(url, experiment):
    v2 = f"{url}/api/2.0/mlflow/traces"
    pair = lambda k, v: [{"key": k, "value": v}]
    begun = requests.post(v2, json={"experiment_id": experiment, "timestamp_ms": 1000, "request_metadata": pair("m", "1"),
                                    "tags": pair("mlflow.traceName", "old")}, timeout=30).json()["trace_info"]
    assert begun["status"] == "IN_PROGRESS" and begun["timestamp_ms"] == 1000 and begun["execution_time_ms"] == 0
    trace = begun["request_id"]
    ended = requests.patch(f"{v2}/{trace}", json={"timestamp_ms": 1500, "status": "OK", "tags": pair("t", "1")}, timeout=30).json()["trace_info"]
    assert ended["status"] == "OK" and ended["execution_time_ms"] == 500 and {"key": "t", "value": "1"} in ended["tags"]
    assert requests.get(f"{v2}/{trace}/info", timeout=30).json()["trace_info"] == ended
    page = requests.get(v2, params={"experiment_ids": [experiment], "filter": "name = 'old'", "max_results": 5}, timeout=30).json()
    assert page["traces"] == [ended]
    assert requests.patch(f"{v2}/tr-none", json={"timestamp_ms": 1, "status": "OK"}, timeout=30).status_code == 404
    assert requests.get(v2, params={"experiment_ids": [experiment], "max_results": 501}, timeout=30).status_code == 400
