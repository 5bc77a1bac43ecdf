"""sluice drift: statistics beside numpy and scipy on the same rows, decisions, segments, the page, and an endpoint's traffic."""
import html.parser
import json

import numpy as np
import pandas as pd
import pytest
import scipy.spatial.distance
import scipy.stats
import sklearn.metrics
from sklearn.ensemble import IsolationForest

from test_watch import answers, make_rows, YAML

HOSTILE = '<img src=x onerror="alert(1)">\'&]]>'


def make_sides(rows=5000):
    random = np.random.default_rng(3)

    def side(shift, share):
        return pd.DataFrame({
            "same": random.normal(0, 1, rows),
            "moved": random.normal(shift, 1, rows),
            "whole": random.poisson(3 + 2 * shift, rows),
            "city": random.choice(["ams", "ber", "cph", "dub"], rows, p=[share, 0.5 - share, 0.3, 0.2]),
            "region": random.choice(["north", "south"], rows),
            HOSTILE: random.choice(["a", HOSTILE], rows),
            "gone": np.where(random.random(rows) < 0.02 + shift / 2, np.nan, random.normal(5, 2, rows)),
            "steady": random.choice([True, False], rows),
            "at": pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 10**6, rows), unit="s") + pd.Timedelta(days=300 * shift),
        })
    reference, current = side(0, 0.3), side(0.4, 0.1)
    south = current["region"] == "south"
    current.loc[south, "same"] = random.normal(2, 1, south.sum())
    current.loc[:99, "city"] = "new"
    return reference, current


@pytest.fixture(scope="module")
def compared(program, tmp_path_factory):
    from conftest import Project
    root = tmp_path_factory.mktemp("drift") / "project"
    root.mkdir()
    project = Project(root)
    (root / "data").mkdir()
    reference, current = make_sides()
    reference.to_parquet(root / "data" / "was.parquet")
    current.to_parquet(root / "data" / "is.parquet")
    project.write("sluice.yaml", "project: drift\nsources: {was: data/was.parquet, is: data/is.parquet}\n")
    project.sluice("init")
    project.sluice("run")
    return project, reference, current


def columns_of(report):
    return {column["name"]: column for column in report["columns"]}


def number_bins(reference, current):
    """Counts in the bins that the definition says: cut at the reference's deciles, the unseen (none of numbers) and the missing behind them."""
    present, n = np.sort(reference.dropna()), reference.notna().sum()
    edges = np.unique([present[int(np.ceil(n * d / 10)) - 1] for d in range(1, 10)])
    edges = edges[edges < present[-1]]
    return [np.append(np.bincount(np.searchsorted(edges, side.dropna(), side="left"), minlength=len(edges) + 1), [0, side.isna().sum()]) for side in (reference, current)]


def text_bins(reference, current):
    values = sorted(reference.unique())
    return [np.array([(side == v).sum() for v in values] + [(~side.isin(values)).sum(), 0]) for side in (reference, current)]


def check_bins(column, p_counts, q_counts):
    p, q = p_counts / p_counts.sum(), q_counts / q_counts.sum()
    floored = [np.maximum(x, 1e-4) / np.maximum(x, 1e-4).sum() for x in (p, q)]
    got = column["statistics"]
    assert got["psi"] == pytest.approx(((floored[1] - floored[0]) * np.log(floored[1] / floored[0])).sum(), rel=1e-9, abs=1e-12)
    assert got["js"] == pytest.approx(scipy.spatial.distance.jensenshannon(p, q, base=2), rel=1e-6, abs=1e-7)
    assert got["hellinger"] == pytest.approx(np.sqrt(((np.sqrt(p) - np.sqrt(q))**2).sum() / 2), rel=1e-9, abs=1e-12)
    assert got["total_variation"] == pytest.approx(np.abs(p - q).sum() / 2, rel=1e-9, abs=1e-12)


def test_statistics_are_those_of_scipy(compared):
    project, reference, current = compared
    columns = columns_of(project.json("drift", "was", "is", "--correction", "none"))
    for name in ("same", "moved", "whole", "gone", "steady"):
        a, b = reference[name].astype(float), current[name].astype(float)
        check_bins(columns[name], *number_bins(a, b))
        got, present = columns[name]["statistics"], (a.dropna(), b.dropna())
        ks = scipy.stats.ks_2samp(*present, method="asymp")
        assert got["ks"] == pytest.approx(ks.statistic, abs=1e-12)
        assert columns[name]["p"]["values"] == pytest.approx(ks.pvalue, rel=0.02, abs=1e-12)
        assert got["wasserstein"] == pytest.approx(scipy.stats.wasserstein_distance(*present) / a.std(ddof=0), rel=1e-9)
        assert got["missing"] == pytest.approx(abs(a.isna().mean() - b.isna().mean()))
        assert got["out_of_range"] == pytest.approx(((present[1] < a.min()) | (present[1] > a.max())).mean())
        missing = [[a.notna().sum(), a.isna().sum()], [b.notna().sum(), b.isna().sum()]]
        expected = scipy.stats.chi2_contingency(missing, correction=False).pvalue if np.sum(missing, axis=0)[1] else 1
        assert columns[name]["p"]["missing"] == pytest.approx(expected, rel=1e-9)
    for name in ("city", HOSTILE):
        p, q = text_bins(reference[name], current[name])
        check_bins(columns[name], p, q)
        table = np.array([p, q])[:, (p + q) > 0]
        expected = scipy.stats.chi2_contingency(table, correction=False)
        assert columns[name]["statistics"]["chi_square"] == pytest.approx(expected.statistic, rel=1e-9)
        assert columns[name]["p"]["values"] == pytest.approx(expected.pvalue, rel=1e-9)
    assert columns["city"]["statistics"]["unseen"] == pytest.approx((current["city"] == "new").mean())


def test_p_values_are_corrected(compared):
    project, _, _ = compared
    raw = [(c["name"], t, p) for c in project.json("drift", "was", "is")["columns"] if c["judged"] for t, p in c["p"].items()]
    expected = scipy.stats.false_discovery_control([p for _, _, p in raw])
    corrected = columns_of(project.json("drift", "was", "is"))
    bonferroni = columns_of(project.json("drift", "was", "is", "--correction", "bonferroni"))
    for (name, test, p), q in zip(raw, expected):
        assert corrected[name]["p_corrected"][test] == pytest.approx(q, rel=1e-9)
        assert bonferroni[name]["p_corrected"][test] == pytest.approx(min(1, p * len(raw)), rel=1e-9)


def test_levels_and_exit_status(compared):
    project, _, _ = compared
    report = project.json("drift", "was", "is")
    columns = columns_of(report)
    assert columns["moved"]["level"] == "alarm" and columns["gone"]["level"] != "ok" and columns["city"]["level"] == "alarm"
    assert columns["steady"]["level"] == "ok" and columns["region"]["level"] == "ok"
    assert not columns["at"]["judged"] and columns["at"]["level"] == "ok"
    assert report["judged"] == 8 and report["drifted"] == sum(c["level"] != "ok" for c in report["columns"])
    assert not project.json("drift", "was", "was")["drifted"]
    project.sluice("drift", "was", "was", "--fail", "warn", status=0)
    project.sluice("drift", "was", "is", "--fail", "alarm", status=1)
    project.sluice("drift", "was", "is", "--fail", "dataset", "--share", 1, status=0)
    eased = project.json("drift", "was", "is", "-c", "moved", "-b", "psi=9", "-b", "js=9", "-b", "ks=9", "-b", "wasserstein=0.1:9", "-b", "hellinger=9",
                         "-b", "total_variation=9", "-b", "out_of_range=1")
    assert [(c["name"], c["level"], c["worst"]) for c in eased["columns"]] == [("moved", "warn", "wasserstein")]


def test_chance_raises_no_level(project):
    """Sixty rows per decile differ by chance alone; thirty columns give thirty chances."""
    random = np.random.default_rng(11)
    (project.root / "data").mkdir()
    for name in ("a", "b"):
        pd.DataFrame({f"c{i}": random.normal(size=600) for i in range(30)}).to_parquet(project.root / "data" / f"{name}.parquet")
    project.write("sluice.yaml", "project: x\nsources: {a: data/a.parquet, b: data/b.parquet}\n")
    project.sluice("init")
    project.sluice("run")
    strict = ["-b", "psi=0.001", "-b", "js=0.001"]
    assert project.json("drift", "a", "b", *strict)["drifted"] == 0
    assert project.json("drift", "a", "b", *strict, "--correction", "none", "--alpha", 1)["drifted"] == 30


def test_segments_show_what_the_whole_hides(compared):
    project, reference, current = compared
    report = project.json("drift", "was", "is", "-s", "region", "-c", "same")
    segments = {segment["segment"]: segment for segment in report["segments"]}
    assert set(segments) == {"north", "south"}
    for region, segment in segments.items():
        a, b = reference[reference.region == region]["same"], current[current.region == region]["same"]
        assert (segment["reference_rows"], segment["current_rows"]) == (len(a), len(b))
        assert segment["columns"][0]["statistics"]["ks"] == pytest.approx(scipy.stats.ks_2samp(a, b).statistic, abs=0.009)
    assert segments["north"]["columns"][0]["level"] == "ok" and segments["south"]["columns"][0]["level"] == "alarm"


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attributes]


def test_the_page_stands_alone_and_escapes(compared):
    project, _, _ = compared
    project.sluice("drift", "was", "is", "-s", HOSTILE, "--html", "report.html")
    text = (project.root / "report.html").read_text()
    page = Page(text)
    assert not {"script", "img", "link", "iframe"} & set(page.tags) and "onerror" not in page.attributes
    assert page.tags.count("svg") == 9 and "http" not in text.replace("http-equiv", "")
    project.sluice("drift", "was", "is", "-s", HOSTILE, "--html", "again.html")
    assert text == (project.root / "again.html").read_text()


def test_what_cannot_be_compared_is_said(compared):
    project, _, _ = compared
    assert "did you mean 'moved'" in project.sluice("drift", "was", "is", "-c", "mved", status=2).stderr
    assert "did you mean 'psi'" in project.sluice("drift", "was", "is", "-b", "ps=1", status=2).stderr
    assert "no bar" in project.sluice("drift", "was", "is", "-b", "psi=2:1", status=2).stderr
    assert "nothing here is called" in project.sluice("drift", "was", "nothing", status=2).stderr
    project.write("data/other.csv", "moved,extra\n" + "x,1\n" * 300)
    project.write("sluice.yaml", "project: drift\nsources: {was: data/was.parquet, is: data/is.parquet, other: data/other.csv}\n")
    project.sluice("run", "other")
    report = project.json("drift", "was", "other")
    assert report["columns"][0]["note"] == "the kinds of values differ" and report["columns"][0]["level"] == "alarm"
    assert report["added"] == ["extra"] and "city" in report["removed"]


def test_traffic_against_training(project):
    """The model's statistics, and its training rows, against what its endpoint answered."""
    rows = make_rows()
    rows.loc[rows.moment >= pd.Timestamp("2001-03-09"), "distance"] *= 2
    project.write("sluice.yaml", YAML)
    project.write("sql/rows.sql", "select id, moment, distance, kind, late from trips order by id")
    (project.root / "data").mkdir()
    rows.to_csv(project.root / "data" / "trips.csv", index=False)
    project.sluice("init")
    project.sluice("run", "trip")
    with project.up() as server:
        given = answers(server, rows)
        early, late = "endpoint:trip@2001-03-01..2001-03-09", "endpoint:trip@2001-03-09.."
        remote = server.get("/api/v1/drift", params={"reference": early, "current": late}, headers={"Authorization": f"Bearer {server.token}"})
        assert remote.status_code == 200, remote.text
        denied = server.get("/api/v1/drift", params={"reference": early, "current": late, "html": "x.html"}, headers={"Authorization": f"Bearer {server.token}"})
        assert denied.status_code == 403
    before = rows.moment < pd.Timestamp("2001-03-09")
    columns = columns_of(remote.json())
    assert columns["prediction"]["role"] == "prediction"
    for side, inside in (("reference", before), ("current", ~before)):
        p = given[inside.to_numpy()]
        got = remote.json()["estimated"][side]
        assert got["error_rate"] == pytest.approx(np.minimum(p, 1 - p).mean(), abs=1e-5)
        assert got["brier"] == pytest.approx((p * (1 - p)).mean(), abs=1e-5)
    for name, values in (("distance", rows.distance), ("prediction", pd.Series(given))):
        ks = scipy.stats.ks_2samp(values[before], values[~before]).statistic
        assert columns[name]["statistics"]["ks"] == pytest.approx(ks, abs=1e-4), name
    report = project.json("drift", "model:trip", late)
    columns = columns_of(report)
    assert report["current_rows"] == (~before).sum() and set(columns) == {"distance", "kind", "prediction"}
    assert columns["distance"]["level"] == "alarm" and columns["kind"]["level"] == "ok" and "wasserstein" not in columns["distance"]["statistics"]
    assert columns["distance"]["statistics"]["out_of_range"] == pytest.approx((rows.distance[~before] > rows.distance[:1200].max()).mean(), abs=0.01)
    assert columns_of(project.json("drift", "trip_rows", early))["kind"]["level"] == "ok"
    assert "no window of time" in project.sluice("drift", early, "endpoint:trip@yesterday", status=2).stderr
    assert "is a model" in project.sluice("drift", early, "model:trip", status=2).stderr


def test_quality_and_calibration_of_both_sides_and_of_segments(project):
    """Beside scikit-learn on the same rows; rows without a label, or with another answer than a probability, do not count."""
    random, sides = np.random.default_rng(8), {}
    (project.root / "data").mkdir()
    for name, shift in (("was", 0), ("is", 0.2)):
        p = random.random(4000).round(3)
        frame = pd.DataFrame({"p": p, "late": (random.random(4000) < np.clip(p - shift, 0, 1)).astype(float), "airline": random.choice(["AA", "UA"], 4000)})
        frame.loc[random.random(4000) < 0.1, "late"] = np.nan
        frame.loc[:20, "p"] = 1.5
        frame.to_parquet(project.root / "data" / f"{name}.parquet")
        sides[name] = frame[(frame.p <= 1) & frame.late.notna()]
    project.write("sluice.yaml", "project: quality\nsources: {was: data/was.parquet, is: data/is.parquet}\n")
    project.sluice("init")
    project.sluice("run")
    arguments = ("drift", "was", "is", "--prediction", "p", "--label", "late", "--segment", "airline")
    report = project.json(*arguments)

    def check(got, rows):
        p, y = rows.p.to_numpy(), rows.late.to_numpy()
        assert got["rows"] == len(rows)
        expected = {"predicted": p.mean(), "observed": y.mean(), "calibration_gap": abs(p.mean() - y.mean()), "error_rate": ((p >= 0.5) != y).mean(),
                    "log_loss": sklearn.metrics.log_loss(y, np.clip(p, 1e-15, 1 - 1e-15)), "brier": sklearn.metrics.brier_score_loss(y, p)}
        for name, value in expected.items():
            assert got[name] == pytest.approx(value, rel=1e-6), name
        assert got["auc"] == pytest.approx(sklearn.metrics.roc_auc_score(y, p), abs=1e-3)
        bins = np.minimum((p * 10).astype(int), 9)
        assert [b["rows"] for b in got["calibration"]] == np.bincount(bins).tolist()
        assert [b["observed"] for b in got["calibration"]] == pytest.approx([y[bins == b].mean() for b in range(10)])
        assert got["ece_10"] == pytest.approx(sum(abs(p[bins == b].sum() - y[bins == b].sum()) for b in range(10)) / len(p))
    for side, name in (("reference", "was"), ("current", "is")):
        check(report["quality"][side], sides[name])
        for segment in report["segments"]:
            check(segment["quality"][side], sides[name][sides[name].airline == segment["segment"]])
    assert report["quality"]["current"]["calibration_gap"] > 0.1 > report["quality"]["reference"]["calibration_gap"]
    assert "measured of the current" in project.sluice(*arguments).stdout
    assert "quality" not in project.json("drift", "was", "is", "--prediction", "p")


@pytest.fixture(scope="module")
def joint(program, tmp_path_factory):
    """The same margins, but two columns that rose together now part; and two in a hundred rows far away."""
    from conftest import Project
    root = tmp_path_factory.mktemp("joint") / "project"
    (root / "data").mkdir(parents=True)
    project, random = Project(root), np.random.default_rng(5)

    def side(correlation, far):
        x = random.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], 6000)
        frame = pd.DataFrame({"x": x[:, 0], "y": x[:, 1], "noise": random.normal(size=6000), "kind": random.choice(["a", "b"], 6000)})
        frame.loc[random.random(6000) < far, ["x", "y", "noise"]] *= 6
        return frame

    sides = {"was": side(0.9, 0), "same": side(0.9, 0), "parted": side(-0.9, 0), "odd": side(0.9, 0.1)}
    for name, frame in sides.items():
        frame.to_parquet(root / "data" / f"{name}.parquet")
    project.write("sluice.yaml", "project: j\nsources: {" + ", ".join(f"{name}: data/{name}.parquet" for name in sides) + "}\n")
    project.sluice("init")
    project.sluice("run")
    return project, sides


def test_a_classifier_sees_what_no_column_shows(joint):
    project, _ = joint
    parted = project.json("drift", "was", "parted", "--classify")
    assert parted["drifted"] == 0 and parted["classifier"]["level"] == "alarm" and parted["classifier"]["low"] > 0.75
    assert {c["name"] for c in parted["classifier"]["columns"][:2]} == {"x", "y"} and sum(c["share"] for c in parted["classifier"]["columns"]) == pytest.approx(1)
    same = project.json("drift", "was", "same", "--classify")["classifier"]
    assert same["level"] == "ok" and same["low"] < 0.5 < same["high"] and same["rows"] == 12000
    n = 3000
    q1, q2 = same["auc"] / (2 - same["auc"]), 2 * same["auc"]**2 / (1 + same["auc"])
    error = np.sqrt((same["auc"] * (1 - same["auc"]) + (n - 1) * (q1 + q2 - 2 * same["auc"]**2)) / n**2)
    assert same["high"] - same["auc"] == pytest.approx(1.96 * error, rel=1e-6)
    assert same == project.json("drift", "was", "same", "--classify")["classifier"]


def test_outliers_are_those_of_scikit_learn(joint):
    project, sides = joint
    names = ["x", "y", "noise"]
    forest = IsolationForest(n_estimators=100, max_samples=256, random_state=1).fit(sides["was"][names])
    bar = np.quantile(-forest.score_samples(sides["was"][names]), 0.99)
    for name in ("same", "parted", "odd"):
        theirs = (-forest.score_samples(sides[name][names]) > bar).mean()
        ours = project.json("drift", "was", name, "--outliers")["outliers"]
        assert ours["share"] == pytest.approx(theirs, abs=0.015), name
        assert ours["rows"] == 6000 and ours["columns"] == 3 and 0.5 < ours["bar"] < 0.8


def test_whole_rows_want_rows(compared):
    project, _, _ = compared
    project.sluice("drift", "was", "is", "-m", "-o", "--html", "joint.html")
    assert "AUC" in (project.root / "joint.html").read_text()
    assert "too little" in project.sluice("drift", "was", "is", "-o", "-c", "city", status=2).stderr
