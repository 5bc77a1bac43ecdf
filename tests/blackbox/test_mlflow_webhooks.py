"""Webhooks of the registry: MLflow's unmodified client makes them, a receiver of our own checks what is sent, as MLflow's documentation says it should."""
import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import queue
import socket
import subprocess
import threading
import time

import pytest
import requests
from mlflow import MlflowClient
from mlflow.entities.webhook import WebhookEvent
from mlflow.exceptions import MlflowException

from conftest import PROGRAM, wait_until
from mlflow_server import serving

SECRET = "a secret that nobody else may see"
ALL = ["registered_model.created", "model_version.created", "model_version_tag.set", "model_version_tag.deleted", "model_version_alias.created",
       "model_version_alias.deleted", "prompt.created", "prompt_version.created", "prompt_tag.set", "prompt_tag.deleted",
       "prompt_version_tag.set", "prompt_version_tag.deleted", "prompt_alias.created", "prompt_alias.deleted"]


class Receiver:
    """Takes POSTs, answers with the statuses that it was given, then with 200."""

    def __init__(self, port=0):
        self.got, self.statuses, self.headers = queue.Queue(), queue.Queue(), {}
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.put((dict(self.headers), body))
                with contextlib.suppress(queue.Empty):
                    self.send_response(receiver.statuses.get_nowait())
                    for name, value in receiver.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", "0")
                    return self.end_headers()
                self.send_response(200)
                self.send_header("Content-Length", "6")
                self.end_headers()
                self.wfile.write(b"thanks")

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self, secret=None):
        """(entity.action, data, delivery id) of the next POST, whose signature is right."""
        headers, body = self.got.get(timeout=30)
        assert headers["Content-Type"] == "application/json" and abs(time.time() - int(headers["X-MLflow-Timestamp"])) < 60
        if secret:
            signed = f"{headers['X-MLflow-Delivery-Id']}.{headers['X-MLflow-Timestamp']}.".encode() + body
            mac = base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()
            assert headers["X-MLflow-Signature"] == f"v1,{mac}"
        else:
            assert "X-MLflow-Signature" not in headers
        told = json.loads(body)
        assert told["timestamp"].startswith("20")
        return f"{told['entity']}.{told['action']}", told["data"], headers["X-MLflow-Delivery-Id"]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def lenient(monkeypatch):
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "http,https")
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")


@pytest.fixture
def url(program, tmp_path, lenient):
    with serving(tmp_path) as url:
        yield url


def events(*names):
    return [WebhookEvent.from_str(name) for name in names]


def log_of(tmp_path):
    """The ledger's entries of webhooks."""
    (tmp_path / "store" / "sluice.yaml").write_text("project: p\n")
    done = subprocess.run([PROGRAM, "sql", "SELECT action FROM ledger WHERE action LIKE 'webhook.%' ORDER BY seq", "--json"], cwd=tmp_path / "store",
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_webhooks_are_made_shown_changed_and_deleted(url, receiver, tmp_path):
    client = MlflowClient(url)
    hook = client.create_webhook("first", receiver.url, events("registered_model.created", "prompt_tag.set"), description="d", secret=SECRET)
    assert (hook.name, hook.url, hook.description, str(hook.status), hook.secret) == ("first", receiver.url, "d", "ACTIVE", None)
    assert {str(e) for e in hook.events} == {"registered_model.created", "prompt_tag.set"}
    others = [client.create_webhook(f"n{i}", receiver.url, events("prompt.created")).webhook_id for i in range(3)]
    assert client.get_webhook(hook.webhook_id).name == "first"
    page = client.list_webhooks(max_results=2)
    assert [w.webhook_id for w in page] == others[:0:-1]
    assert [w.webhook_id for w in client.list_webhooks(max_results=2, page_token=page.token)] == [others[0], hook.webhook_id]
    changed = client.update_webhook(hook.webhook_id, name="renamed", events=events("model_version.created"), status="DISABLED")
    assert (changed.name, str(changed.status), [str(e) for e in changed.events]) == ("renamed", "DISABLED", ["model_version.created"])
    assert changed.description == "d" and changed.last_updated_timestamp >= changed.creation_timestamp
    client.delete_webhook(hook.webhook_id)
    with pytest.raises(MlflowException, match=f"Webhook with ID {hook.webhook_id} not found"):
        client.get_webhook(hook.webhook_id)
    everything = b"".join(f.read_bytes() for f in (tmp_path / "store").rglob("*") if f.is_file())
    assert b"first" in everything and SECRET.encode() not in everything
    key = tmp_path / "store" / ".sluice" / "key" / "webhook"
    assert key.stat().st_mode & 0o777 == 0o600 and len(key.read_bytes()) == 32


@pytest.mark.parametrize("change, message", [
    ({"name": ""}, "Missing value for required parameter 'name'"), ({"name": "-x"}, "Webhook name '-x' is invalid"), ({"name": "x" * 64}, "is invalid"),
    ({"url": "ftp://a.example"}, "Invalid webhook URL scheme: 'ftp'"), ({"url": "http://"}, ""), ({"url": "http://u:p@a.example/"}, ""),
    ({"events": []}, "must be a non-empty list"), ({"events": [{"entity": "MODEL_VERSION", "action": "EXCEEDED"}]}, "Invalid action"),
    ({"status": "GONE"}, "Invalid webhook status"), ({"secret": "x" * 1001}, "at most 1000 bytes"), ({"url": "unix:/tmp/x:/"}, "scheme"),
])
def test_webhooks_that_are_refused(url, change, message):
    body = {"name": "ok", "url": "http://127.0.0.1:9/x", "events": [{"entity": "REGISTERED_MODEL", "action": "CREATED"}], **change}
    answer = requests.post(f"{url}/api/2.0/mlflow/webhooks", json=body, timeout=30)
    assert answer.status_code == 400 and message in answer.json()["message"], answer.text


def test_addresses_that_are_not_public_are_refused(program, tmp_path):
    with serving(tmp_path) as url:
        create = lambda address: requests.post(f"{url}/api/2.0/mlflow/webhooks", timeout=30, json={
            "name": "w", "url": address, "events": [{"entity": "REGISTERED_MODEL", "action": "CREATED"}]})
        answer = create("https://127.0.0.1:9/x")
        assert (answer.status_code, answer.json()) == (400, {
            "error_code": "INVALID_PARAMETER_VALUE", "sqlstate": "KAM00", "error_class": "INVALID_PARAMETER_VALUE",
            "message": "Webhook URL must not resolve to a non-public IP address. '127.0.0.1' resolves to 127.0.0.1."})
        for host in ("169.254.169.254", "localhost", "a.localhost", "[::1]", "2130706433", "127.1", "0x7f000001", "0177.0.0.1", "10.0.0.1", "[::ffff:127.0.0.1]",
                     "[64:ff9b::7f00:1]", "0", "192.168.1.1", "[fe80::1]"):
            assert create(f"https://{host}/x").status_code == 400, host
        assert create("http://a.example/").status_code == 400 and create("https://a.example/").status_code == 200


def test_a_name_is_checked_when_it_is_connected_to(program, tmp_path, monkeypatch):
    host = socket.gethostname()
    try:
        socket.gethostbyname(host)
    except OSError:
        pytest.skip(f"the name of this machine, {host}, has no address")
    receiver = Receiver()
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "http")
    with serving(tmp_path) as url:
        client = MlflowClient(url)
        hook = client.create_webhook("w", f"http://{host}:{receiver.port}/x", events("registered_model.created"))
        result = client.test_webhook(hook.webhook_id)
        assert not result.success and result.response_status is None and result.error_message
        client.create_registered_model("m")
        wait_until(lambda: "webhook.failed" in log_of(tmp_path), what="the refusal")
    assert receiver.got.empty()
    receiver.close()


def test_every_event_is_told_and_signed(url, receiver, tmp_path):
    client = MlflowClient(url)
    client.create_webhook("all", receiver.url, events(*ALL), secret=SECRET)
    client.create_webhook("off", receiver.url, events(*ALL), status="DISABLED")
    told = []

    def tells(event, data):
        got, payload, delivery = receiver.next(SECRET)
        while payload.get("key", "").startswith("_mlflow"):  # the client notes a prompt's experiments in a tag, when it likes
            got, payload, delivery = receiver.next(SECRET)
        assert (got, payload) == (event, data)
        told.append(delivery)

    client.create_registered_model("m", tags={"a": "b"}, description="d")
    tells("registered_model.created", {"name": "m", "tags": {"a": "b"}, "description": "d"})
    client.create_model_version("m", "s3://bucket/m", tags={"t": "1"})
    tells("model_version.created", {"name": "m", "version": "1", "source": "s3://bucket/m", "run_id": None, "tags": {"t": "1"}, "description": None})
    client.set_model_version_tag("m", "1", "k", "v")
    tells("model_version_tag.set", {"name": "m", "version": "1", "key": "k", "value": "v"})
    client.delete_model_version_tag("m", "1", "k")
    tells("model_version_tag.deleted", {"name": "m", "version": "1", "key": "k"})
    client.set_registered_model_alias("m", "champion", "1")
    tells("model_version_alias.created", {"name": "m", "alias": "champion", "version": "1"})
    client.delete_registered_model_alias("m", "champion")
    tells("model_version_alias.deleted", {"name": "m", "alias": "champion"})
    client.register_prompt("p", "Hello {{name}}", tags={"x": "y"})
    event, data, _ = receiver.next(SECRET)
    assert (event, data["name"]) == ("prompt.created", "p") and "mlflow.prompt.is_prompt" not in data["tags"]
    event, data, _ = receiver.next(SECRET)
    assert (event, data["version"], data["template"]) == ("prompt_version.created", "1", "Hello {{name}}")
    client.set_prompt_tag("p", "k", "v")
    tells("prompt_tag.set", {"name": "p", "key": "k", "value": "v"})
    client.delete_prompt_tag("p", "k")
    tells("prompt_tag.deleted", {"name": "p", "key": "k"})
    client.set_prompt_version_tag("p", "1", "k", "v")
    tells("prompt_version_tag.set", {"name": "p", "version": "1", "key": "k", "value": "v"})
    client.delete_prompt_version_tag("p", "1", "k")
    tells("prompt_version_tag.deleted", {"name": "p", "version": "1", "key": "k"})
    client.set_prompt_alias("p", "best", 1)
    tells("prompt_alias.created", {"name": "p", "alias": "best", "version": "1"})
    client.delete_prompt_alias("p", "best")
    tells("prompt_alias.deleted", {"name": "p", "alias": "best"})
    assert len(set(told)) == len(told)
    with pytest.raises(MlflowException, match="already exists"):
        client.create_registered_model("m")
    wait_until(lambda: log_of(tmp_path).count("webhook.delivered") >= len(told), what="the record")
    assert receiver.got.empty()


def test_what_fails_is_sent_again_and_what_is_refused_is_not(url, receiver, tmp_path):
    client = MlflowClient(url)
    client.create_webhook("w", receiver.url, events("registered_model.created"), secret=SECRET)
    for status in (503, 500):
        receiver.statuses.put(status)
    client.create_registered_model("a")
    ids = {receiver.next(SECRET)[2] for _ in range(3)}
    assert len(ids) == 1
    receiver.statuses.put(404)
    client.create_registered_model("b")
    assert receiver.next(SECRET)[1]["name"] == "b"
    other = Receiver()
    receiver.statuses.put(307)
    receiver.headers["Location"] = other.url
    client.create_registered_model("c")
    assert receiver.next(SECRET)[1]["name"] == "c"
    wait_until(lambda: log_of(tmp_path).count("webhook.failed") == 2, what="both failures")
    assert log_of(tmp_path).count("webhook.delivered") == 1 and receiver.got.empty() and other.got.empty()
    other.close()


def test_events_outlive_receivers_and_servers(program, tmp_path, lenient):
    with socket.socket() as taken:  # a port that nobody listens to
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with serving(tmp_path) as url:
        client = MlflowClient(url)
        client.create_webhook("w", f"http://127.0.0.1:{port}/hook", events("registered_model.created"))
        client.create_registered_model("a")
        gone = client.create_webhook("gone", f"http://127.0.0.1:{port}/gone", events("registered_model.created"))
        client.create_registered_model("b")
        client.delete_webhook(gone.webhook_id)
    receiver = Receiver(port)
    with serving(tmp_path):
        names = {receiver.next()[1]["name"] for _ in range(2)}
        assert names == {"a", "b"}
        wait_until(lambda: log_of(tmp_path).count("webhook.delivered") == 2, what="the record")
    assert receiver.got.empty()
    receiver.close()


def test_a_webhook_can_be_tried(url, receiver):
    client = MlflowClient(url)
    hook = client.create_webhook("w", receiver.url, events("model_version.created", "prompt.created"), secret=SECRET)
    result = client.test_webhook(hook.webhook_id, WebhookEvent.from_str("prompt_version_tag.set"))
    assert (result.success, result.response_status, result.response_body) == (True, 200, None)  # a private address' answer is not shown
    assert receiver.next(SECRET)[:2] == ("prompt_version_tag.set", {"name": "example", "version": "1", "key": "example_key", "value": "example_value"})
    receiver.statuses.put(500)
    result = client.test_webhook(hook.webhook_id)
    assert (result.success, result.response_status) == (False, 500) and receiver.next(SECRET)[0] == "model_version.created"
    with pytest.raises(MlflowException, match="not found"):
        client.test_webhook("nosuch")
