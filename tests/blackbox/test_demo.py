"""The demo is a test: the whole loop on three million flights, which ends with status 0 only if the story comes out as it is told."""
import os
import socket
import subprocess

import pytest

from conftest import DATA, PROGRAM, ROOT


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demo_tells_its_story(tmp_path, flights_parquet):
    project = tmp_path / "demo"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SLUICE_")}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        environment["SLUICE_DEMO_PORT"] = str(probe.getsockname()[1])
    try:
        done = subprocess.run(["bash", ROOT / "examples/flights/demo.sh", PROGRAM, DATA, project], env={**environment, "NO_COLOR": "1"},
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900)
    finally:
        if (project / ".sluice").exists():
            subprocess.run([PROGRAM, "down"], cwd=project, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
    assert done.returncode == 0, done.stdout[-6000:]
    assert "verdict           ok" in done.stdout
