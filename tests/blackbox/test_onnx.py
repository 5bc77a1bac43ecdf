"""ONNX models beside the onnxruntime package: every datatype in every protocol, scikit-learn's pipelines, MLflow's and Triton's layouts, hostile files."""
import json
import subprocess

import mlflow.onnx
import numpy
import onnx
import onnxruntime
import pytest
import skl2onnx
import tritonclient.grpc
import tritonclient.http
from mlflow.models import infer_signature
from onnx import TensorProto, helper, numpy_helper
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from conftest import PROGRAM, wait_until
from test_serve import serve

TYPES = {"BOOL": TensorProto.BOOL, "INT8": TensorProto.INT8, "INT16": TensorProto.INT16, "INT32": TensorProto.INT32, "INT64": TensorProto.INT64,
         "UINT8": TensorProto.UINT8, "UINT16": TensorProto.UINT16, "UINT32": TensorProto.UINT32, "UINT64": TensorProto.UINT64, "FP16": TensorProto.FLOAT16,
         "FP32": TensorProto.FLOAT, "FP64": TensorProto.DOUBLE, "BYTES": TensorProto.STRING}
EXTREMES = {"BOOL": [True, False], "INT8": [-128, 127], "INT16": [-32768, 32767], "INT32": [-2**31, 2**31 - 1], "INT64": [-2**63, 2**63 - 1], "UINT8": [0, 255],
            "UINT16": [0, 65535], "UINT32": [0, 2**32 - 1], "UINT64": [0, 2**64 - 1], "FP16": [0.1, -65504.0], "FP32": [0.1, -1e38], "FP64": [0.1, 1e300],
            "BYTES": ["", "Zürich"]}


def save(path, nodes, inputs, outputs, initializers=(), opset=17, functions=(), domains=()):
    graph = helper.make_graph(list(nodes), "g", list(inputs), list(outputs), list(initializers))
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=9)
    path.write_bytes(model.SerializeToString())
    return model


def info(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def echo(path):
    """Gives every datatype back."""
    save(path, [helper.make_node("Identity", [f"in_{t}"], [f"out_{t}"]) for t in TYPES], [info(f"in_{t}", k, ["n", 2]) for t, k in TYPES.items()],
         [info(f"out_{t}", k, ["n", 2]) for t, k in TYPES.items()])


def table(count, seed):
    random = numpy.random.default_rng(seed)
    x = random.normal(0, 1, (count, 6)).astype("f4")
    return x, (x[:, 0] + x[:, 1] * x[:, 2] > 0).astype(int)


def reference(path, feeds):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the sums of a forest depend on it
    return onnxruntime.InferenceSession(str(path), options).run(None, feeds)


def infer(server, model, tensors, **more):
    body = {"inputs": [{"name": name, "shape": list(a.shape), "datatype": datatype, "data": a.tolist()} for name, (a, datatype) in tensors.items()]} | more
    done = server.post(f"/v2/models/{model}/infer", json=body)
    assert done.status_code == 200, done.text
    return {o["name"]: (numpy.array(o["data"]).reshape(o["shape"]), o["datatype"]) for o in done.json()["outputs"]}


# ---- protocols ----

def test_every_datatype_in_json(tmp_path, program):
    echo(tmp_path / "echo.onnx")
    with serve(tmp_path, "echo.onnx") as server:
        about = server.get("/v2/models/echo").json()
        assert [(i["name"], i["datatype"], i["shape"]) for i in about["inputs"]] == [(f"in_{t}", t, [-1, 2]) for t in TYPES]
        assert [o["datatype"] for o in about["outputs"]] == list(TYPES)
        for nested in (False, True):
            inputs = [{"name": f"in_{t}", "datatype": t, "shape": [1, 2], "data": [EXTREMES[t]] if nested else EXTREMES[t]} for t in TYPES]
            answer = server.post("/v2/models/echo/infer", json={"id": "7", "inputs": inputs}).json()
            assert answer["id"] == "7" and [o["name"] for o in answer["outputs"]] == [f"out_{t}" for t in TYPES]
            for output, t in zip(answer["outputs"], TYPES):
                expected = [float(numpy.float16(0.1)), -65504.0] if t == "FP16" else EXTREMES[t]
                assert output["shape"] == [1, 2] and output["datatype"] == t
                assert numpy.allclose(output["data"], expected, rtol=1e-7, atol=0) if t.startswith("FP") else output["data"] == expected, t


def arrays():
    random = numpy.random.default_rng(1)
    kinds = {"BOOL": "?", "FP16": "f2", "FP32": "f4", "FP64": "f8"}
    for t in TYPES:
        if t == "BYTES":
            yield t, numpy.array([[b"", b"\xff\x00\x01"], ["ü".encode(), b"x" * 1000]], dtype=object)
        elif t in kinds:
            yield t, random.normal(0, 1000, (2, 2)).astype(kinds[t])
        else:
            kind = numpy.dtype(t.lower())
            yield t, random.integers(numpy.iinfo(kind).min, numpy.iinfo(kind).max, (2, 2), dtype=kind, endpoint=True)


@pytest.mark.parametrize("library", [tritonclient.http, tritonclient.grpc], ids=["http", "grpc"])
def test_every_datatype_in_binary(tmp_path, program, library):
    echo(tmp_path / "echo.onnx")
    with serve(tmp_path, "echo.onnx") as server:
        client = library.InferenceServerClient(f"127.0.0.1:{server.port if library is tritonclient.http else server.grpc_port}")
        data = dict(arrays())
        inputs = []
        for t, array in data.items():
            inputs.append(library.InferInput(f"in_{t}", array.shape, t))
            inputs[-1].set_data_from_numpy(array)
        got = client.infer("echo", inputs)
        for t, array in data.items():
            assert got.as_numpy(f"out_{t}").tobytes() == array.tobytes() if t != "BYTES" else (got.as_numpy("out_BYTES") == array).all(), t
        one = client.infer("echo", inputs, outputs=[library.InferRequestedOutput("out_FP64"), library.InferRequestedOutput("out_INT8")])
        assert [o["name"] if isinstance(o, dict) else o.name for o in (one.get_response()["outputs"] if isinstance(one.get_response(), dict) else one.get_response().outputs)] == [
            "out_INT8", "out_FP64"]
        metadata = client.get_model_metadata("echo")
        names = [i["name"] if isinstance(i, dict) else i.name for i in (metadata["inputs"] if isinstance(metadata, dict) else metadata.inputs)]
        assert names == [f"in_{t}" for t in TYPES]


def test_typed_contents_over_grpc(tmp_path, program):
    import grpc
    from tritonclient.grpc import service_pb2, service_pb2_grpc
    fields = {"BOOL": "bool_contents", "INT64": "int64_contents", "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents"}
    echo(tmp_path / "echo.onnx")
    with serve(tmp_path, "echo.onnx") as server, grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        request = service_pb2.ModelInferRequest(model_name="echo")
        for t in TYPES:
            if t == "FP16":
                continue
            tensor = request.inputs.add(name=f"in_{t}", datatype=t, shape=[1, 2])
            field = fields.get(t, "uint_contents" if t.startswith("U") else "int_contents")
            getattr(tensor.contents, field).extend([v.encode() for v in EXTREMES[t]] if t == "BYTES" else EXTREMES[t])
        with pytest.raises(grpc.RpcError) as refused:
            stub.ModelInfer(request)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT and "in_FP16" in refused.value.details()
    types = [t for t in TYPES if t != "FP16"]
    save(tmp_path / "typed.onnx", [helper.make_node("Identity", [f"in_{t}"], [f"out_{t}"]) for t in types], [info(f"in_{t}", TYPES[t], ["n", 2]) for t in types],
         [info(f"out_{t}", TYPES[t], ["n", 2]) for t in types])
    with serve(tmp_path, "typed.onnx") as server, grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        request.model_name = "typed"
        answer = stub.ModelInfer(request)
        assert not answer.raw_output_contents
        for output, t in zip(answer.outputs, types):
            field = fields.get(t, "uint_contents" if t.startswith("U") else "int_contents")
            got = list(getattr(output.contents, field))
            expected = [v.encode() for v in EXTREMES[t]] if t == "BYTES" else [float(numpy.float32(v)) for v in EXTREMES[t]] if t == "FP32" else EXTREMES[t]
            assert got == expected and list(output.shape) == [1, 2] and output.datatype == t


def test_shapes(tmp_path, program):
    """Images, free sizes, a raw body, and every wrong shape with its reason."""
    random = numpy.random.default_rng(2)
    weights = numpy_helper.from_array(random.normal(0, 1, (4, 3, 3, 3)).astype("f4"), "w")
    save(tmp_path / "image.onnx", [helper.make_node("Conv", ["x", "w"], ["y"])], [info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
         [info("y", TensorProto.FLOAT, ["n", 4, 6, 6])], [weights])
    save(tmp_path / "free.onnx", [helper.make_node("MatMul", ["a", "b"], ["c"])], [info("a", TensorProto.FLOAT, ["n", "k"]), info("b", TensorProto.FLOAT, ["k", "m"])],
         [info("c", TensorProto.FLOAT, ["n", "m"])])
    with serve(tmp_path, "image.onnx", "free.onnx") as server:
        x = random.normal(0, 1, (2, 3, 8, 8)).astype("f4")
        expected = reference(tmp_path / "image.onnx", {"x": x})[0]
        assert (infer(server, "image", {"x": (x, "FP32")})["y"][0].astype("f4") == expected).all()
        raw = server.post("/v2/models/image/infer", data=x.tobytes(), headers={"Inference-Header-Content-Length": "0"})
        assert raw.content[int(raw.headers["Inference-Header-Content-Length"]):] == expected.tobytes()
        got = server.post("/invocations?endpoint=image", json={"inputs": x.tolist()}).json()["predictions"]
        assert (numpy.array(got, "f4") == expected).all()
        got = server.post("/v1/models/image:predict", json={"instances": x.tolist()}).json()["predictions"]
        assert (numpy.array(got, "f4") == expected).all()
        a, b = random.normal(0, 1, (3, 5)).astype("f4"), random.normal(0, 1, (5, 2)).astype("f4")
        assert numpy.allclose(infer(server, "free", {"a": (a, "FP32"), "b": (b, "FP32")})["c"][0], a @ b, rtol=1e-5)
        wrong = {
            "takes [-1,3,8,8]": {"name": "x", "shape": [2, 3, 8, 7], "datatype": "FP32", "data": [0] * 336},
            "has the shape [192]": {"name": "x", "shape": [192], "datatype": "FP32", "data": [0] * 192},
            "takes FP32": {"name": "x", "shape": [1, 3, 8, 8], "datatype": "FP64", "data": [0] * 192},
            "has no input 'z'": {"name": "z", "shape": [1], "datatype": "FP32", "data": [0]},
            "has 191 elements, its shape says 192": {"name": "x", "shape": [1, 3, 8, 8], "datatype": "FP32", "data": [0] * 191},
            "more elements than": {"name": "x", "shape": [1, 3, 8, 8], "datatype": "FP32", "data": [0] * 193},
            "element 1: it is text": {"name": "x", "shape": [1, 3, 8, 8], "datatype": "FP32", "data": [0, "a"] * 96},
            "not as its shape says": {"name": "x", "shape": [1, 3, 8, 8], "datatype": "FP32", "data": [[0] * 192]},
            "more than 16777216 elements": {"name": "x", "shape": [2**40, 3, 8, 8], "datatype": "FP32", "data": []},
            "a size in its shape": {"name": "x", "shape": [-1, 3, 8, 8], "datatype": "FP32", "data": []},
            "at most 8 sizes": {"name": "x", "shape": [1] * 9, "datatype": "FP32", "data": [0]},
        }
        for words, tensor in wrong.items():
            done = server.post("/v2/models/image/infer", json={"inputs": [tensor]})
            assert done.status_code in (400, 413) and words in done.json()["error"], (words, done.text)
        done = server.post("/v2/models/free/infer", json={"inputs": [{"name": "a", "shape": [1, 2], "datatype": "FP32", "data": [0, 0]}]})
        assert done.status_code == 400 and "input 'b' is missing" in done.json()["error"]
        body = [{"name": n, "shape": s, "datatype": "FP32", "data": [0] * 6} for n, s in (("a", [2, 3]), ("b", [2, 3]))]
        done = server.post("/v2/models/free/infer", json={"inputs": body})
        assert done.status_code == 422 and done.json()["error"] == "the model cannot compute this: MatMul dimension mismatch", done.text
        same = infer(server, "free", {"a": (a, "FP32"), "b": (b, "FP32")})
        assert list(same) == ["c"]


# ---- scikit-learn ----

@pytest.mark.parametrize("zipmap", [False, True])
@pytest.mark.parametrize("make", [lambda: MLPClassifier((16,), max_iter=20, random_state=1), lambda: RandomForestClassifier(20, max_depth=6, random_state=1),
                                  lambda: make_pipeline(StandardScaler(), LogisticRegression())], ids=["mlp", "forest", "pipeline"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_classifiers(tmp_path, program, make, zipmap):
    x, y = table(300, 3)
    model = make().fit(x, y)
    (tmp_path / "m.onnx").write_bytes(skl2onnx.to_onnx(model, x[:1], options={"zipmap": zipmap}).SerializeToString())
    labels, chances = reference(tmp_path / "m.onnx", {"X": x})
    if zipmap:
        chances = [[row[k] for k in sorted(row)] for row in chances]
    with serve(tmp_path, "m.onnx") as server:
        got = infer(server, "m", {"X": (x, "FP32")})
        names = list(got)
        assert (got[names[0]][0] == labels).all() and (got[names[1]][0].astype("f4") == numpy.float32(chances)).all()
        assert numpy.abs(got[names[1]][0] - model.predict_proba(x)).max() < 1e-5
        columns = [f"f{i}" for i in range(6)]
        forms = [{"dataframe_split": {"columns": columns, "data": x[:5].tolist()}}, {"dataframe_records": [dict(zip(columns, row)) for row in x[:5].tolist()]},
                 {"instances": x[:5].tolist()}, {"inputs": {c: x[:5, i].tolist() for i, c in enumerate(columns)}}, {"inputs": x[:5].tolist()}]
        for form in forms:
            answer = server.post("/invocations", json=form).json()["predictions"]
            assert [row[names[0]] for row in answer] == labels[:5].tolist()
            assert (numpy.float32([row[names[1]] for row in answer]) == numpy.float32(chances[:5])).all()
        text = ",".join(columns) + "\n" + "\n".join(",".join(map(repr, row)) for row in x[:5].tolist()) + "\n"
        answer = server.post("/invocations", data=text, headers={"Content-Type": "text/csv"}).json()["predictions"]
        assert [row[names[0]] for row in answer] == labels[:5].tolist()


def test_a_pipeline_of_mixed_columns(tmp_path, program):
    """Text and numbers, a tensor per column: as tensors and as tables."""
    import pandas
    random = numpy.random.default_rng(5)
    frame = pandas.DataFrame({"origin": random.choice(["JFK", "ORD", "Zürich"], 200), "distance": random.normal(900, 300, 200).astype("f4"),
                              "hour": random.integers(0, 24, 200)})
    target = (frame.origin == "JFK") * 10 + frame.distance / 100
    steps = ColumnTransformer([("text", OneHotEncoder(handle_unknown="ignore"), ["origin"]), ("numbers", StandardScaler(), ["distance", "hour"])])
    model = make_pipeline(steps, GradientBoostingRegressor(n_estimators=20, random_state=1)).fit(frame, target)
    (tmp_path / "m.onnx").write_bytes(skl2onnx.to_onnx(model, frame[:1]).SerializeToString())
    feeds = {c: frame[[c]].to_numpy() for c in frame}
    expected = reference(tmp_path / "m.onnx", feeds)[0]
    with serve(tmp_path, "m.onnx") as server:
        types = {"origin": "BYTES", "distance": "FP32", "hour": "INT64"}
        assert {i["name"]: i["datatype"] for i in server.get("/v2/models/m").json()["inputs"]} == types
        got = infer(server, "m", {c: (feeds[c], types[c]) for c in frame})["variable"][0]
        assert (got.astype("f4") == expected).all()
        assert numpy.abs(got[:, 0] - model.predict(frame)).max() < 1e-3
        records = json.loads(frame[:5].to_json(orient="records"))
        for form in ({"dataframe_records": records}, {"inputs": {c: frame[c][:5].tolist() for c in frame}}):
            answer = server.post("/invocations", json=form).json()["predictions"]
            assert (numpy.array(answer, "f4") == expected[:5]).all()
        done = server.post("/invocations", data=frame[:5].to_csv(index=False), headers={"Content-Type": "text/csv"})
        assert (numpy.array(done.json()["predictions"], "f4") == expected[:5]).all()
        for words, record in (("column 'hour' is missing", {"origin": "JFK", "distance": 1}), ("no column 'hours'", records[0] | {"hours": 1}),
                              ("column 'hour': it is a number", records[0] | {"hour": 1.5}), ("column 'origin': it is null", records[0] | {"origin": None}),
                              ("column 'distance': it is text", records[0] | {"distance": "far"})):
            done = server.post("/invocations", json={"dataframe_records": [record]})
            assert done.status_code == 400 and words in done.json()["error"], done.text


# ---- layouts ----

def test_layouts(tmp_path, program):
    """Triton's folders with a configuration, MLflow's with a signature, reload and unload; memory comes back."""
    x, y = table(200, 7)
    models = tmp_path / "models"
    one, two = (skl2onnx.to_onnx(LogisticRegression(C=c).fit(x, y), x[:1], options={"zipmap": False}) for c in (1.0, 0.01))
    for version, model in (("1", one), ("2", two)):
        (models / "churn" / version).mkdir(parents=True)
        (models / "churn" / version / "model.onnx").write_bytes(model.SerializeToString())
    (models / "churn" / "config.pbtxt").write_text('name: "churn"\nbackend: "onnxruntime"\nmax_batch_size: 8\n')
    columns = ["a", "b", "c", "d", "e", "f"]
    import pandas
    mlflow.onnx.save_model(one, str(models / "saved"), signature=infer_signature(pandas.DataFrame(x[:5], columns=columns), y[:5]))
    with serve(tmp_path, "--models", "models", "--control") as server:
        answers = {}
        for version, model in (("1", one), ("2", two)):
            body = {"inputs": [{"name": "X", "shape": [3, 6], "datatype": "FP32", "data": x[:3].ravel().tolist()}]}
            got = server.post(f"/v2/models/churn/versions/{version}/infer", json=body).json()
            answers[version] = got["outputs"][1]["data"]
            (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
            assert numpy.float32(answers[version]).tolist() == reference(tmp_path / "m.onnx", {"X": x[:3]})[1].ravel().tolist()
        assert answers["1"] != answers["2"]
        body["inputs"][0].update(shape=[9, 6], data=x[:9].ravel().tolist())
        assert server.post("/v2/models/churn/infer", json=body).status_code == 413
        done = server.post("/invocations?endpoint=saved", json={"dataframe_records": [dict(zip(columns, row)) for row in x[:3].tolist()]})
        assert numpy.float32([row["probabilities"] for row in done.json()["predictions"]]).ravel().tolist() == numpy.float32(answers["1"]).tolist()
        before = server.memory_kb()
        for _ in range(20):
            assert server.post("/v2/repository/models/churn/load").status_code == 200
            assert server.post("/v2/repository/models/churn/unload").status_code == 200
        if b"__asan_init" not in program.read_bytes():  # which keeps what was freed for a while
            assert server.memory_kb() < before + 8 * 1024


# ---- hostile files ----

def external(model):
    tensor = model.graph.initializer.add(name="w", data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")


def only_entry(model):
    """The location is left at its default: the entries alone must do."""
    tensor = model.graph.node[0].attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t
    tensor.data_type, tensor.raw_data = TensorProto.FLOAT, b""
    tensor.external_data.add(key="location", value="secrets")


def custom(model):
    model.graph.node.add(op_type="Evil", domain="evil.ops", output=["z"])


def context(model):
    model.graph.node.add(op_type="EPContext", domain="com.microsoft", output=["z"])


def lying(model):
    model.graph.initializer.append(TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 20], raw_data=b"1234"))


def overflowing(model):
    model.graph.initializer.append(TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 32, 1 << 32], raw_data=b""))


def negative(model):
    model.graph.initializer.append(TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[-1], raw_data=b"1234"))


def two_types(model):
    model.graph.initializer.append(TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], float_data=[1], int64_data=[1]))


def unknown_type(model):
    model.graph.initializer.append(TensorProto(name="w", data_type=99, dims=[1], raw_data=b"1"))


def sparse(model):
    bomb = model.graph.sparse_initializer.add(dims=[1 << 40])
    bomb.values.CopyFrom(TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], float_data=[1]))
    bomb.indices.CopyFrom(TensorProto(data_type=TensorProto.INT64, dims=[1], int64_data=[0]))


def nested(model):
    graph = model.graph
    for _ in range(20):
        graph = graph.node.add(op_type="If", output=["z"]).attribute.add(name="then_branch", type=onnx.AttributeProto.GRAPH).g


def nested_type(model):
    kind = model.graph.value_info.add(name="v").type
    for _ in range(20):
        kind = kind.sequence_type.elem_type
    kind.tensor_type.elem_type = 1


def training(model):
    model.training_info.add()


def doubling(model):
    """Each function calls the one before twice: 2^30 nodes when written out."""
    for i in range(15):
        function = model.functions.add(name=f"f{i}", domain="d", input=["x"], output=["y"])
        for _ in range(100):
            function.node.add(op_type="Identity" if i == 0 else f"f{i - 1}", domain="" if i == 0 else "d", input=["x"], output=["y"])
    model.graph.node.add(op_type="f14", domain="d", input=["x"], output=["z"])


def recursive(model):
    function = model.functions.add(name="f", domain="d", input=["x"], output=["y"])
    function.node.add(op_type="f", domain="d", input=["x"], output=["y"])


def disguised(model):
    model.functions.add(name="Relu", domain="", input=["x"], output=["y"])


HOSTILE = {"another file": [external, only_entry], "code from elsewhere": [custom, context], "its data is not what": [lying, two_types], "impossible shape": [overflowing, negative],
           "not known": [unknown_type], "sparse tensor": [sparse], "graphs are nested": [nested], "types are nested": [nested_type], "training": [training],
           "written out": [doubling], "calls itself": [recursive], "take the place": [disguised]}


@pytest.mark.parametrize("words,spoil", [(words, spoil) for words, all_of in HOSTILE.items() for spoil in all_of], ids=lambda v: getattr(v, "__name__", None))
def test_hostile_files(tmp_path, program, words, spoil):
    model = save(tmp_path / "good.onnx", [helper.make_node("Relu", ["x"], ["y"])], [info("x", TensorProto.FLOAT, ["n", 2])], [info("y", TensorProto.FLOAT, ["n", 2])])
    spoil(model)
    (tmp_path / "bad.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "secrets").write_text("secret")
    done = subprocess.run([PROGRAM, "serve", "bad.onnx", "--http", "127.0.0.1:0"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and words in done.stderr, done.stderr


def test_cut_and_changed_files(tmp_path, program):
    """A file that is cut anywhere, or has a byte changed, is refused or served; nothing that answers falters."""
    x, y = table(100, 1)
    data = skl2onnx.to_onnx(make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y), x[:1]).SerializeToString()
    models = tmp_path / "models"
    models.mkdir()
    (models / "good.onnx").write_bytes(data)
    random = numpy.random.default_rng(1)
    for i in range(60):
        at = int(random.integers(0, len(data)))
        (models / f"bad{i}.onnx").write_bytes(data[:at] if i % 2 else data[:at] + bytes([data[at] ^ int(random.integers(1, 256))]) + data[at + 1:])
    with serve(tmp_path, "--models", "models") as server:
        index = server.index()
        assert index["good"]["state"] == "READY" and sum(model["state"] == "UNAVAILABLE" for model in index.values()) > 25
        for name, model in index.items():
            done = server.post(f"/v2/models/{name}/infer", json={"inputs": [{"name": "X", "shape": [1, 6], "datatype": "FP32", "data": [1] * 6}]})
            assert done.status_code in (200, 400, 422, 503) and (name != "good" or done.status_code == 200), done.text


def test_functions_of_the_file_itself(tmp_path, program):
    function = helper.make_function("own.domain", "Twice", ["x"], ["y"], [helper.make_node("Add", ["x", "x"], ["y"])], [helper.make_opsetid("", 17)])
    save(tmp_path / "m.onnx", [helper.make_node("Twice", ["a"], ["b"], domain="own.domain")], [info("a", TensorProto.FLOAT, ["n"])], [info("b", TensorProto.FLOAT, ["n"])],
         functions=[function], domains=["own.domain"])
    with serve(tmp_path, "m.onnx") as server:
        assert infer(server, "m", {"a": (numpy.array([1.5, 2], "f4"), "FP32")})["b"][0].tolist() == [3, 4]
