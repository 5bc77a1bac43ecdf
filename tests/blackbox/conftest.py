"""Fixtures of the black-box tests: the program as its users meet it, in a fresh folder, with a deadline on everything.

    def test_x(project):
        project.write("sluice.yaml", "project: x\n...")
        done = project.sluice("run", "features", status=0)     # CompletedProcess with .stdout and .stderr as text
        runs = project.json("ls", "run")                        # --json, parsed
        with project.up() as server:                            # the roles of the project, on a port of its own
            assert server.get("/health").status_code == 200

SLUICE_BIN names the program; the default is build/dev/sluice.
"""
import contextlib
import json
import os
import pathlib
import subprocess
import time

import pytest
import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "third_party" / "prefix" / "data"
PROGRAM = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build" / "dev" / "sluice"))
COMMAND_SECONDS = 120


def wait_until(condition, seconds=30, what="the condition"):
    """Polls until `condition()` is true and returns its value; fails after the deadline. The only way to wait in a test."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not come true within {seconds} s"
        time.sleep(0.02)


def alive(pid):
    """Whether the process runs; one that ended and waits to be asked for its status does not."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):  # the second when it goes between the open and the read
        return False


class Server:
    """A running server of a project; `url`, `token`, and the roles as `sluice up` told them."""

    def __init__(self, project, told):
        self.project, self.url, self.port, self.pid, self.roles = project, told["url"], told["port"], told["pid"], told["roles"]
        token = project.root / ".sluice" / "key" / "token"
        self.token = token.read_text().strip() if token.exists() else ""

    def get(self, path, **options):
        return requests.get(self.url + path, timeout=30, **options)

    def post(self, path, **options):
        return requests.post(self.url + path, timeout=120, **options)

    def role_pid(self, name):
        return next(role["pid"] for role in self.roles if role["name"] == name)

    def logs(self):
        return "\n".join(f"-- {log.name}\n{log.read_text(errors='replace')[-3000:]}" for log in sorted(self.project.root.glob(".sluice/log/*.log")))


class Project:
    """A folder with a sluice.yaml, and the commands run in it."""

    def __init__(self, root):
        self.root = root
        # MLflow's client sets variables of its own in this process when a test uses it; its server may be gone by now.
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("SLUICE_", "MLFLOW_"))}
        self.environment.update(HOME=str(root.parent), NO_COLOR="1", LC_ALL="C.UTF-8", TZ="UTC")

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(text, bytes):
            path.write_bytes(text)
        else:
            path.write_text(text)
        return path

    def sluice(self, *arguments, status=0, seconds=COMMAND_SECONDS, stdin=None, env=None):
        """Runs a command to its end and checks the exit status (None: any)."""
        done = subprocess.run([str(PROGRAM), *map(str, arguments)], cwd=self.root, env={**self.environment, **(env or {})}, text=True,
                              errors="replace", input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds)
        assert status is None or done.returncode == status, (
            f"sluice {' '.join(map(str, arguments))}: exit {done.returncode}, expected {status}\n"
            f"-- stdout\n{done.stdout[-4000:]}\n-- stderr\n{done.stderr[-4000:]}")
        return done

    def json(self, *arguments, status=0, **options):
        return json.loads(self.sluice(*arguments, "--json", status=status, **options).stdout)

    def start(self, *arguments, log=None):
        """Starts a command in a process group of its own; the caller ends it."""
        log = log or self.root.parent / f"{arguments[0]}.log"
        with open(log, "ab") as out:
            return subprocess.Popen([str(PROGRAM), *map(str, arguments)], cwd=self.root, env=self.environment, stdin=subprocess.DEVNULL,
                                    stdout=out, stderr=subprocess.STDOUT, start_new_session=True), log

    @contextlib.contextmanager
    def up(self, *arguments):
        """The server of the project on a free port, every role ready; `down`, and seen to be down, afterwards."""
        server = Server(self, self.json("up", "--port", 0, *arguments))
        try:
            yield server
        except BaseException:
            print(server.logs())
            raise
        finally:
            self.sluice("down", status=0)
            wait_until(lambda: not alive(server.pid), what="the end of the supervisor")


@pytest.fixture(scope="session")
def program():
    assert PROGRAM.exists(), f"{PROGRAM} is not built"
    return PROGRAM


@pytest.fixture
def project(program, tmp_path):
    root = tmp_path / "project"
    root.mkdir()
    return Project(root)


@pytest.fixture(scope="session")
def flights_parquet():
    """The demo's three million flights."""
    path = DATA / "flights-3m.parquet"
    assert path.exists(), "run tools/deps/deps.sh"
    return path
