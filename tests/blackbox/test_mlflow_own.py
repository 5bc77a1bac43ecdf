"""Runs and models of `sluice run` as MLflow's unmodified client sees them: one store for both."""
import mlflow
import numpy as np
import pytest
import xgboost
from mlflow import MlflowClient

YAML = """
project: tiny
params: {rounds: 5, note: plain text}
sources: {rows: data/rows.csv}
steps:
  fit:
    train: {algorithm: xgboost, data: rows, validation: "n % 5 = 0", target: y, features: [a, b], rounds: $rounds, max_depth: 2, eval_metric: [logloss]}
  report: {run: [python3, report.py, $note], inputs: [rows], outputs: {page: out/page.txt}}
models:
  kinds: {from: fit, gate: ["auc >= 0.5"], promote: auto}
"""

pytestmark = [pytest.mark.slow, pytest.mark.plain]


@pytest.fixture
def trained(project):
    rows = ["a,b,y,n"] + [f"{n % 7},{n % 11},{int(n % 7 > 3)},{n}" for n in range(500)]
    project.write("data/rows.csv", "\n".join(rows) + "\n")
    project.write("report.py", "import os, pathlib; pathlib.Path(os.environ['SLUICE_OUTPUT_page']).write_text('well')")
    project.write("sluice.yaml", YAML)
    project.sluice("init")
    project.sluice("run")
    return project


@pytest.fixture
def client(trained, monkeypatch):
    with trained.up() as server:
        mlflow.set_tracking_uri(server.url)
        yield MlflowClient(server.url)
        mlflow.set_tracking_uri(None)


def one(client, name):
    found = client.search_runs(["0"], f"attributes.run_name = '{name}'")
    assert len(found) == 1
    return found[0]


def test_a_run_of_ours_is_a_run_of_mlflow(client, tmp_path):
    fit, report = one(client, "fit"), one(client, "report")
    assert fit.info.status == report.info.status == "FINISHED" and fit.info.end_time >= fit.info.start_time
    assert fit.data.params == {"rounds": "5"} and report.data.params["note"] == "plain text"
    assert fit.data.tags["sluice.kind"] == "train" and fit.data.tags["mlflow.parentRunId"] == report.data.tags["mlflow.parentRunId"]
    history = client.get_metric_history(fit.info.run_id, "validation_logloss")
    assert len(history) == 5 and history[-1].value == fit.data.metrics["validation_logloss"] < history[0].value
    assert [d.dataset.name for d in fit.inputs.dataset_inputs] == ["rows"]
    found = client.search_runs(["0"], f"params.rounds = '5' and metrics.validation_logloss <= {history[-1].value} and tags.`sluice.kind` = 'train'")
    assert [r.info.run_id for r in found] == [fit.info.run_id]
    assert [f.path for f in client.list_artifacts(report.info.run_id)] == ["out"]
    page = mlflow.artifacts.download_artifacts(run_id=report.info.run_id, artifact_path="out/page.txt", dst_path=tmp_path)
    assert open(page).read() == "well"


def test_a_model_of_ours_is_in_mlflows_registry_and_loads(client, trained):
    version = client.get_model_version_by_alias("kinds", "champion")
    assert version.version == "1" and version.run_id == one(client, "fit").info.run_id and version.tags == {"sluice.status": "ready"}
    booster = mlflow.xgboost.load_model("models:/kinds@champion")
    rows = np.array([[1, 2], [6, 3]])
    answers = booster.predict(xgboost.DMatrix(rows, feature_names=["a", "b"]))
    assert answers[0] < 0.5 < answers[1]
    trained.sluice("run", "kinds", "rounds=6")
    assert client.get_model_version_by_alias("kinds", "champion").version == "2"
    trained.sluice("rollback", "kinds")
    assert client.get_model_version_by_alias("kinds", "champion").version == "1"
    trained.sluice("verify")


def test_a_client_may_log_its_own_value_over_a_parameter_once(client):
    run = one(client, "report").info.run_id
    client.log_param(run, "note", "another")
    assert client.get_run(run).data.params["note"] == "another"
    with pytest.raises(mlflow.exceptions.MlflowException, match="Changing param values is not allowed"):
        client.log_param(run, "note", "a third")
