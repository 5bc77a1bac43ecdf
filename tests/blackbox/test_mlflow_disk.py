"""A full disk under the tracking server: whatever writes is answered 507, half of nothing is kept, what was acknowledged is there, and it goes on
when there is room."""
import os
import subprocess

import pytest
import requests

from mlflow_server import serving
from test_mlflow_traces import otlp, span, spans_of


@pytest.fixture
def small(program, tmp_path):
    """A folder on a file system of its own."""
    root = tmp_path / "small"
    root.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(root)], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("may not mount a file system")
    yield root
    subprocess.run(["umount", "-l", str(root)], check=True)


def fill(root):
    with open(root / "ballast", "ab") as ballast:
        for size in (1 << 20, 1 << 12):  # to the last page
            while True:
                try:
                    os.posix_fallocate(ballast.fileno(), ballast.tell(), size)
                    ballast.seek(0, os.SEEK_END)
                except OSError:
                    break


def test_a_full_disk_is_507_and_then_it_goes_on(small):
    with serving(small) as url:
        api = f"{url}/api/2.0/mlflow"
        post = lambda path, **body: requests.post(f"{api}/{path}", json=body, timeout=30)
        put = lambda name, data: requests.put(f"{url}/api/2.0/mlflow-artifacts/artifacts/x/{name}", data=data, timeout=30)
        run = post("runs/create", experiment_id="0", start_time=1).json()["run"]["info"]["run_id"]
        batch = lambda n: post("runs/log-batch", run_id=run, metrics=[{"key": f"m{k}", "value": k, "timestamp": 1, "step": n} for k in range(900)],
                               params=[{"key": f"p{n}", "value": "x" * 5000}])
        assert batch(0).status_code == 200
        fill(small)
        acknowledged, refused = [0], None
        for n in range(1, 200):
            answer = batch(n)
            if answer.status_code != 200:
                refused = n
                break
            acknowledged.append(n)
        assert refused and answer.status_code == 507, answer.text
        big = put("big", b"x" * (4 << 20))
        assert big.status_code == 507, big.text
        wide = spans_of(*[span(f"{i:016x}", attributes=[{"key": "a", "value": {"stringValue": "x" * 2000}}]) for i in range(1, 400)])
        assert otlp(url, "0", wide).status_code == 507
        data = requests.get(f"{api}/runs/get", params={"run_id": run}, timeout=30).json()["run"]["data"]
        assert sorted(int(p["key"][1:]) for p in data["params"]) == acknowledged and len(data["metrics"]) == 900
        (small / "ballast").unlink()
        assert batch(refused).status_code == 200 and put("big", b"x" * (1 << 20)).status_code == 200 and otlp(url, "0", wide).status_code == 200
        data = requests.get(f"{api}/runs/get", params={"run_id": run}, timeout=30).json()["run"]["data"]
        assert sorted(int(p["key"][1:]) for p in data["params"]) == acknowledged + [refused]
        history = requests.get(f"{api}/metrics/get-history", params={"run_id": run, "metric_key": "m7"}, timeout=30).json()["metrics"]
        assert [p["step"] for p in history] == acknowledged + [refused]
