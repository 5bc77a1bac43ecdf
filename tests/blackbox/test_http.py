"""HTTP as clients and attackers speak it, to the program as it runs: http.client, requests, curl, and raw sockets. The full tables of
hostile requests are unit tests of net/; here is that the running roles sit behind them, whichever role answers."""
import http.client
import json
import os
import resource
import shutil
import socket
import subprocess

import pytest

from conftest import Project, wait_until

API, INFER = "/health", "/v2/health/live"
# An endpoint, so that the role infer runs; nothing needs to be trained for what is asked here.
PROJECT = """
project: http
sources: {raw: raw.csv}
steps:
  fit: {train: {algorithm: xgboost, data: raw, target: y, features: [x]}}
models:
  m: {from: fit}
endpoints:
  e: {model: m@champion}
"""


@pytest.fixture(scope="module")
def server(program, tmp_path_factory):
    root = tmp_path_factory.mktemp("http") / "project"
    root.mkdir()
    project = Project(root)
    project.write("raw.csv", "x,y\n1,0\n2,1\n")
    project.write("sluice.yaml", PROJECT)
    project.sluice("init", status=0)
    with project.up() as running:
        yield running


def say(server, data, seconds=20):
    """Everything that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as peer:
        peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := peer.recv(65536):
            answer += piece
        return answer


def request(server, line, *headers, body=b""):
    head = [line, f"Host: 127.0.0.1:{server.port}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def statuses(answer):
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


def test_one_connection_reaches_every_role(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.connect()
    peer = connection.sock
    for _ in range(20):
        for path in (API, INFER):
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
            assert connection.sock is peer  # never closed in between
    connection.close()


def test_a_pipelined_mix_is_answered_in_order(server):
    paths = [API, INFER, INFER, "/no/such/page", API, "/v2/models/nothing", API] * 5
    sent = b"".join(request(server, f"GET {path} HTTP/1.1") for path in paths)
    expected = {API: 200, INFER: 200, "/no/such/page": 404, "/v2/models/nothing": 404}
    assert statuses(say(server, sent)) == [expected[path] for path in paths]


@pytest.mark.parametrize("path", [API, INFER])
@pytest.mark.parametrize("headers, body, status", [
    (["Content-Length: 3", "Content-Length: 4"], b"abcd", 400),
    (["Content-Length: 3", "Transfer-Encoding: chunked"], b"0\r\n\r\n", 400),
    (["Content-Length: +3"], b"abc", 400),
    (["Content-Length : 3"], b"abc", 400),
    (["Content-Length: 18446744073709551623"], b"abc", 400),
    (["Transfer-Encoding: xchunked"], b"0\r\n\r\n", 501),
    (["Transfer-Encoding: chunked"], b"0x3\r\nabc\r\n0\r\n\r\n", 400),
    (["X: a\r\n b"], b"", 400),
    (["X: a\nY: b"], b"", 400),
    (["X: a\0b"], b"", 400),
    (["Host: localhost"], b"", 400),
    (["Origin: http://evil.example", "Content-Length: 0"], b"", 403),
    (["X: " + "y" * 40000], b"", 431),
    (["Expect: miracles"], b"", 417),
])
def test_hostile_requests_are_refused_and_nothing_behind_them_is_read(server, path, headers, body, status):
    smuggled = request(server, f"GET {API} HTTP/1.1")
    answer = say(server, request(server, f"POST {path} HTTP/1.1", *headers, body=body) + smuggled)
    assert statuses(answer) == [status]


@pytest.mark.parametrize("target", ["/../etc/passwd", "/a/%2e%2e/b", "/%2e%2e%2fetc", "/..%5cx", "/%00", "/%zz", "/%ff", "x", "/a#b"])
def test_hostile_targets_are_refused(server, target):
    assert statuses(say(server, request(server, f"GET {target} HTTP/1.1"))) == [400]


def test_a_refusal_says_what_and_why(server):
    answer = say(server, f"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n".encode())
    assert statuses(answer) == [403]
    assert b"DNS rebinding" in answer


def test_too_long_a_url_is_414(server):
    assert statuses(say(server, request(server, "GET /" + "x" * 9000 + " HTTP/1.1"))) == [414]


def test_a_body_of_a_gigabyte_is_refused_before_it_is_sent(server):
    answer = say(server, request(server, "POST /api/v1/runs HTTP/1.1", "Content-Length: 1073741824", "Expect: 100-continue"))
    assert len(statuses(answer)) == 1 and statuses(answer)[0] in (401, 403, 404, 405, 413)


@pytest.mark.plain
def test_memory_stays_flat_under_bodies_that_are_refused(server):
    def resident_kb():
        with open(f"/proc/{server.role_pid('api')}/status") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))

    def flood():
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as peer:
            try:
                peer.sendall(request(server, f"POST {API} HTTP/1.1", "Transfer-Encoding: chunked"))
                for _ in range(2000):  # 125 MB, were they taken
                    peer.sendall(chunk)
            except OSError:
                pass  # closed in the middle, as it should

    flood()
    before = resident_kb()
    for _ in range(5):
        flood()
    assert resident_kb() < before + 30000
    assert server.get(API).status_code == 200


def test_hundreds_of_silent_connections_do_not_keep_others_out(server):
    silent = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(300)]
    for peer in silent[::2]:
        peer.sendall(b"GET /health HTTP/1.1\r\nX: ")
    assert server.get(API).status_code == 200
    assert server.get(INFER).status_code == 200
    for peer in silent:
        peer.close()


@pytest.mark.plain
def test_thousands_of_silent_connections_cost_little(server):
    count = 3000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    roles = [server.role_pid(name) for name in ("api", "infer")]
    resident = lambda: sum(int(line.split()[1]) for pid in roles for line in open(f"/proc/{pid}/status") if line.startswith("VmRSS:"))
    before, silent = resident(), []
    try:
        for _ in range(count):
            silent.append(socket.create_connection(("127.0.0.1", server.port), timeout=20))
        assert server.get(API).status_code == 200
        assert server.get(INFER).status_code == 200
        opened = sum(sum("socket:" in os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")) for pid in roles)
        assert opened >= count
        assert resident() - before < count * 4  # KiB
    finally:
        for peer in silent:
            peer.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
@pytest.mark.parametrize("path", [API, INFER])
def test_slow_requests_are_ended(server, path):
    """Opened together, so that the test lasts as long as the longest: 30 s for a body, 10 s for a head, 10 s for nothing at all."""
    host = f"Host: 127.0.0.1:{server.port}\r\n".encode()
    sent = {"body": b"POST " + path.encode() + b" HTTP/1.1\r\n" + host + b"Content-Length: 100\r\n\r\n{", "head": b"GET / HTTP/1.1\r\n" + host, "nothing": b""}
    peers = {what: socket.create_connection(("127.0.0.1", server.port), timeout=60) for what in sent}
    for what, peer in peers.items():
        peer.sendall(sent[what])
    for what in ("nothing", "head", "body"):
        answer = b""
        while piece := peers[what].recv(65536):
            answer += piece
        assert answer.startswith(b"HTTP/1.1 4" if what == "body" else b"HTTP/1.1 408" if what == "head" else b""), answer
        assert bool(answer) == (what != "nothing")


def test_head_has_the_headers_of_get_and_no_body(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", API)
    got = connection.getresponse()
    body = got.read()
    connection.request("HEAD", API)
    head = connection.getresponse()
    assert head.read() == b"" and head.status == got.status
    assert head.headers["Content-Length"] == str(len(body))
    connection.close()


def test_the_old_protocol_is_answered_and_closed(server):
    answer = say(server, f"GET {API} HTTP/1.0\r\n\r\n".encode())
    assert statuses(answer) == [200] and b"Connection: close" in answer


def test_curl_agrees(server):
    curl = shutil.which("curl")
    assert curl, "curl is needed for the tests"
    done = subprocess.run([curl, "-sS", "-m", "30", "--http1.1", "-w", "\n%{http_code} %{num_connects}\n", server.url + API, server.url + INFER],
                          stdout=subprocess.PIPE, text=True, check=True)
    codes = [line for line in done.stdout.splitlines() if line.startswith("200 ")]
    assert codes == ["200 1", "200 0"]  # one connection for both roles


def test_errors_are_json_with_a_code_and_a_message(server):
    error = json.loads(server.get("/api/v1/nothing/here").text)["error"]
    assert error["code"] and error["message"]


def test_a_foreign_host_is_in_the_ledger(server):
    def recorded():
        # Again and again: of many refusals in one second the ledger keeps one, and the number of the others.
        assert statuses(say(server, b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")) == [403]
        entries = server.project.json("sql", "select entry from ledger")["items"]
        return any("request.refused" in item["entry"] and "DNS rebinding" in item["entry"] for item in entries)

    wait_until(recorded, what="the refusal's entry")
