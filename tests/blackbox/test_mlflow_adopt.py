"""Models that MLflow's unmodified client logged and registered, behind gates, endpoints and `sluice why`."""
import lightgbm
import mlflow
import numpy as np
import pytest
import sklearn.linear_model
import xgboost
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from conftest import wait_until

YAML = """
project: tiny
sources: {rows: data/rows.csv}
models:
  judged: {gate: ["auc >= 0.8", "auc >= champion.auc"], promote: auto}
  churn: {}
endpoints:
  churn: {model: churn@champion}
"""
X = np.array([[i % 7, i % 11] for i in range(500)], dtype=np.float32)
Y = (X[:, 0] > 3).astype(int)

pytestmark = [pytest.mark.slow, pytest.mark.plain]


@pytest.fixture(scope="module")
def booster():
    return xgboost.train({"objective": "binary:logistic", "max_depth": 2}, xgboost.DMatrix(X, Y, feature_names=["a", "b"]), 5)


@pytest.fixture
def server(project):
    project.write("data/rows.csv", "a,b,y\n" + "".join(f"{a},{b},{y}\n" for (a, b), y in zip(X.astype(int), Y)))
    project.write("sluice.yaml", YAML)
    project.sluice("init")
    project.sluice("run", "rows")
    with project.up() as server:
        mlflow.set_tracking_uri(server.url)
        mlflow.set_experiment("notebook")
        yield server
        mlflow.set_tracking_uri(None)


def log(booster, name, auc=0.9):
    with mlflow.start_run() as run:
        mlflow.log_param("rounds", 5)
        mlflow.log_metric("auc", auc)
        info = mlflow.xgboost.log_model(booster, name="model", model_format="ubj", registered_model_name=name, pip_requirements=[])
    return run.info.run_id, info


def ask(server, rows):
    return server.post("/v2/models/churn/infer", json={"inputs": [
        {"name": n, "shape": [len(rows)], "datatype": "FP32", "data": [float(r[i]) for r in rows]} for i, n in enumerate("ab")]})


def test_a_clients_model_answers_behind_an_endpoint_and_why_walks_to_its_run(server, project, booster):
    head = project.json("show", "dataset:rows")
    with mlflow.start_run() as run:
        mlflow.log_param("rounds", 5)
        source = mlflow.data.http_dataset_source.HTTPDatasetSource("https://example.com/rows.csv")
        mlflow.log_input(mlflow.data.from_numpy(X, source=source, name="elsewhere"), context="training")
        mlflow.xgboost.log_model(booster, name="model", model_format="ubj", registered_model_name="churn", pip_requirements=[])
    # as a script would say it that read a version of a dataset of ours
    server.post("/api/2.0/mlflow/runs/log-inputs", json={"run_id": run.info.run_id, "datasets": [{"dataset": {
        "name": "mine", "digest": "x", "source_type": "sluice", "source": '{"uri": "dataset:rows@%s"}' % head["version"]}}]}).raise_for_status()
    client = MlflowClient()
    client.set_registered_model_alias("churn", "champion", 1)
    wait_until(lambda: ask(server, X[:2]).status_code == 200, what="the client's model to answer")
    answer = ask(server, X[:50]).json()
    expected = booster.predict(xgboost.DMatrix(X[:50], feature_names=["a", "b"]))
    assert np.array_equal(np.array(answer["outputs"][0]["data"], dtype=np.float32), expected)
    shown = project.json("show", "model:churn@1")
    assert shown["status"] == "ready"
    wait_until(lambda: project.json("sql", "select count(*) as n from predictions")["items"][0]["n"], what="the prediction's record")
    why = project.json("why", f"prediction:{answer['parameters']['prediction_id']}")
    nodes = {n["id"]: n for n in why["nodes"]}
    runs = [n for n in nodes.values() if n["kind"] == "run" and n["run_kind"] == "logged"]
    assert len(runs) == 1 and runs[0]["params"] == {"rounds": 5}
    inputs = {e["to"] for e in why["edges"] if e["from"] == runs[0]["id"] and e["as"] == "input"}
    assert f"dataset:rows@{head['version']}" in inputs and any(i.startswith("dataset:elsewhere@") for i in inputs)
    assert any(n["kind"] == "file" and n["name"] == "data/rows.csv" for n in nodes.values())  # down to the raw bytes
    client.delete_registered_model_alias("churn", "champion")
    wait_until(lambda: not project.json("ls", "models")["items"][0].get("champion"), what="the alias to go")
    project.sluice("verify")


def test_the_gate_judges_by_what_the_run_logged(server, project, booster):
    client = MlflowClient()
    log(booster, "judged", auc=0.85)
    wait_until(lambda: "champion" in client.get_registered_model("judged").aliases, what="the gate")
    assert client.get_model_version("judged", "1").tags == {"sluice.status": "ready"}
    log(booster, "judged", auc=0.84)
    wait_until(lambda: client.get_model_version("judged", "2").tags == {"sluice.status": "refused"}, what="the gate")
    with pytest.raises(MlflowException, match="its gate has not let it in"):
        client.set_registered_model_alias("judged", "champion", 2)
    assert client.get_model_version_by_alias("judged", "champion").version == "1"
    refused = project.json("show", "model:judged@2")
    assert refused["status"] == "refused" and [r["passed"] for r in refused["gate"]] == [True, False]


def test_lightgbm_comes_along_and_pickles_do_not(server, project):
    trees = lightgbm.train({"objective": "multiclass", "num_class": 3, "verbose": -1}, lightgbm.Dataset(X, Y + (X[:, 1] > 5)), 3)
    mlflow.lightgbm.log_model(trees, name="trees", registered_model_name="trees", pip_requirements=[])
    linear = sklearn.linear_model.LogisticRegression().fit(X, Y)
    mlflow.sklearn.log_model(linear, name="linear", registered_model_name="linear", pip_requirements=[], serialization_format="cloudpickle")
    wait_until(lambda: [m["name"] for m in project.json("ls", "models")["items"]] == ["trees"], what="the model")
    project.write("rows.csv", "Column_0,Column_1\n" + "".join(f"{a},{b}\n" for a, b in X))
    project.sluice("predict", "trees@1", "rows.csv", "-o", "answers.csv")
    lines = project.root.joinpath("answers.csv").read_text().splitlines()
    assert len(lines) == 501
    assert "flavor" in project.sluice("promote", "linear@1", status=None).stderr


def test_what_was_registered_with_the_server_gone_is_taken_by_promote(server, project, booster):
    log(booster, "late")
    assert project.json("promote", "late@1")["version"] == 1
    assert MlflowClient().get_model_version_by_alias("late", "champion").version == "1"
