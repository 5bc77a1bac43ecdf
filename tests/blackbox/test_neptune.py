"""`sluice import neptune` of what neptune-exporter writes: its schema (src/neptune_exporter/model.py), its layout (storage/parquet_writer.py)."""
import datetime
import decimal
import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

SCHEMA = pa.schema([
    ("project_id", pa.string()), ("run_id", pa.string()), ("attribute_path", pa.string()), ("attribute_type", pa.string()), ("step", pa.decimal128(18, 6)),
    ("timestamp", pa.timestamp("ms", tz="UTC")), ("int_value", pa.int64()), ("float_value", pa.float64()), ("string_value", pa.string()), ("bool_value", pa.bool_()),
    ("datetime_value", pa.timestamp("ms", tz="UTC")), ("string_set_value", pa.list_(pa.string())), ("file_value", pa.struct([("path", pa.string())])),
    ("histogram_value", pa.struct([("type", pa.string()), ("edges", pa.list_(pa.float64())), ("values", pa.list_(pa.float64()))]))])
START = datetime.datetime(2025, 3, 1, tzinfo=datetime.timezone.utc)
PROJECT = "team/vision"


def folder_of(part):
    return "".join(c if c.isalnum() or c in "_-" else "_" for c in part) + "-" + hashlib.blake2b(part.encode(), digest_size=8).hexdigest()


def value(run, path, kind, **column):
    return {"project_id": PROJECT, "run_id": run, "attribute_path": path, "attribute_type": kind, **column}


def series(run, path, kind, points, column):
    return [value(run, path, kind, step=decimal.Decimal(str(s)), timestamp=START + datetime.timedelta(seconds=i), **{column: v}) for i, (s, v) in enumerate(points)]


def head(run, name):
    return [value(run, "sys/name", "string", string_value=name), value(run, "sys/owner", "string", string_value="ann"),
            value(run, "sys/creation_time", "datetime", datetime_value=START),
            value(run, "sys/modification_time", "datetime", datetime_value=START + datetime.timedelta(minutes=5))]


def write(data, run, rows, parts=1):
    folder = data / folder_of(PROJECT)
    folder.mkdir(parents=True, exist_ok=True)
    size = -(-len(rows) // parts)
    for i in range(parts):
        pq.write_table(pa.Table.from_pylist(rows[i * size:(i + 1) * size], SCHEMA), folder / f"{folder_of(run)}_part_{i}.parquet", compression="snappy")


@pytest.fixture
def exports(tmp_path):
    base = tmp_path / "exports"
    files = base / "files" / folder_of(PROJECT)
    (files / "set").mkdir(parents=True)
    (files / "model.bin").write_bytes(b"weights")
    (files / "set" / "a.txt").write_text("in a set")
    root = folder_of(PROJECT)
    rows = head("RUN-1", "first try") + [
        value("RUN-1", "params/lr", "float", float_value=0.1), value("RUN-1", "params/depth", "int", int_value=3),
        value("RUN-1", "params/bn", "bool", bool_value=True), value("RUN-1", "note: ünïcode", "string", string_value="héllo"),
        value("RUN-1", "sys/tags", "string_set", string_set_value=["b", "a"]), value("RUN-1", "sys/failed", "bool", bool_value=True),
        value("RUN-1", "model", "file", file_value={"path": f"{root}/model.bin"}), value("RUN-1", "data/set", "file_set", file_value={"path": f"{root}/set"}),
        value("RUN-1", "lost", "file", file_value={"path": f"{root}/gone.bin"})]
    rows += series("RUN-1", "train/loss", "float_series", [(i / 2, 1 / (i + 1)) for i in range(3000)], "float_value")
    rows += series("RUN-1", "train/log", "string_series", [(0, "begin"), (0.5, 'so "so"')], "string_value")
    rows += series("RUN-1", "grads", "histogram_series", [(1, {"type": "COUNTING", "edges": [0, 1, 2], "values": [3, 4]})], "histogram_value")
    write(base / "data", "RUN-1", rows, parts=3)
    fork = head("RUN-2", "a fork") + [value("RUN-2", "sys/forking/parent", "string", string_value="RUN-1"),
                                      value("RUN-2", "sys/forking/step", "float", float_value=100.5)]
    write(base / "data", "RUN-2", fork + series("RUN-2", "train/loss", "float_series", [(101, 0.001), (102, 0.0005)], "float_value"))
    (base / "data" / root / f"{folder_of('RUN-3')}_part_1.parquet").write_bytes(b"cut short: part 0 is missing")
    return base


def test_runs_of_neptune_come_over_whole_and_once(project, exports):
    project.write("sluice.yaml", "project: x\n")
    project.sluice("init")
    result = project.json("import", "neptune", exports)
    counts = {row["what"]: (row["read"], row["there"]) for row in result["counts"]}
    assert counts["runs"] == (2, 2) and counts["metric points"] == (3002, 3002) and counts["artifacts"] == (5, 4) and counts["parameters"] == (4, 4)
    again = project.json("import", "neptune", exports)
    assert (again["runs_new"], again["runs_complete_before"]) == (0, 2)
    with project.up() as server:
        experiment = server.get(f"/api/2.0/mlflow/experiments/get-by-name?experiment_name={PROJECT}").json()["experiment"]
        found = server.post("/api/2.0/mlflow/runs/search", json={"experiment_ids": [experiment["experiment_id"]]}).json()["runs"]
        first, fork = (next(r for r in found if r["info"]["run_name"] == name) for name in ("first try", "a fork"))
        tags = {t["key"]: t["value"] for t in first["data"]["tags"]}
        assert {p["key"]: p["value"] for p in first["data"]["params"]} == {"params/lr": "0.1", "params/depth": "3", "params/bn": "true", "note_ __n__code": "héllo"}
        assert first["info"]["status"] == "FAILED" and first["info"]["start_time"] == START.timestamp() * 1000 and first["info"]["user_id"] == "ann"
        assert tags["neptune.sys/tags"] == "a,b" and tags["sluice.step_scale"] == "10" and tags["neptune.run_id"] == "RUN-1"
        run = first["info"]["run_id"]
        page = server.get(f"/api/2.0/mlflow/metrics/get-history?run_id={run}&metric_key=train/loss&max_results=5000").json()["metrics"]
        assert sorted((m["step"], m["value"]) for m in page) == [(i * 5, 1 / (i + 1)) for i in range(3000)]
        forked = {t["key"]: t["value"] for t in fork["data"]["tags"]}
        assert (forked["sluice.fork.run"], forked["sluice.fork.step"]) == (run, "100.5") and "sluice.step_scale" not in forked
        whole = project.json("history", fork["info"]["run_id"], "train/loss")["points"]
        assert [(p["step"], p["run"]) for p in whole] == [(i / 2, run) for i in range(202)] + [(s, fork["info"]["run_id"]) for s in (101, 102)]
        assert len(server.get(f"/api/v1/history?run={fork['info']['run_id']}&metric=train/loss&own=true").json()["points"]) == 2
        cut = project.json("history", run, "train/loss", "-n", "3")
        assert [p["step"] for p in cut["points"]] == [0, 0.5, 1] and cut["truncated"]
        text = server.get(f"/get-artifact?run_id={run}&path=train/log/series.jsonl").text
        assert [(p["step"], p["value"]) for p in map(json.loads, text.splitlines())] == [(0, "begin"), (0.5, 'so "so"')]
        histogram = server.get(f"/get-artifact?run_id={run}&path=grads/series.jsonl").json()
        assert histogram["value"] == {"type": "COUNTING", "edges": [0, 1, 2], "values": [3, 4]}
        assert server.get(f"/get-artifact?run_id={run}&path=model/model.bin").content == b"weights"
        assert server.get(f"/get-artifact?run_id={run}&path=data/set/a.txt").text == "in a set"
    project.sluice("verify")


def test_a_file_outside_is_refused(project, exports):
    (exports.parent / "secret").write_text("no")
    write(exports / "data", "RUN-9", head("RUN-9", "bad") + [value("RUN-9", "f", "file", file_value={"path": "../secret"})])
    project.write("sluice.yaml", "project: x\n")
    project.sluice("init")
    assert "not below the folder of files" in project.sluice("import", "neptune", exports, status=2).stderr
