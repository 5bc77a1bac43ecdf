"""How steps are run: further attempts, causes in words, resources."""
import json


def write(project, text):
    project.sluice("init", status=0)
    project.write("sluice.yaml", "project: steps\n" + text)
    return project


def run(project, *arguments, status=0):
    return {step["name"]: step for step in project.json("run", *arguments, status=status)["steps"]}


def test_a_failed_attempt_is_tried_again_until_it_is_well(project):
    write(project, "steps:\n  flaky: {run: 'echo x >> n; [ $(wc -l < n) -ge 3 ] || exit 75', retry: {times: 3, wait: 10ms, exit: [75]}}\n")
    told = project.sluice("run", status=0).stderr
    assert "exit status 75; again in 10 ms" in told and "again in 20 ms" in told
    assert (project.root / "n").read_text() == "x\n" * 3
    runs = [run for run in project.json("ls", "runs")["items"] if run["name"] == "flaky"]
    assert sorted(run["status"] for run in runs) == ["failed", "failed", "ok"]
    assert [run["why"] for run in runs if run["status"] == "ok"] == ["attempt 3: exit status 75"]


def test_only_what_was_asked_for_is_tried_again(project):
    write(project, "steps:\n"
          "  other: {run: 'echo x >> other; exit 3', retry: {times: 3, wait: 10ms, exit: [75]}}\n"
          "  said: {run: 'echo x >> said; echo connection reset by peer >&2; exit 3', retry: {times: 2, wait: 10ms, text: [connection reset]}}\n"
          "  signalled: {run: 'echo x >> signalled; kill -TERM $$', retry: {times: 1, wait: 10ms, signal: [TERM]}}\n")
    steps = run(project, "--keep-going", status=1)
    assert {name: (project.root / name).read_text().count("x") for name in steps} == {"other": 1, "said": 3, "signalled": 2}
    assert steps["signalled"]["cause"] == "killed by SIGTERM"


def test_how_a_step_is_run_is_no_reason_to_run_it_again(project):
    write(project, "steps:\n  a: {run: 'true', retry: 1, priority: 1, cpu: 1, timeout: 1h}\n")
    assert run(project)["a"]["state"] == "ok"
    project.write("sluice.yaml", "project: steps\nsteps:\n  a: {run: 'true', memory: 1GB}\n")
    assert run(project)["a"]["state"] == "fresh"


def test_a_step_that_takes_more_memory_than_it_may_is_ended_with_the_cause(project):
    write(project, "steps:\n  hog: {run: [python3, -c, 'x = bytearray(400 << 20); import time; time.sleep(60)'], memory: 100MB}\n")
    cause = run(project, status=1)["hog"]["cause"]
    assert cause.startswith("out of memory at 0.") and cause.endswith("of 0.105 GB, its limit"), cause


def test_a_resource_is_never_given_out_twice(project):
    # Each holds the lock's folder while it runs: a second one at a time could not make it.
    command = "mkdir held && sleep 0.05 && rmdir held"
    write(project, "resources: {db: 1}\nsteps:\n" + "".join(f"  s{i}: {{run: '{command}', needs: {{db: 1}}}}\n" for i in range(6)))
    assert {step["state"] for step in run(project, "-j", 6).values()} == {"ok"}


def test_the_highest_priority_goes_first(project):
    write(project, "steps:\n" + "".join(f"  s{i}: {{run: 'echo {i} >> order', priority: {i}}}\n" for i in range(5)))
    run(project, "-j", 1)
    assert (project.root / "order").read_text().split() == ["4", "3", "2", "1", "0"]


def test_mistakes_are_told_with_their_place(project):
    cases = {
        "steps:\n  a: {run: 'true', retry: {exit: [300]}}\n": "sluice.yaml:3:34: an exit status is a number from 1 to 255",
        "steps:\n  a: {run: 'true', retry: {signal: [NOPE]}}\n": "'NOPE' is no signal",
        "steps:\n  a: {run: 'true', retry: {tims: 3}}\n": "did you mean 'times'?",
        "steps:\n  a: {run: 'true', needs: {db: 1}}\n": "step 'a' needs 1 of 'db', and there are 0",
        "resources: {dbs: 1}\nsteps:\n  a: {run: 'true', needs: {db: 1}}\n": "did you mean 'dbs'?",
        "resources: {cpu: 1}\n": "a resource cannot be called 'cpu'",
    }
    project.sluice("init", status=0)
    for text, message in cases.items():
        project.write("sluice.yaml", "project: steps\n" + text)
        assert message in project.sluice("run", status=2).stderr
    assert "retry" in json.dumps(json.loads(project.sluice("schema", status=0).stdout))
