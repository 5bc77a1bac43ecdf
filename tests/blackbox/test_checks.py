"""Every kind of check against a computation of its own, in Python and numpy, on generated rows."""
import csv
import datetime
import ipaddress
import json
import math
import random
import re
import uuid

import duckdb
import numpy
import pytest

COLUMNS = {"id": "bigint", "a": "bigint", "b": "bigint", "x": "double", "name": "text", "mail": "text", "day": "text", "addr": "text", "doc": "text",
           "uid": "text", "at": "timestamp", "city": "text", "ok": "boolean"}
CITIES = ["Rome", "Oslo", "Lima", "Bern"]


def make_rows(seed, count=4000):
    """Rows as Python values, None for missing: some of everything that the checks look for."""
    dice = random.Random(seed)
    start = datetime.datetime(2026, 1, 1)
    rows = []
    for i in range(count):
        rows.append({
            "id": i if dice.random() > 0.01 else i - 3, "a": dice.randrange(100), "b": dice.randrange(100) if dice.random() > 0.05 else None,
            "x": dice.choice([math.nan, math.inf]) if dice.random() < 0.01 else dice.gauss(10, 3),
            "name": dice.choice([None, " ", "ab", "abc", "Übung", "xyzzy"]),
            "mail": dice.choice(["a.b@example.org", "a@b", "no mail", "x+y@sub.example.com", "@x.org", "a b@example.org"]),
            "day": dice.choice(["2026-02-28", "2026-02-30", "28.02.2026", "2024-02-29", "2026-2-3"]),
            "addr": dice.choice(["10.0.0.1", "256.1.1.1", "::1", "fe80::1:2", "1.2.3", "::ffff:1.2.3.4", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:9", "::g", "01.2.3.4"]),
            "doc": dice.choice(['{"a": 1}', "[1, 2", "null", "{'a': 1}"]),
            "uid": dice.choice([str(uuid.UUID(int=dice.getrandbits(128))), "not-a-uuid", "12345678-1234-1234-1234-1234567890ag"]),
            "at": start + datetime.timedelta(minutes=i if dice.random() > 0.02 else i - 50),
            "city": dice.choice(CITIES + ["Rome"] * 3), "ok": dice.random() < 0.7})
    return rows


def text_of(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"%s"' % value.replace('"', '""')
    return str(value)


def write_csv(path, rows, columns=COLUMNS):
    path.parent.mkdir(exist_ok=True)
    lines = [",".join(columns)] + [",".join(text_of(row[c]) for c in columns) for row in rows]
    path.write_text("\n".join(lines) + "\n")


def is_date(text):
    try:
        return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", text)) and bool(datetime.date.fromisoformat(text))
    except ValueError:
        return False


def is_address(text):
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def is_json(text):
    try:
        json.loads(text)
        return True
    except ValueError:
        return False


def failing_rows(rows):
    """check -> how many rows fail, by the plainest code that says so."""
    finite = [r["x"] for r in rows if math.isfinite(r["x"])]
    ids, repeats, order, previous = {}, 0, 0, None
    for row in rows:
        repeats += row["id"] in ids
        ids[row["id"]] = ids.get(row["id"], 0) + 1
        order += previous is not None and row["at"] <= previous
        previous = row["at"]
    mean, std = numpy.mean(finite), numpy.std(finite, ddof=1)

    def count(test):
        return sum(bool(test(row)) for row in rows)

    return {
        "not_null: [b]": count(lambda r: r["b"] is None),
        "'null': [b]": count(lambda r: r["b"] is not None),
        "unique: [id]": repeats,
        "unique: {columns: [id], every: true}": sum(n for n in ids.values() if n > 1),
        "between: {column: a, min: 10, max: 90}": count(lambda r: not 10 <= r["a"] <= 90),
        "between: {column: a, above: 10, below: 90}": count(lambda r: not 10 < r["a"] < 90),
        "between: {column: x, min: 5, max: 15}": count(lambda r: not 5 <= r["x"] <= 15),
        "in_set: {column: city, values: [Rome, Oslo]}": count(lambda r: r["city"] not in ("Rome", "Oslo")),
        "not_in_set: {column: city, values: [Rome, Oslo]}": count(lambda r: r["city"] in ("Rome", "Oslo")),
        "in_set: {column: a, values: ['1', x]}": count(lambda r: str(r["a"]) != "1"),
        "regex: {column: name, pattern: 'a.c?'}": count(lambda r: r["name"] is not None and not re.fullmatch("a.c?", r["name"])),
        "regex: {column: name, pattern: 'b', part: true}": count(lambda r: r["name"] is not None and not re.search("b", r["name"])),
        "not_regex: {column: name, pattern: 'b', part: true}": count(lambda r: r["name"] is not None and re.search("b", r["name"])),
        "like: {column: name, pattern: 'a%'}": count(lambda r: r["name"] is not None and not r["name"].startswith("a")),
        "not_like: {column: name, pattern: '_b_'}": count(lambda r: r["name"] is not None and re.fullmatch(".b.", r["name"])),
        "length: {column: name, min: 1, max: 4}": count(lambda r: r["name"] is not None and not 1 <= len(r["name"]) <= 4),
        "format: {column: mail, is: email}": count(lambda r: r["mail"] not in ("a.b@example.org", "x+y@sub.example.com")),
        "format: {column: day, is: date}": count(lambda r: not is_date(r["day"])),
        "format: {column: day, is: '%d.%m.%Y'}": count(lambda r: r["day"] != "28.02.2026"),
        "format: {column: addr, is: ip}": count(lambda r: not is_address(r["addr"])),
        "format: {column: addr, is: ipv4}": count(lambda r: not is_address(r["addr"]) or ":" in r["addr"]),
        "format: {column: addr, is: ipv6}": count(lambda r: not is_address(r["addr"]) or ":" not in r["addr"]),
        "format: {column: doc, is: json}": count(lambda r: not is_json(r["doc"])),
        "format: {column: uid, is: uuid}": count(lambda r: not re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", r["uid"])),
        "finite: [x]": count(lambda r: not math.isfinite(r["x"])),
        "compare: {column: a, is: '>=', other: b}": count(lambda r: r["b"] is not None and not r["a"] >= r["b"]),
        "compare: {column: a, is: '!=', other: b}": count(lambda r: r["b"] is not None and r["a"] == r["b"]),
        "pairs: {columns: [city, ok], values: [[Rome, true], [Oslo, false]]}":
            count(lambda r: (r["city"], r["ok"]) not in (("Rome", True), ("Oslo", False))),
        "sums_to: {columns: [a, b], total: 100, tolerance: 20}": count(lambda r: r["b"] is not None and abs(r["a"] + r["b"] - 100) > 20),
        "sums_to: {columns: [a, b], total: id}": count(lambda r: r["b"] is not None and r["a"] + r["b"] != r["id"]),
        "different: [a, b, id]": count(lambda r: len({r["a"], r["id"], r["b"] if r["b"] is not None else "none"}) < 3),
        "holds: a + id > 50": count(lambda r: not r["a"] + r["id"] > 50),
        "z_score: {column: x, max: 2, where: isfinite(x)}": sum(abs((v - mean) / std) > 2 for v in finite),
        "foreign_key: {columns: city, of: cities, keys: town}": count(lambda r: r["city"] in ("Lima", "Bern")),
        "increasing: {column: at, strict: true}": order,
        "decreasing: {column: a, by: city}": sum(
            sum(p < q for p, q in zip(column, column[1:])) for column in ([r["a"] for r in rows if r["city"] == c] for c in CITIES)),
    }


def measured(rows):
    """check that fails -> the number that it tells."""
    a = numpy.array([r["a"] for r in rows], dtype=float)
    b = numpy.array([r["b"] for r in rows if r["b"] is not None], dtype=float)
    newest = max(r["at"] for r in rows)
    return {
        "mean: {column: a, min: 1000}": a.mean(), "median: {column: b, min: 1000}": numpy.median(b), "stdev: {column: a, min: 1000}": a.std(ddof=1),
        "sum: {column: b, max: 0}": b.sum(), "minimum: {column: a, min: 1000}": a.min(), "maximum: {column: b, max: 0}": b.max(),
        "quantile: {column: a, at: 0.9, min: 1000}": numpy.quantile(a, 0.9, method="inverted_cdf"),
        "distinct: {column: a, min: 1000}": len(set(a)), "distinct_share: {column: b, min: 2}": len(set(b)) / len(b),
        "mean: {column: ok, min: 2}": numpy.mean([r["ok"] for r in rows]),
        "mean: {column: a, min: 1000, where: city = 'Oslo'}": numpy.mean([r["a"] for r in rows if r["city"] == "Oslo"]),
        "fresh: {column: at, within: 1h, at: 2026-01-09T00:00}": (datetime.datetime(2026, 1, 9) - newest).total_seconds(),
        "rows: {max: 10}": len(rows), "column_count: {max: 2}": len(COLUMNS),
    }


def declare(checks, more=""):
    return ("project: p\nsources:\n  t: {path: 'data/*.csv', columns: " + json.dumps(COLUMNS) + "}\n  cities: {path: cities.csv}\n" + more
            + "datasets:\n  t:\n    checks:\n" + "".join(f"      - {{{c}, severity: warn}}\n" for c in checks))


@pytest.fixture
def project(project):
    project.write("cities.csv", "town\nRome\nOslo\nParis\n")
    return project


def start(project, checks, rows, more=""):
    project.write("sluice.yaml", declare(checks, more))
    write_csv(project.root / "data" / "t.csv", rows)
    project.sluice("init")
    project.sluice("run")


@pytest.mark.slow
def test_every_row_check_counts_what_plain_code_counts(project):
    rows = make_rows(1)
    expected = failing_rows(rows)
    start(project, expected, rows)
    report = project.json("check", "t")["report"]
    got = [check["failing"] for check in report["checks"]]
    assert dict(zip(expected, got)) == expected
    # Every one of them found something, shows rows of it, and its query finds as many.
    assert all(got) and all(check["rows"] for check in report["checks"])
    for check in report["checks"]:
        if check["sql"] and "unique" not in check["name"]:
            assert answer(project, f"select count(*) from ({check['sql']})")[1] == [str(check["failing"])], check["name"]


def test_every_number_is_numpys(project):
    rows = make_rows(2)
    expected = measured(rows)
    start(project, expected, rows)
    checks = project.json("check", "t")["report"]["checks"]
    for (check, number), got in zip(expected.items(), checks):
        assert got["state"] == "warned", check
        assert got["observed"] == pytest.approx(number, rel=1e-12), check


def test_sets_and_tables(project):
    passes = ["distinct_in: {column: city, values: [Rome, Oslo, Lima, Bern, Kyiv]}", "distinct_contains: {column: city, values: [Rome, Lima]}",
              "distinct_equals: {column: city, values: [Rome, Oslo, Lima, Bern]}", "most_common: {column: city, values: [Rome, Kyiv]}",
              "column_set: {names: [a, b]}", "column_set: {names: " + str(list(COLUMNS)) + ", exact: true, ordered: true}", "column_count: {min: 13, max: 13}",
              "columns: {a: bigint, name: text}", "rows: {above: 3999, below: 4001}", "distinct: {column: city, min: 4, max: 4}"]
    fails = ["distinct_in: {column: city, values: [Rome, Oslo]}", "distinct_contains: {column: city, values: [Rome, Kyiv, Lviv]}",
             "distinct_equals: {column: city, values: [Rome, Oslo, Lima, Kyiv]}", "most_common: {column: city, values: [Oslo]}",
             "column_set: {names: [a, nothere]}", "column_set: {names: [a, b], exact: true}", "column_set: {names: [b, a], ordered: true}",
             "rows: {same_as: cities}", "mean: {column: city, max: 1}"]
    start(project, passes + fails, make_rows(3))
    checks = project.json("check", "t")["report"]["checks"]
    assert [c["state"] for c in checks] == ["passed"] * len(passes) + ["warned"] * len(fails), [c["message"] for c in checks]
    assert [c["failing"] for c in checks[len(passes):len(passes) + 3]] == [2, 2, 2]


def test_distances_between_distributions(project):
    old, new = make_rows(4), make_rows(5, 3000)
    for row in new:
        row["x"] += 1.5
        row["city"] = "Oslo" if row["city"] == "Rome" and row["a"] % 3 == 0 else row["city"]
    measures = ["psi", "js", "ks", "chi_square", "l_infinity"]
    low = {m: "min: 2" for m in measures}
    checks = [f"distribution: {{column: {c}, by: {m}, {low[m]}, where: '{w}'}}" for c, w in (("x", "isfinite(x)"), ("city", "true")) for m in measures
              if not (c == "city" and m == "ks")]
    start(project, checks, old)
    assert all(c["state"] == "passed" for c in project.json("check", "t")["report"]["checks"])  # the first version has none before
    write_csv(project.root / "data" / "t.csv", new)
    project.sluice("run")
    got = {c["name"]: c["observed"] for c in project.json("check", "t")["report"]["checks"]}

    x_old, x_new = (numpy.array([r["x"] for r in rows if math.isfinite(r["x"])]) for rows in (old, new))
    edges = numpy.unique(numpy.quantile(x_old, numpy.arange(1, 10) / 10, method="inverted_cdf"))
    bins = {"x": [numpy.bincount(numpy.searchsorted(edges, v, side="left"), minlength=10).astype(float) for v in (x_old, x_new)],
            "city": [numpy.array([sum(r["city"] == c for r in rows) for c in CITIES], dtype=float) for rows in (old, new)]}
    for column, (p_count, q_count) in bins.items():
        p, q = p_count / p_count.sum(), q_count / q_count.sum()
        assert got[f"distribution({column}, psi)"] == pytest.approx(float(((q - p) * numpy.log(q / p)).sum()), rel=1e-9)
        middle = (p + q) / 2
        js = math.sqrt((p * numpy.log2(p / middle)).sum() / 2 + (q * numpy.log2(q / middle)).sum() / 2)
        assert got[f"distribution({column}, js)"] == pytest.approx(js, rel=1e-9)
        assert got[f"distribution({column}, l_infinity)"] == pytest.approx(abs(p - q).max(), rel=1e-12)
        share = q_count.sum() / (q_count.sum() + p_count.sum())
        chi = ((q_count - (p_count + q_count) * share) ** 2 / ((p_count + q_count) * share)
               + (p_count - (p_count + q_count) * (1 - share)) ** 2 / ((p_count + q_count) * (1 - share))).sum()
        assert got[f"distribution({column}, chi_square)"] == pytest.approx(chi_square_tail(chi, len(p) - 1), rel=1e-6, abs=1e-300)
    every = numpy.sort(numpy.concatenate([x_old, x_new]))
    ks = abs(numpy.searchsorted(numpy.sort(x_old), every, side="right") / len(x_old) - numpy.searchsorted(numpy.sort(x_new), every, side="right") / len(x_new)).max()
    assert got["distribution(x, ks)"] == pytest.approx(ks, rel=1e-12)


def chi_square_tail(x, degrees):
    """The density's integral from x on, by Simpson's rule: slow and plain."""
    edges = numpy.linspace(x, x + 400, 400001)
    density = edges ** (degrees / 2 - 1) * numpy.exp(-edges / 2) / (2 ** (degrees / 2) * math.gamma(degrees / 2))
    return float((density[0] + density[-1] + 4 * density[1:-1:2].sum() + 2 * density[2:-1:2].sum()) * (edges[1] - edges[0]) / 3)


def version(project, count, shift=0.0, missing=0):
    rows = make_rows(count, count)
    for i, row in enumerate(rows):
        row["x"] = (row["x"] if math.isfinite(row["x"]) else 10) + shift
        row["b"] = None if i < missing else 1
    write_csv(project.root / "data" / "t.csv", rows)
    return rows


def test_changes_and_anomalies(project):
    checks = ["change: {of: rows, min: -0.1, max: 0.1}", "change: {of: mean, column: x, min: -0.2, max: 0.2}",
              "change: {of: missing_share, column: b, max: 0.05}", "anomaly: {of: rows}", "anomaly: {of: mean, column: x, deviations: 6}"]
    old = version(project, 1000)
    start(project, checks, old)
    for count in (1003, 996, 1005, 999, 1002):
        version(project, count)
        done = project.sluice("run")
        assert "warning" not in done.stderr + done.stdout
    new = version(project, 1300, shift=5.0, missing=130)
    project.sluice("run")
    checks = project.json("check", "t")["report"]["checks"]
    assert [c["state"] for c in checks] == ["warned"] * 5, [c["message"] for c in checks]
    assert checks[0]["observed"] == pytest.approx(1300 / 1002 - 1)
    assert checks[2]["observed"] == pytest.approx(0.1)
    history = [1002, 999, 1005, 996, 1003, 1000]
    middle = float(numpy.median(history))
    assert checks[3]["observed"] == pytest.approx((1300 - middle) / (1.4826 * float(numpy.median([abs(h - middle) for h in history]))))
    # Seen from the version before, nothing was out of order.
    assert all(c["state"] == "passed" for c in project.json("check", "t@~1")["report"]["checks"])
    assert len(new) == 1300


SCHEMA = "project: p\nsources:\n  t: {path: t.csv}\ndatasets:\n  t: {checks: [{schema: {columns: %s, types: %s}}]}\n"


def evolve(project, columns, types):
    project.write("sluice.yaml", SCHEMA % (columns, types))
    project.write("t.csv", "a,b\n1,x\n2,y\n3,z\n")
    project.sluice("init")
    project.sluice("run")
    project.write("t.csv", "a,b,c\n1,x,\n2,y,7\nmany,z,\n")
    return project.sluice("run", status=None)


def answer(project, sql):
    project.sluice("sql", sql, "--out", "answer.csv")
    return list(csv.reader((project.root / "answer.csv").read_text().splitlines()))


def test_schema_rules(project):
    done = evolve(project, "evolve", "evolve")
    assert done.returncode == 0 and answer(project, "from t")[0] == ["a", "b", "c"]


@pytest.mark.parametrize("columns, types, words", [("freeze", "evolve", "column 'c' is new"), ("evolve", "freeze", "column 'a' is VARCHAR, and was BIGINT")])
def test_a_frozen_schema_refuses(project, columns, types, words):
    done = evolve(project, columns, types)
    assert done.returncode == 1 and words in done.stderr
    assert answer(project, "from t")[0] == ["a", "b"]


def test_discard_value_keeps_the_schema(project):
    assert evolve(project, "discard_value", "discard_value").returncode == 0
    assert answer(project, "from t") == [["a", "b"], ["1", "x"], ["2", "y"], ["", "z"]]
    columns = {c["name"]: c["type"] for c in project.json("show", "t")["columns"]}
    assert columns == {"a": "BIGINT", "b": "VARCHAR"}


def test_discard_row_puts_aside(project):
    assert evolve(project, "discard_row", "discard_row").returncode == 0
    assert answer(project, "from t") == [["a", "b"], ["1", "x"]]
    assert answer(project, "select a, b, c, reason from t.quarantine order by a") == [["a", "b", "c", "reason"], ["2", "y", "7", "schema"], ["many", "z", "", "schema"]]


def test_environments(project):
    project.write("sluice.yaml", """
project: p
sources: {train: train.csv, live: live.csv}
datasets:
  train:
    environment: training
    checks:
      - not_null: [x]
      - {column_set: {names: [x, label]}, environments: [training]}
      - {column_set: {names: [x], exact: true}, environments: [serving]}
  live: {checks_of: train, environment: serving}
""")
    project.write("train.csv", "x,label\n1,2\n")
    project.write("live.csv", "x\n1\n")
    project.sluice("init")
    project.sluice("run")
    assert [c["name"] for c in project.json("check", "train")["report"]["checks"]] == ["not_null(x)", "column_set"]
    assert len(project.json("check", "live")["report"]["checks"]) == 2


def test_a_reference_is_made_first_and_its_change_checks_again(project):
    project.write("sluice.yaml", """
project: p
sources: {trips: trips.csv, towns: towns.csv}
datasets:
  trips: {checks: [{foreign_key: {columns: town, of: towns}, else: quarantine}]}
""")
    project.write("trips.csv", "town\nRome\nOslo\nLviv\n")
    project.write("towns.csv", "town\nRome\nOslo\n")
    project.sluice("init")
    project.sluice("run", "trips")
    assert answer(project, "select town, reason from trips.quarantine")[1:] == [["Lviv", "foreign_key(town)"]]
    project.write("towns.csv", "town\nRome\nOslo\nLviv\n")
    project.sluice("run", "trips")
    assert answer(project, "select town from trips")[1:] == [["Rome"], ["Oslo"], ["Lviv"]]


@pytest.mark.parametrize("check, words", [
    ("between: {column: a, min: 5, max: 1}", "greater than 'max'"), ("mean: {column: a}", "needs 'min', 'max' or both"),
    ("mean: {column: a, min: 1, else: quarantine}", "no key 'else'"), ("rows: {min: -1}", "whole numbers"), ("format: {column: a, is: emial}", "did you mean 'email'"),
    ("pairs: {columns: [a], values: [[1, 2]]}", "two columns"), ("foreign_key: {columns: a, of: nowhere}", "which no source and no step makes"),
    ("foreign_key: {columns: [a, b], of: cities, keys: town}", "2 columns and 1 keys"), ("change: {of: rows, column: a, max: 1}", "not of a column"),
    ("anomaly: {of: mean}", "needs a column"), ("in_set: {column: a, values: [1, x]}", "of one kind"), ("not_null: 5", "a column's name"),
    ("holds: 'nocolumn > 1'", "nocolumn"), ("rows: {same_as: t}", "the dataset itself")])
def test_wrong_checks_are_told_at_their_place(project, check, words):
    project.write("sluice.yaml", f"project: p\nsources:\n  t: t.csv\n  cities: cities.csv\ndatasets:\n  t:\n    checks:\n      - {{{check}}}\n")
    project.write("t.csv", "a,b\n1,2\n")
    project.sluice("init")
    done = project.sluice("run", status=None)
    assert done.returncode in (1, 2) and "sluice.yaml:8:" in done.stderr and words in done.stderr, done.stderr


def engine_takes(pattern):
    try:
        duckdb.execute("select regexp_full_match('', ?)", [pattern]).fetchall()
    except duckdb.Error:
        return False
    return True


@pytest.mark.slow
def test_expressions_are_judged_as_the_engine_judges_them(project):
    """When the project is read, without the engine: random expressions out of pieces that mean something."""
    pieces = ("a b é ( ) ( ) | * + ? {2} {2,} {0,3} {31} {33} {1001} {3,2} {01} { } [ [^ ] - ^ $ . \\d \\W \\b \\A \\z \\Z \\C \\Q \\E \\p \\pL \\p{Greek} \\P{^Lu} \\p{Foo} "
              "\\x41 \\x{41} \\x{ \\xg \\0 \\12 \\1 \\8 \\. \\_ \\] [:alpha:] [:foo:] [: (? (?i) (?i: (?s-i: (?P<n> (?P< > : z-a a-z (a|b) ){20} [a-z] [[:alpha:]]").split()
    draw = random.Random(11)
    patterns = ["".join(draw.choice(pieces) for _ in range(draw.randint(1, 6))) for _ in range(120)]
    taken = 0
    project.sluice("init")
    project.write("t.csv", "a\nx\n")
    for pattern in patterns:
        project.write("sluice.yaml", "project: p\nsources: {t: t.csv}\ndatasets:\n  t:\n    checks:\n      - regex: {column: a, pattern: " + json.dumps(pattern, ensure_ascii=False) + "}\n")
        done = project.sluice("run", "-n", status=None)
        taken += done.returncode == 0
        assert (done.returncode == 0) == engine_takes(pattern), (pattern, done.stderr)
        assert done.returncode == 0 or (done.returncode == 2 and "sluice.yaml:6:37" in done.stderr), (pattern, done.stderr)
    assert 20 < taken < 100


@pytest.mark.parametrize("line, place, part", [
    ("- columns: {a: bigint, b: tetx}", "6:33", "did you mean 'text'?"), ("- columns: {a: decimal(39)}", "6:22", "is not a type"),
    ("- regex: {column: a, pattern: '(a'}", "6:37", "'(' is not closed, at its character 1"), ("- not_regex: {column: a, pattern: 'é**'}", "6:41", "at its character 3")])
def test_a_wrong_argument_starts_nothing(project, line, place, part):
    project.sluice("init")
    project.write("t.csv", "a\n1\n")
    project.write("sluice.yaml", f"project: p\nsources: {{t: t.csv}}\ndatasets:\n  t:\n    checks:\n      {line}\n")
    done = project.sluice("run", status=2)
    assert f"sluice.yaml:{place}:" in done.stderr and part in done.stderr


def test_a_wrong_type_of_a_source_is_told_with_its_place(project):
    project.sluice("init")
    project.write("sluice.yaml", "project: p\nsources: {t: {path: t.csv, columns: {a: intger}}}\n")
    assert "sluice.yaml:2:41: 'intger' is not a type" in project.sluice("run", status=2).stderr


def test_check_asks_for_the_checks_of_one_environment(project):
    project.write("raw.csv", "x,label\n1,\n2,0\n")
    project.write("sluice.yaml", """
project: p
sources: {raw: raw.csv, live: raw.csv}
datasets:
  raw: {checks: [not_null: [x], {not_null: [label], environments: [training], severity: warn}, {null: [label], environments: serving, severity: warn}]}
  live: {checks_of: raw, environment: serving}
""")
    project.sluice("init")
    project.sluice("run")
    names = lambda *arguments: [c["name"] + " " + c["state"] for c in project.json("check", *arguments)["report"]["checks"]]
    assert names("raw", "--environment", "training") == ["not_null(x) passed", "not_null(label) warned"]
    assert names("raw", "-e", "serving") == names("live", "-e", "serving") == names("live") == ["not_null(x) passed", "null(label) warned"]
    assert len(names("raw")) == 3
    assert "knows no environment 'srving'" in project.sluice("check", "raw", "-e", "srving", status=2).stderr
    assert "check the dataset whose checks it takes over: raw" in project.sluice("check", "live", "-e", "training", status=2).stderr
