"""Proof: a flipped bit anywhere in a store is named by `verify`, and no read lies about it; a store that cannot be written is proved too."""
import importlib.util
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from conftest import PROGRAM, Project, wait_until

YAML = """
project: proof
params: {rounds: 10}
sources: {trips: data/trips.csv}
datasets:
  trips:
    checks:
      - not_null: [id]
      - between: {column: distance, min: 1, max: 2000}
steps:
  rows: {sql: "select * from trips where distance > 10"}
  fit:
    train: {algorithm: xgboost, data: rows, target: late, features: [distance, kind], rounds: $rounds, max_depth: 3}
models:
  trip: {from: fit, evaluate: {data: rows, target: late}, gate: ["log_loss <= 2"], promote: auto}
endpoints:
  trip: {model: trip@champion, log: all, key: id, time: moment, extra: ignore}
monitors:
  inputs: {endpoint: trip, window: 1d, psi: {warn: 0.1, alarm: 0.25}}
triggers:
  again: {on: inputs.alarm, run: trip, set: {rounds: 11}}
"""


def make_rows(count=1200):
    random = np.random.default_rng(5)
    distance = random.integers(1, 1000, count)
    moment = pd.Timestamp("2001-03-01") + pd.to_timedelta(np.sort(random.integers(0, 4 * 86400, count)), unit="s")
    late = (random.random(count) < 0.2 + 0.6 * (distance > 500)).astype(int)
    return pd.DataFrame({"id": np.arange(count), "moment": moment, "distance": distance, "kind": random.choice(["bus", "ship"], count), "late": late})


@pytest.fixture(scope="module")
def whole(program, tmp_path_factory):
    """A store with one of everything: checks, a model, predictions, windows, events, firings. Tests copy it."""
    root = tmp_path_factory.mktemp("proof") / "project"
    root.mkdir()
    project = Project(root)
    project.write("sluice.yaml", YAML)
    rows = make_rows()
    (root / "data").mkdir()
    rows.to_csv(root / "data" / "trips.csv", index=False)
    project.sluice("init")
    project.sluice("run")
    drifted = rows.assign(distance=rows.distance + np.where(rows.moment > pd.Timestamp("2001-03-03"), 900, 0)).drop(columns="late")
    drifted.to_csv(root / "data" / "replay.csv", index=False)
    project.sluice("predict", "trip", "data/replay.csv", "--out", "answers.csv")
    with project.up() as server:
        for start in range(0, len(drifted), 200):
            piece = drifted.iloc[start:start + 200]
            body = {"dataframe_split": {"columns": list(piece.columns), "data": [[int(r.id), r.moment.isoformat(), int(r.distance), r.kind] for r in piece.itertuples()]}}
            assert server.post("/invocations", json=body).status_code == 200
        wait_until(lambda: project.json("ls", "firings")["items"], what="a firing")
        wait_until(lambda: all(f["status"] != "running" for f in project.json("ls", "firings")["items"]), what="the firing's end")
    assert project.json("verify")["verdict"] == "ok"
    return project


@pytest.fixture
def copy(whole, tmp_path):
    subprocess.run(["cp", "-a", str(whole.root), str(tmp_path / "project")], check=True)
    return Project(tmp_path / "project")


def restore(whole, project, path):
    """The damaged file as it was; a database with all three files, since opening one changes the others."""
    for file in (whole.root / ".sluice" / path).parent.glob("sluice.db*" if path.name.startswith("sluice.db") else path.name):
        shutil.copy2(file, project.root / ".sluice" / path.parent / file.name)


def live_frames(store):
    """How many frames of the log are committed: SQLite's WAL index says it at byte 16."""
    return struct.unpack_from("=I", (store / "sluice.db-shm").read_bytes(), 16)[0]


def flip(path, at, bit):
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << bit]))


def is_proved(path):
    """Which files carry proof; the others are locks, logs, sockets, caches and what dies with the process (docs/lineage.md)."""
    return (path.parts[0] in ("objects", "ledger", "streams") and "lock" not in path.name) or path.name in ("sluice.db", "sluice.db-wal", "ledger.key")


def positions(store, path):
    """First, last and a spread of bytes; of the database one in every third page, of its log the header and every part of frames."""
    size = (store / path).stat().st_size
    if path.name == "sluice.db":
        return [page * 4096 + page * 997 % 4096 for page in range(0, size // 4096, 3)]
    if path.name == "sluice.db-wal":
        frames = live_frames(store)
        assert frames > 0
        return [0, 9, 17, 25, 31] + [32 + 4120 * f + at for f in {0, frames // 2, frames - 1} for at in (1, 9, 17, 24 + 77 * f % 4096)]
    return sorted({0, size // 3, size - 1}) if size else []


READS = [("ls", "runs"), ("ls", "windows"), ("show", "model:trip@1"), ("sql", "select count(*) as n, sum(distance) as s from rows"), ("ls", "predictions"),
         ("why", "model:trip@1", "--json"), ("predict", "trip", "data/replay.csv", "--out", "again.csv")]


@pytest.mark.plain
def test_every_flipped_bit_is_named(whole, copy):
    store = whole.root / ".sluice"
    files = sorted(p.relative_to(store) for p in store.rglob("*") if p.is_file() and not p.is_symlink())
    proved = [p for p in files if is_proved(p)]
    kinds = {p.parts[0] if len(p.parts) > 1 else p.name for p in proved}
    assert {"objects", "ledger", "streams", "sluice.db", "sluice.db-wal", "key"} <= kinds
    missed = []
    for path in proved:
        for number, at in enumerate(positions(store, path)):
            flip(copy.root / ".sluice" / path, at, (at + number) % 8)
            done = copy.sluice("verify", status=None)
            text = done.stdout + done.stderr
            if done.returncode != 3 or path.name not in text:
                missed.append(f"{path} byte {at}: exit {done.returncode}: {text[-200:]}")
            restore(whole, copy, path)
    assert not missed, "\n".join(missed)


def answer(project, read):
    (project.root / "again.csv").unlink(missing_ok=True)
    done = project.sluice(*read, status=None)
    return done.stdout + ((project.root / "again.csv").read_text() if "again.csv" in read and done.returncode == 0 else "") if done.returncode == 0 else None


@pytest.mark.plain
def test_reads_fail_rather_than_lie(whole, copy):
    store = whole.root / ".sluice"
    truth = {read: answer(copy, read) for read in READS}
    damaged = [store / "sluice.db", store / "sluice.db-wal", next(store.glob("streams/*/head")), next(store.glob("streams/*/*.log"))] + sorted(store.glob("objects/*/*"))[::3]
    failed = 0
    for file in damaged:
        path = file.relative_to(store)
        flip(copy.root / ".sluice" / path, file.stat().st_size // 2 if path.name != "sluice.db-wal" else 100, 3)
        for read in READS:
            got = answer(copy, read)
            failed += got is None
            assert got is None or got == truth[read], f"{read} with {path} damaged: {got}"
        restore(whole, copy, path)
    assert failed > len(READS)  # the log of the database fails them all


def test_a_store_that_cannot_be_written_is_proved(copy):
    """On a read-only mount, as another user would: no lock file can be made, nothing can be mended."""
    mount = ["unshare", "--mount", "--map-root-user", "sh", "-c", 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && cd "$0" && exec "$@"',
             copy.root, copy.root]
    if subprocess.run(mount + ["true"], capture_output=True).returncode:
        pytest.skip("this machine mounts nothing for us")
    done = subprocess.run(mount + [PROGRAM, "verify"], env=copy.environment, capture_output=True, text=True)
    assert done.returncode == 0 and "ok" in done.stdout, done.stderr
    tile = next((copy.root / ".sluice" / "ledger" / "tile" / "entries").rglob("*.p/*"))
    flip(tile, 40, 1)
    done = subprocess.run(mount + [PROGRAM, "verify"], env=copy.environment, capture_output=True, text=True)
    assert done.returncode == 3 and "ledger/tile/entries/" in done.stdout, done.stderr
    tile.unlink()
    done = subprocess.run(mount + [PROGRAM, "verify"], env=copy.environment, capture_output=True, text=True)
    assert done.returncode == 3 and "the tile is missing" in done.stdout, done.stderr


CHECK = pathlib.Path(__file__).parents[2] / "tools" / "check_proof.py"


def check(*arguments):
    done = subprocess.run([sys.executable, CHECK, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0, done.stdout + done.stderr


def test_an_entry_is_proved_without_the_program(whole, tmp_path):
    ledger, proof = whole.root / ".sluice" / "ledger", tmp_path / "x.proof"
    size = int((ledger / "checkpoint").read_text().split("\n")[1])
    for entry in (0, 1, size // 2, size - 1, "model:trip@champion", "dataset:rows", "run:" + whole.json("ls", "runs")["items"][0]["id"]):
        whole.sluice("verify", "--prove", entry, "--out", proof)
        ok, text = check(proof, "--key", ledger / "key.pub")
        assert ok and f"one of the {size}" in text, text
    whole.sluice("verify", "--prove", size, status=2)
    whole.sluice("verify", "--prove", "model:nobody", status=2)


def test_a_tampered_proof_is_refused(whole, tmp_path):
    text, proof = whole.sluice("verify", "--prove", 5).stdout, tmp_path / "x.proof"
    for at in range(0, len(text) - 1, 3):
        changed = text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1:]
        proof.write_text(changed)
        ok, why = check_here(changed)
        assert not ok, f"byte {at}: {changed[max(0, at - 20):at + 20]!r}: {why}"
    proof.write_text(text)
    other = tmp_path / "key.pub"
    other.write_text((whole.root / ".sluice/ledger/key.pub").read_text().replace("+", "x+", 1))
    assert not check(proof, "--key", other)[0]


def check_here(text):
    """The same check within this process: a thousand of them."""
    spec = importlib.util.spec_from_file_location("check_proof", CHECK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        return True, module.check(json.loads(text), None, None)
    except (module.Bad, ValueError, KeyError, TypeError, AttributeError) as why:
        return False, str(why)


def test_two_checkpoints_are_consistent_or_not(copy, tmp_path):
    checkpoint, old, proof = copy.root / ".sluice/ledger/checkpoint", tmp_path / "old", tmp_path / "x.proof"
    for turn in range(6):  # sizes of many shapes
        shutil.copy(checkpoint, old)
        copy.sluice("run", f"rounds={20 + turn}")
        copy.sluice("verify", "--prove", 3, "--since", old, "--out", proof)
        ok, text = check(proof, "--since", old)
        assert ok and "go on from the first" in text, text
        tampered = json.loads(proof.read_text())
        tampered["consistency"]["path"][0] = "00" * 32
        assert not check_here(json.dumps(tampered))[0]
        tampered["consistency"]["path"] = []
        assert not check_here(json.dumps(tampered))[0]
    assert not check(proof, "--since", checkpoint)[0]  # of another one it says nothing
    older = old.read_text().split("\n")
    old.write_text("\n".join([older[0], older[1], older[2][::-1]] + older[3:]))
    assert copy.sluice("verify", "--prove", 3, "--since", old, status=3).stderr


@pytest.mark.slow
def test_records_are_tables(whole):
    def one(text):
        return whole.json("sql", text)["items"][0]
    got = one("select count(*) as n, count(distinct id) as ids, min(prediction) as low, max(prediction) as high, min(time_ms) as first from predictions")
    assert (got["n"], got["ids"]) == (1200, 6) and 0 < got["low"] < got["high"] < 1 and got["first"] // 86400000 == 11382  # 2001-03-01
    assert one("select count(*) as n from predictions p join models m on m.hash = p.package and m.version = p.version")["n"] == 1200
    rows = make_rows()
    got = whole.json("sql", "select inputs->>'$.kind' as kind, count(*) as n from predictions group by all")["items"]
    assert {r["kind"]: r["n"] for r in got} == rows.kind.value_counts().to_dict()
    assert one("select count(from_ms) as windows from events where kind = 'data'")["windows"] == 0
    assert one("select count(*) as n from events e join windows w on w.monitor = e.subject and w.from_ms = e.from_ms and w.to_ms = e.to_ms")["n"] >= 1
    assert one("select count(*) as n from events e join firings f on f.event = e.seq where e.kind = 'monitor.alarm'")["n"] >= 1
    assert one("select count(*) as n from steps s join runs r on r.id = s.run")["n"] == one("select count(*) as n from steps")["n"] > 3
    assert one("select count(*) as n from ledger where action = 'monitor.window' and subject = 'monitor:inputs'")["n"] == one("select count(*) as n from windows")["n"]
    for table in ("aliases artifacts checks events firings inputs labels ledger metrics models moves outputs params predictions runs steps tags versions windows").split():
        whole.json("sql", f"from {table} limit 1")
    assert "did you mean 'predictions'" in whole.sluice("sql", "from predictons", status=2).stderr
