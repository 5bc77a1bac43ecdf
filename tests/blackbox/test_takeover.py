"""A run is killed, a server restarted, while steps work: they go on, the next run takes them over, and nothing runs twice or is lost."""
import os
import signal
import sys

import pytest

from conftest import alive, wait_until
from test_run import new_marker, processes_with

# Opening a FIFO waits for the other side: a step that works as long as it is wanted to, without polling.
WAITS = "echo x >> n; : < gate; echo $SLUICE_PARAM_word > $SLUICE_OUTPUT_o"


def steps(project, text):
    params = "params: {word: one}\n" if "word" in text else ""
    project.sluice("init")
    project.write("sluice.yaml", f"project: x\nsandbox: off\n{params}steps:\n{text}")
    os.mkfifo(project.root / "gate")


def open_gate(project):
    with open(project.root / "gate", "w"):
        pass


def lines(project, name="n"):
    path = project.root / name
    return path.read_text().count("\n") if path.exists() else 0


def start_and_kill(project, *arguments, count=1, kill=os.kill, ready=None):
    process, log = project.start("run", *arguments, log=project.root.parent / "killed.log")
    wait_until(ready or (lambda: lines(project) >= count), what=f"the start of the steps: {log}")
    assert process.poll() is None, log.read_text()
    kill(process.pid, signal.SIGKILL)
    process.wait()


def runs_of(project, name):
    return [(run["status"], run["why"]) for run in project.json("ls", "runs", name)["items"]]


def keepers(project):
    return processes_with(f"worker\0keep:{project.root}/")


@pytest.mark.parametrize("kill", [os.kill, os.killpg], ids=["process", "group"])
def test_a_step_goes_on_and_is_taken_over(project, kill):
    marker = new_marker()
    steps(project, f"  slow: {{run: \"setsid sleep {marker} & {WAITS}\", params: [word], outputs: {{o: o.txt}}}}\n  after: {{run: 'cp $SLUICE_INPUT_o $SLUICE_OUTPUT_p', "
                   "inputs: [o], outputs: {p: p.txt}}\n")
    start_and_kill(project, kill=kill)
    assert processes_with(marker) and [step["name"] for step in project.json("status")["working"]] == ["slow"]
    assert "sluice run --resume" in project.sluice("gc", status=4).stderr
    process, log = project.start("run")
    wait_until(lambda: "taken over at work" in log.read_text(), what="the next run's news")
    assert runs_of(project, "slow") == [("running", "never ran")]
    open_gate(project)
    assert process.wait(30) == 0
    assert lines(project) == 1 and (project.root / "p.txt").read_text() == "one\n" and not processes_with(marker)
    assert runs_of(project, "slow") == [("ok", "never ran")]
    assert not keepers(project) and not list((project.root / ".sluice" / "tmp").iterdir())
    assert "killed" in project.sluice("ls", "runs").stdout  # the run over all
    project.sluice("verify")


def test_the_server_takes_over_what_a_killed_run_was_to_do(project):
    steps(project, f"  slow: {{run: \"{WAITS}\", params: [word], outputs: {{o: o.txt}}}}\n  after: {{run: 'cp $SLUICE_INPUT_o $SLUICE_OUTPUT_p', "
                   "inputs: [o], outputs: {p: p.txt}}\n  other: {run: 'touch other'}\n")
    start_and_kill(project, "after", "word=two words")
    with project.up():
        pass  # a server that is restarted while it waits for the step harms it no more than a run
    with project.up():
        open_gate(project)
        wait_until(lambda: (project.root / "p.txt").exists(), what="the end of what was to be done")
        wait_until(lambda: not project.json("status")["working"], what="its record")
    assert (project.root / "p.txt").read_text() == "two words\n" and lines(project) == 1 and not (project.root / "other").exists()
    assert project.json("run", "--resume")["note"] == "no run was killed"


def test_the_record_has_every_metric_once(project):
    steps(project, f"  slow: {{run: [{sys.executable}, slow.py]}}\n")
    project.write("slow.py", "import os\nfor i in range(25):\n    os.write(3, b'{\"metric\":\"m\",\"step\":%d,\"value\":%d}\\n' % (i, i))\n    i != 12 or open('gate').close()\n")
    count = "select count(*) n, count(distinct step) d from metrics where name = 'm'"
    start_and_kill(project, ready=lambda: (project.root / ".sluice/sluice.db").exists() and project.json("sql", count)["items"][0]["n"] == 13)
    process, log = project.start("run")
    wait_until(lambda: "taken over" in log.read_text(), what="the next run's news")
    open_gate(project)
    assert process.wait(30) == 0
    assert project.json("sql", count)["items"] == [{"n": 25, "d": 25}]
    assert len(runs_of(project, "slow")) == 1


def test_a_worker_is_taken_over_too(project):
    project.sluice("init")
    project.write("raw.csv", "a,b,c\n" + "".join(f"{i % 1000},{i * 7 % 1009},{i * i % 11 % 2}\n" for i in range(20_000)))
    project.write("sluice.yaml", "project: x\nsources: {raw: raw.csv}\nsteps:\n  s: {train: {algorithm: xgboost, data: raw, target: c, features: [a, b], rounds: 400, max_depth: 6}}\n")
    project.sluice("run", "raw")
    job = str(project.root / ".sluice" / "tmp") + "/"
    start_and_kill(project, ready=lambda: [pid for pid in processes_with(job) if pid not in keepers(project)])
    told = {step["name"]: step for step in project.json("run")["steps"]}
    assert told["s"]["state"] == "ok" and len(runs_of(project, "s")) == 1
    project.sluice("verify")


@pytest.mark.slow
def test_two_hundred_steps_outlive_two_runs(project):
    steps(project, "".join(f"  s{i}: {{run: \"{WAITS}\", params: [word], cpu: 0, outputs: {{o{i}: o{i}.txt}}}}\n".replace("OUTPUT_o", f"OUTPUT_o{i}") for i in range(200)))
    start_and_kill(project, count=200)
    working = set(processes_with("echo x >> n"))
    process, log = project.start("run")
    wait_until(lambda: log.read_text().count("taken over") == 200, what="200 steps to be taken over")
    process.kill()
    process.wait()
    assert set(processes_with("echo x >> n")) == working and len(working) >= 200
    process, log = project.start("run", log=project.root.parent / "last.log")
    wait_until(lambda: log.read_text().count("taken over") == 200, what="200 steps to be taken over again")
    open_gate(project)
    assert process.wait(60) == 0
    assert lines(project) == 200 and {run["status"] for run in project.json("ls", "runs", "--limit", 1000)["items"] if run["kind"] == "step"} == {"ok"}
    assert len([run for run in project.json("ls", "runs", "--limit", 1000)["items"] if run["kind"] == "step"]) == 200


def test_a_cancelled_run_ends_what_it_took_over(project):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # below nohup it is ignored, and a child would inherit that
    marker = new_marker()
    steps(project, f"  slow: {{run: \"echo x >> n; sleep {marker}\"}}\n")
    start_and_kill(project)
    process, log = project.start("run")
    wait_until(lambda: "taken over" in log.read_text(), what="the next run's news")
    process.send_signal(signal.SIGHUP)
    assert process.wait(30) == 1
    assert not processes_with(marker) and runs_of(project, "slow") == [("cancelled", "cancelled")]


def test_a_killed_keeper_takes_its_steps_with_it(project):
    marker = new_marker()
    steps(project, f"  slow: {{run: \"echo x >> n; (trap '' TERM HUP; setsid sleep {marker}) & [ $(wc -l < n) = 2 ] || sleep {marker}\", retry: {{machine: 1, wait: 10ms}}}}\n")
    process, log = project.start("run")
    wait_until(lambda: len(processes_with(marker)) >= 3, what="the start of the step")
    for pid in keepers(project):
        os.kill(pid, signal.SIGKILL)
    assert process.wait(30) == 0
    assert "what kept its process was killed, and it too; again in 10 ms" in log.read_text() and lines(project) == 2
    wait_until(lambda: not processes_with(marker), seconds=10, what="the end of everything that the step started")
    assert not alive(process.pid)


def test_when_both_are_killed_the_next_run_starts_anew(project):
    marker = new_marker()
    steps(project, f"  slow: {{run: \"echo x >> n; (trap '' TERM HUP; setsid sleep {marker}) & [ $(wc -l < n) = 2 ] || sleep {marker}\"}}\n")
    start_and_kill(project, ready=lambda: len(processes_with(marker)) >= 3)
    for pid in keepers(project):
        os.kill(pid, signal.SIGKILL)
    project.sluice("run")
    assert lines(project) == 2 and not processes_with(marker)
    assert sorted(status for status, _ in runs_of(project, "slow")) == ["killed", "ok"]


LOGS = """\
import json, os, urllib.request
def log(step):
    metric = {"run_id": os.environ["MLFLOW_RUN_ID"], "key": "loss", "value": step / 2, "timestamp": 1, "step": step}
    urllib.request.urlopen(urllib.request.Request(os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/log-metric", json.dumps(metric).encode(),
                                                  {"Content-Type": "application/json"}), timeout=60).read()
    print("logged", step, flush=True)
log(0)
open("gate").close()
log(1)
log(2)
print(os.environ["MLFLOW_RUN_ID"])
"""


def test_a_script_keeps_the_address_that_it_logs_to(project):
    steps(project, f"  fit: {{run: [{sys.executable}, logs.py], sandbox: {{read: [gate]}}}}\n")
    project.write("logs.py", LOGS)
    start_and_kill(project, ready=lambda: "logged 0" in project.sluice("log", "step:fit", status=None).stdout)
    open_gate(project)  # what it sends now waits for somebody who answers
    process, log = project.start("run")
    wait_until(lambda: "taken over" in log.read_text(), what="the next run's news")
    assert process.wait(60) == 0, log.read_text()
    run, = project.json("ls", "runs", "fit")["items"]
    assert run["status"] == "ok"
    with project.up() as server:
        hex_id = project.sluice("log", "step:fit").stdout.split()[-1]
        told = server.get(f"/api/2.0/mlflow/metrics/get-history?run_id={hex_id}&metric_key=loss").json()
        assert [point["step"] for point in told["metrics"]] == [0, 1, 2], told


def test_a_step_for_the_end_is_finished(project):
    steps(project, "  a: {run: 'echo x >> a'}\n  tidy: {run: 'echo begun >> n; : < gate; echo $SLUICE_STATUS >> told', finally: true}\n")
    start_and_kill(project)
    process, log = project.start("run")
    wait_until(lambda: "taken over at work" in log.read_text(), what="the next run's news")
    open_gate(project)
    assert process.wait(30) == 0
    assert (lines(project), lines(project, "a"), lines(project, "told")) == (1, 1, 1) and runs_of(project, "tidy") == [("ok", "everything has ended")]
    start_and_kill(project, "--force", ready=lambda: lines(project) == 2)  # it ends while nobody is there
    open_gate(project)
    wait_until(lambda: lines(project, "told") == 2, what="its end")
    wait_until(lambda: not keepers(project), what="its keeper's end")
    assert "had ended" in project.sluice("run").stderr
    assert lines(project) == 2 and {status for status, _ in runs_of(project, "tidy")} == {"ok"} and not project.json("status")["working"]


GATED = """\
  s: {train: {algorithm: xgboost, data: raw, target: c, features: [a, b], rounds: 20, max_depth: 6}}
models:
  m: {from: s, evaluate: {data: raw, target: c}, gate: ["log_loss <= 9", "log_loss <= champion.log_loss + 9"], promote: auto}
"""


def kill_at_the_gate(project):
    """False: the gate was through before anybody saw it."""
    own = set(keepers(project))
    process, log = project.start("run", log=project.root.parent / "killed.log")
    at_work = lambda: [pid for pid in processes_with(str(project.root / ".sluice" / "tmp") + "/") if pid not in own | set(keepers(project))]
    seen = wait_until(lambda: at_work() or process.poll() is not None, what=f"the gate: {log}")
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL and seen is not True


@pytest.mark.slow
def test_a_gate_is_finished(project):
    project.sluice("init")
    project.write("sluice.yaml", "project: x\nsources: {raw: raw.csv}\nsteps:\n" + GATED)
    rows = "".join(f"{i % 1000},{i * 7 % 1009},{i * i % 11 % 2}\n" for i in range(600_000))
    for versions in range(1, 6):
        project.write("raw.csv", "a,b,c\n" + rows + "1,2,0\n" * versions)
        project.sluice("run", "s")
        if kill_at_the_gate(project):
            break
    else:
        pytest.skip("the gate was through each time before it could be killed")
    assert {step["name"] for step in project.json("status")["working"]} <= {"m"}
    told = {step["name"]: step for step in project.json("run")["steps"]}
    assert told["m"]["state"] == "ok" and [status for status, _ in runs_of(project, "m")] == ["ok"] * versions
    assert sorted(model["version"] for model in project.json("ls", "models", "m")["items"]) == [*range(1, versions + 1)]
    project.sluice("verify")
