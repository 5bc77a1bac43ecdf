"""`sluice mlflow` on a port of its own, for the tests of MLflow's protocol."""
import contextlib
import subprocess

from conftest import PROGRAM, wait_until


@contextlib.contextmanager
def serving(folder, *arguments):
    """Serves the store in `folder` and gives the URL; ends with SIGTERM and looks at the exit status."""
    log = folder / "server.log"
    with log.open("w") as err:
        process = subprocess.Popen([PROGRAM, "mlflow", "--port", "0", "--store", folder / "store", *arguments], stderr=err)
    try:
        wait_until(lambda: "ready" in log.read_text() or process.poll() is not None, what="the server")
        assert process.poll() is None, log.read_text()
        yield log.read_text().split()[0]
    finally:
        if process.poll() is None:
            process.terminate()
        status = process.wait(timeout=30)
    assert status == 0, log.read_text()
