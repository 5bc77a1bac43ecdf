"""The commands, as a person and a script meet them."""
import json
import os
import pty
import random
import signal
import subprocess

import pytest

from conftest import PROGRAM, wait_until

PROJECT = """
project: small
params: {rounds: 10}
sources: {raw: data/raw.csv}
datasets:
  raw: {checks: [{not_null: [a]}, {between: {column: b, min: 0, max: 9}}]}
steps:
  clean: {sql: sql/clean.sql}
  fit: {train: {algorithm: xgboost, data: clean, target: y, features: [a, b], rounds: $rounds}}
models:
  m: {from: fit, gate: ["auc >= 0.5"], promote: auto}
endpoints:
  e: {model: m@champion, log: all}
"""


def rows(count, seed=1):
    pick = random.Random(seed)
    lines = ["a,b,y"]
    for _ in range(count):
        a, b = pick.random(), pick.randint(0, 5)
        lines.append(f"{a:.4f},{b},{int(a + b / 5 + pick.random() > 1.4)}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def small(project):
    project.write("sluice.yaml", PROJECT)
    project.write("sql/clean.sql", "select * from raw where a is not null\n")
    project.write("data/raw.csv", rows(500))
    project.sluice("init")
    return project


def test_init_makes_a_project_once_and_overwrites_nothing(project):
    first = project.json("init")
    assert "sluice.yaml" in first["made"]
    project.write("sluice.yaml", "project: mine\n")
    again = project.json("init")
    assert again["made"] == [] and "sluice.yaml" in again["kept"]
    assert (project.root / "sluice.yaml").read_text() == "project: mine\n"
    assert (project.root / ".sluice/key/token").stat().st_mode & 0o777 == 0o600


def test_the_project_that_init_makes_runs(project):
    project.sluice("init")
    assert "nothing" in project.sluice("run").stdout


@pytest.mark.parametrize("arguments,says", [
    (("statsu",), "did you mean 'sluice status'?"),
    (("ls", "dataset"), "did you mean 'datasets'?"),
    (("ls",), "ls needs KIND"),
    (("ls", "runs", "--limt", "3"), "did you mean '--limit'?"),
    (("ls", "runs", "-l"), "needs a value"),
    (("ls", "runs", "-l", "many"), "is not a whole number"),
    (("ls", "runs", "a", "b"), "does not take 'b'"),
    (("version", "--json=1"), "has no option"),
    (("show", "nothing-like-it"), "nothing here is called"),
    (("run", "claen"), "did you mean"),
    (("run", "rouns=3"), "rounds"),
    (("promote", "m"), "no version of model 'm' yet"),
    (("sql", "selct 1"), "syntax error"),
    (("sql", "from rwa"), "no table"),
    (("predict", "m", "nothing.csv"), "m"),
])
def test_mistakes_exit_2_and_say_what_to_do(small, arguments, says):
    done = small.sluice(*arguments, status=2)
    assert done.stdout == ""
    assert done.stderr.startswith("error: ") and says in done.stderr, done.stderr


def test_errors_as_json(small):
    answer = small.json("show", "nothing-like-it", status=2)
    assert answer["error"]["code"] == "not_found" and answer["error"]["hint"]


def test_outside_a_project(project):
    assert "sluice init" in project.sluice("ls", "runs", status=2).stderr


def test_every_command_has_help_with_examples(project):
    commands = project.json("help")["items"]
    assert {"init", "run", "status", "up", "down", "ls", "show", "diff", "log", "why", "sql", "check", "predict", "promote", "rollback", "approve",
            "verify", "gc", "schema", "version", "help"} <= {command["name"] for command in commands}
    for command in commands:
        text = project.sluice(command["name"], "-h").stdout
        assert f"usage: sluice {command['name']}" in text and "examples:" in text
        assert text == project.sluice("help", command["name"]).stdout


def test_the_loop_without_a_server(small):
    preview = small.json("run", "-n")
    assert preview["preview"] and [step["state"] for step in preview["steps"]] == ["stale", "maybe", "maybe", "maybe"]
    assert small.json("ls", "runs")["items"] == []

    first = small.json("run")
    assert first["counts"]["ran"] == 4
    second = small.json("run")
    assert second["counts"] == {**second["counts"], "ran": 0, "fresh": 4} and "run" not in second

    assert small.json("show", "model:m@champion")["version"] == 1
    assert small.json("show", "clean")["rows"] == 500
    assert {item["name"] for item in small.json("ls", "datasets")["items"]} == {"raw", "clean"}

    third = small.json("run", "rounds=20")
    assert [step["state"] for step in third["steps"][:2]] == ["fresh", "fresh"]
    assert "rounds" in next(step["reason"] for step in third["steps"] if step["name"] == "fit")
    difference = {item["what"]: item for item in small.json("diff", "m@1", "m@2")["items"]}
    assert difference["training.rounds"]["a"] == 10 and difference["training.rounds"]["b"] == 20

    assert small.json("rollback", "m")["version"] == 1
    assert small.json("promote", "m@2")["before"] == 1
    assert small.json("verify")["verdict"] == "ok"
    assert small.json("gc")["unreferenced"] == 0


def test_why_reaches_the_raw_bytes_and_back(small):
    small.sluice("run")
    raw = subprocess.run(["sha256sum", small.root / "data/raw.csv"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()[0]
    back = small.json("why", "model:m")
    assert raw in {node.get("hash") for node in back["nodes"]}
    down = small.json("why", "file:data/raw.csv", "--down")
    assert "model" in {node["kind"] for node in down["nodes"]}
    assert raw in small.sluice("why", "model:m").stdout


def test_sql_reads_datasets_records_and_old_versions(small):
    small.sluice("run", "clean")
    small.write("data/raw.csv", rows(400))
    small.sluice("run", "clean")
    count = small.json("sql", 'select (select count(*) from clean) as now, (select count(*) from "clean@~1") as before')
    assert count["items"] == [{"now": 400, "before": 500}]
    assert small.json("sql", "select count(*) as n from runs where kind = 'run'")["items"] == [{"n": 2}]
    assert small.json("sql", "from clean", "-l", 7)["more"] is True
    assert "No such file" not in small.sluice("sql", "from read_csv('/etc/passwd')", status=None).stdout
    for name in ("x.parquet", "x.csv", "x.jsonl"):
        assert small.json("sql", "-o", name, "select a from clean -- all")["rows"] == 400
    assert len((small.root / "x.csv").read_text().splitlines()) == 401
    assert json.loads((small.root / "x.jsonl").read_text().splitlines()[0]).keys() == {"a"}


def test_predict_scores_a_file_as_it_is(small):
    small.sluice("run")
    assert small.json("predict", "m", "data/raw.csv", "-o", "out.csv")["rows"] == 500
    given = (small.root / "data/raw.csv").read_text().splitlines()
    scored = (small.root / "out.csv").read_text().splitlines()
    assert scored[0] == given[0] + ",prediction" and len(scored) == 501
    assert all(0 < float(line.rsplit(",", 1)[1]) < 1 for line in scored[1:])
    small.sluice("predict", "m", "data/raw.csv", "-o", "out.parquet")
    assert (small.root / "out.parquet").read_bytes()[:4] == b"PAR1"


def test_check_exits_1_and_shows_the_rows(small):
    small.sluice("run", "raw")
    small.sluice("check", "raw")
    small.write("sluice.yaml", PROJECT.replace("max: 9", "max: 4"))
    done = small.sluice("check", "raw", status=1)
    assert "between(b)" in done.stdout and done.stderr.startswith("error: ")


def test_a_failed_step_exits_1_and_says_which(small):
    small.write("sql/clean.sql", "select nonsense from raw\n")
    done = small.sluice("run", "clean", status=1)
    assert "sql/clean.sql:1:8" in done.stderr
    assert small.json("status")["failed"][0]["name"] == "clean"


def test_gc_removes_only_what_nothing_refers_to(small):
    small.sluice("run")
    stray = small.root / ".sluice/objects/58/91b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
    stray.parent.mkdir(exist_ok=True)
    stray.write_text("hello\n")
    assert small.json("gc")["unreferenced"] == 1 and stray.exists()
    assert small.json("gc", "--yes")["removed"] is True and not stray.exists()
    assert small.json("verify")["verdict"] == "ok"
    assert small.json("run")["counts"]["fresh"] == 4


def on_terminal(project, *arguments, **environment):
    """Runs a command on a pseudo-terminal; what it printed."""
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(project.root)
        base = {k: v for k, v in project.environment.items() if k != "NO_COLOR"}
        os.execve(PROGRAM, ["sluice", *arguments], {**base, "TERM": "xterm", **environment})
    out = b""
    while True:
        try:
            piece = os.read(fd, 65536)
        except OSError:
            piece = b""
        if not piece:
            break
        out += piece
    os.waitpid(pid, 0)
    os.close(fd)
    return out.decode(errors="replace")


def test_colour_only_for_people(small):
    assert "\x1b[" in on_terminal(small, "status")
    assert "\x1b[" not in on_terminal(small, "status", NO_COLOR="1")
    assert "\x1b[" not in small.sluice("status", env={"NO_COLOR": ""}).stdout


def test_data_cannot_drive_the_terminal(small):
    shown = on_terminal(small, "sql", r"select 'x' || chr(27) || ']0;owned' || chr(7) as t", NO_COLOR="1")
    assert "owned" in shown and "\x1b]" not in shown and "\x07" not in shown


def test_a_query_shows_the_users_own_names_and_every_digit(small):
    shown = small.sluice("sql", "select 123456789.5::double as x, 90000 as delay_ms, 5000 as rows").stdout
    assert shown.split() == ["x", "delay_ms", "rows", "123456789.5", "90000", "5000"]
    wide = small.sluice("sql", "select " + ", ".join(f"{i} as c{i}" for i in range(100))).stdout
    assert "c99" in wide and wide.split()[-1] == "99"


def test_a_wrong_command_line_is_json_too(small):
    for arguments in (("ls", "nosuch", "--json"), ("run", "--json", "--nosuch")):
        assert json.loads(small.sluice(*arguments, status=2).stdout)["error"]["message"]


def test_a_closed_pipe_is_no_error(small):
    done = subprocess.run(f"{PROGRAM} help --json | head -c 1", shell=True, cwd=small.root, env=small.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.stdout == b"{" and done.stderr == b""


def test_interrupt_ends_a_run_and_its_steps(small):
    small.write("sluice.yaml", "project: slow\nsteps:\n  slow: {run: 'sleep 300', outputs: {x: out/x}}\n")
    process, log = small.start("run")
    wait_until(lambda: "slow" in log.read_text(), what="the start of the step")
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 1
    assert small.json("ls", "runs")["items"][-1]["status"] in ("cancelled", "killed")


def test_a_misspelt_name_is_answered_with_the_nearest(small):
    small.sluice("run")
    for command in ("show model:mm", "log fitt", "why dataset:claen", "promote mm", "promote mm@1", "rollback mm", "approve mm",
                    "predict mm data/raw.csv", "check cleann", "show step:fitt", "show endpoint:ee"):
        told = small.sluice(*command.split(), status=2).stderr
        assert "did you mean '" in told, (command, told)


def test_a_data_event_has_no_time_of_1970(small):
    small.sluice("run")
    events = small.json("ls", "events")["items"]
    assert events and all(not event.get("from") and not event.get("to") for event in events if event["kind"] == "data")


def test_an_error_does_not_steer_the_terminal(project):
    project.sluice("init")
    project.write("sluice.yaml", 'project: x\nsources:\n  "raw": {path: "o\\nd\\ed.csv", columns: {a: bigint}}\n')
    project.write("o\nd\x1bd.csv", "a\n\x1b[2J\n")
    told = project.sluice("run", status=1).stderr
    assert "\x1b" not in told and "error: o\\x0ad\\x1bd.csv:2:1: " in told, told


def test_an_answer_that_cannot_be_written_is_an_error(small):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([str(PROGRAM), "ls", "datasets"], cwd=small.root, env=small.environment, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 3 and "standard output" in done.stderr and "No space left" in done.stderr, done.stderr
    reader, writer = os.pipe()
    os.close(reader)  # as head does when it has enough
    with open(writer, "wb") as gone:
        assert subprocess.run([str(PROGRAM), "ls", "datasets"], cwd=small.root, env=small.environment, stdout=gone).returncode == 0
