"""MLflow's own Python client, unmodified, against `sluice mlflow`: the fluent API and MlflowClient, without artifacts and models."""
import math
import time

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException

from mlflow_server import serving


@pytest.fixture(scope="module")
def client(program, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("mlflow")) as url:
        mlflow.set_tracking_uri(url)
        yield MlflowClient(url)
        mlflow.set_tracking_uri(None)


@pytest.fixture
def experiment(client, request):
    return client.create_experiment(request.node.name)


def test_fluent_runs_nest_and_end(client):
    mlflow.set_experiment("fluent")
    with mlflow.start_run(run_name="parent", tags={"stage": "try"}) as parent:
        mlflow.log_param("depth", 3)
        mlflow.log_params({"rate": 0.1, "kind": "tree"})
        for step in range(3):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_metrics({"auc": 0.9, "nan": math.nan}, step=1)
        mlflow.set_tags({"a": "b"})
        with mlflow.start_run(run_name="child", nested=True) as child:
            mlflow.log_metric("loss", 0.5)
    run, below = client.get_run(parent.info.run_id), client.get_run(child.info.run_id)
    assert run.info.status == below.info.status == "FINISHED" and run.info.run_name == "parent"
    assert run.data.params == {"depth": "3", "rate": "0.1", "kind": "tree"}
    assert run.data.metrics["loss"] == 1 / 3 and math.isnan(run.data.metrics["nan"])
    assert run.data.tags["stage"] == "try" and below.data.tags["mlflow.parentRunId"] == run.info.run_id
    assert [m.value for m in client.get_metric_history(run.info.run_id, "loss")] == [1, 1 / 2, 1 / 3]


def test_a_run_that_raises_has_failed(client):
    mlflow.set_experiment("fluent")
    with pytest.raises(ZeroDivisionError), mlflow.start_run() as run:
        1 / 0
    assert client.get_run(run.info.run_id).info.status == "FAILED"


def test_asynchronous_logging_keeps_every_point(client):
    mlflow.set_experiment("fluent")
    with mlflow.start_run() as run:
        for i in range(500):
            mlflow.log_metric("m", i, step=i, synchronous=False)
        mlflow.flush_async_logging()
    assert [m.step for m in client.get_metric_history(run.info.run_id, "m")] == list(range(500))


def test_a_parameter_is_set_once(client, experiment):
    run = client.create_run(experiment).info.run_id
    client.log_param(run, "p", 1)
    client.log_param(run, "p", 1)
    with pytest.raises(MlflowException, match="Changing param values is not allowed"):
        client.log_param(run, "p", 2)


def test_a_batch_is_all_or_nothing(client, experiment):
    run = client.create_run(experiment).info.run_id
    client.log_param(run, "p", 1)
    with pytest.raises(MlflowException, match="Changing param values"):
        client.log_batch(run, metrics=[Metric("m", 1, 1, 0)], params=[Param("q", "1"), Param("p", "2")], tags=[RunTag("t", "1")])
    data = client.get_run(run).data
    assert data.metrics == {} and data.params == {"p": "1"} and "t" not in data.tags


@pytest.fixture
def graded(client, experiment):
    """Ten runs: metric a = 0 .. 9 (missing in the last), parameter b = x or y, started one second apart."""
    for i in range(10):
        run = client.create_run(experiment, start_time=1000 * (i + 1), run_name=f"r{i}").info.run_id
        metrics = [Metric("a", math.nan if i == 8 else i, 1, 0)] if i < 9 else []
        client.log_batch(run, metrics=metrics, params=[Param("b", "xy"[i % 2])])
    return experiment


def names(runs):
    return [run.info.run_name for run in runs]


@pytest.mark.parametrize("text, expected", [
    ("metrics.a > 5 and params.b = 'y'", ["r7"]),
    ("metrics.a >= 6 OR params.b = 'y'", ["r9", "r7", "r6", "r5", "r3", "r1"]),
    ("(metrics.a < 2 OR metrics.a > 6) AND params.b IN ('y', 'z')", ["r7", "r1"]),
    ("params.b != 'y' and attributes.start_time <= 4000", ["r2", "r0"]),
    ("attributes.run_name LIKE 'r%' and metrics.a != 3", ["r8", "r7", "r6", "r5", "r4", "r2", "r1", "r0"]),
    ("run_name ILIKE 'R_' and tags.nosuch IS NULL and metrics.a < 1", ["r0"]),
    ("status = 'RUNNING' and params.b NOT IN ('x')", ["r9", "r7", "r5", "r3", "r1"]),
])
def test_filters(client, graded, text, expected):
    assert names(client.search_runs([graded], text)) == expected


@pytest.mark.parametrize("order, expected", [
    (["metrics.a DESC"], "7 6 5 4 3 2 1 0 8 9"),
    (["metrics.a ASC"], "0 1 2 3 4 5 6 7 8 9"),
    (["params.b", "metrics.a DESC"], "6 4 2 0 8 7 5 3 1 9"),
    (["start_time ASC"], "0 1 2 3 4 5 6 7 8 9"),
    ([], "9 8 7 6 5 4 3 2 1 0"),
    (["attributes.run_name DESC"], "9 8 7 6 5 4 3 2 1 0"),
])
def test_orders_and_their_pages(client, graded, order, expected):
    paged, token = [], None
    while True:
        page = client.search_runs([graded], order_by=order, max_results=3, page_token=token)
        paged += page
        token = page.token
        if not token:
            break
    assert names(paged) == [f"r{i}" for i in expected.split()] == names(client.search_runs([graded], order_by=order))


def test_several_experiments_are_merged_in_order(client, graded):
    other = client.create_experiment("other of " + graded)
    for i in range(3):
        run = client.create_run(other, start_time=1000 * i + 1500, run_name=f"o{i}").info.run_id
        client.log_metric(run, "a", i + 0.5)
    assert names(client.search_runs([graded, other], order_by=["metrics.a"], max_results=6)) == ["r0", "o0", "r1", "o1", "r2", "o2"]
    assert names(client.search_runs([graded, other], "attributes.start_time < 3600")) == ["o2", "r2", "o1", "r1", "o0", "r0"]


def test_deleted_things_are_in_their_view(client, graded):
    run = client.search_runs([graded], max_results=1)[0].info.run_id
    client.delete_run(run)
    assert names(client.search_runs([graded], run_view_type=ViewType.DELETED_ONLY)) == ["r9"]
    assert len(client.search_runs([graded])) == 9 and len(client.search_runs([graded], run_view_type=ViewType.ALL)) == 10
    with pytest.raises(MlflowException, match="must be in the 'active' state"):
        client.set_tag(run, "a", "b")
    client.restore_run(run)
    client.delete_experiment(graded)
    assert client.get_experiment(graded).lifecycle_stage == "deleted"
    assert not client.search_runs([graded])
    client.restore_experiment(graded)
    assert len(client.search_runs([graded])) == 10


def test_experiments_are_searched(client):
    for name in "abc":
        client.create_experiment(f"find {name}", tags={"which": name})
    found = client.search_experiments(filter_string="name LIKE 'find %' AND tags.which != 'b'", order_by=["name DESC"])
    assert [e.name for e in found] == ["find c", "find a"]
    assert [e.name for e in client.search_experiments(filter_string="name LIKE 'find %'", max_results=2, order_by=["name"])] == ["find a", "find b"]


def test_datasets_are_inputs(client, experiment):
    import mlflow.data
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.data.http_dataset_source import HTTPDatasetSource
    mlflow.set_experiment(experiment_id=experiment)
    with mlflow.start_run() as run:
        mlflow.log_input(MetaDataset(HTTPDatasetSource("http://x/y.csv"), name="d", digest="1"), context="train")
    given = client.get_run(run.info.run_id).inputs.dataset_inputs
    assert [(i.dataset.name, i.dataset.digest, i.tags[0].value) for i in given] == [("d", "1", "train")]
    assert len(client.search_runs([experiment], "dataset.name = 'd' and dataset.context = 'train'")) == 1
    assert not client.search_runs([experiment], "dataset.context = 'test'")


def test_a_long_history_comes_whole(client, experiment):
    run = client.create_run(experiment).info.run_id
    for i in range(0, 5000, 1000):
        client.log_batch(run, metrics=[Metric("m", k * 0.1, k, k) for k in range(i, i + 1000)])
    assert [m.step for m in client.get_metric_history(run, "m")] == list(range(5000))


def test_a_users_error_is_told_at_once(client):
    """The client tries a 5xx again for minutes."""
    begun = time.monotonic()
    for wrong in (lambda: client.get_run("0" * 32), lambda: client.get_experiment("99"), lambda: client.search_runs(["0"], "nonsense"),
                  lambda: client.search_runs(["0"], max_results=50001), lambda: client.rename_experiment("99", "x"),
                  lambda: client.search_runs(["0"], order_by=["a.b"]), lambda: client.search_runs(["0"], page_token="!"),
                  lambda: client.create_run("nosuch"), lambda: client.log_metric("nosuch", "m", 1)):
        with pytest.raises(MlflowException):
            wrong()
    assert time.monotonic() - begun < 20
