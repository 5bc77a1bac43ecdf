"""What MLflow's users have asked for and its protocol does not have: runs moved, erased for good, a folder of artifacts as one archive."""
import io
import pathlib
import tarfile

import mlflow
import pytest
import requests
from mlflow import MlflowClient
from mlflow.entities import Metric

from conftest import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.plain]


@pytest.fixture
def server(project):
    project.write("sluice.yaml", "project: x\n")
    project.sluice("init")
    with project.up() as server:
        mlflow.set_tracking_uri(server.url)
        yield server
        mlflow.set_tracking_uri(None)


def test_runs_move_between_experiments(server, project):
    client = MlflowClient()
    mlflow.set_experiment("first")
    with mlflow.start_run() as run:
        mlflow.log_metric("acc", 0.5)
        mlflow.log_text("hello", "a/b.txt")
        mlflow.log_input(mlflow.data.from_numpy(__import__("numpy").zeros((2, 2)), name="data"))
    assert "--create makes it" in project.sluice("move", run.info.run_id, "--to", "best", status=2).stderr
    told = project.json("move", run.info.run_id, "--to", "best", "--create")
    found = client.search_runs([told["experiment_id"]], "metrics.acc > 0.4 and dataset.name = 'data'", order_by=["metrics.acc"])
    assert [r.info.run_id for r in found] == [run.info.run_id] and found[0].info.experiment_id == told["experiment_id"]
    assert client.search_runs([run.info.experiment_id]) == []
    assert mlflow.artifacts.load_text(found[0].info.artifact_uri + "/a/b.txt") == "hello"
    client.delete_experiment(run.info.experiment_id)
    assert project.sluice("move", run.info.run_id, "--to", "first", status=2).stderr.count("in the bin") == 1
    project.sluice("verify")


def test_what_is_erased_is_gone_and_its_space_comes_back(server, project):
    client = MlflowClient()
    runs = [client.create_run("0") for _ in range(3)]
    for i, run in enumerate(runs):
        client.log_batch(run.info.run_id, [Metric("m", s, 1, s) for s in range(100)])
        client.log_text(run.info.run_id, f"only here {i}" * 1000, "x.txt")
    first, second, third = (r.info.run_id for r in runs)
    assert "is not in the bin" in project.sluice("erase", first, "--yes", status=2).stderr
    for run in (first, second):
        client.delete_run(run)
    assert project.json("erase", "--bin") == {"erased": False, "runs": 2, "points": 200, "kept": 0, "next": "--yes erases them"}
    assert client.get_run(first).info.lifecycle_stage == "deleted"
    assert project.json("erase", "--bin", "--after", "1d", "--yes")["runs"] == 0
    assert project.json("erase", first, "--yes")["points"] == 100 and project.json("erase", "--bin", "--yes")["runs"] == 1
    for run in (first, second):
        with pytest.raises(mlflow.exceptions.MlflowException, match="not found"):
            client.get_run(run)
    assert project.json("gc", "--yes")["unreferenced"] >= 2
    assert mlflow.artifacts.load_text(client.get_run(third).info.artifact_uri + "/x.txt").startswith("only here 2")
    entries = project.json("sql", "select count(*) as n from ledger where action = 'logged.erase'")["items"][0]["n"]
    assert entries == 2
    project.sluice("verify")


def test_what_a_version_came_from_stays(server, project):
    client = MlflowClient()
    run = client.create_run("0")
    client.log_text(run.info.run_id, "x", "model/x.txt")
    client.create_registered_model("m")
    client.create_model_version("m", run.info.artifact_uri + "/model", run.info.run_id)
    client.delete_run(run.info.run_id)
    assert "version 1 of 'm' came from" in project.sluice("erase", run.info.run_id, "--yes", status=2).stderr
    assert project.json("erase", "--bin", "--yes")["kept"] == 1


def peak(pid):
    return int(next(l for l in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if l.startswith("VmHWM")).split()[1])


def test_a_folder_comes_as_one_archive_in_constant_memory(server, project, tmp_path):
    client = MlflowClient()
    run = client.create_run("0").info.run_id
    long = "/".join(["a folder with a long name"] * 6) + "/ünïcode.txt"
    client.log_text(run, "in deep", "plots/" + long)
    client.log_text(run, "", "plots/empty.txt")
    client.log_text(run, "not in it", "other.txt")
    big = tmp_path / "big.bin"
    with big.open("wb") as f:
        for i in range(64):
            f.write(bytes([i]) * (1 << 20))
    client.log_artifact(run, str(big), "plots")
    before = peak(server.role_pid("mlflow"))
    answer = requests.get(f"{server.url}/get-artifact-archive?run_id={run}&path=plots", timeout=60)
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/x-tar"
    assert peak(server.role_pid("mlflow")) - before < 16 << 10
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
        members = {m.name: m for m in tar}
        assert set(members) == {"plots/" + long, "plots/empty.txt", "plots/big.bin"}
        assert tar.extractfile(members["plots/" + long]).read() == b"in deep" and tar.extractfile(members["plots/big.bin"]).read() == big.read_bytes()
    whole = requests.get(f"{server.url}/get-artifact-archive?run_id={run}", timeout=60)
    assert {"artifacts/other.txt", "artifacts/plots/empty.txt"} < set(tarfile.open(fileobj=io.BytesIO(whole.content)).getnames())
    assert requests.get(f"{server.url}/get-artifact-archive?run_id={run}&path=other.txt", timeout=60).status_code == 400
    assert requests.get(f"{server.url}/get-artifact-archive?run_id={run}&path=nothing", timeout=60).status_code == 404
    assert requests.get(f"{server.url}/get-artifact-archive?run_id={run}&path=../x", timeout=60).status_code == 400
    with requests.get(f"{server.url}/get-artifact-archive?run_id={run}", stream=True, timeout=60) as cut:
        next(cut.iter_content(1000))  # a client that goes away in the middle
    wait_until(lambda: requests.get(f"{server.url}/health", timeout=5).ok, what="the server, still there")
