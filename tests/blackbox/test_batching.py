"""Requests that run together: which graphs are proven to allow it, what config.pbtxt says about it, and that nobody gets another one's rows."""
import concurrent.futures

import numpy
import skl2onnx
import tritonclient.http
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from test_onnx import info, save, table
from test_serve import serve


def constant(name, value):
    return numpy_helper.from_array(numpy.array(value), name)


X, Y = info("x", TensorProto.FLOAT, ["n", 4]), info("y", TensorProto.FLOAT, None)
EYE = constant("w", numpy.eye(4, dtype="f4"))
BY_ROWS = {
    "chain": ([helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Add", ["a", "b"], ["c"]), helper.make_node("Softmax", ["c"], ["y"], axis=-1)],
              [EYE, constant("b", numpy.ones(4, "f4"))]),
    "within": ([helper.make_node("ReduceMean", ["x"], ["m"], axes=[1]), helper.make_node("Sub", ["x", "m"], ["y"])], []),
    "joined": ([helper.make_node("Concat", ["x", "x"], ["a"], axis=1), helper.make_node("Gather", ["a", "i"], ["y"], axis=1)], [constant("i", [0, 5])]),
    "shaped": ([helper.make_node("Unsqueeze", ["x", "one"], ["a"]), helper.make_node("Transpose", ["a"], ["b"], perm=[0, 2, 1]),
                helper.make_node("Flatten", ["b"], ["y"])], [constant("one", [1])]),
}
NOT_BY_ROWS = {
    "mean of all rows": ([helper.make_node("ReduceMean", ["x"], ["m"], axes=[0]), helper.make_node("Sub", ["x", "m"], ["y"])], []),
    "softmax over rows": ([helper.make_node("Softmax", ["x"], ["y"], axis=0)], []),
    "transposed": ([helper.make_node("Transpose", ["x"], ["a"], perm=[1, 0]), helper.make_node("Transpose", ["a"], ["y"], perm=[1, 0])], []),
    "rows as columns": ([helper.make_node("Reshape", ["x", "s"], ["y"])], [constant("s", [-1, 2])]),
    "a constant of rows": ([helper.make_node("Add", ["x", "b"], ["y"])], [constant("b", numpy.ones((3, 4), "f4"))]),
    "joined below": ([helper.make_node("Concat", ["x", "x"], ["y"], axis=0)], []),
    "every row with every row": ([helper.make_node("Gemm", ["x", "x"], ["y"], transB=1)], []),
    "a size from a value": ([helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Reshape", ["x", "s"], ["y"])], []),
    "one row of many": ([helper.make_node("Gather", ["x", "i"], ["y"], axis=0)], [constant("i", [0])]),
    "the running sum": ([helper.make_node("CumSum", ["x", "zero"], ["y"])], [constant("zero", 0)]),
}


def test_which_graphs_work_by_rows(tmp_path):
    for name, (nodes, initializers) in (BY_ROWS | NOT_BY_ROWS).items():
        save(tmp_path / f"{name.replace(' ', '_')}.onnx", nodes, [X], [Y], initializers)
    save(tmp_path / "fixed.onnx", [helper.make_node("Abs", ["x"], ["y"])], [info("x", TensorProto.FLOAT, [2, 4])], [info("y", TensorProto.FLOAT, [2, 4])])
    x, y = table(200, 1)
    for name, model in {"forest": RandomForestClassifier(10, random_state=1), "network": make_pipeline(StandardScaler(), MLPClassifier(8, max_iter=20))}.items():
        made = skl2onnx.convert_sklearn(model.fit(x, y), initial_types=[("x", skl2onnx.common.data_types.FloatTensorType([None, 6]))],
                                        options={"zipmap": False} if name == "network" else None)
        (tmp_path / f"{name}.onnx").write_bytes(made.SerializeToString())
    with serve(tmp_path, *sorted(p.name for p in tmp_path.glob("*.onnx"))) as server:
        proven = {m for m in server.get("/v2/models").json()["models"] if "batch_rows" in server.get(f"/v2/models/{m}").json()["properties"]}
    assert proven == set(BY_ROWS) | {"forest", "network"}


def repository(folder, name, config, nodes, initializers):
    (folder / name / "1").mkdir(parents=True)
    save(folder / name / "1" / "model.onnx", nodes, [X], [Y], initializers)
    (folder / name / "config.pbtxt").write_text(config)


def infer(server, model, x, **more):
    client = tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.port}", network_timeout=60)
    tensor = tritonclient.http.InferInput("x", list(x.shape), "FP32")
    tensor.set_data_from_numpy(x)
    return client.infer(model, [tensor], **more).as_numpy("y")


def statistics(server, model):
    return server.get(f"/v2/models/{model}/stats").json()["model_stats"][0]


def test_a_batch_is_filled_and_each_has_its_rows(tmp_path):
    """With a delay that nobody would sit out, requests run when the batch is full: 16 rows in two runs of 8."""
    doubled = [helper.make_node("Add", ["x", "x"], ["y"])]
    repository(tmp_path, "filled", "max_batch_size: 8 dynamic_batching { max_queue_delay_microseconds: 600000000 }", doubled, [])
    repository(tmp_path, "declared", "max_batch_size: 64 dynamic_batching { preferred_batch_size: [ 4 ] max_queue_delay_microseconds: 600000000 }",
               [helper.make_node("ReduceSum", ["x", "zero"], ["s"]), helper.make_node("Mul", ["x", "s"], ["y"])], [constant("zero", [0])])
    repository(tmp_path, "alone", "max_batch_size: 8", doubled, [])
    with serve(tmp_path, "--models", str(tmp_path)) as server:
        tables = [numpy.full((2, 4), i, "f4") for i in range(8)]
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda x: infer(server, "filled", x), tables))
        for x, y in zip(tables, answers):
            numpy.testing.assert_array_equal(y, 2 * x)
        about = statistics(server, "filled")
        assert about["inference_count"] == 16 and about["inference_stats"]["success"]["count"] == 8 and about["execution_count"] == 2, about
        # Whoever declares a graph to be one of batches is taken at his word: here each row sees the others.
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: infer(server, "declared", numpy.ones((1, 4), "f4")), range(4)))
        assert [y.tolist() for y in answers] == [[[4.0] * 4]] * 4 and statistics(server, "declared")["execution_count"] == 1
        assert "batch_rows" not in server.get("/v2/models/alone").json()["properties"]
        assert server.get("/v2/models/filled").json()["properties"]["batch_rows"] == "8"
        numpy.testing.assert_array_equal(infer(server, "alone", tables[2]), 2 * tables[2])


def test_a_deadline_is_kept_while_a_batch_fills(tmp_path):
    """A request that waits for company is run before its time is over."""
    repository(tmp_path, "patient", "max_batch_size: 8 dynamic_batching { max_queue_delay_microseconds: 600000000 }", [helper.make_node("Neg", ["x"], ["y"])], [])
    with serve(tmp_path, "--models", str(tmp_path)) as server:
        assert infer(server, "patient", numpy.ones((1, 4), "f4"), timeout=2_000_000).tolist() == [[-1] * 4]
