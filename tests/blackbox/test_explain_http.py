"""Explanations over KServe's V1 and V2: beside the XGBoost package's, binary too, only where they are allowed, and bounded."""
import json

import numpy
import pytest
import requests
import tritonclient.http
import xgboost

from test_serve import COLUMNS, booster, rows, serve


def contributions(model, data, names=COLUMNS):
    return model.predict(xgboost.DMatrix(data, feature_names=names), pred_contribs=True)


def margins(model, data, names=COLUMNS):
    return model.predict(xgboost.DMatrix(data, feature_names=names), output_margin=True)


def body_of(data, name="x", **more):
    return {"inputs": [{"name": name, "shape": list(data.shape), "datatype": "FP32", "data": [None if numpy.isnan(v) else float(v) for v in data.ravel()]}]} | more


def test_one_margin(tmp_path, program):
    model, data = booster(), rows(20)
    model.save_model(tmp_path / "churn.ubj")
    expected = contributions(model, data)
    with serve(tmp_path, "churn.ubj", "--explain") as server:
        answer = server.post("/v2/models/churn/explain", json=body_of(data, id="9")).json()
        outputs = {o["name"]: numpy.array(o["data"]).reshape(o["shape"]) for o in answer["outputs"]}
        assert answer["id"] == "9" and list(outputs) == ["probability", "shap_values", "base_values"]
        assert numpy.abs(outputs["shap_values"] - expected[:, :-1]).max() < 1e-5 and numpy.abs(outputs["base_values"] - expected[:, -1]).max() < 1e-5
        assert numpy.abs(outputs["shap_values"].sum(axis=1) + outputs["base_values"] - margins(model, data)).max() < 1e-5
        records = [dict(zip(COLUMNS, [None if numpy.isnan(v) else float(v) for v in row])) for row in data]
        answer = server.post("/v1/models/churn:explain", json={"instances": records}).json()
        assert answer["predictions"] == pytest.approx(outputs["probability"].tolist(), abs=1e-7)
        for row, explanation in zip(expected, answer["explanations"]):
            assert list(explanation["shap_values"]) == COLUMNS
            assert [*explanation["shap_values"].values(), explanation["base_value"]] == pytest.approx(row.tolist(), abs=1e-5)


def test_classes_and_binary_outputs(tmp_path, program):
    data = rows(300, 5)
    target = (numpy.nan_to_num(data[:, 0]) > 0).astype(int) + (numpy.nan_to_num(data[:, 1]) > 1)
    model = xgboost.train({"objective": "multi:softprob", "num_class": 3, "max_depth": 3}, xgboost.DMatrix(data, target, feature_names=COLUMNS), 5)
    model.save_model(tmp_path / "m.json")
    expected = contributions(model, data[:7])  # rows x classes x (columns + 1)
    with serve(tmp_path, "m.json", "--explain") as server:
        head = {"Content-Type": "application/json"}
        done = server.post("/v2/models/m/explain", json=body_of(data[:7], parameters={"binary_data_output": True}), headers=head)
        split = int(done.headers["Inference-Header-Content-Length"])
        result = tritonclient.http.InferResult.from_response_body(done.content, False, split)
        assert result.as_numpy("shap_values").shape == (7, 3, 3) and result.as_numpy("probabilities").shape == (7, 3)
        assert numpy.abs(result.as_numpy("shap_values") - expected[:, :, :-1]).max() < 1e-5
        assert numpy.abs(result.as_numpy("base_values") - expected[:, :, -1]).max() < 1e-5
        one = server.post("/v1/models/m:explain", json={"instances": [[0, 0, 0]]}).json()["explanations"][0]
        assert len(one["base_value"]) == 3 and all(len(values) == 3 for values in one["shap_values"].values())


def test_refusals(tmp_path, program):
    booster().save_model(tmp_path / "churn.ubj")
    data = rows(65)
    with serve(tmp_path, "churn.ubj") as server:
        for path, body in (("/v2/models/churn/explain", body_of(data[:1])), ("/v1/models/churn:explain", {"instances": [[1, 2, 3]]})):
            done = server.post(path, json=body)
            assert done.status_code == 403 and "--explain" in done.json()["error"], done.text
    with serve(tmp_path, "churn.ubj", "--explain") as server:
        for path, body, status, words in (
                ("/v2/models/churn/explain", body_of(data), 413, "at most 64"), ("/v1/models/churn:explain", {"instances": data.tolist()}, 400, ""),
                ("/v1/models/churn:explain", {"instances": [[1, 2]]}, 400, "row 0"), ("/v2/models/absent/explain", {}, 404, "absent"),
                ("/v1/models/churn:explain", {"inputs": {}}, 400, "instances")):
            done = requests.post(server.url + path, data=json.dumps(body), timeout=30)
            assert done.status_code == status and words in done.json()["error"], done.text
        assert server.get("/v2/models/churn/explain").status_code == 405
        assert server.post("/invocations", json={"instances": [[1, 2, 3]], "params": [1]}).status_code == 400
        assert server.post("/invocations", json={"instances": [[1, 2, 3]], "params": {"top_k": 1}}).status_code == 200
