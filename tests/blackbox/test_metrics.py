"""/metrics: the exposition format by the letter, and counters that agree with what was asked and never go backwards."""
import os
import re
import signal

import pytest

from conftest import Project, wait_until

PROJECT = """
project: metrics
sources: {raw: raw.csv}
steps:
  fit: {train: {algorithm: xgboost, data: raw, target: y, features: [x, c], rounds: 3}}
models:
  m: {from: fit, promote: auto}
endpoints:
  e: {model: m@champion}
  quiet: {model: m@champion, log: none}
monitors:
  inputs: {endpoint: e, window: 1h, psi: {alarm: 0.5}}
"""
SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)')
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"')


def parse(text):
    """{(name, labels): value}; refuses whatever Prometheus's text format 0.0.4 does not allow."""
    assert text.endswith("\n")
    types, helps, values, finished, current = {}, {}, {}, set(), None
    for line in text.splitlines():
        if line.startswith("# "):
            kind, name, rest = line[2:].split(" ", 2)
            table = {"HELP": helps, "TYPE": types}[kind]
            assert name not in table, f"{name} twice"
            table[name] = rest
            assert kind != "TYPE" or rest in ("counter", "gauge", "histogram")
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        name, labels = match[1], tuple(sorted(LABEL.findall(match[2] or "")))
        assert len(dict(labels)) == len(labels), line
        family = name if name in types else re.sub(r"_(bucket|sum|count)$", "", name)
        assert types[family] != "counter" or family.endswith(("_total", "_info")), line
        assert (types[family] == "histogram") == (family != name), line
        if family != current:  # all lines of a family stand together
            assert family not in finished, line
            finished.add(current)
            current = family
        assert (name, labels) not in values, line
        values[name, labels] = float(match[3])
        assert types[family] == "gauge" or values[name, labels] >= 0
    assert set(types) == set(helps)
    check_histograms(types, values)
    return types, values


def check_histograms(types, values):
    for family in (name for name, kind in types.items() if kind == "histogram"):
        series = {}
        for (name, labels), value in values.items():
            if name == family + "_bucket":
                rest = tuple(label for label in labels if label[0] != "le")
                series.setdefault(rest, []).append((float(dict(labels)["le"]), value))
        assert series
        for labels, buckets in series.items():
            assert buckets == sorted(buckets) and [v for _, v in buckets] == sorted(v for _, v in buckets), labels
            assert buckets[-1][0] == float("inf") and buckets[-1][1] == values[family + "_count", labels]
            assert (family + "_sum", labels) in values


@pytest.fixture(scope="module")
def server(program, tmp_path_factory):
    root = tmp_path_factory.mktemp("metrics") / "project"
    root.mkdir()
    project = Project(root)
    project.write("raw.csv", "x,c,y\n" + "".join(f"{i % 50},{'ab'[i % 2]},{int(i % 50 > 20)}\n" for i in range(400)))
    project.write("sluice.yaml", PROJECT)
    project.sluice("init")
    project.sluice("run")
    with project.up() as running:
        yield running


def scrape(server):
    return parse(server.get("/metrics").text)


def value(values, name, **labels):
    return sum(v for (n, have), v in values.items() if n == name and set(labels.items()) <= set(have))


def predict(server, rows, category="a", endpoint="e"):
    return server.post(f"/endpoints/{endpoint}/invocations", json={"dataframe_records": [{"x": i, "c": category} for i in range(rows)]}).status_code


def test_counts_agree_with_what_was_asked(server):
    assert [predict(server, 1), predict(server, 7, "zzz"), predict(server, 2, endpoint="quiet")] == [200] * 3
    assert server.post("/endpoints/e/invocations", json={"dataframe_records": [{"nothing": 1}]}).status_code == 400
    assert server.post("/endpoints/e/invocations", data=b"x", headers={"Content-Type": "text/plain"}).status_code == 415
    _, values = scrape(server)
    on_e = {"endpoint": "e", "version": "1"}
    assert value(values, "sluice_predictions_total", status="200", **on_e) == 2
    assert value(values, "sluice_predictions_total", status="400", **on_e) == 1
    assert value(values, "sluice_predictions_total", status="415", **on_e) == 1
    assert value(values, "sluice_predictions_total", endpoint="quiet") == 1
    assert value(values, "sluice_prediction_rows_total", **on_e) == 8
    assert value(values, "sluice_prediction_unseen_total", **on_e) == 7
    stages = ("parse", "queue", "compute", "write")
    for phase in (*stages, "request"):
        assert value(values, "sluice_prediction_duration_seconds_count", phase=phase, **on_e) == 2
    parts = sum(value(values, "sluice_prediction_duration_seconds_sum", phase=phase, **on_e) for phase in stages)
    assert parts == pytest.approx(value(values, "sluice_prediction_duration_seconds_sum", phase="request", **on_e), rel=1e-6) and parts > 0
    assert value(values, "sluice_prediction_log_end_offset", endpoint="e") == 2
    wait_until(lambda: value(scrape(server)[1], "sluice_http_requests_total", role="infer") >= 5, what="the role's own figures")


def test_no_counter_goes_backwards_when_its_role_is_killed(server):
    predict(server, 3)
    wait_until(lambda: value(scrape(server)[1], "sluice_http_requests_total", role="infer") > 0, what="the role's own figures")
    types, before = scrape(server)
    role = lambda: next(r for r in server.project.json("status")["roles"] if r["name"] == "infer")
    pid = role()["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: (now := role())["state"] == "ready" and now["pid"] != pid, what="the restart")
    answer = server.post("/endpoints/e/invocations", json={"dataframe_records": [{"x": 1, "c": "a"}] * 3})
    assert answer.status_code == 200, answer.text
    _, after = scrape(server)
    for key, old in before.items():
        if types.get(key[0], "histogram") != "gauge":
            assert after[key] >= old, key
    assert value(after, "sluice_predictions_total", endpoint="e", status="200") == value(before, "sluice_predictions_total", endpoint="e", status="200") + 1


def test_a_damaged_file_of_counters_is_replaced(server):
    path = server.project.root / ".sluice/serving.stats"
    server.project.sluice("down")
    path.write_bytes(b"SLSTAT01" + b"\xff" * 1000)
    with server.project.up() as again:
        assert predict(again, 1) == 200
        assert value(scrape(again)[1], "sluice_predictions_total", endpoint="e", status="200") == 1
