"""Registered models, versions and logged models: MLflow's recorded answers, its unmodified client, and sources that would lead out."""
import json
import pathlib
import subprocess
import sys

import pytest
import requests

from conftest import PROGRAM
from mlflow_server import serving
from test_mlflow_replay import Replay

CALLS = pathlib.Path(__file__).resolve().parents[1] / "data" / "mlflow" / "registry_calls.jsonl"
API = "/api/2.0/mlflow/"
TIMES = {"creation_timestamp", "last_updated_timestamp", "creation_timestamp_ms", "last_updated_timestamp_ms", "creation_time",
         "last_update_time"}


class RegistryReplay(Replay):
    def send(self, call):
        return super().send({**call, "path": self.ours(call["path"])})

    def learn(self, call, answer):
        super().learn(call, answer)
        if call["path"].endswith("/logged-models") and call["status"] == 200:
            self.ids[call["response"]["model"]["info"]["model_id"]] = answer["model"]["info"]["model_id"]


def normal(value):
    if isinstance(value, dict):
        return {k: normal(v) for k, v in value.items() if k not in TIMES and v not in ({}, [])}
    if isinstance(value, list):
        return sorted((normal(v) for v in value), key=lambda v: json.dumps(v, sort_keys=True))
    return value


@pytest.fixture(scope="module")
def url(program, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("registry")) as address:
        yield address


def ask(url, method, path, expected=200, /, **arguments):
    query = {"params": arguments} if method == "GET" else {"json": arguments}
    answer = requests.request(method, url + API + path, timeout=30, **query)
    assert answer.status_code == expected, (path, arguments, answer.text)
    return answer.json()


def test_the_recorded_calls_get_mlflows_answers(program, tmp_path):
    different = []
    with serving(tmp_path) as address:
        replay = RegistryReplay(address)
        for number, call in enumerate(map(json.loads, CALLS.read_text().splitlines())):
            answer = replay.send(call)
            if answer.status_code != call["status"]:
                different.append((number, call["path"], call["status"], answer.status_code, answer.text[:300]))
                continue
            if "response" not in call:
                continue
            replay.learn(call, answer.json())
            theirs, ours = normal(replay.ours(call["response"])), normal(answer.json())
            if theirs != ours:
                different.append((number, call["path"], theirs, ours))
    assert not different, "\n".join(map(str, different[:10]))


def make_model(url, name, **tags):
    ask(url, "POST", "registered-models/create", name=name, tags=[{"key": k, "value": v} for k, v in tags.items()])


def make_logged(url):
    return ask(url, "POST", "logged-models", experiment_id="0", name="m")["model"]["info"]


def test_numbers_of_deleted_versions_do_not_come_again(url):
    make_model(url, "numbers")
    for expected in ("1", "2"):
        made = ask(url, "POST", "model-versions/create", name="numbers", source="s3://bucket/a")
        assert made["model_version"]["version"] == expected
    ask(url, "POST", "registered-models/alias", name="numbers", alias="a", version="2")
    ask(url, "DELETE", "model-versions/delete", name="numbers", version="2")
    ask(url, "GET", "model-versions/get", 404, name="numbers", version="2")
    ask(url, "GET", "registered-models/alias", 400, name="numbers", alias="a")
    assert ask(url, "POST", "model-versions/create", name="numbers", source="s3://b/a")["model_version"]["version"] == "3"
    ask(url, "POST", "registered-models/rename", name="numbers", new_name="renamed")
    assert ask(url, "GET", "registered-models/alias", name="renamed", alias="latest")["model_version"]["version"] == "3"
    ask(url, "DELETE", "registered-models/delete", name="renamed")
    ask(url, "GET", "registered-models/get", 404, name="renamed")


def test_archiving_moves_the_others_of_a_stage(url):
    make_model(url, "stages")
    for _ in range(3):
        ask(url, "POST", "model-versions/create", name="stages", source="s3://bucket/a")
    for version in "12":
        ask(url, "POST", "model-versions/transition-stage", name="stages", version=version, stage="production",
            archive_existing_versions=False)
    ask(url, "POST", "model-versions/transition-stage", name="stages", version="3", stage="Production", archive_existing_versions=True)
    found = ask(url, "GET", "model-versions/search", filter="name = 'stages'", order_by="version_number ASC")["model_versions"]
    assert [v["current_stage"] for v in found] == ["Archived", "Archived", "Production"]
    ask(url, "POST", "model-versions/transition-stage", 400, name="stages", version="3", stage="Nowhere",
        archive_existing_versions=False)


def test_searches_page_by_key_and_hide_prompts(url):
    names = [f"page{i:02}" for i in range(25)]
    for name in names:
        make_model(url, name, team="a" if int(name[4:]) % 2 else "b")
    make_model(url, "page-prompt", **{"mlflow.prompt.is_prompt": "true"})
    found, token = [], None
    while True:
        page = ask(url, "GET", "registered-models/search", filter="name LIKE 'page%'", max_results=10,
                   **({"page_token": token} if token else {}))
        found += [m["name"] for m in page["registered_models"]]
        token = page.get("next_page_token")
        if not token:
            break
    assert found == names
    both = ask(url, "GET", "registered-models/search", filter="tags.team = 'a' AND (name = 'page01' OR name = 'page02')")
    assert [m["name"] for m in both["registered_models"]] == ["page01"]
    prompts = ask(url, "GET", "registered-models/search", filter="tags.`mlflow.prompt.is_prompt` = 'true' AND name LIKE 'page%'")
    assert [m["name"] for m in prompts["registered_models"]] == ["page-prompt"]
    ask(url, "GET", "registered-models/search", 400, filter="nonsense")
    ask(url, "GET", "registered-models/search", 400, max_results=1001)


def test_logged_models_are_found_by_metric_param_and_tag(url):
    run = ask(url, "POST", "runs/create", experiment_id="0")["run"]["info"]["run_id"]
    ids = []
    for i in range(5):
        made = ask(url, "POST", "logged-models", experiment_id="0", name=f"found{i}", source_run_id=run,
                   params=[{"key": "depth", "value": str(i)}], tags=[{"key": "odd", "value": str(i % 2)}])["model"]["info"]
        ids.append(made["model_id"])
        ask(url, "POST", "runs/log-metric", run_id=run, key="acc", value=i / 10, timestamp=i, step=0, model_id=made["model_id"])
    search = dict(experiment_ids=["0"], order_by=[{"field_name": "metrics.acc", "ascending": False}])
    found = ask(url, "POST", "logged-models/search", filter="metrics.acc >= 0.1 AND tags.odd = '1'", **search)["models"]
    assert [m["info"]["model_id"] for m in found] == [ids[3], ids[1]]
    assert found[0]["data"]["metrics"][0]["value"] == 0.3
    first = ask(url, "POST", "logged-models/search", filter="name LIKE 'found%'", max_results=2, **search)
    second = ask(url, "POST", "logged-models/search", filter="name LIKE 'found%'", max_results=9, page_token=first["next_page_token"],
                 **search)
    assert [m["info"]["model_id"] for m in first["models"] + second["models"]] == ids[::-1]
    ask(url, "DELETE", f"logged-models/{ids[0]}")
    ask(url, "GET", f"logged-models/{ids[0]}", 404)


def test_logged_models_are_found_by_what_they_were_measured_on(url):
    experiment = ask(url, "POST", "experiments/create", name="measured")["experiment_id"]
    run = ask(url, "POST", "runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
    ids = {}
    # name: (value on train at 1, on test at 2, on test at 3)
    for name, values in {"a": (0.9, 0.1, 0.4), "b": (0.5, 0.8, 0.2), "c": (0.7, None, None)}.items():
        ids[name] = ask(url, "POST", "logged-models", experiment_id=experiment, name=name, source_run_id=run)["model"]["info"]["model_id"]
        for time, (dataset, value) in enumerate(zip(("it's train", "test", "test"), values)):
            if value is not None:
                ask(url, "POST", "runs/log-metric", run_id=run, key="acc", value=value, timestamp=time, step=0, model_id=ids[name],
                    dataset_name=dataset, dataset_digest=f"d{time}")

    def found(order=(), **more):
        answer = ask(url, "POST", "logged-models/search", experiment_ids=[experiment], order_by=list(order), **more)["models"]
        return "".join(m["info"]["name"] for m in answer)

    train, test = {"dataset_name": "it's train"}, {"dataset_name": "test"}
    by = lambda **of: [{"field_name": "metrics.acc", "ascending": False, **of}]
    assert found(by()) == "cab"  # the latest value, wherever it was measured
    assert found(by(**train)) == "acb" and found(by(**test)) == "abc" and found(by(dataset_name="test", dataset_digest="d1")) == "bac"
    assert sorted(found(datasets=[test])) == ["a", "b"] and sorted(found(datasets=[train])) == ["a", "b", "c"]
    assert found(filter="metrics.acc > 0.6", datasets=[test]) == "b" and found(filter="metrics.acc > 0.6", datasets=[{**test, "dataset_digest": "d2"}]) == ""
    assert sorted(found(filter="metrics.acc > 0.6", datasets=[train])) == ["a", "c"] and found(by(), datasets=[{"dataset_name": "' OR '1'='1"}]) == ""
    ask(url, "POST", "logged-models/search", 400, experiment_ids=[experiment], datasets=[{"dataset_digest": "d"}])


def test_datasets_of_experiments_are_found(url):
    experiment = ask(url, "POST", "experiments/create", name="read")["experiment_id"]
    for context in ("train", "eval", "train"):
        run = ask(url, "POST", "runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
        dataset = {"name": "d", "digest": "1", "source_type": "s", "source": "x"}
        ask(url, "POST", "runs/log-inputs", run_id=run, datasets=[{"dataset": dataset, "tags": [{"key": "mlflow.data.context", "value": context}]}])
    expected = [{"experiment_id": experiment, "name": "d", "digest": "1", "context": context} for context in ("eval", "train")]
    for path in ("/api/2.0mlflow", "/ajax-api/2.0/mlflow", "/api/2.0/mlflow"):
        answer = requests.post(f"{url}{path}/experiments/search-datasets", json={"experiment_ids": [experiment]}, timeout=30)
        assert answer.json() == {"dataset_summaries": expected}, answer.text
    ask(url, "POST", "experiments/search-datasets", 400, experiment_ids=[])
    ask(url, "POST", "experiments/search-datasets", 400, experiment_ids=["0"] * 21)


def test_files_of_versions_and_logged_models_are_got(url):
    model = make_logged(url)
    base = model["artifact_uri"].removeprefix("mlflow-artifacts:/").lstrip("/")
    assert requests.put(f"{url}/api/2.0/mlflow-artifacts/artifacts/{base}/a/b.txt", data=b"bytes", timeout=30).status_code == 200
    make_model(url, "files")
    ask(url, "POST", "model-versions/create", name="files", source=f"models:/{model['model_id']}", model_id=model["model_id"])
    places = [("/model-versions/get-artifact", {"name": "files", "version": "1"}, "path"),
              (f"/ajax-api/2.0/mlflow/logged-models/{model['model_id']}/artifacts/files", {}, "artifact_file_path")]
    for address, owner, name in places:
        assert requests.get(url + address, params={**owner, name: "a/b.txt"}, timeout=30).content == b"bytes"
        assert requests.get(url + address, params={**owner, name: "a/none"}, timeout=30).status_code == 404
        for outside in ("../../../x", "%2e%2e/x", "/etc/passwd"):
            assert requests.get(url + address, params={**owner, name: outside}, timeout=30).status_code == 400
    listed = ask(url, "GET", f"logged-models/{model['model_id']}/artifacts/directories", artifact_directory_path="a")
    assert listed["files"] == [{"path": "a/b.txt", "is_dir": False, "file_size": 5}]


OUTSIDE = ["/etc/passwd", "file:///etc/passwd", "file:/etc", "FILE:///etc", "//proc/self/root", "../../etc", "s3://bucket/../../etc",
           "mlflow-artifacts:/../../etc", "mlflow-artifacts://host:1/..%2f..%2fetc", "mlflow-artifacts:/0/other/artifacts",
           "http://host/api/2.0/mlflow-artifacts/artifacts/%252e%252e/x", "models://host/x", "models:/nosuch/1", "C:\\x",
           "runs:/00000000000000000000000000000000/model", "a#/../b", "s3://b/a?x"]


@pytest.mark.parametrize("source", OUTSIDE)
@pytest.mark.parametrize("prompt", [False, True])
def test_a_source_does_not_lead_out(url, source, prompt):
    name = f"outside{abs(hash((source, prompt)))}"
    make_model(url, name)
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}] if prompt else []
    for owner in ({}, {"run_id": ask(url, "POST", "runs/create", experiment_id="0")["run"]["info"]["run_id"]},
                  {"model_id": make_logged(url)["model_id"]}):
        answer = requests.post(url + API + "model-versions/create", json={"name": name, "source": source, "tags": tags, **owner}, timeout=30)
        assert answer.status_code in (400, 404), (source, owner, answer.text)
    assert ask(url, "GET", "model-versions/search", filter=f"name = '{name}'") == {}


def test_bad_names_are_refused_in_mlflows_words(url):
    for name in ("a/b", "a:b", " ", "..", "x" * 300):
        ask(url, "POST", "registered-models/create", 400, name=name)
    make_model(url, "aliased")
    ask(url, "POST", "model-versions/create", name="aliased", source="s3://bucket/a")
    for alias in ("latest", "v1", "a b", "x" * 256):
        ask(url, "POST", "registered-models/alias", 400, name="aliased", alias=alias, version="1")
    ask(url, "POST", "logged-models", 400, experiment_id="0", name="a.b")


def test_the_client_registers_and_finds(url, tmp_path):
    """MLflow's own client, unmodified."""
    script = tmp_path / "script.py"
    script.write_text("""
import mlflow, pathlib, sys
from mlflow import MlflowClient
client = MlflowClient()
mlflow.set_experiment("client")
with mlflow.start_run() as run:
    mlflow.log_text("hello", "notes/hello.txt")
    model = mlflow.initialize_logged_model(name="own", params={"a": "1"})
    folder = pathlib.Path(sys.argv[1]); (folder / "sub").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}")
    (folder / "sub" / "weights.bin").write_bytes(bytes(range(256)) * 1000)
    client.log_model_artifacts(model.model_id, str(folder))
    mlflow.finalize_logged_model(model.model_id, "READY")
    mlflow.log_metric("auc", 0.9, model_id=model.model_id)
assert [f.path for f in client.list_artifacts(run.info.run_id, "notes")] == ["notes/hello.txt"]
assert mlflow.artifacts.load_text(run.info.artifact_uri + "/notes/hello.txt") == "hello"
version = mlflow.register_model(f"models:/{model.model_id}", "own")
assert version.version == 1 or version.version == "1"
client.set_registered_model_alias("own", "champion", version.version)
assert client.get_model_version_by_alias("own", "champion").version == version.version
got = mlflow.artifacts.download_artifacts("models:/own@champion", dst_path=sys.argv[2])
assert (pathlib.Path(got) / "sub" / "weights.bin").read_bytes() == bytes(range(256)) * 1000
assert [m.name for m in client.search_registered_models("name = 'own'")] == ["own"]
found = mlflow.search_logged_models(filter_string="metrics.auc > 0.5", output_format="list")
assert [m.model_id for m in found] == [model.model_id]
mlflow.genai.register_prompt(name="greet", template="Hello {{x}}") if hasattr(mlflow, "genai") else None
client.delete_registered_model("own")
""")
    (tmp_path / "out").mkdir()
    done = subprocess.run([sys.executable, script, tmp_path / "model", tmp_path / "out"], capture_output=True, text=True,
                          env={"MLFLOW_TRACKING_URI": url, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "GIT_PYTHON_REFRESH": "quiet"})
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_ledger_has_every_change(program, tmp_path):
    with serving(tmp_path) as address:
        make_model(address, "told")
        ask(address, "POST", "model-versions/create", name="told", source="s3://bucket/a")
        logged = make_logged(address)["model_id"]
        ask(address, "PATCH", f"logged-models/{logged}", model_id=logged, status="LOGGED_MODEL_READY")
    (tmp_path / "store" / "sluice.yaml").write_text("project: told\n")
    told = subprocess.run([PROGRAM, "sql", "SELECT action FROM ledger", "--json"], cwd=tmp_path / "store", capture_output=True, text=True)
    for action in ("registered.create", "registered.version", "logged-model.create", "logged-model.finalize"):
        assert action in told.stdout, told.stdout + told.stderr
    proved = subprocess.run([PROGRAM, "verify"], cwd=tmp_path / "store", capture_output=True, text=True)
    assert proved.returncode == 0, proved.stdout + proved.stderr
