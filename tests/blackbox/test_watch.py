"""Monitors, labels and triggers: windows compared with pandas and scikit-learn on the same rows, with the worker killed in between."""
import datetime
import json
import os
import signal

import numpy as np
import pandas as pd
import pytest
import requests
from scipy.stats import chi2_contingency, wasserstein_distance
from sklearn.metrics import log_loss, roc_auc_score

from conftest import wait_until

DAYS, PER_DAY = 12, 400
START = datetime.datetime(2001, 3, 1)

YAML = """
project: watch
params: {train_until: 2001-03-04, rounds: 20}
sources: {trips: data/trips.csv}
steps:
  trip_rows: {sql: sql/rows.sql}
  fit:
    train: {algorithm: xgboost, data: trip_rows, where: "moment < $train_until", target: late, features: [distance, kind], rounds: $rounds, max_depth: 3}
models:
  trip: {from: fit, evaluate: {data: trip_rows, where: "moment >= $train_until", target: late}, gate: ["log_loss <= 2"], promote: auto}
endpoints:
  trip: {model: trip@champion, log: all, key: id, time: moment, extra: ignore}
monitors:
  inputs:  {endpoint: trip, window: 1d, psi: {warn: 0.1, alarm: 0.25}, unseen: {alarm: 0.2}}
  quality: {endpoint: trip, labels: truth, window: 3d, every: 1d, lateness: 1d, for: 1d, calibration_gap: {alarm: 0.15}, auc: {min: 0.55}}
triggers:
  again: {on: quality.alarm, run: trip, set: {train_until: $event.from}}
"""


def make_rows():
    """Late trips depend on the distance until day 7; from then on hardly any is late."""
    random = np.random.default_rng(7)
    n = DAYS * PER_DAY
    minute = np.sort(random.integers(0, DAYS * 24 * 60, n))
    distance = random.integers(1, 1000, n)
    kind = random.choice(["bus", "train", "ship"], n)
    late = (random.random(n) < np.where(minute < 7 * 1440, 0.2 + 0.6 * (distance > 500), 0.03)).astype(int)
    at = [START + datetime.timedelta(minutes=int(m)) for m in minute]
    return pd.DataFrame({"id": np.arange(n), "moment": at, "distance": distance, "kind": kind, "late": late})


@pytest.fixture
def trips(project):
    rows = make_rows()
    project.write("sluice.yaml", YAML)
    project.write("sql/rows.sql", "select id, moment, distance, kind, late from trips order by id")
    (project.root / "data").mkdir()
    rows.to_csv(project.root / "data" / "trips.csv", index=False)
    project.sluice("init")
    project.sluice("run", "trip")
    return rows


def answers(server, rows):
    """Predictions of all rows, in order, through /invocations in pieces."""
    out = []
    for start in range(0, len(rows), 300):
        piece = rows.iloc[start:start + 300]
        body = {"dataframe_split": {"columns": ["id", "moment", "distance", "kind"],
                                    "data": [[int(r.id), r.moment.isoformat(), int(r.distance), r.kind] for r in piece.itertuples()]}}
        done = server.post("/invocations", json=body)
        assert done.status_code == 200, done.text
        out += [p if isinstance(p, float) else list(p.values())[0] for p in done.json()["predictions"]]
    return np.array(out)


def post_labels(server, rows, delay=datetime.timedelta(days=1)):
    labels = [{"key": int(r.id), "value": int(r.late), "time": (r.moment + delay).isoformat()} for r in rows.itertuples()]
    for start in range(0, len(labels), 1000):
        done = server.post("/api/v1/labels/truth", json={"labels": labels[start:start + 1000]}, headers={"Authorization": f"Bearer {server.token}"})
        assert done.status_code == 200, done.text


def windows_of(project, monitor):
    shown = project.json("show", f"monitor:{monitor}", "--limit", 100)
    return {w["to"]: w for w in shown["windows"]}, shown


def test_windows_equal_an_independent_computation(project, trips):
    with project.up() as server:
        half = len(trips) // 2
        first = answers(server, trips.iloc[:half])
        post_labels(server, trips.iloc[:half])
        wait_until(lambda: windows_of(project, "quality")[0], what="the first window")
        os.kill(server.role_pid("worker"), signal.SIGKILL)  # it must go on where it was, counting nothing twice
        # labels in another order than the predictions
        second = answers(server, trips.iloc[half:])
        post_labels(server, trips.iloc[half:])
        last = (START + datetime.timedelta(days=DAYS)).isoformat() + "Z"
        wait_until(lambda: last in windows_of(project, "quality")[0] or len(windows_of(project, "quality")[0]) >= DAYS - 3, what="all windows")
        windows, shown = windows_of(project, "quality")
        versions = json.dumps(shown)
    trips = trips.assign(p=np.concatenate([first, second]))
    assert len(windows) >= DAYS - 3, versions
    for to, window in windows.items():
        end = pd.Timestamp(to).tz_localize(None)
        inside = trips[(trips["moment"] >= end - pd.Timedelta(days=3)) & (trips["moment"] < end)]
        assert window["rows"] == len(inside), to
        assert window["predicted"] == pytest.approx(inside.p.mean(), abs=1e-6)
        assert window["observed"] == pytest.approx(inside.late.mean(), abs=1e-9)


def test_evidence_names_every_statistic(project, trips):
    with project.up() as server:
        p = answers(server, trips)
        post_labels(server, trips)
        wait_until(lambda: len(windows_of(project, "quality")[0]) >= DAYS - 3, what="all windows")
        evidence = project.json("show", "monitor:quality")["latest"]
        inputs = project.json("show", "monitor:inputs", "--limit", 100)
    end = pd.Timestamp(evidence["to"]).tz_localize(None)
    inside = trips.assign(p=p)[(trips["moment"] >= end - pd.Timedelta(days=3)) & (trips["moment"] < end)]
    statistics = {s["name"]: s for s in evidence["statistics"]}
    assert statistics["auc"]["value"] == pytest.approx(roc_auc_score(inside.late, inside.p), abs=statistics["auc"]["error_bound"] + 1e-9)
    assert statistics["calibration_gap"]["value"] == pytest.approx(abs(inside.p.mean() - inside.late.mean()), abs=1e-6)
    assert statistics["calibration_gap"]["level"] == "alarm"
    assert evidence["unlabelled"] == 0
    assert len(inputs["windows"]) == DAYS - 1 and inputs["level"] == "ok"


def test_an_alarm_retrains_once_and_the_pin_stays(project, trips):
    with project.up() as server:
        answers(server, trips)
        post_labels(server, trips)
        wait_until(lambda: any(f["status"] == "done" for f in project.json("ls", "firings")["items"]), seconds=90, what="the trigger's run")
        firings = project.json("ls", "firings")["items"]
        versions = project.json("ls", "models", "trip")["items"]
    assert [f["status"] for f in firings].count("done") == 1
    assert len(versions) == 2
    assert [pin.split("=")[0] for pin in project.json("status")["pinned"]] == ["train_until"]
    # A run by hand keeps to the pinned window: nothing is stale.
    assert "up to date" in project.sluice("run", "trip").stdout + project.sluice("run", "trip").stderr


def test_an_unseen_category_is_named(project, trips):
    broken = trips.assign(kind=np.where(trips["moment"] >= START + datetime.timedelta(days=5), "rocket", trips.kind))
    with project.up() as server:
        answers(server, broken)
        wait_until(lambda: project.json("show", "monitor:inputs")["level"] == "alarm", what="the alarm")
        latest = project.json("show", "monitor:inputs")["latest"]
    assert latest["statistics"][0]["column"] == "kind"
    assert {s["name"] for s in latest["statistics"] if s["level"] == "alarm"} >= {"psi", "unseen"}


@pytest.mark.parametrize("body, where", [
    ({"labels": [{"key": 1}]}, "labels[0]"),
    ({"labels": [{"key": 1, "value": 1}, {"value": 1}]}, "labels[1]"),
    ({"labels": [{"key": 1, "value": 1, "colour": "red"}]}, "labels[0]"),
    ({"labels": [{"key": 1, "value": 1, "time": "tomorrow"}]}, "labels[0]"),
    ({"labels": [{"key": "", "value": 1}]}, "labels[0]"),
])
def test_bad_labels_are_refused_whole(project, body, where):
    project.write("sluice.yaml", "project: x\nsteps: {s: {run: [/bin/true]}}\n")
    project.sluice("init")
    with project.up() as server:
        done = server.post("/api/v1/labels/truth", json=body, headers={"Authorization": f"Bearer {server.token}"})
        assert done.status_code == 400 and done.json()["error"]["where"] == where, done.text
        assert requests.post(server.url + "/api/v1/labels/truth", json={"labels": []}, timeout=30).status_code == 401


def test_the_file_overtakes_a_pin_and_looking_changes_nothing(project):
    project.write("sluice.yaml", "project: x\nparams: {n: 1}\nsteps: {s: {run: [/bin/true, $n]}}\n")
    project.sluice("init")
    project.sluice("run", "n=2", "--pin")
    assert project.json("status")["pinned"] == ["n=2"]
    assert "up to date" in project.sluice("run").stdout
    project.write("sluice.yaml", "project: x\nparams: {n: 3}\nsteps: {s: {run: [/bin/true, $n]}}\n")
    entries = len(project.json("ls", "ledger", "--limit", 1000)["items"])
    with project.up() as server:
        assert server.get("/").status_code == 200
    project.sluice("status")
    project.sluice("run", "-n")
    assert len(project.json("ls", "ledger", "--limit", 1000)["items"]) == entries
    project.sluice("run")
    assert project.json("status").get("pinned", []) == []


DRIFT = """
  wide: {endpoint: trip, window: 1d, hellinger: 0.9, total_variation: 0.9, ks: 0.9, wasserstein: 9, ks_p: {min: 0.001}, chi_square_p: {min: 0.001},
         estimated_error_rate: 0.9, estimated_auc: {min: 0.1}, estimated_log_loss: 9, estimated_brier: 0.9}
  other: {endpoint: trip, window: 1d, reference: trip_rows, psi: 9, total_variation: 9, missing: 0.5}
  parts: {endpoint: trip, window: 2d, every: 1d, segment: kind, columns: [distance], ks: {alarm: 0.4}}
"""


def shares(edges, values):
    return np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1) / len(values)


def statistics_of(project, monitor):
    latest = project.json("show", f"monitor:{monitor}", "--limit", 100)["latest"]
    end = pd.Timestamp(latest["to"]).tz_localize(None)
    return latest, end, {(s.get("segment"), s.get("column"), s["name"]): s for s in latest["statistics"]}


def test_distances_tests_estimates_references_and_segments(project, trips):
    """Ships go twice as far from day 8 on; everything is computed again from the rows."""
    moved = trips.assign(distance=np.where((trips.kind == "ship") & (trips.moment >= START + datetime.timedelta(days=8)), trips.distance + 700, trips.distance))
    project.write("sluice.yaml", YAML.replace("triggers:", DRIFT.strip("\n") + "\ntriggers:"))
    project.sluice("run")
    project.sluice("profile", "trip_rows")
    with project.up() as server:
        p = answers(server, moved)
        last = (START + datetime.timedelta(days=DAYS - 1)).isoformat() + "Z"
        for monitor in ("wide", "other", "parts"):
            wait_until(lambda: last in windows_of(project, monitor)[0], what=f"the last window of {monitor}")
        wide, other, parts = (statistics_of(project, monitor) for monitor in ("wide", "other", "parts"))
    _, end, got = wide
    inside = ((moved.moment >= end - pd.Timedelta(days=1)) & (moved.moment < end)).to_numpy()
    training = trips[trips.moment < pd.Timestamp("2001-03-04")]
    ordered = np.sort(training.distance)
    edges = np.unique([ordered[(len(ordered) * d - 1) // 10] for d in range(1, 10)])
    a, b = shares(edges, training.distance), shares(edges, moved.distance[inside])
    value = lambda name, column="distance": got[None, column, name]["value"]
    assert value("hellinger") == pytest.approx(np.sqrt(((np.sqrt(a) - np.sqrt(b)) ** 2).sum() / 2), rel=1e-6)
    assert value("total_variation") == pytest.approx(np.abs(a - b).sum() / 2, rel=1e-6)
    assert value("ks") == pytest.approx(np.abs(np.cumsum(a) - np.cumsum(b)).max(), rel=1e-6)
    spread = moved.distance[inside].to_numpy(float)
    spread[spread > edges[-1]] = np.linspace(edges[-1], training.distance.max(), (spread > edges[-1]).sum())  # all that is known of the last bin
    assert value("wasserstein") == pytest.approx(wasserstein_distance(training.distance, spread) / training.distance.std(), rel=0.02)
    kinds = sorted(training.kind.unique())
    table = [[(side == k).sum() for k in kinds] for side in (training.kind, moved.kind[inside])]
    raw = {("distance", "chi_square_p"): chi2_contingency([np.round(a * len(training)), np.round(b * inside.sum())]).pvalue,
           ("kind", "chi_square_p"): chi2_contingency(table, correction=False).pvalue}
    p_columns = [c for s, c, n in got if n == "chi_square_p"]
    assert set(p_columns) == {"distance", "kind", "prediction"} and value("chi_square_p") <= 3 * raw["distance", "chi_square_p"] * 1.0001
    assert value("chi_square_p", "kind") == pytest.approx(raw["kind", "chi_square_p"], rel=1e-6)  # the greatest of three is not changed by the correction
    assert got[None, "distance", "chi_square_p"]["level"] == "alarm"
    q = p[inside]
    for name, expected in (("error_rate", np.where(q >= 0.5, 1 - q, q).mean()), ("brier", (q * (1 - q)).mean()),
                           ("log_loss", -(q * np.log(q) + (1 - q) * np.log(1 - q)).mean())):
        assert got[None, None, f"estimated_{name}"]["value"] == pytest.approx(expected, rel=1e-5)
    weights = roc_auc_score(np.repeat([1, 0], len(q)), np.tile(q, 2), sample_weight=np.concatenate([q, 1 - q]))
    auc = got[None, None, "estimated_auc"]
    assert auc["value"] == pytest.approx(weights, abs=auc["error_bound"] + 1e-6)

    got = other[2]
    quantiles = np.sort(trips.distance)[np.ceil(np.arange(10, 100, 10) / 100 * len(trips)).astype(int) - 1]
    a, b = np.array([0.1] * 10), shares(np.unique(quantiles), moved.distance[inside])
    assert value("total_variation") == pytest.approx(np.abs(a - b).sum() / 2, abs=0.012)  # the profile knows whole percents
    assert value("total_variation", "kind") == pytest.approx(
        np.abs(trips.kind.value_counts(normalize=True) - moved.kind[inside].value_counts(normalize=True)).sum() / 2, rel=1e-6)

    latest, _, got = parts
    assert latest["level"] == "alarm" and got["ship", "distance", "ks"]["level"] == "alarm"
    assert ("bus", "distance", "ks") not in got and got[None, "distance", "ks"]["level"] == "ok"


@pytest.mark.parametrize("monitor, said", [
    ("{endpoint: trip, window: 1d, labels: truth, psi: 0.1}", "'psi' is of inputs"),
    ("{endpoint: trip, window: 1d, labels: truth, reference: trips, auc: {min: 0.5}}", "'reference' and 'segment' are of inputs"),
])
def test_monitors_that_make_no_sense_are_refused(project, monitor, said):
    project.sluice("init")
    project.write("sql/rows.sql", "select 1")
    project.write("sluice.yaml", YAML.replace("  inputs:", f"  wrong: {monitor}\n  inputs:"))
    assert said in project.sluice("run", "-n", status=2).stderr
