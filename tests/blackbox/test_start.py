"""Runs over HTTP: started at once, looked at, refused with the holder's name, cancelled; and the same from the command line."""
import pytest

from conftest import Project, wait_until

PROJECT = """
project: start
sandbox: off
params: {n: 5}
sources: {raw: raw.csv}
steps:
  few: {sql: few.sql}
  slow: {run: [sh, -c, 'echo slow $$; touch "$MARK"; while [ ! -e "$RELEASE" ]; do sleep 0.02; done; echo 1 > "$SLUICE_OUTPUT_slow"'], inputs: [few], outputs: {slow: out.txt}}
"""


@pytest.fixture(scope="module")
def server(program, tmp_path_factory):
    root = tmp_path_factory.mktemp("start") / "project"
    root.mkdir()
    project = Project(root)
    project.write("raw.csv", "x\n" + "".join(f"{i}\n" for i in range(20)))
    project.write("few.sql", "select x from raw limit $n")
    project.write("sluice.yaml", PROJECT.replace("$MARK", str(root / "mark")).replace("$RELEASE", str(root / "release")))
    project.sluice("init")
    with project.up() as running:
        running.secret = project.json("token", "create", "runner", "--allow", "operator")["secret"]
        yield running


def start(server, status=202, **body):
    answer = server.post("/api/v1/runs", json=body, headers={"Authorization": f"Bearer {server.secret}"})
    assert answer.status_code == status, answer.text
    return answer


def ended(server, answer):
    location = answer.headers["Location"]
    assert location == f"/api/v1/runs/{answer.json()['id']}"
    return wait_until(lambda: (now := server.get(location).json())["state"] != "running" and now, what="the end of the run")


def test_a_run_is_started_and_told_of(server):
    told = ended(server, start(server, what=["few", "n=7"]))
    assert told["state"] == "done" and told["actor"] == "token:runner", told
    assert {step["name"]: step["state"] for step in told["result"]["steps"]}["few"] == "ok"
    assert server.project.json("sql", "select count(*) as c from few")["items"] == [{"c": 7}]
    again = ended(server, start(server, what=["few", "n=7"]))
    assert again["state"] == "done" and again["id"] != told["id"]
    entries = server.project.json("ls", "ledger", "-l", 200)["items"]
    assert any(e["actor"] == "token:runner" for e in entries)


@pytest.mark.parametrize("body, part", [
    ({"what": ["fwe"]}, "few"), ({"what": ["n=abc"]}, "n"), ({"what": ["nothing=1"]}, "nothing"), ({"what": "few", "colour": 1}, "colour"),
    ({"what": [["few"]]}, "what"), ({"what": ["--force"]}, "--force"), ({"what": [""]}, "")])
def test_what_the_command_line_refuses_is_refused(server, body, part):
    answer = server.post("/api/v1/runs", json=body, headers={"Authorization": f"Bearer {server.secret}"})
    assert answer.status_code in (400, 404) and part in answer.text, answer.text


def test_a_held_lock_is_told_and_a_run_can_be_cancelled(server):
    root = server.project.root
    (root / "mark").unlink(missing_ok=True)
    first = start(server, what=["slow"])
    wait_until((root / "mark").exists, what="the slow step")
    refused = start(server, status=409, what=["few"])
    assert "process" in refused.json()["error"]["message"]
    waiting = start(server, what=["few", "n=9"], wait=True)
    cancel = lambda answer: server.post(answer.headers["Location"] + "/cancel", json={}, headers={"Authorization": f"Bearer {server.secret}"})
    assert cancel(first).json()["state"] == "cancelling"
    told = ended(server, first)
    assert told["state"] != "done", told
    assert ended(server, waiting)["state"] == "done"
    assert cancel(first).json()["state"] == "had ended"
    assert server.project.json("sql", "select count(*) as c from few")["items"] == [{"c": 9}]


def test_a_started_run_outlives_the_server(server):
    root = server.project.root
    (root / "mark").unlink(missing_ok=True)
    first = start(server, what=["slow", "n=3"])
    wait_until((root / "mark").exists, what="the slow step")
    server.project.sluice("down")
    assert server.project.json("started", first.json()["id"])["state"] == "running"
    (root / "release").touch()
    told = wait_until(lambda: (now := server.project.json("started", first.json()["id"]))["state"] != "running" and now, what="the end")
    assert told["state"] == "done", str(told)[-3000:]


def test_ids_are_checked(server):
    for bad in ["..", "x", "../../key"]:
        server.project.sluice("started", bad, status=2)
    assert "long ago" in server.project.sluice("cancel", "01ARZ3NDEKTSV4RRFFQ69G5FAV", status=None).stderr
