"""Sources that are http addresses and archives: fetched once, resumed, checked; hostile ones refused by name."""
import http.server
import io
import os
import struct
import subprocess
import tarfile
import threading
import zipfile

import pytest


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves server.files with ETag and Range; breaks off after server.break_after bytes of a body, once."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, with_body):
        server = self.server
        server.seen.append((self.command, self.path, self.headers.get("Range")))
        if self.path in server.redirects:
            self.send_response(302)
            self.send_header("Location", server.redirects[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.path not in server.files:
            self.send_error(404)
            return
        etag, body = server.files[self.path]
        ranged = self.headers.get("Range") and self.headers.get("If-Range", etag) == etag
        start = int(self.headers["Range"][6:].rstrip("-")) if ranged else 0
        self.send_response(206 if ranged else 200)
        if ranged:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("ETag", etag)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        if not with_body:
            return
        if server.break_after is not None and len(body) > server.break_after:
            self.wfile.write(body[start:start + server.break_after])
            server.break_after = None
            self.close_connection = True
            return
        self.wfile.write(body[start:])


@pytest.fixture
def web():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.redirects, server.seen, server.break_after = {}, {}, [], None
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def use(project, path, **more):
    options = "".join(f", {key}: {value}" for key, value in more.items())
    project.sluice("init")
    project.write("sluice.yaml", f"project: t\nsources: {{data: {{path: \"{path}\"{options}}}}}\n")
    return project


def test_a_table_is_fetched_when_it_changed(project, web):
    web.files["/t.csv"] = ('"1"', b"a,b\n1,2\n")
    use(project, web.url + "/t.csv", allow_private="true").sluice("run")
    assert project.json("sql", "select sum(b) s from data")["items"] == [{"s": 2}]
    web.seen.clear()
    assert "nothing changed" in project.sluice("run").stdout
    assert {verb for verb, _, _ in web.seen} == {"HEAD"}
    web.files["/t.csv"] = ('"2"', b"a,b\n1,2\n3,40\n")
    project.sluice("run")
    assert project.json("sql", "select sum(b) s from data")["items"] == [{"s": 42}]
    assert web.url in project.sluice("why", "data").stdout


def test_a_broken_transfer_goes_on(project, web):
    body = os.urandom(3_000_000)
    web.files["/big.bin"], web.break_after = ('"x"', body), 1_000_000
    use(project, web.url + "/big.bin", **{"as": "files", "allow_private": "true"}).sluice("run")
    ranges = [range_ for verb, _, range_ in web.seen if verb == "GET"]
    assert ranges[0] is None and int(ranges[1][6:-1]) > 0
    project.sluice("get", "data", "out")
    assert (project.root / "out/big.bin").read_bytes() == body


def test_private_addresses_redirects_and_sizes(project, web):
    web.files["/t.csv"] = ('"1"', b"a\n1\n")
    web.redirects.update({"/moved": web.url + "/t.csv", "/relative": "/t.csv", "/loop": "/loop", "/ftp": "ftp://127.0.0.1/x"})
    for address, options, words in [(web.url + "/t.csv", {}, "no public address"), (web.url.replace("127.0.0.1", "localhost") + "/t.csv", {}, "no public address"),
                                    (web.url + "/loop", {"allow_private": "true"}, "more than 5 times"), (web.url + "/gone", {"allow_private": "true"}, "answers 404"),
                                    (web.url + "/ftp", {"allow_private": "true"}, "ftp"), (web.url + "/t.csv", {"allow_private": "true", "max_size": "3"}, "max_size")]:
        done = use(project, address, format="csv", **options).sluice("run", status=None)
        assert done.returncode and words in done.stderr, (address, done.stderr)
    for name in ("/moved", "/relative"):
        use(project, web.url + name, format="csv", allow_private="true").sluice("run")


# ---- archives ----------------------------------------------------------------------------------------------------------


def tar(members, mode="w:gz"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, change, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in change.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


GOOD = [("a", {"mode": 0o755}, b"first"), ("./d/b", {}, b"b" * 200_000), ("d", {"type": tarfile.DIRTYPE}, b""), ("d/ü", {}, b"")]


@pytest.mark.parametrize("name", ["t.tar", "t.tar.gz", "t.tar.zst", "t.zip"])
def test_members_are_files(project, name):
    if name.endswith(".zip"):
        with zipfile.ZipFile(project.root / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, change, data in GOOD:
                if "type" not in change:
                    info = zipfile.ZipInfo(member.removeprefix("./"))
                    info.external_attr = (0o100000 | change.get("mode", 0o644)) << 16
                    archive.writestr(info, data)
    else:
        project.write(name, tar(GOOD, "w:gz" if name.endswith("gz") else "w"))
    if name.endswith("zst"):
        (project.root / name).rename(project.root / "plain")
        subprocess.run(["zstd", "-q", "plain", "-o", name], cwd=project.root, check=True)
    use(project, name, **{"as": "files"}).sluice("run")
    project.sluice("get", "data", "out")
    out = project.root / "out"
    assert {str(p.relative_to(out)): p.stat().st_size for p in out.rglob("*") if p.is_file()} == {"a": 5, "d/b": 200_000, "d/ü": 0}
    assert os.access(out / "a", os.X_OK) and (out / "d/b").stat().st_mode & 0o100 == 0
    assert "nothing changed" in project.sluice("run").stdout


HOSTILE = {
    "up": ([("x/../../up", {}, b"")], "'x/../../up' has a path that leaves"),
    "absolute": ([("/etc/x", {}, b"")], "'/etc/x' has a path that leaves"),
    "symlink": ([("ok", {}, b"1"), ("s", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, b"")], "'s' is a link"),
    "hardlink": ([("ok", {}, b"1"), ("h", {"type": tarfile.LNKTYPE, "linkname": "ok"}, b"")], "'h' is a link"),
    "device": ([("dev", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5}, b"")], "'dev' is neither a file nor a folder"),
    "fifo": ([("pipe", {"type": tarfile.FIFOTYPE}, b"")], "'pipe' is neither a file nor a folder"),
    "twice": ([("a", {}, b"1"), ("a", {}, b"2")], "comes twice"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_members_are_refused(project, kind):
    members, words = HOSTILE[kind]
    project.write("t.tar.gz", tar(members))
    done = use(project, "t.tar.gz", **{"as": "files"}).sluice("run", status=None)
    assert done.returncode and words in done.stderr, done.stderr
    assert not list(project.root.parent.glob("**/up")) and not project.json("ls", "datasets")["items"]


def test_lying_archives(project):
    cut = tar(GOOD, "w")[:2000]
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"0123456789" * 100)
    lying = bytearray(whole.getvalue())
    at = lying.rindex(b"PK\x01\x02")
    struct.pack_into("<I", lying, at + 24, 10)  # the directory's uncompressed size, and the member's own
    struct.pack_into("<I", lying, 22, 10)
    for name, data in (("t.tar", cut), ("t.zip", bytes(lying)), ("g.tar.gz", b"\x1f\x8b" + os.urandom(500)), ("e.zip", b"PK\x03\x04" + b"\0" * 50)):
        project.write(name, data)
        done = use(project, name, **{"as": "files"}).sluice("run", status=None)
        assert done.returncode and name in done.stderr, (name, done.stderr)


@pytest.mark.slow
def test_a_bomb_is_stopped(project):
    """1.4 GB of zeros in about 1.4 MB: more than 1 GiB and 200 times its own size."""
    header = tarfile.TarInfo("zeros")
    header.size = 1_400_000_000
    packer = subprocess.Popen(["gzip", "-9"], stdin=subprocess.PIPE, stdout=open(project.root / "bomb.tar.gz", "wb"))
    packer.stdin.write(header.tobuf())
    for _ in range(1400):
        packer.stdin.write(bytes(1_000_000))
    packer.stdin.close()
    assert packer.wait() == 0
    done = use(project, "bomb.tar.gz", **{"as": "files"}).sluice("run", status=None)
    assert done.returncode and "'zeros'" in done.stderr and "times its size" in done.stderr, done.stderr
