"""`sluice import clearml` of the zips that ClearML's package keeps of off-line sessions (layout and members as clearml 2.1.12 wrote them)."""
import json
import math
import zipfile

import pytest

TASK = "offline-f81080bebba9490aadcfb8d1f547573c"


def scalar(i, variant, value, metric="loss"):
    return {"timestamp": 1795448273620 + i, "type": "training_stats_scalar", "task": TASK, "iter": i, "metric": metric, "variant": variant, "value": value, "method": "get"}


def task(task_id=TASK, name="first try"):
    parameter = {"description": "", "type": "int"}
    return {"id": task_id, "name": name, "project_name": "team/vision", "type": "training", "tags": ["x", "y"], "comment": "a note", "output": {},
            "hyperparams": {"General": {"depth": {**parameter, "name": "depth", "section": "General", "value": "3"}},
                            "extra": {"a/b": {**parameter, "name": "a/b", "section": "extra", "value": "True"}}},
            "configuration": {"model": {"name": "model", "value": "layers = 3", "type": "dictionary"}},
            "script": {"entry_point": "train.py", "repository": "", "version_num": "abc123"}}


def session(path, told=None, **files):
    data = f"data/team/vision/first try.{TASK}"
    lines = [[scalar(i, "train", 1 / (i + 1)) for i in range(1500)], [scalar(0, "val", 2.0), scalar(1, "val", math.nan)],
             [{**scalar(-2147483648, "best", 0.5, "Summary"), "timestamp": 1795448279000}],
             [{"timestamp": 1795448273700, "type": "plot", "task": TASK, "iter": 0, "metric": "roc", "variant": "v", "plot_str": "{}"}]]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("task.json", json.dumps(told or task()))
        z.writestr("metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
        z.writestr("log.jsonl", json.dumps([{"timestamp": 1795448273221, "type": "log", "msg": "hello log\nstdout line"}]) + "\n")
        z.writestr(f"{data}/artifacts/notes/a file.txt", "artifact text")
        for name, content in files.items():
            z.writestr(name, content)


@pytest.fixture
def here(project):
    project.write("sluice.yaml", "project: x\n")
    project.sluice("init")
    return project


def test_an_offline_session_comes_over_whole_and_once(here, tmp_path):
    session(tmp_path / "one.zip")
    result = here.json("import", "clearml", tmp_path / "one.zip")
    counts = {row["what"]: (row["read"], row["there"]) for row in result["counts"]}
    assert counts["runs"] == (1, 1) and counts["metric points"] == (1503, 1503) and counts["parameters"] == (2, 2) and counts["artifacts"] == (4, 4)
    assert here.json("import", "clearml", tmp_path / "one.zip")["runs_complete_before"] == 1
    with here.up() as server:
        found = server.post("/api/2.0/mlflow/runs/search", json={"experiment_ids": ["1"]}).json()["runs"]
        assert len(found) == 1
        info, data = found[0]["info"], found[0]["data"]
        tags = {t["key"]: t["value"] for t in data["tags"]}
        assert info["run_name"] == "first try" and info["status"] == "FINISHED" and info["start_time"] == 1795448273221 and info["end_time"] == 1795448279000
        assert {p["key"]: p["value"] for p in data["params"]} == {"depth": "3", "extra/a/b": "True"}
        assert tags["clearml.tags"] == "x,y" and tags["mlflow.source.git.commit"] == "abc123" and tags["clearml.task_id"] == TASK
        latest = {m["key"]: m for m in data["metrics"]}
        assert latest["best"]["value"] == 0.5 and latest["loss/val"]["value"] == "NaN" and latest["loss/train"]["step"] == 1499
        run = info["run_id"]
        page = server.get(f"/api/2.0/mlflow/metrics/get-history?run_id={run}&metric_key=loss/train&max_results=5000").json()["metrics"]
        assert [m["value"] for m in page] == [1 / (i + 1) for i in range(1500)]
        assert server.get(f"/get-artifact?run_id={run}&path=artifacts/notes/a file.txt").text == "artifact text"
        assert server.get(f"/get-artifact?run_id={run}&path=log.txt").text == "hello log\nstdout line\n"
        assert server.get(f"/get-artifact?run_id={run}&path=configuration/model").text == "layers = 3"
        assert json.loads(server.get(f"/get-artifact?run_id={run}&path=plots.jsonl").text)["metric"] == "roc"
    here.sluice("verify")


def test_a_folder_of_sessions_and_what_is_none(here, tmp_path):
    session(tmp_path / "a.zip")
    session(tmp_path / "b.zip", task("offline-2", "second"))
    assert here.json("import", "clearml", tmp_path)["runs_new"] == 2
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as z:
        z.writestr("other.txt", "no session")
    assert "task.json" in here.sluice("import", "clearml", tmp_path / "c.zip", status=2).stderr
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as z:
        z.writestr("../out.txt", "out of the folder")
    assert here.sluice("import", "clearml", tmp_path / "d.zip", status=None).returncode != 0 and not (tmp_path / "out.txt").exists()
