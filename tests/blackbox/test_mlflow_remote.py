"""`sluice import mlflow URL` and `export mlflow URL`: everything, from and to a running tracking server by its REST protocol. The server is `sluice mlflow`, and MLflow's own
where SLUICE_TEST_MLFLOW names its program (the whole package; the tests' environment has the client only)."""
import contextlib
import math
import os
import signal
import socket
import subprocess
import time

import mlflow
import numpy as np
import pytest
import requests
import xgboost
from mlflow import MlflowClient
from mlflow.entities import Metric

from conftest import wait_until
from mlflow_server import serving

X = np.array([[i % 7, i % 11] for i in range(200)], dtype=np.float32)
THEIRS = os.environ.get("SLUICE_TEST_MLFLOW")

pytestmark = [pytest.mark.slow, pytest.mark.plain]


def is_up(url):
    with contextlib.suppress(requests.ConnectionError):
        return requests.get(url + "/health", timeout=5).ok
    return False


@contextlib.contextmanager
def mlflow_server(folder):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [THEIRS, "server", "--port", str(port), "--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination",
               str(folder / "artifacts")]
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_until(lambda: is_up(f"http://127.0.0.1:{port}"), seconds=120, what="MLflow's server")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(params=["sluice"] + (["mlflow"] if THEIRS else []))
def server(program, request, tmp_path):
    folder = tmp_path / "server"
    folder.mkdir()
    with (serving if request.param == "sluice" else mlflow_server)(folder) as url:
        mlflow.set_tracking_uri(url)
        yield url
        mlflow.set_tracking_uri(None)


def fill(client):
    mlflow.set_experiment("first")
    booster = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(X, X[:, 0] > 3, feature_names=["a", "b"]), 3)
    with mlflow.start_run(run_name="parent", tags={"stage": "try"}) as run:
        mlflow.log_params({"depth": 3, "group/rate": 0.1})
        for k in range(0, 3000, 1000):
            client.log_batch(run.info.run_id, [Metric("train/loss", 1 / (i + 1), 1000 + i, i) for i in range(k, k + 1000)])
        mlflow.log_metric("nan", math.nan)
        mlflow.log_text("hello", "notes/deep/a b.txt")
        mlflow.log_input(mlflow.data.from_numpy(X, name="data"), context="training")
        mlflow.xgboost.log_model(booster, name="model", model_format="ubj", registered_model_name="churn", pip_requirements=[])
    with mlflow.start_run(run_name="gone") as gone:
        pass
    client.delete_run(gone.info.run_id)
    running = client.create_run("0", run_name="under way")
    for _ in range(2):
        client.create_model_version("churn", run.info.artifact_uri + "/notes", run.info.run_id, tags={"t": "u"})
    client.delete_model_version("churn", "2")
    client.set_registered_model_alias("churn", "champion", 1)
    return run.info.run_id, gone.info.run_id, running.info.run_id, booster


def counts(project, *arguments):
    result = project.json(*arguments)
    return result, {row["what"]: (row["read"], row["there"]) for row in result["counts"]}


def test_a_running_server_comes_over_whole_and_once(server, project, tmp_path):
    run, gone, running, booster = fill(MlflowClient(server))
    project.write("sluice.yaml", "project: x\n")
    project.sluice("init")
    result, first = counts(project, "import", "mlflow", server)
    assert first["runs"] == (3, 3) and first["metric points"] == (3001, 3001) and first["parameters"] == (2, 2) and first["logged models"] == (1, 1)
    assert first["model versions"] == (2, 2) and first["artifacts"][0] == first["artifacts"][1] >= 4 and result["runs_new"] == 3
    again, second = counts(project, "import", "mlflow", server)
    assert (again["runs_new"], again["runs_complete_before"]) == (0, 2) and second["metric points"] == (0, 3001) and second["artifacts"] == (0, 0)
    with project.up() as here:
        client = MlflowClient(here.url)
        got = client.get_run(run)
        assert got.data.params == {"depth": "3", "group/rate": "0.1"} and got.data.tags["stage"] == "try" and math.isnan(got.data.metrics["nan"])
        assert [m.value for m in client.get_metric_history(run, "train/loss")] == [1 / (i + 1) for i in range(3000)]
        assert [d.dataset.name for d in got.inputs.dataset_inputs] == ["data"] and len(got.outputs.model_outputs) == 1
        assert client.get_run(gone).info.lifecycle_stage == "deleted" and client.get_run(running).info.status == "RUNNING"
        mlflow.set_tracking_uri(here.url)
        path = mlflow.artifacts.download_artifacts(run_id=run, artifact_path="notes/deep/a b.txt", dst_path=tmp_path)
        assert open(path).read() == "hello"
        assert {v.version for v in client.search_model_versions("name='churn'")} == {"1", "3"}
        loaded = mlflow.xgboost.load_model("models:/churn@champion")
        matrix = xgboost.DMatrix(X[:5], feature_names=["a", "b"])
        assert np.array_equal(loaded.predict(matrix), booster.predict(matrix))
    assert project.json("promote", "churn@1")["version"] == 1
    project.sluice("verify")


def test_everything_goes_out_whole_and_once(server, project, tmp_path):
    project.write("sluice.yaml", "project: x\n")
    project.sluice("init")
    with project.up() as here:
        mlflow.set_tracking_uri(here.url)
        run, gone, running, booster = fill(MlflowClient(here.url))
        child = MlflowClient(here.url).create_run("0", run_name="child", tags={"mlflow.parentRunId": running}).info.run_id
    mlflow.set_tracking_uri(server)
    result = project.json("export", "mlflow", server)
    sent = {row["what"]: (row["here"], row["there"]) for row in result["counts"]}
    assert sent["runs"] == (4, 4) and sent["metrics sent"] == (2, 2) and sent["model versions"] == (2, 2) and sent["logged models"] == (1, 1)
    assert (result["runs_new"], result["refused"]) == (4, 0)
    again = project.json("export", "mlflow", server)
    assert (again["runs_new"], again["runs_complete_before"]) == (0, 4)
    client = MlflowClient(server)
    ids = [e.experiment_id for e in client.search_experiments()]
    found = {r.data.tags["sluice.run_id"]: r for r in client.search_runs(ids, run_view_type=mlflow.entities.ViewType.ALL)}
    assert set(found) == {run, gone, running, child}
    there = found[run]
    assert there.data.params == {"depth": "3", "group/rate": "0.1"} and there.info.status == "FINISHED" and there.info.run_name == "parent"
    assert [m.value for m in client.get_metric_history(there.info.run_id, "train/loss")] == [1 / (i + 1) for i in range(3000)]
    assert math.isnan(there.data.metrics["nan"]) and [d.dataset.name for d in there.inputs.dataset_inputs] == ["data"]
    assert found[gone].info.lifecycle_stage == "deleted" and found[running].info.status == "RUNNING"
    assert found[child].data.tags["mlflow.parentRunId"] == found[running].info.run_id
    path = mlflow.artifacts.download_artifacts(run_id=there.info.run_id, artifact_path="notes/deep/a b.txt", dst_path=tmp_path)
    assert open(path).read() == "hello"
    assert {(v.version, v.run_id) for v in client.search_model_versions("name='churn'")} == {("1", there.info.run_id), ("3", there.info.run_id)}
    loaded = mlflow.xgboost.load_model("models:/churn@champion")
    matrix = xgboost.DMatrix(X[:5], feature_names=["a", "b"])
    assert np.array_equal(loaded.predict(matrix), booster.predict(matrix))


def test_what_is_no_server_is_refused_plainly(project):
    project.write("sluice.yaml", "project: x\n")
    project.sluice("init")
    assert "is no address of a server" in project.sluice("import", "mlflow", "http://", status=2).stderr
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        started = time.monotonic()
        assert "127.0.0.1" in project.sluice("import", "mlflow", f"http://127.0.0.1:{nobody.getsockname()[1]}", status=3).stderr
        assert time.monotonic() - started < 60


def test_a_server_that_died_in_the_middle_is_taken_up_again(project, tmp_path):
    """Killed after some of its runs were read; with the server back the same command brings the rest."""
    folder = tmp_path / "server"
    folder.mkdir()
    project.write("sluice.yaml", "project: x\n")
    project.sluice("init")
    with serving(folder) as url:
        client = MlflowClient(url)
        ids = [client.create_run("0").info.run_id for _ in range(60)]
        for run in ids:
            client.log_metric(run, "m", 1.5, timestamp=1, step=1)
            client.set_terminated(run)
        killed, _ = project.start("import", "mlflow", url)
        wait_until(lambda: project.json("sql", "select count(*) as n from runs")["items"][0]["n"] >= 10, what="some runs")
        killed.kill()
        killed.wait()
        result, found = counts(project, "import", "mlflow", url)
        assert found["runs"] == (60, 60) and found["metric points"][1] == 60 and result["runs_complete_before"] >= 9
