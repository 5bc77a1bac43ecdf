"""Tokens: each permission against each route of the OpenAPI document, and what a token leaves behind."""
import json
import re
import time

import grpc
import pytest
import requests
from tritonclient.grpc import service_pb2, service_pb2_grpc

from conftest import ROOT, Project, wait_until

PERMISSIONS = ["view", "predict", "run", "edit", "approve", "admin"]
PROJECT = """
project: tokens
sources: {raw: raw.csv}
steps:
  fit: {train: {algorithm: xgboost, data: raw, target: y, features: [x], rounds: 3}}
models:
  m: {from: fit, promote: approve}
endpoints:
  e: {model: m@champion}
"""
# Routes that are in no document: which permission each needs, when the server asks for a token at all.
FIXED = {"/": "view", "/runs": "view", "/metrics": "view", "/style.css": "view", "/api/v1/openapi.json": "view",
         "/v2": "predict", "/v2/models": "predict", "/v2/models/e": "predict", "/ping": "predict", "/version": "predict"}


@pytest.fixture(scope="module")
def server(program, tmp_path_factory):
    root = tmp_path_factory.mktemp("tokens") / "project"
    root.mkdir()
    project = Project(root)
    project.write("raw.csv", "x,y\n" + "".join(f"{i % 50},{int(i % 50 > 20)}\n" for i in range(400)))
    project.write("sluice.yaml", PROJECT)
    project.sluice("init")
    project.sluice("run")
    with project.up("--require-token") as running:
        running.secrets = {name: project.json("token", "create", f"only-{name}", "--allow", name)["secret"] for name in PERMISSIONS}
        yield running


def ask(server, method, path, secret=None, **options):
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    return requests.request(method, server.url + path, headers={**headers, **options.pop("headers", {})}, timeout=120, **options)


def operations(server):
    document = ask(server, "GET", "/api/v1/openapi.json", server.token).json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation["x-permission"]


def test_every_route_takes_its_permission_and_no_other(server):
    wait_until(lambda: ask(server, "GET", "/v2", server.secrets["predict"]).status_code == 200, what="the tokens in the role infer")
    routes = list(operations(server))
    assert len(routes) > 15 and {permission for _, _, permission in routes} <= set(PERMISSIONS)
    routes += [("GET", path, permission) for path, permission in FIXED.items()]
    for method, path, needed in routes:
        concrete = re.sub(r"\{\w+\}", "nothing", path)
        body = {"json": {}} if method == "POST" else {}
        assert ask(server, method, concrete, **body).status_code == 401, path
        assert ask(server, method, concrete, "slt_" + "0" * 64, **body).status_code == 401, path
        for permission in PERMISSIONS:
            answer = ask(server, method, concrete, server.secrets[permission], **body)
            assert (answer.status_code == 403) == (permission != needed), (method, path, needed, permission, answer.status_code, answer.text[:200])
            assert answer.status_code != 401, path
            if answer.status_code == 403:
                assert "lacks the permission" in answer.text, path


def mlflows_routes():
    """(method, path, permission) of every route of MLflow's protocol, in both spellings, out of the tables in the sources."""
    for file in sorted((ROOT / "src" / "mlflow").glob("*.c")):
        text = file.read_text()
        macros = dict(re.findall(r'#define (\w+) "([^"]*)"', text))
        for version, method, path, permission in re.findall(r"\{(0|SL_ML_V\d), SL_HTTP_(\w+), ([^,]+), SL_(?:PERMIT|ML)_(\w+)", text):
            whole = "".join(macros.get(word, word.strip('"')) for word in re.findall(r'"[^"]*"|\w+', path)).replace("{*}", "0/x").replace("{}", "0")
            for prefix in [""] if version == "0" else [f"/api/{version[-1]}.0", f"/ajax-api/{version[-1]}.0"]:
                yield method, prefix + whole, permission.lower()


def test_mlflows_routes_take_their_permission_and_no_other(server):
    routes = [route for route in mlflows_routes() if route[1] not in ("/health", "/version")]
    assert len(routes) > 200 and {permission for _, _, permission in routes} == {"open", "view", "run", "edit"}
    wait_until(lambda: ask(server, "GET", "/api/2.0/mlflow-artifacts/artifacts", server.secrets["view"]).status_code == 200,
               what="the tokens in the role mlflow")
    for method, path, needed in routes:
        body = {"json": {}} if method != "GET" else {}
        assert ask(server, method, path, **body).status_code == (200 if needed == "open" else 401), path
        tried = [] if needed == "open" else [needed, "predict"] if path.startswith("/ajax-api") else PERMISSIONS
        for permission in tried:
            answer = ask(server, method, path, server.secrets[permission], **body)
            assert (answer.status_code == 403) == (permission != needed), (method, path, needed, permission, answer.status_code, answer.text)


def test_the_tracking_servers_addresses_are_its_own_beside_endpoints(server):
    for _ in range(20):  # whichever role takes the connection
        assert ask(server, "POST", "/v1/traces", server.secrets["run"], headers={"Content-Type": "text/plain"}).status_code == 400
        told = requests.get(server.url + "/version", headers={"X-MLflow-Client-Version": "3.17.2"}, timeout=30)
        assert (told.status_code, told.text) == (200, "3.17.2")
        assert ask(server, "GET", "/version", server.secrets["predict"]).text != "3.17.2"


def refusals(server):
    """What the ledger says about them by now: {(actor, subject): [times, ...]}, {subject of an entry: how many it leaves out}."""
    found, left_out = {}, {}
    for row in server.project.json("sql", "select actor, subject, detail from ledger where action = 'request.refused' order by seq")["items"]:
        detail = json.loads(row["detail"])
        found.setdefault((row["actor"], row["subject"]), []).append(detail["times"])
        left_out[row["subject"]] = left_out.get(row["subject"], 0) + detail.get("left_out", 0)
    return found, left_out


def test_refusals_of_every_role_are_in_the_ledger(server):
    """Asked again until they are there: in a second with many other refusals one may be among those that are not named."""
    wanted = ["GET /v2/models/e/versions/1/ready", "GET /models/e", "GET /api/2.0/mlflow/experiments/search"]  # infer, api, mlflow
    remote = "gRPC /inference.GRPCInferenceService/ModelReady"
    with grpc.insecure_channel(server.url.removeprefix("http://")) as channel:
        client = service_pb2_grpc.GRPCInferenceServiceStub(channel)

        def recorded():
            for what in wanted:
                assert ask(server, *what.split(" ")).status_code == 401
                assert ask(server, *what.split(" "), server.secrets["admin"]).status_code == 403
            with pytest.raises(grpc.RpcError):
                client.ModelReady(service_pb2.ModelReadyRequest(name="e"), timeout=30)
            found, _ = refusals(server)
            return {(actor, what) for actor in ("api:anonymous", "token:only-admin") for what in wanted} | {("api:anonymous", remote)} <= set(found)
        wait_until(recorded, what="the entries")


def test_a_flood_of_refusals_is_a_few_entries(server):
    ask(server, "GET", "/v2/models/before")  # whatever the role still counts is written before or with it
    wait_until(lambda: ("api:anonymous", "GET /v2/models/before") in refusals(server)[0], what="the earlier entries")
    before = len(server.project.json("ls", "ledger", "-l", 10000)["items"])
    started = time.monotonic()
    with requests.Session() as session:
        for i in range(600):
            path = "/v2/models/flood" if i < 300 else f"/v2/models/flood{i}"
            assert session.get(server.url + path, timeout=60).status_code == 401

    def all_counted():
        found, left_out = refusals(server)
        counted = sum(sum(times) for (_, what), times in found.items() if "/v2/models/flood" in what)
        counted += sum(n for what, n in left_out.items() if "/v2/models/flood" in what)
        assert counted <= 600
        return counted == 600
    wait_until(all_counted, what="every refusal as an entry or a number")
    after = len(server.project.json("ls", "ledger", "-l", 10000)["items"])
    assert after - before <= 8 * (time.monotonic() - started + 1)


def test_an_approval_names_its_token(server):
    secret = server.project.json("token", "create", "anna", "--allow", "approver")["secret"]
    answer = ask(server, "POST", "/api/v1/models/m@1/approve", secret, json={"reason": "looks right"})
    assert answer.status_code == 200, answer.text
    actors = [entry["actor"] for entry in server.project.json("ls", "ledger")["items"] if "alias" in entry["action"] or "promote" in entry["action"]]
    assert actors[0] == "token:anna"


def test_predictions_need_predict(server):
    server.project.sluice("approve", "m", status=None)  # unless another test did
    body = {"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [7]}]}
    wait_until(lambda: ask(server, "GET", "/v2/models/e/ready", server.secrets["predict"]).status_code == 200, what="the endpoint")
    for permission, secret in server.secrets.items():
        expected = 200 if permission == "predict" else 403
        assert ask(server, "POST", "/v2/models/e/infer", secret, json=body).status_code == expected, permission
        assert ask(server, "POST", "/invocations", secret, json={"dataframe_records": [{"x": 7}]}).status_code == expected, permission
    assert requests.post(server.url + "/v2/models/e/infer", json=body, auth=("any", server.secrets["predict"]), timeout=30).status_code == 200


def test_a_revoked_token_is_refused_from_then_on(server):
    made = server.project.json("token", "create", "passing", "--allow", "view", "--allow", "predict")
    assert made["allow"] == "view,predict" and made["secret"].startswith("slt_")
    assert ask(server, "GET", "/api/v1/status", made["secret"]).status_code == 200
    wait_until(lambda: ask(server, "GET", "/v2", made["secret"]).status_code == 200, what="the role infer to know it")
    server.project.sluice("token", "revoke", "passing")
    assert ask(server, "GET", "/api/v1/status", made["secret"]).status_code == 401
    wait_until(lambda: ask(server, "GET", "/v2", made["secret"]).status_code == 401, what="the role infer to forget it")
    assert "existed" in server.project.sluice("token", "create", "passing", "--allow", "view", status=None).stderr
    assert "no token" in server.project.sluice("token", "revoke", "passing", status=None).stderr


def test_a_token_expires(server):
    secret = server.project.json("token", "create", "short", "--allow", "view", "--expires", "1s")["secret"]
    wait_until(lambda: ask(server, "GET", "/api/v1/status", secret).status_code == 401, what="the end of its time")
    states = {t["name"]: t["state"] for t in server.project.json("token", "list")["items"]}
    assert states["short"] == "expired" and states["only-view"] == "valid"


def test_secrets_are_kept_nowhere(server):
    secret = server.secrets["run"]
    for path in (server.project.root / ".sluice").rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
    subjects = [entry["subject"] for entry in server.project.json("ls", "ledger", "--limit", 10000)["items"] if entry["action"] == "token.create"]
    assert "token:only-run" in subjects
    assert "project" in server.project.sluice("token", "create", "project", "--allow", "view", status=2).stderr
    assert "permission" in server.project.sluice("token", "create", "none", status=2).stderr


def test_tokens_are_made_over_http_by_admins(server):
    made = ask(server, "POST", "/api/v1/tokens/create", server.secrets["admin"], json={"name": "remote", "allow": ["viewer"]})
    assert made.status_code == 200 and made.json()["allow"] == "view"
    entry = next(e for e in server.project.json("ls", "ledger", "--limit", 50)["items"] if e["subject"] == "token:remote")
    assert entry["actor"] == "token:only-admin"


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Basic", "Basic !!!", "Basic YWJj", "Basic " + "QUFB" * 200, "Digest x", "bearer x"])
def test_a_broken_header_is_no_token(server, header):
    for path in ["/api/v1/status", "/v2"]:
        assert requests.get(server.url + path, headers={"Authorization": header}, timeout=30).status_code == 401
