"""TLS as curl, Python's ssl, requests and openssl speak it: one public port in front of every role, and nothing in plain text on it."""
import http.client
import os
import signal
import socket
import ssl
import subprocess
import threading

import grpc
import pytest
import requests

from conftest import Project, wait_until

PROJECT = """
project: tls
sources: {raw: raw.csv}
steps:
  fit: {train: {algorithm: xgboost, data: raw, target: y, features: [x]}}
models:
  m: {from: fit}
endpoints:
  e: {model: m@champion}
"""


def make_certificate(folder, name="server", hosts="DNS:localhost,DNS:*.sluice.test,IP:127.0.0.1"):
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", certificate,
                    "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName={hosts}"], check=True, capture_output=True)
    return certificate, key


@pytest.fixture(scope="module")
def server(program, tmp_path_factory):
    root = tmp_path_factory.mktemp("tls") / "project"
    root.mkdir()
    project = Project(root)
    project.write("raw.csv", "x,y\n1,0\n2,1\n")
    project.write("sluice.yaml", PROJECT)
    project.sluice("init")
    certificate, key = make_certificate(root)
    with project.up("--host", "0.0.0.0", "--tls-cert", certificate, "--tls-key", key) as running:
        running.url = f"https://127.0.0.1:{running.port}"
        running.ca = str(certificate)
        running.session = requests.Session()
        running.session.trust_env = False  # a bundle of the environment would go before ours
        running.session.verify = running.ca
        running.session.headers["Authorization"] = f"Bearer {running.token}"
        yield running


def connect(server, **versions):
    context = ssl.create_default_context(cafile=server.ca)
    for name, version in versions.items():
        setattr(context, name, version)
    return context.wrap_socket(socket.create_connection(("127.0.0.1", server.port), timeout=30), server_hostname="localhost")


def head(server, line, *headers):
    return "\r\n".join([line, f"Host: localhost:{server.port}", f"Authorization: Bearer {server.token}", *headers]).encode() + b"\r\n\r\n"


def read_all(peer):
    answer = b""
    while piece := peer.recv(65536):
        answer += piece
    return answer


def test_grpc_on_the_same_port(server):
    """gRPC's own client asks for HTTP/2 by ALPN; who offers both, as browsers do, gets the pages' HTTP/1.1."""
    with open(server.ca, "rb") as file:
        trust = grpc.ssl_channel_credentials(file.read())
    with grpc.secure_channel(f"localhost:{server.port}", trust) as channel:
        live = channel.unary_unary("/inference.GRPCInferenceService/ServerLive", request_serializer=None, response_deserializer=None)
        assert live(b"", metadata=[("authorization", f"Bearer {server.token}")], timeout=30) == b"\x08\x01"
        with pytest.raises(grpc.RpcError) as told:
            live(b"", timeout=30)
        assert told.value.code() == grpc.StatusCode.UNAUTHENTICATED
    for offered, chosen in ((["h2"], "h2"), (["h2", "http/1.1"], "http/1.1"), (["http/1.1"], "http/1.1"), (["spdy/3"], None)):
        context = ssl.create_default_context(cafile=server.ca)
        context.set_alpn_protocols(offered)
        with context.wrap_socket(socket.create_connection(("127.0.0.1", server.port), timeout=30), server_hostname="localhost") as peer:
            assert peer.selected_alpn_protocol() == chosen


def test_one_connection_reaches_every_role(server):
    context = ssl.create_default_context(cafile=server.ca)
    connection = http.client.HTTPSConnection("localhost", server.port, timeout=30, context=context)
    for path, status in [("/health", 200), ("/v2/health/live", 200), ("/api/v1/version", 200), ("/v2/models/e/ready", 503), ("/metrics", 200)]:
        connection.request("GET", path, headers={"Authorization": f"Bearer {server.token}"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status, path
    connection.close()


def test_curl_and_openssl_are_served(server):
    done = subprocess.run(["curl", "-sS", "--cacert", server.ca, f"https://localhost:{server.port}/health"], capture_output=True, text=True, timeout=30)
    assert done.stdout == '{"status":"ok"}', done.stderr
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-CAfile", server.ca, "-verify_return_error", "-quiet", "-ign_eof",
                           "-alpn", "h2,http/1.1"], input=head(server, "GET /health HTTP/1.1", "Connection: close"), capture_output=True, timeout=30)
    assert b"200 OK" in done.stdout and done.returncode == 0, done.stderr


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
def test_old_versions_are_refused(server, version):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connect(server, minimum_version=getattr(ssl.TLSVersion, version), maximum_version=getattr(ssl.TLSVersion, version))


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_new_versions_are_taken(server, version):
    wanted = getattr(ssl.TLSVersion, version)
    with connect(server, maximum_version=wanted, minimum_version=wanted) as peer:
        peer.sendall(head(server, "GET /health HTTP/1.1", "Connection: close"))
        assert read_all(peer).startswith(b"HTTP/1.1 200")


def test_plain_text_is_told_what_to_do(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as peer:
        peer.sendall(head(server, "GET /health HTTP/1.1"))
        answer = read_all(peer)
    assert answer.startswith(b"HTTP/1.1 400") and b"https://" in answer and b'"ok"' not in answer


def test_garbage_inside_the_handshake_ends_it(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as peer:
        peer.sendall(b"\x16\x03\x01\xff\xff" + bytes(70000))
        try:
            read_all(peer)
        except ConnectionError:
            pass
    assert server.session.get(server.url + "/health", timeout=30).status_code == 200


def test_pipelined_requests_of_both_roles_are_answered_in_order(server):
    paths = ["/health", "/v2/health/live", "/health", "/v2/health/live"] * 10
    with connect(server) as peer:
        peer.sendall(b"".join(head(server, f"GET {path} HTTP/1.1") for path in paths) + head(server, "GET /health HTTP/1.1", "Connection: close"))
        answer = read_all(peer)
    bodies = [part.split(b"\r\n\r\n", 1)[1] for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert [b"live" in body for body in bodies] == ["live" in path for path in paths] + [False]


def test_large_bodies_are_relayed(server):
    text = "select '" + "x" * 900_000 + "' as a"
    answer = server.session.post(server.url + "/api/v1/sql", json={"text": text}, timeout=120)
    assert answer.status_code == 200, answer.text[:500]
    assert answer.json()["items"] == [{"a": "x" * 900_000}]
    with connect(server) as peer:  # announced, and refused before it is sent
        peer.sendall(head(server, "POST /api/v1/sql HTTP/1.1", f"Content-Length: {17 << 20}"))
        assert read_all(peer).startswith(b"HTTP/1.1 413")


def test_a_slow_client_holds_up_nobody(server):
    text = "select repeat('x', 1000) as a from range(8000)"
    request = head(server, "POST /api/v1/sql HTTP/1.1", f"Content-Length: {len(text) + 12}", "Connection: close") + b'{"text": "' + text.encode() + b'"}'
    with connect(server) as slow:
        slow.sendall(request)
        wait_until(lambda: slow.recv(1), what="the first byte")
        assert server.session.get(server.url + "/health", timeout=30).status_code == 200
        assert len(read_all(slow)) > 1_000_000


def test_names_of_the_certificate_are_ours_and_others_are_not(server):
    for host, status in [("localhost", 200), ("a.sluice.test", 200), ("127.0.0.1", 200), ("a.b.sluice.test", 403), ("evil.test", 403)]:
        assert server.session.get(server.url + "/health", headers={"Host": f"{host}:{server.port}"}, timeout=30).status_code == status, host


def test_a_page_of_this_server_may_write_and_another_may_not(server):
    for origin, status in [(f"https://127.0.0.1:{server.port}", 200), (f"http://127.0.0.1:{server.port}", 403), ("https://evil.test", 403)]:
        answer = server.session.post(server.url + "/api/v1/sql", json={"text": "select 1 as a"}, headers={"Origin": origin}, timeout=60)
        assert answer.status_code == status, (origin, answer.text)


def test_nothing_is_shown_without_a_token(server):
    for path in ["/", "/api/v1/status", "/metrics", "/v2", "/v2/models/e/ready", "/ping"]:
        answer = requests.get(server.url + path, verify=server.ca, timeout=30)
        assert answer.status_code == 401 and "WWW-Authenticate" in answer.headers, path
    assert requests.get(server.url + "/health", verify=server.ca, timeout=30).status_code == 200
    assert requests.get(server.url + "/", verify=server.ca, auth=("me", server.token), timeout=30).status_code == 200


def test_a_role_that_died_is_waited_for(server):
    project = server.project
    pid = next(r["pid"] for r in project.json("status")["roles"] if r["name"] == "api")
    os.kill(pid, signal.SIGKILL)
    # Whole: while its threads still go, what they listen on takes connections that nobody will answer.
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), what="its death")
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(requests.get(server.url + "/health", verify=server.ca, timeout=30).status_code)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 5
    assert next(r for r in project.json("status")["roles"] if r["name"] == "api")["restarts"] >= 1


def test_a_renewed_certificate_is_taken_up(server):
    root = server.project.root
    before = ssl.get_server_certificate(("127.0.0.1", server.port))
    make_certificate(root, "renewed", "DNS:localhost,IP:127.0.0.1")
    os.replace(root / "renewed.key", root / "server.key")
    os.replace(root / "renewed.pem", root / "server.pem")
    wait_until(lambda: ssl.get_server_certificate(("127.0.0.1", server.port)) != before, what="the new certificate")
    assert requests.get(server.url + "/health", verify=server.ca, timeout=30).status_code == 200
    (root / "server.pem").write_text("not a certificate\n")
    wait_until(lambda: ssl.get_server_certificate(("127.0.0.1", server.port)) and "is not used" in server.project.sluice("log", "tls").stdout,
               what="the warning")


def test_commands_on_this_machine_reach_the_server(server):
    assert server.project.json("status")["server"].startswith("https://0.0.0.0:")


def test_what_must_be_refused_before_anything_starts(project):
    project.sluice("init")
    certificate, key = make_certificate(project.root)
    other = make_certificate(project.root, "other")
    assert "TLS" in project.sluice("up", "--host", "0.0.0.0", "--port", 0, status=None).stderr
    assert "go together" in project.sluice("up", "--tls-cert", certificate, status=2).stderr
    assert "not the certificate's" in project.sluice("up", "--tls-cert", certificate, "--tls-key", other[1], status=2).stderr
    assert not (project.root / ".sluice/up.json").exists()


def test_plain_text_beyond_loopback_only_in_so_many_words_and_with_a_token(project):
    project.sluice("init")
    with project.up("--host", "0.0.0.0", "--plain-text") as server:
        url = f"http://127.0.0.1:{server.port}"
        assert requests.get(url + "/api/v1/status", timeout=30).status_code == 401
        assert requests.get(url + "/api/v1/status", headers={"Authorization": f"Bearer {server.token}"}, timeout=30).status_code == 200
