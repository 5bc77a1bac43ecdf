"""Scripts in the steps of a project that log with MLflow's client: into their own step's run, with and without a server."""
import sys

import pytest

SCRIPT = """
import os, pathlib
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # else the client waits for its maker's server when it ends
import mlflow
with mlflow.start_run():
    mlflow.log_param("depth", 3)
    for i in range(3):
        mlflow.log_metric("loss", 1 / (i + 1), step=i)
pathlib.Path(os.environ["SLUICE_OUTPUT_text"]).write_text(mlflow.last_active_run().info.run_id)
"""


@pytest.fixture
def logging_project(project):
    project.write("fit.py", SCRIPT)
    project.write("sluice.yaml", f"project: x\nsteps:\n  fit: {{run: [{sys.executable}, fit.py], outputs: {{text: out.txt}}}}\n")
    project.sluice("init")
    return project


def test_a_step_logs_into_its_own_run(logging_project):
    logging_project.sluice("run", "fit")
    logged = logging_project.root.joinpath("out.txt").read_text()
    with logging_project.up() as server:
        answer = server.get(f"/api/2.0/mlflow/runs/get?run_id={logged}").json()["run"]
        assert answer["info"]["run_name"] == "fit" and answer["info"]["status"] == "FINISHED"
        assert answer["data"]["params"] == [{"key": "depth", "value": "3"}]
        assert answer["data"]["metrics"][0]["value"] == pytest.approx(1 / 3)
        found = server.post("/api/2.0/mlflow/runs/search", json={"experiment_ids": ["0"], "filter": "metrics.loss < 0.5"}).json()["runs"]
        assert [r["info"]["run_id"] for r in found] == [logged]
        assert server.get("/version").status_code == 200
    logging_project.sluice("verify")
