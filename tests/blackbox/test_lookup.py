"""Columns that the server looks up: the values that a request gets are those that training joins to the same row, bit for bit."""
import json

import numpy
import pandas
import pyarrow
import pyarrow.parquet
import pytest
import requests
import tritonclient.grpc

from conftest import Project, wait_until

START = pandas.Timestamp("2001-01-01")
DAYS, TRAINED = 10, 6
YAML = """
project: lookups
params: {default: 0.3}
sources: {flights: data/flights.parquet, airport_recent: data/recent.parquet}
steps:
  joined:
    lookup: {data: flights, from: airport_recent, key: origin, at: date, time: known_at, columns: [late_share, flights_seen, sky], default: {late_share: $default, sky: unknown}}
  features: {sql: "SELECT *, hour(date) AS hour FROM joined"}
  fit:
    train: {algorithm: xgboost, data: features, where: "date < TIMESTAMP '2001-01-07'", target: late, features: [distance, late_share, hour, flights_seen, sky], rounds: 20, max_depth: 4}
models:
  delay: {from: fit, promote: auto}
endpoints:
  delay: {model: delay@champion, key: flight, time: date, features: {from: airport_recent, key: origin}, explain: true, log_explanations: true, log_drop: [hour]}
"""
LOOKED_UP = ["late_share", "flights_seen", "sky"]


def flights():
    random = numpy.random.default_rng(11)
    count = 4000
    date = START + pandas.to_timedelta(numpy.sort(random.integers(0, DAYS * 86400, count)), unit="s")
    origin = random.choice(["JFK", "LAX", "ORD", "NEW", None], count)
    distance = random.integers(50, 3000, count)
    late = (random.random(count) + (origin == "ORD") * 0.4 + distance / 6000 > 0.9).astype("int64")
    frame = pandas.DataFrame({"flight": numpy.arange(count), "date": date.astype("datetime64[us]"), "origin": origin, "distance": distance, "late": late})
    return frame


def recent():
    """Known at some second of every day; one airport appears late, and some values are null."""
    random = numpy.random.default_rng(12)
    rows = []
    for day in range(DAYS):
        for origin in ["JFK", "LAX", "ORD"] + (["NEW"] if day > TRAINED else []):
            known = START + pandas.Timedelta(days=day, seconds=int(random.integers(0, 3600)))
            rows.append((origin, known, random.random(), int(random.integers(1, 9)) if random.random() < 0.8 else None,
                         random.choice(["calm", "storm", None])))
    frame = pandas.DataFrame(rows, columns=["origin", "known_at", "late_share", "flights_seen", "sky"])
    return frame.astype({"known_at": "datetime64[us]", "flights_seen": "Int64"})


def write(project, name, frame):
    pyarrow.parquet.write_table(pyarrow.Table.from_pandas(frame, preserve_index=False), project.root / "data" / name)


def know(project, until):
    """Commits the dataset as it was known at that time; its version's hash."""
    frame = recent()
    write(project, "recent.parquet", frame[frame.known_at <= until])
    project.sluice("run", "airport_recent")
    return project.json("show", "airport_recent")["version"]


@pytest.fixture(scope="module")
def trained(program, tmp_path_factory):
    root = tmp_path_factory.mktemp("lookup") / "project"
    root.mkdir()
    project = Project(root)
    (root / "data").mkdir()
    project.write("sluice.yaml", YAML)
    project.sluice("init", status=None)
    write(project, "flights.parquet", flights())
    know(project, START + pandas.Timedelta(days=TRAINED))
    project.sluice("run")
    return project


@pytest.fixture(scope="module")
def server(trained):
    with trained.up() as server:
        yield server


def serve_version(server, version):
    def newest():
        return [line for line in server.logs().splitlines() if "is looked up" in line][-1]
    wait_until(lambda: f"'airport_recent@{version[:12]}'" in newest(), what="the new version in memory")


def ask(server, rows):
    records = [{"flight": str(r.flight), "date": r.date.isoformat(), "hour": r.date.hour, "distance": r.distance, "origin": r.origin if isinstance(r.origin, str) else None} for r in rows.itertuples()]
    answer = server.post("/endpoints/delay/invocations", json={"dataframe_records": records})
    assert answer.status_code == 200, answer.text
    return answer.headers["X-Sluice-Prediction-Id"], answer.json()["predictions"]


def test_served_rows_get_what_training_joins_to_them(trained, server):
    """Each day's flights are served with what was known that day. Joined as of their time by the last version, they have the same values, and the
    same predictions."""
    served = {}
    for day in range(TRAINED + 1, DAYS):
        noon = START + pandas.Timedelta(days=day, hours=12)
        version = know(trained, noon)
        serve_version(server, version)
        frame = flights()
        rows = frame[(frame.date >= noon) & (frame.date < noon + pandas.Timedelta(hours=12))].head(20)
        prediction, outputs = ask(server, rows)
        shown = trained.json("show", f"prediction:{prediction}")
        assert shown["looked_up"] == {"airport_recent": version}
        for row, output, flight in zip(shown["rows"], outputs, rows.flight):
            served[int(flight)] = {"output": output, **{column: row["inputs"][column] for column in LOOKED_UP}}
    assert len(served) == 20 * (DAYS - TRAINED - 1)
    know(trained, START + pandas.Timedelta(days=DAYS))
    trained.sluice("run", "features")
    flights_served = ", ".join(map(str, served))
    joined = trained.json("sql", f"SELECT * FROM features WHERE flight IN ({flights_served})")["items"]
    assert len(joined) == len(served)
    for row in joined:
        assert {column: row[column] for column in LOOKED_UP} == {column: served[row["flight"]][column] for column in LOOKED_UP}
    assert len({value["late_share"] for value in served.values()}) > 6, "the values did not change from day to day"
    write(trained, "score.parquet", pandas.DataFrame(joined).astype({"flights_seen": "Int64"}))
    trained.sluice("predict", "delay@1", "data/score.parquet", "--out", "data/scored.parquet")
    scored = pyarrow.parquet.read_table(trained.root / "data" / "scored.parquet").to_pandas()
    assert scored["prediction"].dtype == numpy.float32
    for flight, probability in zip(scored["flight"], scored["prediction"]):
        assert numpy.float32(served[int(flight)]["output"]).tobytes() == numpy.float32(probability).tobytes()


def test_why_walks_to_the_lookups_dataset(trained, server):
    prediction, _ = ask(server, flights().head(2))
    version = trained.json("show", "airport_recent")["version"]
    graph = trained.json("why", f"prediction:{prediction}")
    assert {"from": f"prediction:{prediction}", "to": f"dataset:airport_recent@{version}", "as": "looked_up"} in graph["edges"]
    assert any(node["kind"] == "file" and node["name"] == "data/recent.parquet" for node in graph["nodes"])


def test_every_form_of_a_request(trained, server):
    """Its columns are those of the model that are not looked up, then the key."""
    metadata = server.get("/v2/models/delay").json()
    assert [(i["name"], i["datatype"]) for i in metadata["inputs"]] == [("distance", "INT64"), ("hour", "INT64"), ("origin", "BYTES")]
    record = {"distance": 700, "hour": 7, "origin": "JFK"}
    expected = server.post("/endpoints/delay/invocations", json={"dataframe_records": [record]}).json()["predictions"]

    def same(path, **options):
        answer = server.post(path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()
    assert same("/endpoints/delay/invocations", json={"instances": [[700, 7, "JFK"]]})["predictions"] == expected
    assert same("/endpoints/delay/invocations", data="hour,origin,distance\n7,JFK,700\n", headers={"Content-Type": "text/csv"})["predictions"] == expected
    inputs = [{"name": n, "shape": [1], "datatype": t, "data": [record[n]]} for n, t in [("hour", "INT64"), ("origin", "BYTES"), ("distance", "INT64")]]
    assert same("/v2/models/delay/infer", json={"inputs": inputs})["outputs"][0]["data"] == expected
    client = tritonclient.grpc.InferenceServerClient(server.url.removeprefix("http://"))
    tensors = [tritonclient.grpc.InferInput(n, [1], t) for n, t in [("hour", "INT64"), ("origin", "BYTES"), ("distance", "INT64")]]
    for tensor in tensors:
        value = record[tensor.name()]
        tensor.set_data_from_numpy(numpy.array([value], dtype=object if isinstance(value, str) else numpy.int64))
    assert client.infer("delay", tensors).as_numpy("probability")[0] == numpy.float32(expected[0])
    assert [i.name for i in client.get_model_metadata("delay").inputs] == ["distance", "hour", "origin"]
    for wrong, why in [({"distance": 700, "hour": 7}, "'origin' is missing"), ({**record, "late_share": 0.5}, "is looked up in 'airport_recent'"),
                       ({**record, "origin": 7}, "wants text")]:
        answer = server.post("/endpoints/delay/invocations", json={"dataframe_records": [wrong]})
        assert answer.status_code == 400 and why in answer.json()["error"]


def test_a_bad_version_never_takes_the_place_of_a_good_one(trained, server):
    """Two rows of one key and time: what was served goes on, and the reason is told; the next good version is taken."""
    good = know(trained, START + pandas.Timedelta(days=8))
    serve_version(server, good)
    record = [{"distance": 700, "hour": 7, "origin": "JFK"}]
    before = server.post("/endpoints/delay/invocations", json={"dataframe_records": record}).json()
    frame = recent()
    write(trained, "recent.parquet", pandas.concat([frame, frame.tail(1)]))
    trained.sluice("run", "airport_recent")
    wait_until(lambda: "two rows of one key and time" in server.logs(), what="the refusal")
    failed = trained.sluice("run", "joined", status=1)
    assert "'airport_recent' has two rows of one key and time" in failed.stderr
    answer = server.post("/endpoints/delay/invocations", json={"dataframe_records": record})
    assert answer.json() == before
    shown = trained.json("show", f"prediction:{answer.headers['X-Sluice-Prediction-Id']}")
    assert shown["looked_up"] == {"airport_recent": good}
    serve_version(server, know(trained, START + pandas.Timedelta(days=9)))


def test_definitions_are_checked(program, tmp_path):
    Project(tmp_path).sluice("init")

    def refused(change, why):
        text = YAML
        for old, new in change.items():
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "sluice.yaml").write_text(text)
        done = Project(tmp_path).sluice("run", "-n", status=2)
        assert why in done.stderr, done.stderr
    refused({"features: {from: airport_recent, key: origin}": "features: {from: airport_recent, key: distance}"}, "which no step joins by that key")
    refused({"late_share: $default": "lat_share: 1"}, "is not among the columns")
    refused({" time: known_at,": ""}, "'at' and 'time' belong together")
    refused({"columns: [late_share,": "columns: [late_share, late_share,"}, "is listed twice")
    refused({"columns: [late_share,": "columns: [late_share, origin,"}, "is what the rows have already")


def test_a_model_without_the_lookup_is_not_served(trained):
    """A version that learnt from something else never answers with looked-up values."""
    other = YAML.replace("  features: {sql: \"SELECT *, hour(date) AS hour FROM joined\"}",
                         "  features: {sql: \"SELECT *, hour(date) AS hour, 0.1 AS late_share, 1 AS flights_seen, 'calm' AS sky FROM flights\"}")
    project = Project(trained.root.parent / "other")
    (project.root / "data").mkdir(parents=True)
    project.write("sluice.yaml", other)
    project.sluice("init", status=None)
    write(project, "flights.parquet", flights())
    write(project, "recent.parquet", recent())
    project.sluice("run")
    told = project.json("up", "--port", 0)
    try:
        answer = requests.post(told["url"] + "/endpoints/delay/invocations", json={"dataframe_records": [{"distance": 1, "hour": 2, "origin": "JFK"}]}, timeout=30)
        assert answer.status_code == 503 and "was not trained with a lookup of 'airport_recent'" in json.dumps(answer.json())
    finally:
        project.sluice("down")


def test_explanations_are_logged_as_the_caller_got_them(trained, server):
    """With the columns that were looked up, without those that the log drops."""
    records = [{"distance": 700, "hour": 7, "origin": "JFK"}, {"distance": 90, "hour": 23, "origin": None}]
    answer = server.post("/v1/models/delay:explain", json={"instances": records})
    assert answer.status_code == 200, answer.text
    got = answer.json()["explanations"]
    assert set(got[0]["shap_values"]) == {"distance", "hour", *LOOKED_UP}
    shown = trained.json("show", f"prediction:{answer.headers['X-Sluice-Prediction-Id']}")
    for row, explanation in zip(shown["rows"], got, strict=True):
        explanation["shap_values"].pop("hour")
        assert row["explanation"]["base_value"] == pytest.approx(explanation["base_value"], rel=1e-7)
        assert row["explanation"]["shap_values"] == pytest.approx(explanation["shap_values"], rel=1e-7, abs=1e-12)
    _, outputs = ask(server, flights().head(1))
    plain = trained.json("ls", "predictions")
    assert outputs and "explanation" not in trained.json("show", f"prediction:{(plain['items'] if isinstance(plain, dict) else plain)[0]['id']}")["rows"][0]
