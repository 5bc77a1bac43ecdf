"""OpenLineage events of runs, read by OpenLineage's own Python client: each event and facet must be one of the classes that it generates from the
specification's schemas, member by member and type by type; and what becomes of events when nobody takes them."""
import contextlib
import enum
import http.server
import json
import pkgutil
import signal
import threading
import types
import typing
import uuid
from datetime import datetime

import attr
from conftest import wait_until
from openlineage.client import event_v2, generated

YAML = """
project: shop
params: {least: 1, rounds: 5}
openlineage: {file: events.jsonl, namespace: "test://here"}
sources: {raw: data/raw.csv, people: data/people.csv}
datasets:
  raw:
    checks: [not_null: [id], between: {column: amount, min: 0, max: 100, severity: warn}, {mean: {column: amount, min: 0, max: 1000}}]
steps:
  sales: {sql: sql/sales.sql}
  count: {run: 'wc -l < "$SLUICE_INPUT_sales" > "$SLUICE_OUTPUT_lines"', inputs: [sales], outputs: {lines: out/lines.txt}}
  fit: {train: {algorithm: xgboost, data: sales, target: late, features: [twice, name], rounds: $rounds}}
models:
  late: {from: fit, evaluate: {data: sales}, gate: ["auc >= 0"], promote: auto}
"""
SALES = "select r.id, r.amount * 2 as twice, p.name, r.late from raw r join people p using (id) where r.amount >= $least\n"


def make(project, yaml=YAML):
    project.write("data/raw.csv", "id,amount,late\n" + "".join(f"{i},{i % 120},{int(i % 120 > 60)}\n" for i in range(240)))
    project.write("data/people.csv", "id,name\n" + "".join(f"{i},p{i % 3}\n" for i in range(240)))
    project.write("sql/sales.sql", SALES)
    project.write("sluice.yaml", yaml)
    project.sluice("init", status=None)


# ---- the specification, as OpenLineage's client knows it --------------------------------------------------------------------------------------------

def facet_classes():
    found = {}
    for module in pkgutil.iter_modules(generated.__path__):
        members = vars(__import__(f"openlineage.client.generated.{module.name}", fromlist=["x"]))
        found.update({c._get_schema(): c for c in members.values() if isinstance(c, type) and attr.has(c) and hasattr(c, "_get_schema")})
    return found


FACETS = facet_classes()


def structure(value, kind, path):
    """`value` as an object of the type `kind`; an unknown member, a missing one and a value of another type are errors."""
    if kind is typing.Any:
        return value
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        inner = [k for k in typing.get_args(kind) if k is not type(None)]
        assert value is not None, f"{path}: null"
        return structure(value, inner[0], path)
    if typing.get_origin(kind) is list:
        assert isinstance(value, list), f"{path}: {value!r} is no list"
        return [structure(v, typing.get_args(kind)[0], f"{path}[{i}]") for i, v in enumerate(value)]
    if typing.get_origin(kind) is dict:
        assert isinstance(value, dict), f"{path}: {value!r} is no object"
        return {k: facet(v, typing.get_args(kind)[1], f"{path}.{k}") for k, v in value.items()}
    if attr.has(kind):
        return build(value, kind, path)
    if issubclass(kind, enum.Enum):
        return kind(value)
    assert isinstance(value, (int, float) if kind is float else kind) and (kind is bool or not isinstance(value, bool)), f"{path}: {value!r} is no {kind}"
    return value


def facet(value, base, path):
    """A member of a dictionary: of facets, whose class the schema's address names; else of plain values."""
    if not (isinstance(base, type) and attr.has(base) and "_schemaURL" in {f.name for f in attr.fields(base)}):
        return structure(value, base, path)
    assert value["_schemaURL"] in FACETS, f"{path}: {value['_schemaURL']} is not in this version of the specification"
    return build(value, FACETS[value["_schemaURL"]], path)


def build(value, cls, path):
    attr.resolve_types(cls)
    fields = {f.name: f for f in attr.fields(cls)}
    assert isinstance(value, dict) and set(value) <= set(fields), f"{path}: {sorted(set(value) - set(fields))} are no members of {cls.__name__}"
    members = {n: structure(v, fields[n].type, f"{path}.{n}") for n, v in value.items()}
    given = {fields[n].alias: v for n, v in members.items() if fields[n].init}
    return cls(**given)


def check_event(text):
    event = json.loads(text)
    made = build(event, event_v2.RunEvent, "event")  # a JobEvent has no run: one without is refused here
    assert event["schemaURL"] == made.schemaURL
    uuid.UUID(event["run"]["runId"])
    datetime.fromisoformat(event["eventTime"])
    return event


def read_events(project, name="events.jsonl"):
    project.sluice("openlineage")
    return [check_event(line) for line in (project.root / name).read_text().splitlines()]


def of_job(events, name, kind):
    return [e for e in events if e["job"]["name"] == name and e["eventType"] == kind]


def only(events, name, kind):
    found = of_job(events, name, kind)
    assert len(found) == 1, [(e["job"]["name"], e["eventType"]) for e in events]
    return found[0]


def dataset(items, name):
    return next(d for d in items if d["name"] == name)


# ---- what events say --------------------------------------------------------------------------------------------------------------------------------

def test_every_run_begins_and_ends_and_knows_its_parent(project):
    make(project)
    project.sluice("run")
    events = read_events(project)
    runs = {}
    for e in events:
        runs.setdefault((e["job"]["name"], e["run"]["runId"]), []).append(e["eventType"])
    assert all(kinds == ["START", "COMPLETE"] for kinds in runs.values()), runs
    assert {job for job, _ in runs} == {"shop", "shop.raw", "shop.people", "shop.sales", "shop.count", "shop.fit", "shop.late", "shop.raw.checks"}
    whole = only(events, "shop", "START")["run"]["runId"]
    for e in events:
        parent = e["run"]["facets"].get("parent")
        if e["job"]["name"] == "shop":
            assert parent is None
        elif e["job"]["name"] != "shop.raw.checks":
            assert parent["run"]["runId"] == whole and parent["job"] == {"namespace": "test://here", "name": "shop"}
        else:
            assert parent["job"]["name"] == "shop.raw" and parent["root"]["run"]["runId"] == whole
    assert project.sluice("run").returncode == 0
    assert len(read_events(project)) == len(events), "nothing ran, and something was told"


def test_datasets_with_schema_version_statistics_and_metrics(project):
    make(project)
    project.sluice("run", "sales", "lines")
    events = read_events(project)
    end = only(events, "shop.sales", "COMPLETE")
    made = dataset(end["outputs"], "shop.sales")
    version = project.json("show", "dataset:sales")["version"]
    assert made["facets"]["version"]["datasetVersion"] == version
    assert [(f["name"], f["type"]) for f in made["facets"]["schema"]["fields"]] == [
        ("id", "BIGINT"), ("twice", "BIGINT"), ("name", "VARCHAR"), ("late", "BIGINT")]
    assert made["outputFacets"]["outputStatistics"]["rowCount"] == 238
    assert {d["name"] for d in end["inputs"]} == {"shop.raw", "shop.people"}
    assert end["job"]["facets"]["sql"]["query"] == SALES
    assert {p["key"]: p["value"] for p in end["run"]["facets"]["executionParameters"]["parameters"]} == {"least": "1"}
    read = dataset(end["inputs"], "shop.raw")
    metrics = read["facets"]["dataQualityMetrics"]  # the profile came with the checks
    assert metrics["rowCount"] == 240 and metrics["columnMetrics"]["amount"]["max"] == 119
    assert metrics["columnMetrics"]["amount"]["sum"] == sum(i % 120 for i in range(240))
    ingest = only(events, "shop.raw", "COMPLETE")
    assert ingest["inputs"][0]["namespace"] == "file" and ingest["inputs"][0]["name"] == str(project.root / "data/raw.csv")
    lines = only(events, "shop.count", "COMPLETE")
    assert lines["job"]["facets"]["sourceCode"]["sourceCode"].startswith("wc -l <")
    assert lines["outputs"][0]["name"] == str(project.root / "out/lines.txt")


def columns_of(project, select):
    """Column -> {(input column, how)} of a statement over raw and people; None when nothing is told. And what decides on all rows."""
    make(project)
    project.write("sql/sales.sql", select + " -- $least\n" if "$least" not in select else select)
    (project.root / "events.jsonl").unlink(missing_ok=True)
    project.sluice("run", "sales")
    facet = dataset(only(read_events(project), "shop.sales", "COMPLETE")["outputs"], "shop.sales")["facets"].get("columnLineage")
    tell = lambda fields: {(f["name"].removeprefix("shop.") + "." + f["field"], f["transformations"][0]["subtype"]) for f in fields}
    return facet and ({n: tell(c["inputFields"]) for n, c in facet["fields"].items()}, tell(facet["dataset"]))


def test_columns_know_what_they_are_made_of(project):
    fields, whole = columns_of(project, SALES)
    assert fields == {"id": {("raw.id", "IDENTITY")}, "twice": {("raw.amount", "TRANSFORMATION")}, "name": {("people.name", "IDENTITY")},
                      "late": {("raw.late", "IDENTITY")}}
    assert whole == {("raw.amount", "FILTER"), ("raw.id", "JOIN"), ("people.id", "JOIN")}
    fields, whole = columns_of(project, """
        with big as (select id, amount + 1 as more from raw where amount > $least), joined as (select * from big join people using (id))
        select name, sum(more) as total, max(more) * 2 as twice_most, twice_most + 1 as again, count(*) as n,
               row_number() over (order by name) as place, (select min(late) from raw) as least_late
        from joined b group by name order by total""")
    assert fields == {"name": {("people.name", "IDENTITY")}, "total": {("raw.amount", "AGGREGATION")}, "twice_most": {("raw.amount", "AGGREGATION")},
                      "again": {("raw.amount", "AGGREGATION")}, "n": set(), "place": set(), "least_late": {("raw.late", "AGGREGATION")}}
    assert whole == {("raw.amount", "FILTER"), ("raw.id", "JOIN"), ("people.id", "JOIN"), ("people.name", "GROUP_BY"), ("people.name", "WINDOW"),
                     ("raw.amount", "AGGREGATION"), ("raw.amount", "SORT")} - {("raw.amount", "AGGREGATION")}
    fields, _ = columns_of(project, "select r.* exclude (late), 'x' as kind from raw r where amount > $least union all select id, id, name from people")
    assert fields == {"id": {("raw.id", "IDENTITY"), ("people.id", "IDENTITY")}, "amount": {("raw.amount", "IDENTITY"), ("people.id", "IDENTITY")},
                      "kind": {("people.name", "IDENTITY")}}


def test_what_is_not_followed_has_no_lineage_of_columns(project):
    assert columns_of(project, "select columns('a.*') from raw where amount > $least") is None
    assert columns_of(project, "select unnest(range(id)) as x, g.range from raw, range(3) g where amount > $least") is None


def test_checks_are_runs_with_assertions(project):
    make(project)
    project.sluice("run", "raw")
    passed = only(read_events(project), "shop.raw.checks", "COMPLETE")
    told = {a["name"]: a for a in passed["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"]}
    assert told["not_null(id)"] == {"assertion": "not_null", "success": True, "severity": "error", "name": "not_null(id)", "column": "id"}
    assert told["between(amount)"]["success"] is False and told["between(amount)"]["severity"] == "warn"
    assert float(told["mean(amount)"]["actual"]) == 59.5
    assert "119" not in json.dumps(told["between(amount)"].get("params", "")), "rows of data stay here"
    project.write("data/raw.csv", "id,amount,late\n,1,0\n2,2,1\n")
    project.sluice("run", "raw", status=1)
    events = read_events(project)
    failed = only(events, "shop.raw.checks", "FAIL")
    assert "1 check failed" in failed["run"]["facets"]["errorMessage"]["message"]
    assert "not_null(id)" in only(events, "shop.raw", "FAIL")["run"]["facets"]["errorMessage"]["message"]
    assert only(events, "shop", "FAIL")


def test_training_and_the_model_that_it_made(project):
    make(project)
    project.sluice("run", "late")
    events = read_events(project)
    fit, gate = only(events, "shop.fit", "COMPLETE"), only(events, "shop.late", "COMPLETE")
    assert fit["job"]["facets"]["jobType"]["jobType"] == "TRAINING"
    package = dataset(fit["outputs"], "shop.fit")
    assert package["facets"]["datasetType"]["datasetType"] == "MODEL"
    assert dataset(gate["outputs"], "shop.late")["facets"]["version"]["datasetVersion"] == "1"


def test_what_is_cancelled_is_aborted(project):
    make(project, YAML.replace("fit: {train", "wait: {run: sleep 600}\n  fit: {train"))
    running, log = project.start("run", "wait")
    wait_until(lambda: "run      wait" in log.read_text(), what="the step")
    running.send_signal(signal.SIGINT)
    running.wait(30)
    events = read_events(project)
    assert only(events, "shop.wait", "ABORT")["run"]["facets"]["errorMessage"]["message"]
    assert only(events, "shop", "ABORT")


# ---- who takes them ---------------------------------------------------------------------------------------------------------------------------------

class Receiver:
    """Takes events as Marquez does; `answer(number, event)` gives the status."""

    def __init__(self, answer=lambda number, event: 201, port=0):
        self.events, self.paths, self.headers, receiver = [], [], [], self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                text = self.rfile.read(int(self.headers["Content-Length"]))
                status = answer(len(receiver.paths), json.loads(text))
                receiver.paths.append(self.path)
                receiver.headers.append(dict(self.headers))
                if status // 100 == 2:
                    receiver.events.append(check_event(text))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@contextlib.contextmanager
def closed_port():
    """A port on which nobody listens while this lasts."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        port = server.server_address[1]
    yield port


def test_the_environment_names_the_receiver_as_for_other_tools(project):
    make(project, YAML.replace('openlineage: {file: events.jsonl, namespace: "test://here"}\n', ""))
    with Receiver() as receiver:
        env = {"OPENLINEAGE_URL": receiver.url + "/", "OPENLINEAGE_API_KEY": "s3cret", "OPENLINEAGE_NAMESPACE": "prod"}
        project.sluice("run", "sales", env=env)
        project.sluice("openlineage", env=env)
        assert {e["job"]["name"] for e in receiver.events} == {"shop", "shop.raw", "shop.people", "shop.sales", "shop.raw.checks"}
        assert set(receiver.paths) == {"/api/v1/lineage"}
        assert all(h["Authorization"] == "Bearer s3cret" and h["Content-Type"] == "application/json" for h in receiver.headers)
        assert {e["job"]["namespace"] for e in receiver.events} == {"prod"}
        project.sluice("run", "sales", "least=2", env={**env, "OPENLINEAGE_DISABLED": "true"})
        project.write("openlineage.yml", f"transport: {{type: http, url: '{receiver.url}', endpoint: api/v9/x, auth: {{type: api_key, apiKey: k}}}}\n")
        before, env = len(receiver.events), {"OPENLINEAGE_CONFIG": str(project.root / "openlineage.yml")}
        project.sluice("run", "sales", "least=3", env=env)
        project.sluice("openlineage", env=env)
        assert set(receiver.paths[before:]) == {"/api/v9/x"}, "and nothing of the run that nobody was to know of"
        assert len(receiver.events) == before + 4


def test_a_receiver_that_is_away_fails_no_run_and_gets_all_later(project):
    with closed_port() as port:
        make(project, YAML.replace("file: events.jsonl", f"url: 'http://127.0.0.1:{port}', allow_private: true"))
        project.sluice("run", "sales")
        waits = json.loads(project.sluice("openlineage", "--patience", "1ms", "--json", status=1).stdout)
        assert waits["waiting"] == 8 and waits["delivered"] == 0 and "refused" in waits["message"]
        assert project.json("status")["openlineage"]["waiting"] == 8
        assert "8 events wait since" in project.sluice("status").stdout
        assert "OpenLineage: events wait since" in project.sluice("run", "sales").stderr
    with Receiver(port=port) as receiver:
        project.sluice("openlineage")
        assert [(e["job"]["name"], e["eventType"]) for e in receiver.events[:1] + receiver.events[-1:]] == [("shop", "START"), ("shop", "COMPLETE")]
        assert len({json.dumps(e, sort_keys=True) for e in receiver.events}) == len(receiver.events) == 10
        assert "failing_since" not in project.json("status")["openlineage"]


def test_trouble_is_tried_again_and_an_event_that_is_refused_does_not_block_the_rest(project):
    make(project)
    with Receiver(lambda number, event: 503 if number in (0, 3) else 422 if event["job"]["name"] == "shop.people" else 200) as receiver:
        env = {"OPENLINEAGE_URL": receiver.url}
        project.sluice("run", "sales", env=env)
        told = json.loads(project.sluice("openlineage", "--json", env=env).stdout)
        assert told["refused"] == 2 and told["waiting"] == 0 and "status 422" in told["message"]
        assert len(receiver.events) == told["delivered"] == 8


def test_an_address_of_the_project_file_may_not_lead_into_the_private_network(project):
    with Receiver() as receiver:
        make(project, YAML.replace("file: events.jsonl", f"url: '{receiver.url}'"))
        project.sluice("run", "people")
        told = json.loads(project.sluice("openlineage", "--patience", "1ms", "--json", status=1).stdout)
        assert "127.0.0.1" in told["message"] and not receiver.paths


def test_runs_that_the_server_starts_are_told(project):
    make(project)
    with project.up() as server:
        started = server.post("/api/v1/runs", json={"what": ["people"]}, headers={"Authorization": f"Bearer {server.token}"})
        assert started.status_code == 202
        events = wait_until(lambda: (project.root / "events.jsonl").exists() and len(found := read_events(project)) == 4 and found, what="the events")
    assert [e["eventType"] for e in events] == ["START", "START", "COMPLETE", "COMPLETE"]


def test_nobody_to_tell_is_an_answer(project):
    make(project, YAML.replace('openlineage: {file: events.jsonl, namespace: "test://here"}\n', ""))
    assert "openlineage: {url: http://HOST:PORT}" in project.sluice("openlineage", status=2).stderr
    project.write("sluice.yaml", YAML.replace("file: events.jsonl", "file: a, url: http://b"))
    assert "either 'url' or 'file'" in project.sluice("run", status=2).stderr
