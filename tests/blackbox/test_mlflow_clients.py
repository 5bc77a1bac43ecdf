"""Other clients than Python's newest, unmodified where they can be had: Java's, Python's version 2; and requests as R's and TypeScript's clients make them."""
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

import mlflow
import pytest
import requests

from mlflow_server import serving

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLIENTS = ROOT / "tests" / "clients"
REPOSITORY = pathlib.Path.home() / ".m2" / "repository"
VERSION_TWO = ROOT / "third_party" / "venv-mlflow2" / "bin" / "python"


@pytest.fixture
def url(program, tmp_path):
    with serving(tmp_path) as url:
        yield url


def call(argv, **options):
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=240, **options)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


# ---- Java ----


def jars(tmp_path):
    """The client's jars, fetched by Maven unless they are there, with the checksums that are locked."""
    locked = [line.split() for line in (CLIENTS / "java" / "jars.sha256").read_text().splitlines()]
    paths = [REPOSITORY / name for _, name in locked]
    if not all(path.exists() for path in paths):
        call(["mvn", "-q", "-B", "-C", "-f", CLIENTS / "java" / "pom.xml", "dependency:build-classpath", f"-Dmdep.outputFile={tmp_path}/classpath"])
    for (wanted, _), path in zip(locked, paths):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == wanted, path
    return ":".join(map(str, paths))


@pytest.mark.slow
@pytest.mark.plain
@pytest.mark.skipif(not (shutil.which("mvn") and shutil.which("javac")), reason="Maven or a JDK is not installed")
def test_javas_client(url, tmp_path):
    api = f"{url}/api/2.0/mlflow"
    assert requests.post(f"{api}/registered-models/create", json={"name": "m"}, timeout=30).status_code == 200
    assert requests.post(f"{api}/model-versions/create", json={"name": "m", "source": "s3://bucket/m"}, timeout=30).status_code == 200
    classpath = jars(tmp_path)
    call(["javac", "-nowarn", "-d", tmp_path, "-cp", classpath, CLIENTS / "java" / "Client.java"])
    steps = call(["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", f"{tmp_path}:{classpath}", "Client", url, "m"]).split()
    assert steps == ["experiment", "missing", "list", "refused", "run", "tags", "history", "end", "deleted", "pages", "filter", "nested", "version",
                     "source", "search"]


# ---- Python, version 2 ----


@pytest.mark.slow
@pytest.mark.plain
@pytest.mark.skipif(not VERSION_TWO.exists(), reason="third_party/venv-mlflow2 is not there (tools/deps/deps.sh --tests makes it)")
def test_version_two_of_pythons_client(url, tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    assert "as it should be" in call([VERSION_TWO, CLIENTS / "mlflow2.py", url], cwd=tmp_path, env=environment)


# ---- Python's newest, in whole trainings ----


@pytest.mark.slow
@pytest.mark.plain
def test_trainings_that_log_by_themselves(url, tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    assert "as it should be" in call([sys.executable, CLIENTS / "training.py", url], cwd=tmp_path, env=environment)


# ---- R: every number and every truth is a text, version 2.0 only, exactly 200 (mlflow/R/mlflow/R/tracking-rest.R) ----


def r_post(url, path, **body):
    answer = requests.post(f"{url}/api/2.0/mlflow/{path}", json=body, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


def r_get(url, path, **query):
    answer = requests.get(f"{url}/api/2.0/mlflow/{path}", params=query, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_requests_in_rs_manner(url):
    experiment = r_post(url, "experiments/create", name="r", tags=[{"key": "a", "value": "1"}])["experiment_id"]
    run = r_post(url, "runs/create", experiment_id=experiment, user_id="me", start_time="1700000000000", tags=[])["run"]["info"]
    assert run["start_time"] == 1700000000000
    for step in ("0", "1", "2"):
        r_post(url, "runs/log-metric", run_uuid=run["run_id"], run_id=run["run_id"], key="m", value="0.5", timestamp="1700000000000", step=step)
    r_post(url, "runs/log-metric", run_id=run["run_id"], key="n", value="NaN", timestamp="1700000000001", step="1")
    r_post(url, "runs/log-batch", run_id=run["run_id"], metrics=[{"key": "b", "value": "1e-3", "timestamp": "1700000000000", "step": "-4"}],
           params=[{"key": "p", "value": "1"}], tags=[{"key": "t", "value": "TRUE"}])
    assert r_get(url, "metrics/get-history", run_uuid=run["run_id"], run_id=run["run_id"], metric_key="m")["metrics"][2] == {
        "key": "m", "value": 0.5, "timestamp": 1700000000000, "step": 2}
    r_post(url, "runs/update", run_uuid=run["run_id"], run_id=run["run_id"], status="FINISHED", end_time="1700000001000")
    found = r_post(url, "runs/search", experiment_ids=[experiment], filter="metrics.b < 0.01", run_view_type="ACTIVE_ONLY", max_results="10", order_by=[])
    assert [r["info"]["run_id"] for r in found["runs"]] == [run["run_id"]] and found["runs"][0]["info"]["end_time"] == 1700000001000
    assert r_get(url, "runs/get", run_uuid=run["run_id"], run_id=run["run_id"])["run"]["data"]["tags"][1] == {"key": "t", "value": "TRUE"}
    r_post(url, "registered-models/create", name="model", tags=[], description="")
    version = r_post(url, "model-versions/create", name="model", source="s3://b/m", run_id="", tags=[], run_link="", description="")["model_version"]
    r_post(url, "model-versions/transition-stage", name="model", version=version["version"], stage="Staging", archive_existing_versions="false")
    assert r_post(url, "registered-models/get-latest-versions", name="model", stages=["Staging"])["model_versions"][0]["version"] == "1"
    listed = r_get(url, "experiments/search", view_type="ACTIVE_ONLY", max_results="5", filter="name = 'r'")
    assert [e["experiment_id"] for e in listed["experiments"]] == [experiment]


# ---- TypeScript: the trace, then its spans as an artifact (libs/typescript/core/src/exporters/mlflow.ts) ----


def test_requests_in_typescripts_manner(url):
    experiment = requests.post(f"{url}/api/2.0/mlflow/experiments/create", json={"name": "ts"}, timeout=30).json()["experiment_id"]
    trace = "tr-5b8efff798038103d269b633813fc60c"
    info = {"trace_id": trace, "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}},
            "request_preview": '{"city":"Rome"}', "response_preview": '"sunny"', "request_time": "2025-06-15T14:07:41.282Z", "execution_duration": "0.067s",
            "state": "OK", "trace_metadata": {"mlflow.trace_schema.version": "3"}, "tags": {"mlflow.traceName": "weather"}, "assessments": []}
    made = requests.post(f"{url}/api/3.0/mlflow/traces", json={"trace": {"trace_info": info}}, timeout=30).json()["trace"]["trace_info"]
    assert made["request_time"] == info["request_time"] and made["execution_duration"] == "0.067s"
    place = made["tags"]["mlflow.artifactLocation"].removeprefix("mlflow-artifacts:/")
    spans = {"spans": [{"trace_id": "W47/95gDgQPSabYzgT/GDA==", "span_id": "7uGbfsPBsXQ=", "parent_span_id": "", "name": "weather",
                        "start_time_unix_nano": 1749996461282000000, "end_time_unix_nano": 1749996461349000000, "events": [],
                        "status": {"code": "STATUS_CODE_OK", "message": ""},
                        "attributes": {"mlflow.traceRequestId": f'"{trace}"', "mlflow.spanType": '"TOOL"', "mlflow.spanInputs": '{"city":"Rome"}'}}]}
    file = f"{url}/api/2.0/mlflow-artifacts/artifacts/{place}/traces.json"
    assert requests.put(file, json=spans, timeout=30).status_code == 200 and requests.get(file, timeout=30).json() == spans
    assert requests.get(f"{url}/api/3.0/mlflow/traces/{trace}", timeout=30).json()["trace"]["trace_info"] == made
    mlflow.set_tracking_uri(url)
    read = mlflow.get_trace(trace).data.spans[0]
    assert (read.name, read.span_type, read.inputs) == ("weather", "TOOL", {"city": "Rome"})
    assert len(mlflow.search_traces([experiment], return_type="list")[0].data.spans) == 1
    mlflow.set_tracking_uri(None)
