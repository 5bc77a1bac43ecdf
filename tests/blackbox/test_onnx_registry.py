"""ONNX models in a project's registry: registered by MLflow's unmodified client, judged by the gate, served behind an endpoint, logged, and known to `sluice why`."""
import mlflow
import mlflow.onnx
import numpy as np
import onnx
import pytest
import skl2onnx
from mlflow import MlflowClient
from mlflow.models import infer_signature
from onnx import TensorProto, helper
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from conftest import wait_until
from test_mlflow_adopt import X, Y, ask, server  # noqa: F401 (a fixture)
from test_onnx import reference


def converted(model):
    return skl2onnx.convert_sklearn(model, initial_types=[("x", skl2onnx.common.data_types.FloatTensorType([None, 2]))], options={"zipmap": False}
                                    if hasattr(model, "classes_") else None)


def register(model, name, auc=0.9):
    with mlflow.start_run():
        mlflow.log_metric("auc", auc)
        signature = infer_signature({"a": X[:, 0], "b": X[:, 1]}, np.zeros(2, "f4"))
        mlflow.onnx.log_model(model, name="model", signature=signature, registered_model_name=name, pip_requirements=[])


def test_a_network_behind_an_endpoint(server, project, tmp_path):  # noqa: F811
    """The probability of the second class is the library's own; the prediction is in the log, and leads back to the client's run."""
    model = converted(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    register(model, "churn")
    MlflowClient().set_registered_model_alias("churn", "champion", 1)
    wait_until(lambda: ask(server, X[:2]).status_code == 200, what="the client's model to answer")
    answer = ask(server, X[:50]).json()
    want = reference(tmp_path / "m.onnx", {"x": X[:50]})[1][:, 1]
    np.testing.assert_allclose(np.array(answer["outputs"][0]["data"], "f4"), want, rtol=1e-6)
    assert answer["outputs"][0]["name"] == "probability"
    about = server.get("/v2/models/churn").json()
    assert [i["name"] for i in about["inputs"]] == ["a", "b"] and about["platform"] == "sluice_onnx"
    wait_until(lambda: project.json("sql", "select count(*) as n from predictions")["items"][0]["n"] >= 50, what="the log")
    why = project.json("why", f"prediction:{answer['parameters']['prediction_id']}#3")
    assert [n["run_kind"] for n in why["nodes"] if n["kind"] == "run"] == ["logged"]
    (tmp_path / "rows.csv").write_text("a,b\n" + "".join(f"{a},{b}\n" for a, b in X[:5].astype(int)))
    project.sluice("predict", "churn@1", str(tmp_path / "rows.csv"), "-o", str(tmp_path / "out.csv"))
    got = [float(line.rpartition(",")[2]) for line in (tmp_path / "out.csv").read_text().splitlines()[1:]]
    np.testing.assert_allclose(got, want[:5], rtol=1e-5)


def test_the_gate_judges_and_a_promotion_swaps(server, project):  # noqa: F811
    first, second = (converted(LogisticRegression(C=c).fit(X, Y)) for c in (1, 0.01))
    register(first, "judged", 0.9)
    register(second, "judged", 0.7)
    client = MlflowClient()
    for version, status in (("1", "ready"), ("2", "refused")):
        wait_until(lambda: client.get_model_version("judged", version).tags == {"sluice.status": status}, what="the gate")
    register(first, "churn")
    register(converted(LinearRegression().fit(X, Y)), "churn")
    client.set_registered_model_alias("churn", "champion", 1)
    wait_until(lambda: ask(server, X[:2]).status_code == 200)
    client.set_registered_model_alias("churn", "champion", 2)
    wait_until(lambda: ask(server, X[:2]).json()["model_version"] == "2", what="the swap")
    assert ask(server, X[:2]).json()["outputs"][0]["name"] == "prediction"


@pytest.mark.parametrize("nodes,output,why", [
    ([helper.make_node("ReduceMean", ["x"], ["m"], axes=[0]), helper.make_node("Sub", ["x", "m"], ["y"])], [None, 2], "nothing to do with each other"),
    ([helper.make_node("Neg", ["x"], ["y"])], [None, 2], "several numbers for a row"),
])
def test_what_is_no_model_of_rows_is_refused_with_the_reason(server, project, nodes, output, why):  # noqa: F811
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    register(model, "churn")
    assert why in project.sluice("promote", "churn@1", status=None).stderr


def test_what_a_graph_cannot_compute_is_an_error_and_no_answer(server, project):  # noqa: F811
    """Rows that look up a table of 5: the sixth place is refused by the runtime, told to the client, and not logged as a prediction."""
    nodes = [helper.make_node("Cast", ["x"], ["places"], to=TensorProto.INT64), helper.make_node("Gather", ["table", "places"], ["found"]),
             helper.make_node("ReduceMean", ["found"], ["y"], axes=[1], keepdims=1)]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
                              [helper.make_tensor("table", TensorProto.FLOAT, [5], [0.0, 10.0, 20.0, 30.0, 40.0])])
    register(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), "churn")
    MlflowClient().set_registered_model_alias("churn", "champion", 1)
    wait_until(lambda: ask(server, np.array([[1, 2]], "f4")).status_code == 200, what="the client's model to answer")
    assert ask(server, np.array([[1, 2], [4, 0]], "f4")).json()["outputs"][0]["data"] == [15.0, 20.0]
    answer = ask(server, np.array([[1, 2], [7, 0]], "f4"))
    assert answer.status_code >= 400 and "out of data bounds" in answer.json()["error"], answer.text
    logged = project.json("sql", "select prediction from predictions")["items"]
    assert logged and all(row["prediction"] is not None for row in logged), logged
