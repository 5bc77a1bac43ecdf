"""What a script of MLflow 2 does, against the server at sys.argv[1]; run with that version's packages. Ends with 1 where something is not as it should be."""
import sys

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

mlflow.set_tracking_uri(sys.argv[1])
assert mlflow.__version__.startswith("2."), mlflow.__version__
client = MlflowClient()
experiment = mlflow.set_experiment("two").experiment_id

with mlflow.start_run(run_name="parent", tags={"a": "b"}) as parent:
    mlflow.log_params({"depth": 3, "rate": 0.1})
    for step in range(3):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_text("hello", "notes/hello.txt")
    mlflow.log_dict({"x": [1, 2]}, "d.json")
    mlflow.log_metric("late", 1.0, synchronous=False)
    mlflow.flush_async_logging()
    with mlflow.start_run(run_name="child", nested=True) as child:
        mlflow.log_metric("loss", 0.5)
run = client.get_run(parent.info.run_id)
assert run.info.status == "FINISHED" and run.data.params == {"depth": "3", "rate": "0.1"} and run.data.metrics == {"loss": 1 / 3, "late": 1.0}
assert client.get_run(child.info.run_id).data.tags["mlflow.parentRunId"] == run.info.run_id
assert [m.value for m in client.get_metric_history(run.info.run_id, "loss")] == [1, 1 / 2, 1 / 3]
assert mlflow.artifacts.load_text(run.info.artifact_uri + "/notes/hello.txt") == "hello"
assert [f.path for f in client.list_artifacts(run.info.run_id)] == ["d.json", "notes"]
assert [r.info.run_id for r in client.search_runs([experiment], "metrics.loss < 0.4 and params.depth = '3'")] == [run.info.run_id]
client.delete_run(child.info.run_id)
assert len(client.search_runs([experiment])) == 1
client.restore_run(child.info.run_id)

client.create_registered_model("model", tags={"t": "1"})
version = client.create_model_version("model", f"runs:/{run.info.run_id}/notes", run.info.run_id)
client.set_registered_model_alias("model", "champion", version.version)
client.transition_model_version_stage("model", version.version, "Production")
assert client.get_model_version_by_alias("model", "champion").version == version.version
assert client.get_latest_versions("model", ["Production"])[0].run_id == run.info.run_id
assert [m.name for m in client.search_registered_models("tags.t = '1'")] == ["model"]
try:
    client.create_registered_model("model")
    sys.exit("the model was made twice")
except MlflowException as e:
    assert e.error_code == "RESOURCE_ALREADY_EXISTS", e


@mlflow.trace(span_type="CHAIN")
def answer(question):
    with mlflow.start_span("inner") as span:
        span.set_inputs({"q": question})
    return question + "!"


answer("why")
trace = mlflow.get_last_active_trace()
found = client.search_traces([experiment], "name = 'answer' and status = 'OK'", order_by=["timestamp_ms DESC"])
assert [t.info.request_id for t in found] == [trace.info.request_id] and [s.name for s in found[0].data.spans] == ["answer", "inner"]
client.set_trace_tag(trace.info.request_id, "stage", "x")
assert client.get_trace(trace.info.request_id).info.tags["stage"] == "x"
assert client.delete_traces(experiment, request_ids=[trace.info.request_id]) == 1
print("as it should be")
