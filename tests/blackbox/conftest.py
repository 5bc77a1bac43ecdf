"""Fixtures of the black-box tests: the program as its users meet it, in a fresh folder, with a deadline on everything.

    def test_x(project):
        project.write("sluice.yaml", "project: x\n...")
        done = project.sluice("run", "features", status=0)     # CompletedProcess with .stdout and .stderr as text
        runs = project.json("ls", "run")                        # --json, parsed
        with project.up() as server:                            # the roles of the project, on a port of its own
            requests.get(server.url + "/health")

SLUICE_BIN names the program; the default is build/dev/sluice.
"""
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

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


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A running `sluice up`."""

    def __init__(self, process, port, log):
        self.process, self.port, self.log = process, port, log
        self.url = f"http://127.0.0.1:{port}"

    def get(self, path):
        """(status, text) of a GET, also when the status says failure."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as failure:
            return failure.code, failure.read().decode()

    def answers(self):
        try:
            return self.get("/health")[0] == 200
        except OSError:
            return False

    def stop(self, seconds=30):
        """Asks it to end as a service manager does, and returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise AssertionError(f"`sluice up` did not end within {seconds} s of SIGTERM:\n{self.log.read_text()[-4000:]}") from None


class Project:
    """A folder with a sluice.yaml, and the commands run in it."""

    def __init__(self, root):
        self.root = root
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("SLUICE_")}
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
    def up(self, *arguments, seconds=30):
        """The roles of the project on a free port, ready to answer; ended, and seen to end, afterwards."""
        port = free_port()
        process, log = self.start("up", "--foreground", "--port", port, *arguments)
        server = Server(process, port, log)
        try:
            def ready():
                assert process.poll() is None, f"`sluice up` ended with {process.returncode}:\n{log.read_text()[-4000:]}"
                return server.answers()
            wait_until(ready, seconds, "an answer of /health")
            yield server
        finally:
            server.stop()


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
