"""A model package with right hashes and hostile trees: refused where it is loaded, with the offending node, and nothing that answers falters."""
import hashlib
import json
import subprocess
import sys

import pytest
import xgboost

from conftest import Project, wait_until

YAML = """\
project: hostile
sources:
  rows: rows.csv
steps:
  fit: {train: {algorithm: xgboost, data: rows, target: t, features: [a, b], rounds: 3, max_depth: 3}}
models:
  m: {from: fit, promote: auto}
endpoints:
  e: {model: m@champion, log: none}
"""
ONE = {"dataframe_records": [{"a": 3, "b": 7}]}

# Rows go into SQLite's log, whose frames carry SQLite's own checksums; the process ends before SQLite would write the database.
INSERT = """\
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("pragma wal_autocheckpoint = 0")
names = [row[1] for row in db.execute("pragma table_info(model_version)")]
row = dict(zip(names, db.execute("select * from model_version where version = 1").fetchone()))
row.update(version=int(sys.argv[2]), hash=sys.argv[3])
db.execute(f"insert into model_version ({','.join(row)}) values ({','.join('?' * len(row))})", list(row.values()))
db.commit()
os._exit(0)
"""

MOVE = """\
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("pragma wal_autocheckpoint = 0")
db.execute("update model_alias set version = ? where model = 'm' and alias = 'champion'", [int(sys.argv[2])])
db.commit()
os._exit(0)
"""


def put(project, data):
    digest = hashlib.sha256(data).hexdigest()
    path = project.root / ".sluice" / "objects" / digest[:2] / digest[2:]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return digest


def get(project, digest):
    return (project.root / ".sluice" / "objects" / digest[:2] / digest[2:]).read_bytes()


def tree_of(model):
    return model["learner"]["gradient_booster"]["model"]["trees"][1]


def cycle(model):
    tree_of(model)["left_children"][tree_of(model)["right_children"][0]] = 0


def child_out_of_range(model):
    tree_of(model)["right_children"][0] = 1_000_000


def feature_out_of_range(model):
    tree_of(model)["split_indices"][0] = 77


def shared_child(model):
    tree_of(model)["left_children"][0] = tree_of(model)["right_children"][0]


def lying_length(model):
    tree_of(model)["tree_param"]["num_nodes"] = "2000000000"


def short_array(model):
    tree_of(model)["split_conditions"].pop()


HOSTILE = {"cycle": (cycle, "node"), "child": (child_out_of_range, "node"), "feature": (feature_out_of_range, "node"), "shared": (shared_child, "node"),
           "length": (lying_length, "tree 1"), "array": (short_array, "tree 1")}


@pytest.fixture(scope="module")
def served(program, tmp_path_factory):
    root = tmp_path_factory.mktemp("hostile") / "project"
    root.mkdir()
    project = Project(root)
    project.sluice("init")
    project.write("sluice.yaml", YAML)
    project.write("rows.csv", "a,b,t\n" + "".join(f"{i % 17},{i * 7 % 23},{int(i % 17 > 8)}\n" for i in range(400)))
    project.sluice("run")
    with project.up() as server:
        yield project, server


def make_version(project, version, change):
    shown = project.json("show", "model:m@1")
    package = json.loads(get(project, shown["hash"]))
    booster = xgboost.Booster()
    booster.load_model(bytearray(get(project, package["model"]["hash"])))
    model = json.loads(booster.save_raw("json"))
    change(model)
    data = json.dumps(model).encode()
    package["model"] = {"hash": put(project, data), "bytes": len(data), "format": "xgboost-json"}
    digest = put(project, json.dumps(package, sort_keys=True, separators=(",", ":")).encode())
    subprocess.run([sys.executable, "-c", INSERT, str(project.root / ".sluice" / "sluice.db"), str(version), digest], check=True)


def move_champion(project, version):
    subprocess.run([sys.executable, "-c", MOVE, str(project.root / ".sluice" / "sluice.db"), str(version)], check=True)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_package_is_refused_and_the_old_version_answers(served, name):
    project, server = served
    change, where = HOSTILE[name]
    version = 2 + list(HOSTILE).index(name)
    make_version(project, version, change)
    before = server.post("/invocations", json=ONE).json()
    told = project.sluice("promote", f"m@{version}", status=None)
    assert told.returncode in (1, 2, 3) and where in told.stderr and f"m@{version} cannot be served" in told.stderr, told.stderr
    refusal = project.json("ls", "ledger")["items"][0]
    assert (refusal["action"], refusal["subject"]) == ("model.refused", f"model:m@{version}"), refusal
    assert where in project.sluice("predict", f"m@{version}", "rows.csv", status=None).stderr
    assert project.json("show", "model:m@champion")["version"] == 1
    assert server.post("/invocations", json=ONE).json() == before


def test_rollback_refuses_what_cannot_be_loaded(served):
    project, server = served
    make_version(project, 40, cycle)
    move_champion(project, 40)
    project.sluice("promote", "m@1")
    told = project.sluice("rollback", "m", status=None)
    assert told.returncode in (1, 2, 3) and "m@40 cannot be served" in told.stderr and "node" in told.stderr, told.stderr
    assert project.json("show", "model:m@champion")["version"] == 1
    assert project.json("ls", "ledger")["items"][0]["action"] == "model.refused"
    assert server.post("/invocations", json=ONE).status_code == 200


def test_an_alias_that_was_moved_past_the_check_changes_no_answer(served):
    """As an older program, or a hand in the database, would: the role refuses the version at load, says why, and goes on with the one before."""
    project, server = served
    make_version(project, 50, cycle)
    move_champion(project, 50)
    (project.root / ".sluice" / "bell").write_text("x")
    wait_until(lambda: "version 50 cannot be served: tree 1, node" in server.logs(), what="the role's refusal")
    answer = server.post("/invocations", json=ONE)
    assert answer.status_code == 200 and answer.headers["X-Sluice-Model-Version"] == "1"
