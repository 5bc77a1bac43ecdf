"""`sluice import mlflow-files` of stores that MLflow itself wrote, and `sluice import mlflow` of a database with its schema; both read back through
the protocol."""
import math
import os
import sqlite3
import subprocess
import sys

import pytest

# In a process of its own: the client keeps the address of its store for as long as it lives.
STORE = """
import math, mlflow
mlflow.set_tracking_uri("file://" + __import__("sys").argv[1])
client = mlflow.MlflowClient()
mlflow.set_experiment("first")
with mlflow.start_run(run_name="parent", tags={"stage": "try"}) as run:
    mlflow.log_params({"depth": 3, "group/rate": 0.1})
    for step in range(2500):
        mlflow.log_metric("train/loss", 1 / (step + 1), step=step)
    mlflow.log_metric("nan", math.nan)
    mlflow.log_text("hello", "notes/x.txt")
with mlflow.start_run(run_name="gone") as gone:
    pass
client.delete_run(gone.info.run_id)
running = client.create_run("0", run_name="under way")
client.create_registered_model("m", tags={"k": "v"}, description="ours")
for _ in range(3):
    client.create_model_version("m", run.info.artifact_uri + "/notes", run.info.run_id, tags={"t": "u"})
client.delete_model_version("m", "2")
client.set_registered_model_alias("m", "champion", 3)
print(run.info.run_id, gone.info.run_id, running.info.run_id)
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder mlruns, and the ids of its runs: finished, deleted, running."""
    folder = tmp_path_factory.mktemp("files") / "mlruns"
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ALLOW_FILE_STORE": "true"}
    done = subprocess.run([sys.executable, "-c", STORE, folder], env=environment, capture_output=True, text=True, check=True, timeout=120)
    return folder, done.stdout.split()


def counts(project, *arguments):
    result = project.json("import", *arguments)
    return result, {row["what"]: (row["read"], row["there"]) for row in result["counts"]}


def history(server, run, key):
    found, token = [], ""
    while True:
        page = server.get(f"/api/2.0/mlflow/metrics/get-history?run_id={run}&metric_key={key}&max_results=1000{token}").json()
        found += page["metrics"]
        if "next_page_token" not in page:
            return found
        token = "&page_token=" + page["next_page_token"]


@pytest.mark.slow
def test_a_folder_comes_over_whole_and_once(project, files):
    folder, (run, gone, running) = files
    project.write("sluice.yaml", "project: x\n")
    project.sluice("init")
    result, first = counts(project, "mlflow-files", folder)
    assert first["runs"] == (3, 3) and first["metric points"] == (2501, 2501) and first["parameters"] == (2, 2)
    assert first["artifacts"] == (1, 1) and first["model versions"] == (2, 2) and result["runs_new"] == 3
    again, second = counts(project, "mlflow-files", folder)
    assert (again["runs_new"], again["runs_complete_before"]) == (0, 2)  # the one that still runs is read again
    assert second["metric points"] == (0, 2501) and second["model versions"] == (2, 2)
    with project.up() as server:
        got = server.get(f"/api/2.0/mlflow/runs/get?run_id={run}").json()["run"]
        assert got["info"]["run_name"] == "parent" and got["info"]["status"] == "FINISHED"
        assert {p["key"]: p["value"] for p in got["data"]["params"]} == {"depth": "3", "group/rate": "0.1"}
        assert {t["key"]: t["value"] for t in got["data"]["tags"]}["stage"] == "try"
        assert [m["value"] for m in history(server, run, "train/loss")] == [1 / (i + 1) for i in range(2500)]
        assert math.isnan(float(history(server, run, "nan")[0]["value"]))
        assert server.get(f"/get-artifact?run_id={run}&path=notes/x.txt").text == "hello"
        assert server.get(f"/api/2.0/mlflow/runs/get?run_id={gone}").json()["run"]["info"]["lifecycle_stage"] == "deleted"
        assert server.get(f"/api/2.0/mlflow/runs/get?run_id={running}").json()["run"]["info"]["status"] == "RUNNING"
        version = server.get("/api/2.0/mlflow/registered-models/alias?name=m&alias=champion").json()["model_version"]
        assert version["version"] == "3" and version["source"].endswith(f"{run}/artifacts/notes") and version["run_id"] == run
        assert server.get("/api/2.0/mlflow/model-versions/get?name=m&version=2").status_code == 404
    project.sluice("verify")


def test_what_was_cut_short_goes_on(project, files, tmp_path):
    """A metric's file that cannot be read ends the import; after its repair the same command brings the rest."""
    folder, (run, *_) = files
    copy = tmp_path / "mlruns"
    subprocess.run(["cp", "-r", folder, copy], check=True)
    loss = next(copy.glob(f"*/{run}/metrics/train/loss"))
    whole = loss.read_text()
    loss.write_text(whole + "not a point\n")
    project.write("sluice.yaml", "project: x\n")
    project.sluice("init")
    assert "is not a point" in project.sluice("import", "mlflow-files", copy, status=None).stderr
    loss.write_text(whole)
    result, found = counts(project, "mlflow-files", copy)
    assert found["runs"] == (3, 3) and found["metric points"][1] == 2501


SCHEMA = """
CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY, name TEXT, artifact_location TEXT, lifecycle_stage TEXT, creation_time BIGINT, last_update_time BIGINT);
CREATE TABLE experiment_tags (key TEXT, value TEXT, experiment_id INTEGER, PRIMARY KEY (key, experiment_id));
CREATE TABLE runs (run_uuid TEXT PRIMARY KEY, name TEXT, source_type TEXT, user_id TEXT, status TEXT, start_time BIGINT, end_time BIGINT, deleted_time BIGINT,
  lifecycle_stage TEXT, artifact_uri TEXT, experiment_id INTEGER);
CREATE TABLE metrics (key TEXT, value FLOAT, timestamp BIGINT, run_uuid TEXT, step BIGINT, is_nan BOOLEAN, PRIMARY KEY (key, timestamp, step, run_uuid, value, is_nan));
CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT, PRIMARY KEY (key, run_uuid));
CREATE TABLE tags (key TEXT, value TEXT, run_uuid TEXT, PRIMARY KEY (key, run_uuid));
CREATE TABLE registered_models (name TEXT PRIMARY KEY, creation_time BIGINT, last_updated_time BIGINT, description TEXT);
CREATE TABLE registered_model_tags (key TEXT, value TEXT, name TEXT, PRIMARY KEY (key, name));
CREATE TABLE registered_model_aliases (alias TEXT, version INTEGER, name TEXT, PRIMARY KEY (name, alias));
CREATE TABLE model_versions (name TEXT, version INTEGER, creation_time BIGINT, last_updated_time BIGINT, description TEXT, user_id TEXT, current_stage TEXT,
  source TEXT, run_id TEXT, status TEXT, PRIMARY KEY (name, version));
CREATE TABLE model_version_tags (key TEXT, value TEXT, name TEXT, version INTEGER, PRIMARY KEY (key, name, version));
"""


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "mlflow.db"
    store = sqlite3.connect(path)
    store.executescript(SCHEMA)
    store.executemany("INSERT INTO experiments VALUES (?, ?, ?, ?, 1, 1)", [(0, "Default", "mlflow-artifacts:/0", "active"),
                                                                            (1, "old", "mlflow-artifacts:/1", "deleted")])
    for i in range(50):
        run = f"{i:032x}"
        store.execute("INSERT INTO runs VALUES (?, ?, 'LOCAL', 'me', 'FINISHED', ?, ?, NULL, ?, ?, ?)", (
            run, f"run {i}", 1000 + i, 2000 + i, "deleted" if i % 10 == 9 else "active", f"mlflow-artifacts:/{i % 2}/{run}/artifacts", i % 2))
        store.executemany("INSERT INTO metrics VALUES ('m', ?, ?, ?, ?, 0)", [(s * 0.5, 1000 + s, run, s) for s in range(30)])
        store.execute("INSERT INTO metrics VALUES ('m', 0, 1030, ?, 30, 1)", (run,))
        store.execute("INSERT INTO params VALUES ('p', ?, ?)", (str(i % 3), run))
    store.execute("INSERT INTO registered_models VALUES ('m', 1, 1, NULL)")
    store.executemany("INSERT INTO model_versions VALUES ('m', ?, 1, 1, NULL, 'me', ?, ?, ?, 'READY')", [
        (1, "Production", f"mlflow-artifacts:/0/{0:032x}/artifacts/model", f"{0:032x}"), (2, "None", "/etc", f"{0:032x}")])
    store.execute("INSERT INTO registered_model_aliases VALUES ('best', 1, 'm')")
    store.commit()
    artifact = tmp_path / "mlartifacts" / "0" / f"{0:032x}" / "artifacts" / "model" / "MLmodel"
    artifact.parent.mkdir(parents=True)
    artifact.write_text("flavors: {}\n")
    return path


def test_a_database_comes_over(project, database):
    project.write("sluice.yaml", "project: x\n")
    project.sluice("init")
    before = database.read_bytes()
    result, found = counts(project, "mlflow", database, "--artifacts", database.parent / "mlartifacts")
    assert found["runs"] == (50, 50) and found["metric points"] == (1550, 1550) and found["artifacts"] == (1, 1)
    assert result["refused"] == 1 and found["model versions"] == (2, 1)  # the source /etc is nobody's artifact
    assert database.read_bytes() == before
    assert counts(project, "mlflow", database)[0]["runs_complete_before"] == 50
    with project.up() as server:
        runs = server.post("/api/2.0/mlflow/runs/search", json={"experiment_ids": ["0"], "filter": "params.p = '1'"}).json()["runs"]
        assert {r["info"]["run_name"] for r in runs} == {f"run {i}" for i in range(0, 50, 2) if i % 3 == 1}
        assert len(history(server, f"{4:032x}", "m")) == 31
        version = server.get("/api/2.0/mlflow/registered-models/alias?name=m&alias=best").json()["model_version"]
        assert version["current_stage"] == "Production"
        assert server.get("/model-versions/get-artifact?name=m&version=1&path=MLmodel").text == "flavors: {}\n"


def test_what_is_no_store_is_refused_plainly(project, tmp_path):
    project.write("sluice.yaml", "project: x\n")
    project.sluice("init")
    other = tmp_path / "other.db"
    sqlite3.connect(other).execute("CREATE TABLE t (x)")
    assert "is not the database of an MLflow server" in project.sluice("import", "mlflow", other, status=2).stderr
    other.write_text("no database at all, but long enough to be looked at")
    assert "not a database" in project.sluice("import", "mlflow", other, status=None).stderr
    assert "no such folder" in project.sluice("import", "mlflow-files", tmp_path / "nothing", status=2).stderr
    project.sluice("import", "gx", other, status=2)
