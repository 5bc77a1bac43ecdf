"""The server's life: up, down, twice, and a role that dies."""
import os
import signal

import pytest

from conftest import alive, wait_until


@pytest.fixture
def started(project):
    project.sluice("init", status=0)
    with project.up() as server:
        yield server


def test_answers_as_soon_as_up_returns(started):
    assert started.get("/health").status_code == 200


def test_down_leaves_no_process(project):
    project.sluice("init", status=0)
    with project.up() as server:
        pids = [server.pid] + [role["pid"] for role in server.roles]
        assert all(alive(pid) for pid in pids)
    wait_until(lambda: not any(alive(pid) for pid in pids), what="the end of every role")


def test_down_again_is_fine(project):
    project.sluice("init", status=0)
    assert "not running" in project.json("down")["state"]


def test_up_twice_says_who_holds_it(started):
    second = started.project.sluice("up", "--port", 0, status=4)
    assert str(started.pid) in second.stderr


def test_a_role_that_dies_is_started_again(started):
    os.kill(started.role_pid("api"), signal.SIGKILL)

    def answers():
        try:
            return started.get("/health").status_code == 200
        except OSError:
            return False

    wait_until(answers, what="an answer of the role started again")
    assert alive(started.pid)


def test_only_loopback_is_bound(started):
    for table in ("tcp", "tcp6"):
        with open(f"/proc/net/{table}") as lines:
            listening = [line.split()[1] for line in lines if line.split()[3] == "0A"]
        for address, port in (entry.split(":") for entry in listening):
            if int(port, 16) == started.port:
                assert address == "0100007F"


def test_refuses_another_host(started):
    assert started.get("/health", headers={"Host": "example.com"}).status_code in (400, 403, 421)
