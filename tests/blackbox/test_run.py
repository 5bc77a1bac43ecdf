"""`sluice run` as its users meet it: only what changed runs, mistakes are told with their place, and nothing is half done."""
import os
import random
import signal
import time

import pytest

from conftest import wait_until

CHAIN = """\
project: chain
params: {word: one}
sources:
  raw: raw.csv
steps:
  upper: {sql: "select id, upper(name) as name from raw"}
  few: {sql: "select * from upper where id < 3"}
  text: {run: "cat $SLUICE_INPUT_few > /dev/null; echo $SLUICE_PARAM_word > $SLUICE_OUTPUT_text", inputs: [few], params: [word], outputs: {text: text.txt}}
"""


@pytest.fixture
def chain(project):
    project.sluice("init", status=0)
    project.write("sluice.yaml", CHAIN)
    project.write("raw.csv", "id,name\n1,a\n2,b\n3,c\n")
    return project


def states(project, *arguments, **options):
    """{name: state} of a run."""
    return {step["name"]: step["state"] for step in project.json("run", *arguments, **options)["steps"]}


def ran(told):
    return {name for name, state in told.items() if state == "ok"}


def test_the_second_run_does_nothing(chain):
    assert ran(states(chain)) == {"raw", "upper", "few", "text"}
    assert ran(states(chain)) == set()


def test_preview_starts_nothing_and_says_why(chain):
    preview = chain.json("run", "-n")
    assert {step["state"] for step in preview["steps"]} <= {"stale", "maybe"}
    assert all(step["reason"] for step in preview["steps"])
    assert ran(states(chain)) == {"raw", "upper", "few", "text"}


def test_a_parameter_runs_only_what_uses_it(chain):
    states(chain)
    assert ran(states(chain, "word=two")) == {"text"}


def test_equal_output_stops_the_wave(chain):
    states(chain)
    chain.write("raw.csv", "id,name\n1,a\n2,b\n3,other\n")
    told = states(chain)
    assert ran(told) == {"raw", "upper", "few"} and told["text"] == "fresh"


def test_touching_a_file_is_no_change(chain):
    states(chain)
    os.utime(chain.root / "raw.csv")
    assert ran(states(chain)) == set()


def test_an_older_result_is_put_back_instead_of_made_again(chain):
    states(chain)
    states(chain, "word=two")
    assert states(chain, "word=one")["text"] in ("reused", "fresh")


def test_a_killed_run_is_finished_by_the_next(chain):
    chain.write("sluice.yaml", CHAIN + "  slow: {run: 'sleep 30; touch $SLUICE_OUTPUT_slow', inputs: [few], outputs: {slow: slow.txt}}\n")
    process, log = chain.start("run", "-j", 1, "few", "slow")
    wait_until(lambda: "slow" in log.read_text(), what="the start of the slow step")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    chain.write("sluice.yaml", CHAIN)
    told = states(chain)
    assert ran(told) <= {"text", "few"} and told["upper"] == "fresh"
    assert chain.sluice("verify").returncode == 0


def test_a_second_run_at_once_is_refused_and_says_who_holds_it(chain):
    chain.write("sluice.yaml", CHAIN + "  slow: {run: 'sleep 20; touch $SLUICE_OUTPUT_slow', inputs: [few], outputs: {slow: slow.txt}}\n")
    process, log = chain.start("run", "slow")
    wait_until(lambda: "slow" in log.read_text(), what="the start of the slow step")
    second = chain.sluice("run", status=4)
    assert str(process.pid) in second.stderr and "--wait" in second.stderr
    process.send_signal(signal.SIGINT)
    process.wait(30)


def processes_with(marker):
    """Pids of the processes whose command line holds the marker."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline") as f:
                if marker in f.read():
                    found.append(int(pid))
        except OSError:
            continue
    return found


def new_marker():
    return f"3{time.time_ns() % 10**9:09d}"


def test_no_process_outlives_its_step(chain):
    marker = new_marker()
    step = f"trap '' TERM; (trap '' TERM; setsid sleep {marker}) & sleep {marker}"
    chain.write("sluice.yaml", CHAIN + f"  stubborn: {{run: \"{step}\", inputs: [few], outputs: {{s: s.txt}}, timeout: 1s}}\n")
    chain.sluice("run", "stubborn", status=1)

    wait_until(lambda: not processes_with(marker), seconds=10, what="the end of everything that the step started")


SLOW = {
    "ingest": ("  raw: raw.csv\n", "raw"),
    "sql": ("  raw: raw.csv\nsteps:\n  s: {sql: 'select count(*) as n from range(3000000) a, range(1000000) b, raw where a.range * b.range = 7'}\n", "s"),
    "train": ("  raw: raw.csv\nsteps:\n  s: {train: {algorithm: xgboost, data: raw, target: c, features: [a, b], rounds: 100000, max_depth: 10}}\n", "s"),
}


@pytest.mark.parametrize("kind", SLOW)
def test_a_killed_worker_costs_its_step_only(project, kind):
    """The run says so and ends; nothing of the step is there; the next one does what is missing."""
    rest, name = SLOW[kind]
    rows = 3_000_000 if kind == "ingest" else 20_000
    project.sluice("init")
    project.write("raw.csv", "a,b,c\n" + "".join(f"{i % 1000},{i * 7 % 1009},{i * i % 11 % 2}\n" for i in range(rows)))
    project.write("sluice.yaml", "project: x\nsources:\n" + rest)
    if kind != "ingest":
        project.sluice("run", "raw")
    process, log = project.start("run", name)
    job = str(project.root / ".sluice" / "tmp") + "/"
    workers = wait_until(lambda: [pid for pid in processes_with(job) if pid not in processes_with("worker\0keep:")], what="a worker")
    os.kill(workers[0], signal.SIGKILL)
    assert process.wait(30) == 1
    assert "killed by SIGKILL" in log.read_text() and not list((project.root / ".sluice" / "tmp").iterdir())
    project.write("sluice.yaml", "project: x\nsources:\n" + rest.replace("100000", "3").replace("3000000", "3"))
    told = states(project, name)
    assert told[name] == "ok" and told["raw"] == ("ok" if kind == "ingest" else "fresh")
    project.sluice("verify")


MISTAKES = {
    "unknown key": ("project: x\nsteps:\n  a: {sqll: 'select 1'}\n", "sluice.yaml:3:7", "sql"),
    "unknown name": ("project: x\nsources:\n  flights: f.csv\nsteps:\n  a: {sql: 'select * from fligths'}\n", "sluice.yaml:5", "flights"),
    "duplicate key": ("project: x\nproject: y\n", "sluice.yaml:2:1", ""),
    "broken": ("project: [x\n", "sluice.yaml:", ""),
    "cycle": ("project: x\nsteps:\n  a: {sql: 'select * from b'}\n  b: {sql: 'select * from a'}\n", "sluice.yaml:", ""),
    "broken SQL": ("project: x\nsources: {r: f.csv}\nsteps:\n  a: {sql: 'selec 1 from r'}\n", "sluice.yaml:4:12: at 1:1 of its SQL", ""),
    "missing file": ("project: x\nsteps:\n  a: {sql: sql/none.sql}\n", "sluice.yaml:3", ""),
}

WRONG_CHECKS = {
    "between: {column: a, min: 5, max: 1}": (":6:", "'min' is greater than 'max'"),
    "between: {column: a, min: 2001-05-01, max: 5}": (":6:", "of one kind"),
    "between: {column: 5, min: 1}": (":6:", "column's name"),
    "not_null: 5": (":6:19: ", "quote it"),
    "unique: [a, true]": (":6:21: ", "quote it"),
    "rows: {min: -5}": (":6:", "whole numbers"),
    "rows: {max: 1.5}": (":6:", "whole numbers"),
    "rows: {min: 2001-01-01}": (":6:", "whole numbers"),
    "rows: {min: 10, max: 5}": (":6:", "greater"),
    "in_set: {column: a, values: [1, b]}": (":6:41: ", "of one kind"),
    "sql: 5": (":6:14: ", "query"),
}


@pytest.mark.parametrize("check", WRONG_CHECKS)
def test_a_wrong_argument_of_a_check_is_told_with_its_place(project, check):
    place, words = WRONG_CHECKS[check]
    project.sluice("init")
    project.write("f.csv", "a\n1\n")
    project.write("sluice.yaml", f"project: x\nsources: {{f: f.csv}}\ndatasets:\n  f:\n    checks:\n      - {check}\n")
    done = project.sluice("run", status=2)
    assert f"sluice.yaml{place}" in done.stderr and words in done.stderr


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_place_and_starts_nothing(project, name):
    text, place, near = MISTAKES[name]
    project.sluice("init", status=0)
    project.write("f.csv", "a\n1\n")
    project.write("sluice.yaml", text)
    done = project.sluice("run", status=2)
    assert done.stderr.startswith("error: ") and place in done.stderr and near in done.stderr
    assert not list((project.root / ".sluice" / "runs").iterdir())


def test_an_error_inside_a_statement_is_told_with_its_place(project):
    """SQL in place, and the expressions of a train step: the project file's line, not a text of ours."""
    project.sluice("init")
    project.write("f.csv", "a,t\n1,0\n2,1\n")
    head = "project: x\nsources: {r: f.csv}\nsteps:\n"
    project.write("sluice.yaml", head + "  a:\n    sql: |\n      select a,\n        nope from r\n")
    assert "error: sluice.yaml:5:10: a: at 2:3 of its SQL: " in project.sluice("run", status=1).stderr
    project.write("sluice.yaml", head + "  fit: {train: {algorithm: xgboost, data: r, where: 'nope > 1', target: t, features: [a]}}\n")
    assert "error: sluice.yaml:4:8: fit: " in project.sluice("run", status=1).stderr


def test_bytes_that_are_no_csv_are_refused_without_the_readers_innards(project):
    project.sluice("init")
    project.write("sluice.yaml", "project: x\nsources:\n  raw: raw.csv\n")
    project.write("raw.csv", random.Random(3).randbytes(100_000))
    told = project.sluice("run", status=1).stderr
    assert "raw.csv" in told and "objects" not in told and "Auto-Detected" not in told and "strict_mode" not in told


def test_a_gate_on_the_training_rows_says_so(project):
    project.sluice("init")
    project.write("f.csv", "a,t\n" + "".join(f"{i},{i % 2}\n" for i in range(100)))
    project.write("sluice.yaml", "project: x\nsources: {r: f.csv}\nsteps:\n"
                  "  fit: {train: {algorithm: xgboost, data: r, target: t, features: [a], rounds: 2}}\nmodels:\n  m: {from: fit, gate: ['auc >= 2']}\n")
    assert "in-sample" in project.sluice("run", status=1).stderr
    project.write("sluice.yaml", (project.root / "sluice.yaml").read_text().replace("rounds: 2", "rounds: 2, validation: 'a >= 80'"))
    assert "in-sample" not in project.sluice("run", status=1).stderr.rpartition("error: ")[2]


def test_a_run_records_the_libraries_that_it_used(chain):
    states(chain)
    run = chain.json("show", "run:" + chain.json("show", "step:upper")["runs"][0]["id"])
    whole = chain.json("show", "run:" + next(run["id"] for run in chain.json("ls", "runs")["items"] if run["kind"] == "run"))
    assert run["tags"]["libraries"].startswith("duckdb ")
    assert [library.split()[0] for library in whole["environment"]["libraries"]] == ["sqlite", "OpenSSL"]


def test_a_broken_line_is_told_with_row_and_column(chain):
    chain.write("sluice.yaml", "project: x\nsources:\n  raw: {path: raw.csv, columns: {id: bigint, name: text}}\n")
    chain.write("raw.csv", "id,name\n1,a\nabc,b\n")
    done = chain.sluice("run", status=1)
    assert "raw.csv:3:1" in done.stderr and "'abc'" in done.stderr and "bigint" in done.stderr


def test_a_truncated_parquet_file_is_refused(project, flights_parquet):
    project.sluice("init", status=0)
    project.write("sluice.yaml", "project: x\nsources:\n  raw: raw.parquet\n")
    project.write("raw.parquet", flights_parquet.read_bytes()[:1_000_000])
    done = project.sluice("run", status=1)
    assert "raw.parquet" in done.stderr
    assert project.json("ls", "datasets")["items"] == []
