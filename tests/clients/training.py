"""Training as people write it, with everything logged by itself, against the server at sys.argv[1]. Ends with 1 where something is not as it should be."""
import sys
import time
import warnings

import mlflow
import numpy
import sklearn.datasets
import sklearn.linear_model
import sklearn.model_selection
import sklearn.tree
import xgboost
from mlflow import MlflowClient

warnings.simplefilter("ignore")
mlflow.set_tracking_uri(sys.argv[1])
client = MlflowClient()
experiment = mlflow.set_experiment("training").experiment_id
X, y = sklearn.datasets.load_iris(return_X_y=True, as_frame=True)

# A classifier: parameters, metrics, the dataset, the model, and its registered version.
mlflow.sklearn.autolog(registered_model_name="iris")
with mlflow.start_run(run_name="logistic") as active:
    fitted = sklearn.linear_model.LogisticRegression(max_iter=50).fit(X, y)
    score = fitted.score(X, y)
run = client.get_run(active.info.run_id)
assert run.data.params["max_iter"] == "50" and run.data.metrics["training_accuracy_score"] > 0.9
assert run.data.metrics["LogisticRegression_score_X"] == score and run.inputs.dataset_inputs[0].tags[0].value == "train"
model = client.get_logged_model(run.outputs.model_outputs[0].model_id)
assert str(model.status) == "READY" and model.source_run_id == run.info.run_id
client.set_registered_model_alias("iris", "champion", 1)
assert client.get_model_version_by_alias("iris", "champion").run_id == run.info.run_id
loaded = mlflow.pyfunc.load_model("models:/iris@champion")
assert list(loaded.predict(X)) == list(fitted.predict(X))
found = mlflow.search_logged_models([experiment], "metrics.training_accuracy_score > 0.9", output_format="list")
assert [m.model_id for m in found] == [model.model_id]

# A search over parameters: a run for each below the run of the whole.
mlflow.sklearn.autolog(log_models=False, registered_model_name=None, max_tuning_runs=4)
with mlflow.start_run(run_name="grid") as active:
    sklearn.model_selection.GridSearchCV(sklearn.tree.DecisionTreeClassifier(random_state=1), {"max_depth": [1, 2, 3]}, cv=3).fit(X, y)
children = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{active.info.run_id}'", order_by=["metrics.mean_test_score DESC"])
assert len(children) == 3 and children[0].data.metrics["mean_test_score"] > 0.9
assert client.get_run(active.info.run_id).data.params["best_max_depth"] == children[0].data.params["max_depth"]
assert "cv_results.csv" in [f.path for f in client.list_artifacts(active.info.run_id)]
mlflow.sklearn.autolog(disable=True)

# Boosted trees: a metric for each round.
mlflow.xgboost.autolog(log_models=False)
with mlflow.start_run(run_name="boosted") as active:
    data = xgboost.DMatrix(X, label=y)
    xgboost.train({"objective": "multi:softprob", "num_class": 3, "seed": 1}, data, num_boost_round=10, evals=[(data, "train")], verbose_eval=False)
history = client.get_metric_history(active.info.run_id, "train-mlogloss")
assert [p.step for p in history] == list(range(10)) and history[-1].value < history[0].value
assert client.get_run(active.info.run_id).data.params["objective"] == "multi:softprob"
mlflow.xgboost.autolog(disable=True)

# What the machine did meanwhile, and what a loop logs without waiting.
mlflow.set_system_metrics_sampling_interval(0.1)
with mlflow.start_run(run_name="loop", log_system_metrics=True) as active:
    for step in range(200):
        mlflow.log_metric("loss", float(numpy.exp(-step / 50)), step=step, synchronous=False)
    mlflow.log_params({"a": 1, "b": 2}, synchronous=False)
    with mlflow.start_run(run_name="below", nested=True):
        mlflow.log_metric("m", 1)
    deadline = time.monotonic() + 30
    while not any(k.startswith("system/cpu") for k in client.get_run(active.info.run_id).data.metrics):
        assert time.monotonic() < deadline, "no system metric came"
        time.sleep(0.05)
    mlflow.flush_async_logging()
assert [p.step for p in client.get_metric_history(active.info.run_id, "loss")] == list(range(200))
assert client.get_run(active.info.run_id).data.params == {"a": "1", "b": "2"}
assert [r.info.run_name for r in client.search_runs([experiment], "attributes.status = 'FINISHED'", order_by=["start_time ASC"])][-1] == "below"
print("as it should be")
