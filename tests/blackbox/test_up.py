"""The supervisor: what a role's death, its own death and a wrong project do."""
import json
import os
import signal
import socket

import pytest
import requests

from conftest import alive, wait_until


@pytest.fixture
def started(project):
    project.sluice("init")
    with project.up() as server:
        yield server


def role(project, name):
    return next(r for r in project.json("status")["roles"] if r["name"] == name)


@pytest.mark.plain
def test_the_reason_of_a_death_is_shown(started):
    os.kill(started.role_pid("worker"), signal.SIGSEGV)
    wait_until(lambda: role(started.project, "worker")["restarts"] == 1 and role(started.project, "worker")["state"] == "ready", what="the restart")
    assert "SIGSEGV" in role(started.project, "worker")["last_end"]
    assert "SIGSEGV" in started.project.sluice("log", "worker").stdout


def test_a_role_that_keeps_dying_is_started_ever_later(started):
    for deaths in range(1, 4):
        os.kill(role(started.project, "worker")["pid"], signal.SIGKILL)
        wait_until(lambda: role(started.project, "worker")["restarts"] == deaths and role(started.project, "worker")["state"] == "ready", what="the restart")
    log = started.project.sluice("log", "worker").stdout
    assert log.count("killed by SIGKILL") == 3


def test_roles_die_with_their_supervisor(project):
    project.sluice("init")
    told = project.json("up", "--port", 0)
    pids = [r["pid"] for r in told["roles"]]
    os.kill(told["pid"], signal.SIGKILL)
    wait_until(lambda: not any(alive(pid) for pid in pids), what="the end of the roles")
    assert "not running" in project.json("status")["server"]
    with project.up() as server:  # and what it left behind is no hindrance
        assert server.get("/health").status_code == 200


def test_a_wrong_project_is_told_before_anything_starts(project):
    project.sluice("init")
    project.write("sluice.yaml", "project: x\nsteps:\n  a: {sql: nowhere.sql, colour: red}\n")
    done = project.sluice("up", "--port", 0, status=2)
    assert "sluice.yaml:3" in done.stderr
    assert not (project.root / ".sluice/up.json").exists()


def test_a_taken_port_is_said(started, tmp_path):
    from conftest import Project
    other = tmp_path / "other"
    other.mkdir()
    second = Project(other)
    second.sluice("init")
    done = second.sluice("up", "--port", started.port, status=4)
    assert str(started.port) in done.stderr and "--port 0" in done.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1"])
def test_only_loopback(project, host):
    project.sluice("init")
    done = project.sluice("up", "--port", 0, "--host", host, status=2)
    assert "error: " in done.stderr


def test_in_the_foreground_until_asked_to_end(project):
    project.sluice("init")
    process, log = project.start("up", "--foreground", "--port", 0)
    wait_until(lambda: "ready" in log.read_text(), what="the address")
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert "not running" in project.json("down")["state"]


@pytest.mark.plain
def test_all_roles_are_small(started):
    total = 0
    for pid in [started.pid] + [r["pid"] for r in started.roles]:
        with open(f"/proc/{pid}/status") as status:
            total += next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    assert total <= 40 * 1024


@pytest.fixture
def listens(project):
    """listens(section, *options): the project with that `server:`, started; what `up` told."""
    project.sluice("init")
    free = socket.socket()
    free.bind(("127.0.0.1", 0))
    project.free_port = free.getsockname()[1]
    free.close()

    def up(section, *options, status=0):
        project.write("sluice.yaml", f"project: listens\nserver: {section}\n")
        return project.sluice("up", "--json", *options, status=status)
    yield up
    project.sluice("down", status=None)


def test_the_project_file_says_how_up_listens(listens, project):
    told = json.loads(listens(f"{{port: {project.free_port}, require_token: true, host: 127.0.0.2, allow_host: here.example}}").stdout)
    assert told["url"] == f"http://127.0.0.2:{project.free_port}"
    answer = requests.get(told["url"] + "/api/v1/status", headers={"Host": "here.example"}, timeout=30)
    assert answer.status_code == 401  # the name is known, the token missing
    assert requests.get(told["url"] + "/api/v1/status", headers={"Host": "there.example"}, timeout=30).status_code == 403


def test_the_command_line_wins_over_the_project_file(listens, project):
    told = json.loads(listens("{port: 1, host: 0.0.0.0, tls_cert: nowhere.pem, tls_key: nowhere.key}", "--port", 0, "--host", "127.0.0.1", status=2).stdout)
    assert told["error"]["where"] == "sluice.yaml:2:44"  # the certificate is still the file's
    told = json.loads(listens("{port: 1, host: 0.0.0.0, require_token: false}", "--port", project.free_port, "--host", "127.0.0.1").stdout)
    assert told["url"] == f"http://127.0.0.1:{project.free_port}"
    assert requests.get(told["url"] + "/api/v1/status", timeout=30).status_code == 200


@pytest.mark.parametrize("section, place, part", [
    ("{port: 70000}", "2:16", "from 0 to 65535"), ("{prot: 1}", "2:10", "did you mean 'port'?"), ("{host: 0.0.0.0}", "2:16", "needs TLS"),
    ("{tls_cert: a.pem}", "2:20", "'tls_key' is missing"), ("{port: 0, tls_cert: a.pem, tls_key: b.pem}", "2:29", "a.pem: cannot read"),
    ("{port: 0, tls_cert: sluice.yaml, tls_key: sluice.yaml}", "2:29", "not a PEM certificate"), ("[1]", "2:9", "a map"),
    ("{require_token: perhaps}", "2:25", "true or false")])
def test_a_wrong_server_section_is_told_with_its_place(listens, section, place, part):
    done = listens(section, status=2)
    assert json.loads(done.stdout)["error"]["where"] == f"sluice.yaml:{place}"
    assert part in done.stdout
