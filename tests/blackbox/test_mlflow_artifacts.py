"""Artifacts through MLflow's proxy: one copy of each content, names that stay inside, nothing that a browser would run."""
import hashlib
import http.client
import os
import subprocess
import urllib.parse

import pytest
import requests

from conftest import PROGRAM, wait_until
from mlflow_server import serving

PROXY = "/api/2.0/mlflow-artifacts/artifacts"


@pytest.fixture(scope="module")
def server(program, tmp_path_factory):
    folder = tmp_path_factory.mktemp("artifacts")
    with serving(folder) as url:
        yield url, folder


def make_run(url):
    answer = requests.post(url + "/api/2.0/mlflow/runs/create", json={"experiment_id": "0"}, timeout=30)
    return answer.json()["run"]["info"]


def below(info):
    assert info["artifact_uri"].startswith("mlflow-artifacts:/")
    return info["artifact_uri"].removeprefix("mlflow-artifacts:/").lstrip("/")


def put(url, path, data):
    return requests.put(f"{url}{PROXY}/{urllib.parse.quote(path)}", data=data, timeout=60)


def listed(url, path):
    return {f["path"]: f for f in requests.get(url + PROXY, params={"path": path}, timeout=30).json()["files"]}


def test_what_is_put_is_listed_and_got(server):
    url, _ = server
    info = make_run(url)
    base = below(info)
    assert put(url, base + "/notes/hello.txt", b"hello").status_code == 200
    assert put(url, base + "/images/a+b 1%2.png", b"png").status_code == 200
    assert put(url, base + "/empty", b"").status_code == 200
    assert listed(url, base) == {"notes": {"path": "notes", "is_dir": True}, "images": {"path": "images", "is_dir": True},
                                 "empty": {"path": "empty", "is_dir": False, "file_size": 0}}
    assert list(listed(url, base + "/images")) == ["a+b 1%2.png"]
    assert listed(url, base + "/empty") == {}
    assert requests.get(f"{url}{PROXY}/{base}/notes/hello.txt", timeout=30).content == b"hello"
    assert requests.get(f"{url}{PROXY}/{base}/empty", timeout=30).content == b""
    assert requests.get(f"{url}{PROXY}/{base}/notes", timeout=30).status_code == 404
    missing = requests.get(f"{url}{PROXY}/{base}/none", timeout=30)
    assert missing.status_code == 404
    assert missing.json()["message"] == f"No such artifact: '{base}/none'"
    of_run = requests.get(url + "/api/2.0/mlflow/artifacts/list", params={"run_id": info["run_id"], "path": "notes"}, timeout=30)
    assert of_run.json() == {"root_uri": info["artifact_uri"],
                             "files": [{"path": "notes/hello.txt", "is_dir": False, "file_size": 5}]}
    got = requests.get(url + "/get-artifact", params={"run_uuid": info["run_id"], "path": "notes/hello.txt"}, timeout=30)
    assert got.content == b"hello"
    sent = requests.post(url + "/ajax-api/2.0/mlflow/upload-artifact", params={"run_uuid": info["run_id"], "path": "up.bin"},
                         data=b"upped", timeout=30)
    assert sent.status_code == 200
    assert requests.get(f"{url}{PROXY}/{base}/up.bin", timeout=30).content == b"upped"


def test_a_file_is_written_over_and_a_folder_is_deleted(server):
    url, _ = server
    base = below(make_run(url))
    for data in (b"one", b"two, longer"):
        assert put(url, base + "/d/x", data).status_code == 200
    assert requests.get(f"{url}{PROXY}/{base}/d/x", timeout=30).content == b"two, longer"
    assert put(url, base + "/d", b"").status_code == 400, "a folder is no file"
    assert put(url, base + "/d/x/y", b"").status_code == 400, "a file is no folder"
    assert put(url, base + "/d0", b"stays").status_code == 200
    assert requests.delete(f"{url}{PROXY}/{base}/d", timeout=30).status_code == 200
    assert list(listed(url, base)) == ["d0"]
    assert requests.get(f"{url}{PROXY}/{base}/d/x", timeout=30).status_code == 404
    assert requests.delete(f"{url}{PROXY}/{base}/d", timeout=30).status_code == 200


def test_the_same_file_is_kept_once(server):
    url, folder = server
    data = os.urandom(300_000)
    base = below(make_run(url))
    for i in range(20):
        assert put(url, f"{base}/copy{i}", data).status_code == 200
    name = hashlib.sha256(data).hexdigest()
    objects = folder / "store" / ".sluice" / "objects"
    assert [p.stat().st_size for p in objects.rglob("*") if p.name in name and p.is_file()] == [len(data)]


def test_big_files_stream(server):
    url, _ = server
    base = below(make_run(url))
    piece, count = os.urandom(1 << 20), 80

    def pieces():
        for i in range(count):
            yield i.to_bytes(4, "big") + piece[4:]

    assert requests.put(f"{url}{PROXY}/{base}/big.bin", data=pieces(), timeout=120).status_code == 200
    expected, found = hashlib.sha256(), hashlib.sha256()
    for data in pieces():
        expected.update(data)
    with requests.get(f"{url}{PROXY}/{base}/big.bin", stream=True, timeout=120) as answer:
        assert int(answer.headers["Content-Length"]) == count << 20
        for data in answer.iter_content(1 << 20):
            found.update(data)
    assert found.digest() == expected.digest()


def test_an_upload_that_breaks_off_leaves_nothing(server):
    url, folder = server
    base = below(make_run(url))
    where = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
    connection.putrequest("PUT", f"{PROXY}/{base}/broken")
    connection.putheader("Content-Length", str(10 << 20))
    connection.endheaders()
    connection.send(b"x" * (3 << 20))
    tmp = folder / "store" / ".sluice" / "tmp"
    wait_until(lambda: list(tmp.glob("put-*-upload-*")), what="the staging file")
    connection.close()
    wait_until(lambda: not list(tmp.glob("put-*-upload-*")), what="the staging file to go")
    assert listed(url, base) == {}


def test_nothing_is_served_as_a_page(server):
    url, _ = server
    base = below(make_run(url))
    for name in ("x.html", "x.svg", "x.js", "x.xhtml", "x", "x.HTM", 'a"b\u00e9.html'):
        assert put(url, f"{base}/{name}", b"<script>alert(1)</script>").status_code == 200
        got = requests.get(f"{url}{PROXY}/{base}/{urllib.parse.quote(name)}", headers={"Accept": "text/html"}, timeout=30)
        assert got.status_code == 200
        assert got.headers["Content-Type"].split(";")[0] in ("text/plain", "application/octet-stream")
        assert got.headers["X-Content-Type-Options"] == "nosniff"
        assert got.headers["Content-Disposition"].startswith("attachment")
        assert "sandbox" in got.headers["Content-Security-Policy"]


OUTSIDE = ["../../etc/passwd", "..", "a/../../x", "/etc/passwd", "//etc/passwd", "C:/x", "c:\\x", "a\\..\\..\\x", "%2e%2e/x", "%252e%252e/x",
           "a/%2e%2e/%2e%2e/x", "%25252E%25252E%25252Fx", "..%2fx", "..%5cx", "a#b", "a%23/../x", "file:///etc/passwd",
           "a%00b", "a/./b", "a//b", "./a", "a\nb", "%c0%ae%c0%ae/\x01"]


def raw(url, method, target, body=b""):
    """Without a client that tidies the path up first."""
    where = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
    connection.putrequest(method, target, skip_host=False)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    answer.read()
    return answer.status


@pytest.mark.parametrize("path", OUTSIDE)
def test_names_stay_inside(server, path):
    url, folder = server
    info = make_run(url)
    before = sorted(p for p in folder.rglob("*") if "objects" not in p.parts)
    for spelling in {path, urllib.parse.quote(path, safe=""), urllib.parse.quote(path, safe="/%")}:
        # As it stands in the address, unless it could not stand there at all.
        if not set(spelling) & set("\n\x01#\\"):
            for method in ("GET", "PUT", "DELETE"):
                status = raw(url, method, f"{PROXY}/{spelling}", b"evil" if method == "PUT" else b"")
                assert status in (400, 404), (method, spelling, status)
        if spelling == path:
            continue
        for address in (f"{PROXY}?path={spelling}", f"/api/2.0/mlflow/artifacts/list?run_id={info['run_id']}&path={spelling}",
                        f"/get-artifact?run_id={info['run_id']}&path={spelling}"):
            if set(address) & set("\n\x01#\\"):
                continue
            assert raw(url, "GET", address) in (400, 404), address
        if not set(spelling) & set("\n\x01#\\"):
            assert raw(url, "POST", f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={info['run_id']}&path={spelling}", b"evil") in (400, 404)
    after = sorted(p for p in folder.rglob("*") if "objects" not in p.parts)
    assert [p for p in after if p not in before and "ledger" not in p.parts] == []


def test_a_place_of_the_clients_choosing_is_never_opened(server):
    url, _ = server
    for i, location in enumerate(["file:///etc", "/etc", "http://127.0.0.1:1/", "mlflow-artifacts:/../../etc", "http:///?/../../etc/",
                                  "file://host/..#../../etc"]):
        made = requests.post(url + "/api/2.0/mlflow/experiments/create", json={"name": f"away{i}", "artifact_location": location}, timeout=30)
        if made.status_code != 200:
            assert made.status_code == 400
            continue
        run = requests.post(url + "/api/2.0/mlflow/runs/create", json={"experiment_id": made.json()["experiment_id"]}, timeout=30)
        run_id = run.json()["run"]["info"]["run_id"]
        for address in ("/api/2.0/mlflow/artifacts/list", "/get-artifact"):
            answer = requests.get(url + address, params={"run_id": run_id, "path": "passwd"}, timeout=30)
            assert answer.status_code == 400, (location, address, answer.text)


def test_parts_and_signed_addresses_are_refused_as_mlflow_does(server):
    url, _ = server
    parts = requests.post(url + "/api/2.0/mlflow-artifacts/mpu/create/1/x/artifacts", json={"path": "big.bin", "num_parts": 3}, timeout=30)
    assert parts.status_code == 501
    assert parts.json() == {"error_code": "NOT_IMPLEMENTED",
                            "message": "Multipart upload is not supported for the current artifact repository"}
    assert requests.get(url + "/api/2.0/mlflow-artifacts/presigned/1/x", timeout=30).status_code == 501


def test_gc_keeps_what_is_named_and_verify_proves_it(program, tmp_path):
    (tmp_path / "store").mkdir()
    subprocess.run([PROGRAM, "init"], cwd=tmp_path / "store", check=True, capture_output=True)
    with serving(tmp_path) as url:
        assert put(url, "0/x/artifacts/keep", b"kept" * 1000).status_code == 200
        assert put(url, "0/x/artifacts/drop", b"dropped" * 1000).status_code == 200
        assert requests.delete(f"{url}{PROXY}/0/x/artifacts/drop", timeout=30).status_code == 200
        done = subprocess.run([PROGRAM, "gc", "--yes"], cwd=tmp_path / "store", capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert requests.get(f"{url}{PROXY}/0/x/artifacts/keep", timeout=30).content == b"kept" * 1000
    objects = [p for p in (tmp_path / "store" / ".sluice" / "objects").rglob("*") if p.is_file()]
    assert [p.read_bytes() for p in objects] == [b"kept" * 1000]
    proved = subprocess.run([PROGRAM, "verify"], cwd=tmp_path / "store", capture_output=True, text=True)
    assert proved.returncode == 0, proved.stdout + proved.stderr
    objects[0].chmod(0o644)
    objects[0].write_bytes(b"kepT" * 1000)
    broken = subprocess.run([PROGRAM, "verify"], cwd=tmp_path / "store", capture_output=True, text=True)
    assert broken.returncode != 0
