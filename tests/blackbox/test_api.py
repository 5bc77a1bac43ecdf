"""The project's own API and pages, by a client that was not written here."""
import json
import re

import pytest

from conftest import wait_until

LOADED = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def server(program, tmp_path_factory):
    from conftest import Project
    root = tmp_path_factory.mktemp("api") / "project"
    root.mkdir()
    project = Project(root)
    project.write("sluice.yaml", "project: api\nsources: {raw: data/raw.csv}\nsteps: {clean: {sql: sql/clean.sql}}\n")
    project.write("data/raw.csv", f"a,b\n1,{LOADED}\n2,x\n")
    project.write("sql/clean.sql", f"select * from raw -- {LOADED}\n")
    project.sluice("init")
    project.sluice("run")
    with project.up() as up:
        yield up


def authorized(server):
    return {"Authorization": f"Bearer {server.token}"}


def filled(path):
    """A route's path with something for each parameter."""
    return re.sub(r"{kind}", "runs", re.sub(r"{(ref|dataset)}", "clean", re.sub(r"{(?!kind)\w+}", "x", re.sub(r"{(ref|dataset)}", "clean", path))))


def operations(server):
    for path, methods in server.get("/api/v1/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def test_every_route_that_changes_is_denied_without_the_token(server):
    asked = 0
    for method, path, operation in operations(server):
        if operation["x-permission"] == "view":
            assert method == "get"
            continue
        assert method == "post"
        for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer " + "0" * 64}, {"Authorization": "Basic " + server.token}):
            assert server.post(filled(path), json={}, headers=headers).status_code in (401, 403), path
        asked += 1
    assert asked >= 6


def test_every_get_route_answers_or_says_why_not(server):
    for method, path, operation in operations(server):
        if method != "get":
            continue
        answer = server.get(filled(path))
        assert answer.status_code in (200, 400, 404), f"{path}: {answer.text}"
        if answer.status_code != 200:
            assert answer.json()["error"]["message"]


def test_the_answer_is_that_of_the_command(server):
    assert server.get("/api/v1/ls/datasets").json() == server.project.json("ls", "datasets")
    assert server.get("/api/v1/show/clean").json() == server.project.json("show", "clean")


def test_sql_with_the_token(server):
    answer = server.post("/api/v1/sql", json={"text": "select count(*) as n from clean"}, headers=authorized(server))
    assert answer.status_code == 200 and answer.json()["items"] == [{"n": 2}]
    assert server.post("/api/v1/sql", json={"text": "from clean", "out": "/tmp/x.csv"}, headers=authorized(server)).status_code == 403


@pytest.mark.parametrize("path,status", [
    ("/api/v1/nothing", 404), ("/api/v1/ls/runs/", 404), ("/api/v1/ls/runs?limit=0", 400), ("/api/v1/ls/runs?limit=1&limit=2", 400), ("/api/v1/ls/runs?x=1", 400),
    ("/api/v1/show/nothing", 404), ("/api/v1/role/api", 404), ("/api/v1/init", 404), ("/nothing", 404), ("/runs/nothing", 404),
])
def test_what_is_not_there(server, path, status):
    assert server.get(path).status_code == status


def test_bodies_are_typed(server):
    for body in ("[]", "{", '{"text": 1e999}', '{"txt": "from clean"}', "{}", '{"text": ["a"]}'):
        answer = server.post("/api/v1/sql", data=body, headers=authorized(server))
        assert answer.status_code == 400, body
        assert answer.json()["error"]["code"] == "invalid"


def test_the_wrong_method_is_405(server):
    assert server.post("/api/v1/version", headers=authorized(server)).status_code == 405
    assert server.post("/", headers=authorized(server)).status_code == 405


@pytest.mark.parametrize("path", ["/", "/datasets", "/datasets/clean", "/runs", "/steps/clean", "/why/dataset:clean", "/ledger", "/models"])
def test_pages_run_nothing_and_escape_everything(server, path):
    answer = server.get(path)
    assert answer.status_code == 200
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "<script" not in answer.text
    assert "sluice " in answer.text  # the command that shows the same


def test_page_links_lead_somewhere(server):
    for link in set(re.findall(r'href="(/[^"]*)"', server.get("/").text)):
        assert server.get(link).status_code == 200, link


def test_metrics_are_prometheus_text(server):
    answer = server.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert answer.text.endswith("\n")
    for line in answer.text.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) \w+ .+|\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? -?[0-9.e+-]+', line), line
    assert 'sluice_role_ready{role="api"} 1' in answer.text


def test_a_get_changes_nothing(server):
    before = server.get("/api/v1/ls/ledger?limit=10000").json()
    for method, path, _ in operations(server):
        if method == "get":
            server.get(filled(path))
    for path in ("/", "/datasets/clean", "/metrics", "/health"):
        server.get(path)
    assert [e for e in server.get("/api/v1/ls/ledger?limit=10000").json()["items"] if e["action"] != "request.refused"] == [
        e for e in before["items"] if e["action"] != "request.refused"]


def test_a_refusal_is_in_the_ledger(server):
    server.post("/api/v1/gc", json={"yes": True})

    def recorded():
        # One entry a second: the refusal may have been one of those left out, then the next one tells.
        server.post("/api/v1/gc", json={"yes": True})
        return any(entry["action"] == "request.refused" and "gc" in entry["subject"] for entry in server.project.json("ls", "ledger", "-l", 50)["items"])

    wait_until(recorded, what="an entry about the refusal")


def test_changes_over_http_are_in_the_ledger_by_name(server):
    stray = server.project.root / ".sluice/objects/58/91b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
    stray.parent.mkdir(exist_ok=True)
    stray.write_text("hello\n")
    answer = server.post("/api/v1/gc", json={"yes": True}, headers=authorized(server))
    assert answer.status_code == 200 and answer.json()["unreferenced"] == 1
    entry = next(e for e in server.project.json("ls", "ledger", "-l", 50)["items"] if e["action"] == "store.gc")
    assert entry["actor"] == "token:project"


def test_openapi_is_whole(server):
    document = server.get("/api/v1/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    ids = [operation["operationId"] for _, _, operation in operations(server)]
    assert len(ids) == len(set(ids))
    for reference in re.findall(r'"\$ref": ?"#/([^"]+)"', json.dumps(document)):
        node = document
        for part in reference.split("/"):
            node = node[part]
